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

  bool has(TensorId tensor, uint32_t y);
  // Counts rows that came. Waits until it is not `seen`. Errors: what fail() was given.
  uint64_t arrivals();
  Status wait_for_more(uint64_t seen);

  // Of a row that has().
  Result<const std::byte*> row(TensorId tensor, uint32_t y) override;
  void done(const Reader& reader, uint32_t below) override;
  uint64_t most_bytes() const { return most_bytes_; }

 private:
  struct Row {
    Buffer data;
    std::vector<bool> here;  // polynomials
    uint64_t missing = 0;
  };
  struct TensorRows {
    std::vector<Row> rows;
    std::vector<std::pair<Reader, uint32_t>> readers;  // who needs no row below
    uint32_t gone = 0;                                 // rows below are needed by nobody
  };
  TensorRows& of(TensorId tensor) { return tensors_[static_cast<size_t>(tensor)]; }
  void free_row(Row* row);

  const Network& network_;
  size_t polynomial_bytes_;
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::vector<TensorRows> tensors_;
  Status failed_ = ok_status();
  uint64_t arrivals_ = 0;
  uint64_t bytes_ = 0, most_bytes_ = 0;
  BufferPool pool_;
};

}  // namespace carrel::he
