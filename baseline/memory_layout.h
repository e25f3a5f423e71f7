#pragma once
// Where an unmodified engine keeps its tensors: every weight for good, activations while they live.
#include <cstdint>
#include <string>
#include <vector>

namespace carrel {

enum class PlaceKind : uint8_t { kWeights, kActivation, kWorkspace };

// Bytes [offset, offset + bytes) of the region. Activations whose lifetimes do not meet share
// bytes.
struct Place {
  std::string name;
  PlaceKind kind = PlaceKind::kActivation;
  uint64_t offset = 0, bytes = 0;
  // The layers that use it, counted in execution order. An input lives from -1 on, an output until
  // the number of layers; weights and workspace name their first and last reader.
  int32_t first_layer = 0, last_layer = 0;
};

namespace unmodified {

inline constexpr uint64_t kPlaceAlignment = 64;

// Sets the offsets, all multiples of kPlaceAlignment: weights, then activations by first fit in the
// order of their making, then workspace. Returns the bytes they take together.
uint64_t lay_out(std::vector<Place>* places);

}  // namespace unmodified
}  // namespace carrel
