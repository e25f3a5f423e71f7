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

bool slabs(Strategy strategy) { return strategy == Strategy::kAuto || strategy == Strategy::kYplane; }

ScheduleLimits limits_of(Strategy strategy, uint64_t arena_bytes) {
  ScheduleLimits limits;
  limits.budget_bytes = arena_bytes;
  limits.fuse = strategy == Strategy::kAuto;
  limits.slabs = slabs(strategy);
  limits.stream_weights = strategy != Strategy::kWhole;
  limits.resident_weights = strategy != Strategy::kChannel;
  return limits;
}

// Room for the sums of a quantized convolution whose panels are cut: enough rows that fetching tiles again for the next
// ones is cheap.
constexpr uint64_t kQuantSumsBytes = 64 * 1024;
// Panels of quantized convolutions up to this size are held whole instead: 512 channels under 3 x 3 weights.
constexpr uint64_t kQuantPanelBytes = 160 * 1024;

// What a thread's tile buffer must hold for `layer`.
Result<uint64_t> tile_buffer_for(const LayerGraph& graph, const Layer& layer, Strategy strategy) {
  if (!in_wide_panels(layer.weights.kind)) return uint64_t{0};
  CARREL_ASSIGN(const TileGrid grid, make_tile_grid(layer.weights));
  const bool streamed = strategy != Strategy::kWhole;
  const uint64_t tile = streamed ? grid.max_expanded_bytes + kTagRoom : 0;
  OpDesc op{};
  op.weights = streamed ? WeightsMode::kStreamed : WeightsMode::kResident;
  op.in_channels = layer.weights.in_channels;
  op.window = layer.window;
  if (!quantized(layer.weights.kind) || !needs_quant_sums(op, grid)) return round_up(tile, 64);
  const MapShape& out = graph.tensors[static_cast<size_t>(layer.outputs[0])].map;
  const uint64_t least = quant_sums_bytes(1, out.width), most = quant_sums_bytes(out.height, out.width);
  const uint64_t with_sums = tile + std::clamp(kQuantSumsBytes, least, most);
  const bool holds = holds_quant_panels(op, grid, out, kQuantPanelBytes);
  return round_up(holds ? std::max(with_sums, quant_panel_buffer_bytes(grid)) : with_sums, 64);
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

// What a program can count; the header and the operators do it in 8 and 16 bits.
Status check_counts(const LayerGraph& layers, const StreamPlan& streams) {
  constexpr size_t kMostValues = 0xff;
  const auto too_many = [](size_t count, const char* what, size_t most) {
    return Error(ErrorCode::kUnsupported, "the network has %zu %s; a program has at most %zu", count, what, most);
  };
  if (layers.inputs.size() > kMostValues) return too_many(layers.inputs.size(), "inputs", kMostValues);
  if (layers.outputs.size() > kMostValues) return too_many(layers.outputs.size(), "outputs", kMostValues);
  if (streams.streams.size() > kNone16) return too_many(streams.streams.size(), "streams of weights", kNone16);
  return ok_status();
}

// winograd: as for build_layers().
Result<Context> make_context(const Graph& graph, const StreamPlan& streams, const PlanRequest& request,
                             bool winograd) {
  if (request.threads < 1 || request.threads > kMaxThreads) {
    return Error(ErrorCode::kInvalidInput, "threads must be between 1 and %u", kMaxThreads);
  }
  Context context{streams, request, {}, {}, 0};
  CARREL_ASSIGN(context.layers, build_layers(graph, winograd));
  CARREL_RETURN_IF_ERROR(check_counts(context.layers, streams));
  CARREL_ASSIGN(context.stated, state_problem(context.layers, streams, request.threads));
  uint64_t buffers = 64;  // all threads' together also hold one block on its way in or out
  for (const PlanTensor& t : context.layers.tensors) {
    if (t.input >= 0 || t.output >= 0) buffers = std::max<uint64_t>(buffers, boundary_block_bytes(t));
  }
  context.tile_buffer_bytes = static_cast<uint32_t>(round_up(ceil_div(buffers, request.threads), 64));
  for (const Layer& layer : context.layers.layers) {
    CARREL_ASSIGN(const uint64_t bytes, tile_buffer_for(context.layers, layer, request.strategy));
    context.tile_buffer_bytes = std::max(context.tile_buffer_bytes, static_cast<uint32_t>(bytes));
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
  for (const Layer& layer : context.layers.layers) {
    if (layer.algorithm != ConvAlgorithm::kDirect) header.winograd = 1;
  }
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

// What later inferences do not spend on weights that stay.
double kept_seconds(const SchedProblem& problem, const std::vector<KeptWeights>& kept, const CostModel& cost) {
  double seconds = 0;
  for (const KeptWeights& k : kept) {
    const uint64_t bytes = problem.nodes[static_cast<size_t>(k.node)].weight_stored_bytes;
    seconds += k.streamed ? cost.stream_seconds(k.node, bytes, k.actions) : cost.fetch_seconds(bytes);
  }
  return seconds;
}

// What a schedule's streamed weights cost.
double streaming_seconds(const SchedProblem& problem, const Schedule& schedule, const CostModel& cost) {
  double seconds = 0;
  for (const Segment& s : schedule.segments) {
    for (size_t i = 0; i < s.weights.size(); ++i) {
      if (s.weights[i] != WeightsChoice::kStreamed) continue;
      const NodeIndex n = s.first + static_cast<NodeIndex>(i);
      const uint64_t bytes = problem.nodes[static_cast<size_t>(n)].weight_stored_bytes;
      seconds += cost.stream_seconds(n, bytes, s.simulation.actions_of_node[i]);
    }
  }
  return seconds;
}

// How memory is divided between slabs and weights that stay from one inference to the next.
struct Division {
  double share = 1;           // of the arena, for slabs
  bool keep_weights = true;   // in what is left
  bool weights_stay = false;  // the schedule counts on all of them being kept
};

// The best schedule in the arena that `budget` allows. kBudgetTooSmall without detail if there is none.
Result<Candidate> try_share(const Context& context, SimulationCache* cache, const CostModel& cost, uint64_t budget,
                            const Division& division) {
  uint64_t program_bytes = 0, tighten = 0;
  for (int round = 0; round < kMaxRounds; ++round) {
    const uint64_t fixed = context.fixed_bytes(program_bytes);
    if (fixed + tighten >= budget) return too_small();
    const uint64_t arena = budget - fixed;
    const uint64_t usable = static_cast<uint64_t>(static_cast<double>(arena - tighten) * division.share);
    ScheduleLimits limits = limits_of(context.request.strategy, usable);
    limits.weights_stay = division.weights_stay && limits.stream_weights;
    Candidate c;
    CARREL_ASSIGN(c.schedule, make_schedule(context.stated.problem, cost, limits, cache));
    CARREL_ASSIGN(c.lowered, lower_schedule(context.layers, context.streams, context.stated.problem, c.schedule,
                                            division.keep_weights ? arena : 0));
    c.program_bytes = program_blob_bytes(c.lowered.tables);
    c.peak_bytes = context.fixed_bytes(c.program_bytes) + c.lowered.arena_bytes;
    if (limits.weights_stay) c.schedule.seconds += streaming_seconds(context.stated.problem, c.schedule, cost);
    c.seconds = c.schedule.seconds - kept_seconds(context.stated.problem, c.lowered.kept_weights, cost);
    if (c.peak_bytes <= budget) return c;
    if (c.program_bytes > program_bytes) program_bytes = c.program_bytes;
    else tighten += std::max(c.peak_bytes - budget, arena / 32);
  }
  return too_small();
}

Status check_program(std::span<const std::byte> program) {
  const Result<ProgramView> view = parse_program(program);
  const Status valid = view.ok() ? validate_program(*view) : view.error();
  if (valid.ok()) return ok_status();
  return Error(ErrorCode::kInvalidInput, "a bug of carrel, please report it: the planner made a wrong program (%s)",
               valid.error().message());
}

bool many_weights_fit(const Context& context, uint64_t budget) {
  uint64_t bytes = 0;
  for (const SchedNode& node : context.stated.problem.nodes) bytes += node.weight_resident_bytes;
  return bytes / 4 <= budget;
}

// A program for the request that takes at most `budget` bytes.
Result<Plan> plan_within(const Context& context, uint64_t budget) {
  const MachineCost cost(context.stated.work, context.request.machine, context.request.threads);
  SimulationCache cache(context.stated.problem);
  Result<Candidate> best = too_small();
  // Memory spent on slabs is memory that keeps no weights between inferences.
  for (double share : {1.0, 0.6, 0.35, 0.2, 0.1}) {
    for (const bool weights_stay : {false, true}) {
      if (weights_stay && !many_weights_fit(context, budget)) continue;
      Result<Candidate> other = try_share(context, &cache, cost, budget, {share, true, weights_stay});
      if (other.ok() && (!best.ok() || other->seconds < best->seconds)) best = std::move(other);
    }
  }
  // The steps that keep weights make the program longer.
  if (!best.ok()) best = try_share(context, &cache, cost, budget, {1.0, false});
  if (!best.ok()) return best.error();
  Plan plan;
  plan.request = context.request;
  plan.program = write_program(header_of(context, best->lowered, best->peak_bytes), best->lowered.tables);
  CARREL_RETURN_IF_ERROR(check_program(plan.program));
  fill_report(context.layers, context.stated.problem, best->schedule, context.streams, best->lowered, &plan);
  plan.predicted_ms = best->seconds * 1e3;
  return plan;
}

// Smallest budget that works, to a quarter of a per cent.
Result<uint64_t> search_least(const Context& context) {
  const MachineCost cost(context.stated.work, context.request.machine, context.request.threads);
  SimulationCache cache(context.stated.problem);
  const auto fits = [&](uint64_t budget) { return try_share(context, &cache, cost, budget, {1.0, false}).ok(); };
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
  if (slabs(request.strategy)) {
    CARREL_ASSIGN(const Context fastest, make_context(graph, streams, request, true));
    Result<Plan> plan = plan_within(fastest, request.budget_bytes);
    if (plan.ok() || plan.error().code() != ErrorCode::kBudgetTooSmall) return plan;
  }
  // Direct convolutions need no scratch.
  CARREL_ASSIGN(const Context context, make_context(graph, streams, request, false));
  Result<Plan> plan = plan_within(context, request.budget_bytes);
  if (plan.ok() || plan.error().code() != ErrorCode::kBudgetTooSmall) return plan;
  CARREL_ASSIGN(const uint64_t least, search_least(context));
  // More memory need not mean that the rounds end: what fits into less fits into this too.
  if (least <= request.budget_bytes) return plan_within(context, least);
  char have[32], want[32];
  return Error(ErrorCode::kBudgetTooSmall, "%s is too small for strategy %s; the least that works is %lu bytes (%s)",
               format_bytes(request.budget_bytes, have), strategy_name(request.strategy), least,
               format_bytes(least, want)).with_detail(least);
}

Result<uint64_t> least_budget(const Graph& graph, const StreamPlan& streams, const PlanRequest& request) {
  CARREL_ASSIGN(const Context context, make_context(graph, streams, request, false));
  return search_least(context);
}

}  // namespace carrel
