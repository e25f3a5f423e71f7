#pragma once
// `bench paper` as a picture: latency over the unprotected baseline against the TEE's size, one panel for each network.
#include <string>
#include <vector>

#include "bench/paper/comparison.h"

namespace carrel::cli {

// An SVG document; both axes logarithmic. `modelled`: of the profile's machine instead of what was measured here.
std::string paper_chart(const std::vector<PaperNetwork>& networks, const EpcProfile& profile, bool modelled);

}  // namespace carrel::cli
