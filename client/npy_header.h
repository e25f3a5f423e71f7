#pragma once
// The header of a .npy file: a Python dictionary literal.
#include <string>
#include <string_view>

#include "base/shape.h"

namespace carrel {

struct NpyHeader {
  std::string descr;  // e.g. "<f4"
  bool fortran_order = false;
  Shape shape;
};

// Takes what numpy.lib.format writes, in any order of keys, and nothing else. Errors:
// kInvalidInput; kUnsupported for structured types and more than Shape::kMaxRank dimensions.
Result<NpyHeader> parse_npy_header(std::string_view text);
std::string format_npy_header(const Shape& shape);  // float32, C order

}  // namespace carrel
