// fuse_activations: elementwise functions run on the result of the node before them.
#include "compiler/graph/pass_util.h"

namespace carrel {
namespace {

bool takes_activation(OpType op) {
  switch (op) {
    case OpType::kConv:
    case OpType::kConvTranspose:
    case OpType::kGemm:
    case OpType::kMatMul:
    case OpType::kAffine:
    case OpType::kBatchNorm:
    case OpType::kInstanceNorm:
    case OpType::kLayerNorm:
    case OpType::kAdd:
    case OpType::kSub:
    case OpType::kMul:
    case OpType::kDiv:
      return true;
    default:
      return false;
  }
}

void fuse_into_producer(const Graph& graph, const UseMap& uses, NodeId id, PatchBuilder* builder) {
  const Node& unary = graph.node(id);
  const NodeId producer = uses.producer(unary.inputs[0]);
  if (producer < 0 || !uses.single_use(unary.inputs[0]) || builder->touched(producer)) return;
  Node node = graph.node(producer);
  if (!takes_activation(node.op) || node.activation.fn != UnaryFn::kNone) return;
  node.activation = unary.activation;
  node.outputs = unary.outputs;
  builder->replace({producer, id}, std::move(node));
}

// x * sigmoid(x) and x * hard_sigmoid(x), the gate used nowhere else.
void fuse_gate(const Graph& graph, const UseMap& uses, NodeId id, PatchBuilder* builder) {
  const Node& mul = graph.node(id);
  if (mul.activation.fn != UnaryFn::kNone) return;
  for (size_t side = 0; side < 2; ++side) {
    const ValueId gate = mul.inputs[side];
    const ValueId x = mul.inputs[1 - side];
    const NodeId producer = uses.producer(gate);
    if (producer < 0 || !uses.single_use(gate) || builder->touched(producer)) continue;
    const Node& sigmoid = graph.node(producer);
    if (sigmoid.op != OpType::kUnary || sigmoid.inputs[0] != x) continue;
    const Unary f = sigmoid.activation;
    const bool hard = f.fn == UnaryFn::kHardSigmoid && f.a == 1.0f / 6.0f && f.b == 0.5f;
    if (f.fn != UnaryFn::kSigmoid && !hard) continue;
    Node fused = mul;
    fused.op = OpType::kUnary;
    fused.inputs = {x};
    fused.activation = {hard ? UnaryFn::kHardSwish : UnaryFn::kSwish, 0, 0};
    builder->replace({producer, id}, std::move(fused));
    return;
  }
}

}  // namespace

Result<Patch> fuse_activations(const Graph& graph) {
  const UseMap uses(graph);
  PatchBuilder builder(graph, "fuse_activations");
  for (NodeId n = 0; n < static_cast<NodeId>(graph.nodes.size()); ++n) {
    const Node& node = graph.node(n);
    if (node.dead || builder.touched(n)) continue;
    if (node.op == OpType::kUnary) fuse_into_producer(graph, uses, n, &builder);
    if (node.op == OpType::kMul) fuse_gate(graph, uses, n, &builder);
  }
  return builder.take();
}

}  // namespace carrel
