#include "include/carrel/carrel.h"

#include <dlfcn.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>

#include "apps/common/runner.h"
#include "base/bytes.h"
#include "base/wipe.h"
#include "client/keys.h"

struct carrel_session {
  std::unique_ptr<carrel::Runner> runner;
  carrel::RunStats stats;
};

namespace carrel {
namespace {

constexpr uint64_t kDefaultMemoryBytes = 16 * kMiB;

carrel_status status_of(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidInput: return CARREL_INVALID_INPUT;
    case ErrorCode::kUnsupported: return CARREL_UNSUPPORTED;
    case ErrorCode::kBudgetTooSmall: return CARREL_BUDGET_TOO_SMALL;
    case ErrorCode::kAuthentication: return CARREL_AUTHENTICATION;
    case ErrorCode::kWrongKey: return CARREL_WRONG_KEY;
    case ErrorCode::kIo: return CARREL_IO;
    case ErrorCode::kPlatform: return CARREL_PLATFORM;
    case ErrorCode::kCancelled: return CARREL_CANCELLED;
  }
  return CARREL_PLATFORM;
}

carrel_status fail(const Error& e, carrel_error* error) {
  if (error != nullptr) {
    error->detail = e.detail();
    snprintf(error->message, sizeof error->message, "%s", e.message());
  }
  return status_of(e.code());
}

carrel_status invalid(const char* message, carrel_error* error) {
  return fail(Error(ErrorCode::kInvalidInput, "%s", message), error);
}

// No exception crosses the C boundary; the compiler side may run out of memory.
template <typename F>
carrel_status guarded(carrel_error* error, F f) {
  try {
    return f();
  } catch (const std::exception& e) {
    return fail(Error(ErrorCode::kIo, "%s", e.what()), error);
  }
}

// The trusted executable of the installation that this library belongs to; empty if there is none, then the platform
// looks beside the program. A library loaded by a relative path has none: by now the path may lead to somebody else's
// folder, and what lies there would be given the key.
std::string installed_enclave() {
  Dl_info info;
  if (dladdr(reinterpret_cast<const void*>(&installed_enclave), &info) == 0 || info.dli_fname == nullptr) return "";
  if (info.dli_fname[0] != '/') return "";
  std::error_code none;
  const std::filesystem::path folder = std::filesystem::canonical(info.dli_fname, none).parent_path();
  if (folder.empty()) return "";
  for (const char* up : {"..", "../.."}) {  // lib, lib/<architecture>
    const std::filesystem::path path = folder / up / "libexec/carrel/carrel-enclave";
    if (std::filesystem::exists(path, none)) return path.lexically_normal();
  }
  return "";
}

Result<RunnerOptions> runner_options(const char* model_path, const carrel_options& options) {
  RunnerOptions out;
  out.model_path = model_path;
  out.memory_bytes = options.memory_bytes;
  out.threads = options.threads;
  if (options.strategy < CARREL_STRATEGY_WHOLE || options.strategy > CARREL_STRATEGY_AUTO) {
    return Error(ErrorCode::kInvalidInput, "options.strategy is not a carrel_strategy");
  }
  out.strategy = static_cast<Strategy>(options.strategy);
  if (options.platform != CARREL_PLATFORM_PROCESS && options.platform != CARREL_PLATFORM_INPROC) {
    return Error(ErrorCode::kInvalidInput, "options.platform is not a carrel_platform");
  }
  out.platform = options.platform == CARREL_PLATFORM_PROCESS ? PlatformKind::kProcess : PlatformKind::kInproc;
  out.cpu = detect_cpu();
  if (options.expected_model_id != nullptr) {
    out.pin_model = true;
    std::memcpy(out.expected_model.bytes, options.expected_model_id, sizeof out.expected_model.bytes);
  }
  out.enclave_path = options.enclave_path != nullptr ? options.enclave_path : installed_enclave();
  return out;
}

Result<Tensor> tensor_of(const carrel_tensor& claimed) {
  if (claimed.rank > CARREL_MAX_RANK || claimed.data == nullptr) {
    return Error(ErrorCode::kInvalidInput, "an input has no data or more than %d dimensions", CARREL_MAX_RANK);
  }
  Shape shape;
  for (uint32_t i = 0; i < claimed.rank; ++i) CARREL_CHECK(shape.push_back(claimed.dims[i]));
  CARREL_ASSIGN(const uint64_t count, shape.element_count());
  if (count != claimed.count) return Error(ErrorCode::kInvalidInput, "an input's count does not match its dims");
  return Tensor::from_f32(shape, {claimed.data, static_cast<size_t>(count)});
}

carrel_status copy_outputs(const std::vector<Tensor>& values, carrel_tensor* outputs, carrel_error* error) {
  for (size_t i = 0; i < values.size(); ++i) {
    const uint64_t need = static_cast<uint64_t>(values[i].count());
    if (outputs[i].data != nullptr && outputs[i].count >= need) continue;
    return fail(Error(ErrorCode::kInvalidInput, "output %zu needs room for %lu elements", i, need).with_detail(need), error);
  }
  for (size_t i = 0; i < values.size(); ++i) {
    const std::span<const float> f = values[i].f32();
    std::copy(f.begin(), f.end(), outputs[i].data);
    outputs[i].count = f.size();
    outputs[i].rank = static_cast<uint32_t>(values[i].shape.rank());
    for (int d = 0; d < values[i].shape.rank(); ++d) outputs[i].dims[d] = values[i].shape[d];
  }
  return CARREL_OK;
}

carrel_status info_of(const std::vector<TensorInfo>& tensors, uint32_t index, carrel_tensor_info* info) {
  if (index >= tensors.size() || info == nullptr) return CARREL_INVALID_INPUT;
  const TensorInfo& t = tensors[index];
  *info = carrel_tensor_info{};
  info->name = t.name.c_str();
  info->rank = static_cast<uint32_t>(t.shape.rank());
  for (int d = 0; d < t.shape.rank(); ++d) info->dims[d] = t.shape[d];
  return CARREL_OK;
}

}  // namespace
}  // namespace carrel

extern "C" {

const char* carrel_version(void) { return CARREL_VERSION; }

void carrel_init_options(carrel_options* options, uint64_t struct_bytes) {
  carrel_options defaults = {};
  defaults.struct_bytes = struct_bytes;
  defaults.memory_bytes = carrel::kDefaultMemoryBytes;
  defaults.threads = 1;
  defaults.strategy = CARREL_STRATEGY_AUTO;
  defaults.platform = CARREL_PLATFORM_PROCESS;
  std::memset(static_cast<void*>(options), 0, struct_bytes);
  std::memcpy(static_cast<void*>(options), &defaults, std::min<uint64_t>(struct_bytes, sizeof defaults));
}

carrel_status carrel_read_key(const char* path, uint8_t key[CARREL_KEY_BYTES], carrel_error* error) {
  if (path == nullptr || key == nullptr) return carrel::invalid("carrel_read_key: a null argument", error);
  return carrel::guarded(error, [&] {
    auto loaded = carrel::read_key_file(path);
    if (!loaded.ok()) return carrel::fail(loaded.error(), error);
    std::memcpy(key, loaded->key.bytes, CARREL_KEY_BYTES);
    carrel::wipe(loaded->key.bytes, CARREL_KEY_BYTES);
    return CARREL_OK;
  });
}

carrel_status carrel_open(const char* model_path, const uint8_t key[CARREL_KEY_BYTES], const carrel_options* options,
                          carrel_session** session, carrel_error* error) {
  if (model_path == nullptr || key == nullptr || session == nullptr) {
    return carrel::invalid("carrel_open: a null argument", error);
  }
  *session = nullptr;
  carrel_options chosen;
  carrel_init_options(&chosen, sizeof chosen);
  if (options != nullptr) {
    if (options->struct_bytes < sizeof(uint64_t) || options->struct_bytes > sizeof chosen) {
      return carrel::invalid("carrel_open: options.struct_bytes is not that of a known version", error);
    }
    std::memcpy(static_cast<void*>(&chosen), options, options->struct_bytes);
  }
  return carrel::guarded(error, [&] {
    const auto runner_options = carrel::runner_options(model_path, chosen);
    if (!runner_options.ok()) return carrel::fail(runner_options.error(), error);
    carrel::Wiped<carrel::SecretKey> secret_key;
    std::memcpy(secret_key.value.bytes, key, CARREL_KEY_BYTES);
    auto runner = carrel::Runner::open(*runner_options, secret_key.value);
    if (!runner.ok()) return carrel::fail(runner.error(), error);
    *session = new carrel_session{std::move(*runner), {}};
    return CARREL_OK;
  });
}

void carrel_close(carrel_session* session) { delete session; }

int64_t carrel_batch(const carrel_session* session) { return session->runner->batch(); }

uint32_t carrel_input_count(const carrel_session* session) {
  return static_cast<uint32_t>(session->runner->inputs().size());
}

uint32_t carrel_output_count(const carrel_session* session) {
  return static_cast<uint32_t>(session->runner->outputs().size());
}

carrel_status carrel_input_info(const carrel_session* session, uint32_t index, carrel_tensor_info* info) {
  return carrel::info_of(session->runner->inputs(), index, info);
}

carrel_status carrel_output_info(const carrel_session* session, uint32_t index, carrel_tensor_info* info) {
  return carrel::info_of(session->runner->outputs(), index, info);
}

carrel_status carrel_run(carrel_session* session, const carrel_tensor* inputs, carrel_tensor* outputs,
                         carrel_error* error) {
  if (session == nullptr || inputs == nullptr || outputs == nullptr) {
    return carrel::invalid("carrel_run: a null argument", error);
  }
  return carrel::guarded(error, [&] {
    std::vector<carrel::Tensor> values;
    for (uint32_t i = 0; i < carrel_input_count(session); ++i) {
      auto value = carrel::tensor_of(inputs[i]);
      if (!value.ok()) return carrel::fail(value.error(), error);
      values.push_back(std::move(*value));
    }
    const auto results = session->runner->run(values, &session->stats);
    if (!results.ok()) return carrel::fail(results.error(), error);
    return carrel::copy_outputs(*results, outputs, error);
  });
}

carrel_status carrel_get_stats(const carrel_session* session, carrel_stats* stats) {
  if (session == nullptr || stats == nullptr || stats->struct_bytes < sizeof(uint64_t)) return CARREL_INVALID_INPUT;
  carrel_stats now = {};
  now.struct_bytes = std::min<uint64_t>(stats->struct_bytes, sizeof now);
  now.planned_peak_bytes = session->runner->program().planned_peak_bytes;
  now.peak_trusted_bytes = session->stats.peak_trusted_bytes;
  now.kernel_private_bytes = session->runner->kernel_private_bytes();
  now.bytes_decrypted = session->stats.bytes_decrypted;
  now.bytes_spilled = session->stats.bytes_spilled;
  now.crossings = session->stats.crossings;
  std::memcpy(static_cast<void*>(stats), &now, now.struct_bytes);
  return CARREL_OK;
}

const char* carrel_protection_notes(const carrel_session* session) { return session->runner->protection_notes(); }

}  // extern "C"
