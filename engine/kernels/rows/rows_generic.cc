// Every rows kernel but the convolution, compiled for one ISA.
// The bodies are written in terms of the vectors.
// clang-format off
#include "engine/kernels/rows/vec_generic.h"
#include "engine/kernels/rows/channel_body.h"
#include "engine/kernels/rows/depthwise_body.h"
#include "engine/kernels/rows/map_body.h"
#include "engine/kernels/rows/move_body.h"
#include "engine/kernels/rows/pool_body.h"
#include "engine/kernels/rows/quant_map_body.h"
// clang-format on
