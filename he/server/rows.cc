#include "he/server/rows.h"

#include <algorithm>
#include <cstring>

namespace carrel::he {

ArrivingRows::ArrivingRows(const Network& network, const RingParams& ring)
    : network_(network), polynomial_bytes_(ring.polynomial_bytes()) {
  for (const TensorInfo& t : network.tensors) {
    rows_.emplace_back(t.shape.height);
    for (Row& row : rows_.back()) row.missing = uint64_t{t.shape.width} * t.shape.channels;
  }
}

Status ArrivingRows::put(TensorId tensor, uint32_t y, uint32_t x, uint32_t channel, uint32_t count, std::span<const std::byte> b) {
  const size_t t = static_cast<size_t>(tensor);
  if (t >= rows_.size()) return Error(ErrorCode::kInvalidInput, "the client sent a tensor that does not exist");
  const MapShape& shape = network_.tensors[t].shape;
  if (y >= shape.height || x >= shape.width || count == 0 || count > shape.channels || channel > shape.channels - count ||
      b.size() != count * polynomial_bytes_) {
    return Error(ErrorCode::kInvalidInput, "the client sent what is not part of %s", network_.tensors[t].name.c_str());
  }
  Row& row = rows_[t][y];
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (row.dropped || row.missing < count) {
      return Error(ErrorCode::kInvalidInput, "the client sent row %u of %s twice", y, network_.tensors[t].name.c_str());
    }
    if (row.data == nullptr) {
      const size_t bytes = size_t{shape.width} * shape.channels * polynomial_bytes_;
      row.data = make_buffer(bytes);
      std::memset(row.data.get(), 0, bytes);  // places that a faulty client never fills
      bytes_ += bytes;
      most_bytes_ = std::max(most_bytes_, bytes_);
    }
  }
  std::memcpy(row.data.get() + (size_t{x} * shape.channels + channel) * polynomial_bytes_, b.data(), b.size());
  const std::lock_guard<std::mutex> lock(mutex_);
  row.missing -= count;
  if (row.missing == 0) arrived_.notify_all();
  return ok_status();
}

void ArrivingRows::fail(const Error& error) {
  const std::lock_guard<std::mutex> lock(mutex_);
  failed_ = error;
  arrived_.notify_all();
}

Result<const std::byte*> ArrivingRows::pin(TensorId tensor, uint32_t y) {
  const Row& row = rows_[static_cast<size_t>(tensor)][y];
  std::unique_lock<std::mutex> lock(mutex_);
  arrived_.wait(lock, [&] { return row.missing == 0 || !failed_.ok(); });
  if (row.missing > 0) return failed_.error();
  return row.data.get();
}

void ArrivingRows::drop(TensorId tensor) {
  const MapShape& shape = network_.tensors[static_cast<size_t>(tensor)].shape;
  const std::lock_guard<std::mutex> lock(mutex_);
  for (Row& row : rows_[static_cast<size_t>(tensor)]) {
    if (row.data != nullptr) bytes_ -= uint64_t{shape.width} * shape.channels * polynomial_bytes_;
    row.data.reset();
    row.dropped = true;
  }
}

}  // namespace carrel::he
