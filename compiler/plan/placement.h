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

// Weights that stay from one inference to the next, and what that saves each.
struct KeptWeights {
  NodeIndex node = 0;
  uint32_t actions = 0;   // that would fetch them
  bool streamed = false;  // they would pass through on each action
};

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
  std::vector<KeptWeights> kept_weights;

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
