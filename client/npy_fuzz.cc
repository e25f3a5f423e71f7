// .npy and .npz; what is read is written and must read back equal.
#include <cstring>

#include "client/npy.h"

namespace {

constexpr uint64_t kMaxFuzzBytes = 64 << 20;  // keeps a run short

bool same(const carrel::NamedArray& a, const carrel::NamedArray& b) {
  return a.shape == b.shape && a.values.size() == b.values.size() &&
         (a.values.empty() ||
          std::memcmp(a.values.data(), b.values.data(), a.values.size() * sizeof(float)) == 0);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  if (const auto array = carrel::parse_npy(bytes); array.ok()) {
    const auto again = carrel::parse_npy(carrel::encode_npy(*array));
    CARREL_CHECK(again.ok() && same(*array, *again));
  }
  const auto arrays = carrel::parse_npz(bytes, kMaxFuzzBytes);
  if (!arrays.ok()) return 0;
  const auto encoded = carrel::encode_npz(*arrays);
  if (!encoded.ok()) return 0;  // two members may differ in their ".npy" only
  const auto again = carrel::parse_npz(*encoded);
  CARREL_CHECK(again.ok() && again->size() == arrays->size());
  for (size_t i = 0; i < arrays->size(); ++i) CARREL_CHECK(same((*arrays)[i], (*again)[i]));
  return 0;
}
