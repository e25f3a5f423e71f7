#pragma once
// Real pictures and trained networks. CARREL_TEST_DATA names their folder; without it tests that need them are skipped.
#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "compiler/graph/tensor.h"

namespace carrel::suite {

// Empty if there is no data.
std::string data_folder();
#define SKIP_WITHOUT_DATA()  \
  if (data_folder().empty()) \
  GTEST_SKIP() << "trained models and pictures are other people's and not in the repository: "  \
                  "CARREL_TEST_DATA names no folder with them"

struct Pictures {
  Tensor values;             // (N, 3, H, W)
  std::vector<int> classes;  // where known
};

// Every `step`-th image of "test" or "train", in the order of their names: the classes are equally
// many. Resized to `size`; values are 0..255 times `scale`. Errors: kIo and those of decoding.
Result<Pictures> cifar_pictures(size_t step, const std::string& part = "test", int64_t size = 32,
                                float scale = 1);
// 40 photographs of many sizes, cropped to 96 x 96, values 0..1. No classes.
Result<Pictures> photographs();

}  // namespace carrel::suite
