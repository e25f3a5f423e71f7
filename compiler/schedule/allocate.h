#pragma once
// Places objects with lifetimes in one linear memory.
#include <cstdint>
#include <vector>

namespace carrel {

struct MemoryObject {
  uint64_t bytes = 0;   // multiple of 64
  uint32_t first = 0, last = 0;  // alive during [first, last] (nodes), inclusive
  uint64_t offset = 0;  // result
};

// Sets every offset so that no two objects alive at once overlap; returns the end of the highest. First fit in
// several orders (size, lifetime, start), the best kept: optimal packing is NP-hard, and these come within a few
// percent of the sum alive.
uint64_t allocate(std::vector<MemoryObject>* objects);

}  // namespace carrel
