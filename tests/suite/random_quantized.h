#pragma once
// Random small quantized networks, for tests that compare a partitioned run with plain evaluation
// to the bit.
#include "compiler/graph/graph.h"

namespace carrel {

// One float input, one float output; in between every quantized operator over a few seeds:
// convolutions (grouped, depthwise, dilated, strided, uneven pads, weights of several tiles),
// pools, additions, concatenations of other scales, fully-connected layers over maps, bytes through
// dense operators, and floats in the middle. Shapes are set.
Graph random_quantized(uint32_t seed);

}  // namespace carrel
