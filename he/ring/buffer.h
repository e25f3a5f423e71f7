#pragma once
// Memory for polynomials: 64-byte aligned, of unspecified content. Large ones lie in huge pages where the system has them.
#include <cstddef>
#include <memory>
#include <mutex>
#include <vector>

namespace carrel::he {

struct BufferDelete {
  size_t bytes = 0;
  void operator()(std::byte* data) const;
};
using Buffer = std::unique_ptr<std::byte[], BufferDelete>;
// Throws std::bad_alloc, as new does.
Buffer make_buffer(size_t bytes);

// Buffers that served and may serve again: the first touch of fresh memory costs more than what is then written to it.
// Thread-safe.
class BufferPool {
 public:
  explicit BufferPool(size_t most_bytes) : most_bytes_(most_bytes) {}
  // At least `bytes`, at most twice as large.
  Buffer take(size_t bytes);
  void give(Buffer buffer);

 private:
  size_t most_bytes_;  // of buffers that wait
  size_t bytes_ = 0;
  std::mutex mutex_;
  std::vector<Buffer> spares_;
};

}  // namespace carrel::he
