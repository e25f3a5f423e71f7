#pragma once
// Convolutions that write straight into the map that a concatenation makes.
#include <map>

#include "compiler/plan/layers.h"
#include "compiler/schedule/schedule.h"

namespace carrel {

struct ConcatPart {
  TensorIndex whole = -1;
  uint32_t block = 0;  // first of the part in the whole
};

// The tensors that need no memory of their own: made by a convolution for one concatenation alone, from a block's first
// channel on, in the same rows and segment. The concatenation's ring has room for rows that it is about to make, since
// its readers come after it.
std::map<TensorIndex, ConcatPart> parts_in_place(const LayerGraph& graph, const SchedProblem& problem,
                                                 const Schedule& schedule);

}  // namespace carrel
