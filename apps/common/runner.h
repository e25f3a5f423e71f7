#pragma once
// Owner, client and host at once: opens a sealed model in a trusted engine and runs tensors through it. The command
// line's `run` and the C API stand on this.
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "apps/common/profile.h"
#include "base/result.h"
#include "compiler/graph/graph.h"
#include "compiler/plan/plan.h"
#include "engine/crypto/gcm.h"
#include "engine/format/sealed_model.h"
#include "engine/host/host.h"
#include "platform/epcsim/epcsim.h"

namespace carrel {

enum class PlatformKind : uint8_t { kProcess, kInproc, kEpcsim };

struct RunnerOptions {
  std::string model_path;
  uint64_t memory_bytes = 0;
  Strategy strategy = Strategy::kAuto;
  uint32_t threads = 1;
  PlatformKind platform = PlatformKind::kProcess;
  CpuMask cpu = 0;
  bool pin_model = false;
  ModelId expected_model = {};
  uint32_t timeout_ms = 0;
  MachineFigures machine = {};  // for a program that has to be planned now
  bool profile = false;      // the engine notes the time of every step
  std::string enclave_path;  // empty: found beside the program
  // kEpcsim (platform/epcsim/epcsim.h)
  uint64_t trace_events = 0;
  uint64_t resident_pages = 0;
};

struct TensorInfo {
  std::string name;
  Shape shape;  // of one engine run
};

using ImageProgress = std::function<void(int64_t done, int64_t images)>;

class Runner {
 public:
  // Reads and authenticates the model's manifest, picks the sealed program for the options or plans one for this
  // session, starts the trusted engine and hands it the keys. `key` may be wiped afterwards.
  static Result<std::unique_ptr<Runner>> open(const RunnerOptions& options, const SecretKey& key);
  virtual ~Runner() = default;

  virtual const std::vector<TensorInfo>& inputs() const = 0;
  virtual const std::vector<TensorInfo>& outputs() const = 0;
  // 0: any first dimension runs image by image; n: exactly n images; 1: tensors are taken as they are.
  virtual int64_t batch() const = 0;
  // One inference: `values` in the order of inputs(), float32, each with the whole batch. Sums the statistics of all
  // images; calls `progress` after each. Errors: kInvalidInput naming the input whose shape does not fit.
  virtual Result<std::vector<Tensor>> run(const std::vector<Tensor>& values, RunStats* stats,
                                          const ImageProgress& progress) = 0;
  Result<std::vector<Tensor>> run(const std::vector<Tensor>& values, RunStats* stats) { return run(values, stats, {}); }

  // Of the images since it was last dropped; needs RunnerOptions::profile.
  virtual Result<Profile> profile() const = 0;
  virtual void drop_profile() = 0;

  virtual const Graph& architecture() const = 0;   // authenticated; shape-only weights
  virtual const ProgramHeader& program() const = 0;
  virtual const SealedHeader& model() const = 0;
  virtual WeightTypes precision() const = 0;
  virtual std::span<const StreamDesc> streams() const = 0;
  virtual bool planned_now() const = 0;            // no sealed program fitted
  virtual uint64_t kernel_private_bytes() = 0;
  virtual const char* protection_notes() = 0;
  virtual double start_ms() const = 0;             // engine start to ready
  virtual EpcsimSession* epcsim() = 0;             // null on another platform
  virtual const ProgramView& program_view() const = 0;
};

}  // namespace carrel
