#include "client/images.h"

#include <gtest/gtest.h>
#include <jpeglib.h>
#include <png.h>
#include <zlib.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <random>
#include <string>

#include "client/resample.h"

namespace carrel {
namespace {

Image gradient(int64_t height, int64_t width) {
  Image image{height, width, {}};
  for (int64_t y = 0; y < height; ++y) {
    for (int64_t x = 0; x < width; ++x) {
      image.rgb.push_back(static_cast<uint8_t>(255 * y / height));
      image.rgb.push_back(static_cast<uint8_t>(255 * x / width));
      image.rgb.push_back(
          static_cast<uint8_t>(128 + 100 * std::sin(0.3 * static_cast<double>(x + y))));
    }
  }
  return image;
}

std::vector<std::byte> encode_png(const uint8_t* pixels, int64_t height, int64_t width,
                                  png_uint_32 format) {
  png_image png{};
  png.version = PNG_IMAGE_VERSION;
  png.width = static_cast<png_uint_32>(width);
  png.height = static_cast<png_uint_32>(height);
  png.format = format;
  png_alloc_size_t size = 0;
  EXPECT_TRUE(png_image_write_to_memory(&png, nullptr, &size, 0, pixels, 0, nullptr));
  std::vector<std::byte> bytes(size);
  EXPECT_TRUE(png_image_write_to_memory(&png, bytes.data(), &size, 0, pixels, 0, nullptr));
  bytes.resize(size);
  return bytes;
}

struct JpegKind {
  J_COLOR_SPACE space;
  int channels;
  bool progressive = false;
};

std::vector<std::byte> encode_jpeg(const uint8_t* pixels, int64_t height, int64_t width,
                                   const JpegKind& kind) {
  jpeg_compress_struct info{};
  jpeg_error_mgr errors{};
  info.err = jpeg_std_error(&errors);
  jpeg_create_compress(&info);
  unsigned char* buffer = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&info, &buffer, &size);
  info.image_width = static_cast<JDIMENSION>(width);
  info.image_height = static_cast<JDIMENSION>(height);
  info.input_components = kind.channels;
  info.in_color_space = kind.space;
  jpeg_set_defaults(&info);
  jpeg_set_quality(&info, 95, TRUE);
  if (kind.progressive) jpeg_simple_progression(&info);
  jpeg_start_compress(&info, TRUE);
  while (info.next_scanline < info.image_height) {
    JSAMPROW row = const_cast<uint8_t*>(pixels) + info.next_scanline * width * kind.channels;
    jpeg_write_scanlines(&info, &row, 1);
  }
  jpeg_finish_compress(&info);
  jpeg_destroy_compress(&info);
  const auto* begin = reinterpret_cast<const std::byte*>(buffer);
  std::vector<std::byte> bytes(begin, begin + size);
  std::free(buffer);
  return bytes;
}

double mean_difference(const Image& a, const Image& b) {
  EXPECT_EQ(a.rgb.size(), b.rgb.size());
  double sum = 0;
  for (size_t i = 0; i < a.rgb.size(); ++i) sum += std::abs(a.rgb[i] - b.rgb[i]);
  return sum / static_cast<double>(a.rgb.size());
}

TEST(Images, PngIsExact) {
  const Image original = gradient(37, 53);
  const auto bytes = encode_png(original.rgb.data(), 37, 53, PNG_FORMAT_RGB);
  EXPECT_TRUE(looks_like_image(bytes));
  const auto image = decode_image(bytes);
  ASSERT_TRUE(image.ok()) << image.error().message();
  EXPECT_EQ(image->height, 37);
  EXPECT_EQ(image->width, 53);
  EXPECT_EQ(image->rgb, original.rgb);
}

TEST(Images, PngAlphaIsDroppedAndGraySpread) {
  const uint8_t rgba[] = {10, 20, 30, 0, 200, 100, 50, 128};
  const auto alpha = decode_image(encode_png(rgba, 1, 2, PNG_FORMAT_RGBA));
  ASSERT_TRUE(alpha.ok());
  EXPECT_EQ(alpha->rgb, (std::vector<uint8_t>{10, 20, 30, 200, 100, 50}));
  const uint8_t gray[] = {7, 250};
  const auto spread = decode_image(encode_png(gray, 2, 1, PNG_FORMAT_GRAY));
  ASSERT_TRUE(spread.ok());
  EXPECT_EQ(spread->rgb, (std::vector<uint8_t>{7, 7, 7, 250, 250, 250}));
}

void append_be32(std::vector<std::byte>* out, uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8)
    out->push_back(static_cast<std::byte>(value >> shift));
}

std::vector<std::byte> chunk(const std::string& type, std::span<const std::byte> data) {
  std::vector<std::byte> bytes;
  append_be32(&bytes, static_cast<uint32_t>(data.size()));
  for (char c : type) bytes.push_back(static_cast<std::byte>(c));
  bytes.insert(bytes.end(), data.begin(), data.end());
  const auto* covered = reinterpret_cast<const Bytef*>(bytes.data() + 4);
  append_be32(&bytes, static_cast<uint32_t>(crc32_z(0, covered, bytes.size() - 4)));
  return bytes;
}

std::vector<std::byte> deflated(const std::vector<std::byte>& data) {
  uLongf bytes = compressBound(data.size());
  std::vector<std::byte> packed(bytes);
  EXPECT_EQ(compress2(reinterpret_cast<Bytef*>(packed.data()), &bytes,
                      reinterpret_cast<const Bytef*>(data.data()), data.size(), 9),
            Z_OK);
  packed.resize(bytes);
  return packed;
}

constexpr size_t kAfterHeader = 8 + 25;  // signature, IHDR

// `png` with more chunks behind its header.
std::vector<std::byte> with_chunks(std::vector<std::byte> png, const std::vector<std::byte>& more) {
  png.insert(png.begin() + kAfterHeader, more.begin(), more.end());
  return png;
}

// One row of gray, 8 or 16 bits a sample, without any chunk on colours.
std::vector<std::byte> gray_png(uint8_t bits, std::initializer_list<uint16_t> samples) {
  std::vector<std::byte> header, row(1);
  append_be32(&header, static_cast<uint32_t>(samples.size()));
  append_be32(&header, 1);
  for (uint8_t field : {bits, uint8_t{0}, uint8_t{0}, uint8_t{0}, uint8_t{0}})
    header.push_back(std::byte{field});
  for (uint16_t sample : samples) {
    if (bits == 16) row.push_back(static_cast<std::byte>(sample >> 8));
    row.push_back(static_cast<std::byte>(sample & 255));
  }
  std::vector<std::byte> png;
  for (int byte : {0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a})
    png.push_back(static_cast<std::byte>(byte));
  for (const auto& part :
       {chunk("IHDR", header), chunk("IDAT", deflated(row)), chunk("IEND", {})}) {
    png.insert(png.end(), part.begin(), part.end());
  }
  return png;
}

// `png` and the same with a gamma of 1 have these red values.
void expect_with_any_gamma(const std::vector<std::byte>& png,
                           const std::vector<uint8_t>& expected) {
  std::vector<std::byte> gamma;
  append_be32(&gamma, 100000);
  for (const auto& bytes : {png, with_chunks(png, chunk("gAMA", gamma))}) {
    const auto image = decode_image(bytes);
    ASSERT_TRUE(image.ok()) << image.error().message();
    for (size_t i = 0; i < expected.size(); ++i) EXPECT_EQ(image->rgb[3 * i], expected[i]) << i;
  }
}

TEST(Images, PngGammaIsNotApplied) {
  expect_with_any_gamma(gray_png(8, {0, 1, 50, 128, 255}), {0, 1, 50, 128, 255});
}

TEST(Images, PngSamplesOf16BitsAreRounded) {
  expect_with_any_gamma(gray_png(16, {0, 0x0180, 0x01ff, 0x80ff, 0xffff}), {0, 1, 2, 128, 255});
}

// Packed text that would take about ten seconds to unpack.
TEST(Images, PngTextIsNotUnpacked) {
  std::vector<std::byte> text = {std::byte{'a'}, std::byte{0}, std::byte{0}};  // keyword, method
  const auto packed = deflated(std::vector<std::byte>(7 << 20));
  text.insert(text.end(), packed.begin(), packed.end());
  const auto one = chunk("zTXt", text);
  std::vector<std::byte> all;
  for (int i = 0; i < 500; ++i) all.insert(all.end(), one.begin(), one.end());
  const Image original = gradient(4, 4);
  const auto bytes = with_chunks(encode_png(original.rgb.data(), 4, 4, PNG_FORMAT_RGB), all);
  const std::clock_t before = std::clock();
  const auto image = decode_image(bytes);
  EXPECT_LT(std::clock() - before, CLOCKS_PER_SEC);
  ASSERT_TRUE(image.ok()) << image.error().message();
  EXPECT_EQ(image->rgb, original.rgb);
}

TEST(Images, PngChunksOfUnknownKinds) {
  const Image original = gradient(4, 4);
  const auto bytes = encode_png(original.rgb.data(), 4, 4, PNG_FORMAT_RGB);
  EXPECT_TRUE(decode_image(with_chunks(bytes, chunk("prVt", {}))).ok());
  EXPECT_FALSE(decode_image(with_chunks(bytes, chunk("CRIT", {}))).ok());
  std::vector<std::byte> longest = chunk("prVt", {});
  for (size_t i = 0; i < 4; ++i) longest[i] = std::byte{0xff};
  EXPECT_FALSE(decode_image(with_chunks(bytes, longest)).ok());
}

TEST(Images, JpegOfEveryKind) {
  const Image original = gradient(40, 56);
  for (const bool progressive : {false, true}) {
    const auto image =
        decode_image(encode_jpeg(original.rgb.data(), 40, 56, {JCS_RGB, 3, progressive}));
    ASSERT_TRUE(image.ok()) << image.error().message();
    EXPECT_LT(mean_difference(*image, original), 4);
  }
  std::vector<uint8_t> gray(40 * 56), inks(40 * 56 * 4);
  Image gray_rgb = original, ink_rgb = original;
  for (size_t i = 0; i < gray.size(); ++i) {
    gray[i] = original.rgb[3 * i];
    for (size_t c = 0; c < 3; ++c) {
      gray_rgb.rgb[3 * i + c] = gray[i];
      inks[4 * i + c] = original.rgb[3 * i + c];  // Adobe's inverted inks, no black
    }
    inks[4 * i + 3] = 255;
  }
  const auto from_gray = decode_image(encode_jpeg(gray.data(), 40, 56, {JCS_GRAYSCALE, 1}));
  ASSERT_TRUE(from_gray.ok());
  EXPECT_LT(mean_difference(*from_gray, gray_rgb), 3);
  const auto from_inks = decode_image(encode_jpeg(inks.data(), 40, 56, {JCS_CMYK, 4}));
  ASSERT_TRUE(from_inks.ok());
  EXPECT_LT(mean_difference(*from_inks, ink_rgb), 4);
}

// end_bytes: of the end marker, which holds no pixels and need not be there.
void expect_truncations_fail(const std::vector<std::byte>& bytes, size_t end_bytes) {
  for (size_t n = 0; n + end_bytes < bytes.size(); ++n) {
    const auto image = decode_image(std::span(bytes).first(n));
    ASSERT_FALSE(image.ok()) << n << " of " << bytes.size();
    EXPECT_EQ(image.error().code(), ErrorCode::kInvalidInput);
  }
}

TEST(Images, TruncatedPicturesAreErrors) {
  const Image original = gradient(24, 24);
  expect_truncations_fail(encode_png(original.rgb.data(), 24, 24, PNG_FORMAT_RGB), 12);
  expect_truncations_fail(encode_jpeg(original.rgb.data(), 24, 24, {JCS_RGB, 3}), 2);
  expect_truncations_fail(encode_jpeg(original.rgb.data(), 24, 24, {JCS_RGB, 3, true}), 2);
}

TEST(Images, CorruptedPicturesNeverCrash) {
  const Image original = gradient(24, 24);
  std::mt19937 random(7);
  for (const auto& good : {encode_png(original.rgb.data(), 24, 24, PNG_FORMAT_RGB),
                           encode_jpeg(original.rgb.data(), 24, 24, {JCS_RGB, 3}),
                           encode_jpeg(original.rgb.data(), 24, 24, {JCS_RGB, 3, true})}) {
    for (int trial = 0; trial < 1500; ++trial) {
      auto bad = good;
      for (int i = 0; i < 3; ++i) bad[random() % bad.size()] = static_cast<std::byte>(random());
      const auto image = decode_image(bad, 1 << 16);
      if (image.ok()) {
        EXPECT_EQ(image->rgb.size(), static_cast<size_t>(image->height * image->width * 3));
      }
    }
  }
}

TEST(Images, OtherFilesAndHugePicturesAreErrors) {
  EXPECT_FALSE(decode_image({}).ok());
  const std::string text = "this is no picture";
  EXPECT_FALSE(looks_like_image(std::as_bytes(std::span(text))));
  EXPECT_FALSE(decode_image(std::as_bytes(std::span(text))).ok());
  const Image original = gradient(24, 24);
  const auto png = encode_png(original.rgb.data(), 24, 24, PNG_FORMAT_RGB);
  EXPECT_TRUE(decode_image(png, 24 * 24).ok());
  EXPECT_FALSE(decode_image(png, 24 * 24 - 1).ok());
  auto jpeg = encode_jpeg(original.rgb.data(), 24, 24, {JCS_RGB, 3});
  EXPECT_FALSE(decode_image(jpeg, 24 * 24 - 1).ok());
  // A small file that claims 65535 x 65535 pixels.
  for (size_t i = 0; i + 9 < jpeg.size(); ++i) {
    if (jpeg[i] != std::byte{0xff} || jpeg[i + 1] != std::byte{0xc0}) continue;
    for (size_t k = 5; k < 9; ++k) jpeg[i + k] = std::byte{0xff};
    break;
  }
  EXPECT_FALSE(decode_image(jpeg).ok());
}

// The filter's definition: a triangle of half-width max(scale, 1), in doubles.
double triangle_sample(const Image& image, int64_t channel, double center_y, double center_x,
                       double scale_y, double scale_x) {
  double sum = 0, total = 0;
  for (int64_t y = 0; y < image.height; ++y) {
    const double wy =
        1 - std::abs(static_cast<double>(y) + 0.5 - center_y) / std::max(scale_y, 1.0);
    for (int64_t x = 0; x < image.width && wy > 0; ++x) {
      const double wx =
          1 - std::abs(static_cast<double>(x) + 0.5 - center_x) / std::max(scale_x, 1.0);
      if (wx <= 0) continue;
      sum += wy * wx * image.rgb[static_cast<size_t>((y * image.width + x) * 3 + channel)];
      total += wy * wx;
    }
  }
  return sum / total;
}

TEST(Resample, IsTheTriangleFilter) {
  const Image image = gradient(31, 45);
  for (const auto& [height, width] : {std::pair{8, 8}, {31, 45}, {64, 50}, {1, 1}, {10, 90}}) {
    const Image resized = resample(image, {height, width, 0, 0, height, width});
    const double scale_y = 31.0 / height, scale_x = 45.0 / width;
    for (int64_t y = 0; y < height; ++y) {
      for (int64_t x = 0; x < width; ++x) {
        for (int64_t c = 0; c < 3; ++c) {
          const double exact =
              triangle_sample(image, c, (static_cast<double>(y) + 0.5) * scale_y,
                              (static_cast<double>(x) + 0.5) * scale_x, scale_y, scale_x);
          // Two roundings to 8 bits.
          EXPECT_NEAR(resized.rgb[static_cast<size_t>((y * width + x) * 3 + c)], exact, 1.01);
        }
      }
    }
  }
}

// Pillow 9.4 on the same pixels: FNV-1a of resize((48, 32), BILINEAR).
TEST(Resample, IsPillowsToTheBit) {
  Image image{61, 83, {}};
  for (uint32_t i = 0; i < 61 * 83 * 3; ++i) {
    image.rgb.push_back(static_cast<uint8_t>((i * 2654435761u) >> 24));
  }
  const Image resized = resample(image, {32, 48, 0, 0, 32, 48});
  uint64_t hash = 0xcbf29ce484222325;
  for (uint8_t byte : resized.rgb) hash = (hash ^ byte) * 0x100000001b3;
  EXPECT_EQ(hash, 0x1c4e8a30a6bc305u);
}

TEST(Resample, AWindowIsPartOfTheWhole) {
  const Image image = gradient(50, 70);
  const Image whole = resample(image, {20, 30, 0, 0, 20, 30});
  const Image part = resample(image, {20, 30, 5, 7, 10, 12});
  for (int64_t y = 0; y < 10; ++y) {
    for (int64_t i = 0; i < 36; ++i) {
      EXPECT_EQ(part.rgb[static_cast<size_t>(y * 36 + i)],
                whole.rgb[static_cast<size_t>((y + 5) * 90 + 21 + i)]);
    }
  }
}

TEST(Preprocess, NormalisesToPlanes) {
  Image image{1, 2, {0, 51, 102, 153, 204, 255}};
  PreprocessOptions options;
  options.height = 1;
  options.width = 2;
  options.mean[0] = 0.5f;
  options.std[2] = 2;
  const auto values = preprocess(image, options);
  ASSERT_TRUE(values.ok());
  const float expected[] = {(0 - 0.5f) / 0.229f,      (0.6f - 0.5f) / 0.229f,
                            (0.2f - 0.456f) / 0.224f, (0.8f - 0.456f) / 0.224f,
                            (0.4f - 0.406f) / 2,      (1 - 0.406f) / 2};
  for (size_t i = 0; i < 6; ++i) EXPECT_NEAR((*values)[i], expected[i], 1e-6) << i;
}

// The centre of a picture whose halves differ stays in the middle, whatever the aspect.
TEST(Preprocess, CropsTheCentre) {
  for (const auto& [height, width] :
       {std::pair<int64_t, int64_t>{100, 300}, {300, 100}, {256, 256}, {3, 2}}) {
    Image image{height, width, {}};
    for (int64_t y = 0; y < height; ++y) {
      for (int64_t x = 0; x < width; ++x) {
        const uint8_t pixel = 2 * x < width ? 0 : 255;
        for (int c = 0; c < 3; ++c) image.rgb.push_back(pixel);
      }
    }
    PreprocessOptions options;
    options.height = options.width = 64;
    for (int c = 0; c < 3; ++c) options.mean[c] = 0, options.std[c] = 1;
    const auto values = preprocess(image, options);
    ASSERT_TRUE(values.ok());
    double sum = 0;
    for (float v : *values) sum += v;
    EXPECT_NEAR(sum / (3 * 64 * 64), 0.5, 0.02);
    EXPECT_NEAR((*values)[0], 0, 1e-3);
    EXPECT_NEAR((*values)[63], 1, 1e-3);
  }
}

TEST(Preprocess, ExtremePicturesCostLittle) {
  PreprocessOptions options;
  for (const auto& [height, width] :
       {std::pair<int64_t, int64_t>{1, 1 << 22}, {1 << 22, 1}, {1, 1}}) {
    Image image{height, width, std::vector<uint8_t>(static_cast<size_t>(3 * height * width), 77)};
    const auto values = preprocess(image, options);
    ASSERT_TRUE(values.ok());
    EXPECT_NEAR((*values)[1000], (77 / 255.0 - 0.485) / 0.229, 1e-5);
  }
}

TEST(Preprocess, BadOptionsAreErrors) {
  const Image image = gradient(4, 4);
  const auto fails = [&](auto change) {
    PreprocessOptions options;
    change(options);
    return !preprocess(image, options).ok();
  };
  EXPECT_FALSE(fails([](auto&) {}));
  EXPECT_TRUE(fails([](auto& o) { o.height = 0; }));
  EXPECT_TRUE(fails([](auto& o) { o.width = -1; }));
  EXPECT_TRUE(fails([](auto& o) { o.width = 8193; }));
  EXPECT_TRUE(fails([](auto& o) { o.crop_fraction = 0; }));
  EXPECT_TRUE(fails([](auto& o) { o.crop_fraction = 1e-300; }));
  EXPECT_TRUE(fails([](auto& o) { o.crop_fraction = std::nan(""); }));
  EXPECT_TRUE(fails([](auto& o) { o.std[1] = 0; }));
  EXPECT_TRUE(fails([](auto& o) { o.mean[1] = INFINITY; }));
  EXPECT_TRUE(fails([](auto& o) { o.scale = NAN; }));
  EXPECT_TRUE(fails([](auto& o) { o.scale = 0; }));
}

}  // namespace
}  // namespace carrel
