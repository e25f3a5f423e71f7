#include "client/npy.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <cstring>
#include <random>

#include "client/little_endian.h"
#include "client/npy_header.h"
#include "client/zip.h"

namespace carrel {
namespace {

using Bytes = std::vector<std::byte>;

void append_text(Bytes* out, std::string_view text) {
  for (char c : text) out->push_back(static_cast<std::byte>(c));
}

// A .npy file of version 1 around any header and data.
Bytes npy_file(std::string header, const Bytes& data, char version = 1) {
  Bytes bytes;
  append_text(&bytes, "\x93NUMPY");
  bytes.push_back(static_cast<std::byte>(version));
  bytes.push_back({});
  header += '\n';
  if (version == 1)
    append_le(&bytes, static_cast<uint16_t>(header.size()));
  else
    append_le(&bytes, static_cast<uint32_t>(header.size()));
  append_text(&bytes, header);
  bytes.insert(bytes.end(), data.begin(), data.end());
  return bytes;
}

std::string dict(const char* descr, const char* shape, const char* fortran = "False") {
  return std::string("{'descr': '") + descr + "', 'fortran_order': " + fortran +
         ", 'shape': " + shape + ", }";
}

template <typename T>
Bytes data_of(std::initializer_list<T> values) {
  Bytes bytes;
  for (T value : values) append_le(&bytes, value);
  return bytes;
}

NamedArray array_of(const char* name, const Shape& shape) {
  NamedArray array{name, shape, {}};
  for (int64_t i = 0; i < shape.count(); ++i) array.values.push_back(0.5f * static_cast<float>(i));
  return array;
}

TEST(Npy, WritesWhatNumpyWrites) {
  const Bytes bytes = encode_npy(array_of("", {2, 3}));
  ASSERT_EQ(bytes.size(), 128u + 24u);
  const std::string text(reinterpret_cast<const char*>(bytes.data()), 128);
  EXPECT_EQ(text.substr(0, 10), std::string("\x93NUMPY\x01\x00\x76\x00", 10));
  EXPECT_EQ(text.substr(10, 58), "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), ");
  EXPECT_EQ(text[127], '\n');
  EXPECT_EQ(format_npy_header({}), "{'descr': '<f4', 'fortran_order': False, 'shape': (), }");
  EXPECT_EQ(format_npy_header({7}), "{'descr': '<f4', 'fortran_order': False, 'shape': (7,), }");
}

TEST(Npy, RoundTrip) {
  for (const Shape& shape : {Shape{}, Shape{1}, Shape{0}, Shape{5}, Shape{2, 0, 3},
                             Shape{1, 3, 8, 8}, Shape{1, 1, 1, 1, 1, 1, 2, 2}}) {
    const NamedArray array = array_of("", shape);
    const auto again = parse_npy(encode_npy(array));
    ASSERT_TRUE(again.ok());
    EXPECT_EQ(again->shape, shape);
    EXPECT_EQ(again->values, array.values);
  }
}

template <typename T>
void expect_converts(const char* descr, std::initializer_list<T> values) {
  const std::string shape = "(" + std::to_string(values.size()) + ",)";
  const auto array = parse_npy(npy_file(dict(descr, shape.c_str()), data_of(values)));
  ASSERT_TRUE(array.ok()) << descr << " " << array.error().message();
  size_t i = 0;
  for (T value : values) EXPECT_EQ(array->values[i++], static_cast<float>(value)) << descr;
}

TEST(Npy, OtherTypesAreConverted) {
  expect_converts<float>("<f4", {1.5f, -2});
  expect_converts<double>("<f8", {1.1, -3e30});
  expect_converts<int8_t>("|i1", {-128, 127});
  expect_converts<uint8_t>("|u1", {0, 255});
  expect_converts<uint8_t>("|b1", {0, 1});
  expect_converts<int16_t>("<i2", {-32768, 5});
  expect_converts<uint16_t>("<u2", {65535, 5});
  expect_converts<int32_t>("=i4", {-7, 1 << 30});
  expect_converts<uint32_t>("<u4", {4000000000u});
  expect_converts<int64_t>("<i8", {-(int64_t{1} << 40)});
  expect_converts<uint64_t>("<u8", {uint64_t{1} << 63});
  const auto big = parse_npy(npy_file(dict(">i2", "(2,)"), data_of<uint8_t>({1, 0, 255, 254})));
  ASSERT_TRUE(big.ok());
  EXPECT_EQ(big->values, (std::vector<float>{256, -2}));
}

TEST(Npy, FortranOrderIsTransposed) {
  const Bytes data = data_of<float>({0, 3, 1, 4, 2, 5});
  const auto array = parse_npy(npy_file(dict("<f4", "(2, 3)", "True"), data));
  ASSERT_TRUE(array.ok());
  EXPECT_EQ(array->values, (std::vector<float>{0, 1, 2, 3, 4, 5}));
  Bytes cube;
  const Shape shape{2, 3, 4};
  for (int k = 0; k < 4; ++k)
    for (int j = 0; j < 3; ++j)
      for (int i = 0; i < 2; ++i) append_le(&cube, static_cast<float>((i * 3 + j) * 4 + k));
  const auto third = parse_npy(npy_file(dict("<f4", "(2, 3, 4)", "True"), cube));
  ASSERT_TRUE(third.ok());
  for (size_t i = 0; i < 24; ++i) EXPECT_EQ(third->values[i], static_cast<float>(i));
}

TEST(Npy, LaterVersionsAndOtherSpellings) {
  const Bytes data = data_of<float>({1, 2});
  for (char version : {'\2', '\3'}) {
    EXPECT_TRUE(parse_npy(npy_file(dict("<f4", "(2,)"), data, version)).ok());
  }
  EXPECT_TRUE(
      parse_npy(npy_file("{'shape':(2L,),\"fortran_order\":False,'descr':'<f4'}", data)).ok());
  EXPECT_FALSE(parse_npy(npy_file(dict("<f4", "(2,)"), data, 4)).ok());
}

TEST(Npy, BadHeadersAreErrors) {
  const Bytes data = data_of<float>({1, 2});
  for (const char* shape :
       {"(3,)", "(1,)", "(-2,)", "(2", "2", "(2,,)", "(x,)", "(1, 99999999999999999999)",
        "(4294967296, 4294967296, 4294967296)", "(1099511627776, 2)", "(0, 9223372036854775807)",
        "(1,1,1,1,1,1,1,1,2)"}) {
    EXPECT_FALSE(parse_npy(npy_file(dict("<f4", shape), data)).ok()) << shape;
  }
  for (const char* descr : {"", "<", "f4", "<f2", "<c8", "|O", "<U4", "|f4", "<f4x"}) {
    EXPECT_FALSE(parse_npy(npy_file(dict(descr, "(2,)"), data)).ok()) << descr;
  }
  for (const char* header :
       {"", "{", "{}", "{'descr': '<f4'}", "[]",
        "{'descr': [('a', '<f4')], 'fortran_order': False}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2,)} x",
        "{'descr': '<f4', 'fortran_order': 1, 'shape': (2,)}",
        "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), 'more': 1}"}) {
    EXPECT_FALSE(parse_npy(npy_file(header, data)).ok()) << header;
  }
}

TEST(Npy, EveryTruncationIsAnError) {
  const Bytes whole = encode_npy(array_of("", {2, 2}));
  for (size_t n = 0; n < whole.size(); ++n) {
    EXPECT_FALSE(parse_npy(std::span(whole).first(n)).ok()) << n;
  }
  Bytes longer = whole;
  longer.push_back({});
  EXPECT_FALSE(parse_npy(longer).ok());
}

std::vector<NamedArray> two_arrays() {
  std::vector<NamedArray> arrays;
  arrays.push_back(array_of("first", {2, 3}));
  arrays.push_back(array_of("a/b", {4}));
  return arrays;
}

TEST(Npz, RoundTrip) {
  const auto bytes = encode_npz(two_arrays());
  ASSERT_TRUE(bytes.ok());
  const auto again = parse_npz(*bytes);
  ASSERT_TRUE(again.ok());
  ASSERT_EQ(again->size(), 2u);
  EXPECT_EQ((*again)[0].name, "first");
  EXPECT_EQ((*again)[1].name, "a/b");
  EXPECT_EQ((*again)[0].shape, (Shape{2, 3}));
  EXPECT_EQ((*again)[0].values, two_arrays()[0].values);
  const auto none = encode_npz({});
  EXPECT_TRUE(parse_npz(*none)->empty());
}

TEST(Npz, NamesMustDiffer) {
  std::vector<NamedArray> arrays = two_arrays();
  arrays[1].name = "first";
  EXPECT_FALSE(encode_npz(arrays).ok());
  arrays[1].name = "";
  EXPECT_FALSE(encode_npz(arrays).ok());
}

TEST(Npz, EveryTruncationIsAnError) {
  const Bytes whole = *encode_npz(two_arrays());
  for (size_t n = 0; n < whole.size(); ++n) {
    EXPECT_FALSE(parse_npz(std::span(whole).first(n)).ok()) << n;
  }
}

TEST(Npz, AChangedByteIsAnErrorOrHarmless) {
  const Bytes whole = *encode_npz(two_arrays());
  std::mt19937 random(1);
  for (size_t i = 0; i < whole.size(); ++i) {
    Bytes changed = whole;
    changed[i] ^= static_cast<std::byte>(1u << (random() % 8));
    const auto arrays = parse_npz(changed);
    if (!arrays.ok()) continue;
    // Only what no checksum covers may change: dates, versions, names.
    for (size_t a = 0; a < arrays->size(); ++a) {
      EXPECT_EQ((*arrays)[a].values, two_arrays()[a].values) << i;
    }
  }
}

// A zip of one member, deflated by zlib, claiming `claimed_bytes` unpacked.
Bytes deflated_zip(const Bytes& body, uint32_t claimed_bytes) {
  Bytes packed(compressBound(body.size()) + 64);
  z_stream stream{};
  deflateInit2(&stream, 9, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(body.data()));
  stream.avail_in = static_cast<uInt>(body.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  Bytes common = data_of<uint16_t>({20, 0, 8, 0, 0});
  append_le(&common, static_cast<uint32_t>(crc32(0, reinterpret_cast<const Bytef*>(body.data()),
                                                 static_cast<uInt>(body.size()))));
  append_le(&common, static_cast<uint32_t>(packed.size()));
  append_le(&common, claimed_bytes);
  append_le(&common, uint32_t{5});
  Bytes zip;
  const auto append = [&](const Bytes& more) { zip.insert(zip.end(), more.begin(), more.end()); };
  append_le(&zip, 0x04034b50u);
  append(common);
  append_text(&zip, "x.npy");
  append(packed);
  const auto begin = static_cast<uint32_t>(zip.size());
  append_le(&zip, 0x02014b50u);
  append_le(&zip, uint16_t{20});
  append(common);
  append(Bytes(14));
  append_text(&zip, "x.npy");
  const auto size = static_cast<uint32_t>(zip.size()) - begin;
  append_le(&zip, 0x06054b50u);
  append(data_of<uint16_t>({0, 0, 1, 1}));
  append(data_of<uint32_t>({size, begin}));
  append(Bytes(2));
  return zip;
}

TEST(Npz, DeflatedMembers) {
  NamedArray zeros = array_of("", {64, 64});
  std::fill(zeros.values.begin(), zeros.values.end(), 0.25f);
  const Bytes body = encode_npy(zeros);
  const auto size = static_cast<uint32_t>(body.size());
  const auto arrays = parse_npz(deflated_zip(body, size));
  ASSERT_TRUE(arrays.ok()) << arrays.error().message();
  EXPECT_EQ((*arrays)[0].name, "x");
  EXPECT_EQ((*arrays)[0].values, zeros.values);
  EXPECT_FALSE(parse_npz(deflated_zip(body, size - 1)).ok());
  EXPECT_FALSE(parse_npz(deflated_zip(body, size + 1)).ok());
  EXPECT_FALSE(parse_npz(deflated_zip(body, 0)).ok());
  // More than deflate can do: refused before memory is taken.
  EXPECT_FALSE(parse_npz(deflated_zip(body, 0xfffffff0u)).ok());
  EXPECT_FALSE(parse_npz(deflated_zip(body, size), size - 1).ok());
}

// A byte of a file may become four in memory; all arrays count.
TEST(Npz, TheLimitCountsWhatArraysBecome) {
  const Bytes body = npy_file(dict("|u1", "(4096,)"), Bytes(4096));
  ZipWriter zip;
  ASSERT_TRUE(zip.add("a.npy", body).ok() && zip.add("b.npy", body).ok());
  const Bytes bytes = zip.finish();
  constexpr uint64_t kFloatBytes = 2 * 4096 * sizeof(float);
  EXPECT_TRUE(parse_npz(bytes, kFloatBytes).ok());
  EXPECT_FALSE(parse_npz(bytes, kFloatBytes - 1).ok());
}

TEST(Npz, NamesAreKnownWithoutUnpacking) {
  const Bytes body = encode_npy(array_of("", {64, 64}));
  const Bytes zip = deflated_zip(body, static_cast<uint32_t>(body.size()) + 1);  // does not unpack
  ASSERT_FALSE(parse_arrays(zip).ok());
  const auto names = array_names(zip);
  ASSERT_TRUE(names.ok()) << names.error().message();
  EXPECT_EQ(*names, std::vector<std::string>{"x"});
  EXPECT_EQ(*array_names(*encode_npz(two_arrays())), (std::vector<std::string>{"first", "a/b"}));
  EXPECT_EQ(*array_names(body), std::vector<std::string>{""});
}

}  // namespace
}  // namespace carrel
