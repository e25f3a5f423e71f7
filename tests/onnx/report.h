#pragma once
// docs/CONFORMANCE.md from the outcomes of all cases.
#include <string>
#include <vector>

#include "tests/onnx/runner.h"

namespace carrel::conformance {

// True for the ONNX operators that carrel promises to import.
bool is_promised(const std::string& op);

// Deterministic: depends on the outcomes alone. A case counts for its operator, or for "(several)".
std::string markdown(const std::vector<Outcome>& outcomes);

}  // namespace carrel::conformance
