// Gemm, MatMul and the matrix product under them.
#include "engine/kernels/plain/internal.h"

namespace carrel::plain {
namespace {

// Columns of B and C that one pass works on: the C row part (4 KiB) and four B rows stay in L1.
constexpr int64_t kColumns = 1024;

// Partial sums in 16 lanes, so that the loop is vectorised and rounding errors stay small.
float dot(const float* a, const float* b, int64_t n) {
  constexpr int64_t kLanes = 16;
  float lanes[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (int64_t j = 0; j < kLanes; ++j) lanes[j] += a[i + j] * b[i + j];
  }
  float sum = 0;
  for (; i < n; ++i) sum += a[i] * b[i];
  for (float lane : lanes) sum += lane;
  return sum;
}

void gemm_axpy(const GemmCall& g) {
  for (int64_t j = 0; j < g.n; j += kColumns) {
    const int64_t columns = std::min(kColumns, g.n - j);
    for (int64_t i = 0; i < g.m; ++i) {
      const float* a = g.a + i * g.a_row;
      float* c = g.c + i * g.n + j;
      int64_t k = 0;
      for (; k + 4 <= g.k; k += 4) {
        const float w[4] = {a[k * g.a_col], a[(k + 1) * g.a_col], a[(k + 2) * g.a_col],
                            a[(k + 3) * g.a_col]};
        axpy4(g.b + k * g.b_row + j, g.b_row, w, c, columns);
      }
      for (; k < g.k; ++k) axpy1(g.b + k * g.b_row + j, a[k * g.a_col], c, columns);
    }
  }
}

}  // namespace

void axpy4(const float* x, int64_t pitch, const float (&w)[4], float* y, int64_t n) {
  const float* x0 = x;
  const float* x1 = x + pitch;
  const float* x2 = x1 + pitch;
  const float* x3 = x2 + pitch;
  const float w0 = w[0], w1 = w[1], w2 = w[2], w3 = w[3];
#pragma GCC ivdep
  for (int64_t i = 0; i < n; ++i) {
    y[i] = (((y[i] + w0 * x0[i]) + w1 * x1[i]) + w2 * x2[i]) + w3 * x3[i];
  }
}

void axpy1(const float* x, float w, float* y, int64_t n) {
#pragma GCC ivdep
  for (int64_t i = 0; i < n; ++i) y[i] += w * x[i];
}

void gemm(const GemmCall& g) {
  if (g.b_col == 1 && (g.n > 1 || g.b_row != 1)) return gemm_axpy(g);
  if (g.b_row == 1 && g.a_col == 1) {
    // B's rows outside: each is read once (a fully-connected layer has few rows in A).
    for (int64_t j = 0; j < g.n; ++j) {
      for (int64_t i = 0; i < g.m; ++i) {
        g.c[i * g.n + j] += dot(g.a + i * g.a_row, g.b + j * g.b_col, g.k);
      }
    }
    return;
  }
  for (int64_t i = 0; i < g.m; ++i) {
    for (int64_t j = 0; j < g.n; ++j) {
      float sum = 0;
      for (int64_t k = 0; k < g.k; ++k) {
        sum += g.a[i * g.a_row + k * g.a_col] * g.b[k * g.b_row + j * g.b_col];
      }
      g.c[i * g.n + j] += sum;
    }
  }
}

Status run_gemm(const PlainCall& call) {
  CARREL_RETURN_IF_ERROR(check_arity(call, {2, 3, 2, 2, 2, 2, false}));
  const PlainTensor& a = call.inputs[0];
  const PlainTensor& b = call.inputs[1];
  const PlainTensor& y = call.outputs[0];
  const PlainTensor* c = optional_input(call, 2);
  PLAIN_REQUIRE(a.rank == 2 && b.rank == 2 && y.rank == 2, "needs matrices");
  const int ta = call.ints[0] != 0, tb = call.ints[1] != 0;
  const int64_t m = a.dims[ta], k = a.dims[1 - ta], n = b.dims[1 - tb];
  PLAIN_REQUIRE(b.dims[tb] == k && y.dims[0] == m && y.dims[1] == n, "matrix sizes do not match");
  PLAIN_REQUIRE(c == nullptr || broadcasts_to(*c, y), "C does not broadcast to the output");
  float* out = f32(y);
  std::fill(out, out + m * n, 0.0f);
  gemm({m, n, k, f32(a), ta ? 1 : k, ta ? m : 1, f32(b), tb ? 1 : n, tb ? k : 1, out});
  const float alpha = call.floats[0], beta = call.floats[1];
  if (alpha != 1.0f) {
    for (int64_t i = 0; i < m * n; ++i) out[i] *= alpha;
  }
  if (c == nullptr) return ok_status();
  int64_t strides[kMaxRank];
  broadcast_strides(*c, 2, strides);
  for (int64_t i = 0; i < m; ++i) {
    const float* row = f32(*c) + i * strides[0];
    for (int64_t j = 0; j < n; ++j) out[i * n + j] += beta * row[j * strides[1]];
  }
  return ok_status();
}

Status run_matmul(const PlainCall& call) {
  CARREL_RETURN_IF_ERROR(check_arity(call, {2, 2, 0, 0, 0, 0, false}));
  const PlainTensor& a = call.inputs[0];
  const PlainTensor& b = call.inputs[1];
  const PlainTensor& y = call.outputs[0];
  PLAIN_REQUIRE(a.rank >= 1 && b.rank >= 1, "needs vectors or matrices");
  const int64_t m = a.rank > 1 ? a.dims[a.rank - 2] : 1, k = a.dims[a.rank - 1];
  const int64_t n = b.rank > 1 ? b.dims[b.rank - 1] : 1;
  PLAIN_REQUIRE(b.dims[b.rank > 1 ? b.rank - 2 : 0] == k, "inner sizes do not match");
  // Batch dimensions alone, as tensors, so that they broadcast.
  PlainTensor batch_a = a, batch_b = b, batch = y;
  batch_a.rank = static_cast<uint8_t>(std::max(0, a.rank - 2));
  batch_b.rank = static_cast<uint8_t>(std::max(0, b.rank - 2));
  const int tail = (a.rank > 1) + (b.rank > 1);
  PLAIN_REQUIRE(y.rank >= tail, "output rank");
  batch.rank = static_cast<uint8_t>(y.rank - tail);
  PLAIN_REQUIRE(
      (a.rank == 1 || y.dims[batch.rank] == m) && (b.rank == 1 || y.dims[y.rank - 1] == n),
      "output size does not match");
  PLAIN_REQUIRE(batch.rank == std::max(batch_a.rank, batch_b.rank) &&
                    broadcasts_to(batch_a, batch) && broadcasts_to(batch_b, batch),
                "batch dimensions do not broadcast");
  float* out = f32(y);
  std::fill(out, out + count(y), 0.0f);
  int64_t sa[kMaxRank], sb[kMaxRank], sy[kMaxRank];
  broadcast_strides(batch_a, batch.rank, sa);
  broadcast_strides(batch_b, batch.rank, sb);
  broadcast_strides(batch, batch.rank, sy);
  Walk<3> walk;
  for (int i = 0; i < batch.rank; ++i) walk.push(batch.dims[i], {sa[i], sb[i], sy[i]});
  walk.coalesce();
  const int last = walk.rank - 1;
  for_each_row(walk, [&](const int64_t* offsets) {
    for (int64_t i = 0; i < walk.dims[last]; ++i) {
      gemm({m, n, k, f32(a) + (offsets[0] + i * walk.strides[0][last]) * m * k, k, 1,
            f32(b) + (offsets[1] + i * walk.strides[1][last]) * k * n, n, 1,
            out + (offsets[2] + i * walk.strides[2][last]) * m * n});
    }
  });
  return ok_status();
}

}  // namespace carrel::plain
