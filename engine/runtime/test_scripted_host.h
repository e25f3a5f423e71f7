#pragma once
// For tests and fuzzing only: a host whose every reply a script of bytes chooses. Each decision
// takes one byte, some take operands behind it; byte 0 is the honest answer, and so is everything
// after the script's end, except that the request channel then closes. Ranges handed to the engine
// are always real memory or such as CheckedHost must refuse: that memory is mapped is the
// platform's promise, not the host's.
#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <climits>
#include <mutex>

#include "engine/host/host.h"
#include "engine/host/trace.h"
#include "engine/runtime/test_session.h"

namespace carrel::testing {

class Script {
 public:
  explicit Script(std::span<const std::byte> bytes) : bytes_(bytes) {}
  uint8_t next() {
    if (bytes_.empty()) return 0;
    const auto value = static_cast<uint8_t>(bytes_.front());
    bytes_ = bytes_.subspan(1);
    return value;
  }
  // Little endian.
  uint64_t number(int byte_count) {
    uint64_t value = 0;
    for (int i = 0; i < byte_count; ++i) value |= uint64_t{next()} << (8 * i);
    return value;
  }
  uint64_t below(uint64_t limit) { return limit == 0 ? 0 : number(3) % limit; }
  bool done() const { return bytes_.empty(); }

 private:
  std::span<const std::byte> bytes_;
};

// What the scripted host has to work with. All spans outlive it.
struct ScriptedWorld {
  std::span<std::byte> model;    // the sealed file; the host may change it at any time
  std::span<std::byte> area;     // at least the program's stores
  std::span<std::byte> trusted;  // the engine's block: never touched, only named
  bool mapped = false;
  bool wakes = true;  // sleeping threads
  Request prepare;    // what an honest host asks first
};

class ScriptedHost : public Host, public TraceSink {
 public:
  ScriptedHost(const ScriptedWorld& world, Script script)
      : world_(world), script_(script), snapshot_(world.area.begin(), world.area.end()) {}
  virtual ~ScriptedHost() = default;

  Result<uint64_t> read_model(uint64_t offset, std::span<std::byte> dst) override {
    const std::lock_guard lock(mutex_);
    switch (script_.next()) {
      case 1:
        return copy(offset, dst.first(1 + script_.below(dst.size())));
      case 2:
        return uint64_t{0};
      case 3:
        return dst.size() + 1 + script_.number(2);
      case 4:
        return ~script_.number(2);
      case 5:
        return error();
      case 6:
        std::ranges::fill(dst, std::byte{script_.next()});
        return uint64_t{dst.size()};
      case 7:
        (void)copy(offset, dst);
        return uint64_t{1} + script_.below(dst.size());
      case 8:
        return copy(script_.below(world_.model.size()), dst);
      case 9:
        return uint64_t{dst.size()};  // nothing written
      case 10: {
        const Result<uint64_t> count = copy(offset, dst);
        dst[script_.below(dst.size())] ^= std::byte{1};
        return count;
      }
      case 11:
        change();
        return copy(offset, dst);
      default:
        return copy(offset, dst);
    }
  }
  Result<uint64_t> model_bytes() override {
    const uint64_t bytes = world_.model.size();
    switch (script_.next()) {
      case 1:
        return bytes + script_.number(2);
      case 2:
        return bytes - script_.below(bytes + 1);
      case 3:
        return script_.number(8);
      case 4:
        return error();
      default:
        return bytes;
    }
  }
  std::span<const std::byte> model_map() override {
    return misplaced(world_.mapped ? world_.model : std::span<std::byte>());
  }
  std::span<std::byte> shared_area() override {
    const std::lock_guard lock(mutex_);
    return misplaced(world_.area);
  }
  Status grow_shared_area(uint64_t) override {
    return script_.next() == 1 ? Status(error()) : ok_status();
  }
  Result<Request> receive() override {
    if (script_.done()) return Error(ErrorCode::kPlatform, "closed");
    const uint8_t choice = script_.next();
    if (choice & 0x80) change();
    return request(choice & 0x0f);
  }
  Status reply(const Reply& reply) override {
    on_reply(last_, reply);
    return script_.next() == 1 ? Status(error()) : ok_status();
  }
  uint64_t nanoseconds() override { return script_.number(1) * 0x0123456789abcdef; }
  // Or sleepers wake at once and nobody is ever woken: the engine has to look again itself.
  void wait(const uint32_t* word, uint32_t expected) override {
    if (world_.wakes)
      syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, nullptr, nullptr, 0);
    else
      sched_yield();
  }
  void wake_all(const uint32_t* word) override {
    if (world_.wakes) syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, nullptr, nullptr, 0);
  }

  // From the step loop: untrusted memory may change between any two accesses.
  void record(const TraceEvent& event) override {
    if (event.kind == TraceKind::kArena || event.kind == TraceKind::kHostCall) return;
    const std::lock_guard lock(mutex_);
    if (script_.next() == 1) change();
  }

 protected:
  // An image's inputs, honestly sealed under `counter`.
  virtual void seal_inputs(uint64_t counter) = 0;
  // A session program with its tag, at the start of the area.
  virtual uint64_t put_session_program() = 0;
  virtual void on_reply(const Request& request, const Reply& reply) = 0;

 private:
  Error error() {
    return Error(static_cast<ErrorCode>(script_.next()), "%s", "%s%n%s%n a host's words");
  }
  Result<uint64_t> copy(uint64_t offset, std::span<std::byte> dst) {
    if (offset >= world_.model.size()) return uint64_t{0};
    const size_t count = std::min<size_t>(dst.size(), world_.model.size() - offset);
    std::copy_n(world_.model.begin() + static_cast<std::ptrdiff_t>(offset), count, dst.begin());
    return uint64_t{count};
  }
  std::span<std::byte> misplaced(std::span<std::byte> honest) {
    const auto at = [&](std::byte* data) { return std::span<std::byte>(data, honest.size()); };
    switch (script_.next()) {
      case 1:
        return {};
      case 2:
        return honest.first(honest.size() - script_.below(honest.size() + 1));
      case 3:
        return honest.subspan(script_.below(honest.size() + 1));
      // Begins in the engine's block, ends in it, ends beyond the last address, begins nowhere.
      case 4:
        return at(world_.trusted.data() + script_.below(world_.trusted.size()));
      case 5:
        return at(world_.trusted.data() - script_.below(honest.size()));
      case 6:
        return at(reinterpret_cast<std::byte*>(~uintptr_t{63}));
      case 7:
        return at(nullptr);
      // The model's memory as the shared area, or the area as the model.
      case 8:
        return world_.model.first(std::min(world_.model.size(), honest.size()));
      case 9:
        return world_.area.first(std::min(world_.area.size(), honest.size()));
      default:
        return honest;
    }
  }
  // Something untrusted changes.
  void change() {
    switch (script_.next() % 5) {
      case 0:
        flip(world_.area);
        break;
      case 1:
        flip(world_.model);
        break;
      case 2:
        std::ranges::copy(snapshot_, world_.area.begin());
        break;  // an earlier state comes back
      case 3:
        snapshot_.assign(world_.area.begin(), world_.area.end());
        break;
      default: {
        const uint64_t from = script_.below(world_.area.size()),
                       to = script_.below(world_.area.size());
        const uint64_t bytes =
            std::min({world_.area.size() - from, world_.area.size() - to, script_.number(2)});
        std::memmove(world_.area.data() + to, world_.area.data() + from, bytes);
      }
    }
  }
  void flip(std::span<std::byte> bytes) {
    if (!bytes.empty()) bytes[script_.below(bytes.size())] ^= std::byte{1};
  }
  Result<Request> request(uint8_t choice) {
    switch (choice) {
      case 1:
        last_ = {RequestKind::kRun, 0, {script_.number(8)}};
        break;
      case 2:
        last_ = honest_request();
        last_.args[script_.next() % 3] += script_.number(8);
        break;
      case 3:
        last_ = honest_request();
        last_.kind = static_cast<RequestKind>(script_.number(4));
        break;
      case 4:
        last_ = {RequestKind::kClose, 0, {}};
        break;
      case 5:
        last_ = world_.prepare;
        break;
      case 6:
        last_ = {RequestKind::kPrepare, 0, {0, put_session_program(), kSessionProgram}};
        break;
      case 7:
        last_ = {
            RequestKind::kPrepare, 0, {script_.number(8), script_.number(4), script_.number(8)}};
        break;
      case 8:
        return error();
      case 9:
        last_ = honest_request();
        last_.args[0] = script_.next();
        break;  // inputs of another counter
      case 10:
        break;  // the same once more
      default:
        last_ = honest_request();
        break;
    }
    prepared_ |= last_.kind == RequestKind::kPrepare;
    return last_;
  }
  Request honest_request() {
    if (!prepared_) return world_.prepare;
    seal_inputs(++counter_);
    return {RequestKind::kRun, 0, {counter_}};
  }

  ScriptedWorld world_;
  Script script_;
  std::vector<std::byte> snapshot_;
  std::mutex mutex_;  // tiles may be read from any thread
  Request last_;
  uint64_t counter_ = 0;
  bool prepared_ = false;
};

}  // namespace carrel::testing
