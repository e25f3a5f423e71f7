#pragma once
// What launcher and enclave agree on before the first Request: descriptor numbers and two
// fixed-size messages on the control channel. Requests and replies after that are those of
// engine/host/host.h. Every message is one packet of a SOCK_SEQPACKET socket; both sides check its
// length and every field.
#include <cstdint>

#include "base/cpu.h"
#include "engine/host/host.h"

namespace carrel {

// Descriptors of a fresh enclave; 0-2 are /dev/null and nothing else is open. kSharedFd and kKeyFd
// are closed before the first request is served.
inline constexpr int kControlFd = 3;  // SOCK_SEQPACKET
inline constexpr int kModelFd = 4;    // read-only
inline constexpr int kSharedFd = 5;   // memfd, sealed against shrinking
inline constexpr int kKeyFd = 6;      // pipe from the client: one SessionSecrets
inline constexpr int kFirstUnusedFd = 7;

inline constexpr uint32_t kControlMagic = 0x4c544350;  // "PCTL"
inline constexpr uint32_t kControlVersion = 2;

enum class ModelAccess : uint32_t {
  kRead = 0,  // pread into trusted memory
  kMap = 1,   // mapped read-only; pages that vanish read as zeros and fail authentication
};

// Launcher to enclave, once. Claimed by an untrusted party.
struct StartMessage {
  uint32_t magic = kControlMagic;
  uint32_t version = kControlVersion;
  uint64_t budget_bytes = 0;
  uint32_t threads = 1;
  CpuMask cpu = 0;  // the enclave uses what is both in here and detected
  ModelAccess model_access = ModelAccess::kMap;
  int32_t launcher_pid = 0;  // whose death ends the enclave
  uint32_t allow_secret_memory = 1;
  uint32_t reserved = 0;
};
static_assert(sizeof(StartMessage) == 40);

// Protections that this machine refused (bits of ReadyMessage::lost).
enum LostProtection : uint32_t {
  kLostSecretBlock = 1u << 0,  // tiles and activations lie in ordinary memory, not in memfd_secret
  kLostSecretKeys = 1u << 1,   // keys too
  kLostLock = 1u << 2,         // memory is not locked: the kernel may swap it out
  kLostUid = 1u << 3,          // started by root and did not become nobody
  kLostUidNoKill = 1u << 4,    // because a launcher without CAP_KILL could not end it then
};

// Enclave to launcher, once: locked down and ready for requests, or why not.
struct ReadyMessage {
  uint32_t ok = 0;
  uint32_t error_code = 0;  // ErrorCode
  uint64_t detail = 0;
  char message[240] = {};
  uint32_t lost = 0;
  int32_t refusal_errno = 0;            // why the memory protection was refused
  uint64_t locked_anonymous_bytes = 0;  // counted in both RssAnon and VmLck
  uint64_t trusted_mapping_bytes = 0;   // the engine's block and its state
};
static_assert(sizeof(ReadyMessage) == 280);

// Exit statuses of an enclave that cannot answer any more; the launcher puts them in words.
inline constexpr int kExitDone = 0;
inline constexpr int kExitSetup = 70;  // could not even read the start message
inline constexpr int kExitLauncherGone = 71;
inline constexpr int kExitSharedFault = 72;  // the kernel had no memory for the shared area

}  // namespace carrel
