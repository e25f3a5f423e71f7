#pragma once
// Building blocks of the quantized operators. ONNX's other integer types have no values at run
// time: int32 results are float32 values that hold integers, exact up to 2^24 and rounded to 24
// bits beyond, which is less than one unit of any later rounding to 8 bits.
#include "compiler/onnx/node_context.h"

namespace carrel {

inline bool is_narrow(DType type) { return type == DType::kU8 || type == DType::kI8; }

// The integers of a value as float32.
Result<ValueId> float_levels(NodeContext& context, ValueId id);

// (x - zero) * scale. Lists hold one entry or one per entry of `axis`; zero may be kNoValue.
Result<ValueId> dequantize(NodeContext& context, ValueId x, ValueId scale, ValueId zero,
                           int64_t axis);

// x / scale, rounded, + zero, as the uint8 or int8 that the type of `zero` says (kNoValue: uint8).
Result<ValueId> quantize(NodeContext& context, ValueId x, ValueId scale, ValueId zero,
                         int64_t axis);

// x rounded to integers, halves to even, where |x| < 2^22; farther x stay beyond any level.
Result<ValueId> round_floats(NodeContext& context, ValueId x);

}  // namespace carrel
