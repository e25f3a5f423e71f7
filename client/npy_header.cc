#include "client/npy_header.h"

#include <charconv>

namespace carrel {
namespace {

Error malformed() { return Error(ErrorCode::kInvalidInput, "the .npy header is malformed"); }

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  Result<NpyHeader> parse() {
    bool seen[3] = {};
    if (!take('{')) return malformed();
    while (!take('}')) {
      std::string key;
      if (!string(&key) || !take(':')) return malformed();
      CARREL_RETURN_IF_ERROR(entry(key, seen));
      if (!take(',') && !at('}')) return malformed();
    }
    skip_blanks();
    if (!text_.empty() || !seen[0] || !seen[1] || !seen[2]) return malformed();
    return header_;
  }

 private:
  Status entry(const std::string& key, bool (&seen)[3]) {
    const int index = key == "descr" ? 0 : key == "fortran_order" ? 1 : key == "shape" ? 2 : -1;
    if (index < 0 || seen[index]) return malformed();
    seen[index] = true;
    if (index == 2) return dimensions();
    if (index == 1) return boolean(&header_.fortran_order);
    if (at('[')) {
      return Error(ErrorCode::kUnsupported, "a .npy file of structured elements is not supported");
    }
    return string(&header_.descr) ? ok_status() : Status(malformed());
  }

  Status dimensions() {
    if (!take('(')) return malformed();
    while (!take(')')) {
      int64_t dim = 0;
      if (!number(&dim)) return malformed();
      if (!header_.shape.push_back(dim)) {
        return Error(ErrorCode::kUnsupported, "an array has more than %d dimensions",
                     Shape::kMaxRank);
      }
      if (!take(',') && !at(')')) return malformed();
    }
    return ok_status();
  }

  Status boolean(bool* value) {
    skip_blanks();
    for (const std::string_view word : {std::string_view("True"), std::string_view("False")}) {
      if (!text_.starts_with(word)) continue;
      text_.remove_prefix(word.size());
      *value = word == "True";
      return ok_status();
    }
    return malformed();
  }

  bool number(int64_t* value) {
    skip_blanks();
    const auto [end, error] = std::from_chars(text_.data(), text_.data() + text_.size(), *value);
    if (error != std::errc() || *value < 0) return false;
    text_.remove_prefix(static_cast<size_t>(end - text_.data()));
    if (text_.starts_with('L')) text_.remove_prefix(1);  // Python 2's long integers
    return true;
  }

  bool string(std::string* value) {
    skip_blanks();
    if (text_.empty() || (text_[0] != '\'' && text_[0] != '"')) return false;
    const size_t end = text_.find(text_[0], 1);
    if (end == std::string_view::npos) return false;
    *value = text_.substr(1, end - 1);
    text_.remove_prefix(end + 1);
    return value->find('\\') == std::string::npos;
  }

  void skip_blanks() {
    while (!text_.empty() && (text_[0] == ' ' || text_[0] == '\n' || text_[0] == '\t')) {
      text_.remove_prefix(1);
    }
  }
  bool at(char c) {
    skip_blanks();
    return text_.starts_with(c);
  }
  bool take(char c) {
    if (!at(c)) return false;
    text_.remove_prefix(1);
    return true;
  }

  std::string_view text_;
  NpyHeader header_;
};

}  // namespace

Result<NpyHeader> parse_npy_header(std::string_view text) { return Parser(text).parse(); }

std::string format_npy_header(const Shape& shape) {
  std::string dims;
  for (int i = 0; i < shape.rank(); ++i) {
    dims += std::to_string(shape[i]);
    if (i + 1 < shape.rank() || shape.rank() == 1) dims += i + 1 < shape.rank() ? ", " : ",";
  }
  return "{'descr': '<f4', 'fortran_order': False, 'shape': (" + dims + "), }";
}

}  // namespace carrel
