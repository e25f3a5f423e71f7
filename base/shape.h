#pragma once
// A tensor shape: up to kMaxRank dimensions, no heap.
#include <array>
#include <cstdint>
#include <initializer_list>

#include "base/checked.h"
#include "base/result.h"

namespace carrel {

class Shape {
 public:
  static constexpr int kMaxRank = 8;
  Shape() = default;
  Shape(std::initializer_list<int64_t> dims) {
    CARREL_CHECK(dims.size() <= kMaxRank);
    for (int64_t d : dims) dims_[rank_++] = d;
  }
  int rank() const { return rank_; }
  int64_t operator[](int i) const { return dims_[static_cast<size_t>(i)]; }
  int64_t& operator[](int i) { return dims_[static_cast<size_t>(i)]; }
  // False if the rank is already kMaxRank.
  [[nodiscard]] bool push_back(int64_t d) {
    if (rank_ == kMaxRank) return false;
    dims_[static_cast<size_t>(rank_++)] = d;
    return true;
  }
  void resize(int rank) {
    CARREL_CHECK(rank >= 0 && rank <= kMaxRank);
    for (int i = rank_; i < rank; ++i) dims_[static_cast<size_t>(i)] = 1;
    rank_ = rank;
  }
  // Product of the dimensions; kInvalidInput if one is negative or the product exceeds 2^40.
  Result<uint64_t> element_count() const {
    uint64_t count = 1;
    for (int i = 0; i < rank_; ++i) {
      if ((*this)[i] < 0 || !checked_mul(count, static_cast<uint64_t>((*this)[i]), &count) ||
          count > (uint64_t{1} << 40)) {
        return Error(ErrorCode::kInvalidInput, "a tensor shape is negative or too large");
      }
    }
    return count;
  }
  // Like element_count, for shapes already known to be valid.
  int64_t count() const {
    int64_t n = 1;
    for (int i = 0; i < rank_; ++i) n *= (*this)[i];
    return n;
  }
  bool operator==(const Shape& other) const {
    if (rank_ != other.rank_) return false;
    for (int i = 0; i < rank_; ++i) {
      if ((*this)[i] != other[i]) return false;
    }
    return true;
  }

 private:
  std::array<int64_t, kMaxRank> dims_{};
  int rank_ = 0;
};

}  // namespace carrel
