#pragma once
// Memory for polynomials: 64-byte aligned, of unspecified content. Large ones lie in huge pages where the system has them.
#include <cstddef>
#include <memory>

namespace carrel::he {

struct BufferDelete {
  size_t bytes = 0;
  void operator()(std::byte* data) const;
};
using Buffer = std::unique_ptr<std::byte[], BufferDelete>;
// Throws std::bad_alloc, as new does.
Buffer make_buffer(size_t bytes);

}  // namespace carrel::he
