#pragma once
// Speed of the quantized convolutions on one layer, as layer_speed.h does for floats.
#include <memory>

#include "compiler/machine/layer_speed.h"

namespace carrel::machine {

class QuantTrial {
 public:
  // The kernels that `cpu`, features of this machine, selects.
  QuantTrial(const LayerShape& shape, CpuMask cpu);
  ~QuantTrial();
  QuantTrial(const QuantTrial&) = delete;
  QuantTrial& operator=(const QuantTrial&) = delete;
  void run() const;
  double operations() const;  // products and sums

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace carrel::machine
