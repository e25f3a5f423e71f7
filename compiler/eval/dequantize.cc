#include "compiler/eval/dequantize.h"

namespace carrel {

Result<std::vector<Tensor>> dequantize_const(const Graph& graph, const Node& node) {
  const TensorPtr* inputs[3];
  for (size_t i = 0; i < 3; ++i) {
    inputs[i] = &graph.value(node.inputs[i]).constant;
    const Tensor* t = inputs[i]->get();
    if (t == nullptr || t->data.size() != static_cast<size_t>(t->count()) * dtype_size(t->type)) {
      return Error(ErrorCode::kInvalidInput, "%s: a constant has no data", node.name.c_str());
    }
  }
  const Tensor& x = **inputs[0];
  const std::span<const float> scale = (*inputs[1])->f32();
  const std::vector<int64_t> zero = (*inputs[2])->to_i64();
  const std::vector<int64_t> levels = x.to_i64();
  size_t inner = 1;  // elements that share an entry of the axis
  const auto axis = static_cast<int>(node.attributes.int_or("axis", 0));
  for (int i = axis + 1; i < x.shape.rank(); ++i) inner *= static_cast<size_t>(x.shape[i]);
  Tensor y = Tensor::zeros(DType::kF32, x.shape);
  const std::span<float> out = y.f32();
  for (size_t i = 0; i < out.size(); ++i) {
    const size_t entry = i / inner;
    const double level = static_cast<double>(levels[i]) -
                         static_cast<double>(zero[zero.size() == 1 ? 0 : entry % zero.size()]);
    out[i] = static_cast<float>(level) * scale[scale.size() == 1 ? 0 : entry % scale.size()];
  }
  std::vector<Tensor> outputs;
  outputs.push_back(std::move(y));
  return outputs;
}

}  // namespace carrel
