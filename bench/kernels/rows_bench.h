#pragma once
// The parts of bench_rows: convolutions in rows_bench.cc and winograd_bench.cc, quantized maps in quant_bench.cc,
// fully-connected layers in dense_bench.cc, all else in map_bench.cc.
#include "engine/kernels/rows/rows.h"

namespace carrel {

// VGG-16's first fully-connected layer, tile by tile from memory: decrypted ("sealed"), not encrypted
// ("plain"), and decrypted without being used ("decrypt", the floor).
void register_dense_benchmarks(const char* name, const RowKernels& kernels, StoredType stored);

// A benchmark for every kernel but the convolutions, on one 56 x 56 x 64 map.
void register_map_benchmarks(const RowKernels& kernels);
void register_winograd_benchmarks(const RowKernels& kernels);
// Registers one for every kernel on quantized maps; returns the measured peak of products of bytes in GOP/s, 0
// without VNNI.
double register_quant_benchmarks(const RowKernels& kernels, CpuMask mask);

}  // namespace carrel
