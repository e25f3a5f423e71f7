#include "compiler/schedule/allocate.h"

#include <algorithm>
#include <functional>
#include <numeric>

namespace carrel {
namespace {

bool overlap_in_time(const MemoryObject& a, const MemoryObject& b) { return a.first <= b.last && b.first <= a.last; }

uint64_t first_fit(std::vector<MemoryObject>* objects, const std::vector<size_t>& order) {
  std::vector<size_t> placed;  // by offset
  uint64_t top = 0;
  for (size_t index : order) {
    MemoryObject& me = (*objects)[index];
    uint64_t offset = 0;
    for (size_t other : placed) {
      const MemoryObject& o = (*objects)[other];
      if (!overlap_in_time(me, o)) continue;
      if (offset + me.bytes <= o.offset) break;
      offset = std::max(offset, o.offset + o.bytes);
    }
    me.offset = offset;
    const auto spot = std::lower_bound(placed.begin(), placed.end(), index, [&](size_t a, size_t b) {
      return (*objects)[a].offset < (*objects)[b].offset;
    });
    placed.insert(spot, index);
    top = std::max(top, offset + me.bytes);
  }
  return top;
}

}  // namespace

uint64_t allocate(std::vector<MemoryObject>* objects) {
  using Less = std::function<bool(const MemoryObject&, const MemoryObject&)>;
  const Less orders[] = {
      [](const MemoryObject& a, const MemoryObject& b) { return a.bytes > b.bytes; },
      [](const MemoryObject& a, const MemoryObject& b) {
        const uint32_t la = a.last - a.first, lb = b.last - b.first;
        return la != lb ? la > lb : a.bytes > b.bytes;
      },
      [](const MemoryObject& a, const MemoryObject& b) {
        return a.first != b.first ? a.first < b.first : a.bytes > b.bytes;
      },
  };
  uint64_t best = ~uint64_t{0};
  std::vector<MemoryObject> best_objects = *objects;
  for (const Less& less : orders) {
    std::vector<size_t> order(objects->size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return less((*objects)[a], (*objects)[b]); });
    const uint64_t top = first_fit(objects, order);
    if (top < best) {
      best = top;
      best_objects = *objects;
    }
  }
  *objects = std::move(best_objects);
  return objects->empty() ? 0 : best;
}

}  // namespace carrel
