#include <cmath>

#include "compiler/graph/infer_internal.h"

namespace carrel {
namespace {

bool in_list(int64_t value, int64_t count) { return value >= 0 && value < count; }

Status infer_resize(Inference& inference) {
  const Shape& x = inference.shape(0);
  const Attributes& attributes = inference.node().attributes;
  const std::vector<int64_t>& sizes = attributes.int_list("output_shape");
  const auto scales = attributes.floats.find("scales");
  if (sizes.empty() || sizes.size() != static_cast<size_t>(x.rank()) ||
      scales == attributes.floats.end() || scales->second.size() != sizes.size()) {
    return inference.fail("output_shape and scales must have the input's rank");
  }
  if (!in_list(attributes.int_or("mode", 0), 2) ||
      !in_list(attributes.int_or("coordinate", 0), 4) ||
      !in_list(attributes.int_or("nearest", 0), 4)) {
    return inference.fail("unknown mode");
  }
  Shape out;
  for (int i = 0; i < x.rank(); ++i) {
    const float scale = scales->second[static_cast<size_t>(i)];
    if (!std::isfinite(scale) || scale <= 0) return inference.fail("a scale is not positive");
    if (x[i] < 1 || sizes[static_cast<size_t>(i)] < 1) return inference.fail("an empty dimension");
    CARREL_CHECK(out.push_back(sizes[static_cast<size_t>(i)]));
  }
  return inference.set(out);
}

Status infer_block(Inference& inference) {
  const Shape& x = inference.shape(0);
  const int64_t block = inference.node().attributes.int_or("blocksize", 0);
  const int64_t mode = inference.node().attributes.int_or("mode", 0);
  if (x.rank() != 4) return inference.fail("4 dimensions are needed");
  if (block < 1 || block > 32768) return inference.fail("blocksize is out of range");
  if (!in_list(mode, 2)) return inference.fail("unknown mode");
  const bool deep = inference.node().op == OpType::kSpaceToDepth;
  const int64_t area = block * block;
  if (deep ? x[2] % block != 0 || x[3] % block != 0 : x[1] % area != 0) {
    return inference.fail("sizes are not multiples of blocksize");
  }
  if (deep) return inference.set(Shape{x[0], x[1] * area, x[2] / block, x[3] / block});
  return inference.set(Shape{x[0], x[1] / area, x[2] * block, x[3] * block});
}

}  // namespace

Status infer_resample(Inference& inference) {
  CARREL_RETURN_IF_ERROR(inference.require_float());
  return inference.node().op == OpType::kResize ? infer_resize(inference) : infer_block(inference);
}

}  // namespace carrel
