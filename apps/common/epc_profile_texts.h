#pragma once
// The built-in EPC profiles; the build writes the texts from apps/common/epc_profiles/*.json.
#include <span>

namespace carrel {

struct EpcProfileText {
  const char* name;
  const char* text;
};
extern const std::span<const EpcProfileText> kEpcProfileTexts;

}  // namespace carrel
