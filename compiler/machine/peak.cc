#include "compiler/machine/peak.h"

#include "compiler/machine/timing.h"

namespace carrel::machine {
namespace {

// Twelve sums cover two units of a latency of up to six; two registers hold the factors.
constexpr long kLoops = 2000;
constexpr double kSums = 12;

#if defined(__x86_64__)

#define CARREL_SUMS(x) x(4) x(5) x(6) x(7) x(8) x(9) x(10) x(11) x(12) x(13) x(14) x(15)
#define CARREL_ALL_SUMS                                                                                       \
  "xmm0", "xmm1", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", \
      "xmm15", "cc"
// Zeros first: neither NaN nor denormals slow anything down.
#define CARREL_LOOP(zero, step, end) \
  asm volatile(CARREL_SUMS(zero) zero(0) zero(1) "1:\n" CARREL_SUMS(step) "dec %0\njnz 1b\n" end : "+r"(n)::CARREL_ALL_SUMS)

#define CARREL_ZERO_Z(r) "vpxorq %%zmm" #r ", %%zmm" #r ", %%zmm" #r "\n"
#define CARREL_ZERO_Y(r) "vpxor %%ymm" #r ", %%ymm" #r ", %%ymm" #r "\n"
#define CARREL_ZERO_X(r) "pxor %%xmm" #r ", %%xmm" #r "\n"
#define CARREL_FMA_Z(r) "vfmadd231ps %%zmm0, %%zmm1, %%zmm" #r "\n"
#define CARREL_FMA_Y(r) "vfmadd231ps %%ymm0, %%ymm1, %%ymm" #r "\n"
// Half of the registers take products, half sums: as many of either.
#define CARREL_MUL_OR_ADD_X(r) ".if " #r " & 1\nmulps %%xmm0, %%xmm" #r "\n.else\naddps %%xmm1, %%xmm" #r "\n.endif\n"
#define CARREL_DOT_Z(r) "vpdpbusd %%zmm0, %%zmm1, %%zmm" #r "\n"
#define CARREL_DOT_Y(r) "%{vex%} vpdpbusd %%ymm0, %%ymm1, %%ymm" #r "\n"

void fma_loop(IsaLevel isa, long n) {
  switch (isa) {
    case IsaLevel::kAvx512: CARREL_LOOP(CARREL_ZERO_Z, CARREL_FMA_Z, "vzeroupper\n"); break;
    case IsaLevel::kAvx2: CARREL_LOOP(CARREL_ZERO_Y, CARREL_FMA_Y, "vzeroupper\n"); break;
    case IsaLevel::kGeneric: CARREL_LOOP(CARREL_ZERO_X, CARREL_MUL_OR_ADD_X, ""); break;
  }
}

void dot_loop(bool wide, long n) {
  if (wide) CARREL_LOOP(CARREL_ZERO_Z, CARREL_DOT_Z, "vzeroupper\n");
  else CARREL_LOOP(CARREL_ZERO_Y, CARREL_DOT_Y, "vzeroupper\n");
}

double flops_per_step(IsaLevel isa) {
  if (isa == IsaLevel::kAvx512) return 2 * 16;
  return isa == IsaLevel::kAvx2 ? 2 * 8 : 4;
}

#define CARREL_LOADS(x) x(0) x(1) x(2) x(3) x(4) x(5) x(6) x(7)
#define CARREL_LOAD_Z(r) "vmovups " #r "*64(%0), %%zmm" #r "\n"
#define CARREL_LOAD_Y(r) "vmovups " #r "*32(%0), %%ymm" #r "\n"
#define CARREL_LOAD_X(r) "movups " #r "*16(%0), %%xmm" #r "\n"
#define CARREL_READ(load, step, end)                                                                          \
  asm volatile("1:\n" CARREL_LOADS(load) "add $" step ", %0\nsub $" step ", %1\njnz 1b\n" end                 \
               : "+r"(at), "+r"(bytes)::"xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "cc", \
                 "memory")

void read_once(IsaLevel isa, const std::byte* at, size_t bytes) {
  switch (isa) {
    case IsaLevel::kAvx512: CARREL_READ(CARREL_LOAD_Z, "512", "vzeroupper\n"); break;
    case IsaLevel::kAvx2: CARREL_READ(CARREL_LOAD_Y, "256", "vzeroupper\n"); break;
    case IsaLevel::kGeneric: CARREL_READ(CARREL_LOAD_X, "128", ""); break;
  }
}

#elif defined(__aarch64__)

#define CARREL_SUMS(x) x(4) x(5) x(6) x(7) x(16) x(17) x(18) x(19) x(20) x(21) x(22) x(23)
#define CARREL_FMA_V(r) "fmla v" #r ".4s, v0.4s, v1.4s\n"
#define CARREL_ZERO_V(r) "movi v" #r ".4s, #0\n"

void fma_loop(IsaLevel, long n) {
  asm volatile(CARREL_SUMS(CARREL_ZERO_V) CARREL_ZERO_V(0) CARREL_ZERO_V(1) "1:\n" CARREL_SUMS(CARREL_FMA_V)
               "subs %0, %0, #1\nb.ne 1b\n"
               : "+r"(n)::"v0", "v1", "v4", "v5", "v6", "v7", "v16", "v17", "v18", "v19", "v20", "v21", "v22", "v23",
                 "cc");
}
void dot_loop(bool, long) {}
double flops_per_step(IsaLevel) { return 2 * 4; }

void read_once(IsaLevel, const std::byte* at, size_t bytes) {
  asm volatile("1:\nldp q0, q1, [%0]\nldp q2, q3, [%0, #32]\nadd %0, %0, #64\nsubs %1, %1, #64\nb.ne 1b\n"
               : "+r"(at), "+r"(bytes)::"v0", "v1", "v2", "v3", "cc", "memory");
}

#endif

}  // namespace

double fma_flops(IsaLevel isa, double budget_seconds) {
  const double seconds = seconds_per_call(budget_seconds, [&] { fma_loop(isa, kLoops); });
  return kLoops * kSums * flops_per_step(isa) / seconds;
}

double vnni_ops(CpuMask cpu, double budget_seconds) {
  const bool wide = (cpu & kCpuVnni) != 0;
  if (!wide && (cpu & kCpuAvxVnni) == 0) return 0;
  const double ops_per_step = wide ? 2 * 64 : 2 * 32;
  return kLoops * kSums * ops_per_step / seconds_per_call(budget_seconds, [&] { dot_loop(wide, kLoops); });
}

double read_bytes_per_second(std::span<const std::byte> memory, double budget_seconds) {
  const IsaLevel isa = isa_level(detect_cpu());
  const double seconds = seconds_per_call(budget_seconds, [&] { read_once(isa, memory.data(), memory.size()); });
  return static_cast<double>(memory.size()) / seconds;
}

}  // namespace carrel::machine
