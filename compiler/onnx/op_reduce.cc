// Reductions over axes.
#include <algorithm>

#include "compiler/onnx/node_context.h"

namespace carrel {
namespace {

// `axes` is an attribute until 12 (Sum) or 17 (the others), then an input.
template <OpType kOp>
Status import_reduce(NodeContext& context) {
  constexpr int kInputSince = kOp == OpType::kReduceSum ? 13 : 18;
  if (context.opset() < kInputSince && context.input_count() > 1) {
    return context.invalid("it has more than one input");
  }
  const int rank = context.shape(0).rank();
  CARREL_ASSIGN(std::vector<int64_t> axes, context.ints_at("axes", kInputSince, 1));
  const bool keep_all = axes.empty() && context.int_attribute("noop_with_empty_axes", 0) != 0;
  if (axes.empty() && !keep_all) {
    for (int i = 0; i < rank; ++i) axes.push_back(i);
  }
  for (int64_t& axis : axes) {
    CARREL_ASSIGN(axis, context.normal_axis(axis, rank));
  }
  std::sort(axes.begin(), axes.end());
  if (std::adjacent_find(axes.begin(), axes.end()) != axes.end()) {
    return context.invalid("axes repeat");
  }
  if (axes.empty()) {
    context.set_output(0, context.input(0));
    return ok_status();
  }
  Node node = context.make(kOp, {context.input(0)});
  node.attributes.ints["axes"] = axes;
  node.attributes.ints["keepdims"] = {context.int_attribute("keepdims", 1) != 0};
  return context.finish(std::move(node));
}

constexpr OperatorEntry kOperators[] = {
    {"ReduceMean", import_reduce<OpType::kReduceMean>, 1, 2},
    {"ReduceSum", import_reduce<OpType::kReduceSum>, 1, 2},
    {"ReduceMax", import_reduce<OpType::kReduceMax>, 1, 2},
    {"ReduceMin", import_reduce<OpType::kReduceMin>, 1, 2},
    {"ReduceProd", import_reduce<OpType::kReduceProd>, 1, 2},
};

}  // namespace

std::span<const OperatorEntry> reduce_operators() { return kOperators; }

}  // namespace carrel
