#include "compiler/plan/plan.h"

#include <algorithm>
#include <cstring>

#include "base/bytes.h"
#include "compiler/plan/layers.h"
#include "compiler/plan/lower.h"
#include "compiler/plan/problem.h"
#include "compiler/plan/report.h"

namespace carrel {
namespace {

constexpr uint64_t kTagRoom = 64;  // a streamed tile's tag beside it, keeping buffers 64-aligned
// Fragmentation and the program's own size are known only after lowering; each round takes back what was too much.
constexpr int kMaxRounds = 48;

ScheduleLimits limits_of(Strategy strategy, uint64_t arena_bytes) {
  ScheduleLimits limits;
  limits.budget_bytes = arena_bytes;
  limits.fuse = strategy == Strategy::kAuto;
  limits.slabs = strategy == Strategy::kAuto || strategy == Strategy::kYplane;
  limits.stream_weights = strategy != Strategy::kWhole;
  limits.resident_weights = strategy != Strategy::kChannel;
  return limits;
}

// Everything about a request that does not depend on the budget.
struct Context {
  const StreamPlan& streams;
  PlanRequest request;
  LayerGraph layers;
  PlanProblem stated;
  uint32_t tile_buffer_bytes = 0;

  uint64_t fixed_bytes(uint64_t program_bytes) const {
    return runtime_reserve_bytes(request.threads) + round_up(program_bytes, 64) +
           uint64_t{request.threads} * tile_buffer_bytes;
  }
};

Result<Context> make_context(const Graph& graph, const StreamPlan& streams, const PlanRequest& request) {
  if (request.threads < 1 || request.threads > kMaxThreads) {
    return Error(ErrorCode::kInvalidInput, "threads must be between 1 and %u", kMaxThreads);
  }
  Context context{streams, request, {}, {}, 0};
  CARREL_ASSIGN(context.layers, build_layers(graph));
  CARREL_ASSIGN(context.stated, state_problem(context.layers, streams));
  uint64_t buffers = 64;  // all threads' together also hold one block on its way in or out
  for (const PlanTensor& t : context.layers.tensors) {
    if (t.input >= 0 || t.output >= 0) buffers = std::max<uint64_t>(buffers, boundary_block_bytes(t));
  }
  context.tile_buffer_bytes = static_cast<uint32_t>(round_up(ceil_div(buffers, request.threads), 64));
  for (const Layer& layer : context.layers.layers) {
    if (layer.opcode != Opcode::kConv || request.strategy == Strategy::kWhole) continue;
    CARREL_ASSIGN(const TileGrid grid, make_tile_grid(streams.streams[static_cast<size_t>(layer.first_stream)].shape));
    context.tile_buffer_bytes = std::max(context.tile_buffer_bytes,
                                         static_cast<uint32_t>(round_up(grid.max_expanded_bytes + kTagRoom, 64)));
  }
  return context;
}

ProgramHeader header_of(const Context& context, const Lowered& lowered, uint64_t peak_bytes) {
  ProgramHeader header{};
  header.magic = kProgramMagic;
  header.version = kProgramVersion;
  header.budget_bytes = context.request.budget_bytes;
  header.planned_peak_bytes = peak_bytes;
  header.arena_bytes = lowered.arena_bytes;
  header.store_bytes = lowered.store_bytes;
  header.tile_buffer_bytes = context.tile_buffer_bytes;
  header.threads = static_cast<uint8_t>(context.request.threads);
  header.isa = static_cast<uint8_t>(context.request.isa);
  header.strategy = static_cast<uint8_t>(context.request.strategy);
  header.input_count = static_cast<uint8_t>(context.layers.inputs.size());
  header.output_count = static_cast<uint8_t>(context.layers.outputs.size());
  return header;
}

Error too_small() { return Error(ErrorCode::kBudgetTooSmall, "the budget is too small"); }

// A schedule, lowered: what it costs once the weights that stay have been fetched.
struct Candidate {
  Schedule schedule;
  Lowered lowered;
  uint64_t program_bytes = 0;
  uint64_t peak_bytes = 0;
  double seconds = 0;
};

// The best schedule in `share` of the arena that the budget allows; the rest keeps weights if `keep_weights`.
// kBudgetTooSmall without detail if there is none.
Result<Candidate> try_share(const Context& context, SimulationCache* cache, const CostModel& cost, double share,
                            bool keep_weights) {
  const uint64_t budget = context.request.budget_bytes;
  uint64_t program_bytes = 0, tighten = 0;
  for (int round = 0; round < kMaxRounds; ++round) {
    const uint64_t fixed = context.fixed_bytes(program_bytes);
    if (fixed + tighten >= budget) return too_small();
    const uint64_t arena = budget - fixed;
    const uint64_t usable = static_cast<uint64_t>(static_cast<double>(arena - tighten) * share);
    Candidate c;
    CARREL_ASSIGN(c.schedule, make_schedule(context.stated.problem, cost, limits_of(context.request.strategy, usable), cache));
    CARREL_ASSIGN(c.lowered, lower_schedule(context.layers, context.streams, context.stated.problem, c.schedule,
                                            keep_weights ? arena : 0));
    c.program_bytes = program_blob_bytes(c.lowered.tables);
    c.peak_bytes = context.fixed_bytes(c.program_bytes) + c.lowered.arena_bytes;
    c.seconds = c.schedule.seconds - cost.fetch_seconds(c.lowered.kept_fetch_bytes);
    if (c.peak_bytes <= budget) return c;
    if (c.program_bytes > program_bytes) program_bytes = c.program_bytes;
    else tighten += std::max(c.peak_bytes - budget, arena / 32);
  }
  return too_small();
}

Result<Plan> plan_once(const Context& context) {
  const MachineCost cost(context.stated.work, MachineFigures{}, context.request.threads);
  SimulationCache cache(context.stated.problem);
  Result<Candidate> best = too_small();
  // Memory spent on slabs is memory that keeps no weights between inferences.
  for (double share : {1.0, 0.6, 0.35, 0.2, 0.1}) {
    Result<Candidate> other = try_share(context, &cache, cost, share, true);
    if (other.ok() && (!best.ok() || other->seconds < best->seconds)) best = std::move(other);
  }
  // The steps that keep weights make the program longer.
  if (!best.ok()) best = try_share(context, &cache, cost, 1.0, false);
  if (!best.ok()) return best.error();
  Plan plan;
  plan.request = context.request;
  plan.program = write_program(header_of(context, best->lowered, best->peak_bytes), best->lowered.tables);
  fill_report(context.layers, context.stated.problem, best->schedule, best->lowered, &plan);
  plan.predicted_ms = best->seconds * 1e3;
  return plan;
}

// Smallest budget that works, to a quarter of a per cent.
Result<uint64_t> search_least(Context context) {
  const MachineCost cost(context.stated.work, MachineFigures{}, context.request.threads);
  SimulationCache cache(context.stated.problem);
  const auto fits = [&](uint64_t budget) {
    context.request.budget_bytes = budget;
    return try_share(context, &cache, cost, 1.0, false).ok();
  };
  uint64_t low = context.fixed_bytes(0), high = 2 * low;
  constexpr uint64_t kMost = uint64_t{1} << 42;
  while (!fits(high)) {
    low = high;
    high *= 2;
    if (high > kMost) return Error(ErrorCode::kUnsupported, "no budget is large enough for this network");
  }
  while (high - low > std::max<uint64_t>(4096, high / 400)) {
    const uint64_t middle = low + (high - low) / 2;
    (fits(middle) ? high : low) = middle;
  }
  // More memory need not mean that the rounds end, so the rounded budget is tried too.
  uint64_t least = round_up(high, 4096);
  while (!fits(least)) least += 4096;
  return least;
}

}  // namespace

Result<Plan> plan_program(const Graph& graph, const StreamPlan& streams, const PlanRequest& request) {
  CARREL_ASSIGN(const Context context, make_context(graph, streams, request));
  Result<Plan> plan = plan_once(context);
  if (plan.ok() || plan.error().code() != ErrorCode::kBudgetTooSmall) return plan;
  CARREL_ASSIGN(const uint64_t least, search_least(context));
  char have[32], want[32];
  return Error(ErrorCode::kBudgetTooSmall, "%s is too small for strategy %s; the least that works is %lu bytes (%s)",
               format_bytes(request.budget_bytes, have), strategy_name(request.strategy), least,
               format_bytes(least, want)).with_detail(least);
}

Result<uint64_t> least_budget(const Graph& graph, const StreamPlan& streams, const PlanRequest& request) {
  CARREL_ASSIGN(const Context context, make_context(graph, streams, request));
  return search_least(context);
}

}  // namespace carrel
