#pragma once
// A printf subset that neither allocates nor touches stdio, so trusted code may use it.
#include <cstdarg>
#include <cstdint>

namespace carrel {

// Writes at most `buffer_bytes - 1` characters and a terminating zero; returns the characters written.
// Understands %s %.*s %c %d %i %u %x with the length modifiers l, ll, z, and %%. Anything else is copied.
uint32_t format_message(char* buffer, uint32_t buffer_bytes, const char* format, va_list arguments);

}  // namespace carrel
