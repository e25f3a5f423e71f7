// Operators that only move elements along strides: Concat, Split, Slice, Transpose, Expand,
// Reshape, DepthToSpace, SpaceToDepth.
#include <cstring>

#include "engine/kernels/plain/internal.h"

namespace carrel::plain {
namespace {

template <typename Bits>
void copy_rows(const Walk<2>& walk, const Bits* in, Bits* out) {
  const int last = walk.rank - 1;
  const int64_t n = walk.dims[last], in_step = walk.strides[0][last],
                out_step = walk.strides[1][last];
  for_each_row(walk, [&](const int64_t* offsets) {
    const Bits* from = in + offsets[0];
    Bits* to = out + offsets[1];
    if (in_step == 1 && out_step == 1) {
      std::memcpy(to, from, static_cast<size_t>(n) * sizeof(Bits));
      return;
    }
    for (int64_t i = 0; i < n; ++i) to[i * out_step] = from[i * in_step];
  });
}

// Splits dims at `axis` into (outer, t's own axis and what is inside it).
struct Block {
  int64_t outer, inner;
};
Block block_at(const PlainTensor& t, int axis) {
  return {product(t, 0, axis), product(t, axis, t.rank)};
}

// The parts' dims are the whole's except along axis, where they add up.
Status check_parts(const PlainCall& call, const PlainTensor& whole,
                   std::span<const PlainTensor> parts) {
  CARREL_RETURN_IF_ERROR(check_arity(call, {1, kMaxPlainInputs, 1, 1, 0, 0, true}));
  PLAIN_REQUIRE(same_types(call), "types differ");
  const int64_t axis = call.ints[0];
  PLAIN_REQUIRE(axis >= 0 && axis < whole.rank, "axis");
  int64_t total = 0;
  for (const PlainTensor& part : parts) {
    PLAIN_REQUIRE(part.rank == whole.rank && (part.data != nullptr || count(part) == 0),
                  "a part is wrong");
    for (int i = 0; i < whole.rank; ++i) {
      PLAIN_REQUIRE(i == axis || part.dims[i] == whole.dims[i], "a part's dims do not match");
    }
    total += part.dims[axis];
  }
  PLAIN_REQUIRE(total == whole.dims[axis], "the parts do not add up");
  return ok_status();
}

// Copies between the whole and its parts along the axis; one of the two directions.
void copy_parts(const PlainTensor& whole, std::span<const PlainTensor> parts, int axis, bool join) {
  const Block all = block_at(whole, axis);
  const size_t bytes = element_bytes(whole);
  std::byte* base = static_cast<std::byte*>(whole.data);
  for (const PlainTensor& part : parts) {
    const Block own = block_at(part, axis);
    Walk<2> walk;
    walk.push(own.outer, {join ? own.inner : all.inner, join ? all.inner : own.inner});
    walk.push(own.inner, {1, 1});
    if (join)
      strided_copy(walk, part.data, base, bytes);
    else
      strided_copy(walk, base, part.data, bytes);
    if (base != nullptr) base += own.inner * static_cast<int64_t>(bytes);
  }
}

}  // namespace

void strided_copy(Walk<2> walk, const void* in, void* out, size_t element_bytes) {
  for (int i = 0; i < walk.rank; ++i) {
    if (walk.dims[i] == 0) return;
  }
  walk.coalesce();
  if (element_bytes == 4)
    copy_rows(walk, static_cast<const uint32_t*>(in), static_cast<uint32_t*>(out));
  else
    copy_rows(walk, static_cast<const uint64_t*>(in), static_cast<uint64_t*>(out));
}

Status run_concat(const PlainCall& call) {
  CARREL_RETURN_IF_ERROR(check_parts(call, call.outputs[0], call.inputs));
  copy_parts(call.outputs[0], call.inputs, static_cast<int>(call.ints[0]), true);
  return ok_status();
}

Status run_split(const PlainCall& call) {
  PLAIN_REQUIRE(call.inputs.size() == 1, "wrong number of inputs");
  CARREL_RETURN_IF_ERROR(check_parts(call, call.inputs[0], call.outputs));
  copy_parts(call.inputs[0], call.outputs, static_cast<int>(call.ints[0]), false);
  return ok_status();
}

Status run_slice(const PlainCall& call) {
  CARREL_RETURN_IF_ERROR(check_arity(call, {1, 1, 0, 2 * kMaxRank, 0, 0, true}));
  const PlainTensor& x = call.inputs[0];
  const PlainTensor& y = call.outputs[0];
  PLAIN_REQUIRE(same_types(call) && x.rank == y.rank, "types or ranks differ");
  PLAIN_REQUIRE(call.ints.size() == size_t{2} * x.rank, "wrong number of integers");
  if (count(y) == 0) return ok_status();
  Walk<2> walk;
  int64_t in_stride[kMaxRank], out_stride[kMaxRank], offset = 0;
  for (int64_t i = x.rank - 1, in = 1, out = 1; i >= 0; --i) {
    const int64_t start = call.ints[static_cast<size_t>(i)],
                  step = call.ints[static_cast<size_t>(i + x.rank)];
    PLAIN_REQUIRE(start >= 0 && start < x.dims[i] && step >= -kMaxElements && step <= kMaxElements,
                  "start or step");
    int64_t reach = 0;
    PLAIN_REQUIRE(!__builtin_mul_overflow(y.dims[i] - 1, step, &reach) && reach >= -start &&
                      reach < x.dims[i] - start,
                  "reads outside the input");
    // One element needs no step; otherwise |step| < dim, so the stride fits.
    in_stride[i] = y.dims[i] == 1 ? 0 : step * in;
    out_stride[i] = out;
    offset += start * in;
    in *= x.dims[i];
    out *= y.dims[i];
  }
  for (int i = 0; i < x.rank; ++i) walk.push(y.dims[i], {in_stride[i], out_stride[i]});
  const size_t bytes = element_bytes(x);
  strided_copy(walk, static_cast<const std::byte*>(x.data) + offset * static_cast<int64_t>(bytes),
               y.data, bytes);
  return ok_status();
}

Status run_transpose(const PlainCall& call) {
  CARREL_RETURN_IF_ERROR(check_arity(call, {1, 1, 0, kMaxRank, 0, 0, true}));
  const PlainTensor& x = call.inputs[0];
  const PlainTensor& y = call.outputs[0];
  PLAIN_REQUIRE(same_types(call) && x.rank == y.rank && call.ints.size() == x.rank,
                "types or ranks differ");
  int64_t in_stride[kMaxRank], out_stride[kMaxRank];
  broadcast_strides(x, x.rank, in_stride);
  broadcast_strides(y, y.rank, out_stride);
  unsigned seen = 0;
  Walk<2> walk;
  for (int i = 0; i < x.rank; ++i) {
    const int64_t from = call.ints[static_cast<size_t>(i)];
    PLAIN_REQUIRE(from >= 0 && from < x.rank && (seen >> from & 1) == 0, "perm");
    PLAIN_REQUIRE(y.dims[i] == x.dims[from], "output dims");
    seen |= 1u << from;
    walk.push(y.dims[i], {in_stride[from], out_stride[i]});
  }
  strided_copy(walk, x.data, y.data, element_bytes(x));
  return ok_status();
}

Status run_expand(const PlainCall& call) {
  CARREL_RETURN_IF_ERROR(check_arity(call, {1, 1, 0, 0, 0, 0, true}));
  const PlainTensor& x = call.inputs[0];
  const PlainTensor& y = call.outputs[0];
  PLAIN_REQUIRE(same_types(call) && broadcasts_to(x, y),
                "the input does not broadcast to the output");
  int64_t in_stride[kMaxRank], out_stride[kMaxRank];
  broadcast_strides(x, y.rank, in_stride);
  broadcast_strides(y, y.rank, out_stride);
  Walk<2> walk;
  for (int i = 0; i < y.rank; ++i) walk.push(y.dims[i], {in_stride[i], out_stride[i]});
  strided_copy(walk, x.data, y.data, element_bytes(x));
  return ok_status();
}

Status run_reshape(const PlainCall& call) {
  CARREL_RETURN_IF_ERROR(check_arity(call, {1, 1, 0, 0, 0, 0, true}));
  const PlainTensor& x = call.inputs[0];
  const PlainTensor& y = call.outputs[0];
  PLAIN_REQUIRE(same_types(call) && count(x) == count(y), "element counts differ");
  if (count(x) != 0) std::memmove(y.data, x.data, static_cast<size_t>(count(x)) * element_bytes(x));
  return ok_status();
}

namespace {

// The small side of DepthToSpace and SpaceToDepth is (N, C b b, H, W), the large one (N, C, H b, W
// b).
struct BlockMap {
  int64_t batch, channels, height, width, block;
};
Status check_block_map(const PlainCall& call, const PlainTensor& deep, const PlainTensor& wide,
                       BlockMap* m) {
  PLAIN_REQUIRE(
      same_types(call) && deep.rank == 4 && wide.rank == 4 && deep.dims[0] == wide.dims[0],
      "needs (N, C, H, W)");
  *m = {wide.dims[0], wide.dims[1], deep.dims[2], deep.dims[3], call.ints[0]};
  PLAIN_REQUIRE(m->block >= 1 && m->block <= (int64_t{1} << 10), "blocksize");
  PLAIN_REQUIRE(deep.dims[1] == m->channels * m->block * m->block &&
                    wide.dims[2] == m->height * m->block && wide.dims[3] == m->width * m->block,
                "dims do not match blocksize");
  return ok_status();
}

// Strides over (n, c, h, block row, w, block column) on both sides. DCR: the block is outside the
// channels.
Walk<2> block_walk(const BlockMap& m, bool channels_inside, bool to_wide) {
  const int64_t b = m.block, plane = m.height * m.width, row = m.width * b;
  const int64_t c_deep = channels_inside ? plane : b * b * plane;
  const int64_t b_deep = channels_inside ? m.channels * plane : plane;
  const int64_t all = m.channels * b * b * plane;
  const int64_t dims[] = {m.batch, m.channels, m.height, b, m.width, b};
  const int64_t deep[] = {all, c_deep, m.width, b_deep * b, 1, b_deep};
  const int64_t wide[] = {all, plane * b * b, row * b, row, b, 1};
  Walk<2> walk;
  for (int i = 0; i < 6; ++i) {
    if (to_wide)
      walk.push(dims[i], {deep[i], wide[i]});
    else
      walk.push(dims[i], {wide[i], deep[i]});
  }
  return walk;
}

}  // namespace

Status run_depth_to_space(const PlainCall& call) {
  CARREL_RETURN_IF_ERROR(check_arity(call, {1, 1, 2, 2, 0, 0, true}));
  BlockMap m;
  CARREL_RETURN_IF_ERROR(check_block_map(call, call.inputs[0], call.outputs[0], &m));
  strided_copy(block_walk(m, call.ints[1] == 0, true), call.inputs[0].data, call.outputs[0].data,
               element_bytes(call.inputs[0]));
  return ok_status();
}

Status run_space_to_depth(const PlainCall& call) {
  CARREL_RETURN_IF_ERROR(check_arity(call, {1, 1, 1, 1, 0, 0, true}));
  BlockMap m;
  CARREL_RETURN_IF_ERROR(check_block_map(call, call.outputs[0], call.inputs[0], &m));
  strided_copy(block_walk(m, true, false), call.inputs[0].data, call.outputs[0].data,
               element_bytes(call.inputs[0]));
  return ok_status();
}

}  // namespace carrel::plain
