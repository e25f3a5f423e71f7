#pragma once
// A TCP connection that carries frames. Every wait has an end: a peer that stops is an error after kPatienceSeconds.
#include <atomic>
#include <mutex>
#include <string>
#include <vector>

#include "he/wire/frame.h"

namespace carrel::he {

inline constexpr int kPatienceSeconds = 120;

// An open file descriptor, closed with the object.
class Descriptor {
 public:
  explicit Descriptor(int fd = -1) : fd_(fd) {}
  ~Descriptor();
  Descriptor(Descriptor&& other) noexcept : fd_(other.fd_) { other.fd_ = -1; }
  Descriptor& operator=(Descriptor&& other) noexcept;
  int get() const { return fd_; }

 private:
  int fd_;
};

// address: "HOST:PORT"; port 0 is any free one. Errors: kInvalidInput, kIo.
Result<Descriptor> listen_on(const std::string& address);
// "127.0.0.1:4711": where a listener can be reached.
Result<std::string> address_of(const Descriptor& listener);
// Waits for `seconds`, for ever if negative. Errors: kIo.
Result<Descriptor> accept_one(const Descriptor& listener, int seconds);
Result<Descriptor> connect_to(const std::string& address);

// send() from any thread, receive() from one. Both fail once stop() was called.
class Connection {
 public:
  explicit Connection(Descriptor socket) : socket_(std::move(socket)) {}

  // payload: in one or two parts. Errors: kIo.
  Status send(const FrameHeader& header, std::span<const std::byte> first, std::span<const std::byte> second = {});
  // Errors: kIo (also where the peer closed), kInvalidInput; kPlatform with the peer's words where it sent a failure.
  Result<FrameHeader> receive(std::vector<std::byte>* payload);
  // Tells the peer why, as far as it still listens.
  void send_failure(const char* message);
  void stop();

  uint64_t bytes_sent() const { return sent_; }
  uint64_t bytes_received() const { return received_; }

 private:
  Status read_all(std::span<std::byte> out);

  Descriptor socket_;
  std::mutex sending_;
  std::atomic<uint64_t> sent_{0}, received_{0};
};

}  // namespace carrel::he
