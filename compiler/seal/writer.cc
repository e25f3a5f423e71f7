#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <string>
#include <thread>

#include "base/checked.h"
#include "compiler/graph/serialize.h"
#include "compiler/seal/keys.h"
#include "compiler/seal/manifest.h"
#include "compiler/seal/quantize.h"
#include "compiler/seal/round_half.h"
#include "compiler/seal/seal.h"
#include "engine/kernels/rows/rows.h"
#include "engine/layout/dense.h"
#include "files/atomic_file.h"

namespace carrel {
namespace {

// A convolution or fully-connected layer is packed so many bytes at a time: large enough to be fast, small beside any network's weights.
constexpr uint64_t kSliceBytes = uint64_t{4} << 20;
// From here on rounding to half precision gives infinity.
constexpr float kHalfOverflow = 65520.0f;

const char* layer_name(const Graph& graph, const StreamPlan::Source& source) {
  if (source.plain_value != kNoValue) return graph.value(source.plain_value).name.c_str();
  return graph.node(source.node).name.c_str();
}

Status check_half_range(std::span<const float> weights, const char* layer) {
  for (float w : weights) {
    if (std::isfinite(w) && std::fabs(w) >= kHalfOverflow) {
      return Error(ErrorCode::kInvalidInput, "%s: weight %s is beyond fp16's range; seal with --precision fp32",
                   layer, std::to_string(w).c_str());
    }
  }
  return ok_status();
}

Status check_finite(std::span<const float> weights, const char* layer) {
  if (std::all_of(weights.begin(), weights.end(), [](float w) { return std::isfinite(w); })) return ok_status();
  return Error(ErrorCode::kInvalidInput, "%s: a weight is not finite; seal with --fc fp32", layer);
}

// Weights of one output channel. Tensors that are no filters count element by element: each is rounded on its own.
size_t filter_size(const WeightsShape& shape) {
  const size_t taps = size_t{shape.kernel_h} * shape.kernel_w;
  if (shape.kind == WeightsKind::kConv || shape.kind == WeightsKind::kDense) return shape.in_channels * taps;
  return shape.kind == WeightsKind::kDepthwise ? taps : 1;
}

// Some whole panels of a stream: a stream of its own with the same bytes.
struct Slice {
  WeightsShape shape;
  uint32_t tile_begin = 0, tile_end = 0;
  std::span<const float> weights, bias;
};

class TileWriter {
 public:
  TileWriter(const SecretKey& key, const SealedHeader& header, AtomicFile* out, const SealProgress& progress)
      : subkey_(sealing_subkey(key, header.salt, kTilesLabel)),
        gcm_(subkey_.key, detect_cpu()),
        header_(header),
        out_(*out),
        progress_(progress) {}
  ~TileWriter() { wipe(packed_.data(), packed_.size()); }

  Status write_stream(const StreamDesc& stream, const StreamWeights& weights) {
    CARREL_ASSIGN(const TileGrid grid, make_tile_grid(stream.shape));
    CARREL_RETURN_IF_ERROR(out_.write_zeros(stream.file_offset - out_.position()));
    if (quantized(stream.shape.kind)) return write_quantized(stream, grid, weights);
    if (stream.shape.kind != WeightsKind::kConv && stream.shape.kind != WeightsKind::kDense) {
      return write_slice(stream, grid, {stream.shape, 0, grid.tile_count, weights.weights, weights.bias});
    }
    const uint64_t panel_bytes = std::max<uint64_t>(1, grid.stored_bytes / grid.panels);
    const uint64_t panels_per_slice = round_up(std::max<uint64_t>(1, kSliceBytes / panel_bytes), grid.panels_per_tile);
    for (uint64_t panel = 0; panel < grid.panels; panel += panels_per_slice) {
      const uint64_t end = std::min<uint64_t>(panel + panels_per_slice, grid.panels);
      CARREL_RETURN_IF_ERROR(write_slice(stream, grid, panel_slice(grid, weights, panel, end)));
    }
    return ok_status();
  }

 private:
  static Slice panel_slice(const TileGrid& grid, const StreamWeights& weights, uint64_t panel, uint64_t panel_end) {
    const WeightsShape& shape = grid.shape;
    const uint64_t begin = panel * kPanelWidth;
    const uint64_t end = std::min<uint64_t>(panel_end * kPanelWidth, shape.out_channels);
    const uint64_t row = uint64_t{shape.in_channels} * shape.kernel_h * shape.kernel_w;
    Slice slice;
    slice.shape = shape;
    slice.shape.out_channels = static_cast<uint32_t>(end - begin);
    slice.weights = std::span(weights.weights).subspan(begin * row, (end - begin) * row);
    if (!weights.bias.empty()) slice.bias = std::span(weights.bias).subspan(begin, end - begin);
    const auto tile_of = [&](uint64_t p) {
      return static_cast<uint32_t>(grid.chunks_per_panel > 1 ? p * grid.chunks_per_panel
                                                             : ceil_div(p, grid.panels_per_tile));
    };
    slice.tile_begin = tile_of(panel);
    slice.tile_end = tile_of(panel_end);
    return slice;
  }

  Status write_slice(const StreamDesc& stream, const TileGrid& grid, const Slice& slice) {
    const uint64_t base = tile_stored_offset(grid, slice.tile_begin);
    CARREL_ASSIGN(const TileGrid own, make_tile_grid(slice.shape));
    packed_.resize(own.stored_bytes);
    CARREL_CHECK(base + own.stored_bytes == tile_stored_offset(grid, slice.tile_end));
    if (is_quantized(own.shape.stored)) {
      pack_dense(own, quantize_dense(own.shape, slice.weights), slice.bias, packed_);
    } else {
      pack_weights(own, slice.weights, slice.bias, packed_);
    }
    return write_packed(stream, grid, slice.tile_begin, slice.tile_end);
  }

  Status write_quantized(const StreamDesc& stream, const TileGrid& grid, const StreamWeights& weights) {
    packed_.resize(grid.stored_bytes);
    pack_quant_weights(grid, {weights.quant_weights, weights.quant_bias, weights.multipliers}, packed_);
    return write_packed(stream, grid, 0, grid.tile_count);
  }

  // Tiles [begin, end), which packed_ holds.
  Status write_packed(const StreamDesc& stream, const TileGrid& grid, uint32_t begin, uint32_t end) {
    const uint64_t base = tile_stored_offset(grid, begin);
    for (uint32_t t = begin; t < end; ++t) {
      const std::byte* plain = packed_.data() + (tile_stored_offset(grid, t) - base);
      CARREL_RETURN_IF_ERROR(write_tile(stream.first_tile + t, plain, tile_info(grid, t).stored_bytes));
    }
    return ok_status();
  }

  Status write_tile(uint64_t index, const std::byte* plain, uint32_t bytes) {
    sealed_.resize(bytes + kTagBytes);
    const TileAad aad = tile_aad(header_.model_id, index, bytes);
    gcm_.seal(tile_nonce(index), bytes_of(aad), plain, sealed_.data(), bytes, sealed_.data() + bytes);
    CARREL_RETURN_IF_ERROR(out_.write(sealed_));
    if (progress_) progress_(header_.tiles_bytes + out_.position() - kTilesOffset, 2 * header_.tiles_bytes);
    return ok_status();
  }

  Subkey subkey_;
  Gcm gcm_;
  const SealedHeader& header_;
  AtomicFile& out_;
  const SealProgress& progress_;
  std::vector<std::byte> packed_, sealed_;
};

// The public part must describe the very streams that are written.
Status check_architecture(std::span<const std::byte> architecture, const WeightTypes& stored, const StreamPlan& streams) {
  CARREL_ASSIGN(const Graph parsed, parse_architecture(architecture));
  CARREL_ASSIGN(const StreamPlan again, plan_streams(parsed, stored));
  if (same_streams(again.streams, streams.streams)) return ok_status();
  return Error(ErrorCode::kUnsupported, "the network's weights cannot be told apart from its architecture");
}

// A program is right on every instruction set: the one it names only picks kernels. So requests that differ in nothing
// else share a plan.
bool share_plan(const PlanRequest& a, const PlanRequest& b) {
  return a.budget_bytes == b.budget_bytes && a.strategy == b.strategy && a.threads == b.threads;
}

std::vector<std::byte> for_isa(std::vector<std::byte> program, IsaLevel isa) {
  program[offsetof(ProgramHeader, isa)] = static_cast<std::byte>(isa);
  return program;
}

// The requests that one plan serves, told apart by their instruction set.
struct PlannedTogether {
  PlanRequest request;
  std::vector<IsaLevel> isas;
};

std::vector<PlannedTogether> group_requests(const std::vector<PlanRequest>& requests) {
  std::vector<PlannedTogether> groups;
  for (const PlanRequest& request : requests) {
    auto group = std::find_if(groups.begin(), groups.end(),
                              [&](const PlannedTogether& other) { return share_plan(request, other.request); });
    if (group == groups.end()) group = groups.insert(groups.end(), {request, {}});
    std::vector<IsaLevel>& isas = group->isas;
    if (std::find(isas.begin(), isas.end(), request.isa) == isas.end()) isas.push_back(request.isa);
  }
  return groups;
}

// One plan per group, on all cores; plans[i] belongs to groups[i].
std::vector<Result<Plan>> plan_groups(const Graph& graph, const StreamPlan& streams,
                                      const std::vector<PlannedTogether>& groups, const SealProgress& progress) {
  std::vector<Result<Plan>> plans(groups.size(), Error(ErrorCode::kCancelled, "not planned"));
  std::atomic<size_t> next{0};
  const auto plan_some = [&](const SealProgress& report) {
    for (size_t i = next++; i < groups.size(); i = next++) {
      plans[i] = plan_program(graph, streams, groups[i].request);
      if (report) report(i + 1, 2 * groups.size());  // planning counts as half of the work
    }
  };
  std::vector<std::jthread> helpers;
  const size_t cores = std::max<size_t>(1, std::thread::hardware_concurrency());
  for (size_t i = 1; i < std::min(cores, groups.size()); ++i) helpers.emplace_back(plan_some, SealProgress());
  plan_some(progress);
  helpers.clear();
  return plans;
}

std::string skipped_note(const PlannedTogether& group, const Error& error) {
  const uint32_t threads = group.request.threads;
  std::string note = "no program sealed for " + std::to_string(threads) + (threads == 1 ? " thread" : " threads");
  for (IsaLevel isa : group.isas) note += std::string(", ") + isa_name(isa);
  return note + ": " + error.message();
}

// Of the budgets that fit for no request, the error that names the least; ok if there is none.
Status check_every_budget(const std::vector<PlannedTogether>& groups, const std::vector<Result<Plan>>& plans) {
  for (const PlannedTogether& group : groups) {
    const Error* least = nullptr;
    bool fits = false;
    for (size_t i = 0; i < groups.size(); ++i) {
      if (groups[i].request.budget_bytes != group.request.budget_bytes) continue;
      fits |= plans[i].ok();
      if (!plans[i].ok() && (least == nullptr || plans[i].error().detail() < least->detail())) least = &plans[i].error();
    }
    if (!fits) return *least;
  }
  return ok_status();
}

Result<std::vector<OwnedProgram>> plan_all(const Graph& graph, const StreamPlan& streams, const SealOptions& options,
                                           const SealProgress& progress, std::vector<std::string>* notes) {
  const std::vector<PlannedTogether> groups = group_requests(options.programs);
  const std::vector<Result<Plan>> plans = plan_groups(graph, streams, groups, progress);
  for (const Result<Plan>& plan : plans) {
    if (!plan.ok() && plan.error().code() != ErrorCode::kBudgetTooSmall) return plan.error();
  }
  if (options.every_budget) CARREL_RETURN_IF_ERROR(check_every_budget(groups, plans));
  std::vector<OwnedProgram> programs;
  for (size_t i = 0; i < groups.size(); ++i) {
    if (!plans[i].ok()) {
      if (notes != nullptr) notes->push_back(skipped_note(groups[i], plans[i].error()));
      continue;
    }
    for (IsaLevel isa : groups[i].isas) programs.push_back({for_isa(plans[i]->program, isa)});
  }
  return programs;
}

Result<SealedHeader> new_header(const SecretKey& key, uint64_t tiles_bytes) {
  SealedHeader header{};
  std::memcpy(header.magic, kSealedMagic, sizeof(header.magic));
  header.version = kSealedVersion;
  header.header_bytes = sizeof(SealedHeader);
  header.tiles_bytes = tiles_bytes;
  CARREL_RETURN_IF_ERROR(random_bytes(std::as_writable_bytes(std::span(header.salt))));
  CARREL_RETURN_IF_ERROR(random_bytes(std::as_writable_bytes(std::span(header.model_id.bytes))));
  set_key_check(key, &header);
  return header;
}

Status write_tiles(const Graph& graph, const StreamPlan& streams, TileWriter* tiles) {
  for (size_t s = 0; s < streams.streams.size(); ++s) {
    CARREL_ASSIGN(StreamWeights weights, stream_weights(graph, streams, s));
    const WeightsShape& shape = streams.streams[s].shape;
    if (shape.stored == StoredType::kF16) {
      CARREL_RETURN_IF_ERROR(check_half_range(weights.weights, layer_name(graph, streams.sources[s])));
      round_to_half(weights.weights, filter_size(shape));
    }
    if (is_quantized(shape.stored)) {
      CARREL_RETURN_IF_ERROR(check_finite(weights.weights, layer_name(graph, streams.sources[s])));
    }
    CARREL_RETURN_IF_ERROR(tiles->write_stream(streams.streams[s], weights));
  }
  return ok_status();
}

}  // namespace

Result<ModelId> seal_model(const Graph& graph, const SecretKey& key, const SealOptions& options,
                           const std::string& path, const SealProgress& progress, std::vector<std::string>* notes) {
  CARREL_RETURN_IF_ERROR(check_crypto_cpu());
  CARREL_ASSIGN(AtomicFile out, AtomicFile::create(path));
  CARREL_ASSIGN(const StreamPlan streams, plan_streams(graph, options.stored));
  const std::vector<std::byte> architecture = serialize_architecture(graph);
  CARREL_RETURN_IF_ERROR(check_architecture(architecture, options.stored, streams));
  CARREL_ASSIGN(const std::vector<OwnedProgram> programs, plan_all(graph, streams, options, progress, notes));
  CARREL_ASSIGN(SealedHeader header, new_header(key, streams.tiles_bytes));
  CARREL_RETURN_IF_ERROR(out.write_zeros(kTilesOffset));
  TileWriter tiles(key, header, &out, progress);
  CARREL_RETURN_IF_ERROR(write_tiles(graph, streams, &tiles));
  CARREL_RETURN_IF_ERROR(out.write_zeros(kTilesOffset + streams.tiles_bytes - out.position()));
  CARREL_ASSIGN(const std::vector<std::byte> manifest,
                build_manifest(key, options.stored, streams.streams, architecture, programs, &header));
  CARREL_RETURN_IF_ERROR(out.write(manifest));
  CARREL_RETURN_IF_ERROR(out.write_at(0, bytes_of(header)));
  CARREL_RETURN_IF_ERROR(out.commit());
  return header.model_id;
}

}  // namespace carrel
