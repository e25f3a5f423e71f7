#pragma once
// Random small networks with real weights, for tests that compare a partitioned run with a whole one.
#include <random>

#include "compiler/graph/graph.h"

namespace carrel {

// Uses every kind of engine layer over a few seeds: convolutions (grouped, depthwise, dilated, strided, uneven pads),
// pools, several readers of one map, affine, prelu, residual and broadcast arithmetic, concat, split, LRN, softmax,
// dense layers, and operators that only run on dense tensors in between. Shapes are set; weights are of order 1 / sqrt(fan-in).
Graph random_graph(uint32_t seed);

// Values of order 1.
Tensor random_tensor(const Shape& shape, uint32_t seed);

}  // namespace carrel
