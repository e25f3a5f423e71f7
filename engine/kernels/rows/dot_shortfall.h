#pragma once
// An instruction set whose dot() comes out smaller than the product says so with add_shortfall(sums, weights), what one
// dot() with these weights lacks. It does not depend on the pixel, so it is added once to what all sums start from.

namespace carrel {

template <class Sums, class Weights>
inline constexpr bool kDotFallsShort = requires(Sums s, Weights w) { add_shortfall(s, w); };

template <class Sums, class Weights>
[[gnu::always_inline]] inline Sums with_shortfall(const Sums& s, const Weights& w) {
  if constexpr (kDotFallsShort<Sums, Weights>) return add_shortfall(s, w);
  else return s;
}

}  // namespace carrel
