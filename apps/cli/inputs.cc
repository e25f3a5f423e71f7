#include "apps/cli/inputs.h"

#include <fmt/core.h>

#include <fstream>

#include "apps/cli/cli.h"
#include "client/images.h"
#include "client/npy.h"

namespace carrel::cli {
namespace {

std::vector<std::byte> first_bytes(const std::string& path) {
  std::vector<std::byte> bytes(16);
  std::ifstream in(path, std::ios::binary);
  if (!in) fail(path + ": cannot be read");
  in.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  bytes.resize(static_cast<size_t>(in.gcount()));
  return bytes;
}

std::string names_of(const Graph& graph) {
  std::string names;
  for (ValueId id : graph.inputs) names += (names.empty() ? "'" : ", '") + graph.value(id).name + "'";
  return names;
}

Tensor tensor_of(const NamedArray& array) { return Tensor::from_f32(array.shape, array.values); }

std::vector<Tensor> from_arrays(const Graph& graph, const std::string& path) {
  const std::vector<NamedArray> arrays = value_or_fail(read_arrays(path), path);
  if (arrays.size() == 1 && arrays[0].name.empty()) {
    if (graph.inputs.size() == 1) return {tensor_of(arrays[0])};
    fail(fmt::format("{}: the network takes {} inputs ({}): give them in one .npz", path, graph.inputs.size(),
                     names_of(graph)));
  }
  std::vector<Tensor> tensors;
  for (ValueId id : graph.inputs) {
    const std::string& name = graph.value(id).name;
    const auto found = std::find_if(arrays.begin(), arrays.end(), [&](const NamedArray& a) { return a.name == name; });
    if (found == arrays.end()) fail(fmt::format("{}: has no array '{}'; the network takes {}", path, name, names_of(graph)));
    tensors.push_back(tensor_of(*found));
  }
  for (const NamedArray& array : arrays) {
    const bool known = std::any_of(graph.inputs.begin(), graph.inputs.end(),
                                   [&](ValueId id) { return graph.value(id).name == array.name; });
    if (!known) fail(fmt::format("{}: '{}' is not an input; the network takes {}", path, array.name, names_of(graph)));
  }
  return tensors;
}

// "a,b,c" or one number for all three.
void parse_channels(const std::string& text, const char* option, float out[3]) {
  int count = 0, used = 0;
  float extra = 0;
  char rest = 0;
  count = std::sscanf(text.c_str(), "%f,%f,%f%n", &out[0], &out[1], &out[2], &used);
  if (count == 3 && static_cast<size_t>(used) == text.size()) return;
  if (std::sscanf(text.c_str(), "%f%c", &extra, &rest) == 1) {
    out[0] = out[1] = out[2] = extra;
    return;
  }
  throw CLI::ValidationError(option, "'" + text + "' is not R,G,B");
}

PreprocessOptions preprocess_options(const Shape& shape, const InputOptions& options) {
  PreprocessOptions out;
  out.height = shape[2];
  out.width = shape[3];
  out.crop_fraction = options.crop;
  if (!options.mean.empty() || !options.std.empty() || options.scale != 0) {
    for (int c = 0; c < 3; ++c) out.mean[c] = 0, out.std[c] = 1;
  }
  if (!options.mean.empty()) parse_channels(options.mean, "--mean", out.mean);
  if (!options.std.empty()) parse_channels(options.std, "--std", out.std);
  if (options.scale != 0) out.scale = static_cast<float>(options.scale);
  if (options.size.empty()) return out;
  long height = 0, width = 0;
  char rest = 0;
  if (std::sscanf(options.size.c_str(), "%ldx%ld%c", &height, &width, &rest) != 2) {
    throw CLI::ValidationError("--size", "'" + options.size + "' is not HxW");
  }
  if (height != shape[2] || width != shape[3]) {
    fail(fmt::format("--size {}: the network takes pictures of {}x{}", options.size, shape[2], shape[3]));
  }
  return out;
}

std::vector<Tensor> from_pictures(const Graph& graph, const InputOptions& options) {
  const Shape shape = graph.value(graph.inputs[0]).shape;
  if (graph.inputs.size() != 1 || shape.rank() != 4 || shape[1] != 3) {
    fail(fmt::format("{}: a picture needs a network with one input of 3 channels; this one takes {}: use .npz",
                     options.paths[0], names_of(graph)));
  }
  const PreprocessOptions how = preprocess_options(shape, options);
  std::vector<float> values;
  for (const std::string& path : options.paths) {
    const Image image = value_or_fail(read_image(path), path);
    const std::vector<float> one = value_or_fail(preprocess(image, how), path);
    values.insert(values.end(), one.begin(), one.end());
  }
  Shape batch = shape;
  batch[0] = static_cast<int64_t>(options.paths.size());
  return {Tensor::from_f32(batch, values)};
}

}  // namespace

std::vector<Tensor> load_inputs(const Graph& graph, const InputOptions& options) {
  bool arrays = false;
  for (const std::string& path : options.paths) {
    const std::vector<std::byte> start = first_bytes(path);
    if (looks_like_image(start)) continue;
    if (!looks_like_arrays(start)) fail(path + ": not a .npy, .npz, JPEG or PNG file");
    arrays = true;
  }
  if (!arrays) return from_pictures(graph, options);
  if (options.paths.size() > 1) fail("--input takes one .npy or .npz file, or pictures");
  return from_arrays(graph, options.paths[0]);
}

}  // namespace carrel::cli
