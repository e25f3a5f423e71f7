#include "engine/host/checked_host.h"

#include "base/checked.h"

namespace carrel {
namespace {

// Blocks are written at multiples of 4 bytes from the start of the area; vector stores want whole lines.
constexpr uintptr_t kSharedAlignment = 64;

Error checked(const Error& claimed) {
  const ErrorCode code = claimed.code();
  const bool allowed = code == ErrorCode::kIo || code == ErrorCode::kPlatform || code == ErrorCode::kCancelled;
  Error error(allowed ? code : ErrorCode::kPlatform, "%.*s", static_cast<int>(Error::kMessageBytes - 1),
              claimed.message());
  return error;
}

Error broken(const char* what) { return Error(ErrorCode::kPlatform, "the host broke the protocol: %s", what); }

}  // namespace

bool CheckedHost::outside(const void* data, uint64_t bytes) const {
  const uint64_t begin = reinterpret_cast<uintptr_t>(data);
  const uint64_t trusted_begin = reinterpret_cast<uintptr_t>(trusted_.data());
  uint64_t end = 0;
  if (data == nullptr || !checked_add(begin, bytes, &end)) return false;
  return end <= trusted_begin || begin >= trusted_begin + trusted_.size();
}

Status CheckedHost::attach(Host* host, std::span<const std::byte> trusted) {
  host_ = host;
  trusted_ = trusted;
  count();
  const Result<uint64_t> bytes = host_->model_bytes();
  if (!bytes.ok()) return checked(bytes.error());
  model_bytes_ = *bytes;
  count();
  model_map_ = host_->model_map();
  if (model_map_.empty()) return ok_status();
  if (!outside(model_map_.data(), model_map_.size())) return broken("the model's map is not outside");
  if (model_map_.size() != model_bytes_) return broken("the model's map and its size differ");
  return ok_status();
}

Status CheckedHost::read_model_exact(uint64_t offset, std::span<std::byte> dst) {
  if (!in_range(offset, dst.size(), model_bytes_)) {
    return Error(ErrorCode::kAuthentication, "the sealed model ends too early");
  }
  while (!dst.empty()) {
    count();
    const Result<uint64_t> claimed = host_->read_model(offset, dst);
    if (!claimed.ok()) return checked(claimed.error());
    if (*claimed > dst.size()) return broken("it claims to have read more than was asked for");
    if (*claimed == 0) return Error(ErrorCode::kAuthentication, "the sealed model became shorter while in use");
    dst = dst.subspan(*claimed);
    offset += *claimed;
  }
  return ok_status();
}

Result<std::span<std::byte>> CheckedHost::shared_area_now(uint64_t bytes) {
  count();
  const std::span<std::byte> area = host_->shared_area();
  if (area.size() < bytes) {
    return Error(ErrorCode::kPlatform, "the shared area has %llu bytes, %llu are needed",
                 static_cast<unsigned long long>(area.size()), static_cast<unsigned long long>(bytes));
  }
  if (area.empty()) return area;
  if (!outside(area.data(), area.size()) || reinterpret_cast<uintptr_t>(area.data()) % kSharedAlignment != 0) {
    return broken("the shared area is misplaced");
  }
  return area;
}

Status CheckedHost::fix_shared_area(uint64_t bytes) {
  count();
  const Status grown = host_->grow_shared_area(bytes);
  if (!grown.ok()) return checked(grown.error());
  CARREL_ASSIGN(shared_, shared_area_now(bytes));
  return ok_status();
}

Result<Request> CheckedHost::receive() {
  count();
  const Result<Request> request = host_->receive();
  if (!request.ok()) return checked(request.error());
  const uint32_t kind = static_cast<uint32_t>(request->kind);
  if (kind < static_cast<uint32_t>(RequestKind::kPrepare) || kind > static_cast<uint32_t>(RequestKind::kClose)) {
    return broken("unknown request");
  }
  return *request;
}

Status CheckedHost::reply(const Reply& reply) {
  count();
  const Status sent = host_->reply(reply);
  if (!sent.ok()) return checked(sent.error());
  return ok_status();
}

uint64_t CheckedHost::nanoseconds() {
  count();
  return host_->nanoseconds();
}

}  // namespace carrel
