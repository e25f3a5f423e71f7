#pragma once
// An engine program: what the planner lowers a schedule to and the trusted engine executes. Static: no loop, no
// branch, no address depends on data. A blob of little-endian plain structs, one table after another:
//
//   ProgramHeader | TensorDesc[] | StreamDesc[] | StoreDesc[] | OpDesc[] | Step[] | int64 ints[] | float floats[] | uint16 operands[]
//
// every table at a multiple of 8 bytes, in this order. The trusted block of an engine, granted once, is
//
//   [program blob, rounded up to 64][threads x tile buffer][arena]
//
// and budget = runtime_reserve_bytes(threads) + that block. Programs arrive authenticated, and are validated all
// the same (validate_program): a program that passes cannot make the engine leave its memory.
#include <cstdint>
#include <span>

#include "base/result.h"
#include "base/unary.h"
#include "engine/layout/conv.h"
#include "engine/layout/map.h"
#include "engine/layout/quant.h"
#include "engine/layout/tiles.h"
#include "engine/layout/winograd.h"

namespace carrel {

inline constexpr uint32_t kProgramMagic = 0x4c525043;  // "CPRL"
inline constexpr uint32_t kProgramVersion = 2;
inline constexpr uint16_t kNone16 = 0xffff;
inline constexpr uint32_t kMaxThreads = 64;
// The validator follows each store's blocks on its stack: 16 KiB.
inline constexpr uint32_t kMaxStores = 4096;
// Bounds that keep the kernels' 32-bit row and column arithmetic exact.
inline constexpr uint32_t kMaxMapSide = 1u << 24;
inline constexpr uint32_t kMaxLrnSize = 1u << 16;

enum class Strategy : uint8_t { kWhole = 0, kChannel = 1, kYplane = 2, kAuto = 3 };
const char* strategy_name(Strategy strategy);
Result<Strategy> parse_strategy(const char* name);

struct ProgramHeader {
  uint32_t magic = kProgramMagic;
  uint32_t version = kProgramVersion;
  uint64_t program_bytes = 0;       // of the blob
  uint64_t budget_bytes = 0;        // planned for; the engine's grant must be at least planned_peak_bytes
  uint64_t planned_peak_bytes = 0;  // reserve + blob + tile buffers + arena
  uint64_t arena_bytes = 0;
  uint64_t store_bytes = 0;         // untrusted area the program needs: inputs, outputs, spill
  // Per thread, multiple of 64; >= largest streamed tile expanded + 64 (its tag), and behind them the sums of a
  // kQuantConv whose panels are cut (quant_sums_bytes() of at least one row). All of them together also hold one
  // block of an input or output: threads * tile_buffer_bytes >= least_boundary_buffer_bytes().
  uint32_t tile_buffer_bytes = 0;
  uint8_t threads = 1;
  uint8_t isa = 0;  // IsaLevel
  uint8_t strategy = 0;
  uint8_t input_count = 0;  // the first stores are inputs, then outputs
  uint8_t output_count = 0;
  uint8_t winograd = 0;  // 0: no convolution takes Winograd's algorithm. Programs of a model that agree give the same bits
  uint8_t reserved[6] = {};
  uint32_t tensor_count = 0, stream_count = 0, store_count = 0, op_count = 0;
  uint32_t step_count = 0, int_count = 0, float_count = 0, operand_count = 0;
};
static_assert(sizeof(ProgramHeader) == 96);

enum class TensorKind : uint8_t {
  kMap = 0,    // row ring, engine/layout/map.h
  kPlain = 1,  // dense row-major float32, whole
};

struct TensorDesc {
  TensorKind kind = TensorKind::kMap;
  uint8_t rank = 0;       // kPlain
  ElementType type = ElementType::kF32;  // kMap; a plain tensor holds floats
  uint8_t zero = 0;                      // kU8: the zero point
  uint32_t dims_begin = 0;  // kPlain: `rank` entries of ints[]
  uint32_t channels = 0, height = 0, width = 0, pad_left = 0, pad_right = 0;  // kMap
  uint32_t ring_rows = 0;
  uint64_t arena_offset = 0;  // multiple of 64
  uint64_t bytes = 0;         // in the arena: ring_rows * row_bytes, or elements * 4 (rounded up to 64)
};
static_assert(sizeof(TensorDesc) == 48);

// Weights of one operator in the sealed file.
struct StreamDesc {
  WeightsShape shape;        // gives the TileGrid
  uint32_t reserved = 0;
  uint64_t file_offset = 0;  // tile t at file_offset + tile_stored_offset(t) + 16 t: ciphertext, then its tag
  uint64_t first_tile = 0;   // global index (nonce, AAD) of tile 0
};
static_assert(sizeof(WeightsShape) == 32);
static_assert(sizeof(StreamDesc) == 56);

// Where blocks of a tensor lie in the untrusted area. Block b at offset + b * (block_bytes + 16): ciphertext, tag.
// Stores are listed in ascending order of offset and of position. In one run every block of an output is written,
// once, and a block of a spill store at most once and before it is fetched: a store's writes go up without a gap.
enum class StoreKind : uint8_t {
  kInput = 0,   // sealed by the client
  kOutput = 1,  // for the client
  kSpill = 2,   // verbatim rows of a map under the session's spill key
};
struct StoreDesc {
  StoreKind kind = StoreKind::kSpill;
  uint8_t reserved[3] = {};
  uint32_t block_bytes = 0;  // plaintext; the last block of a plain tensor is padded with zeros
  uint32_t block_count = 0;
  uint32_t first_position = 0;  // nonce position of block 0 (positions are unique over all stores)
  uint64_t offset = 0;
};
static_assert(sizeof(StoreDesc) == 24);
// Inputs and outputs cross dense: a map (1, C, H, W) as H blocks, block y = [C][W] floats of row y;
// a plain tensor as blocks of kPlainBlockBytes of its row-major bytes.
inline constexpr uint32_t kPlainBlockBytes = 16 * 1024;

enum class Opcode : uint8_t {
  kLoad = 0,     // all tiles of `stream` to weights_offset (expanded); WeightsKind::kPlain streams fill a plain tensor `out`
  kConv,         // in0 -> out; in1: residual, or none; stream; in_block/out_block/in_channels/out_channels = the group; activation.
                 // A kDense stream: a fully-connected layer, the window is all of in0, out is 1 x 1, no residual
  kDepthwise,    // in0 -> out; stream resident; activation
  kPool,         // in0 -> out; arg0 = PoolKind, arg1 = count_include_pad, arg2 = counted_bottom << 16 | counted_right
  kGlobalPool,   // in0 -> out (1 x 1); arg0 = PoolKind; steps give INPUT rows
  kUnary,        // in0 -> out; optional stream resident (affine vectors, or with arg0 = 1 prelu slopes); activation
  kBinary,       // in0, in1 -> out; arg0 = BinaryFn, arg1 = swap; activation; in1 same shape or 1 x 1
  kLrn,          // in0 -> out; arg0 = size; farg0..2 = alpha, beta, bias
  kSoftmax,      // in0 -> out; arg0 = logarithm
  kCopy,         // in0 -> out; arg0 = channel_begin, arg1 = extract
  kRowsToPlain,  // map in0 rows -> plain out (1, C, H, W) or any shape with the same count
  kPlainToRows,  // plain in0 -> map out rows
  kPlain,        // plain op over operands[]
  kInput,        // store -> out (map: rows; plain: the rows of a step are blocks)
  kOutput,       // in0 -> store, likewise
  kSpill,        // map in0 rows -> store
  kFetch,        // store -> map out rows
  // On maps of bytes (engine/kernels/rows/quant_rows.h). arg0 = low << 8 | high bounds the result of the first three.
  kQuantConv,       // as kConv
  kQuantDepthwise,  // as kDepthwise
  kQuantAdd,        // in0, in1 -> out, all the same shape; farg0, farg1 = their scales over the output's, at most kMaxQuantAddScale
  kQuantPool,       // as kPool; farg0 = the input's scale over the output's
  kQuantCopy,       // as kCopy; arg2 = 1: requantized, farg0 = the input's scale over the output's
  kQuantize,        // float in0, may be planar, -> out; arg0 = zero point, farg0 = scale
  kDequantize,      // in0 -> float out; arg0 = zero point, farg0 = scale
  kCount,
};
const char* opcode_name(Opcode opcode);
// Output rows read a window of input rows.
constexpr bool has_window(Opcode opcode) {
  return opcode == Opcode::kConv || opcode == Opcode::kDepthwise || opcode == Opcode::kPool ||
         opcode == Opcode::kQuantConv || opcode == Opcode::kQuantDepthwise || opcode == Opcode::kQuantPool;
}

enum class WeightsMode : uint8_t {
  kNone = 0,
  kStreamed = 1,  // fetched and decrypted tile by tile inside each step (kConv only)
  kResident = 2,  // at weights_offset, put there by a kLoad with a smaller op index
};

struct OpDesc {
  Opcode opcode = Opcode::kLoad;
  WeightsMode weights = WeightsMode::kNone;
  uint8_t once = 0;  // kLoad: only in the first inference; the weights stay resident in memory of their own
  ConvAlgorithm algorithm = ConvAlgorithm::kDirect;  // kConv; Winograd's needs scratch and whole tiles of rows
  uint16_t in0 = kNone16, in1 = kNone16, out = kNone16;  // tensors
  uint16_t stream = kNone16, store = kNone16;
  uint16_t plain_op = 0;
  uint32_t in_block = 0, out_block = 0, in_channels = 0, out_channels = 0;
  Window window;
  UnaryFn activation = UnaryFn::kNone;
  uint8_t reserved2[3] = {};
  float activation_a = 0, activation_b = 0;
  uint32_t arg0 = 0, arg1 = 0, arg2 = 0;
  float farg0 = 0, farg1 = 0, farg2 = 0;
  uint64_t weights_offset = 0;  // arena, multiple of 64
  uint64_t scratch_offset = 0, scratch_bytes = 0;  // kConv: arena
  // kPlain: operands[operand_begin ...]: input tensors (kNone16: omitted), then output tensors.
  uint32_t operand_begin = 0, int_begin = 0, float_begin = 0;
  uint16_t input_count = 0, output_count = 0, int_count = 0, float_count = 0;
  uint32_t layer = 0;  // index of the graph node it serves, for profiles and messages
};
static_assert(sizeof(OpDesc) == 136);

// One static action: `op` on rows [row_begin, row_begin + row_count) of its output (kGlobalPool, kSpill, kOutput,
// kRowsToPlain: of its input), at most as many as that ring has. kLoad and kPlain ignore the rows. Winograd's
// convolutions take whole tiles: rows begin and end at multiples of the tile's side, or end with the map.
struct Step {
  uint16_t op = 0;
  uint16_t row_count = 0;
  uint32_t row_begin = 0;
};
static_assert(sizeof(Step) == 8);

// Tables inside a blob that outlives the view.
struct ProgramView {
  const ProgramHeader* header = nullptr;
  std::span<const TensorDesc> tensors;
  std::span<const StreamDesc> streams;
  std::span<const StoreDesc> stores;
  std::span<const OpDesc> ops;
  std::span<const Step> steps;
  std::span<const int64_t> ints;
  std::span<const float> floats;
  std::span<const uint16_t> operands;
};

// Bytes of the trusted side that are not in its block: static data, stacks, crypto contexts, session state, message
// buffers. The same for every program; checked against the real executable by a test.
uint64_t runtime_reserve_bytes(uint32_t threads);

// Elements of a plain tensor of a validated program.
uint64_t plain_count(const ProgramView& program, const TensorDesc& tensor);
// Plaintext bytes of the largest block that an input or output of the program crosses in; 0 without any.
uint64_t least_boundary_buffer_bytes(std::span<const StoreDesc> stores);
// Where block `block` of a store lies in the untrusted area.
inline uint64_t block_offset(const StoreDesc& store, uint32_t block) {
  return store.offset + uint64_t{block} * (uint64_t{store.block_bytes} + 16);
}
inline MapShape map_shape(const TensorDesc& t) {
  return {t.channels, t.height, t.width, t.pad_left, t.pad_right, t.type, t.zero};
}
// Whether a kQuantConv goes through its weights tile by tile with sums in the tile buffer, or whole panels at a time.
bool needs_quant_sums(const OpDesc& op, const TileGrid& grid);
// Whether a streamed kQuantConv whose panels are cut has them in the tile buffer in one piece instead, so that it needs
// no sums: where a buffer has the room and several pixels of `out` share the panel.
bool holds_quant_panels(const OpDesc& op, const TileGrid& grid, const MapShape& out, uint64_t tile_buffer_bytes);
// What it asks for: a panel and room for a tag.
uint64_t quant_panel_buffer_bytes(const TileGrid& grid);

// Structure only: magic, version, counts against the blob's size. `blob` is 8-byte aligned and trusted memory.
Result<ProgramView> parse_program(std::span<const std::byte> blob);
// Everything else: every id, offset, shape and geometry, so that no step can touch a byte outside the arena, the
// tile buffers or the untrusted area, or read a row that no step before it has written. Errors: kInvalidInput naming table and index.
Status validate_program(const ProgramView& program);

}  // namespace carrel
