#include "he/client/key.h"

#include "base/wipe.h"
#include "engine/crypto/hash.h"
#include "he/ring/coefficients.h"

namespace carrel::he {
namespace {

template <class T>
void wipe_all(std::vector<T>* values) {
  wipe(values->data(), values->size() * sizeof(T));
}

Status random_key(StreamKey* key) { return random_bytes(std::as_writable_bytes(std::span(key, 1))); }

// |a s| <= degree q / 2, halved bits for 2^52: far below half of a prime of 50 bits.
constexpr uint32_t kProductBits = kPrimeBits;
static_assert(kMostDegree * (uint64_t{1} << 31) < (uint64_t{1} << (kProductBits - 2)));

}  // namespace

ClientKey::ClientKey(const RingParams& ring, CpuMask cpu)
    : ring_(ring), cpu_(cpu), ntt_(ring.degree, *ntt_prime(kProductBits, ring.degree), cpu) {}

ClientKey::~ClientKey() {
  wipe_all(&secret_);
  wipe(&noise_key_, sizeof noise_key_);
}

Result<std::unique_ptr<ClientKey>> ClientKey::make(const RingParams& ring, CpuMask cpu) {
  CARREL_RETURN_IF_ERROR(check_ring(ring));
  std::unique_ptr<ClientKey> key(new ClientKey(ring, cpu));
  Wiped<StreamKey> secret_key;
  CARREL_RETURN_IF_ERROR(random_key(&secret_key.value));
  CARREL_RETURN_IF_ERROR(random_key(&key->seed_));
  CARREL_RETURN_IF_ERROR(random_key(&key->noise_key_));
  std::vector<int8_t> secret = Streams(secret_key.value).ternary(0, ring.degree);
  std::vector<uint64_t> values(ring.degree);
  const uint64_t p = key->ntt_.prime();
  for (uint32_t i = 0; i < ring.degree; ++i) values[i] = static_cast<uint64_t>(int64_t{secret[i]}) + (secret[i] < 0 ? p : 0);
  key->ntt_.forward(values.data());
  key->secret_ = key->ntt_.fixed(values.data());
  wipe_all(&secret);
  wipe_all(&values);
  return key;
}

KeyUser::KeyUser(const ClientKey& key)
    : key_(key), kernels_(coefficient_kernels(key.cpu_)), public_(key.seed_), noise_(key.noise_key_), low_(key.ring_.degree),
      high_(key.ring_.degree), a_(key.ring_.degree), words_(2 * size_t{key.ring_.degree}) {}

KeyUser::~KeyUser() {
  wipe_all(&low_);
  wipe_all(&high_);
  wipe_all(&words_);
}

void KeyUser::add_product(const void* a, int sign, void* b) {
  const uint32_t count = key_.ring_.degree;
  const NttTables& ntt = key_.ntt_;
  const auto by_secret = [&](std::vector<uint64_t>& values) {
    ntt.forward(values.data());
    ntt.multiply(values.data(), key_.secret_);
    ntt.inverse(values.data());
  };
  if (key_.ring_.modulus_bits == 32) {
    kernels_.lift32(static_cast<const uint32_t*>(a), low_.data(), count, ntt.prime());
    by_secret(low_);
    return kernels_.add32(static_cast<uint32_t*>(b), low_.data(), sign, count, ntt.prime());
  }
  kernels_.lift52(static_cast<const uint64_t*>(a), low_.data(), high_.data(), count, ntt.prime());
  by_secret(low_);
  by_secret(high_);
  kernels_.add52(static_cast<uint64_t*>(b), low_.data(), high_.data(), sign, count, ntt.prime());
}

void KeyUser::encrypt(uint64_t id, const float* values, float scale, void* b) {
  const uint32_t count = key_.ring_.degree;
  noise_.uniform(id, words_);
  if (key_.ring_.modulus_bits == 32) {
    uint32_t* out = static_cast<uint32_t*>(b);
    kernels_.encode32(values, scale, static_cast<float>(1u << 30), out, count);
    kernels_.add_noise32(out, words_.data(), count);
    public_.uniform(id, std::span(reinterpret_cast<uint32_t*>(a_.data()), count));
  } else {
    uint64_t* out = static_cast<uint64_t*>(b);
    kernels_.encode52(values, scale, static_cast<float>(uint64_t{1} << 50), out, count);
    kernels_.add_noise52(out, words_.data(), count);
    public_.uniform52(id, a_);
  }
  add_product(a_.data(), -1, b);
}

void KeyUser::decrypt(const void* a, void* b, float scale, float* values) {
  add_product(a, 1, b);
  const uint32_t count = key_.ring_.degree;
  if (key_.ring_.modulus_bits == 32) kernels_.decode32(static_cast<const uint32_t*>(b), 1 / scale, values, count);
  else kernels_.decode52(static_cast<const uint64_t*>(b), 1 / scale, values, count);
}

}  // namespace carrel::he
