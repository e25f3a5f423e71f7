#pragma once
// Result<T> and Status: how every room reports failure. No exceptions, no allocation.
//
// An Error is a closed code plus a short static-storage-free message (fixed buffer), so that trusted
// code can produce one without a heap. Libraries never print or exit; apps/ turns an Error into one line.
#include <cstdarg>
#include <cstdint>
#include <new>
#include <type_traits>
#include <utility>

namespace carrel {

enum class [[nodiscard]] ErrorCode : uint8_t {
  kInvalidInput,    // bytes, shapes or arguments from outside are wrong
  kUnsupported,     // well-formed, but not something carrel does
  kBudgetTooSmall,  // detail() = least bytes that would do (0: unknown)
  kAuthentication,  // bytes were changed, swapped, replayed or truncated
  kWrongKey,        // the key does not belong to this sealed model
  kIo,              // the operating system refused
  kPlatform,        // the trusted process or its host broke the protocol, or died
  kCancelled,       // stopped by the user
};

class Error {
 public:
  static constexpr uint32_t kMessageBytes = 240;
  // printf-style; truncated to kMessageBytes - 1 characters.
  Error(ErrorCode code, const char* format, ...) __attribute__((format(printf, 3, 4)));
  ErrorCode code() const { return code_; }
  const char* message() const { return message_; }
  uint64_t detail() const { return detail_; }
  Error& with_detail(uint64_t detail) {
    detail_ = detail;
    return *this;
  }

 private:
  ErrorCode code_;
  uint64_t detail_ = 0;
  char message_[kMessageBytes] = {};  // zeros behind the text too: errors cross to the untrusted side whole
};

[[noreturn]] void check_failed(const char* expression, const char* file, int line);
// Our own bug, never reachable from input.
#define CARREL_CHECK(expression) \
  ((expression) ? void(0) : ::carrel::check_failed(#expression, __FILE__, __LINE__))

template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : ok_(true) { new (&value_) T(std::move(value)); }  // NOLINT: implicit by design
  Result(Error error) : ok_(false) { new (&error_) Error(error); }    // NOLINT
  Result(Result&& other) noexcept : ok_(other.ok_) {
    if (ok_) new (&value_) T(std::move(other.value_));
    else new (&error_) Error(other.error_);
  }
  Result(const Result& other) : ok_(other.ok_) {
    if (ok_) new (&value_) T(other.value_);
    else new (&error_) Error(other.error_);
  }
  Result& operator=(Result other) noexcept {
    this->~Result();
    new (this) Result(std::move(other));
    return *this;
  }
  ~Result() {
    if (ok_) value_.~T();
    else error_.~Error();
  }
  bool ok() const { return ok_; }
  explicit operator bool() const { return ok_; }
  const T& value() const& { CARREL_CHECK(ok_); return value_; }
  T& value() & { CARREL_CHECK(ok_); return value_; }
  T&& value() && { CARREL_CHECK(ok_); return std::move(value_); }
  const T& operator*() const& { return value(); }
  T& operator*() & { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  const T* operator->() const { return &value(); }
  T* operator->() { return &value(); }
  const Error& error() const { CARREL_CHECK(!ok_); return error_; }

 private:
  bool ok_;
  union {
    T value_;
    Error error_;
  };
};

struct Unit {};
using Status = Result<Unit>;
inline Status ok_status() { return Unit{}; }

#define CARREL_CONCAT_(a, b) a##b
#define CARREL_CONCAT(a, b) CARREL_CONCAT_(a, b)
// Returns the error from the enclosing function if `expression` (a Status or Result) failed.
#define CARREL_RETURN_IF_ERROR(expression)                       \
  do {                                                           \
    auto&& carrel_status_ = (expression);                        \
    if (!carrel_status_.ok()) return carrel_status_.error();     \
  } while (0)
// CARREL_ASSIGN(auto x, f()): x = f()'s value, or return f()'s error.
#define CARREL_ASSIGN(target, expression) \
  CARREL_ASSIGN_IMPL_(CARREL_CONCAT(carrel_result_, __LINE__), target, expression)
#define CARREL_ASSIGN_IMPL_(result, target, expression) \
  auto result = (expression);                           \
  if (!result.ok()) return result.error();              \
  target = std::move(*result)

}  // namespace carrel
