#include "client/boundary.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "base/checked.h"
#include "base/wipe.h"
#include "engine/crypto/hash.h"

namespace carrel {
namespace {

BlockAad aad_of(const StoreDesc& store, uint32_t block) {
  return {kBlockAadKind, static_cast<uint32_t>(store.kind), store.first_position + block, store.block_bytes};
}

Status check_sizes(const BoundaryTensor& tensor, StoreKind kind, size_t values, size_t area_bytes) {
  if (tensor.store.kind != kind) return Error(ErrorCode::kInvalidInput, "a tensor crosses in the other direction");
  if (values != tensor.element_count) {
    return Error(ErrorCode::kInvalidInput, "a tensor has %llu elements, not %llu",
                 static_cast<unsigned long long>(tensor.element_count), static_cast<unsigned long long>(values));
  }
  if (area_bytes < block_offset(tensor.store, tensor.store.block_count)) {
    return Error(ErrorCode::kInvalidInput, "the shared area is too small");
  }
  return ok_status();
}

// Floats of block `block`: row y of all channels, or a piece of a plain tensor.
template <typename Visit>
void visit_block(const BoundaryTensor& tensor, uint32_t block, Visit visit) {
  if (tensor.kind == TensorKind::kMap) {
    for (uint64_t c = 0; c < tensor.channels; ++c) {
      visit(c * tensor.width, (c * tensor.height + block) * tensor.width, tensor.width);
    }
    return;
  }
  const uint64_t floats = tensor.store.block_bytes / sizeof(float);
  const uint64_t begin = block * floats;
  visit(uint64_t{0}, begin, std::min(floats, tensor.element_count - std::min(begin, tensor.element_count)));
}

}  // namespace

Result<BoundaryTensor> boundary_tensor(const ProgramView& program, uint32_t index) {
  for (const OpDesc& op : program.ops) {
    const bool input = op.opcode == Opcode::kInput, output = op.opcode == Opcode::kOutput;
    if ((!input && !output) || op.store != index) continue;
    const TensorDesc& t = program.tensors[input ? op.out : op.in0];
    BoundaryTensor tensor{program.stores[index], t.kind, 0, t.channels, t.height, t.width};
    tensor.element_count = t.kind == TensorKind::kPlain ? plain_count(program, t)
                                                        : uint64_t{t.channels} * t.height * t.width;
    return tensor;
  }
  if (index < program.header->input_count) return BoundaryTensor{program.stores[index], TensorKind::kPlain, 0, 0, 0, 0};
  return Error(ErrorCode::kInvalidInput, "the program never touches store %u", index);
}

SessionBoundary::SessionBoundary(const SecretKey& session_key, CpuMask cpu) {
  input_.emplace(hkdf(session_key, {}, kInputKeyLabel).key, cpu);
  output_.emplace(hkdf(session_key, {}, kOutputKeyLabel).key, cpu);
}

Status SessionBoundary::seal_input(const BoundaryTensor& tensor, uint64_t counter, std::span<const float> values,
                                   std::span<std::byte> shared) const {
  CARREL_RETURN_IF_ERROR(check_sizes(tensor, StoreKind::kInput, values.size(), shared.size()));
  const StoreDesc& store = tensor.store;
  std::vector<float> block(store.block_bytes / sizeof(float));
  for (uint32_t b = 0; b < store.block_count; ++b) {
    std::fill(block.begin(), block.end(), 0.0f);
    visit_block(tensor, b, [&](uint64_t in_block, uint64_t in_tensor, uint64_t count) {
      std::copy_n(values.data() + in_tensor, count, block.data() + in_block);
    });
    const BlockAad aad = aad_of(store, b);
    std::byte* cipher = shared.data() + block_offset(store, b);
    std::byte tag[kTagBytes];
    input_->seal(block_nonce(aad.position, counter), std::as_bytes(std::span(&aad, 1)),
                 std::as_bytes(std::span(block)).data(), cipher, store.block_bytes, tag);
    std::memcpy(cipher + store.block_bytes, tag, kTagBytes);
  }
  wipe(block.data(), block.size() * sizeof(float));
  return ok_status();
}

Status SessionBoundary::open_output(const BoundaryTensor& tensor, uint64_t counter, std::span<const std::byte> shared,
                                    std::span<float> values) const {
  CARREL_RETURN_IF_ERROR(check_sizes(tensor, StoreKind::kOutput, values.size(), shared.size()));
  const StoreDesc& store = tensor.store;
  std::vector<float> block(store.block_bytes / sizeof(float));
  for (uint32_t b = 0; b < store.block_count; ++b) {
    const BlockAad aad = aad_of(store, b);
    const std::byte* cipher = shared.data() + block_offset(store, b);
    if (!output_->open_from_untrusted(block_nonce(aad.position, counter), std::as_bytes(std::span(&aad, 1)), cipher,
                                      std::as_writable_bytes(std::span(block)).data(), store.block_bytes,
                                      cipher + store.block_bytes)) {
      std::fill(values.begin(), values.end(), 0.0f);
      return Error(ErrorCode::kAuthentication, "output block %u was changed on its way", b);
    }
    visit_block(tensor, b, [&](uint64_t in_block, uint64_t in_tensor, uint64_t count) {
      std::copy_n(block.data() + in_block, count, values.data() + in_tensor);
    });
  }
  wipe(block.data(), block.size() * sizeof(float));
  return ok_status();
}

Status seal_session_program(const SecretKey& session_key, CpuMask cpu, const ModelId& model_id,
                            std::span<const std::byte> program, std::span<std::byte> sealed) {
  if (program.size() > UINT32_MAX || sealed.size() != program.size() + kTagBytes) {
    return Error(ErrorCode::kInvalidInput, "a program of %llu bytes", static_cast<unsigned long long>(program.size()));
  }
  const Gcm gcm(hkdf(session_key, {}, kProgramKeyLabel).key, cpu);
  const ProgramAad aad{model_id, kSessionProgram, static_cast<uint32_t>(program.size())};
  gcm.seal(tile_nonce(kSessionProgram), std::as_bytes(std::span(&aad, 1)), program.data(), sealed.data(),
           program.size(), sealed.data() + program.size());
  return ok_status();
}

Status deliver_secrets(int fd, const SessionSecrets& secrets) {
  const char* next = reinterpret_cast<const char*>(&secrets);
  size_t left = sizeof(secrets);
  while (left > 0) {
    const ssize_t written = write(fd, next, left);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return Error(ErrorCode::kIo, "the session's secrets did not reach the engine: %s", strerror(errno));
    next += written;
    left -= static_cast<size_t>(written);
  }
  return ok_status();
}

}  // namespace carrel
