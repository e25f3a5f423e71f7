#pragma once
// The server's ciphertexts in memory, as they arrive and until nothing reads them any more.
#include <condition_variable>
#include <mutex>

#include "he/plan/scales.h"
#include "he/ring/buffer.h"
#include "he/server/evaluator.h"

namespace carrel::he {

// put() and fail() from one thread, the rest from another.
class ArrivingRows final : public RowSource {
 public:
  ArrivingRows(const Network& network, const RingParams& ring);

  // Polynomials b of channels [channel, channel + count) at (y, x). Errors: kInvalidInput (no such place, or too many of a row).
  Status put(TensorId tensor, uint32_t y, uint32_t x, uint32_t channel, uint32_t count, std::span<const std::byte> b);
  // Nothing more arrives: whoever waits gets this.
  void fail(const Error& error);

  // Waits until all of the row is there.
  Result<const std::byte*> pin(TensorId tensor, uint32_t y) override;
  void unpin(TensorId, uint32_t) override {}
  void drop(TensorId tensor);
  uint64_t most_bytes() const { return most_bytes_; }

 private:
  struct Row {
    Buffer data;
    uint64_t missing = 0;  // polynomials
    bool dropped = false;
  };
  const Network& network_;
  size_t polynomial_bytes_;
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::vector<std::vector<Row>> rows_;
  Status failed_ = ok_status();
  uint64_t bytes_ = 0, most_bytes_ = 0;
};

}  // namespace carrel::he
