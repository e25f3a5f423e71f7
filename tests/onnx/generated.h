#pragma once
// Models of one operator each, in every opset, to be compared with ONNX Runtime.
#include <string>
#include <vector>

#include "tests/onnx/cases.h"

namespace carrel::conformance {

inline constexpr int kLastGeneratedOpset = 21;

// Every operator on the list of promised ones, in its forms, in each opset from 7 on that has it.
// Weights and data are seeded; the expected outputs are left empty. Deterministic.
std::vector<TestCase> generate_cases();

// Fills in the outputs by ONNX Runtime (`oracle`: the folder of ort.mjs, installed). A model that
// it refuses keeps no outputs and is listed in `refused`. Errors: kIo, with its own message on
// stderr.
Status ask_oracle(const std::string& oracle, std::vector<TestCase>* cases,
                  std::vector<std::string>* refused);

}  // namespace carrel::conformance
