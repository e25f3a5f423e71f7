// Operators on quantized tensors.
#include "compiler/lower/encoder.h"

namespace carrel {

Status Encoder::encode_quantized() {
  switch (node_.op) {
    case OpType::kQuantize:
    case OpType::kDequantize:
      add_each_int({"zero"});
      add_each_float({"scale"});
      return simple(node_.op == OpType::kQuantize ? PlainOp::kQuantize : PlainOp::kDequantize);
    case OpType::kQConv:
      add_int("group", 1);
      CARREL_RETURN_IF_ERROR(windows(false));
      add_each_int({"x_zero", "y_zero", "y_low", "y_high"});
      add_each_float({"x_scale", "y_scale"});
      return simple(PlainOp::kQConv);
    case OpType::kQGemm:
      add_each_int({"x_zero", "y_zero", "y_low", "y_high"});
      add_each_float({"x_scale", "y_scale"});
      return simple(PlainOp::kQGemm);
    case OpType::kQAdd:
      add_each_int({"a_zero", "b_zero", "y_zero", "y_low", "y_high"});
      add_each_float({"a_scale", "b_scale", "y_scale"});
      return simple(PlainOp::kQAdd);
    case OpType::kQAveragePool:
      CARREL_RETURN_IF_ERROR(average_windows());
      add_each_int({"x_zero", "y_zero"});
      add_each_float({"x_scale", "y_scale"});
      return simple(PlainOp::kQAveragePool);
    case OpType::kQGlobalAveragePool:
      return global_qpool();
    case OpType::kQConcat: {
      add_each_int({"axis", "y_zero"});
      const int inputs = static_cast<int>(node_.inputs.size());
      CARREL_RETURN_IF_ERROR(add_ints("zeros", inputs, 0));
      add_each_float({"y_scale"});
      const auto scales = node_.attributes.floats.find("scales");
      if (scales == node_.attributes.floats.end()) return invalid(node_, "scales");
      out_.floats.insert(out_.floats.end(), scales->second.begin(), scales->second.end());
      return simple(PlainOp::kQConcat);
    }
    default:
      return unsupported(node_, "constants are dequantized ahead of time");
  }
}

// A window over everything.
Status Encoder::global_qpool() {
  const int s = rank(0) - 2;
  if (s < 1 || s > 3) return unsupported(node_, "needs one to three spatial dimensions");
  const Shape& x = input(0)->shape;
  for (int i = 0; i < s; ++i) out_.ints.push_back(x[i + 2]);
  const auto repeat = [this](int n, int64_t number) {
    out_.ints.insert(out_.ints.end(), static_cast<size_t>(n), number);
  };
  repeat(s, 1);          // strides
  repeat(2 * s, 0);      // pads
  repeat(s, 1);          // dilations
  repeat(1 + 2 * s, 0);  // count_include_pad, counted pads
  add_each_int({"x_zero", "y_zero"});
  add_each_float({"x_scale", "y_scale"});
  return simple(PlainOp::kQAveragePool);
}

}  // namespace carrel
