#pragma once
// For tests and fuzzing only: runs an arbitrary program through a whole session, with every tile and input it asks
// for sealed on demand, in a block that a sanitizer watches.
#include <cstdlib>
#include <memory>

#include "base/checked.h"
#include "engine/crypto/hash.h"
#include "engine/runtime/engine.h"
#include "engine/runtime/test_model.h"

namespace carrel::testing {

// Where the generated file has its program and its end: beyond any tile of interest.
inline constexpr uint64_t kGeneratedProgramAt = uint64_t{1} << 43;
inline constexpr uint64_t kGeneratedFileBytes = uint64_t{1} << 44;

// `blob` sealed, behind a header that claims room for every tile.
inline TestModel generated_model(const std::vector<std::byte>& blob) {
  TestModel model = seal_model(TestProgram(), {blob}, test_key(0x11));
  SealedHeader h;
  std::memcpy(&h, model.file.data(), sizeof(h));
  h.file_bytes = kGeneratedFileBytes;
  h.manifest_offset = kGeneratedProgramAt;
  h.manifest_bytes = kGeneratedFileBytes - kGeneratedProgramAt;
  h.tiles_bytes = kGeneratedProgramAt - kTilesOffset;
  const Digest checksum = sha256(std::as_bytes(std::span(&h, 1)).first(offsetof(SealedHeader, checksum)));
  std::memcpy(h.checksum, checksum.bytes, sizeof(h.checksum));
  std::memcpy(model.file.data(), &h, sizeof(h));
  return model;
}

// A model file that does not exist: each read of a tile seals one.
class GeneratedHost : public Host {
 public:
  GeneratedHost(const TestModel& model, ProgramView program, std::span<std::byte> area)
      : model_(model), program_(program), area_(area), tiles_(tile_key(model), kCpuGeneric) {}

  Result<uint64_t> read_model(uint64_t offset, std::span<std::byte> dst) override {
    uint64_t at = offset;
    if (offset >= kGeneratedProgramAt) at = offset - kGeneratedProgramAt + model_.program_offsets[0];
    else if (offset >= kTilesOffset) return generate(offset, dst);
    if (!in_range(at, dst.size(), model_.file.size())) return uint64_t{0};
    std::memcpy(dst.data(), model_.file.data() + at, dst.size());
    return uint64_t{dst.size()};
  }
  Result<uint64_t> model_bytes() override { return kGeneratedFileBytes; }
  std::span<const std::byte> model_map() override { return {}; }
  std::span<std::byte> shared_area() override { return area_; }
  Status grow_shared_area(uint64_t) override { return ok_status(); }
  Result<Request> receive() override { return Error(ErrorCode::kPlatform, "no channel"); }
  Status reply(const Reply&) override { return ok_status(); }
  uint64_t nanoseconds() override { return 0; }
  void wait(const uint32_t*, uint32_t) override {}
  void wake_all(const uint32_t*) override {}

 private:
  static SecretKey tile_key(const TestModel& model) {
    SealedHeader h;
    std::memcpy(&h, model.file.data(), sizeof(h));
    return hkdf(test_key(0x11), std::as_bytes(std::span(h.salt)), "carrel tiles").key;
  }
  // The tile (or its tag, where that is read on its own) of the stream that has one here.
  Result<uint64_t> generate(uint64_t offset, std::span<std::byte> dst) {
    std::memset(dst.data(), 0, dst.size());
    for (const StreamDesc& stream : program_.streams) {
      const TileGrid grid = *make_tile_grid(stream.shape);
      for (uint32_t t = 0; t < grid.tile_count && t < 4096; ++t) {
        const uint32_t bytes = tile_info(grid, t).stored_bytes;
        const uint64_t begin = stream.file_offset + tile_stored_offset(grid, t) + uint64_t{t} * kTagBytes;
        if (offset != begin && offset != begin + bytes) continue;
        const TileAad aad{model_.id, stream.first_tile + t, bytes, 1};
        std::vector<std::byte> sealed(bytes + kTagBytes, std::byte{0x3c});
        tiles_.seal(tile_nonce(aad.tile_index), std::as_bytes(std::span(&aad, 1)), sealed.data(), sealed.data(), bytes,
                    sealed.data() + bytes);
        std::memcpy(dst.data(), sealed.data() + (offset - begin),
                    std::min<uint64_t>(dst.size(), sealed.size() - (offset - begin)));
        return uint64_t{dst.size()};
      }
    }
    return uint64_t{dst.size()};
  }

  const TestModel& model_;
  ProgramView program_;
  std::span<std::byte> area_;
  Gcm tiles_;
};

// Multiplications or so that a program would cost; a bound, for skipping those that only take time.
inline uint64_t work_of(const ProgramView& program) {
  uint64_t total = 0;
  for (const Step& step : program.steps) {
    const OpDesc& op = program.ops[step.op];
    uint64_t work = uint64_t{step.row_count} + 1;
    const auto times = [&](uint64_t factor) {
      if (!checked_mul(work, factor + 1, &work)) work = uint64_t{1} << 62;
    };
    for (uint16_t id : {op.in0, op.out}) {
      if (id < program.tensors.size() && program.tensors[id].kind == TensorKind::kMap) {
        times(program.tensors[id].width);
        times(program.tensors[id].channels);
      }
    }
    times(uint64_t{op.window.kernel_h} * op.window.kernel_w);
    if (op.opcode == Opcode::kLrn) times(op.arg0);
    if (op.opcode == Opcode::kLoad && op.stream < program.streams.size()) {
      const auto grid = make_tile_grid(program.streams[op.stream].shape);
      times(grid.ok() ? grid->expanded_bytes : 0);
    }
    // No plain operator costs more than each of one operand with each of another.
    uint64_t largest = 0, second = 0;
    for (uint32_t i = 0; op.opcode == Opcode::kPlain && i < uint32_t{op.input_count} + op.output_count; ++i) {
      const uint16_t id = program.operands[op.operand_begin + i];
      const uint64_t count = id != kNone16 ? program.tensors[id].bytes / 4 : 0;
      second = std::max(second, std::min(largest, count));
      largest = std::max(largest, count);
    }
    times(largest);
    times(second);
    if (!checked_add(total, work, &total)) return ~uint64_t{0};
  }
  return total;
}

inline void seal_all_inputs(const ProgramView& program, uint64_t counter, std::span<std::byte> area) {
  const Gcm key(hkdf(test_key(0x22), {}, kInputKeyLabel).key, kCpuGeneric);
  for (const StoreDesc& store : program.stores) {
    if (store.kind != StoreKind::kInput) continue;
    const std::vector<std::byte> plain(store.block_bytes, std::byte{0x3d});
    for (uint32_t b = 0; b < store.block_count; ++b) {
      const BlockAad aad{kBlockAadKind, 0, store.first_position + b, store.block_bytes};
      std::byte* cipher = area.data() + block_offset(store, b);
      key.seal(block_nonce(aad.position, counter), std::as_bytes(std::span(&aad, 1)), plain.data(), cipher,
               store.block_bytes, cipher + store.block_bytes);
    }
  }
}

// Memory of exactly this size, on the heap, so that a sanitizer sees a step outside it.
class AlignedBytes {
 public:
  explicit AlignedBytes(uint64_t bytes) : bytes_(bytes) {
    data_ = static_cast<std::byte*>(std::aligned_alloc(64, round_up(std::max<uint64_t>(bytes, 1), 64)));
    std::memset(data_, 0, round_up(std::max<uint64_t>(bytes, 1), 64));
  }
  ~AlignedBytes() { std::free(data_); }
  AlignedBytes(const AlignedBytes&) = delete;
  AlignedBytes& operator=(const AlignedBytes&) = delete;
  std::span<std::byte> span() const { return {data_, bytes_}; }

 private:
  std::byte* data_;
  uint64_t bytes_;
};

enum class SandboxResult { kMalformed, kRefused, kTooLarge, kFailed, kRan };

// Parses, validates and, if valid and small, runs `bytes` as a program. Sizes in the header are made consistent
// first, so that mutations reach further. Aborts if the engine leaves its memory.
inline SandboxResult run_in_sandbox(std::span<const std::byte> bytes) {
  std::vector<std::byte> blob(bytes.begin(), bytes.end());
  if (blob.size() < sizeof(ProgramHeader)) return SandboxResult::kMalformed;
  ProgramHeader h;
  std::memcpy(&h, blob.data(), sizeof(h));
  h.program_bytes = blob.size();
  h.threads = 1;
  h.isa = static_cast<uint8_t>(std::min<uint8_t>(h.isa, static_cast<uint8_t>(isa_level(detect_cpu()))));
  h.planned_peak_bytes = runtime_reserve_bytes(1) + round_up(blob.size(), 64) + h.tile_buffer_bytes + h.arena_bytes;
  h.budget_bytes = h.planned_peak_bytes;
  std::memcpy(blob.data(), &h, sizeof(h));
  const auto view = parse_program(blob);
  if (!view.ok()) return SandboxResult::kMalformed;
  if (!validate_program(*view).ok()) return SandboxResult::kRefused;
  constexpr uint64_t kMostBytes = 8 << 20, kMostWork = 50'000'000;
  if (h.arena_bytes > kMostBytes || h.store_bytes > kMostBytes || h.tile_buffer_bytes > kMostBytes ||
      work_of(*view) > kMostWork) {
    return SandboxResult::kTooLarge;
  }
  const TestModel model = generated_model(blob);
  const AlignedBytes block(h.planned_peak_bytes - runtime_reserve_bytes(1));
  const AlignedBytes area(round_up(h.store_bytes, 64));
  GeneratedHost host(model, *view, area.span());
  auto engine = std::make_unique<Engine>();
  SessionSecrets secrets{};
  secrets.model_key = test_key(0x11);
  secrets.session_key = test_key(0x22);
  CARREL_CHECK(Engine::open(&host, {block.span(), 1, detect_cpu(), nullptr}, &secrets, engine.get()).ok());
  const Request request{RequestKind::kPrepare, 0, {kGeneratedProgramAt, blob.size(), 0, 0}};
  CARREL_CHECK(engine->prepare(request).ok());
  seal_all_inputs(*view, 1, area.span());
  RunStats stats;
  const Status status = engine->run({RequestKind::kRun, 0, {1, 0, 0, 0}}, &stats);
  CARREL_CHECK(stats.peak_trusted_bytes <= h.planned_peak_bytes);
  if (!status.ok()) return SandboxResult::kFailed;
  CARREL_CHECK(std::memcmp(block.span().data(), blob.data(), blob.size()) == 0);
  return SandboxResult::kRan;
}

}  // namespace carrel::testing
