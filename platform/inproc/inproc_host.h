#pragma once
// engine/host in the engine's own process.
#include <memory>
#include <string>

#include "engine/host/host.h"

namespace carrel {

class InprocHost : public Host {
 public:
  InprocHost() = default;
  InprocHost(const InprocHost&) = delete;
  InprocHost& operator=(const InprocHost&) = delete;
  virtual ~InprocHost();

  // The sealed model: a file, or bytes that outlive this object. Errors: kIo.
  Status use_file(const std::string& path);
  void use_memory(std::span<const std::byte> model, bool map);
  // Zeroed. Errors: kIo.
  Status allocate_shared(uint64_t bytes);

  Result<uint64_t> read_model(uint64_t offset, std::span<std::byte> dst) override;
  Result<uint64_t> model_bytes() override;
  std::span<const std::byte> model_map() override;
  std::span<std::byte> shared_area() override { return shared_; }
  Status grow_shared_area(uint64_t bytes) override;
  // There is no channel: the session calls the engine directly.
  Result<Request> receive() override;
  Status reply(const Reply& reply) override;
  uint64_t nanoseconds() override;
  void wait(const uint32_t* word, uint32_t expected) override;
  void wake_all(const uint32_t* word) override;

 private:
  int fd_ = -1;
  std::span<const std::byte> model_;
  bool map_ = false;
  std::span<std::byte> shared_;
};

// Anonymous memory, zeroed and 4096-aligned; empty if there is none.
std::span<std::byte> map_memory(uint64_t bytes);
void unmap_memory(std::span<std::byte> memory);

}  // namespace carrel
