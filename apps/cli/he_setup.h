#pragma once
// From a network and inputs like those of use to what a homomorphic server needs.
#include <string>
#include <vector>

#include "he/plan/scales.h"

namespace carrel::cli {

struct HeSetup {
  he::Network network;
  he::Ranges ranges;
  he::Scaling scaling;
};
// images: of a batch; the degree is the least that holds them. modulus_bits: 0 chooses. Fails with one line.
HeSetup he_setup(const std::string& model, const Graph& graph, const std::vector<Tensor>& calibration, uint64_t images,
                 uint32_t modulus_bits);
// Of a layer's results: deviation of the error over their root mean square.
double relative_error(const HeSetup& setup, size_t layer);

}  // namespace carrel::cli
