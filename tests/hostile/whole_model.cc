#include "tests/hostile/whole_model.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>

#include "compiler/eval/eval.h"
#include "compiler/graph/patch.h"
#include "platform/inproc/inproc.h"
#include "platform/process/process.h"

namespace carrel::testing {

namespace fs = std::filesystem;

ScratchFolder::ScratchFolder()
    : path_((fs::temp_directory_path() / "carrel_hostile_XXXXXX").string()) {
  EXPECT_NE(mkdtemp(path_.data()), nullptr);
}
ScratchFolder::~ScratchFolder() { fs::remove_all(path_); }

std::vector<std::byte> read_bytes(const std::string& path) {
  std::vector<std::byte> bytes(fs::file_size(path));
  std::ifstream in(path, std::ios::binary);
  in.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  EXPECT_TRUE(in.good());
  return bytes;
}

void write_bytes(const std::string& path, std::span<const std::byte> bytes) {
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out.write(reinterpret_cast<const char*>(bytes.data()),
            static_cast<std::streamsize>(bytes.size()));
  EXPECT_TRUE(out.good());
}

void overwrite_at(const std::string& path, uint64_t offset, std::span<const std::byte> bytes) {
  std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
  file.seekp(static_cast<std::streamoff>(offset));
  file.write(reinterpret_cast<const char*>(bytes.data()),
             static_cast<std::streamsize>(bytes.size()));
  EXPECT_TRUE(file.good());
}

SecretKey filled_key(uint8_t fill) {
  SecretKey key;
  std::memset(key.bytes, fill, sizeof(key.bytes));
  return key;
}

std::string enclave_path() { return CARREL_ENCLAVE; }

Graph zoo_graph(const ZooOptions& options) {
  Result<Graph> graph = make_zoo_model(options);
  EXPECT_TRUE(graph.ok()) << graph.error().message();
  if (!graph.ok()) return {};
  Result<Graph> optimized = optimize(std::move(*graph), eval_node);
  EXPECT_TRUE(optimized.ok()) << optimized.error().message();
  return optimized.ok() ? std::move(*optimized) : Graph();
}

bool seal_to(const std::string& path, const Graph& graph, const SecretKey& key,
             const std::vector<PlanRequest>& programs) {
  SealOptions options;
  options.programs = programs;
  std::vector<std::string> notes;
  const auto id = seal_model(graph, key, options, path, {}, &notes);
  EXPECT_TRUE(id.ok()) << id.error().message();
  for (const std::string& note : notes) ADD_FAILURE() << note;
  return id.ok() && notes.empty();
}

PlanRequest request_of(uint64_t budget_bytes, Strategy strategy, uint32_t threads) {
  return {budget_bytes, strategy, threads, isa_level(detect_cpu())};
}

Result<std::unique_ptr<HonestClient>> HonestClient::open(const std::string& path,
                                                         const SecretKey& key, size_t index) {
  auto client = std::make_unique<HonestClient>();
  CARREL_ASSIGN(client->info_, read_sealed(path));
  CARREL_RETURN_IF_ERROR(authenticate_sealed(client->info_, key));
  if (index >= client->info_.programs.size())
    return Error(ErrorCode::kInvalidInput, "no program %zu", index);
  CARREL_ASSIGN(const std::vector<std::byte> blob, open_sealed_program(client->info_, key, index));
  client->index_ = index;
  client->blob_bytes_ = blob.size();
  client->blob_.assign((blob.size() + 7) / 8, 0);
  std::memcpy(client->blob_.data(), blob.data(), blob.size());
  CARREL_ASSIGN(client->view_, parse_program(client->blob()));
  client->secrets_.model_key = key;
  client->secrets_.session_key = filled_key(0x5e);
  client->make_inputs(1);
  return client;
}

void HonestClient::make_inputs(uint32_t seed) {
  inputs_.clear();
  for (uint32_t i = 0; i < view_.header->input_count; ++i) {
    std::mt19937 generator(seed * 31 + i);
    std::normal_distribution<float> normal;
    std::vector<float> values(boundary_tensor(view_, i)->element_count);
    for (float& v : values) v = normal(generator);
    inputs_.push_back(std::move(values));
  }
}

Result<std::unique_ptr<TrustedSession>> HonestClient::start(const std::string& path,
                                                            const StartOptions& options) const {
  SessionOptions session;
  session.model_path = path;
  session.budget_bytes = view_.header->budget_bytes;
  session.threads = view_.header->threads;
  session.cpu = detect_cpu();
  session.shared_bytes = std::max<uint64_t>(view_.header->store_bytes, blob_bytes_ + kTagBytes);
  session.map_model = options.map_model;
  session.timeout_ms = 60 * 1000;
  const DeliverSecrets deliver = [this](int fd) { return deliver_secrets(fd, secrets_); };
  if (options.platform == PlatformKind::kInproc)
    return open_inproc_session({session, {}, {}, nullptr}, deliver);
  session.enclave_path = enclave_path();
  return open_process_session(session, deliver);
}

Status HonestClient::prepare(TrustedSession& session) const {
  const ProgramRecord& record = info_.programs[index_];
  return session.prepare_sealed(record.offset, record.program_bytes, index_);
}

Status HonestClient::seal_inputs(uint64_t counter, std::span<std::byte> shared) const {
  const SessionBoundary boundary(secrets_.session_key, detect_cpu());
  for (uint32_t i = 0; i < inputs_.size(); ++i) {
    CARREL_ASSIGN(const BoundaryTensor tensor, boundary_tensor(view_, i));
    CARREL_RETURN_IF_ERROR(boundary.seal_input(tensor, counter, inputs_[i], shared));
  }
  return ok_status();
}

Result<std::vector<float>> HonestClient::open_outputs(uint64_t counter,
                                                      std::span<const std::byte> shared) const {
  const SessionBoundary boundary(secrets_.session_key, detect_cpu());
  std::vector<float> all;
  for (uint32_t i = 0; i < view_.header->output_count; ++i) {
    CARREL_ASSIGN(const BoundaryTensor tensor,
                  boundary_tensor(view_, view_.header->input_count + i));
    std::vector<float> values(tensor.element_count);
    CARREL_RETURN_IF_ERROR(boundary.open_output(tensor, counter, shared, values));
    all.insert(all.end(), values.begin(), values.end());
  }
  return all;
}

Result<std::vector<float>> HonestClient::infer(TrustedSession& session, uint64_t counter) const {
  CARREL_RETURN_IF_ERROR(seal_inputs(counter, session.shared_area()));
  CARREL_RETURN_IF_ERROR(session.run(counter));
  return open_outputs(counter, session.shared_area());
}

Result<std::vector<float>> HonestClient::run_all(const std::string& path,
                                                 const StartOptions& options) const {
  CARREL_ASSIGN(const std::unique_ptr<TrustedSession> session, start(path, options));
  CARREL_RETURN_IF_ERROR(prepare(*session));
  return infer(*session, 1);
}

std::vector<FileRange> header_fields() {
#define CARREL_FIELD(name) \
  { #name, offsetof(SealedHeader, name), sizeof(SealedHeader::name) }
  return {CARREL_FIELD(magic),          CARREL_FIELD(version),       CARREL_FIELD(header_bytes),
          CARREL_FIELD(salt),           CARREL_FIELD(model_id),      CARREL_FIELD(key_check),
          CARREL_FIELD(file_bytes),     CARREL_FIELD(tiles_bytes),   CARREL_FIELD(manifest_offset),
          CARREL_FIELD(manifest_bytes), CARREL_FIELD(manifest_salt), CARREL_FIELD(manifest_tag),
          CARREL_FIELD(reserved),       CARREL_FIELD(checksum)};
#undef CARREL_FIELD
}

std::vector<FileRange> manifest_parts(const SealedInfo& info) {
  std::vector<FileRange> parts;
  uint64_t at = info.header.manifest_offset;
  const auto add = [&](const std::string& name, uint64_t bytes) {
    parts.push_back({name, at, bytes});
    at += bytes;
  };
  add("manifest header", sizeof(ManifestHeader));
  for (size_t i = 0; i < info.streams.size(); ++i)
    add("stream " + std::to_string(i), sizeof(StreamDesc));
  for (size_t i = 0; i < info.programs.size(); ++i)
    add("program record " + std::to_string(i), sizeof(ProgramRecord));
  add("architecture", info.manifest.architecture_bytes);
  return parts;
}

std::vector<FileRange> program_parts(const SealedInfo& info) {
  std::vector<FileRange> parts;
  for (size_t i = 0; i < info.programs.size(); ++i) {
    const ProgramRecord& record = info.programs[i];
    parts.push_back({"program " + std::to_string(i), record.offset, record.program_bytes});
    parts.push_back(
        {"tag of program " + std::to_string(i), record.offset + record.program_bytes, kTagBytes});
  }
  return parts;
}

std::vector<FileRange> tile_parts(const SealedInfo& info) {
  std::vector<FileRange> parts;
  for (size_t s = 0; s < info.streams.size(); ++s) {
    const StreamDesc& stream = info.streams[s];
    const TileGrid grid = *make_tile_grid(stream.shape);
    for (uint32_t t = 0; t < grid.tile_count; ++t) {
      const uint64_t offset =
          stream.file_offset + tile_stored_offset(grid, t) + uint64_t{t} * kTagBytes;
      parts.push_back({"stream " + std::to_string(s) + " tile " + std::to_string(t), offset,
                       tile_info(grid, t).stored_bytes + uint64_t{kTagBytes}});
    }
  }
  return parts;
}

}  // namespace carrel::testing
