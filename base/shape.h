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
  static constexpr uint64_t kMaxElements = uint64_t{1} << 38;  // 1 TiB of float32, the engine's limit
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
  // Product of the dimensions; kInvalidInput if one is negative or the product exceeds kMaxElements, where a dimension
  // of 0 counts as 1, so that products of any of them stay bounded too.
  Result<uint64_t> element_count() const {
    uint64_t largest = 1;
    bool empty = false;
    for (int i = 0; i < rank_; ++i) {
      const int64_t dim = (*this)[i];
      empty |= dim == 0;
      if (dim < 0 || !checked_mul(largest, dim > 0 ? static_cast<uint64_t>(dim) : 1, &largest) ||
          largest > kMaxElements) {
        return Error(ErrorCode::kInvalidInput, "a tensor shape is negative or too large");
      }
    }
    return empty ? uint64_t{0} : largest;
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
