#pragma once
// The data path of AES-256-GCM on VAES and VPCLMULQDQ, 512 bytes at a time, made for ciphertext in
// memory that another party may change at any moment.
//
// open: one pass. Each 64-byte piece of `in` is loaded by one instruction into one register, and
//   that register is both hashed and decrypted, so what was authenticated is what was decrypted.
// seal: each piece of `out` is written by one instruction and hashed from the register.
// The instructions that touch ciphertext are written in assembly, so a compiler can neither repeat
// them nor read back.
//
// Lines of `in` are prefetched 4 KiB ahead, also past its end (a prefetch cannot fault): hardware
// prefetchers stop at page boundaries, which costs a third of the speed on ciphertext not in cache.
//
// message.key_data is ipsec-mb's gcm_key_data as made by its vaes_avx512 functions, followed by
// readable bytes up to kGcmKeyDataBytes.
// Secrecy: time and addresses depend on lengths only.
// Source: NIST SP 800-38D; S. Gueron, M. Kounavis, "Intel Carry-Less Multiplication Instruction and
// its Usage for Computing the GCM Mode", 2014 (powers of H, one reduction for many blocks).
#include "engine/crypto/gcm_backend.h"

namespace carrel {

void gcm256_seal_vaes(const GcmMessage& message);
void gcm256_open_vaes(const GcmMessage& message);

}  // namespace carrel
