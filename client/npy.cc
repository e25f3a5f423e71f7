#include "client/npy.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>

#include "base/checked.h"
#include "client/little_endian.h"
#include "client/npy_header.h"
#include "client/zip.h"
#include "files/atomic_file.h"
#include "files/read_file.h"

namespace carrel {
namespace {

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr std::string_view kZipMagic = "PK";
constexpr uint32_t kMaxHeaderBytes = 65536;  // NumPy writes about 100
constexpr size_t kAlignment = 64;            // of the data in a file, as NumPy writes it

std::string_view text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

template <typename T>
void convert(std::span<const std::byte> data, bool swap, std::span<float> out) {
  for (size_t i = 0; i < out.size(); ++i) {
    std::byte element[sizeof(T)];
    std::copy_n(data.data() + i * sizeof(T), sizeof(T), element);
    if (swap) std::reverse(element, element + sizeof(T));
    out[i] = static_cast<float>(load_le<T>(element));
  }
}

using Convert = void (*)(std::span<const std::byte>, bool, std::span<float>);
struct ElementType {
  std::string_view code;
  uint64_t bytes;
  Convert convert;
};
constexpr ElementType kElementTypes[] = {
    {"f4", 4, convert<float>},    {"f8", 8, convert<double>},   {"i1", 1, convert<int8_t>},
    {"i2", 2, convert<int16_t>},  {"i4", 4, convert<int32_t>},  {"i8", 8, convert<int64_t>},
    {"u1", 1, convert<uint8_t>},  {"u2", 2, convert<uint16_t>}, {"u4", 4, convert<uint32_t>},
    {"u8", 8, convert<uint64_t>}, {"b1", 1, convert<uint8_t>},
};

Result<ElementType> element_type(std::string_view descr) {
  const char order = descr.empty() ? '?' : descr[0];
  const std::string_view code = descr.substr(descr.empty() ? 0 : 1);
  for (const ElementType& type : kElementTypes) {
    const bool order_known =
        order == '<' || order == '>' || order == '=' || (order == '|' && type.bytes == 1);
    if (type.code == code && order_known) return type;
  }
  return Error(ErrorCode::kUnsupported,
               "a .npy file of type \"%.*s\"; float32, float64, integers and bool are supported",
               static_cast<int>(std::min<size_t>(descr.size(), 20)), descr.data());
}

// Fortran order (first index fastest) to C order.
std::vector<float> transpose(const Shape& shape, const std::vector<float>& fortran) {
  std::vector<float> values(fortran.size());
  std::array<size_t, Shape::kMaxRank> stride{}, index{};
  size_t next = 1;
  for (int i = 0; i < shape.rank(); ++i) {
    stride[static_cast<size_t>(i)] = next;
    next *= static_cast<size_t>(shape[i]);
  }
  size_t from = 0;
  for (float& value : values) {
    value = fortran[from];
    for (int i = shape.rank() - 1; i >= 0; --i) {
      const auto d = static_cast<size_t>(i);
      from += stride[d];
      if (++index[d] < static_cast<size_t>(shape[i])) break;
      from -= stride[d] * index[d];
      index[d] = 0;
    }
  }
  return values;
}

struct Parts {
  std::string_view header;
  std::span<const std::byte> data;
};

Result<Parts> split(std::span<const std::byte> bytes) {
  if (bytes.size() < 10 || !text_of(bytes).starts_with(kMagic)) {
    return Error(ErrorCode::kInvalidInput, "not a .npy file");
  }
  const auto version = static_cast<unsigned>(bytes[6]);
  if (version < 1 || version > 3) {
    return Error(ErrorCode::kUnsupported, ".npy format version %u is not supported", version);
  }
  const size_t prefix = version == 1 ? 10 : 12;
  if (bytes.size() < prefix) return Error(ErrorCode::kInvalidInput, "the .npy file is truncated");
  const uint32_t header_bytes =
      version == 1 ? load_le<uint16_t>(bytes.data() + 8) : load_le<uint32_t>(bytes.data() + 8);
  if (header_bytes > kMaxHeaderBytes || !in_range(prefix, header_bytes, bytes.size())) {
    return Error(ErrorCode::kInvalidInput, "the .npy file is truncated");
  }
  return Parts{text_of(bytes.subspan(prefix, header_bytes)), bytes.subspan(prefix + header_bytes)};
}

// At most max_bytes of float32.
Result<NamedArray> parse_array(std::span<const std::byte> bytes, uint64_t max_bytes) {
  CARREL_ASSIGN(const Parts parts, split(bytes));
  const Result<NpyHeader> parsed = parse_npy_header(parts.header);
  if (!parsed.ok()) return parsed.error();
  const NpyHeader& header = *parsed;
  CARREL_ASSIGN(const ElementType type, element_type(header.descr));
  CARREL_ASSIGN(const uint64_t count, header.shape.element_count());
  if (count > max_bytes / sizeof(float)) {
    return Error(ErrorCode::kInvalidInput, "%llu numbers are more than the %llu bytes allowed",
                 static_cast<unsigned long long>(count),
                 static_cast<unsigned long long>(max_bytes));
  }
  if (count * type.bytes != parts.data.size()) {
    return Error(ErrorCode::kInvalidInput,
                 "the .npy file's shape needs %llu bytes of data, but it has %llu",
                 static_cast<unsigned long long>(count * type.bytes),
                 static_cast<unsigned long long>(parts.data.size()));
  }
  NamedArray array;
  array.shape = header.shape;
  array.values.resize(count);
  const bool swap = header.descr[0] == '>';
  type.convert(parts.data, swap, array.values);
  if (header.fortran_order && header.shape.rank() > 1) {
    array.values = transpose(header.shape, array.values);
  }
  return array;
}

std::string array_name(const ZipMember& member) {
  std::string name = member.name;
  if (name.ends_with(".npy")) name.resize(name.size() - 4);
  return name;
}

bool is_zip(std::span<const std::byte> bytes) { return text_of(bytes).starts_with(kZipMagic); }

}  // namespace

Result<NamedArray> parse_npy(std::span<const std::byte> bytes) {
  return parse_array(bytes, kMaxArrayBytes);
}

Result<std::vector<NamedArray>> parse_npz(std::span<const std::byte> bytes,
                                          uint64_t max_unpacked_bytes) {
  CARREL_ASSIGN(const std::vector<ZipMember> members, list_zip(bytes, max_unpacked_bytes));
  std::vector<NamedArray> arrays;
  uint64_t left = max_unpacked_bytes;
  for (const ZipMember& member : members) {
    CARREL_ASSIGN(const std::vector<std::byte> unpacked, unpack(member));
    Result<NamedArray> array = parse_array(unpacked, left);
    if (!array.ok()) {
      return Error(array.error().code(), "member %.*s: %s",
                   static_cast<int>(std::min<size_t>(member.name.size(), 60)), member.name.c_str(),
                   array.error().message());
    }
    left -= array->values.size() * sizeof(float);
    array->name = array_name(member);
    arrays.push_back(std::move(*array));
  }
  return arrays;
}

bool looks_like_arrays(std::span<const std::byte> bytes) {
  return text_of(bytes).starts_with(kMagic) || is_zip(bytes);
}

Result<std::vector<NamedArray>> parse_arrays(std::span<const std::byte> bytes) {
  if (is_zip(bytes)) return parse_npz(bytes);
  CARREL_ASSIGN(NamedArray array, parse_npy(bytes));
  std::vector<NamedArray> arrays;
  arrays.push_back(std::move(array));
  return arrays;
}

Result<std::vector<std::string>> array_names(std::span<const std::byte> bytes) {
  std::vector<std::string> names;
  if (!is_zip(bytes)) {
    names.emplace_back();
    return names;
  }
  CARREL_ASSIGN(const std::vector<ZipMember> members, list_zip(bytes, kMaxArrayBytes));
  for (const ZipMember& member : members) names.push_back(array_name(member));
  return names;
}

Result<std::vector<NamedArray>> read_arrays(const std::string& path) {
  CARREL_ASSIGN(const std::vector<std::byte> bytes, read_file(path, kMaxArrayBytes));
  return parse_arrays(bytes);
}

std::vector<std::byte> encode_npy(const NamedArray& array) {
  CARREL_CHECK(array.shape.count() == static_cast<int64_t>(array.values.size()));
  std::string header = format_npy_header(array.shape);
  const size_t prefix = kMagic.size() + 4;
  header.append(round_up(prefix + header.size() + 1, kAlignment) - prefix - header.size() - 1, ' ');
  header += '\n';
  std::vector<std::byte> bytes(prefix + header.size() + array.values.size() * sizeof(float));
  std::memcpy(bytes.data(), kMagic.data(), kMagic.size());
  const uint16_t version_and_length[] = {1, static_cast<uint16_t>(header.size())};  // version 1.0
  std::memcpy(bytes.data() + kMagic.size(), version_and_length, sizeof version_and_length);
  std::memcpy(bytes.data() + prefix, header.data(), header.size());
  if (!array.values.empty()) {
    std::memcpy(bytes.data() + prefix + header.size(), array.values.data(),
                array.values.size() * sizeof(float));
  }
  return bytes;
}

Result<std::vector<std::byte>> encode_npz(std::span<const NamedArray> arrays) {
  ZipWriter zip;
  for (const NamedArray& array : arrays) {
    if (array.name.empty()) {
      return Error(ErrorCode::kInvalidInput, "an array in a .npz file needs a name");
    }
    CARREL_RETURN_IF_ERROR(zip.add(array.name + ".npy", encode_npy(array)));
  }
  return zip.finish();
}

Status write_arrays(const std::string& path, std::span<const NamedArray> arrays) {
  if (path.ends_with(".npz")) {
    CARREL_ASSIGN(const std::vector<std::byte> bytes, encode_npz(arrays));
    return write_file(path, bytes);
  }
  if (arrays.size() != 1) {
    return Error(ErrorCode::kInvalidInput, "%llu arrays need a file that ends in .npz",
                 static_cast<unsigned long long>(arrays.size()));
  }
  return write_file(path, encode_npy(arrays[0]));
}

}  // namespace carrel
