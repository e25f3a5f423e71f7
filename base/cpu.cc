#include "base/cpu.h"

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

namespace carrel {

#if defined(__x86_64__)
namespace {

struct Cpuid {
  uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
};

Cpuid cpuid(uint32_t leaf, uint32_t subleaf) {
  Cpuid r;
  __get_cpuid_count(leaf, subleaf, &r.eax, &r.ebx, &r.ecx, &r.edx);
  return r;
}

uint64_t xcr0() {
  uint32_t low = 0, high = 0;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (static_cast<uint64_t>(high) << 32) | low;
}

bool bit(uint32_t word, int index) { return (word >> index) & 1; }

}  // namespace

CpuMask detect_cpu() {
  const Cpuid one = cpuid(1, 0);
  const Cpuid seven = cpuid(7, 0);
  CpuMask mask = 0;
  if (bit(one.ecx, 25) && bit(one.ecx, 1)) mask |= kCpuAesNi;
  if (!bit(one.ecx, 27)) return mask;  // no OSXSAVE: the wide registers are off
  const uint64_t enabled = xcr0();
  if ((enabled & 0x6) != 0x6) return mask;
  if (bit(one.ecx, 28)) mask |= kCpuAvx;
  if (bit(seven.ebx, 5) && bit(one.ecx, 12) && bit(one.ecx, 29)) mask |= kCpuAvx2;
  if ((mask & kCpuAvx2) && bit(cpuid(7, 1).eax, 4)) mask |= kCpuAvxVnni;
  if ((enabled & 0xe6) != 0xe6) return mask;
  const bool avx512 = bit(seven.ebx, 16) && bit(seven.ebx, 17) && bit(seven.ebx, 30) &&
                      bit(seven.ebx, 31);
  if (!avx512 || !(mask & kCpuAvx2)) return mask;
  mask |= kCpuAvx512;
  if (bit(seven.ebx, 21)) mask |= kCpuIfma;
  if (bit(seven.ecx, 11)) mask |= kCpuVnni;
  if (bit(seven.ecx, 9) && bit(seven.ecx, 10)) mask |= kCpuVaes;
  return mask;
}
#elif defined(__aarch64__)
CpuMask detect_cpu() {
  CpuMask mask = kCpuGeneric;
  if (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) mask |= kCpuDotProd;
  if (getauxval(AT_HWCAP2) & HWCAP2_I8MM) mask |= kCpuI8mm;
  return mask;
}
#else
CpuMask detect_cpu() { return kCpuGeneric; }
#endif

}  // namespace carrel
