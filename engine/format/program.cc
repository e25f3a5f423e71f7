#include "engine/format/program.h"

#include "base/checked.h"

namespace carrel {
namespace {

constexpr uint64_t kTableAlignment = 8;

// Hands out consecutive tables of a blob.
class TableReader {
 public:
  explicit TableReader(std::span<const std::byte> blob) : blob_(blob) {}

  template <typename T>
  [[nodiscard]] bool take(uint32_t count, std::span<const T>* table) {
    static_assert(alignof(T) <= kTableAlignment);
    uint64_t bytes = 0;
    if (!checked_mul(count, sizeof(T), &bytes) || !in_range(offset_, bytes, blob_.size())) return false;
    *table = {reinterpret_cast<const T*>(blob_.data() + offset_), count};
    offset_ = round_up(offset_ + bytes, kTableAlignment);
    return true;
  }
  // All that follows the last table is what rounds it up.
  bool at_end() const { return round_up(blob_.size(), kTableAlignment) == offset_; }

 private:
  std::span<const std::byte> blob_;
  uint64_t offset_ = 0;
};

Error malformed(const char* what) {
  return Error(ErrorCode::kInvalidInput, "program: %s", what);
}

bool same_text(const char* a, const char* b) {
  while (*a != '\0' && *a == *b) ++a, ++b;
  return *a == *b;
}

constexpr const char* kStrategyNames[] = {"whole", "channel", "yplane", "auto"};
constexpr const char* kOpcodeNames[] = {
    "Load", "Conv", "Depthwise", "Pool", "GlobalPool", "Unary", "Binary", "Lrn", "Softmax",
    "Copy", "RowsToPlain", "PlainToRows", "Plain", "Input", "Output", "Spill", "Fetch",
    "QuantConv", "QuantDepthwise", "QuantAdd", "QuantPool", "QuantCopy", "Quantize", "Dequantize"};
static_assert(sizeof(kOpcodeNames) / sizeof(kOpcodeNames[0]) == static_cast<size_t>(Opcode::kCount));

// What a sandboxed process writes outside its block (docs/ARCHITECTURE.md, "Budget"): the main stack and the
// workers' are bounded by their limits; the C library, relocated data and thread control blocks were measured at
// under 64 KiB; the engine's state and secrets have a region of their own.
constexpr uint64_t kMainStackReserve = 256 * 1024;
constexpr uint64_t kWorkerStackReserve = 64 * 1024;
constexpr uint64_t kStaticReserve = 64 * 1024;
constexpr uint64_t kStateReserve = 20 * 1024;

}  // namespace

const char* strategy_name(Strategy strategy) {
  return strategy <= Strategy::kAuto ? kStrategyNames[static_cast<size_t>(strategy)] : "?";
}

Result<Strategy> parse_strategy(const char* name) {
  for (uint8_t i = 0; i <= static_cast<uint8_t>(Strategy::kAuto); ++i) {
    if (same_text(name, kStrategyNames[i])) return static_cast<Strategy>(i);
  }
  return Error(ErrorCode::kInvalidInput, "unknown strategy '%s': use whole, channel, yplane or auto", name);
}

const char* opcode_name(Opcode opcode) {
  return opcode < Opcode::kCount ? kOpcodeNames[static_cast<size_t>(opcode)] : "?";
}

bool needs_quant_sums(const OpDesc& op, const TileGrid& grid) {
  if (grid.chunks_per_panel == 1) return false;
  return op.weights != WeightsMode::kResident ||
         ceil_div(op.in_channels, kLanes) * op.window.kernel_h > kMaxQuantRuns;
}

uint64_t quant_panel_buffer_bytes(const TileGrid& grid) {
  return tile_expanded_offset(grid, grid.chunks_per_panel) + 64;
}

bool holds_quant_panels(const OpDesc& op, const TileGrid& grid, const MapShape& out, uint64_t tile_buffer_bytes) {
  OpDesc resident = op;
  resident.weights = WeightsMode::kResident;
  return op.weights == WeightsMode::kStreamed && (out.height > 1 || out.width > 1) &&
         !needs_quant_sums(resident, grid) && quant_panel_buffer_bytes(grid) <= tile_buffer_bytes;
}

uint64_t runtime_reserve_bytes(uint32_t threads) {
  const uint64_t workers = threads > 1 ? threads - 1 : 0;
  return kMainStackReserve + kStaticReserve + kStateReserve + workers * kWorkerStackReserve;
}

uint64_t least_boundary_buffer_bytes(std::span<const StoreDesc> stores) {
  uint64_t most = 0;
  for (const StoreDesc& store : stores) {
    if (store.kind != StoreKind::kSpill && store.block_bytes > most) most = store.block_bytes;
  }
  return most;
}

Result<ProgramView> parse_program(std::span<const std::byte> blob) {
  ProgramView view;
  TableReader reader(blob);
  std::span<const ProgramHeader> header;
  if (reinterpret_cast<uintptr_t>(blob.data()) % kTableAlignment != 0) return malformed("misaligned");
  if (!reader.take(1, &header)) return malformed("too short");
  const ProgramHeader& h = header[0];
  view.header = &h;
  if (h.magic != kProgramMagic) return malformed("not a program");
  if (h.version != kProgramVersion) {
    return Error(ErrorCode::kUnsupported, "program: version %u, this engine runs %u", h.version, kProgramVersion);
  }
  const bool complete = reader.take(h.tensor_count, &view.tensors) && reader.take(h.stream_count, &view.streams) &&
                        reader.take(h.store_count, &view.stores) && reader.take(h.op_count, &view.ops) &&
                        reader.take(h.step_count, &view.steps) && reader.take(h.int_count, &view.ints) &&
                        reader.take(h.float_count, &view.floats) && reader.take(h.operand_count, &view.operands);
  if (!complete || h.program_bytes != blob.size() || !reader.at_end()) {
    return malformed("tables do not fit its size");
  }
  return view;
}

}  // namespace carrel
