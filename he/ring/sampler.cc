#include "he/ring/sampler.h"

#include <openssl/evp.h>

#include <cstring>

#include "base/wipe.h"
#include "he/ring/product.h"

namespace carrel::he {

struct Streams::State {
  EVP_CIPHER_CTX* context = EVP_CIPHER_CTX_new();
  ~State() { EVP_CIPHER_CTX_free(context); }  // OpenSSL wipes what it frees
};

Streams::Streams(const StreamKey& key) : state_(std::make_unique<State>()) {
  CARREL_CHECK(state_->context != nullptr);
  CARREL_CHECK(EVP_EncryptInit_ex(state_->context, EVP_aes_128_ctr(), nullptr, key.bytes, nullptr) == 1);
}

Streams::~Streams() = default;

void Streams::fill(uint64_t stream, std::span<std::byte> out) {
  uint8_t counter[16] = {};
  std::memcpy(counter, &stream, sizeof stream);  // the other half counts blocks
  CARREL_CHECK(EVP_EncryptInit_ex(state_->context, nullptr, nullptr, nullptr, counter) == 1);
  std::memset(out.data(), 0, out.size());
  uint8_t* bytes = reinterpret_cast<uint8_t*>(out.data());
  constexpr size_t kMost = size_t{1} << 30;
  for (size_t done = 0; done < out.size();) {
    const int part = static_cast<int>(out.size() - done < kMost ? out.size() - done : kMost);
    int written = 0;
    CARREL_CHECK(EVP_EncryptUpdate(state_->context, bytes + done, &written, bytes + done, part) == 1 && written == part);
    done += static_cast<size_t>(part);
  }
}

void Streams::uniform52(uint64_t stream, std::span<uint64_t> out) {
  fill(stream, std::as_writable_bytes(out));
  for (uint64_t& x : out) x &= kMask52;
}

std::vector<int8_t> Streams::ternary(uint64_t stream, uint32_t count) {
  std::vector<uint64_t> words(count);
  fill(stream, std::as_writable_bytes(std::span(words)));
  std::vector<int8_t> values(count);
  for (uint32_t i = 0; i < count; ++i) {
    values[i] = static_cast<int8_t>(static_cast<int>((static_cast<unsigned __int128>(words[i]) * 3) >> 64) - 1);
  }
  wipe(words.data(), words.size() * sizeof words[0]);
  return values;
}

}  // namespace carrel::he
