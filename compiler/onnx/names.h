#pragma once
// Names from hostile files.
#include <string>

namespace carrel {

inline bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

// Fit for one line of a message: control characters become '?', and what is longer than 120 bytes
// is cut.
inline std::string printable(const std::string& name) {
  std::string clean = name.substr(0, 120);
  for (char& c : clean) {
    if (is_control(c)) c = '?';
  }
  return clean;
}

}  // namespace carrel
