#pragma once
// What `run` feeds to a network: arrays or pictures from files.
#include <string>
#include <vector>

#include "compiler/graph/graph.h"

namespace carrel::cli {

struct InputOptions {
  std::vector<std::string> paths;  // one .npy or .npz, or pictures, each an image of the batch
  std::string mean, std, size;     // "R,G,B", "HxW"; empty: not given
  double scale = 0;                // 0: not given
  double crop = 0.875;
};

// One tensor per input of `graph`, in order. Fails with one line about the file, the name or the shape.
std::vector<Tensor> load_inputs(const Graph& graph, const InputOptions& options);

}  // namespace carrel::cli
