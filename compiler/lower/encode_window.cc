// Convolutions and pools.
#include "compiler/lower/encoder.h"

namespace carrel {

// strides, pads_begin, pads_end, dilations (after the kernel if `kernel`).
Status Encoder::windows(bool kernel) {
  const int s = rank(0) - 2;
  if (s < 1) return invalid(node_, "needs an input (N, C, spatial...)");
  if (s > 3) return unsupported(node_, "more than three spatial dimensions");
  if (kernel) {
    if (node_.attributes.int_list("kernel_shape").empty()) return invalid(node_, "kernel_shape");
    CARREL_RETURN_IF_ERROR(add_ints("kernel_shape", s, 1));
  }
  CARREL_RETURN_IF_ERROR(add_ints("strides", s, 1));
  CARREL_RETURN_IF_ERROR(add_ints("pads", 2 * s, 0));
  return add_ints("dilations", s, 1);
}

Status Encoder::global_pool(PlainOp op) {
  out_.ints.push_back(1);
  for (int axis = 2; axis < rank(0); ++axis) out_.ints.push_back(axis);
  return simple(op);
}

Status Encoder::average_windows() {
  CARREL_RETURN_IF_ERROR(windows(true));
  add_int("count_include_pad", 0);
  const bool own = !node_.attributes.int_list("pads_counted").empty();
  return add_ints(own ? "pads_counted" : "pads", 2 * (rank(0) - 2), 0);
}

Status Encoder::encode_windowed() {
  const int s = rank(0) - 2;
  switch (node_.op) {
    case OpType::kConv:
      add_int("group", 1);
      CARREL_RETURN_IF_ERROR(windows(false));
      return simple(PlainOp::kConv);
    case OpType::kConvTranspose:
      add_int("group", 1);
      CARREL_RETURN_IF_ERROR(windows(false));
      CARREL_RETURN_IF_ERROR(add_ints("output_padding", s, 0));
      return simple(PlainOp::kConvTranspose);
    case OpType::kMaxPool:
      CARREL_RETURN_IF_ERROR(windows(true));
      return simple(PlainOp::kMaxPool);
    case OpType::kAveragePool:
      CARREL_RETURN_IF_ERROR(average_windows());
      return simple(PlainOp::kAveragePool);
    case OpType::kGlobalAveragePool:
      return global_pool(PlainOp::kReduceMean);
    default:
      return global_pool(PlainOp::kReduceMax);
  }
}

}  // namespace carrel
