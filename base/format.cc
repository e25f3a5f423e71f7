#include "base/format.h"

#include <cstddef>

namespace carrel {
namespace {

class Writer {
 public:
  Writer(char* buffer, uint32_t buffer_bytes) : buffer_(buffer), capacity_(buffer_bytes) {}
  void put(char c) {
    if (used_ + 1 < capacity_) buffer_[used_++] = c;
  }
  void put_unsigned(uint64_t value, unsigned radix) {
    char digits[20];
    int count = 0;
    do {
      digits[count++] = "0123456789abcdef"[value % radix];
      value /= radix;
    } while (value != 0);
    while (count > 0) put(digits[--count]);
  }
  void put_signed(int64_t value) {
    if (value < 0) put('-');
    put_unsigned(value < 0 ? 0 - static_cast<uint64_t>(value) : static_cast<uint64_t>(value), 10);
  }
  uint32_t finish() {
    if (capacity_ > 0) buffer_[used_] = 0;
    return used_;
  }

 private:
  char* buffer_;
  uint32_t capacity_;
  uint32_t used_ = 0;
};

}  // namespace

uint32_t format_message(char* buffer, uint32_t buffer_bytes, const char* format,
                        va_list arguments) {
  Writer out(buffer, buffer_bytes);
  for (const char* p = format; *p != 0; ++p) {
    if (*p != '%') {
      out.put(*p);
      continue;
    }
    ++p;
    int precision = -1;
    if (p[0] == '.' && p[1] == '*') {
      precision = va_arg(arguments, int);
      p += 2;
    }
    int longs = 0;
    for (; *p == 'l' || *p == 'z'; ++p) longs += 1;
    if (*p == 0) break;
    switch (*p) {
      case 's': {
        const char* text = va_arg(arguments, const char*);
        if (text == nullptr) text = "(null)";
        for (int i = 0; text[i] != 0 && (precision < 0 || i < precision); ++i) out.put(text[i]);
        break;
      }
      case 'c':
        out.put(static_cast<char>(va_arg(arguments, int)));
        break;
      case 'd':
      case 'i':
        out.put_signed(longs ? va_arg(arguments, int64_t) : va_arg(arguments, int));
        break;
      case 'u':
      case 'x':
        out.put_unsigned(longs ? va_arg(arguments, uint64_t) : va_arg(arguments, unsigned),
                         *p == 'x' ? 16 : 10);
        break;
      default:
        out.put(*p);
    }
  }
  return out.finish();
}

}  // namespace carrel
