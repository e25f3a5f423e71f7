#pragma once
// Requests of carrel-enclave-probe: the real lock-down with a program on top that tries what it
// must not.
#include <cstdint>

namespace carrel {

enum class Probe : uint32_t {
  kEcho = 100,  // stats.crossings = args[0]
  kMapByte,     // stats.crossings = model_map()[args[0]]
  kReadByte,    // stats.crossings = the byte read_model() gives at args[0], 256 if none
  kTouchBlock,  // writes every page of the block
  kMarker,      // fills the start of the block with kProbeMarker; stats.crossings = its address
  kAskWorkers,  // stats.crossings = number of workers that answered
  kSleep,       // spins until killed
  kOpen,        // from here on: forbidden
  kSocket,
  kMapExecutable,
  kMapWritable,
  kProtectExecutable,
  kFork,
  kPtrace,
  kExec,
  kWriteElsewhere,
  kReadElsewhere,
  kOldSystemCall,  // int 0x80
  kThread,
  kKill,
  kDeepStack,  // args[0] bytes
  kEnd,
};
inline constexpr uint64_t kProbeMarker = 0x6c65727261632121;
inline constexpr uint64_t kProbeReserveBytes = 512 * 1024;

}  // namespace carrel
