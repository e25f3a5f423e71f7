// The transforms of Winograd's convolution, compiled for one ISA.
// The bodies are written in terms of the vectors.
// clang-format off
#include "engine/kernels/rows/vec_generic.h"
#include "engine/kernels/rows/winograd_body.h"
// clang-format on
