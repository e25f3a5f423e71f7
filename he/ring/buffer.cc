#include "he/ring/buffer.h"

#include <sys/mman.h>

#include <new>
#include <utility>

namespace carrel::he {
namespace {

// From here on a mapping of its own.
constexpr size_t kMappedBytes = size_t{1} << 21;
constexpr std::align_val_t kAlignment{64};

}  // namespace

void BufferDelete::operator()(std::byte* data) const {
  if (bytes >= kMappedBytes) munmap(data, bytes);
  else ::operator delete[](data, kAlignment);
}

Buffer make_buffer(size_t bytes) {
  if (bytes < kMappedBytes) return Buffer(static_cast<std::byte*>(::operator new[](bytes > 0 ? bytes : 64, kAlignment)), {bytes});
  void* const memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  madvise(memory, bytes, MADV_HUGEPAGE);  // a wish
  return Buffer(static_cast<std::byte*>(memory), {bytes});
}

Buffer BufferPool::take(size_t bytes) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (size_t i = 0; i < spares_.size(); ++i) {
      const size_t size = spares_[i].get_deleter().bytes;
      if (size < bytes || size / 2 > bytes) continue;
      std::swap(spares_[i], spares_.back());
      Buffer taken = std::move(spares_.back());
      spares_.pop_back();
      bytes_ -= size;
      return taken;
    }
  }
  return make_buffer(bytes);
}

void BufferPool::give(Buffer buffer) {
  const size_t size = buffer.get_deleter().bytes;
  if (buffer == nullptr || size > most_bytes_) return;
  const std::lock_guard<std::mutex> lock(mutex_);
  bytes_ += size;
  spares_.push_back(std::move(buffer));
  while (bytes_ > most_bytes_) {
    bytes_ -= spares_.front().get_deleter().bytes;
    spares_.erase(spares_.begin());
  }
}

}  // namespace carrel::he
