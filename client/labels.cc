#include "client/labels.h"

#include <algorithm>
#include <string_view>

#include "files/read_file.h"

namespace carrel {
namespace {

constexpr uint64_t kMaxLabelBytes = 16 << 20;

std::string clean(std::string_view line) {
  constexpr std::string_view kBlanks = " \t\r";
  const size_t first = line.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return {};
  std::string label(line.substr(first, line.find_last_not_of(kBlanks) - first + 1));
  std::replace_if(
      label.begin(), label.end(),
      [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, '?');
  return label;
}

}  // namespace

Result<std::vector<std::string>> read_labels(const std::string& path) {
  CARREL_ASSIGN(const std::vector<std::byte> bytes, read_file(path, kMaxLabelBytes));
  std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  std::vector<std::string> labels;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    labels.push_back(clean(text.substr(0, end)));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return labels;
}

}  // namespace carrel
