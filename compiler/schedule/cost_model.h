#pragma once
// Prices what a schedule does. Seconds.
#include <cstdint>

#include "compiler/schedule/problem.h"

namespace carrel {

class CostModel {
 public:
  virtual ~CostModel() = default;
  // `node` in `actions` slabs that together make every output row.
  virtual double compute_seconds(NodeIndex node, uint32_t actions) const = 0;
  // Weights into the small tier (decrypted, or whatever the tier demands), to stay there for a while.
  virtual double fetch_seconds(uint64_t bytes) const = 0;
  // The `bytes` of weights of `node`, passing through the small tier on each of its `actions`.
  virtual double stream_seconds(NodeIndex node, uint64_t bytes, uint32_t actions) const = 0;
  // A tensor that stays in the small tier between segments: its way into the next cache, or back.
  virtual double carry_seconds(uint64_t bytes) const = 0;
  // One row tensor's way out, or back, `rows` rows at a time.
  virtual double spill_seconds(uint64_t bytes, double rows) const = 0;
};

}  // namespace carrel
