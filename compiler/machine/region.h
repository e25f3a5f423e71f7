#pragma once
// Memory to measure on: anonymous pages of 4 KiB, as a mapped file has them, taken in before the first use.
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/result.h"

namespace carrel::machine {

class Region {
 public:
  // Errors: kIo if there is not so much.
  static Result<Region> take(uint64_t bytes);
  Region(Region&& other) noexcept;
  Region& operator=(Region&&) = delete;
  ~Region();
  std::span<std::byte> bytes() const { return bytes_; }

 private:
  explicit Region(std::span<std::byte> bytes) : bytes_(bytes) {}
  std::span<std::byte> bytes_;
};

// Sizes that lie in one level of the memory hierarchy, as the operating system tells the caches' sizes.
struct LevelSizes {
  uint64_t l1 = 0, l2 = 0, l3 = 0;
  uint64_t memory = 0;  // at least twice the last cache, at most an eighth of all memory
};
LevelSizes level_sizes();

}  // namespace carrel::machine
