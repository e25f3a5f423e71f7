#pragma once
// What `run` makes of a network's answers.
#include <string>
#include <vector>

#include "apps/cli/cli.h"
#include "apps/common/runner.h"

namespace carrel::cli {

struct Ranked {
  uint64_t index = 0;
  float value = 0;
};
// The five largest of each image, largest first; ties by index. `images`: how many the first dimension holds.
std::vector<std::vector<Ranked>> top_five(const Tensor& output, int64_t images);

Json outputs_json(const std::vector<TensorInfo>& infos, const std::vector<Tensor>& outputs, int64_t images,
                  const std::vector<std::string>& labels);
void print_outputs(const std::vector<TensorInfo>& infos, const std::vector<Tensor>& outputs, int64_t images,
                   const std::vector<std::string>& labels);
// Fails, before the work, if `path` is given and cannot hold that many tensors.
void check_array_file(const std::string& path, size_t tensor_count);
// .npz for all tensors by name; .npy for a single one. Whole or not at all.
void write_tensors(const std::string& path, const std::vector<TensorInfo>& infos, const std::vector<Tensor>& outputs);

}  // namespace carrel::cli
