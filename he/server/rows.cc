#include "he/server/rows.h"

#include <algorithm>
#include <cstring>

namespace carrel::he {
namespace {

// Memory kept for rows to come.
constexpr uint64_t kMostSpareBytes = uint64_t{256} << 20;

}  // namespace

ArrivingRows::ArrivingRows(const Network& network, const RingParams& ring)
    : network_(network), polynomial_bytes_(ring.polynomial_bytes()) {
  for (const TensorInfo& t : network.tensors) {
    rows_.emplace_back(t.shape.height);
    for (Row& row : rows_.back()) row.missing = uint64_t{t.shape.width} * t.shape.channels;
  }
  last_use_.resize(network.tensors.size());
  for (size_t l = 0; l < network.layers.size(); ++l) {
    last_use_[static_cast<size_t>(network.layers[l].input)] = l;
    if (network.layers[l].addend != kNoTensor) last_use_[static_cast<size_t>(network.layers[l].addend)] = l;
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
  const size_t first = size_t{x} * shape.channels + channel;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (row.data == nullptr && !row.dropped) {
      const size_t bytes = size_t{shape.width} * shape.channels * polynomial_bytes_;
      row.data = new_buffer(bytes);
      row.here.resize(size_t{shape.width} * shape.channels);
    }
    const auto here = row.here.begin() + static_cast<std::ptrdiff_t>(first);
    if (row.dropped || std::find(here, here + count, true) != here + count) {
      return Error(ErrorCode::kInvalidInput, "the client sent row %u of %s twice", y, network_.tensors[t].name.c_str());
    }
    std::fill_n(here, count, true);
  }
  std::memcpy(row.data.get() + first * polynomial_bytes_, b.data(), b.size());
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
  Row& row = rows_[static_cast<size_t>(tensor)][y];
  std::unique_lock<std::mutex> lock(mutex_);
  arrived_.wait(lock, [&] { return row.missing == 0 || !failed_.ok(); });
  if (row.missing > 0) return failed_.error();
  ++row.pins;
  return row.data.get();
}

void ArrivingRows::unpin(TensorId tensor, uint32_t y) {
  Row& row = rows_[static_cast<size_t>(tensor)][y];
  const std::lock_guard<std::mutex> lock(mutex_);
  if (--row.pins > 0 || last_use_[static_cast<size_t>(tensor)] != layer_) return;
  bytes_ -= row.data.get_deleter().bytes;
  recycle(std::move(row.data));
  row.here = {};
  row.dropped = true;
}

// A spare that is not much too large, if there is one.
Buffer ArrivingRows::new_buffer(size_t bytes) {
  for (Buffer& spare : spares_) {
    const size_t size = spare.get_deleter().bytes;
    if (size < bytes || size / 2 > bytes) continue;
    Buffer taken = std::move(spare);
    spare = std::move(spares_.back());
    spares_.pop_back();
    spare_bytes_ -= size;
    bytes_ += size;
    most_bytes_ = std::max(most_bytes_, bytes_);
    return taken;
  }
  bytes_ += bytes;
  most_bytes_ = std::max(most_bytes_, bytes_);
  return make_buffer(bytes);
}

void ArrivingRows::recycle(Buffer buffer) {
  const size_t bytes = buffer.get_deleter().bytes;
  if (bytes > kMostSpareBytes) return;
  spare_bytes_ += bytes;
  spares_.push_back(std::move(buffer));
  while (spare_bytes_ > kMostSpareBytes) {
    spare_bytes_ -= spares_.front().get_deleter().bytes;
    spares_.erase(spares_.begin());
  }
}

}  // namespace carrel::he
