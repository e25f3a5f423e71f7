// Programs from nowhere: what validate_program accepts must run without leaving the engine's memory.
#include "engine/runtime/test_sandbox.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size <= 64 * 1024) (void)carrel::testing::run_in_sandbox(std::as_bytes(std::span(data, size)));
  return 0;
}
