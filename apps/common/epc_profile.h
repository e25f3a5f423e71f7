#pragma once
// What a TEE's memory costs, as figures with their sources: how many pages are resident, what a fault, a crossing and
// encrypted memory cost. Built in: the files of apps/common/epc_profiles/; or a file of the same form.
#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"

namespace carrel {

struct EpcProfile {
  std::string name, about;
  uint64_t resident_bytes = 0;
  bool pages = true;         // false: what does not fit is refused
  double fault_us = 0;       // of a page that must come in while another goes out
  bool serialized = true;    // one thread's fault at a time
  double crossing_us = 0;    // a call out of the enclave, and back
  // Sequential reads beyond the cache, outside and inside.
  double plain_gb_per_second = 1, encrypted_gb_per_second = 1;
  uint64_t cache_bytes = 0;  // what fits here is not read from encrypted memory again
  std::vector<std::string> sources;
};

// `name`: a built-in profile, or else a file. Errors: kInvalidInput naming the field, kIo.
Result<EpcProfile> load_epc_profile(const std::string& name);

}  // namespace carrel
