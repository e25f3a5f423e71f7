// Gemm, MatMul.
#include "compiler/onnx/node_context.h"

namespace carrel {
namespace {

Status import_gemm(NodeContext& context) {
  Node node = context.make(OpType::kGemm, {context.input(0), context.input(1), context.input(2)});
  node.attributes.ints["transA"] = {context.int_attribute("transA", 0) != 0};
  node.attributes.ints["transB"] = {context.int_attribute("transB", 0) != 0};
  node.attributes.floats["alpha"] = {context.float_attribute("alpha", 1)};
  node.attributes.floats["beta"] = {context.float_attribute("beta", 1)};
  return context.finish(std::move(node));
}

Status import_matmul(NodeContext& context) {
  return context.finish(context.make(OpType::kMatMul, {context.input(0), context.input(1)}));
}

constexpr OperatorEntry kOperators[] = {
    {"Gemm", import_gemm, 2, 3},
    {"MatMul", import_matmul, 2, 2},
};

}  // namespace

std::span<const OperatorEntry> matrix_operators() { return kOperators; }

}  // namespace carrel
