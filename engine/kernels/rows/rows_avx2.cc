// Every rows kernel but the convolution, compiled for one ISA.
#if defined(__x86_64__)
// The bodies are written in terms of the vectors.
// clang-format off
#include "engine/kernels/rows/vec_avx2.h"
#include "engine/kernels/rows/channel_body.h"
#include "engine/kernels/rows/depthwise_body.h"
#include "engine/kernels/rows/map_body.h"
#include "engine/kernels/rows/move_body.h"
#include "engine/kernels/rows/pool_body.h"
#include "engine/kernels/rows/quant_map_body.h"
// clang-format on
#endif
