#pragma once
// The two halves of bench_rows: convolutions in rows_bench.cc, everything else in map_bench.cc.
#include "engine/kernels/rows/rows.h"

namespace carrel {

// Registers a benchmark for every kernel but the convolutions, on one 56 x 56 x 64 map.
void register_map_benchmarks(const RowKernels& kernels);

}  // namespace carrel
