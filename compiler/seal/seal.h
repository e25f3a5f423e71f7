#pragma once
// The owner's side of a sealed model: pack, encrypt, write; read back; verify; add programs.
#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "compiler/graph/graph.h"
#include "compiler/plan/plan.h"
#include "engine/crypto/gcm.h"
#include "engine/format/sealed_model.h"

namespace carrel {

struct SealOptions {
  WeightTypes stored;
  std::vector<PlanRequest> programs;  // to include, each once; ones that do not fit are skipped and noted
  bool every_budget = false;          // a budget that fits for none of the programs is kBudgetTooSmall instead
};
using SealProgress = std::function<void(uint64_t done, uint64_t total)>;

// Writes `path` beside and renames. Streams tile by tile: needs little memory beyond the graph's weights.
// Returns the model id. Skipped programs (budget too small) are described in `notes`, a line per budget, strategy and
// thread count. Errors: kIo is about `path`, anything else about the network.
Result<ModelId> seal_model(const Graph& graph, const SecretKey& key, const SealOptions& options, const std::string& path,
                           const SealProgress& progress, std::vector<std::string>* notes);

// The public part of a sealed file, parsed as hostile bytes.
struct SealedInfo {
  SealedHeader header;
  ManifestHeader manifest;
  std::vector<StreamDesc> streams;
  std::vector<ProgramRecord> programs;
  Graph architecture;  // shape-only weights
  std::vector<std::byte> manifest_bytes;
};
Result<SealedInfo> read_sealed(const std::string& path);
WeightTypes weight_types(const ManifestHeader& manifest);
// The manifest's tag under `key`: kWrongKey or kAuthentication.
Status authenticate_sealed(const SealedInfo& info, const SecretKey& key);
// Program `index`, decrypted. Requires authenticate_sealed and index < info.programs.size(). Errors: kAuthentication.
Result<std::vector<std::byte>> open_sealed_program(const SealedInfo& info, const SecretKey& key, size_t index);
// The stream plan of the file, so that more programs can be planned for it. Errors: kUnsupported if this build would lay
// the network's weights out otherwise.
Result<StreamPlan> sealed_streams(const SealedInfo& info);
// Every byte of the file: header, manifest, programs, every tile, every gap.
Status verify_sealed(const std::string& path, const SecretKey& key, const SealProgress& progress);
// Adds a program; same model id, fresh manifest salt; writes beside and renames. `model`: the sealing that the program was
// planned for. Errors: kAuthentication if `path` is another one by now, kInvalidInput if the program names other weights.
Status add_program(const std::string& path, const SecretKey& key, const ModelId& model,
                   const std::vector<std::byte>& program);

}  // namespace carrel
