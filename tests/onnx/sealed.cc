#include "tests/onnx/sealed.h"

#include <unistd.h>

#include <cstring>
#include <filesystem>

#include "apps/common/runner.h"
#include "compiler/eval/eval.h"
#include "compiler/graph/patch.h"
#include "compiler/seal/seal.h"

namespace carrel::conformance {
namespace {

// Gone with the object.
class TemporaryFile {
 public:
  TemporaryFile()
      : path_(std::filesystem::temp_directory_path() /
              ("carrel_conformance_" + std::to_string(getpid()) + ".carrel")) {}
  ~TemporaryFile() {
    std::error_code ignored;
    std::filesystem::remove(path_, ignored);
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace

Result<std::vector<Tensor>> run_sealed(const Graph& graph, const std::vector<Tensor>& inputs) {
  CARREL_ASSIGN(const Graph optimized, optimize(graph, eval_node));
  SecretKey key;
  std::memset(key.bytes, 11, sizeof(key.bytes));
  const TemporaryFile file;
  RunnerOptions options;
  options.model_path = file.path();
  options.memory_bytes = kSealedBudgetBytes;
  options.platform = PlatformKind::kInproc;
  options.cpu = detect_cpu();
  SealOptions seal;
  seal.programs = {{kSealedBudgetBytes, Strategy::kAuto, options.threads, isa_level(options.cpu)}};
  std::vector<std::string> notes;
  CARREL_RETURN_IF_ERROR(seal_model(optimized, key, seal, file.path(), nullptr, &notes));
  CARREL_ASSIGN(const std::unique_ptr<Runner> runner, Runner::open(options, key));
  RunStats stats;
  CARREL_ASSIGN(std::vector<Tensor> outputs, runner->run(inputs, &stats));
  if (stats.peak_trusted_bytes != runner->program().planned_peak_bytes ||
      stats.peak_trusted_bytes > kSealedBudgetBytes) {
    return Error(ErrorCode::kInvalidInput, "measured peak %lu, planned %lu bytes",
                 stats.peak_trusted_bytes, runner->program().planned_peak_bytes);
  }
  return outputs;
}

}  // namespace carrel::conformance
