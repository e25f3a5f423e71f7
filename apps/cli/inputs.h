#pragma once
// What `run` feeds to a network: arrays or pictures from files.
#include <CLI/CLI.hpp>
#include <array>
#include <optional>
#include <string>
#include <vector>

#include "compiler/graph/graph.h"

namespace carrel::cli {

struct InputOptions {
  std::vector<std::string> paths;  // one .npy or .npz, or pictures, each an image of the batch
  // Of pictures only.
  std::optional<std::array<float, 3>> mean, std;
  std::optional<std::array<int64_t, 2>> size;  // height, width
  std::optional<double> scale, crop;
};

// How pictures are prepared. What is not a number, or not R,G,B or HxW, is wrong usage.
void add_picture_options(CLI::App* command, InputOptions* options);
// The same and --input.
void add_input_options(CLI::App* command, InputOptions* options);

// One tensor per input of `graph`, in order. Each file is read once, so that it may be a pipe. Fails with one line about the
// file, the name or the shape.
std::vector<Tensor> load_inputs(const Graph& graph, const InputOptions& options);

}  // namespace carrel::cli
