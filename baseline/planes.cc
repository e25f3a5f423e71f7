#include "baseline/planes.h"

#include <limits>

#include "baseline/planes_body.h"

namespace carrel::unmodified {

PlanePhases::PlanePhases(const PlaneWindow& w)
    : rows(w.out_h + (w.kernel_h - 1) * w.dilation_h / w.stride_h),
      pitch(w.out_w + (w.kernel_w - 1) * w.dilation_w / w.stride_w),
      // The last tap reads whole blocks from a place up to a row behind the phases.
      phases_count((w.stride_h * w.stride_w * rows + 1) * pitch + kBlock),
      sums_count(w.out_h * pitch + kBlock) {
  for (int64_t kh = 0; kh < w.kernel_h; ++kh) {
    for (int64_t kw = 0; kw < w.kernel_w; ++kw) {
      const int64_t down = kh * w.dilation_h, right = kw * w.dilation_w;
      const int64_t phase = down % w.stride_h * w.stride_w + right % w.stride_w;
      taps.push_back((phase * rows + down / w.stride_h) * pitch + right / w.stride_w);
    }
  }
}

bool as_clamp(const Unary& activation, Clamp* clamp) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  *clamp = {-kInfinity, kInfinity};
  if (activation.fn == UnaryFn::kRelu)
    *clamp = {0.0f, kInfinity};
  else if (activation.fn == UnaryFn::kClip)
    *clamp = {activation.a, activation.b};
  else
    return activation.fn == UnaryFn::kNone;
  return true;
}

#if defined(__x86_64__)
extern const PlaneLoops kPlaneLoopsAvx2, kPlaneLoopsAvx512;
#endif

const PlaneLoops& plane_loops([[maybe_unused]] CpuMask cpu) {
#if defined(__x86_64__)
  if (cpu & kCpuAvx512) return kPlaneLoopsAvx512;
  if (cpu & kCpuAvx2) return kPlaneLoopsAvx2;
#endif
  return kLoops;
}

}  // namespace carrel::unmodified
