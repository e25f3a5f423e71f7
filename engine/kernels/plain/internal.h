#pragma once
// Shared by the families of plain operators: access to tensors, checks, and walks over strided
// dimensions.
//
// Every tensor reaching a family has passed check_tensor: rank <= 8 and any product of its dims
// below 2^40, so products of two dims fit int64_t.
#include <algorithm>

#include "engine/kernels/plain/plain.h"

namespace carrel::plain {

inline constexpr int kMaxRank = 8;
inline constexpr int64_t kMaxElements = int64_t{1} << 40;

inline Error bad(const PlainCall& call, const char* what) {
  return Error(ErrorCode::kInvalidInput, "%s: %s", plain_op_name(call.op), what);
}
#define PLAIN_REQUIRE(condition, what)        \
  do {                                        \
    if (!(condition)) return bad(call, what); \
  } while (0)

// Product of dims [begin, end).
inline int64_t product(const PlainTensor& t, int begin, int end) {
  int64_t n = 1;
  for (int i = begin; i < end; ++i) n *= t.dims[i];
  return n;
}
inline int64_t count(const PlainTensor& t) { return product(t, 0, t.rank); }
inline float* f32(const PlainTensor& t) { return static_cast<float*>(t.data); }
inline int64_t* i64(const PlainTensor& t) { return static_cast<int64_t*>(t.data); }

inline bool same_dims(const PlainTensor& a, const PlainTensor& b) {
  return a.rank == b.rank && std::equal(a.dims, a.dims + a.rank, b.dims);
}
// An optional input; nullptr if omitted.
inline const PlainTensor* optional_input(const PlainCall& call, size_t i) {
  return i < call.inputs.size() && call.inputs[i].data != nullptr ? &call.inputs[i] : nullptr;
}
inline bool is_vector(const PlainTensor& t, int64_t n) { return t.rank == 1 && t.dims[0] == n; }

// How many inputs, outputs and numbers an operator takes, and whether i64 will do.
struct Arity {
  size_t min_inputs, max_inputs;
  size_t min_ints, max_ints;
  size_t min_floats, max_floats;
  bool allow_i64;
};
// Inputs that must be there are there, lists have legal lengths; unless allow_i64, every tensor is
// f32.
Status check_arity(const PlainCall& call, const Arity& arity);
// All inputs and outputs have the type of output 0.
bool same_types(const PlainCall& call);

// dims and, per operand, the element stride of each dimension (0: broadcast; may be negative).
template <int kOperands>
struct Walk {
  int rank = 0;
  int64_t dims[kMaxRank] = {};
  int64_t strides[kOperands][kMaxRank] = {};

  void push(int64_t dim, const int64_t (&stride)[kOperands]) {
    dims[rank] = dim;
    for (int k = 0; k < kOperands; ++k) strides[k][rank] = stride[k];
    ++rank;
  }
  // Drops dimensions of 1 and joins neighbours that are contiguous in every operand; leaves rank
  // >= 1.
  void coalesce() {
    Walk out;
    for (int i = 0; i < rank; ++i) {
      if (dims[i] == 1) continue;
      int64_t stride[kOperands];
      bool joins = out.rank > 0;
      for (int k = 0; k < kOperands; ++k) {
        stride[k] = strides[k][i];
        joins = joins && out.strides[k][out.rank - 1] == stride[k] * dims[i];
      }
      if (!joins) {
        out.push(dims[i], stride);
        continue;
      }
      out.dims[out.rank - 1] *= dims[i];
      for (int k = 0; k < kOperands; ++k) out.strides[k][out.rank - 1] = stride[k];
    }
    if (out.rank == 0) {
      int64_t stride[kOperands];
      std::fill(stride, stride + kOperands, 1);
      out.push(1, stride);
    }
    *this = out;
  }
};

// Calls row(offsets[kOperands]) for every innermost row of a coalesced walk, in row-major order.
template <int kOperands, typename Row>
void for_each_row(const Walk<kOperands>& walk, Row row) {
  int64_t index[kMaxRank] = {};
  int64_t offsets[kOperands] = {};
  for (int i = 0; i < walk.rank; ++i) {
    if (walk.dims[i] == 0) return;
  }
  for (;;) {
    row(offsets);
    int d = walk.rank - 2;
    for (; d >= 0; --d) {
      for (int k = 0; k < kOperands; ++k) offsets[k] += walk.strides[k][d];
      if (++index[d] < walk.dims[d]) break;
      for (int k = 0; k < kOperands; ++k) offsets[k] -= walk.strides[k][d] * walk.dims[d];
      index[d] = 0;
    }
    if (d < 0) return;
  }
}

// Row-major strides of t as seen under `rank` >= t.rank output dimensions (aligned at the end); 0
// where t's dimension is 1 or missing.
inline void broadcast_strides(const PlainTensor& t, int rank, int64_t (&strides)[kMaxRank]) {
  int64_t stride = 1;
  for (int i = rank - 1; i >= 0; --i) {
    const int own = i - (rank - t.rank);
    const int64_t dim = own >= 0 ? t.dims[own] : 1;
    strides[i] = dim == 1 ? 0 : stride;
    stride *= dim;
  }
}
// t broadcasts to the dims of `to`.
inline bool broadcasts_to(const PlainTensor& t, const PlainTensor& to) {
  if (t.rank > to.rank) return false;
  for (int i = 0; i < t.rank; ++i) {
    const int64_t dim = t.dims[i];
    if (dim != 1 && dim != to.dims[to.rank - t.rank + i]) return false;
  }
  return true;
}

// out[walk operand 1] = in[walk operand 0] for every index; element_bytes 4 or 8. Coalesces the
// walk.
void strided_copy(Walk<2> walk, const void* in, void* out, size_t element_bytes);
inline size_t element_bytes(const PlainTensor& t) { return t.type == PlainType::kF32 ? 4 : 8; }

// y = fn(x), elementwise; y may be x.
void apply_unary(const Unary& unary, const float* x, float* y, int64_t n);
bool valid_unary(const Unary& unary);

// C (m x n, contiguous) += A B; element (i, k) of A at a[i * a_row + k * a_col], likewise B.
struct GemmCall {
  int64_t m, n, k;
  const float* a;
  int64_t a_row, a_col;
  const float* b;
  int64_t b_row, b_col;
  float* c;
};
void gemm(const GemmCall& call);
// y += sum over k < 4 of w[k] x[k * pitch + .]
void axpy4(const float* x, int64_t pitch, const float (&w)[4], float* y, int64_t n);
void axpy1(const float* x, float w, float* y, int64_t n);

// Families. Each checks, then computes.
Status run_unary(const PlainCall& call);
Status run_affine(const PlainCall& call);
Status run_prelu(const PlainCall& call);
Status run_binary(const PlainCall& call);
Status run_conv(const PlainCall& call);
Status run_conv_transpose(const PlainCall& call);
Status run_pool(const PlainCall& call);
Status run_gemm(const PlainCall& call);
Status run_matmul(const PlainCall& call);
Status run_batch_norm(const PlainCall& call);
Status run_instance_norm(const PlainCall& call);
Status run_layer_norm(const PlainCall& call);
Status run_lrn(const PlainCall& call);
Status run_softmax(const PlainCall& call);
Status run_reduce(const PlainCall& call);
Status run_concat(const PlainCall& call);
Status run_split(const PlainCall& call);
Status run_slice(const PlainCall& call);
Status run_pad(const PlainCall& call);
Status run_reshape(const PlainCall& call);
Status run_transpose(const PlainCall& call);
Status run_expand(const PlainCall& call);
Status run_gather(const PlainCall& call);
Status run_resize(const PlainCall& call);
Status run_depth_to_space(const PlainCall& call);
Status run_space_to_depth(const PlainCall& call);
Status run_quantize(const PlainCall& call);
Status run_dequantize(const PlainCall& call);
Status run_qconv(const PlainCall& call);
Status run_qgemm(const PlainCall& call);
Status run_qadd(const PlainCall& call);
Status run_qpool(const PlainCall& call);
Status run_qconcat(const PlainCall& call);

}  // namespace carrel::plain
