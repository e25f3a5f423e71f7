#pragma once
// Memory for polynomials: 64-byte aligned, not cleared.
#include <cstddef>
#include <memory>
#include <new>

namespace carrel::he {

struct BufferDelete {
  void operator()(std::byte* data) const { ::operator delete[](data, std::align_val_t{64}); }
};
using Buffer = std::unique_ptr<std::byte[], BufferDelete>;
inline Buffer make_buffer(size_t bytes) {
  return Buffer(static_cast<std::byte*>(::operator new[](bytes > 0 ? bytes : 64, std::align_val_t{64})));
}

}  // namespace carrel::he
