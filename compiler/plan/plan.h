#pragma once
// From a graph to an engine program: streams of weights, schedule, arena, steps.
#include <string>
#include <vector>

#include "base/cpu.h"
#include "base/result.h"
#include "compiler/cost/cost.h"
#include "compiler/graph/graph.h"
#include "engine/format/program.h"

namespace carrel {

struct PlanRequest {
  uint64_t budget_bytes = 0;
  Strategy strategy = Strategy::kAuto;
  uint32_t threads = 1;
  IsaLevel isa = IsaLevel::kAvx512;
  MachineFigures machine = {};  // what the time is predicted and minimized with
};

// How weights are stored: those of fully-connected layers, and all others (kF32 or kF16).
struct WeightTypes {
  WeightTypes(StoredType all = StoredType::kF32) : maps(all), dense(all) {}  // NOLINT: one for both
  WeightTypes(StoredType maps_type, StoredType dense_type) : maps(maps_type), dense(dense_type) {}
  bool operator==(const WeightTypes&) const = default;
  StoredType maps, dense;
};

const char* stored_name(StoredType stored);  // "fp32", "int4"

// The weight streams of a graph, in file order. Depends on the graph and the stored types only, never on a
// request, so that one sealing serves every program.
struct StreamPlan {
  std::vector<StreamDesc> streams;
  // Where stream i's numbers come from.
  struct Source {
    NodeId node = -1;
    int32_t part = 0;          // of a grouped convolution in several streams
    ValueId plain_value = -1;  // kPlain streams: the constant itself; else weights are derived from `node`
  };
  std::vector<Source> sources;
  uint64_t tile_count = 0;
  uint64_t tiles_bytes = 0;  // ciphertext and tags and alignment, from kTilesOffset
};
Result<StreamPlan> plan_streams(const Graph& graph, WeightTypes types);
// The numbers of stream `index` in the form pack_weights() takes, or, of a quantized kind, pack_quant_weights(). Needs a
// graph with weights.
struct StreamWeights {
  std::vector<float> weights, bias;
  std::vector<int8_t> quant_weights = {};
  std::vector<int32_t> quant_bias = {};
  std::vector<float> multipliers = {};
};
Result<StreamWeights> stream_weights(const Graph& graph, const StreamPlan& plan, size_t index);

// What a person or `plan --html` wants to know about a program, beside the program itself.
struct SegmentReport {
  uint32_t first_layer = 0, last_layer = 0;
  uint32_t slab_rows = 0;      // of the segment's last output, per round
  uint32_t rounds = 0;
  uint64_t memory_bytes = 0;   // arena bytes live while it runs
  uint64_t weight_bytes_fetched = 0;
  uint64_t spill_bytes = 0;    // written and read
  double predicted_ms = 0;
};
struct LayerReport {
  std::string name, op, shape;  // "C x H x W"
  uint32_t segment = 0;
  std::string weights;  // "resident", "streamed x 7", "-"
  std::string stored;   // "fp32", "int4", "-"
  std::string output;   // "ring 6 rows", "whole", "spilled"
  uint64_t weight_bytes = 0, fetched_bytes = 0, ring_bytes = 0;
};
// What OpDesc::layer counts: the layers of a graph, in the order of every program.
struct LayerName {
  std::string name, op, shape;  // as in LayerReport
};
Result<std::vector<LayerName>> layer_names(const Graph& graph);
struct LifetimeReport {  // trusted memory over time, by tensor
  std::string name;
  uint64_t offset = 0, bytes = 0;
  uint32_t first_step = 0, last_step = 0;
};
struct Plan {
  std::vector<std::byte> program;  // the blob
  PlanRequest request;
  std::vector<SegmentReport> segments;
  std::vector<LayerReport> layers;
  std::vector<LifetimeReport> lifetimes;
  double predicted_ms = 0;
};
// Every program that comes out is valid. Errors: kBudgetTooSmall with detail() = the least budget this strategy works
// in, kUnsupported naming the node or the count, kInvalidInput for the number of threads (else a bug of the planner).
Result<Plan> plan_program(const Graph& graph, const StreamPlan& streams, const PlanRequest& request);
Result<uint64_t> least_budget(const Graph& graph, const StreamPlan& streams, const PlanRequest& request);

}  // namespace carrel
