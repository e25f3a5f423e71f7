#pragma once
// Where everything lies in the arena, and while which layers run.
#include <map>
#include <string>
#include <vector>

#include "compiler/plan/concat.h"
#include "compiler/plan/layers.h"
#include "compiler/schedule/allocate.h"
#include "compiler/schedule/schedule.h"

namespace carrel {

struct Placement {
  // An index into `objects`, or -1 where there is none.
  using ObjectIndex = int;
  struct Weights {
    ObjectIndex object = -1;
    bool once = false;  // loaded at the first inference and kept
  };

  std::vector<MemoryObject> objects;  // first, last: layers
  std::vector<std::string> names;     // of the objects, for people
  std::map<TensorIndex, ConcatPart> parts;  // have no object
  std::vector<ObjectIndex> kept;      // by tensor: those that outlive their segment
  std::vector<std::map<TensorIndex, ObjectIndex>> rings;  // by segment: the others
  std::vector<Weights> weights;                           // by layer
  std::vector<ObjectIndex> scratch;                       // by segment: its nodes share it
  uint64_t arena_bytes = 0;
  uint64_t kept_fetch_bytes = 0;  // weight bytes per inference that weights kept for good save

  const MemoryObject& object(ObjectIndex i) const { return objects[static_cast<size_t>(i)]; }
  // Of tensor `t` as segment `s` sees it; it must be there.
  ObjectIndex tensor_object(uint32_t s, TensorIndex t) const {
    const ObjectIndex stays = kept[static_cast<size_t>(t)];
    return stays >= 0 ? stays : rings[s].at(t);
  }
};

// Places what the schedule wants, then fills what `arena_limit_bytes` leaves above it with weights that stay between
// inferences: those first that save most fetched bytes per byte of memory.
Placement place(const LayerGraph& graph, const SchedProblem& problem, const Schedule& schedule, uint64_t arena_limit_bytes);

}  // namespace carrel
