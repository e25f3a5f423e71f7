#include "bench/paper/comparison.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <random>
#include <set>

#include "apps/common/clock.h"
#include "apps/common/epc_runner.h"
#include "base/bytes.h"
#include "base/wipe.h"
#include "bench/paper/unmodified_runner.h"
#include "compiler/eval/eval.h"
#include "compiler/graph/patch.h"
#include "compiler/seal/seal.h"
#include "compiler/zoo/zoo.h"
#include "engine/crypto/hash.h"

namespace carrel {
namespace {

constexpr uint64_t kDenseMemory = 16 * kMiB;
constexpr uint64_t kSystems = 5, kDenseTypes = 3;  // rows for each size; rows of fully-connected layers

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values.empty() ? 0 : values[values.size() / 2];
}

Tensor picture(const Shape& shape) {
  std::mt19937 generator(1);
  std::normal_distribution<float> number;
  Tensor tensor = Tensor::zeros(DType::kF32, shape);
  for (float& value : tensor.f32()) value = number(generator);
  return tensor;
}

double relative_error(const Tensor& a, const Tensor& b) {
  double most = 0, error = 0;
  for (size_t i = 0; i < b.f32().size(); ++i) {
    most = std::max(most, std::abs(double{b.f32()[i]}));
    error = std::max(error, std::abs(double{a.f32()[i]} - double{b.f32()[i]}));
  }
  return most > 0 ? error / most : error;
}

PaperRow row_of(const std::string& system, const std::string& precision, uint64_t memory_bytes) {
  PaperRow row;
  row.system = system;
  row.precision = precision;
  row.memory_bytes = memory_bytes;
  return row;
}

std::set<std::string> dense_layers(const Graph& graph) {
  std::set<std::string> names;
  for (const Node& node : graph.nodes) {
    if (!node.dead && (node.op == OpType::kGemm || node.op == OpType::kMatMul)) names.insert(node.name);
  }
  return names;
}

// A file that lives as long as this, without a name.
class UnnamedFile {
 public:
  static Result<UnnamedFile> take(const std::string& path) {
    const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) return Error(ErrorCode::kIo, "%s: %s", path.c_str(), strerror(errno));
    UnnamedFile file(fd);
    if (unlink(path.c_str()) != 0) return Error(ErrorCode::kIo, "%s: %s", path.c_str(), strerror(errno));
    return file;
  }
  UnnamedFile() = default;
  UnnamedFile(UnnamedFile&& other) noexcept : fd_(other.fd_) { other.fd_ = -1; }
  UnnamedFile& operator=(UnnamedFile&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~UnnamedFile() {
    if (fd_ >= 0) close(fd_);
  }
  std::string path() const { return "/proc/self/fd/" + std::to_string(fd_); }

 private:
  explicit UnnamedFile(int fd) : fd_(fd) {}
  int fd_ = -1;
};

class Comparison {
 public:
  Comparison(const std::string& name, const PaperOptions& options, const PaperProgress& progress)
      : options_(options), progress_(progress) {
    out_.name = name;
  }
  Result<PaperNetwork> run() {
    CARREL_RETURN_IF_ERROR(prepare());
    for (const uint64_t size : options_.sizes) {
      CARREL_RETURN_IF_ERROR(unmodified(size));
      one_done();
      for (const Strategy strategy : {Strategy::kChannel, Strategy::kYplane, Strategy::kAuto}) {
        CARREL_RETURN_IF_ERROR(carrel(fp32_, "fp32", strategy, size));
        one_done();
      }
      CARREL_RETURN_IF_ERROR(carrel(mixed_, "mixed", Strategy::kAuto, size));
      one_done();
    }
    for (const auto& [stored, file] : {std::pair{"fp32", &fp32_}, {"int8", &mixed_}, {"int4", &int4_}}) {
      CARREL_RETURN_IF_ERROR(dense(stored, *file));
      one_done();
    }
    out_.unprotected_ms = median(unprotected_);
    return std::move(out_);
  }

 private:
  void one_done() {
    if (progress_) progress_(++done_, options_.sizes.size() * kSystems + kDenseTypes);
  }

  Status prepare() {
    CARREL_ASSIGN(Graph raw, make_zoo_model({.name = out_.name}));
    CARREL_ASSIGN(const Graph graph, optimize(std::move(raw), eval_node));
    for (const Node& node : graph.nodes) {
      if (node.dead) continue;
      const uint64_t bytes = static_cast<uint64_t>(graph.value(node.outputs[0]).shape.count()) * sizeof(float);
      out_.largest_output_bytes = std::max(out_.largest_output_bytes, bytes);
    }
    CARREL_RETURN_IF_ERROR(random_bytes(std::as_writable_bytes(std::span(key_.value.bytes))));
    CARREL_ASSIGN(fp32_, seal(graph, "fp32", StoredType::kF32));
    CARREL_ASSIGN(mixed_, seal(graph, "mixed", {StoredType::kF32, StoredType::kI8}));
    CARREL_ASSIGN(int4_, seal(graph, "int4", {StoredType::kF32, StoredType::kI4}));
    CARREL_ASSIGN(plain_, UnmodifiedRunner::open({fp32_.path(), 0, options_.threads, detect_cpu(), 0}, key_.value));
    out_.unmodified_bytes = plain_->engine().memory_bytes();
    input_ = {picture(plain_->engine().inputs()[0].shape)};
    EpcMeasured first;
    CARREL_ASSIGN(expected_, plain_->run(input_, &first));
    return ok_status();
  }

  Result<UnnamedFile> seal(const Graph& graph, const std::string& kind, WeightTypes stored) {
    const std::string file = options_.folder + "/" + out_.name + "." + kind + ".carrel";
    SealOptions seal;
    seal.stored = stored;
    std::vector<std::string> notes;
    CARREL_RETURN_IF_ERROR(seal_model(graph, key_.value, seal, file, {}, &notes));
    return UnnamedFile::take(file);
  }

  // `turns` times: the unmodified engine in plain memory, then `infer` three times, of which the first warms the caches
  // again. Machines are shared: only neighbours in time compare.
  template <class Infer>
  Status take_turns(uint32_t turns, PaperRow* row, Infer infer) {
    std::vector<double> times, ratios;
    for (uint32_t turn = 0; turn < turns; ++turn) {
      EpcMeasured plain;
      CARREL_RETURN_IF_ERROR(plain_->run(input_, &plain));
      unprotected_.push_back(plain.ms);
      for (int i = 0; i < 3; ++i) {
        CARREL_RETURN_IF_ERROR(infer());
        if (i == 0) continue;
        times.push_back(row->measured.ms);
        ratios.push_back(row->measured.ms / plain.ms);
      }
    }
    row->measured.ms = median(times);
    row->measured_ratio = median(ratios);
    return ok_status();
  }

  Status unmodified(uint64_t size) {
    PaperRow row = row_of("unmodified", "fp32", size);
    const uint64_t needed = plain_->engine().memory_bytes();
    row.trusted_bytes = std::min(needed, size);
    if (!options_.profile.pages && needed > size) {
      row.fits = false;
      row.least_bytes = needed;
      out_.rows.push_back(row);
      return ok_status();
    }
    CARREL_ASSIGN(const auto runner, UnmodifiedRunner::open({fp32_.path(), size, options_.threads, detect_cpu(), 0}, key_.value));
    std::vector<Tensor> outputs;
    // Paging takes seconds and hardly varies: fewer turns.
    CARREL_RETURN_IF_ERROR(take_turns((options_.repeat + 2) / 3, &row, [&]() -> Status {
      CARREL_ASSIGN(outputs, runner->run(input_, &row.measured));
      return ok_status();
    }));
    return add(std::move(row), outputs[0]);
  }

  RunnerOptions runner_options(const UnnamedFile& file, Strategy strategy, uint64_t size) const {
    RunnerOptions options;
    options.model_path = file.path();
    options.memory_bytes = size;
    options.strategy = strategy;
    options.threads = options_.threads;
    options.cpu = detect_cpu();
    options.machine = options_.machine;
    return options;
  }

  Status carrel(const UnnamedFile& file, const std::string& precision, Strategy strategy, uint64_t size) {
    PaperRow row = row_of(strategy_name(strategy), precision, size);
    const auto opened = open_in_epc(runner_options(file, strategy, size), options_.profile, key_.value);
    if (!opened.ok() && opened.error().code() == ErrorCode::kBudgetTooSmall) {
      row.fits = false;
      row.least_bytes = opened.error().detail();
      out_.rows.push_back(row);
      return ok_status();
    }
    if (!opened.ok()) return opened.error();
    return measure(opened->get(), std::move(row));
  }

  Status measure(Runner* runner, PaperRow row) {
    std::vector<Tensor> outputs;
    CARREL_RETURN_IF_ERROR(take_turns(options_.repeat, &row, [&]() -> Status {
      const EpcCounters counters = runner->epcsim()->counters();
      const uint64_t bytes = runner->epcsim()->bytes_handed_out();
      RunStats stats;
      const double start = now_ms();
      CARREL_ASSIGN(outputs, runner->run(input_, &stats));
      row.measured.ms = now_ms() - start;
      row.measured.counters = runner->epcsim()->counters().since(counters);
      row.measured.bytes_touched = runner->epcsim()->bytes_handed_out() - bytes;
      row.measured.crossings = stats.crossings;
      row.trusted_bytes = row.measured.working_set = stats.peak_trusted_bytes;
      return ok_status();
    }));
    return add(std::move(row), outputs[0]);
  }

  Status add(PaperRow row, const Tensor& output) {
    if (delivery_us_ == 0) {
      CARREL_ASSIGN(delivery_us_, fault_delivery_us(detect_cpu()));
    }
    row.relative_error = relative_error(output, expected_[0]);
    row.modelled = model_epc(options_.profile, row.measured, delivery_us_);
    row.modelled_ratio = row.measured_ratio * row.modelled.ms / row.measured.ms;
    out_.rows.push_back(std::move(row));
    return ok_status();
  }

  Status dense(const std::string& stored, const UnnamedFile& file) {
    RunnerOptions options = runner_options(file, Strategy::kAuto, kDenseMemory);
    options.profile = true;
    CARREL_ASSIGN(const auto runner, open_in_epc(options, options_.profile, key_.value));
    for (uint32_t i = 0; i <= options_.repeat; ++i) {
      RunStats stats;
      CARREL_RETURN_IF_ERROR(runner->run(input_, &stats));
      if (i == 0) runner->drop_profile();
    }
    CARREL_ASSIGN(const Profile profile, runner->profile());
    PaperDense row;
    row.stored = stored;
    row.total_ms = profile.engine_ms;
    const std::set<std::string> wanted = dense_layers(runner->architecture());
    for (const ProfileRow& layer : profile.layers) {
      if (!wanted.contains(layer.name)) continue;
      row.bytes_decrypted += layer.times.weight_bytes;
      row.decrypt_ms += layer.times.decrypt_ms;
      row.layers_ms += layer.times.wall_ms;
    }
    out_.dense.push_back(row);
    return ok_status();
  }

  const PaperOptions& options_;
  const PaperProgress& progress_;
  PaperNetwork out_;
  Wiped<SecretKey> key_;
  UnnamedFile fp32_, mixed_, int4_;
  std::unique_ptr<UnmodifiedRunner> plain_;
  std::vector<Tensor> input_, expected_;
  std::vector<double> unprotected_;
  double delivery_us_ = 0;
  uint64_t done_ = 0;
};

}  // namespace

double PaperNetwork::auto_spread() const {
  double least = 0, most = 0;
  uint32_t count = 0;
  for (const PaperRow& row : rows) {
    if (row.system != "auto" || row.precision != "fp32" || !row.fits) continue;
    least = count == 0 ? row.measured_ratio : std::min(least, row.measured_ratio);
    most = std::max(most, row.measured_ratio);
    ++count;
  }
  return count < 2 ? 0 : most / least;
}

Result<PaperNetwork> compare_network(const std::string& name, const PaperOptions& options, const PaperProgress& progress) {
  return Comparison(name, options, progress).run();
}

}  // namespace carrel
