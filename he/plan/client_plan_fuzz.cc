// The server's plan, as a client reads it.
#include "he/plan/client_plan.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto plan = carrel::he::parse_client_plan({reinterpret_cast<const char*>(data), size});
  // What is accepted is written and read again as the same.
  if (!plan.ok()) return 0;
  const std::string text = carrel::he::encode_client_plan(plan->network, plan->scaling);
  const auto again = carrel::he::parse_client_plan(text);
  if (!again.ok() || carrel::he::encode_client_plan(again->network, again->scaling) != text) __builtin_trap();
  return 0;
}
