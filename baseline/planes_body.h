#pragma once
// Inside this room: the loops of planes.h, compiled once per instruction set.
#include <cmath>
#include <cstring>

#include "base/vector_math.h"
#include "baseline/planes.h"

namespace carrel::unmodified {
namespace {

typedef float Vec __attribute__((vector_size(64)));
constexpr int64_t kVec = sizeof(Vec) / sizeof(float);
constexpr int64_t kBlock = 4 * kVec;  // outputs in registers at a time

inline int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
inline int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }

// y[i] = x[first + i * stride] inside [0, count), else pad.
inline void padded_row(const float* x, int64_t count, int64_t first, int64_t stride, float pad,
                       float* y, int64_t n) {
  const int64_t begin = least(n, first >= 0 ? 0 : (stride - 1 - first) / stride);
  const int64_t end = most(begin, least(n, count > first ? (count - 1 - first) / stride + 1 : 0));
  for (int64_t i = 0; i < begin; ++i) y[i] = pad;
  const float* in = x + first;
  if (stride == 1) {
    std::memcpy(y + begin, in + begin, static_cast<size_t>(end - begin) * sizeof(float));
  } else if (stride == 2) {
    for (int64_t i = begin; i < end; ++i) y[i] = in[2 * i];
  } else {
    for (int64_t i = begin; i < end; ++i) y[i] = in[stride * i];
  }
  for (int64_t i = end; i < n; ++i) y[i] = pad;
}

// One tap of a window that keeps rows as wide as they are: the plane moved, with zeros moved in.
void moved_plane(const PlaneWindow& w, const float* x, int64_t down, int64_t right, float* y) {
  const int64_t width = w.in_w, count = w.out_count();
  const int64_t begin = least(w.out_h, most(0, -down)) * width;
  const int64_t end = most(begin, least(w.out_h, w.in_h - down) * width);
  // What moves in from the sides comes from other rows, or from outside the plane, and is cleared.
  const int64_t shift = down * width + right;
  const int64_t first = least(end, most(begin, -shift));
  const int64_t last = most(first, least(end, w.in_count() - shift));
  std::memset(y, 0, static_cast<size_t>(first) * sizeof(float));
  std::memcpy(y + first, x + first + shift, static_cast<size_t>(last - first) * sizeof(float));
  std::memset(y + last, 0, static_cast<size_t>(count - last) * sizeof(float));
  for (int64_t row = begin; row < end; row += width) {
    for (int64_t i = 0; i < least(width, -right); ++i) y[row + i] = 0.0f;
    for (int64_t i = most(0, width - right); i < width; ++i) y[row + i] = 0.0f;
  }
}

void im2col_tap(const PlaneWindow& w, const float* x, int64_t down, int64_t right, float* y) {
  if (w.stride_h == 1 && w.stride_w == 1 && w.out_w == w.in_w) {
    return moved_plane(w, x, down, right, y);
  }
  for (int64_t oh = 0; oh < w.out_h; ++oh, y += w.out_w) {
    const int64_t ih = oh * w.stride_h + down;
    const bool inside = ih >= 0 && ih < w.in_h;
    padded_row(inside ? x + ih * w.in_w : x, inside ? w.in_w : 0, right, w.stride_w, 0.0f, y,
               w.out_w);
  }
}

void im2col(const PlaneWindow& w, const float* x, float* columns) {
  for (int64_t kh = 0; kh < w.kernel_h; ++kh) {
    for (int64_t kw = 0; kw < w.kernel_w; ++kw, columns += w.out_count()) {
      im2col_tap(w, x, kh * w.dilation_h - w.pad_top, kw * w.dilation_w - w.pad_left, columns);
    }
  }
}

void spread(const PlaneWindow& w, const PlanePhases& p, const float* x, float pad, float* out) {
  for (int64_t ph = 0; ph < w.stride_h; ++ph) {
    for (int64_t pw = 0; pw < w.stride_w; ++pw) {
      for (int64_t r = 0; r < p.rows; ++r, out += p.pitch) {
        const int64_t ih = r * w.stride_h + ph - w.pad_top;
        const bool inside = ih >= 0 && ih < w.in_h;
        padded_row(inside ? x + ih * w.in_w : x, inside ? w.in_w : 0, pw - w.pad_left, w.stride_w,
                   pad, out, p.pitch);
      }
    }
  }
}

// By reference: how vectors are passed by value differs between instruction sets.
inline void load(const float* x, Vec& v) { std::memcpy(&v, x, sizeof(v)); }
inline void store(float* y, const Vec& v) { std::memcpy(y, &v, sizeof(v)); }

// sums[i] = combine over taps of phases[tap + i], from `start`; whole blocks, so up to kBlock - 1
// floats behind either are touched.
template <typename Combine>
inline void fold(const PlaneWindow& w, const PlanePhases& p, const float* phases, float start,
                 float* sums, Combine combine) {
  const int64_t taps = w.taps(), count = w.out_h * p.pitch;
  const int64_t* offsets = p.taps.data();
  for (int64_t i = 0; i < count; i += kBlock) {
    Vec a = Vec{} + start, b = a, c = a, d = a;
    for (int64_t t = 0; t < taps; ++t) {
      const float* x = phases + offsets[t] + i;
      combine(t, x, a);
      combine(t, x + kVec, b);
      combine(t, x + 2 * kVec, c);
      combine(t, x + 3 * kVec, d);
    }
    store(sums + i, a);
    store(sums + i + kVec, b);
    store(sums + i + 2 * kVec, c);
    store(sums + i + 3 * kVec, d);
  }
}

inline void store_clamped(float* y, const Vec& v, const Clamp& clamp) {
  const Vec low = Vec{} + clamp.low, high = Vec{} + clamp.high;
  const Vec above = low > v ? low : v;
  store(y, high < above ? high : above);
}
inline void store_clamped(float* y, float v, const Clamp& clamp) {
  v = clamp.low > v ? clamp.low : v;
  *y = clamp.high < v ? clamp.high : v;
}

void affine(const float* x, float* y, int64_t count, float scale, float shift, const Clamp& clamp) {
  int64_t i = 0;
  for (Vec v; i + kVec <= count; i += kVec) {
    load(x + i, v);
    store_clamped(y + i, v * scale + shift, clamp);
  }
  for (; i < count; ++i) store_clamped(y + i, x[i] * scale + shift, clamp);
}

void add(const float* a, const float* b, float* y, int64_t count, const Clamp& clamp) {
  int64_t i = 0;
  for (Vec v, w; i + kVec <= count; i += kVec) {
    load(a + i, v);
    load(b + i, w);
    store_clamped(y + i, v + w, clamp);
  }
  for (; i < count; ++i) store_clamped(y + i, a[i] + b[i], clamp);
}

void depthwise(const PlaneWindow& w, const PlanePhases& p, const float* x, const float* weights,
               float bias, const Clamp& clamp, float* scratch, float* y) {
  float* sums = scratch + p.phases_count;
  spread(w, p, x, 0.0f, scratch);
  fold(w, p, scratch, bias, sums, [&](int64_t tap, const float* in, Vec& sum) {
    Vec v;
    load(in, v);
    sum += weights[tap] * v;
  });
  for (int64_t r = 0; r < w.out_h; ++r)
    affine(sums + r * p.pitch, y + r * w.out_w, w.out_w, 1.0f, 0.0f, clamp);
}

void max_pool(const PlaneWindow& w, const PlanePhases& p, const float* x, float* scratch,
              float* y) {
  float* sums = scratch + p.phases_count;
  spread(w, p, x, -INFINITY, scratch);
  fold(w, p, scratch, -INFINITY, sums, [](int64_t, const float* in, Vec& top) {
    Vec v;
    load(in, v);
    top = v > top ? v : top;
  });
  for (int64_t r = 0; r < w.out_h; ++r)
    std::memcpy(y + r * w.out_w, sums + r * p.pitch, static_cast<size_t>(w.out_w) * sizeof(float));
}

void lrn(const Lrn& lrn, const float* x, int64_t channel, float* y) {
  const int64_t first = most(0, channel - (lrn.size - 1) / 2);
  const int64_t end = least(lrn.channels, channel + lrn.size / 2 + 1);
  const float* in = x + channel * lrn.count;
  float* out = y + channel * lrn.count;
  for (int64_t begin = 0; begin < lrn.count; begin += kBlock) {
    const int64_t n = least(kBlock, lrn.count - begin);
    float squares[kBlock] = {};
    for (int64_t c = first; c < end; ++c) {
      const float* other = x + c * lrn.count + begin;
      for (int64_t i = 0; i < n; ++i) squares[i] += other[i] * other[i];
    }
    for (float& v : squares) v = pow_f32(lrn.bias + lrn.alpha * v, -lrn.beta);
    for (int64_t i = 0; i < n; ++i) out[begin + i] = in[begin + i] * squares[i];
  }
}

constexpr PlaneLoops kLoops = {im2col, depthwise, max_pool, lrn, affine, add};

}  // namespace
}  // namespace carrel::unmodified
