#include "he/ring/buffer.h"

#include <sys/mman.h>

#include <new>

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

}  // namespace carrel::he
