#pragma once
// NumPy arrays: .npy (format versions 1 to 3) and .npz (a zip of them, members stored or deflated).
//
// Everything becomes float32: float64 is rounded, integers and bool of any width are converted;
// either byte order, C or Fortran order (transposed into C order). Files are untrusted: every size
// is checked against the bytes present before memory is taken, and all members of a .npz together
// may neither unpack nor convert to more than kMaxArrayBytes.
#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/shape.h"

namespace carrel {

struct NamedArray {
  std::string name;  // the member of a .npz without ".npy"; empty for a .npy file
  Shape shape;
  std::vector<float> values;  // shape.count(), C order
};

inline constexpr uint64_t kMaxArrayBytes = 4 * kGiB;

// Errors of all readers: kInvalidInput that says what is wrong; kUnsupported for complex, string
// and object arrays.
Result<NamedArray> parse_npy(std::span<const std::byte> bytes);
Result<std::vector<NamedArray>> parse_npz(std::span<const std::byte> bytes,
                                          uint64_t max_unpacked_bytes = kMaxArrayBytes);

// True for the first bytes of a .npy or .npz file.
bool looks_like_arrays(std::span<const std::byte> bytes);
// A .npy (one array) or .npz file, told apart by its first bytes.
Result<std::vector<NamedArray>> parse_arrays(std::span<const std::byte> bytes);
// The names that parse_arrays would give, without unpacking anything.
Result<std::vector<std::string>> array_names(std::span<const std::byte> bytes);
// parse_arrays of a file. Errors: also kIo.
Result<std::vector<NamedArray>> read_arrays(const std::string& path);

std::vector<std::byte> encode_npy(const NamedArray& array);
// Stored, not deflated; the same arrays give the same bytes. kInvalidInput for more than 4 GiB, or
// for names that are empty or repeated.
Result<std::vector<std::byte>> encode_npz(std::span<const NamedArray> arrays);
// By the path's ending: .npz, anything else is .npy and takes exactly one array. Complete or not at
// all. Errors: kIo, kInvalidInput.
Status write_arrays(const std::string& path, std::span<const NamedArray> arrays);

}  // namespace carrel
