#pragma once
// Weights on their way in: fetched from the sealed model, authenticated, decrypted and, unless dense, expanded, tile by tile.
//
// Mapped model: one pass straight from untrusted memory. Otherwise the ciphertext is copied in first. A tile that is
// not the sealed one never reaches a kernel.
// Thread safety: fetch() from any thread, into memory of its own.
#include "engine/crypto/gcm.h"
#include "engine/format/sealed_model.h"
#include "engine/host/checked_host.h"
#include "engine/kernels/rows/rows.h"
#include "engine/runtime/profiler.h"
#include "engine/runtime/tracer.h"

namespace carrel {

class TileStream {
 public:
  void attach(CheckedHost* host, const Gcm* key, const ModelId& model_id, const RowKernels* kernels,
              const Tracer* tracer, Profiler* profiler);

  // Tile `tile` of `stream`, as kernels read it (fp32; kDense as stored), into `dst` (tile_info().expanded_bytes, 64-byte aligned). `tag_room`: 16 more
  // bytes may be written behind it, which saves a host call where the model is not mapped.
  // Errors: kAuthentication, what the host reports. On error `dst` holds no plaintext.
  Status fetch(const StreamDesc& stream, const TileGrid& grid, uint32_t tile, std::byte* dst, bool tag_room) const;

 private:
  Status timed_open(const StreamDesc& stream, uint32_t tile, uint64_t offset, std::span<std::byte> plain,
                    bool tag_room) const;
  Status open(const StreamDesc& stream, uint32_t tile, uint64_t offset, std::span<std::byte> plain,
              bool tag_room) const;
  Status read(uint64_t offset, std::span<std::byte> into) const;

  CheckedHost* host_ = nullptr;
  const Gcm* key_ = nullptr;
  ModelId model_id_ = {};
  const RowKernels* kernels_ = nullptr;
  const Tracer* tracer_ = nullptr;
  Profiler* profiler_ = nullptr;
};

}  // namespace carrel
