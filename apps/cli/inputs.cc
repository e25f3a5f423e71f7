#include "apps/cli/inputs.h"

#include <fmt/core.h>

#include <algorithm>

#include "apps/cli/cli.h"
#include "client/images.h"
#include "client/npy.h"
#include "files/read_file.h"

namespace carrel::cli {
namespace {

std::string names_of(const Graph& graph) {
  std::string names;
  for (ValueId id : graph.inputs) names += fmt::format("{}'{}'", names.empty() ? "" : ", ", graph.value(id).name);
  return names;
}

// Before anything is unpacked.
void check_names(const Graph& graph, const std::string& path, const std::vector<std::string>& names) {
  const auto is_input = [&](const std::string& name) {
    return std::ranges::any_of(graph.inputs, [&](ValueId id) { return graph.value(id).name == name; });
  };
  for (ValueId id : graph.inputs) {
    const std::string& name = graph.value(id).name;
    if (std::ranges::find(names, name) == names.end()) {
      fail(fmt::format("{}: has no array '{}'; the network takes {}", path, name, names_of(graph)));
    }
  }
  for (const std::string& name : names) {
    if (!is_input(name)) fail(fmt::format("{}: '{}' is not an input; the network takes {}", path, name, names_of(graph)));
  }
}

Tensor tensor_of(const NamedArray& array) { return Tensor::from_f32(array.shape, array.values); }

std::vector<Tensor> from_arrays(const Graph& graph, const std::string& path, std::span<const std::byte> bytes) {
  const std::vector<std::string> names = value_or_fail(array_names(bytes), path);
  const bool nameless = names.size() == 1 && names[0].empty();
  if (nameless && graph.inputs.size() != 1) {
    fail(fmt::format("{}: the network takes {} inputs ({}): give them in one .npz", path, graph.inputs.size(),
                     names_of(graph)));
  }
  if (!nameless) check_names(graph, path, names);
  const std::vector<NamedArray> arrays = value_or_fail(parse_arrays(bytes), path);
  if (nameless) return {tensor_of(arrays[0])};
  std::vector<Tensor> tensors;
  for (ValueId id : graph.inputs) {
    tensors.push_back(tensor_of(*std::ranges::find(arrays, graph.value(id).name, &NamedArray::name)));
  }
  return tensors;
}

// "a,b,c" or one number for all three.
std::array<float, 3> parse_channels(const std::string& text, const std::string& option) {
  std::array<float, 3> out{};
  int used = 0;
  char rest = 0;
  const int count = std::sscanf(text.c_str(), "%f,%f,%f%n", &out[0], &out[1], &out[2], &used);
  if (count == 3 && static_cast<size_t>(used) == text.size()) return out;
  if (std::sscanf(text.c_str(), "%f%c", &out[0], &rest) != 1) {
    throw CLI::ValidationError(option, fmt::format("'{}' is not R,G,B", text));
  }
  out.fill(out[0]);
  return out;
}

std::array<int64_t, 2> parse_size(const std::string& text) {
  long height = 0, width = 0;
  char rest = 0;
  if (std::sscanf(text.c_str(), "%ldx%ld%c", &height, &width, &rest) != 2) {
    throw CLI::ValidationError("--size", fmt::format("'{}' is not HxW", text));
  }
  return {height, width};
}

PreprocessOptions preprocess_options(const Shape& shape, const InputOptions& options) {
  PreprocessOptions out;
  out.height = shape[2];
  out.width = shape[3];
  if (options.size && *options.size != std::array<int64_t, 2>{shape[2], shape[3]}) {
    fail(fmt::format("--size {}x{}: the network takes pictures of {}x{}", (*options.size)[0], (*options.size)[1], shape[2],
                     shape[3]));
  }
  constexpr std::array<float, 3> kNoMean = {0, 0, 0}, kNoStd = {1, 1, 1};
  if (options.mean || options.std || options.scale) {
    std::ranges::copy(options.mean.value_or(kNoMean), out.mean);
    std::ranges::copy(options.std.value_or(kNoStd), out.std);
  }
  if (options.scale) out.scale = static_cast<float>(*options.scale);
  if (options.crop) out.crop_fraction = *options.crop;
  return out;
}

Shape picture_shape(const Graph& graph, const std::string& path) {
  const Shape shape = graph.inputs.empty() ? Shape{} : graph.value(graph.inputs[0]).shape;
  if (graph.inputs.size() == 1 && shape.rank() == 4 && shape[1] == 3) return shape;
  fail(fmt::format("{}: a picture needs a network with one input of 3 channels; this one takes {}: use .npz", path,
                   names_of(graph)));
}

void check_arrays(const InputOptions& options, const std::string& path) {
  if (options.paths.size() > 1) fail(path + ": give one .npy or .npz file, or pictures");
  if (options.mean || options.std || options.scale || options.size || options.crop) {
    fail(path + ": --mean, --std, --scale, --size and --crop are for pictures; arrays are taken as they are");
  }
}

}  // namespace

void add_input_options(CLI::App* command, InputOptions* options) {
  command->add_option("--input", options->paths, ".npy, .npz, or pictures (JPEG, PNG), each an image of the batch")
      ->required()->type_name("FILE");
  add_picture_options(command, options);
}

void add_picture_options(CLI::App* command, InputOptions* options) {
  const auto channels = [&](const std::string& name, std::optional<std::array<float, 3>>* out, const char* help) {
    const auto parse = [name, out](const std::string& text) { *out = parse_channels(text, name); };
    command->add_option_function<std::string>(name, parse, help)->type_name("R,G,B");
  };
  channels("--mean", &options->mean, "subtracted per channel after --scale");
  channels("--std", &options->std, "divides per channel");
  command->add_option("--scale", options->scale, "factor of pixels 0..255 [1/255]")->type_name("S");
  command
      ->add_option_function<std::string>("--size", [options](const std::string& text) { options->size = parse_size(text); },
                                         "of the picture after resize and crop [the network's]")
      ->type_name("HxW");
  command->add_option("--crop", options->crop, "share of the resized picture that the centre crop keeps [0.875]")
      ->check(CLI::Range(0.01, 1.0))->type_name("SHARE");
}

std::vector<Tensor> load_inputs(const Graph& graph, const InputOptions& options) {
  Shape batch;
  std::vector<float> values;
  for (const std::string& path : options.paths) {
    const std::vector<std::byte> bytes = value_or_fail(read_file(path, kMaxArrayBytes), path);
    if (looks_like_arrays(bytes)) {
      check_arrays(options, path);
      return from_arrays(graph, path, bytes);
    }
    if (!looks_like_image(bytes)) fail(path + ": not a .npy, .npz, JPEG or PNG file");
    batch = picture_shape(graph, path);
    const Image image = value_or_fail(decode_image(bytes), path);
    const std::vector<float> one = value_or_fail(preprocess(image, preprocess_options(batch, options)), path);
    values.insert(values.end(), one.begin(), one.end());
  }
  batch[0] = static_cast<int64_t>(options.paths.size());
  return {Tensor::from_f32(batch, values)};
}

}  // namespace carrel::cli
