#include "compiler/graph/infer_internal.h"

namespace carrel {
namespace {

// `from` broadcasts to `to` without changing it.
bool broadcasts_to(const Shape& from, const Shape& to) {
  const Result<Shape> both = broadcast_shapes(from, to);
  return both.ok() && *both == to;
}

Status infer_gemm(Inference& inference) {
  const Shape& a = inference.shape(0);
  const Shape& b = inference.shape(1);
  if (a.rank() != 2 || b.rank() != 2) return inference.fail("A and B must be matrices");
  const bool trans_a = inference.node().attributes.int_or("transA", 0) != 0;
  const bool trans_b = inference.node().attributes.int_or("transB", 0) != 0;
  if (a[trans_a ? 0 : 1] != b[trans_b ? 1 : 0]) return inference.fail("inner sizes differ");
  const Shape out{a[trans_a ? 1 : 0], b[trans_b ? 0 : 1]};
  if (inference.has(2) && !broadcasts_to(inference.shape(2), out)) {
    return inference.fail("C does not broadcast to the result");
  }
  return inference.set(out);
}

Status infer_matmul(Inference& inference) {
  Shape a = inference.shape(0);
  Shape b = inference.shape(1);
  if (a.rank() == 0 || b.rank() == 0) return inference.fail("an operand is a scalar");
  const bool vector_a = a.rank() == 1;
  const bool vector_b = b.rank() == 1;
  if (vector_a) a = Shape{1, a[0]};
  if (vector_b) b = Shape{b[0], 1};
  if (a[a.rank() - 1] != b[b.rank() - 2]) return inference.fail("inner sizes differ");
  Shape batch_a = a;
  Shape batch_b = b;
  batch_a.resize(a.rank() - 2);
  batch_b.resize(b.rank() - 2);
  const Result<Shape> batch = broadcast_shapes(batch_a, batch_b);
  if (!batch.ok()) return inference.fail("batch sizes do not broadcast");
  Shape out = *batch;
  if (!vector_a && !out.push_back(a[a.rank() - 2])) return inference.fail("rank");
  if (!vector_b && !out.push_back(b[b.rank() - 1])) return inference.fail("rank");
  return inference.set(out);
}

}  // namespace

Status infer_matrix(Inference& inference) {
  CARREL_RETURN_IF_ERROR(inference.require_float());
  return inference.node().op == OpType::kGemm ? infer_gemm(inference) : infer_matmul(inference);
}

}  // namespace carrel
