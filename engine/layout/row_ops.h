#pragma once
// The variants of row operators, shared by programs and kernels.
#include <cstdint>

namespace carrel {

enum class PoolKind : uint8_t { kMax = 0, kAverage = 1 };
enum class BinaryFn : uint8_t { kAdd = 0, kSub, kMul, kDiv, kMax, kMin, kPow };
inline constexpr uint8_t kBinaryFnCount = 7;

}  // namespace carrel
