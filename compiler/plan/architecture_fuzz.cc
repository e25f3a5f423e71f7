// Architectures from hostile sealed files: what parse_architecture accepts has one stored form, and
// can be planned or is refused; every program that comes out is valid.
#include <algorithm>

#include "compiler/graph/batch.h"
#include "compiler/graph/serialize.h"
#include "compiler/plan/plan.h"
#include "engine/format/program.h"

namespace {

using carrel::Graph;

// Larger graphs are planned as well as small ones, but not thousands of times a second.
bool quickly_planned(const Graph& graph) {
  constexpr size_t kMostNodes = 24;
  constexpr uint64_t kMostElements = 1 << 14;
  if (graph.nodes.size() > kMostNodes) return false;
  return std::ranges::all_of(graph.values, [](const carrel::Value& value) {
    const auto count = value.shape.element_count();
    return count.ok() && *count <= kMostElements;
  });
}

void plan(const Graph& graph, const carrel::StreamPlan& streams, uint64_t budget_bytes) {
  for (carrel::Strategy strategy : {carrel::Strategy::kAuto, carrel::Strategy::kWhole}) {
    const carrel::PlanRequest request{budget_bytes, strategy, 1, carrel::IsaLevel::kAvx2};
    const auto planned = carrel::plan_program(graph, streams, request);
    if (!planned.ok()) {
      CARREL_CHECK(planned.error().code() != carrel::ErrorCode::kInvalidInput);  // a program that is not valid
      continue;
    }
    const auto program = carrel::parse_program(planned->program);
    CARREL_CHECK(program.ok());
    CARREL_CHECK(program->header->planned_peak_bytes <= budget_bytes);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  const carrel::Result<Graph> graph = carrel::parse_architecture(bytes);
  if (!graph.ok()) return 0;
  const std::vector<std::byte> again = carrel::serialize_architecture(*graph);
  CARREL_CHECK(std::ranges::equal(again, bytes));
  (void)carrel::batch_separable(*graph);
  const auto streams = carrel::plan_streams(*graph, carrel::StoredType::kF32);
  if (!streams.ok() || !quickly_planned(*graph)) return 0;
  for (uint64_t kib : {600, 4096}) plan(*graph, *streams, kib << 10);
  return 0;
}
