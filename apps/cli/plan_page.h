#pragma once
// A plan as one self-contained HTML page: no script, no external resource.
#include <string>

#include "compiler/plan/plan.h"

namespace carrel::cli {

struct PageSubject {
  std::string network, precision;
  uint64_t least_bytes = 0;
};
std::string plan_page(const PageSubject& subject, const Plan& plan);

}  // namespace carrel::cli
