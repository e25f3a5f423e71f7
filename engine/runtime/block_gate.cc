#include "engine/runtime/block_gate.h"

#include <cstring>

#include "base/checked.h"
#include "base/wipe.h"
#include "engine/crypto/hash.h"

namespace carrel {
namespace {

BlockAad aad_of(const StoreDesc& store, uint32_t block) {
  return {kBlockAadKind, static_cast<uint32_t>(store.kind), store.first_position + block, store.block_bytes};
}

}  // namespace

Status BlockGate::set_keys(const SecretKey& session_key, CpuMask cpu) {
  input_.emplace(hkdf(session_key, {}, kInputKeyLabel).key, cpu);
  output_.emplace(hkdf(session_key, {}, kOutputKeyLabel).key, cpu);
  SecretKey key;
  const Status random = random_bytes(std::as_writable_bytes(std::span(&key, 1)));
  if (random.ok()) spill_.emplace(key, cpu);
  wipe(&key, sizeof(key));
  return random;
}

void BlockGate::wipe_keys() {
  input_.reset();
  output_.reset();
  spill_.reset();
}

const Gcm& BlockGate::key(StoreKind kind) const {
  if (kind == StoreKind::kInput) return *input_;
  return kind == StoreKind::kOutput ? *output_ : *spill_;
}

Status BlockGate::open(const StoreDesc& store, uint32_t block, uint64_t counter, std::byte* plain) const {
  const uint64_t offset = block_offset(store, block);
  CARREL_CHECK(in_range(offset, uint64_t{store.block_bytes} + kTagBytes, area_.size()));
  tracer_->record(store.kind == StoreKind::kInput ? TraceKind::kInput : TraceKind::kSpillIn, offset, store.block_bytes);
  const std::byte* cipher = area_.data() + offset;
  const BlockAad aad = aad_of(store, block);
  if (key(store.kind).open_from_untrusted(block_nonce(aad.position, counter), std::as_bytes(std::span(&aad, 1)),
                                          cipher, plain, store.block_bytes, cipher + store.block_bytes)) {
    return ok_status();
  }
  return Error(ErrorCode::kAuthentication, "%s block %u was changed, or belongs to another image",
               store.kind == StoreKind::kInput ? "input" : "spilled", block);
}

void BlockGate::seal(const StoreDesc& store, uint32_t block, uint64_t counter, const std::byte* plain) const {
  const uint64_t offset = block_offset(store, block);
  CARREL_CHECK(in_range(offset, uint64_t{store.block_bytes} + kTagBytes, area_.size()));
  tracer_->record(store.kind == StoreKind::kOutput ? TraceKind::kOutput : TraceKind::kSpillOut, offset, store.block_bytes);
  std::byte* cipher = area_.data() + offset;
  const BlockAad aad = aad_of(store, block);
  std::byte tag[kTagBytes];
  key(store.kind).seal(block_nonce(aad.position, counter), std::as_bytes(std::span(&aad, 1)), plain, cipher,
                       store.block_bytes, tag);
  std::memcpy(cipher + store.block_bytes, tag, kTagBytes);
}

}  // namespace carrel
