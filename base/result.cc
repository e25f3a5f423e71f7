#include "base/result.h"

#include "base/format.h"

namespace carrel {

Error::Error(ErrorCode code, const char* format, ...) : code_(code) {
  va_list arguments;
  va_start(arguments, format);
  format_message(message_, kMessageBytes, format, arguments);
  va_end(arguments);
}

void check_failed(const char*, const char*, int) { __builtin_trap(); }

}  // namespace carrel
