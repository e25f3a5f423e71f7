#pragma once
// CPU features as a value: detected once at the edge, then passed in, so that tests can ask what
// a lesser machine would do.
#include <cstdint>

namespace carrel {

enum CpuFeature : uint32_t {
  kCpuAvx2 = 1u << 0,        // AVX2 + FMA + F16C
  kCpuAvx512 = 1u << 1,      // AVX-512 F, BW, DQ, VL
  kCpuVnni = 1u << 2,        // AVX-512 VNNI
  kCpuVaes = 1u << 3,        // VAES + VPCLMULQDQ with AVX-512
  kCpuAesNi = 1u << 4,       // AES-NI + PCLMULQDQ
  kCpuAvx = 1u << 5,
  kCpuAvxVnni = 1u << 6,     // VNNI on the registers of AVX2
  kCpuDotProd = 1u << 7,     // aarch64: dot products of bytes of one sign
  kCpuI8mm = 1u << 8,        // aarch64: of unsigned and signed bytes
  kCpuIfma = 1u << 9,        // AVX-512 IFMA: products of 52-bit integers
};
using CpuMask = uint32_t;
inline constexpr CpuMask kCpuGeneric = 0;

// The features of this machine that the operating system has enabled.
CpuMask detect_cpu();

// The instruction set that decides arithmetic results: kernels of one level give the same bits.
enum class IsaLevel : uint8_t { kGeneric = 0, kAvx2 = 1, kAvx512 = 2 };
inline IsaLevel isa_level(CpuMask mask) {
  if (mask & kCpuAvx512) return IsaLevel::kAvx512;
  if (mask & kCpuAvx2) return IsaLevel::kAvx2;
  return IsaLevel::kGeneric;
}
inline const char* isa_name(IsaLevel level) {
  switch (level) {
    case IsaLevel::kAvx512: return "avx512";
    case IsaLevel::kAvx2: return "avx2";
    case IsaLevel::kGeneric: return "generic";
  }
  return "?";
}

}  // namespace carrel
