#include "tests/suite/stored_output.h"

#include <unistd.h>

#include <filesystem>

#include "compiler/onnx/onnx.h"
#include "compiler/seal/quantize.h"
#include "compiler/seal/round_half.h"
#include "engine/layout/dense.h"
#include "tests/suite/oracle.h"

namespace carrel::suite {
namespace {

void round_all(Graph* graph) {
  for (Value& value : graph->values) {
    if (!value.is_const() || value.type != DType::kF32 || value.shape.rank() < 2) continue;
    auto weights = std::make_shared<Tensor>(*value.constant);
    round_to_half(weights->f32(), static_cast<size_t>(value.shape.count() / value.shape[0]));
    value.constant = std::move(weights);
  }
}

// (N, K) as the layer's second input has it.
Tensor as_input(const std::vector<float>& rows, const Shape& shape, bool transposed) {
  Tensor tensor = Tensor::zeros(DType::kF32, shape);
  const size_t outs = static_cast<size_t>(shape[transposed ? 0 : 1]), ins = rows.size() / outs;
  for (size_t n = 0; n < outs; ++n) {
    for (size_t k = 0; k < ins; ++k) {
      tensor.f32()[transposed ? n * ins + k : k * outs + n] = rows[n * ins + k];
    }
  }
  return tensor;
}

Status quantize_layers(const Graph& original, const WeightTypes& types, Graph* graph) {
  CARREL_ASSIGN(const StreamPlan plan, plan_streams(original, types));
  for (size_t s = 0; s < plan.streams.size(); ++s) {
    const WeightsShape& shape = plan.streams[s].shape;
    if (shape.kind != WeightsKind::kDense || !is_quantized(shape.stored)) continue;
    const Node& node = original.node(plan.sources[s].node);
    if (node.attributes.float_or("alpha", 1.0f) != 1.0f) {
      return Error(ErrorCode::kUnsupported, "%s has a factor", node.name.c_str());
    }
    CARREL_ASSIGN(const StreamWeights weights, stream_weights(original, plan, s));
    Value& value = graph->values[static_cast<size_t>(node.inputs[1])];
    const std::vector<float> stored =
        dequantize_dense(shape, quantize_dense(shape, weights.weights));
    const bool transposed = node.op == OpType::kGemm && node.attributes.int_or("transB", 0) != 0;
    value.constant = std::make_shared<Tensor>(as_input(stored, value.shape, transposed));
  }
  return ok_status();
}

}  // namespace

Result<Tensor> stored_output(const Graph& graph, const WeightTypes& types, const Tensor& input,
                             int64_t batch) {
  Graph stored = graph;
  if (types.maps == StoredType::kF16) round_all(&stored);
  CARREL_RETURN_IF_ERROR(quantize_layers(graph, types, &stored));
  const std::string path = cache_folder() + "/tmp-" + std::to_string(getpid()) + "-stored.onnx";
  CARREL_RETURN_IF_ERROR(export_onnx_file(stored, path));
  stored = Graph();
  Result<Tensor> answer = oracle_output(path, input, batch);
  std::filesystem::remove(path);
  return answer;
}

}  // namespace carrel::suite
