// AES-256-GCM, bytes per second on one thread. "hot": one tile again and again; "cold": tiles of a
// file-sized region in order into one small buffer, as a model is read. Peers in the same run:
// ipsec-mb's own VAES code (decrypting straight from the source) and OpenSSL.
#include <benchmark/benchmark.h>
#include <openssl/evp.h>
#include <sys/mman.h>

#include <cstdlib>
#include <cstring>
#include <vector>

#include "engine/crypto/gcm.h"
#include "engine/crypto/gcm_backend.h"
#include "engine/layout/tiles.h"

namespace carrel {
namespace {

constexpr size_t kColdTileBytes = kMaxTileBytes;
const SecretKey kKey = {{1, 2, 3}};

// Page-aligned memory without huge pages, like a mapped file.
class Region {
 public:
  explicit Region(size_t bytes) : bytes_(bytes) {
    void* address =
        mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (address == MAP_FAILED) abort();
    madvise(address, bytes, MADV_NOHUGEPAGE);
    data_ = static_cast<std::byte*>(address);
    memset(data_, 0x5c, bytes);
  }
  ~Region() { munmap(data_, bytes_); }
  Region(const Region&) = delete;
  Region& operator=(const Region&) = delete;
  std::byte* data() { return data_; }

 private:
  size_t bytes_;
  std::byte* data_;
};

bool runs_here(benchmark::State& state, CpuMask mask) {
  if ((detect_cpu() & mask) == mask) return true;
  state.SkipWithError("not on this CPU");
  return false;
}

void hot_open(benchmark::State& state, CpuMask mask) {
  if (!runs_here(state, mask)) return;
  const size_t bytes = static_cast<size_t>(state.range(0));
  const Gcm gcm(kKey, mask);
  Region cipher(bytes), plain(bytes);
  std::byte tag[kTagBytes];
  gcm.seal(tile_nonce(0), {}, plain.data(), cipher.data(), bytes, tag);
  for (auto _ : state) {
    if (!gcm.open_from_untrusted(tile_nonce(0), {}, cipher.data(), plain.data(), bytes, tag)) {
      state.SkipWithError("rejected");
    }
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
}

void hot_seal(benchmark::State& state, CpuMask mask) {
  if (!runs_here(state, mask)) return;
  const size_t bytes = static_cast<size_t>(state.range(0));
  const Gcm gcm(kKey, mask);
  Region cipher(bytes), plain(bytes);
  std::byte tag[kTagBytes];
  for (auto _ : state) {
    gcm.seal(tile_nonce(0), {}, plain.data(), cipher.data(), bytes, tag);
    benchmark::DoNotOptimize(tag);
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
}

void cold_open(benchmark::State& state, CpuMask mask) {
  if (!runs_here(state, mask)) return;
  const size_t tiles = (static_cast<size_t>(state.range(0)) << 20) / kColdTileBytes;
  const Gcm gcm(kKey, mask);
  Region cipher(tiles * kColdTileBytes), plain(kColdTileBytes);
  std::vector<std::byte> tags(tiles * kTagBytes);
  for (size_t i = 0; i < tiles; ++i) {
    gcm.seal(tile_nonce(i), {}, plain.data(), cipher.data() + i * kColdTileBytes, kColdTileBytes,
             &tags[i * kTagBytes]);
  }
  for (auto _ : state) {
    for (size_t i = 0; i < tiles; ++i) {
      if (!gcm.open_from_untrusted(tile_nonce(i), {}, cipher.data() + i * kColdTileBytes,
                                   plain.data(), kColdTileBytes, &tags[i * kTagBytes])) {
        state.SkipWithError("rejected");
      }
    }
  }
  state.SetBytesProcessed(state.iterations() * state.range(0) << 20);
}

// ipsec-mb straight from the source: fast when hot, but without the promise of one fetch.
void ipsec_open(benchmark::State& state, size_t region_bytes, size_t tile_bytes) {
  if (!runs_here(state, kCpuVaes)) return;
  alignas(64) std::byte key[kGcmKeyDataBytes] = {};
  kGcmIpsecVaes.expand(kKey.bytes, key);
  Region cipher(region_bytes), plain(tile_bytes);
  uint8_t tag[kTagBytes];
  const Nonce nonce = tile_nonce(0);
  for (auto _ : state) {
    for (size_t done = 0; done < region_bytes; done += tile_bytes) {
      kGcmIpsecVaes.open(
          {key, nonce.bytes, nullptr, 0, cipher.data() + done, plain.data(), tile_bytes, tag});
    }
    benchmark::DoNotOptimize(tag);
  }
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(region_bytes));
}
void hot_ipsec(benchmark::State& state) {
  const size_t bytes = static_cast<size_t>(state.range(0));
  ipsec_open(state, bytes, bytes);
}
void cold_ipsec(benchmark::State& state) {
  ipsec_open(state, static_cast<size_t>(state.range(0)) << 20, kColdTileBytes);
}

void hot_openssl(benchmark::State& state) {
  const int bytes = static_cast<int>(state.range(0));
  Region cipher(static_cast<size_t>(bytes)), plain(static_cast<size_t>(bytes));
  EVP_CIPHER_CTX* context = EVP_CIPHER_CTX_new();
  EVP_DecryptInit_ex(context, EVP_aes_256_gcm(), nullptr, kKey.bytes, nullptr);
  const Nonce nonce = tile_nonce(0);
  uint8_t tag[kTagBytes] = {};
  int count = 0;
  for (auto _ : state) {
    EVP_DecryptInit_ex(context, nullptr, nullptr, nullptr, nonce.bytes);
    EVP_DecryptUpdate(context, reinterpret_cast<uint8_t*>(plain.data()), &count,
                      reinterpret_cast<const uint8_t*>(cipher.data()), bytes);
    EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_SET_TAG, kTagBytes, tag);
    benchmark::DoNotOptimize(EVP_DecryptFinal_ex(context, tag, &count));
  }
  EVP_CIPHER_CTX_free(context);
  state.SetBytesProcessed(state.iterations() * bytes);
}

constexpr CpuMask kAvx2Mask = kCpuAesNi | kCpuAvx | kCpuAvx2;
constexpr CpuMask kVaesMask = kAvx2Mask | kCpuAvx512 | kCpuVaes;
void hot_sizes(benchmark::internal::Benchmark* b) {
  for (int64_t kib : {1, 4, 16, 32, 64, 256}) b->Arg(kib << 10);
}
void cold_sizes(benchmark::internal::Benchmark* b) {
  for (int64_t mib : {64, 512}) b->Arg(mib);
  b->Unit(benchmark::kMillisecond);
}
BENCHMARK_CAPTURE(hot_open, vaes, kVaesMask)->Apply(hot_sizes);
BENCHMARK_CAPTURE(hot_open, avx2, kAvx2Mask)->Apply(hot_sizes);
BENCHMARK(hot_ipsec)->Apply(hot_sizes);
BENCHMARK(hot_openssl)->Apply(hot_sizes);
BENCHMARK_CAPTURE(hot_seal, vaes, kVaesMask)->Apply(hot_sizes);
BENCHMARK_CAPTURE(hot_seal, avx2, kAvx2Mask)->Apply(hot_sizes);
BENCHMARK_CAPTURE(cold_open, vaes, kVaesMask)->Apply(cold_sizes);
BENCHMARK_CAPTURE(cold_open, avx2, kAvx2Mask)->Apply(cold_sizes);
BENCHMARK(cold_ipsec)->Apply(cold_sizes);

}  // namespace
}  // namespace carrel

BENCHMARK_MAIN();
