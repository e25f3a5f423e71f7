#pragma once
// The data owner's side of the boundary: seals inputs and programs for one session and opens its outputs. The format
// is engine/format/boundary.h. Holds keys; never linked into a host_* archive. Thread safety: none needed, const.
#include <optional>

#include "engine/format/boundary.h"
#include "engine/format/program.h"

namespace carrel {

// One tensor that crosses: where, and in which form. Values are always dense row-major float32.
struct BoundaryTensor {
  StoreDesc store;
  TensorKind kind = TensorKind::kMap;
  uint64_t element_count = 0;
  uint32_t channels = 0, height = 0, width = 0;  // kMap: (1, C, H, W)
};
// Of store `index` of a validated program: inputs first, then outputs. An input that no operator reads has
// element_count 0: nothing of it crosses. Errors: kInvalidInput.
Result<BoundaryTensor> boundary_tensor(const ProgramView& program, uint32_t index);

class SessionBoundary {
 public:
  SessionBoundary(const SecretKey& session_key, CpuMask cpu);

  // Seals one image's input into the shared area. `values`: element_count floats. Use a counter once.
  // Errors: kInvalidInput for a wrong count or an area that is too small.
  Status seal_input(const BoundaryTensor& tensor, uint64_t counter, std::span<const float> values,
                    std::span<std::byte> shared) const;
  // Errors: kAuthentication if the host changed or replayed anything; `values` is then zeros.
  Status open_output(const BoundaryTensor& tensor, uint64_t counter, std::span<const std::byte> shared,
                     std::span<float> values) const;

 private:
  std::optional<Gcm> input_, output_;
};

// A program planned on the spot: ciphertext and tag (program.size() + kTagBytes bytes). Once per session key.
Status seal_session_program(const SecretKey& session_key, CpuMask cpu, const ModelId& model_id,
                            std::span<const std::byte> program, std::span<std::byte> sealed);

// Writes the secrets to the engine's channel. Errors: kIo.
Status deliver_secrets(int fd, const SessionSecrets& secrets);

}  // namespace carrel
