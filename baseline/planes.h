#pragma once
// Loops over planes (one channel of one image, height x width, row-major), for what is no GEMM.
//
// One body (planes_body.h) compiled per instruction set. No alignment is owed; results may differ
// between instruction sets in the last bits.
#include <cstdint>
#include <vector>

#include "base/cpu.h"
#include "base/unary.h"

namespace carrel::unmodified {

// A window that slides over planes; taps outside the input read zeros (pools: skip them).
struct PlaneWindow {
  int64_t in_h = 0, in_w = 0, out_h = 0, out_w = 0;
  int64_t kernel_h = 1, kernel_w = 1, stride_h = 1, stride_w = 1, dilation_h = 1, dilation_w = 1;
  int64_t pad_top = 0, pad_left = 0;

  int64_t in_count() const { return in_h * in_w; }
  int64_t out_count() const { return out_h * out_w; }
  int64_t taps() const { return kernel_h * kernel_w; }
  // Output position i reads input position i: a 1 x 1 convolution needs no im2col.
  bool pointwise() const {
    return taps() == 1 && stride_h == 1 && stride_w == 1 && pad_top == 0 && pad_left == 0 &&
           in_h == out_h && in_w == out_w;
  }
};

// How depthwise() and max_pool() see a plane: spread over stride_h x stride_w *phases*, in which
// rows and columns that a stride apart are neighbours. A tap then reads, for all outputs, one
// contiguous stretch of one phase, whatever the stride, the pads and the width.
struct PlanePhases {
  explicit PlanePhases(const PlaneWindow& w);
  // Floats of scratch for one plane.
  int64_t scratch_count() const { return phases_count + sums_count; }

  int64_t rows, pitch;        // of a phase; an output row has its pitch too
  std::vector<int64_t> taps;  // where output 0's tap is among the phases
  int64_t phases_count, sums_count;
};

// The activations that are a clamp: none, Relu, Clip.
struct Clamp {
  float low, high;
};
bool as_clamp(const Unary& activation, Clamp* clamp);

// y = x / (bias + alpha * sum of the squares over neighbouring channels)^beta
struct Lrn {
  int64_t channels = 0, count = 0;  // of each channel's plane
  int64_t size = 1;                 // channels in a sum, as ONNX centres them
  float alpha = 0, beta = 0, bias = 0;
};

struct PlaneLoops {
  // columns[tap][out position] = the input that tap reads there: taps() rows of out_count().
  void (*im2col)(const PlaneWindow& w, const float* x, float* columns);
  // y = clamp(bias + sum over taps of weights[tap] x). scratch: p.scratch_count() floats.
  void (*depthwise)(const PlaneWindow& w, const PlanePhases& p, const float* x,
                    const float* weights, float bias, const Clamp& clamp, float* scratch, float* y);
  void (*max_pool)(const PlaneWindow& w, const PlanePhases& p, const float* x, float* scratch,
                   float* y);
  // x, y: all channels; writes channel `channel`.
  void (*lrn)(const Lrn& lrn, const float* x, int64_t channel, float* y);
  // y[i] = clamp(x[i] * scale + shift); y may be x.
  void (*affine)(const float* x, float* y, int64_t count, float scale, float shift,
                 const Clamp& clamp);
  // y[i] = clamp(a[i] + b[i]); y may be a or b.
  void (*add)(const float* a, const float* b, float* y, int64_t count, const Clamp& clamp);
};

const PlaneLoops& plane_loops(CpuMask cpu);

}  // namespace carrel::unmodified
