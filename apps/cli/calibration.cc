#include "apps/cli/calibration.h"

#include <fmt/core.h>

#include <algorithm>
#include <filesystem>
#include <thread>

#include "apps/cli/cli.h"
#include "apps/cli/progress.h"
#include "compiler/eval/eval.h"

namespace carrel::cli {
namespace {

namespace fs = std::filesystem;
constexpr unsigned kMostThreads = 16;

bool is_picture_name(const fs::path& path) {
  std::string extension = path.extension();
  std::ranges::transform(extension, extension.begin(), [](unsigned char c) { return std::tolower(c); });
  return extension == ".jpg" || extension == ".jpeg" || extension == ".png";
}

// Files as they are, folders as the pictures in and below them, by name.
std::vector<std::string> expand(const std::vector<std::string>& paths) {
  std::vector<std::string> files;
  for (const std::string& path : paths) {
    std::error_code error;
    if (!fs::is_directory(path, error)) {
      files.push_back(path);
      continue;
    }
    const size_t first = files.size();
    for (auto entry = fs::recursive_directory_iterator(path, error); !error && entry != fs::end(entry);
         entry.increment(error)) {
      if (entry->is_regular_file(error) && is_picture_name(entry->path())) files.push_back(entry->path());
    }
    if (error) fail(path + ": " + error.message());
    if (files.size() == first) fail(path + ": has no pictures (.jpg, .jpeg, .png)");
    std::sort(files.begin() + static_cast<std::ptrdiff_t>(first), files.end());
  }
  return files;
}

// At most `most` of `count` things, evenly spread: the index of each.
std::vector<size_t> spread(size_t count, size_t most) {
  std::vector<size_t> chosen(std::min(count, most));
  for (size_t i = 0; i < chosen.size(); ++i) chosen[i] = i * count / chosen.size();
  return chosen;
}

std::vector<Tensor> load(const Graph& graph, const CalibrationOptions& options) {
  const auto most = static_cast<size_t>(options.images);
  InputOptions inputs = options.inputs;
  const std::vector<std::string> files = expand(inputs.paths);
  inputs.paths.clear();
  for (size_t i : spread(files.size(), most)) inputs.paths.push_back(files[i]);
  std::vector<Tensor> tensors = load_inputs(graph, inputs);
  for (size_t t = 0; t < tensors.size() && t < graph.inputs.size(); ++t) {
    const Shape& one = graph.value(graph.inputs[t]).shape;
    if (one.count() == 0 || tensors[t].count() % one.count() != 0) continue;  // calibration says what is wrong
    const auto count = static_cast<size_t>(tensors[t].count() / one.count());
    if (count <= most) continue;
    Tensor some = {DType::kF32, tensors[t].shape, {}};
    for (size_t i : spread(count, most)) {
      const Tensor image = image_of(tensors[t], one, i);
      some.data.insert(some.data.end(), image.data.begin(), image.data.end());
    }
    if (one.rank() > 0) some.shape[0] = one[0] * static_cast<int64_t>(most);
    tensors[t] = std::move(some);
  }
  return tensors;
}

RangeMethod parse_method(const std::string& name) {
  return name == "minmax"       ? RangeMethod::kMinMax
         : name == "percentile" ? RangeMethod::kPercentile
                                : RangeMethod::kMse;
}

}  // namespace

void add_calibration_options(CLI::App* command, CalibrationOptions* options) {
  command->add_option("--calibrate", options->inputs.paths,
                      "inputs like those of use: pictures or folders of them, or one .npy or .npz")
      ->type_name("FILE_OR_FOLDER");
  command->add_option("--method", options->method, "how ranges of activations are chosen")
      ->check(CLI::IsMember({"minmax", "percentile", "mse"}))->capture_default_str();
  command->add_option("--images", options->images, "most inputs to calibrate on, evenly spread over those given")
      ->check(CLI::Range(int64_t{1}, int64_t{1000000}))->capture_default_str();
  add_picture_options(command, &options->inputs);
}

Graph quantize_or_fail(const Graph& graph, const std::string& model, const CalibrationOptions& options,
                       QuantizeReport* report) {
  const std::vector<Tensor> inputs = load(graph, options);
  Progress progress("calibrating");
  QuantizeOptions quantize;
  quantize.method = parse_method(options.method);
  quantize.threads = static_cast<int>(std::clamp(std::thread::hardware_concurrency(), 1u, kMostThreads));
  quantize.progress = std::ref(progress);
  return value_or_fail(quantize_graph(graph, inputs, quantize, report), model);
}

}  // namespace carrel::cli
