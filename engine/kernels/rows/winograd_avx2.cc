// The transforms of Winograd's convolution, compiled for one ISA.
#if defined(__x86_64__)
// The bodies are written in terms of the vectors.
// clang-format off
#include "engine/kernels/rows/vec_avx2.h"
#include "engine/kernels/rows/winograd_body.h"
// clang-format on
#endif
