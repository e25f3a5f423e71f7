#include "baseline/memory_layout.h"

#include <algorithm>

#include "base/checked.h"

namespace carrel::unmodified {
namespace {

uint64_t end_of(const Place& place) {
  return round_up(place.offset + place.bytes, kPlaceAlignment);
}

bool live_together(const Place& a, const Place& b) {
  return a.first_layer <= b.last_layer && b.first_layer <= a.last_layer;
}

// The lowest offset from `base` on where `place` meets none of `placed`, which are sorted by
// offset.
uint64_t first_fit(const Place& place, const std::vector<const Place*>& placed, uint64_t base) {
  uint64_t offset = base;
  for (const Place* other : placed) {
    if (!live_together(place, *other)) continue;
    if (other->offset >= offset + place.bytes) break;
    offset = std::max(offset, end_of(*other));
  }
  return offset;
}

// Places of one kind, one behind the other.
uint64_t append(std::vector<Place>* places, PlaceKind kind, uint64_t end) {
  for (Place& place : *places) {
    if (place.kind != kind) continue;
    place.offset = end;
    end = end_of(place);
  }
  return end;
}

uint64_t place_activations(std::vector<Place>* places, uint64_t base) {
  std::vector<const Place*> placed;
  uint64_t end = base;
  for (Place& place : *places) {  // in the order of their making
    if (place.kind != PlaceKind::kActivation) continue;
    place.offset = first_fit(place, placed, base);
    end = std::max(end, end_of(place));
    const auto behind = [&](const Place* other) { return other->offset > place.offset; };
    placed.insert(std::find_if(placed.begin(), placed.end(), behind), &place);
  }
  return end;
}

}  // namespace

uint64_t lay_out(std::vector<Place>* places) {
  const uint64_t weights_end = append(places, PlaceKind::kWeights, 0);
  const uint64_t activations_end = place_activations(places, weights_end);
  return append(places, PlaceKind::kWorkspace, activations_end);
}

}  // namespace carrel::unmodified
