// Operators: one function per opcode, each proving that the kernel call it leads to stays inside its tensors.
#include "base/checked.h"
#include "engine/format/validate.h"
#include "engine/layout/plain_op.h"
#include "engine/layout/row_ops.h"

namespace carrel {
namespace {

// Kernels count rows and columns in int32_t.
constexpr uint64_t kMaxReach = uint64_t{1} << 30;

#define OP_REQUIRE(condition, what)        \
  do {                                     \
    if (!(condition)) return bad(what);    \
  } while (0)

class OpValidator {
 public:
  OpValidator(const ProgramView& program, uint32_t index)
      : program_(program), op_(program.ops[index]), index_(index) {}

  Status check() const {
    if (op_.opcode >= Opcode::kCount) return bad("unknown opcode");
    if (op_.activation >= UnaryFn::kCount) return bad("unknown activation");
    switch (op_.opcode) {
      case Opcode::kLoad: return check_load();
      case Opcode::kConv: return check_conv(any_map(op_.in0), map(op_.out), WeightsKind::kConv);
      case Opcode::kDepthwise: return check_depthwise(map(op_.in0), map(op_.out), WeightsKind::kDepthwise);
      case Opcode::kPool: return check_pool(map(op_.in0), map(op_.out));
      case Opcode::kGlobalPool: return check_global_pool();
      case Opcode::kUnary: return check_unary();
      case Opcode::kBinary: return check_binary();
      case Opcode::kLrn: return check_lrn();
      case Opcode::kSoftmax: return check_softmax();
      case Opcode::kCopy: return check_copy(map(op_.in0), map(op_.out));
      case Opcode::kRowsToPlain: return check_conversion(op_.in0, op_.out);
      case Opcode::kPlainToRows: return check_conversion(op_.out, op_.in0);
      case Opcode::kPlain: return check_plain();
      case Opcode::kInput: return check_transfer(op_.out, StoreKind::kInput);
      case Opcode::kOutput: return check_transfer(op_.in0, StoreKind::kOutput);
      case Opcode::kSpill: return check_transfer(op_.in0, StoreKind::kSpill);
      case Opcode::kFetch: return check_transfer(op_.out, StoreKind::kSpill);
      case Opcode::kQuantConv: return check_quant_conv();
      case Opcode::kQuantDepthwise:
        CARREL_RETURN_IF_ERROR(check_bounds());
        return check_depthwise(bytes(op_.in0), bytes(op_.out), WeightsKind::kQuantDepthwise);
      case Opcode::kQuantAdd: return check_quant_add();
      case Opcode::kQuantPool: return check_quant_pool();
      case Opcode::kQuantCopy:
        OP_REQUIRE(op_.arg2 <= 1, "requantized is not a flag");
        return check_copy(bytes(op_.in0), bytes(op_.out));
      case Opcode::kQuantize: return check_type_change(any_map(op_.in0), bytes(op_.out));
      case Opcode::kDequantize: return check_type_change(bytes(op_.in0), map(op_.out));
      case Opcode::kCount: break;
    }
    return bad("unknown opcode");
  }

 private:
  Error bad(const char* what) const { return refuse(opcode_name(op_.opcode), index_, what); }

  // nullptr: no such tensor of that kind.
  const TensorDesc* tensor(uint16_t id, TensorKind kind) const {
    if (id >= program_.tensors.size() || program_.tensors[id].kind != kind) return nullptr;
    return &program_.tensors[id];
  }
  const TensorDesc* map_of(uint16_t id, ElementType type) const {
    const TensorDesc* t = tensor(id, TensorKind::kMap);
    return t != nullptr && t->type == type ? t : nullptr;
  }
  const TensorDesc* map(uint16_t id) const { return map_of(id, ElementType::kF32); }
  const TensorDesc* bytes(uint16_t id) const { return map_of(id, ElementType::kU8); }
  // Of floats, blocked or planar.
  const TensorDesc* any_map(uint16_t id) const { return map(id) ? map(id) : map_of(id, ElementType::kPlanarF32); }
  const TensorDesc* plain(uint16_t id) const { return tensor(id, TensorKind::kPlain); }
  const StreamDesc* stream() const {
    return op_.stream < program_.streams.size() ? &program_.streams[op_.stream] : nullptr;
  }

  static bool overlap(const TensorDesc& a, const TensorDesc& b) {
    return a.arena_offset < b.arena_offset + b.bytes && b.arena_offset < a.arena_offset + a.bytes;
  }
  // Elementwise in place: both see every element at the same address.
  static bool same_ring(const TensorDesc& a, const TensorDesc& b) {
    return a.arena_offset == b.arena_offset && map_shape(a) == map_shape(b) && a.ring_rows == b.ring_rows;
  }
  static bool apart(const TensorDesc& a, const TensorDesc& b) { return !overlap(a, b); }
  static bool apart_or_same(const TensorDesc& a, const TensorDesc& b) { return !overlap(a, b) || same_ring(a, b); }
  static bool same_sides(const TensorDesc& a, const TensorDesc& b) {
    return a.channels == b.channels && a.height == b.height && a.width == b.width;
  }

  // Rows and columns that the window reads, in exact arithmetic.
  bool window_bounded(const TensorDesc& out) const {
    const Window& w = op_.window;
    if (w.kernel_h == 0 || w.kernel_w == 0 || w.stride_h == 0 || w.stride_w == 0 || w.dilation_h == 0 ||
        w.dilation_w == 0) {
      return false;
    }
    const uint64_t rows = uint64_t{out.height - 1} * w.stride_h + uint64_t{w.kernel_h} * w.dilation_h;
    const uint64_t columns = uint64_t{out.width - 1} * w.stride_w + uint64_t{w.kernel_w} * w.dilation_w;
    return rows <= kMaxReach && columns <= kMaxReach;
  }
  // Columns stay inside the row and its pads. Requires window_bounded().
  bool columns_inside(const TensorDesc& in, const TensorDesc& out) const {
    const Window& w = op_.window;
    const int64_t last = int64_t{out.width - 1} * w.stride_w - w.pad_left + w.span_w() - 1;
    return in.pad_left >= w.pad_left && last < int64_t{in.width} + in.pad_right;
  }

  // A fully-connected layer: all of `in` to all of the 1 x 1 map `out`.
  bool whole_map(const TensorDesc& in, const TensorDesc& out) const {
    const Window& w = op_.window;
    return !map_shape(in).planar() && out.height == 1 && out.width == 1 && w.kernel_h == in.height && w.kernel_w == in.width && w.pad_top == 0 &&
           w.pad_left == 0 && w.dilation_h == 1 && w.dilation_w == 1 && op_.in_block == 0 && op_.out_block == 0 &&
           op_.in_channels == in.channels && op_.out_channels == out.channels;
  }

  // The op's stream lies at weights_offset, and a kLoad before it puts it there.
  Status check_resident() const {
    const Result<TileGrid> grid = make_tile_grid(stream()->shape);
    OP_REQUIRE(grid.ok() && op_.weights_offset % 64 == 0, "weights are misaligned");
    OP_REQUIRE(in_range(op_.weights_offset, grid->expanded_bytes, program_.header->arena_bytes),
               "weights are outside the arena");
    if (op_.opcode == Opcode::kLoad) return ok_status();
    // The planner puts loads close before their users.
    for (uint32_t i = index_; i-- > 0;) {
      const OpDesc& load = program_.ops[i];
      if (load.opcode == Opcode::kLoad && load.stream == op_.stream && load.weights_offset == op_.weights_offset) {
        return ok_status();
      }
    }
    return bad("resident weights are never loaded");
  }

  Status check_load() const {
    OP_REQUIRE(stream() != nullptr, "no such stream");
    OP_REQUIRE(op_.once <= 1, "once is not a flag");
    if (stream()->shape.kind != WeightsKind::kPlain) return check_resident();
    const TensorDesc* out = plain(op_.out);
    OP_REQUIRE(out != nullptr, "a plain stream needs a plain tensor");
    OP_REQUIRE(plain_count(program_, *out) == stream()->shape.element_count, "stream and tensor differ in size");
    return ok_status();
  }

  Status check_conv(const TensorDesc* in, const TensorDesc* out, WeightsKind kind) const {
    OP_REQUIRE(in != nullptr && out != nullptr, "needs two maps");
    OP_REQUIRE(apart(*in, *out), "input and output overlap");
    OP_REQUIRE(window_bounded(*out) && columns_inside(*in, *out), "the window leaves the input's pads");
    const uint64_t in_end = uint64_t{op_.in_block} + ceil_div(op_.in_channels, kLanes);
    const uint64_t out_end = uint64_t{op_.out_block} + ceil_div(op_.out_channels, kLanes);
    OP_REQUIRE(op_.in_channels > 0 && op_.out_channels > 0 && in_end <= map_shape(*in).blocks() &&
                   out_end <= map_shape(*out).blocks(),
               "its group leaves the maps");
    OP_REQUIRE(!map_shape(*in).planar() || (op_.in_channels <= in->channels && op_.algorithm == ConvAlgorithm::kDirect),
               "cannot read this planar map");
    OP_REQUIRE(stream() != nullptr, "no such stream");
    const WeightsShape& w = stream()->shape;
    const bool dense = kind == WeightsKind::kConv && w.kind == WeightsKind::kDense;
    OP_REQUIRE(!dense || (op_.algorithm == ConvAlgorithm::kDirect && op_.in1 == kNone16),
               "dense weights take one algorithm and no residual");
    OP_REQUIRE(!dense || whole_map(*in, *out), "dense weights that do not take a whole map to 1 x 1");
    OP_REQUIRE((dense || w.kind == kind) && w.in_channels == op_.in_channels &&
                   w.out_channels == op_.out_channels && w.kernel_h == op_.window.kernel_h &&
                   w.kernel_w == op_.window.kernel_w,
               "stream and operator differ in shape");
    if (op_.in1 != kNone16) CARREL_RETURN_IF_ERROR(check_residual(*out));
    if (op_.algorithm != ConvAlgorithm::kDirect) CARREL_RETURN_IF_ERROR(check_winograd(*in, *out));
    if (op_.weights == WeightsMode::kResident) return check_resident();
    OP_REQUIRE(op_.weights == WeightsMode::kStreamed, "needs weights");
    const Result<TileGrid> grid = make_tile_grid(w);
    OP_REQUIRE(grid.ok() && uint64_t{grid->max_expanded_bytes} + 64 <= program_.header->tile_buffer_bytes,
               "a tile is larger than the tile buffer");
    return ok_status();
  }

  // Kernels address its blocks like the output's.
  Status check_residual(const TensorDesc& out) const {
    const TensorDesc* residual = map(op_.in1);
    OP_REQUIRE(residual != nullptr && same_sides(*residual, out), "residual and output differ in shape");
    OP_REQUIRE(apart(*residual, out), "residual and output overlap");
    return ok_status();
  }
  // How much scratch it needs depends on the rows of a step: validate_steps().
  Status check_winograd(const TensorDesc& in, const TensorDesc& out) const {
    OP_REQUIRE(op_.algorithm == ConvAlgorithm::kWinograd2 || op_.algorithm == ConvAlgorithm::kWinograd4,
               "unknown algorithm");
    OP_REQUIRE(program_.header->winograd == 1, "Winograd's algorithm in a program without");
    OP_REQUIRE(winograd_window(op_.window), "Winograd's convolution is 3 x 3 with stride 1");
    const uint32_t side = winograd_side(op_.algorithm);
    OP_REQUIRE(in.pad_right >= winograd_right_pad(side, op_.window, in.width, out.width),
               "a tile leaves the input's pads");
    // Rows that the last tile reads for nobody lie below the input.
    OP_REQUIRE(uint64_t{out.height} + 2 >= uint64_t{in.height} + op_.window.pad_top, "input rows are left over");
    OP_REQUIRE(op_.scratch_offset % 64 == 0 &&
                   in_range(op_.scratch_offset, op_.scratch_bytes, program_.header->arena_bytes),
               "scratch is outside the arena");
    return ok_status();
  }

  Status check_depthwise(const TensorDesc* in, const TensorDesc* out, WeightsKind kind) const {
    OP_REQUIRE(in != nullptr && out != nullptr, "needs two maps");
    OP_REQUIRE(apart(*in, *out), "input and output overlap");
    OP_REQUIRE(in->channels == out->channels, "channels differ");
    OP_REQUIRE(window_bounded(*out) && columns_inside(*in, *out), "the window leaves the input's pads");
    OP_REQUIRE(stream() != nullptr && op_.weights == WeightsMode::kResident, "needs resident weights");
    const WeightsShape& w = stream()->shape;
    OP_REQUIRE(w.kind == kind && w.out_channels == out->channels &&
                   w.kernel_h == op_.window.kernel_h && w.kernel_w == op_.window.kernel_w,
               "stream and operator differ in shape");
    return check_resident();
  }

  Status check_pool(const TensorDesc* in, const TensorDesc* out) const {
    OP_REQUIRE(in != nullptr && out != nullptr, "needs two maps");
    OP_REQUIRE(apart(*in, *out), "input and output overlap");
    OP_REQUIRE(in->channels == out->channels, "channels differ");
    OP_REQUIRE(window_bounded(*out), "the window is too large");
    OP_REQUIRE(op_.arg0 <= 1 && op_.arg1 <= 1, "unknown kind of pool");
    OP_REQUIRE(op_.stream == kNone16 && op_.weights == WeightsMode::kNone, "takes no weights");
    return ok_status();
  }

  Status check_global_pool() const {
    const TensorDesc *in = map(op_.in0), *out = map(op_.out);
    OP_REQUIRE(in != nullptr && out != nullptr, "needs two maps");
    OP_REQUIRE(apart(*in, *out), "input and output overlap");
    OP_REQUIRE(in->channels == out->channels && out->height == 1 && out->width == 1, "output is not 1 x 1");
    OP_REQUIRE(op_.arg0 <= 1, "unknown kind of pool");
    return ok_status();
  }

  Status check_unary() const {
    const TensorDesc *in = map(op_.in0), *out = map(op_.out);
    OP_REQUIRE(in != nullptr && out != nullptr, "needs two maps");
    OP_REQUIRE(same_sides(*in, *out), "maps differ in shape");
    OP_REQUIRE(apart_or_same(*in, *out), "input and output overlap");
    OP_REQUIRE(op_.arg0 <= 1, "unknown kind of vectors");
    if (op_.weights == WeightsMode::kNone) {
      OP_REQUIRE(op_.stream == kNone16 && op_.arg0 == 0, "vectors without weights");
      return ok_status();
    }
    OP_REQUIRE(stream() != nullptr && op_.weights == WeightsMode::kResident, "needs resident weights");
    const WeightsShape& w = stream()->shape;
    const uint32_t rows = op_.arg0 == 1 ? 1 : 2;
    OP_REQUIRE(w.kind == WeightsKind::kVectors && w.out_channels == in->channels && w.kernel_h == rows &&
                   w.kernel_w == 1,
               "stream and operator differ in shape");
    return check_resident();
  }

  Status check_binary() const {
    const TensorDesc *a = map(op_.in0), *b = map(op_.in1), *out = map(op_.out);
    OP_REQUIRE(a != nullptr && b != nullptr && out != nullptr, "needs three maps");
    OP_REQUIRE(same_sides(*a, *out), "maps differ in shape");
    const bool broadcast = b->height != a->height || b->width != a->width;
    OP_REQUIRE(b->channels == a->channels && (!broadcast || (b->height == 1 && b->width == 1)),
               "the second map does not broadcast");
    OP_REQUIRE(apart_or_same(*a, *out) && (broadcast ? apart(*b, *out) : apart_or_same(*b, *out)),
               "input and output overlap");
    OP_REQUIRE(op_.arg0 < kBinaryFnCount && op_.arg1 <= 1, "unknown function");
    return ok_status();
  }

  // low << 8 | high
  Status check_bounds() const {
    OP_REQUIRE(op_.arg0 <= 0xffff && (op_.arg0 >> 8) <= (op_.arg0 & 0xff), "bounds out of range");
    return ok_status();
  }

  Status check_quant_conv() const {
    CARREL_RETURN_IF_ERROR(check_bounds());
    OP_REQUIRE(op_.algorithm == ConvAlgorithm::kDirect, "unknown algorithm");
    CARREL_RETURN_IF_ERROR(check_conv(bytes(op_.in0), bytes(op_.out), WeightsKind::kQuantConv));
    const Result<TileGrid> grid = make_tile_grid(stream()->shape);
    OP_REQUIRE(grid.ok(), "impossible shape");
    if (!needs_quant_sums(op_, *grid)) return ok_status();
    const uint64_t tile = op_.weights == WeightsMode::kStreamed ? uint64_t{grid->max_expanded_bytes} + 64 : 0;
    OP_REQUIRE(tile + quant_sums_bytes(1, bytes(op_.out)->width) <= program_.header->tile_buffer_bytes,
               "a row of sums is larger than the tile buffer");
    return ok_status();
  }

  Status check_quant_add() const {
    const TensorDesc *a = bytes(op_.in0), *b = bytes(op_.in1), *out = bytes(op_.out);
    OP_REQUIRE(a != nullptr && b != nullptr && out != nullptr, "needs three maps of bytes");
    OP_REQUIRE(same_sides(*a, *out) && same_sides(*b, *out), "maps differ in shape");
    OP_REQUIRE(apart_or_same(*a, *out) && apart_or_same(*b, *out), "input and output overlap");
    for (const float scale : {op_.farg0, op_.farg1}) {
      OP_REQUIRE(scale >= 0 && scale <= kMaxQuantAddScale, "a scale is out of range");
    }
    return check_bounds();
  }

  Status check_quant_pool() const {
    CARREL_RETURN_IF_ERROR(check_pool(bytes(op_.in0), bytes(op_.out)));
    const uint64_t taps = uint64_t{op_.window.kernel_h} * op_.window.kernel_w;
    OP_REQUIRE(op_.arg0 == static_cast<uint32_t>(PoolKind::kMax) || taps <= kMaxQuantPoolTaps, "the window is too large");
    return ok_status();
  }

  Status check_type_change(const TensorDesc* in, const TensorDesc* out) const {
    OP_REQUIRE(in != nullptr && out != nullptr, "needs a map of each type");
    OP_REQUIRE(same_sides(*in, *out), "maps differ in shape");
    OP_REQUIRE(apart(*in, *out), "input and output overlap");
    OP_REQUIRE(op_.arg0 <= 0xff, "zero point out of range");
    return ok_status();
  }

  Status check_lrn() const {
    const TensorDesc *in = map(op_.in0), *out = map(op_.out);
    OP_REQUIRE(in != nullptr && out != nullptr, "needs two maps");
    OP_REQUIRE(same_sides(*in, *out), "maps differ in shape");
    OP_REQUIRE(apart(*in, *out), "input and output overlap");
    OP_REQUIRE(op_.arg0 > 0 && op_.arg0 <= kMaxLrnSize, "size out of range");
    return ok_status();
  }

  Status check_softmax() const {
    const TensorDesc *in = map(op_.in0), *out = map(op_.out);
    OP_REQUIRE(in != nullptr && out != nullptr, "needs two maps");
    OP_REQUIRE(same_sides(*in, *out), "maps differ in shape");
    OP_REQUIRE(apart_or_same(*in, *out), "input and output overlap");
    OP_REQUIRE(op_.arg0 <= 1, "logarithm is not a flag");
    return ok_status();
  }

  Status check_copy(const TensorDesc* in, const TensorDesc* out) const {
    OP_REQUIRE(in != nullptr && out != nullptr, "needs two maps");
    OP_REQUIRE(in->height == out->height && in->width == out->width, "maps differ in shape");
    OP_REQUIRE(apart(*in, *out), "input and output overlap");
    OP_REQUIRE(op_.arg1 <= 1, "extract is not a flag");
    const TensorDesc& part = op_.arg1 == 1 ? *out : *in;
    const TensorDesc& all = op_.arg1 == 1 ? *in : *out;
    OP_REQUIRE(in_range(op_.arg0, part.channels, all.channels), "channels are out of range");
    return ok_status();
  }

  Status check_conversion(uint16_t map_id, uint16_t plain_id) const {
    const TensorDesc *m = map(map_id), *p = plain(plain_id);
    OP_REQUIRE(m != nullptr && p != nullptr, "needs a map and a plain tensor");
    OP_REQUIRE(apart(*m, *p), "input and output overlap");
    // At most 2^24 in each factor, so two products are exact.
    uint64_t count = 0;
    OP_REQUIRE(checked_mul(uint64_t{m->height} * m->width, m->channels, &count) && count == plain_count(program_, *p),
               "map and tensor differ in size");
    return ok_status();
  }

  Status check_plain() const {
    OP_REQUIRE(op_.plain_op < static_cast<uint16_t>(PlainOp::kCount), "unknown plain operator");
    const bool split = op_.plain_op == static_cast<uint16_t>(PlainOp::kSplit);
    OP_REQUIRE(op_.output_count >= 1 && op_.output_count <= (split ? kMaxPlainOutputs : 1), "too many outputs");
    OP_REQUIRE(op_.input_count <= (split ? 1 : kMaxPlainInputs), "too many inputs");
    OP_REQUIRE(in_range(op_.operand_begin, uint64_t{op_.input_count} + op_.output_count, program_.operands.size()),
               "operands are out of range");
    OP_REQUIRE(op_.int_count <= kMaxPlainInts && in_range(op_.int_begin, op_.int_count, program_.ints.size()),
               "integers are out of range");
    OP_REQUIRE(op_.float_count <= kMaxPlainFloats && in_range(op_.float_begin, op_.float_count, program_.floats.size()),
               "floats are out of range");
    OP_REQUIRE(op_.scratch_bytes == 0, "a plain operator takes no scratch");
    for (uint32_t o = 0; o < op_.output_count; ++o) CARREL_RETURN_IF_ERROR(check_plain_output(o));
    return ok_status();
  }

  Status check_plain_output(uint32_t output) const {
    const TensorDesc* out = plain(program_.operands[op_.operand_begin + op_.input_count + output]);
    OP_REQUIRE(out != nullptr, "an output is not a plain tensor");
    const bool in_place = op_.plain_op == static_cast<uint16_t>(PlainOp::kUnary);
    for (uint32_t i = 0; i < op_.input_count; ++i) {
      const uint16_t id = program_.operands[op_.operand_begin + i];
      if (id == kNone16) continue;
      const TensorDesc* in = plain(id);
      OP_REQUIRE(in != nullptr, "an input is not a plain tensor");
      const bool same = in_place && in->arena_offset == out->arena_offset;
      OP_REQUIRE(same || apart(*in, *out), "input and output overlap");
    }
    return ok_status();
  }

  Status check_transfer(uint16_t id, StoreKind kind) const {
    OP_REQUIRE(op_.store < program_.stores.size() && program_.stores[op_.store].kind == kind, "no such store");
    const StoreDesc& store = program_.stores[op_.store];
    const bool spill = kind == StoreKind::kSpill;
    const bool input = kind == StoreKind::kInput;
    if (const TensorDesc* m = spill ? tensor(id, TensorKind::kMap) : input ? any_map(id) : map(id)) {
      const uint64_t dense_bytes = uint64_t{m->channels} * m->width * sizeof(float);
      const uint64_t block_bytes = spill ? map_shape(*m).row_bytes() : dense_bytes;
      OP_REQUIRE(store.block_bytes == block_bytes && store.block_count == m->height, "store and map differ in size");
      return ok_status();
    }
    const TensorDesc* p = plain(id);
    OP_REQUIRE(p != nullptr && !spill, "needs a map");
    const uint64_t blocks = ceil_div(plain_count(program_, *p) * sizeof(float), kPlainBlockBytes);
    OP_REQUIRE(store.block_bytes == kPlainBlockBytes && store.block_count == (blocks > 0 ? blocks : 1),
               "store and tensor differ in size");
    return ok_status();
  }

  const ProgramView& program_;
  const OpDesc& op_;
  uint32_t index_;
};

}  // namespace

Status validate_op(const ProgramView& program, uint32_t index) { return OpValidator(program, index).check(); }

}  // namespace carrel
