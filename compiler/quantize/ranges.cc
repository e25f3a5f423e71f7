#include "compiler/quantize/ranges.h"

#include <algorithm>
#include <cmath>

namespace carrel {

namespace {

constexpr double kOutside = 1e-4;  // share of values left out on each side by kPercentile
constexpr int kSteps = 100;        // shares of the full range that kMse tries

}  // namespace

void Histogram::grow(float reach) {
  while (reach >= limit_ && limit_ < 0x1p120f) {
    std::array<uint64_t, kBins> wider{};
    for (size_t i = 0; i < kBins; ++i) wider[(kBins / 2 + i) / 2] += bins_[i];
    bins_ = wider;
    limit_ *= 2;
  }
}

bool Histogram::add(std::span<const float> values) {
  float low = 0, high = 0;
  for (float v : values) {
    if (!std::isfinite(v)) return false;
    low = std::min(low, v);
    high = std::max(high, v);
  }
  grow(std::max(-low, high));
  low_ = std::min(low_, low);
  high_ = std::max(high_, high);
  const float scale = static_cast<float>(kBins / 2) / limit_;
  for (float v : values) {
    if (v == 0) {
      ++zeros_;
      continue;
    }
    const auto bin = static_cast<int64_t>(std::floor((v + limit_) * scale));
    ++bins_[static_cast<size_t>(std::clamp<int64_t>(bin, 0, kBins - 1))];
    ++count_;
  }
  return true;
}

void Histogram::merge(const Histogram& other) {
  Histogram copy = other;
  const float reach = std::max(limit_, other.limit_) * 0.75f;
  grow(reach);
  copy.grow(reach);
  low_ = std::min(low_, other.low_);
  high_ = std::max(high_, other.high_);
  count_ += other.count_;
  zeros_ += other.zeros_;
  for (size_t i = 0; i < kBins; ++i) bins_[i] += copy.bins_[i];
}

float Histogram::centre(size_t bin) const {
  return ((static_cast<float>(bin) + 0.5f) / (kBins / 2) - 1) * limit_;
}

Range Histogram::percentile() const {
  const auto allowed = static_cast<uint64_t>(kOutside * static_cast<double>(count_ + zeros_));
  const float width = limit_ / (kBins / 2);
  size_t first = 0, last = kBins - 1;
  for (uint64_t out = bins_[first]; out <= allowed && first < kBins / 2; out += bins_[first])
    ++first;
  for (uint64_t out = bins_[last]; out <= allowed && last >= kBins / 2; out += bins_[last]) --last;
  return {std::clamp(centre(first) - width / 2, low_, 0.0f),
          std::clamp(centre(last) + width / 2, 0.0f, high_)};
}

// Rounding errors are uniform within a step; saturation moves a value to the bound.
double Histogram::error_of(const Range& range) const {
  const double step = (static_cast<double>(range.high) - static_cast<double>(range.low)) / 255;
  double error = 0;
  for (size_t i = 0; i < kBins; ++i) {
    if (bins_[i] == 0) continue;
    const auto v = static_cast<double>(centre(i));
    const double beyond =
        std::max({static_cast<double>(range.low) - v, v - static_cast<double>(range.high), 0.0});
    error += static_cast<double>(bins_[i]) * (beyond * beyond + step * step / 12);
  }
  return error;
}

Range Histogram::least_error() const {
  Range best = {low_, high_};
  double least = error_of(best);
  for (int k = 1; k < kSteps; ++k) {
    const float share = static_cast<float>(k) / kSteps;
    const Range tried = {low_ * share, high_ * share};
    const double error = error_of(tried);
    if (error < least) {
      least = error;
      best = tried;
    }
  }
  return best;
}

Range Histogram::range(RangeMethod method) const {
  switch (method) {
    case RangeMethod::kPercentile:
      return percentile();
    case RangeMethod::kMse:
      return least_error();
    default:
      return {low_, high_};
  }
}

Quantization levels_for(const Range& range) {
  const float low = std::min(range.low, 0.0f), high = std::max(range.high, 0.0f);
  const float scale = (high - low) / 255;
  if (!std::isfinite(scale) || scale < 0x1p-100f) return {1, 0};
  return {scale, std::clamp<int64_t>(std::lrint(-low / scale), 0, 255)};
}

}  // namespace carrel
