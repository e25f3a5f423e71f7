#pragma once
// ONNX Runtime's answers (tests/oracle), computed once and kept in the build tree.
#include <cstdint>
#include <string>
#include <vector>

#include "compiler/graph/tensor.h"

namespace carrel::suite {

// Files that tests may keep between runs. A name carries the digest of everything that decides the
// content, so nothing in it is ever out of date.
std::string cache_folder();
// The first 16 hexadecimal digits of the file's SHA-256. Errors: kIo.
Result<std::string> file_digest(const std::string& path);

// The first output of the ONNX model for its only input, `batch` images at a time. Kept under the
// digest of model, input and the oracle's version. Errors: kIo, with the oracle's own message on
// stderr.
Result<Tensor> oracle_output(const std::string& onnx_path, const Tensor& input, int64_t batch);

// max |a - b| / max |b|; infinity if the shapes differ, anything is not finite, or b is all zero.
double relative_error(const Tensor& a, const Tensor& b);

// The index of the greatest element of each row of a (N, C) tensor.
std::vector<int> top_classes(const Tensor& logits);

}  // namespace carrel::suite
