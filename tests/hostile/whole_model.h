#pragma once
// What the tests of whole sealed models share: networks, sealed files, and an honest client that
// keeps what it knows while the host does to the file whatever it likes.
#include <memory>
#include <string>
#include <vector>

#include "apps/common/runner.h"
#include "client/boundary.h"
#include "compiler/seal/seal.h"
#include "compiler/zoo/zoo.h"
#include "engine/host/trace.h"
#include "platform/session.h"

namespace carrel::testing {

// A folder of its own that disappears with the object.
class ScratchFolder {
 public:
  ScratchFolder();
  ~ScratchFolder();
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  std::string file(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

std::vector<std::byte> read_bytes(const std::string& path);
void write_bytes(const std::string& path, std::span<const std::byte> bytes);
// Changes bytes in place, as a host would under an open file.
void overwrite_at(const std::string& path, uint64_t offset, std::span<const std::byte> bytes);

SecretKey filled_key(uint8_t fill);

// The trusted executable of this build.
std::string enclave_path();

// Made and optimized. Fails the running test and returns an empty graph on an error.
Graph zoo_graph(const ZooOptions& options);
// Seals to `path`; false (and a test failure) on an error.
bool seal_to(const std::string& path, const Graph& graph, const SecretKey& key,
             const std::vector<PlanRequest>& programs);

// The request that every test starts from: this machine's instruction set.
PlanRequest request_of(uint64_t budget_bytes, Strategy strategy = Strategy::kAuto,
                       uint32_t threads = 1);

// Keys, program and inputs of one session. Knows the model from the intact file.
class HonestClient {
 public:
  // Errors: those of reading, authenticating and opening program `index`.
  static Result<std::unique_ptr<HonestClient>> open(const std::string& path, const SecretKey& key,
                                                    size_t index);

  const SealedInfo& info() const { return info_; }
  const ProgramView& program() const { return view_; }
  std::span<const std::byte> blob() const {
    return std::as_bytes(std::span(blob_)).first(blob_bytes_);
  }
  const SecretKey& session_key() const { return secrets_.session_key; }

  // What the engine is given; a test may change it before start().
  SessionSecrets& secrets() { return secrets_; }
  // Inputs of order 1; the same seed gives the same values.
  void make_inputs(uint32_t seed);

  struct StartOptions {
    PlatformKind platform = PlatformKind::kInproc;
    bool map_model = true;  // process only
  };
  // An engine over `path`, without any check of the file by this side.
  Result<std::unique_ptr<TrustedSession>> start(const std::string& path,
                                                const StartOptions& options) const;
  Status prepare(TrustedSession& session) const;
  // One image; all outputs one after another. Errors: the engine's, or a changed output.
  Result<std::vector<float>> infer(TrustedSession& session, uint64_t counter) const;
  // All of it: the first error or the outputs.
  Result<std::vector<float>> run_all(const std::string& path, const StartOptions& options) const;

  Status seal_inputs(uint64_t counter, std::span<std::byte> shared) const;
  Result<std::vector<float>> open_outputs(uint64_t counter,
                                          std::span<const std::byte> shared) const;

 private:
  SealedInfo info_;
  std::vector<uint64_t> blob_;
  uint64_t blob_bytes_ = 0;
  size_t index_ = 0;
  ProgramView view_;
  SessionSecrets secrets_ = {};
  std::vector<std::vector<float>> inputs_;
};

// A named range of bytes of a sealed file.
struct FileRange {
  std::string name;
  uint64_t offset = 0;
  uint64_t bytes = 0;
};
// Header fields, tables of the manifest, programs, and every tile with its tag.
std::vector<FileRange> header_fields();
std::vector<FileRange> manifest_parts(const SealedInfo& info);
std::vector<FileRange> program_parts(const SealedInfo& info);
std::vector<FileRange> tile_parts(const SealedInfo& info);

}  // namespace carrel::testing
