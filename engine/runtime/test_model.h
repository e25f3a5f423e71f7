#pragma once
// For tests only: programs built by hand and a sealed model in memory around them.
#include <cstring>
#include <random>
#include <span>
#include <vector>

#include "base/checked.h"
#include "base/cpu.h"
#include "engine/crypto/hash.h"
#include "engine/format/boundary.h"
#include "engine/format/program.h"
#include "engine/kernels/rows/rows.h"
#include "engine/layout/dense.h"

namespace carrel::testing {

inline std::vector<float> random_floats(size_t count, uint32_t seed) {
  std::mt19937 generator(seed);
  std::uniform_real_distribution<float> uniform(-1.0f, 1.0f);
  std::vector<float> values(count);
  for (float& v : values) v = uniform(generator);
  return values;
}

inline SecretKey test_key(uint8_t fill) {
  SecretKey key;
  std::memset(key.bytes, fill, sizeof(key.bytes));
  return key;
}

// Tables of a program, filled by hand. Tensors lie one after another in the arena.
class TestProgram {
 public:
  uint16_t map(uint32_t channels, uint32_t height, uint32_t width, uint32_t pad = 0, uint32_t ring_rows = 0,
               ElementType type = ElementType::kF32) {
    TensorDesc t{};
    t.kind = TensorKind::kMap;
    t.type = type;
    t.channels = channels;
    t.height = height;
    t.width = width;
    t.pad_left = t.pad_right = pad;
    t.ring_rows = ring_rows > 0 ? ring_rows : height;
    t.bytes = t.ring_rows * map_shape(t).row_bytes();
    t.arena_offset = reserve(t.bytes);
    tensors.push_back(t);
    return static_cast<uint16_t>(tensors.size() - 1);
  }
  uint16_t plain(std::vector<int64_t> dims) {
    TensorDesc t{};
    t.kind = TensorKind::kPlain;
    t.rank = static_cast<uint8_t>(dims.size());
    t.dims_begin = static_cast<uint32_t>(ints.size());
    ints.insert(ints.end(), dims.begin(), dims.end());
    uint64_t count = 1;
    for (int64_t d : dims) count *= static_cast<uint64_t>(d);
    t.bytes = round_up(count * 4, 64);
    t.arena_offset = reserve(t.bytes);
    tensors.push_back(t);
    return static_cast<uint16_t>(tensors.size() - 1);
  }
  uint64_t reserve(uint64_t bytes) {
    const uint64_t offset = arena_bytes;
    arena_bytes += round_up(bytes, 64);
    return offset;
  }
  // Weights between -1 and 1 in the plainest way; the compiler does it better.
  static void pack_codes(const TileGrid& grid, std::span<const float> weights, std::span<const float> bias,
                         std::span<std::byte> packed) {
    const bool four = grid.shape.stored == StoredType::kI4;
    const size_t outs = grid.shape.out_channels, rows = dense_rows(grid.shape), padded = size_t{grid.taps} * kDenseTapRows;
    std::vector<int8_t> codes(outs * padded, four ? 8 : 0);
    for (size_t o = 0; o < outs; ++o) {
      for (size_t k = 0; k < rows; ++k) {
        const float w = weights[o * rows + dense_row_source(grid.shape, k)];
        codes[o * padded + k] = static_cast<int8_t>(four ? 8 + w * 7 : w * 127);
      }
    }
    const std::vector<float> steps(four ? outs * grid.taps : 0, 0.5f), scales(outs, four ? 0.2f : 1.0f / 127);
    pack_dense(grid, {codes, steps, scales}, bias, packed);
  }
  // Streams are laid out in the file in the order they are added.
  uint16_t stream(const WeightsShape& shape, std::span<const float> weights, std::span<const float> bias) {
    std::vector<std::byte> packed(make_tile_grid(shape)->stored_bytes);
    if (is_quantized(shape.stored)) pack_codes(*make_tile_grid(shape), weights, bias, packed);
    else pack_weights(*make_tile_grid(shape), weights, bias, packed);
    return packed_stream(shape, std::move(packed));
  }
  uint16_t packed_stream(const WeightsShape& shape, std::vector<std::byte> packed) {
    const TileGrid grid = *make_tile_grid(shape);
    StreamDesc s{};
    s.shape = shape;
    s.file_offset = round_up(tiles_end, 64);
    s.first_tile = next_tile;
    next_tile += grid.tile_count;
    tiles_end = s.file_offset + grid.stored_bytes + uint64_t{grid.tile_count} * kTagBytes;
    stream_bytes.push_back(std::move(packed));
    streams.push_back(s);
    return static_cast<uint16_t>(streams.size() - 1);
  }
  uint16_t store(StoreKind kind, uint32_t block_bytes, uint32_t block_count) {
    StoreDesc s{};
    s.kind = kind;
    s.block_bytes = block_bytes;
    s.block_count = block_count;
    s.first_position = next_position;
    s.offset = round_up(store_bytes, 64);
    next_position += block_count;
    store_bytes = s.offset + uint64_t{block_count} * (block_bytes + kTagBytes);
    stores.push_back(s);
    return static_cast<uint16_t>(stores.size() - 1);
  }
  // Dense rows of a map, or blocks of a plain tensor.
  uint16_t boundary(StoreKind kind, uint16_t tensor) {
    const TensorDesc& t = tensors[tensor];
    if (t.kind == TensorKind::kMap) return store(kind, t.channels * t.width * 4, t.height);
    uint64_t bytes = 4;
    for (uint32_t d = 0; d < t.rank; ++d) bytes *= static_cast<uint64_t>(ints[t.dims_begin + d]);
    return store(kind, kPlainBlockBytes, static_cast<uint32_t>(std::max<uint64_t>(1, ceil_div(bytes, kPlainBlockBytes))));
  }
  uint16_t op(const OpDesc& desc) {
    ops.push_back(desc);
    return static_cast<uint16_t>(ops.size() - 1);
  }
  void step(uint16_t id, uint32_t row_begin, uint32_t row_count) {
    steps.push_back({id, static_cast<uint16_t>(row_count), row_begin});
  }

  // With the smallest tile buffers and budget that will do.
  std::vector<std::byte> blob(uint32_t threads, IsaLevel isa) const {
    ProgramHeader h;
    h.threads = static_cast<uint8_t>(threads);
    h.isa = static_cast<uint8_t>(isa);
    h.strategy = static_cast<uint8_t>(Strategy::kAuto);
    h.winograd = winograd;
    h.arena_bytes = arena_bytes;
    h.store_bytes = store_bytes;
    h.tile_buffer_bytes = static_cast<uint32_t>(round_up(least_tile_buffer(threads), 64));
    for (const StoreDesc& s : stores) {
      if (s.kind == StoreKind::kInput) ++h.input_count;
      if (s.kind == StoreKind::kOutput) ++h.output_count;
    }
    const auto count = [](const auto& table) { return static_cast<uint32_t>(table.size()); };
    h.tensor_count = count(tensors);
    h.stream_count = count(streams);
    h.store_count = count(stores);
    h.op_count = count(ops);
    h.step_count = count(steps);
    h.int_count = count(ints);
    h.float_count = count(floats);
    h.operand_count = count(operands);
    std::vector<std::byte> out(sizeof(h));
    append(tensors, &out);
    append(streams, &out);
    append(stores, &out);
    append(ops, &out);
    append(steps, &out);
    append(ints, &out);
    append(floats, &out);
    append(operands, &out);
    h.program_bytes = out.size();
    h.planned_peak_bytes = runtime_reserve_bytes(threads) + round_up(out.size(), 64) +
                           uint64_t{threads} * h.tile_buffer_bytes + arena_bytes;
    h.budget_bytes = h.planned_peak_bytes;
    std::memcpy(out.data(), &h, sizeof(h));
    return out;
  }

  std::vector<TensorDesc> tensors;
  std::vector<StreamDesc> streams;
  std::vector<StoreDesc> stores;
  std::vector<OpDesc> ops;
  std::vector<Step> steps;
  std::vector<int64_t> ints;
  std::vector<float> floats;
  std::vector<uint16_t> operands;
  std::vector<std::vector<std::byte>> stream_bytes;
  uint64_t arena_bytes = 0, store_bytes = 0, tiles_end = kTilesOffset, next_tile = 0;
  uint32_t next_position = 0;
  bool winograd = false;  // as the header says

 private:
  uint64_t least_tile_buffer(uint32_t threads) const {
    uint64_t bytes = ceil_div(least_boundary_buffer_bytes(stores), threads);
    for (const OpDesc& o : ops) {
      if (o.weights != WeightsMode::kStreamed || o.stream >= streams.size()) continue;
      const Result<TileGrid> grid = make_tile_grid(streams[o.stream].shape);
      if (!grid.ok()) continue;
      uint64_t mine = grid->max_expanded_bytes + 64;
      if (o.opcode == Opcode::kQuantConv && needs_quant_sums(o, *grid)) {
        mine += quant_sums_bytes(1, tensors[o.out].width);
      }
      bytes = std::max(bytes, mine);
    }
    return bytes;
  }
  template <typename T>
  static void append(const std::vector<T>& table, std::vector<std::byte>* out) {
    const size_t begin = out->size(), bytes = table.size() * sizeof(T);
    out->resize(round_up(begin + bytes, 8));
    if (bytes > 0) std::memcpy(out->data() + begin, table.data(), bytes);
  }
};

// A sealed model file: header, tiles, programs where the manifest would be (the engine never reads a manifest).
struct TestModel {
  std::vector<std::byte> file;
  ModelId id;
  std::vector<uint64_t> program_offsets, program_bytes;
};

inline TestModel seal_model(const TestProgram& program, const std::vector<std::vector<std::byte>>& blobs,
                            const SecretKey& model_key, uint8_t sealing = 1) {
  TestModel model;
  std::memset(&model.id, sealing, sizeof(model.id));
  SealedHeader h{};
  std::memcpy(h.magic, kSealedMagic, sizeof(h.magic));
  h.version = kSealedVersion;
  h.header_bytes = sizeof(h);
  std::memset(h.salt, sealing, sizeof(h.salt));
  std::memset(h.manifest_salt, sealing + 1, sizeof(h.manifest_salt));
  h.model_id = model.id;
  const Subkey check = hkdf(model_key, std::as_bytes(std::span(h.salt)), "carrel key check");
  std::memcpy(h.key_check, check.key.bytes, sizeof(h.key_check));

  model.file.resize(round_up(program.tiles_end, 64));
  const Gcm tiles(hkdf(model_key, std::as_bytes(std::span(h.salt)), "carrel tiles").key, kCpuGeneric);
  for (size_t s = 0; s < program.streams.size(); ++s) {
    const StreamDesc& desc = program.streams[s];
    const TileGrid grid = *make_tile_grid(desc.shape);
    for (uint32_t t = 0; t < grid.tile_count; ++t) {
      const uint64_t from = tile_stored_offset(grid, t);
      const uint32_t bytes = tile_info(grid, t).stored_bytes;
      const TileAad aad{model.id, desc.first_tile + t, bytes, 1};
      std::byte* cipher = model.file.data() + desc.file_offset + from + uint64_t{t} * kTagBytes;
      tiles.seal(tile_nonce(aad.tile_index), std::as_bytes(std::span(&aad, 1)), program.stream_bytes[s].data() + from,
                 cipher, bytes, cipher + bytes);
    }
  }
  h.tiles_bytes = model.file.size() - kTilesOffset;
  h.manifest_offset = model.file.size();
  const Gcm programs(hkdf(model_key, std::as_bytes(std::span(h.manifest_salt)), "carrel programs").key, kCpuGeneric);
  for (size_t i = 0; i < blobs.size(); ++i) {
    const ProgramAad aad{model.id, i, static_cast<uint32_t>(blobs[i].size()), 2};
    model.program_offsets.push_back(model.file.size());
    model.program_bytes.push_back(blobs[i].size());
    model.file.resize(round_up(model.file.size() + blobs[i].size() + kTagBytes, 8));
    std::byte* cipher = model.file.data() + model.program_offsets[i];
    programs.seal(tile_nonce(i), std::as_bytes(std::span(&aad, 1)), blobs[i].data(), cipher, blobs[i].size(),
                  cipher + blobs[i].size());
  }
  h.manifest_bytes = model.file.size() - h.manifest_offset;
  h.file_bytes = model.file.size();
  const Digest checksum = sha256(std::as_bytes(std::span(&h, 1)).first(offsetof(SealedHeader, checksum)));
  std::memcpy(h.checksum, checksum.bytes, sizeof(h.checksum));
  std::memcpy(model.file.data(), &h, sizeof(h));
  return model;
}

}  // namespace carrel::testing
