#pragma once
// What client and engine agree on for one session: the secrets, and how tensors and programs cross the host.
//
// A block (StoreDesc, engine/format/program.h) is AES-256-GCM under
//   key    inputs  HKDF(session_key, no salt, kInputKeyLabel)     sealed by the client
//          outputs HKDF(session_key, no salt, kOutputKeyLabel)    sealed by the engine
//          spill   random, drawn by the engine                    sealed and opened by the engine
//   nonce  block_nonce(first_position + block, image counter)
//   AAD    BlockAad
// The counter rises with every image of every attempt, so a nonce never repeats under a key and a block of an
// earlier image never verifies.
// A session program is sealed under HKDF(session_key, no salt, kProgramKeyLabel), nonce tile_nonce(kSessionProgram),
// AAD ProgramAad with program_index kSessionProgram. One per session.
#include "engine/crypto/gcm.h"
#include "engine/format/sealed_model.h"

namespace carrel {

inline constexpr char kInputKeyLabel[] = "carrel input";
inline constexpr char kOutputKeyLabel[] = "carrel output";
inline constexpr char kProgramKeyLabel[] = "carrel program";
inline constexpr uint32_t kBlockAadKind = 3;  // kTileAadKind, kProgramAadKind: engine/format/sealed_model.h

struct BlockAad {
  uint32_t kind = kBlockAadKind;
  uint32_t store_kind = 0;  // StoreKind
  uint32_t position = 0;
  uint32_t block_bytes = 0;
};
static_assert(sizeof(BlockAad) == 16);

// What the client hands to the engine over a channel of its own (never through the host).
struct SessionSecrets {
  SecretKey model_key;
  SecretKey session_key;  // fresh per session
  ModelId expected_model;
  uint32_t pin_model = 0;  // 1: expected_model must match
  uint32_t reserved = 0;
};
static_assert(sizeof(SessionSecrets) == 88);

}  // namespace carrel
