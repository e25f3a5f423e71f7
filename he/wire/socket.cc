#include "he/wire/socket.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cstring>

namespace carrel::he {
namespace {

Error failed(const char* what) { return Error(ErrorCode::kIo, "%s: %s", what, std::strerror(errno)); }

// Waits until `fd` is ready. seconds < 0: for ever.
Status wait_for(int fd, short events, int seconds, const char* what) {
  pollfd p{fd, events, 0};
  for (;;) {
    const int ready = poll(&p, 1, seconds < 0 ? -1 : seconds * 1000);
    if (ready > 0) return ok_status();
    if (ready == 0) return Error(ErrorCode::kIo, "%s: nothing for %d seconds", what, seconds);
    if (errno != EINTR) return failed(what);
  }
}

struct Addresses {
  addrinfo* first = nullptr;
  ~Addresses() {
    if (first != nullptr) freeaddrinfo(first);
  }
};

Status resolve(const std::string& address, bool listener, Addresses* out) {
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos || colon == 0 || colon + 1 == address.size()) {
    return Error(ErrorCode::kInvalidInput, "'%s' is not HOST:PORT", address.c_str());
  }
  std::string host = address.substr(0, colon);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV | (listener ? AI_PASSIVE : 0);
  const int error = getaddrinfo(host.c_str(), address.c_str() + colon + 1, &hints, &out->first);
  if (error == 0) return ok_status();
  return Error(ErrorCode::kIo, "%s: %s", address.c_str(), gai_strerror(error));
}

void tune(int fd) {
  const int one = 1, buffer_bytes = 4 << 20;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &buffer_bytes, sizeof buffer_bytes);
  setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer_bytes, sizeof buffer_bytes);
}

}  // namespace

Descriptor::~Descriptor() {
  if (fd_ >= 0) close(fd_);
}

Descriptor& Descriptor::operator=(Descriptor&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}

Result<Descriptor> listen_on(const std::string& address) {
  Addresses found;
  CARREL_RETURN_IF_ERROR(resolve(address, true, &found));
  for (const addrinfo* a = found.first; a != nullptr; a = a->ai_next) {
    Descriptor fd(socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol));
    if (fd.get() < 0) continue;
    const int one = 1;
    setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd.get(), a->ai_addr, a->ai_addrlen) == 0 && listen(fd.get(), 4) == 0) return fd;
  }
  return failed(address.c_str());
}

Result<std::string> address_of(const Descriptor& listener) {
  sockaddr_storage address{};
  socklen_t bytes = sizeof address;
  char host[NI_MAXHOST], port[NI_MAXSERV];
  if (getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &bytes) != 0) return failed("getsockname");
  if (getnameinfo(reinterpret_cast<sockaddr*>(&address), bytes, host, sizeof host, port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
    return failed("getnameinfo");
  }
  std::string text = host;
  if (address.ss_family == AF_INET6) text = text.insert(0, 1, '[').append("]");
  return text.append(":").append(port);
}

Result<Descriptor> accept_one(const Descriptor& listener, int seconds) {
  for (;;) {
    CARREL_RETURN_IF_ERROR(wait_for(listener.get(), POLLIN, seconds, "waiting for a client"));
    Descriptor fd(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (fd.get() >= 0) {
      tune(fd.get());
      return fd;
    }
    if (errno != EINTR && errno != ECONNABORTED && errno != EAGAIN) return failed("accept");
  }
}

Result<Descriptor> connect_to(const std::string& address) {
  Addresses found;
  CARREL_RETURN_IF_ERROR(resolve(address, false, &found));
  for (const addrinfo* a = found.first; a != nullptr; a = a->ai_next) {
    Descriptor fd(socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol));
    if (fd.get() < 0 || connect(fd.get(), a->ai_addr, a->ai_addrlen) != 0) continue;
    tune(fd.get());
    return fd;
  }
  return failed(address.c_str());
}

Status Connection::send(const FrameHeader& header, std::span<const std::byte> first, std::span<const std::byte> second) {
  std::byte head[kHeaderBytes];
  FrameHeader whole = header;
  whole.payload_bytes = static_cast<uint32_t>(first.size() + second.size());
  encode_header(whole, head);
  iovec parts[3] = {{head, kHeaderBytes}, {const_cast<std::byte*>(first.data()), first.size()}, {const_cast<std::byte*>(second.data()), second.size()}};
  msghdr message{};
  message.msg_iov = parts;
  message.msg_iovlen = 3;
  const std::lock_guard<std::mutex> lock(sending_);
  sent_ += kHeaderBytes + whole.payload_bytes;
  while (message.msg_iovlen > 0) {
    CARREL_RETURN_IF_ERROR(wait_for(socket_.get(), POLLOUT, kPatienceSeconds, "the peer does not read"));
    ssize_t done = sendmsg(socket_.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (done < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (done < 0) return failed("the connection broke");
    for (; message.msg_iovlen > 0 && static_cast<size_t>(done) >= message.msg_iov->iov_len; ++message.msg_iov, --message.msg_iovlen) {
      done -= static_cast<ssize_t>(message.msg_iov->iov_len);
    }
    if (message.msg_iovlen == 0) break;
    message.msg_iov->iov_base = static_cast<std::byte*>(message.msg_iov->iov_base) + done;
    message.msg_iov->iov_len -= static_cast<size_t>(done);
  }
  return ok_status();
}

Status Connection::read_all(std::span<std::byte> out) {
  for (size_t done = 0; done < out.size();) {
    CARREL_RETURN_IF_ERROR(wait_for(socket_.get(), POLLIN, kPatienceSeconds, "the peer does not answer"));
    const ssize_t got = recv(socket_.get(), out.data() + done, out.size() - done, MSG_DONTWAIT);
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (got < 0) return failed("the connection broke");
    if (got == 0) return Error(ErrorCode::kIo, "the peer closed the connection");
    done += static_cast<size_t>(got);
  }
  received_ += out.size();
  return ok_status();
}

Result<FrameHeader> Connection::receive(std::vector<std::byte>* payload) {
  std::byte head[kHeaderBytes];
  CARREL_RETURN_IF_ERROR(read_all(head));
  CARREL_ASSIGN(const FrameHeader header, parse_header(head));
  payload->resize(header.payload_bytes);
  CARREL_RETURN_IF_ERROR(read_all(*payload));
  if (header.type != FrameType::kFailure) return header;
  // Printable text only: it comes from a stranger.
  std::string words;
  for (std::byte b : *payload) {
    const char c = static_cast<char>(b);
    if (words.size() < 160) words.push_back(c >= ' ' && c <= '~' ? c : '?');
  }
  return Error(ErrorCode::kPlatform, "the peer gave up: %s", words.c_str());
}

void Connection::send_failure(const char* message) {
  const Status ignored = send({FrameType::kFailure, 0, {}}, std::as_bytes(std::span(message, std::strlen(message))));
  (void)ignored;
}

void Connection::stop() { shutdown(socket_.get(), SHUT_RDWR); }

}  // namespace carrel::he
