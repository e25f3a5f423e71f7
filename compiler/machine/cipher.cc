#include "compiler/machine/cipher.h"

#include <algorithm>
#include <vector>

#include "compiler/machine/timing.h"
#include "engine/crypto/gcm.h"
#include "engine/layout/tiles.h"

namespace carrel::machine {
namespace {

// Any will do: nothing secret is sealed.
constexpr SecretKey kKey = {{0x6d, 0x65, 0x61, 0x73, 0x75, 0x72, 0x65}};

class Tiles {
 public:
  Tiles(CpuMask cpu, std::span<std::byte> memory)
      : gcm_(kKey, cpu), memory_(memory), tags_(count() * kTagBytes), plain_(kMaxTileBytes) {}

  // A sixteenth of all, the next one at each call: cold, and short enough to be undisturbed once.
  size_t slice() const { return std::max<size_t>(1, count() / 16); }
  size_t count() const { return memory_.size() / kMaxTileBytes; }
  // From now on these only.
  void limit(size_t tiles) { limit_ = std::min(tiles, count()); }
  void seal(size_t tiles) {
    for (size_t n = 0; n < tiles; ++n) {
      const size_t i = next();
      gcm_.seal(tile_nonce(i), {}, plain_.data(), &memory_[i * kMaxTileBytes], kMaxTileBytes, &tags_[i * kTagBytes]);
    }
  }
  void open(size_t tiles) {
    for (size_t n = 0; n < tiles; ++n) {
      const size_t i = next();
      CARREL_CHECK(gcm_.open_from_untrusted(tile_nonce(i), {}, &memory_[i * kMaxTileBytes], plain_.data(),
                                            kMaxTileBytes, &tags_[i * kTagBytes]));
    }
  }

 private:
  size_t next() { return next_ = next_ + 1 < limit_ ? next_ + 1 : 0; }

  Gcm gcm_;
  std::span<std::byte> memory_;
  std::vector<std::byte> tags_, plain_;
  size_t next_ = 0;
  size_t limit_ = count();
};

}  // namespace

CipherSpeed cipher_speed(CpuMask cpu, std::span<std::byte> memory, double budget_seconds) {
  constexpr size_t kHotTiles = 4;
  Tiles tiles(cpu, memory);
  tiles.seal(tiles.count());
  const double slice = static_cast<double>(tiles.slice()) * kMaxTileBytes;
  CipherSpeed speed;
  speed.seal_cold = slice / seconds_per_call(budget_seconds, [&] { tiles.seal(tiles.slice()); });
  speed.open_cold = slice / seconds_per_call(budget_seconds, [&] { tiles.open(tiles.slice()); });
  tiles.limit(kHotTiles);
  speed.open_hot = kMaxTileBytes / seconds_per_call(budget_seconds, [&] { tiles.open(1); });
  return speed;
}

}  // namespace carrel::machine
