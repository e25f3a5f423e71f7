#pragma once
// The operators of run_plain (engine/kernels/plain/plain.h) and what their numbers mean.
//
// Output dims are always given by the caller; run_plain checks that they follow from inputs and
// numbers. Below, s = spatial rank (X.rank - 2, 1 to 3), r = rank of input 0. Lists in `ints` stand
// one after another in the order written and have exactly the stated lengths. A missing optional
// input may be left out at the end or have data == nullptr. PlainCall::activation is kUnary's
// function; every other operator with f32 outputs applies it to its results (kNone: nothing).
#include <cstdint>

namespace carrel {

// Gather's indices are the only long list. One program step stays below 32 KiB.
inline constexpr uint32_t kMaxPlainInts = 4096;
inline constexpr uint32_t kMaxPlainInputs = 256;  // Concat (DenseNet joins up to 49)
inline constexpr uint32_t kMaxPlainFloats = 1 + kMaxPlainInputs;  // kQConcat: a scale per tensor
inline constexpr uint32_t kMaxPlainOutputs = 256;                 // Split

// Types: f32 unless marked "+i64" (f32 or i64, the same for all inputs and outputs unless noted).
enum class PlainOp : uint16_t {
  kUnary = 0,          // X -> Y. Y may be X.
  kConv = 1,           // X (N, C, spatial), W (M, C/group, kernel) [, B (M)]
                       //   ints: group, strides[s], pads_begin[s], pads_end[s], dilations[s]
  kConvTranspose = 2,  // X (N, C, spatial), W (C, M/group, kernel) [, B (M)]
                       //   ints: as kConv, + output_padding[s]; pads may be negative
  kGemm = 3,           // A, B [, C broadcastable to (M, N)]
                       //   ints: transA, transB; floats: alpha, beta
  kMatMul = 4,         // NumPy matmul: 1-D operands, broadcast batch dimensions
  kAffine = 5,         // X (N, C, ...), scale (C), shift (C): X * scale + shift
  kBatchNorm = 6,      // X, scale, bias, mean, var (each C); floats: epsilon
  kInstanceNorm = 7,   // X (N, C, ...), scale (C), bias (C); floats: epsilon
  kLayerNorm = 8,      // X, scale [, bias] (broadcastable to X's dims from axis on)
                       //   ints: axis; floats: epsilon
  kLrn = 9,            // X (N, C, ...); ints: size; floats: alpha, beta, bias
  kPRelu = 10,         // X, slope (broadcastable to X)
  kSoftmax = 11,       // ints: axis
  kLogSoftmax = 12,    // ints: axis
  kMaxPool = 13,       // X (N, C, spatial)
                       //   ints: kernel[s], strides[s], pads_begin[s], pads_end[s], dilations[s]
                       //   A tap outside X is skipped; a window with none inside gives -infinity.
  kAveragePool = 14,   // ints: as kMaxPool, + count_include_pad, counted_begin[s], counted_end[s]
                       //   Divides by the taps inside X, or inside X extended by counted_*; a
                       //   window with none gives 0.
  // Two inputs, NumPy broadcasting; +i64 (wrapping; division truncates, by zero gives 0). No ints.
  kAdd = 15,
  kSub = 16,
  kMul = 17,
  kDiv = 18,
  kPow = 19,  // f32 base also with i64 exponent
  kMax = 20,
  kMin = 21,
  // +i64. ints: keepdims, axes[any] (strictly increasing; none: a copy). Global pools too.
  kReduceMean = 22,
  kReduceSum = 23,
  kReduceMax = 24,
  kReduceMin = 25,
  kReduceProd = 26,
  kConcat = 27,        // +i64. ints: axis
  kSplit = 28,         // +i64. ints: axis; sizes are the outputs'
  kSlice = 29,         // +i64. ints: starts[r], steps[r]; out[i] = X[start + i * step]
  kPad = 30,           // +i64. ints: mode (0 constant, 1 reflect, 2 edge), begin[r], end[r] (pads
                       //   may be negative); floats: value (0 or 1 entry)
  kReshape = 31,       // +i64. A copy under new dims
  kTranspose = 32,     // +i64. ints: perm[r]
  kExpand = 33,        // +i64. X broadcast to the output dims
  kGather = 34,        // +i64. X; ints: axis, indices[any] (0 <= index < dim): Y dims are X's with
                       //   axis replaced by the indices' dims. Constant folding only: indices as
                       //   input 1 (i64), ints: axis
  kResize = 35,        // ints: mode (0 nearest, 1 linear), coordinate (0 half_pixel, 1 asymmetric,
                       //   2 align_corners, 3 pytorch_half_pixel), nearest (0 round_prefer_floor,
                       //   1 floor, 2 ceil, 3 round_prefer_ceil); floats: scales[r]
  kDepthToSpace = 36,  // X (N, C, H, W); ints: blocksize, mode (0 DCR, 1 CRD)
  kSpaceToDepth = 37,  // X (N, C, H, W); ints: blocksize
  // Quantized tensors hold the integers 0 to 255 as floats, weights -128 to 127; compiler/graph's
  // graph.h has the arithmetic. Sums are exact.
  kQuantize = 38,    // ints: zero; floats: scale
  kDequantize = 39,  // ints: zero; floats: scale
  kQConv = 40,       // X, W, weight_scale (M) [, B (M; f32 or i64)]
                     //   ints: as kConv, + x_zero, y_zero, y_low, y_high; floats: x_scale, y_scale
  kQGemm = 41,       // X (M, K), W (N, K), weight_scale (N) [, B (N; f32 or i64)]
                     //   ints: x_zero, y_zero, y_low, y_high; floats: x_scale, y_scale
  kQAdd = 42,        // A, B of one shape
                     //   ints: a_zero, b_zero, y_zero, y_low, y_high; floats: a_scale, b_scale,
                     //   y_scale
  kQAveragePool = 43,  // ints: as kAveragePool, + x_zero, y_zero; floats: x_scale, y_scale
  kQConcat = 44,       // ints: axis, y_zero, zeros[inputs]; floats: y_scale, scales[inputs]
  kCount = 45,
};

inline const char* plain_op_name(PlainOp op) {
  constexpr const char* kNames[] = {
      "Unary",        "Conv",         "ConvTranspose", "Gemm",       "MatMul",     "Affine",
      "BatchNorm",    "InstanceNorm", "LayerNorm",     "Lrn",        "PRelu",      "Softmax",
      "LogSoftmax",   "MaxPool",      "AveragePool",   "Add",        "Sub",        "Mul",
      "Div",          "Pow",          "Max",           "Min",        "ReduceMean", "ReduceSum",
      "ReduceMax",    "ReduceMin",    "ReduceProd",    "Concat",     "Split",      "Slice",
      "Pad",          "Reshape",      "Transpose",     "Expand",     "Gather",     "Resize",
      "DepthToSpace", "SpaceToDepth", "Quantize",      "Dequantize", "QConv",      "QGemm",
      "QAdd",         "QAveragePool", "QConcat",
  };
  return op < PlainOp::kCount ? kNames[static_cast<uint16_t>(op)] : "?";
}

}  // namespace carrel
