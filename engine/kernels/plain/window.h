#pragma once
// Windows of Conv, ConvTranspose and the pools, always as three spatial dimensions (leading ones
// are trivial).
#include "engine/kernels/plain/internal.h"

namespace carrel::plain {

inline constexpr int kSpatial = 3;

struct Axis {
  int64_t in = 1, out = 1, kernel = 1;
  int64_t stride = 1, dilation = 1;
  int64_t pad_begin = 0, pad_end = 0;

  int64_t span() const { return (kernel - 1) * dilation + 1; }
  // Output positions [first, end) whose tap k lies inside the input.
  int64_t first_inside(int64_t k) const {
    const int64_t missing = pad_begin - k * dilation;
    return missing <= 0 ? 0 : std::min(out, (missing + stride - 1) / stride);
  }
  int64_t end_inside(int64_t k) const {
    const int64_t room = in - 1 + pad_begin - k * dilation;
    return room < 0 ? 0 : std::min(out, room / stride + 1);
  }
  // Input position of tap k of output position o.
  int64_t position(int64_t o, int64_t k) const { return o * stride - pad_begin + k * dilation; }
};

struct Windows {
  int64_t batch = 0;
  int64_t in_channels = 0, out_channels = 0;
  Axis axis[kSpatial];
  int64_t in_count() const { return axis[0].in * axis[1].in * axis[2].in; }
  int64_t out_count() const { return axis[0].out * axis[1].out * axis[2].out; }
  int64_t kernel_count() const { return axis[0].kernel * axis[1].kernel * axis[2].kernel; }
};

// A position times a stride or dilation, and the sum of two such, fit int64_t.
inline constexpr int64_t kMaxSpatial = int64_t{1} << 30;

inline bool valid_axis(const Axis& a) {
  const auto within = [](int64_t v, int64_t low) { return v >= low && v <= kMaxSpatial; };
  return within(a.in, 0) && within(a.out, 0) && within(a.kernel, 1) && within(a.stride, 1) &&
         within(a.dilation, 1) && within(a.pad_begin, -kMaxSpatial) &&
         within(a.pad_end, -kMaxSpatial);
}

// Reads X, Y and `lists` (each s long: strides, pads_begin, pads_end, dilations); kernel dims from
// `kernel`. False unless ranks agree and every number is in range.
inline bool read_windows(const PlainTensor& x, const PlainTensor& y, const int64_t* kernel,
                         const int64_t* lists, Windows* w) {
  const int s = x.rank - 2;
  if (s < 1 || s > kSpatial || y.rank != x.rank || y.dims[0] != x.dims[0]) return false;
  w->batch = x.dims[0];
  w->in_channels = x.dims[1];
  w->out_channels = y.dims[1];
  for (int i = 0; i < s; ++i) {
    Axis& a = w->axis[kSpatial - s + i];
    a.in = x.dims[2 + i];
    a.out = y.dims[2 + i];
    a.kernel = kernel[i];
    a.stride = lists[i];
    a.pad_begin = lists[s + i];
    a.pad_end = lists[2 * s + i];
    a.dilation = lists[3 * s + i];
    if (!valid_axis(a)) return false;
  }
  return true;
}

// The output size of a window that moves over the input, by floor.
inline bool forward_sizes_match(const Windows& w) {
  for (const Axis& a : w.axis) {
    const int64_t room = a.in + a.pad_begin + a.pad_end - a.span();
    if (a.out != (room < 0 ? 0 : room / a.stride + 1)) return false;
  }
  return true;
}

}  // namespace carrel::plain
