#pragma once
// The sealed model as a session sees it: its header, checked once, and the keys that follow from it.
#include "engine/format/boundary.h"
#include "engine/host/checked_host.h"

namespace carrel {

struct ModelKeys {
  SecretKey tiles;
  SecretKey programs;          // of programs in the file
  SecretKey session_programs;  // of a program that the client planned
};  // wipe() after use

// Reads the header into trusted memory, once, and checks it: structure, key, pinned model. `keys` is written only on
// success. Errors: kInvalidInput, kUnsupported, kAuthentication, kWrongKey, what the host reports.
Status open_sealed_model(CheckedHost* host, const SessionSecrets& secrets, ModelId* model_id, ModelKeys* keys);

// Reads, authenticates and decrypts a program of `bytes` into `blob`. Errors: kAuthentication, kPlatform.
struct ProgramPlace {
  uint64_t offset = 0;  // in the shared area for index == kSessionProgram, else in the file
  uint64_t index = 0;
};
Status read_program(CheckedHost* host, const ModelId& model_id, const ModelKeys& keys, CpuMask cpu,
                    const ProgramPlace& place, std::span<std::byte> blob);

}  // namespace carrel
