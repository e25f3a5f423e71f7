#pragma once
// docs/CONFORMANCE.md from the outcomes of both executors.
#include "tests/onnx/runner.h"

namespace carrel::conformance {

// True for the ONNX operators that carrel promises to import.
bool is_promised(const std::string& op);

struct CaseOutcomes {
  Outcome plain;   // eval_batch
  Outcome sealed;  // run_sealed
};

struct Report {
  std::vector<CaseOutcomes> cases;      // of the ONNX backend tests
  std::vector<CaseOutcomes> generated;  // against ONNX Runtime
  std::vector<std::string> refused;     // generated models that ONNX Runtime does not run
};

// Deterministic: depends on the outcomes alone. A case counts for its operator, or for "(several)".
std::string markdown(const Report& report);

}  // namespace carrel::conformance
