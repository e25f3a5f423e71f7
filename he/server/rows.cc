#include "he/server/rows.h"

#include <algorithm>
#include <cstring>

namespace carrel::he {
namespace {

constexpr size_t kPoolBytes = size_t{512} << 20;

}  // namespace

ArrivingRows::ArrivingRows(const Network& network, const RingParams& ring)
    : network_(network), polynomial_bytes_(ring.polynomial_bytes()), tensors_(network.tensors.size()), pool_(kPoolBytes) {
  for (size_t t = 0; t < tensors_.size(); ++t) {
    const MapShape& shape = network.tensors[t].shape;
    tensors_[t].rows.resize(shape.height);
    for (Row& row : tensors_[t].rows) row.missing = uint64_t{shape.width} * shape.channels;
  }
  for (size_t l = 0; l < network.layers.size(); ++l) {
    of(network.layers[l].input).readers.push_back({{l, false}, 0});
    if (network.layers[l].addend != kNoTensor) of(network.layers[l].addend).readers.push_back({{l, true}, 0});
  }
}

Status ArrivingRows::put(TensorId tensor, uint32_t y, uint32_t x, uint32_t channel, uint32_t count, std::span<const std::byte> b) {
  if (static_cast<size_t>(tensor) >= tensors_.size()) return Error(ErrorCode::kInvalidInput, "the client sent a tensor that does not exist");
  const TensorInfo& info = network_.tensors[static_cast<size_t>(tensor)];
  const MapShape& shape = info.shape;
  if (y >= shape.height || x >= shape.width || count == 0 || count > shape.channels || channel > shape.channels - count ||
      b.size() != count * polynomial_bytes_) {
    return Error(ErrorCode::kInvalidInput, "the client sent what is not part of %s", info.name.c_str());
  }
  TensorRows& rows = of(tensor);
  Row& row = rows.rows[y];
  const size_t first = size_t{x} * shape.channels + channel;
  bool wanted;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    wanted = y >= rows.gone;
    if (row.here.empty() && row.missing > 0) {
      row.here.resize(size_t{shape.width} * shape.channels);
      if (wanted) {
        row.data = pool_.take(row.here.size() * polynomial_bytes_);
        bytes_ += row.data.get_deleter().bytes;
        most_bytes_ = std::max(most_bytes_, bytes_);
      }
    }
    const auto here = row.here.begin() + static_cast<std::ptrdiff_t>(first);
    if (row.missing == 0 || std::find(here, here + count, true) != here + count) {
      return Error(ErrorCode::kInvalidInput, "the client sent row %u of %s twice", y, info.name.c_str());
    }
    std::fill_n(here, count, true);
  }
  // A row that is wanted stays: readers do not pass it before all of it is here.
  if (row.data != nullptr) std::memcpy(row.data.get() + first * polynomial_bytes_, b.data(), b.size());
  const std::lock_guard<std::mutex> lock(mutex_);
  row.missing -= count;
  if (row.missing > 0) return ok_status();
  row.here = {};
  if (y < rows.gone) free_row(&row);
  ++arrivals_;
  arrived_.notify_all();
  return ok_status();
}

void ArrivingRows::fail(const Error& error) {
  const std::lock_guard<std::mutex> lock(mutex_);
  failed_ = error;
  arrived_.notify_all();
}

bool ArrivingRows::has(TensorId tensor, uint32_t y) {
  const std::lock_guard<std::mutex> lock(mutex_);
  return of(tensor).rows[y].missing == 0;
}

uint64_t ArrivingRows::arrivals() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return arrivals_;
}

Status ArrivingRows::wait_for_more(uint64_t seen) {
  std::unique_lock<std::mutex> lock(mutex_);
  arrived_.wait(lock, [&] { return arrivals_ != seen || !failed_.ok(); });
  return arrivals_ != seen ? ok_status() : failed_;
}

Result<const std::byte*> ArrivingRows::row(TensorId tensor, uint32_t y) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const Row& row = of(tensor).rows[y];
  CARREL_CHECK(row.missing == 0 && row.data != nullptr);
  return row.data.get();
}

void ArrivingRows::free_row(Row* row) {
  if (row->data == nullptr) return;
  bytes_ -= row->data.get_deleter().bytes;
  pool_.give(std::move(row->data));
  row->data.reset();
}

void ArrivingRows::done(const Reader& reader, uint32_t below) {
  const Layer& layer = network_.layers[reader.layer];
  const std::lock_guard<std::mutex> lock(mutex_);
  TensorRows& rows = of(reader.addend ? layer.addend : layer.input);
  uint32_t gone = static_cast<uint32_t>(rows.rows.size());
  for (auto& [who, passed] : rows.readers) {
    if (who.layer == reader.layer && who.addend == reader.addend) passed = std::max(passed, below);
    gone = std::min(gone, passed);
  }
  for (; rows.gone < gone; ++rows.gone) {
    if (rows.rows[rows.gone].missing == 0) free_row(&rows.rows[rows.gone]);
  }
}

}  // namespace carrel::he
