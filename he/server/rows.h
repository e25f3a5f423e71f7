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

  // Polynomials b of channels [channel, channel + count) at (y, x). Errors: kInvalidInput (no such place, or given before).
  Status put(TensorId tensor, uint32_t y, uint32_t x, uint32_t channel, uint32_t count, std::span<const std::byte> b);
  // Nothing more arrives: whoever waits gets this.
  void fail(const Error& error);

  // Waits until all of the row is there.
  Result<const std::byte*> pin(TensorId tensor, uint32_t y) override;
  // In the last layer that reads the tensor the row goes.
  void unpin(TensorId tensor, uint32_t y) override;
  // From the thread that pins.
  void begin_layer(size_t layer) { layer_ = layer; }
  uint64_t most_bytes() const { return most_bytes_; }

 private:
  struct Row {
    Buffer data;
    std::vector<bool> here;  // polynomials
    uint64_t missing = 0;
    uint32_t pins = 0;
    bool dropped = false;
  };
  Buffer new_buffer(size_t bytes);
  void recycle(Buffer buffer);

  const Network& network_;
  size_t polynomial_bytes_;
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::vector<std::vector<Row>> rows_;
  Status failed_ = ok_status();
  std::vector<size_t> last_use_;  // by tensor: layer
  size_t layer_ = 0;
  std::vector<Buffer> spares_;    // touching fresh memory costs more than what is written to it
  uint64_t bytes_ = 0, most_bytes_ = 0, spare_bytes_ = 0;
};

}  // namespace carrel::he
