#pragma once
// Integers for a network's numbers: how large a 1 is in each tensor, and the integer weights of each layer.
//
// A tensor of scale s holds round(s x); a layer's weights become w_o = round(S_o w) for output o, so that it gives integers s S_o y, which
// must stay within q / 2. What is left of the modulus over the largest |y| that calibration saw is shared between s and S_o so that
// the errors they cause are equal: noise and rounding of x, times the norm of the weights, over s; rounding of the weights, times the norm
// of x, over S_o.
#include "he/plan/network.h"
#include "he/ring/params.h"

namespace carrel::he {

// What calibration saw.
struct Ranges {
  struct Values {
    float most = 0;  // largest magnitude
    double mean_square = 0;
  };
  std::vector<Values> tensors;
  std::vector<Values> layers;  // what the client decrypts
  int64_t images = 0;
};
// inputs: for each input of the graph one array of images stacked along dimension 0. Errors: kInvalidInput.
Result<Ranges> measure_ranges(const Network& network, const std::vector<Tensor>& inputs);

// Values may become so many times what calibration saw before sums wrap and give nonsense.
inline constexpr double kHeadroom = 4;

struct LayerScales {
  std::vector<int32_t> weights;        // as Layer::weights
  std::vector<int64_t> bias;           // in the output's scale
  std::vector<int32_t> addend;         // factors of Layer::addend; empty without
  std::vector<double> out;             // [output channel]: scale of what the client decrypts
  double margin_bits = 0;              // log2 of q / 2 over the largest integer that calibration leads to
  double noise = 0;                    // standard deviation of what noise does to an output
  double error = 0;                    // the same of noise and all rounding
};
struct Scaling {
  RingParams ring;
  std::vector<float> tensors;  // scale, a power of two
  std::vector<LayerScales> layers;
};
// Errors: kUnsupported where the modulus has no room for a layer.
Result<Scaling> choose_scales(const Network& network, const Ranges& ranges, const RingParams& ring);

}  // namespace carrel::he
