#pragma once
// Names from hostile files, made fit for one line of a message.
#include <string>

namespace carrel {

// Control characters become '?', and what is longer than 120 bytes is cut.
inline std::string printable(const std::string& name) {
  std::string clean = name.substr(0, 120);
  for (char& c : clean) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  }
  return clean;
}

}  // namespace carrel
