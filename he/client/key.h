#pragma once
// The data owner's key: encrypts batches of numbers, decrypts what a server made of them.
//
// A ciphertext of message m is a pair (a, b) of polynomials modulo q with b = m + e - a s: s ternary, e noise (sampler.h), a uniform
// and expanded from a public seed, so that only b is sent (Brakerski, Vaikuntanathan 2011; symmetric form). Coefficient i belongs
// to image i. The secret, the noise and `a` come from three independent keys, all fresh for each ClientKey.
//
// Security: `a` may serve once. Encrypting two messages under one id shows their difference, so callers give each ciphertext of a
// key its own id, and send the same bytes again where they have to (client.h).
#include <memory>
#include <vector>

#include "base/cpu.h"
#include "he/ring/ntt.h"
#include "he/ring/params.h"
#include "he/ring/sampler.h"

namespace carrel::he {

class ClientKey {
 public:
  // Errors: kInvalidInput (parameters below 128-bit security), kIo (no randomness).
  static Result<std::unique_ptr<ClientKey>> make(const RingParams& ring, CpuMask cpu);
  ~ClientKey();
  ClientKey(const ClientKey&) = delete;
  ClientKey& operator=(const ClientKey&) = delete;

  const RingParams& ring() const { return ring_; }
  // Expands to every `a`. Public.
  const StreamKey& seed() const { return seed_; }

 private:
  friend class KeyUser;
  ClientKey(const RingParams& ring, CpuMask cpu);

  RingParams ring_;
  CpuMask cpu_;
  NttTables ntt_;
  StreamKey seed_ = {}, noise_key_ = {};
  std::vector<uint64_t> secret_;  // transformed
};

// One thread's use of a key, with scratch of its own. Polynomials are u32 or u64, as the modulus is, 64-byte aligned.
class KeyUser {
 public:
  explicit KeyUser(const ClientKey& key);
  ~KeyUser();
  KeyUser(const KeyUser&) = delete;
  KeyUser& operator=(const KeyUser&) = delete;

  // values: [degree]; each becomes round(value scale), at most q / 4 in magnitude. b: out.
  void encrypt(uint64_t id, const float* values, float scale, void* b);
  // values[i] = number (a, b) stands for / scale. Destroys b.
  void decrypt(const void* a, void* b, float scale, float* values);

 private:
  // b += sign a s.
  void add_product(const void* a, int sign, void* b);

  const ClientKey& key_;
  const struct CoefficientKernels& kernels_;
  Streams public_, noise_;
  std::vector<uint64_t> low_, high_, a_;
  std::vector<uint32_t> words_;
};

}  // namespace carrel::he
