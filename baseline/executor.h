#pragma once
// Runs the layers of a network in a region of memory.
#include <span>

#include "baseline/network.h"

namespace carrel::unmodified {

class Executor {
 public:
  // `region`: Network::bytes of memory that hold its weights, aligned to kPlaceAlignment.
  Executor(const Network& network, std::span<std::byte> region, uint32_t threads);

  // Layer `index`; those before it have run. Errors: kUnsupported, kInvalidInput, of the operator.
  Status run_layer(size_t index);

  float* data(const Operand& operand) const;

 private:
  Status run_conv(const Layer& layer);
  Status run_depthwise(const Layer& layer);
  Status run_dense(const Layer& layer);
  Status run_affine(const Layer& layer);
  Status run_add(const Layer& layer);
  Status run_unary(const Layer& layer);
  Status run_max_pool(const Layer& layer);
  Status run_average_pool(const Layer& layer);
  Status run_lrn(const Layer& layer);
  Status run_plain_layer(const Layer& layer);

  // The bias of each channel and the activation, over the output that is there.
  Status finish_channels(const Layer& layer);
  // What no clamp expresses.
  Status activate(const Layer& layer, const Operand& operand);
  float* scratch(const PlanePhases& phases) const;  // of the calling thread
  float* place_data(int place) const;

  const Network& network_;
  std::span<std::byte> region_;
  const int threads_;
  const PlaneLoops& loops_;
};

}  // namespace carrel::unmodified
