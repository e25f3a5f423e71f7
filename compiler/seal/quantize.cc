#include "compiler/seal/quantize.h"

#include <algorithm>
#include <cmath>

#include "base/checked.h"
#include "base/half.h"
#include "engine/layout/dense.h"

namespace carrel {
namespace {

constexpr float kLargestI8 = 127.0f;
constexpr float kLargestI4 = -i4_value(0);
// As parts of the step that makes a group's largest weight the outermost number: a little less clips
// it and is finer elsewhere; negative turns the numbers around, which have one more on one side.
constexpr float kStarts[] = {1.0f, 0.88f, -1.2f};

size_t padded_rows(const WeightsShape& shape) {
  return static_cast<size_t>(round_up(dense_rows(shape), kDenseTapRows));
}

// Filter `row` in the order of the reduction, zeros after it.
void reorder(const WeightsShape& shape, std::span<const float> row, std::span<float> out) {
  std::fill(out.begin(), out.end(), 0.0f);
  if (shape.kernel_h == 1 && shape.kernel_w == 1) {
    std::copy(row.begin(), row.end(), out.begin());
    return;
  }
  for (uint64_t k = 0; k < row.size(); ++k) out[k] = row[dense_row_source(shape, k)];
}

float largest(std::span<const float> row) {
  float most = 0;
  for (float w : row) most = std::fabs(w) > std::fabs(most) ? w : most;
  return most;
}

float quantize_i8(std::span<const float> row, std::span<int8_t> codes) {
  const float scale = std::fabs(largest(row)) / kLargestI8;
  if (!std::isnormal(scale)) return 0;
  for (size_t k = 0; k < row.size(); ++k) {
    codes[k] = static_cast<int8_t>(std::lrint(std::clamp(row[k] / scale, -kLargestI8, kLargestI8)));
  }
  return scale;
}

using Group = std::span<const float, kDenseTapRows>;

struct Coded {
  float step = 0, error = 0;
  int8_t codes[kDenseTapRows];
};

// The nearest number to each weight at this step.
Coded code_group(Group weights, float step) {
  Coded coded;
  coded.step = step;
  int32_t codes[kDenseTapRows] = {};
  float scaled[kDenseTapRows];
  for (size_t i = 0; i < kDenseTapRows; ++i) scaled[i] = weights[i] / step;
  for (uint32_t code = 0; code + 1 < kI4Codes; ++code) {
    const float middle = (i4_value(code) + i4_value(code + 1)) / 2;
    for (size_t i = 0; i < kDenseTapRows; ++i) codes[i] += scaled[i] > middle;
  }
  for (size_t i = 0; i < kDenseTapRows; ++i) {
    const float lost = weights[i] - step * i4_value(static_cast<uint32_t>(codes[i]));
    coded.error += lost * lost;
    coded.codes[i] = static_cast<int8_t>(codes[i]);
  }
  return coded;
}

// The step with the least squared error for these codes.
float best_step(Group weights, const Coded& coded) {
  float product = 0, square = 0;
  for (size_t i = 0; i < kDenseTapRows; ++i) {
    const float value = i4_value(static_cast<uint32_t>(coded.codes[i]));
    product += weights[i] * value;
    square += value * value;
  }
  return square > 0 ? product / square : 0;
}

// Tries `step`, and then the best one for the codes it gives.
void try_step(Group weights, float step, Coded* best) {
  for (int round = 0; round < 2; ++round) {
    step = round_to_f16(step);
    if (step == 0 || !std::isfinite(step)) return;
    const Coded coded = code_group(weights, step);
    if (coded.error < best->error) *best = coded;
    step = best_step(weights, coded);
  }
}

// A group of a filter that was divided by its scale, so that steps are about 1 and smaller.
float quantize_i4(Group weights, std::span<int8_t> codes) {
  const float most = largest(weights);
  Coded best;
  std::fill_n(best.codes, kDenseTapRows, int8_t{8});
  for (float w : weights) best.error += w * w;
  for (float start : kStarts) try_step(weights, -most / kLargestI4 * start, &best);
  std::copy_n(best.codes, kDenseTapRows, codes.begin());
  return best.step;
}

void quantize_i4_row(std::vector<float>* row, std::span<int8_t> codes, std::span<float> steps,
                     float* scale) {
  *scale = std::fabs(largest(*row)) / kLargestI4;
  if (!std::isnormal(*scale)) *scale = 0;
  for (float& w : *row) w = *scale > 0 ? w / *scale : 0;
  for (size_t g = 0; g < steps.size(); ++g) {
    const Group group(row->data() + g * kDenseTapRows, kDenseTapRows);
    steps[g] = quantize_i4(group, codes.subspan(g * kDenseTapRows, kDenseTapRows));
  }
}

}  // namespace

QuantizedWeights quantize_dense(const WeightsShape& shape, std::span<const float> weights) {
  CARREL_CHECK(shape.kind == WeightsKind::kDense && is_quantized(shape.stored));
  const size_t rows = dense_rows(shape), padded = padded_rows(shape), taps = padded / kDenseTapRows;
  const bool four = shape.stored == StoredType::kI4;
  QuantizedWeights out;
  out.codes.resize(shape.out_channels * padded);
  out.steps.resize(four ? shape.out_channels * taps : 0);
  out.scales.resize(shape.out_channels);
  std::vector<float> row(padded);
  for (size_t o = 0; o < shape.out_channels; ++o) {
    reorder(shape, weights.subspan(o * rows, rows), row);
    const std::span<int8_t> codes = std::span(out.codes).subspan(o * padded, padded);
    if (four) quantize_i4_row(&row, codes, std::span(out.steps).subspan(o * taps, taps), &out.scales[o]);
    else out.scales[o] = quantize_i8(row, codes);
  }
  return out;
}

std::vector<float> dequantize_dense(const WeightsShape& shape, const QuantizedWeights& quantized) {
  const size_t rows = dense_rows(shape), padded = padded_rows(shape), taps = padded / kDenseTapRows;
  std::vector<float> out(shape.out_channels * rows);
  for (size_t o = 0; o < shape.out_channels; ++o) {
    for (size_t k = 0; k < rows; ++k) {
      const int8_t code = quantized.codes[o * padded + k];
      const float value = shape.stored == StoredType::kI4
                              ? i4_value(static_cast<uint32_t>(code)) *
                                    quantized.steps[o * taps + k / kDenseTapRows]
                              : static_cast<float>(code);
      out[o * rows + dense_row_source(shape, k)] = value * quantized.scales[o];
    }
  }
  return out;
}

}  // namespace carrel
