#include "compiler/machine/region.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/checked.h"

namespace carrel::machine {

Result<Region> Region::take(uint64_t bytes) {
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) {
    return Error(ErrorCode::kIo, "no %llu bytes of memory to measure with", static_cast<unsigned long long>(bytes));
  }
  madvise(memory, bytes, MADV_NOHUGEPAGE);
  std::memset(memory, 0x5c, bytes);
  return Region({static_cast<std::byte*>(memory), bytes});
}

Region::Region(Region&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}

Region::~Region() {
  if (!bytes_.empty()) munmap(bytes_.data(), bytes_.size());
}

LevelSizes level_sizes() {
  const auto asked = [](int name, uint64_t otherwise) {
    const long bytes = sysconf(name);
    return bytes > 0 ? static_cast<uint64_t>(bytes) : otherwise;
  };
  constexpr uint64_t kMiB = 1 << 20;
  const uint64_t l1 = asked(_SC_LEVEL1_DCACHE_SIZE, 32 * 1024), l2 = asked(_SC_LEVEL2_CACHE_SIZE, kMiB);
  const uint64_t l3 = asked(_SC_LEVEL3_CACHE_SIZE, 8 * kMiB);
  const uint64_t all = asked(_SC_PHYS_PAGES, kMiB) * asked(_SC_PAGESIZE, 4096);
  const auto whole = [](uint64_t bytes) { return round_up(bytes, uint64_t{64} * 1024); };
  LevelSizes sizes;
  sizes.l1 = l1 / 2;
  sizes.l2 = whole(l2 / 2);
  sizes.l3 = whole(std::min(l3 / 2, 16 * l2));
  sizes.memory = whole(std::min(std::max(2 * l3, 128 * kMiB), all / 8));
  return sizes;
}

}  // namespace carrel::machine
