#include "tests/suite/oracle.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <limits>

#include "base/bytes.h"
#include "client/npy.h"
#include "engine/crypto/hash.h"
#include "tests/suite/command.h"

namespace carrel::suite {
namespace {

constexpr size_t kDigestDigits = 16;

std::string digits_of(const Digest& digest) {
  std::string text;
  for (uint8_t byte : digest.bytes) {
    char two[3];
    std::snprintf(two, sizeof two, "%02x", byte);
    text += two;
  }
  return text.substr(0, kDigestDigits);
}

// Processes that run at once do not share temporary files.
std::string temporary(const std::string& suffix) {
  return cache_folder() + "/tmp-" + std::to_string(getpid()) + suffix;
}

Status rename_file(const std::string& from, const std::string& to) {
  std::error_code error;
  std::filesystem::rename(from, to, error);
  if (!error) return ok_status();
  return Error(ErrorCode::kIo, "cannot rename %s: %s", from.c_str(), error.message().c_str());
}

Status ask_oracle(const std::string& onnx_path, const std::string& input, int64_t batch,
                  const std::string& answer) {
  const std::string output = temporary("-out.npz");
  const Status done = run_command({"node", CARREL_ORACLE_DIR "/ort.mjs", onnx_path, input, output,
                                   "--batch", std::to_string(batch)});
  if (!done.ok()) {
    return Error(ErrorCode::kIo,
                 "ONNX Runtime gave no answer (%s); needs `npm install --ignore-scripts` in %s",
                 done.error().message(), CARREL_ORACLE_DIR);
  }
  return rename_file(output, answer);
}

}  // namespace

std::string cache_folder() {
  const std::string folder = CARREL_SUITE_CACHE;
  std::filesystem::create_directories(folder);
  return folder;
}

Result<std::string> file_digest(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return Error(ErrorCode::kIo, "cannot read %s", path.c_str());
  Sha256 hash;
  std::vector<char> buffer(kMiB);
  while (file.read(buffer.data(), static_cast<std::streamsize>(buffer.size())), file.gcount() > 0) {
    hash.update(std::as_bytes(std::span(buffer)).first(static_cast<size_t>(file.gcount())));
  }
  return digits_of(hash.finish());
}

Result<Tensor> oracle_output(const std::string& onnx_path, const Tensor& input, int64_t batch) {
  const std::string input_path = temporary("-in.npy");
  const NamedArray array{"", input.shape, {input.f32().begin(), input.f32().end()}};
  CARREL_RETURN_IF_ERROR(write_arrays(input_path, std::span(&array, 1)));
  std::string key;
  for (const std::string& path :
       {onnx_path, input_path, std::string(CARREL_ORACLE_DIR "/package.json")}) {
    CARREL_ASSIGN(const std::string digest, file_digest(path));
    key += (key.empty() ? "" : "-") + digest;
  }
  const std::string answer = cache_folder() + "/oracle-" + key + ".npz";
  Status asked = ok_status();
  if (!std::filesystem::exists(answer)) asked = ask_oracle(onnx_path, input_path, batch, answer);
  std::filesystem::remove(input_path);
  CARREL_RETURN_IF_ERROR(asked);
  CARREL_ASSIGN(const std::vector<NamedArray> outputs, read_arrays(answer));
  if (outputs.empty()) return Error(ErrorCode::kIo, "%s is empty", answer.c_str());
  return Tensor::from_f32(outputs[0].shape, outputs[0].values);
}

double relative_error(const Tensor& a, const Tensor& b) {
  constexpr double kWrong = std::numeric_limits<double>::infinity();
  if (!(a.shape == b.shape)) return kWrong;
  double most = 0, scale = 0;
  for (size_t i = 0; i < a.f32().size(); ++i) {
    const double x = a.f32()[i], y = b.f32()[i];
    if (!std::isfinite(x) || !std::isfinite(y)) return kWrong;
    most = std::max(most, std::fabs(x - y));
    scale = std::max(scale, std::fabs(y));
  }
  return most == 0 ? 0 : scale > 0 ? most / scale : kWrong;
}

std::vector<int> top_classes(const Tensor& logits) {
  std::vector<int> classes;
  const auto width = static_cast<std::ptrdiff_t>(logits.shape[1]);
  for (auto row = logits.f32().begin(); row != logits.f32().end(); row += width) {
    classes.push_back(static_cast<int>(std::max_element(row, row + width) - row));
  }
  return classes;
}

}  // namespace carrel::suite
