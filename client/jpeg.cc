// libjpeg reports errors through a callback that must not return, so the calls that can fail are in
// one function that longjmp may leave: it has no locals with destructors, and what it fills belongs
// to its caller.
#include <algorithm>
#include <csetjmp>
#include <cstdio>
// jpeglib.h needs stdio.h before it.
#include <jerror.h>
#include <jpeglib.h>

#include "client/decoders.h"

namespace carrel {
namespace {

// A progressive file refines the whole picture in every scan; real ones have about ten. More only
// cost time.
constexpr int kMaxScans = 100;

struct Decoder {
  jpeg_decompress_struct info;
  jpeg_error_mgr errors;
  jpeg_progress_mgr progress;
  std::jmp_buf escape;
  char message[JMSG_LENGTH_MAX];
  bool truncated;
  uint64_t max_pixels;
};

Decoder* decoder_of(j_common_ptr info) { return static_cast<Decoder*>(info->client_data); }

[[noreturn]] void on_error(j_common_ptr info) {
  Decoder* decoder = decoder_of(info);
  info->err->format_message(info, decoder->message);
  std::longjmp(decoder->escape, 1);
}

// Missing data is filled with gray by libjpeg and only warned about. Other warnings (stray bytes
// between markers) occur in pictures that every viewer shows.
void on_message(j_common_ptr info, int level) {
  const int code = info->err->msg_code;
  if (level < 0 && (code == JWRN_JPEG_EOF || code == JWRN_HIT_MARKER)) {
    decoder_of(info)->truncated = true;
  }
}

void on_progress(j_common_ptr info) {
  const auto* decompress = reinterpret_cast<j_decompress_ptr>(info);
  if (decompress->input_scan_number > kMaxScans) {
    std::snprintf(decoder_of(info)->message, JMSG_LENGTH_MAX, "more than %d scans", kMaxScans);
    std::longjmp(decoder_of(info)->escape, 1);
  }
}

// Reads the header and says how many bytes the pixels take, with 3 or 4 channels. False: `message`
// says why.
bool start(Decoder* d, std::span<const std::byte> bytes) {
  if (setjmp(d->escape) != 0) return false;
  jpeg_mem_src(&d->info, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
  jpeg_read_header(&d->info, TRUE);
  const bool four_inks =
      d->info.jpeg_color_space == JCS_CMYK || d->info.jpeg_color_space == JCS_YCCK;
  d->info.out_color_space = four_inks ? JCS_CMYK : JCS_RGB;
  return true;
}

// `pixels` has room for the whole picture.
bool decode(Decoder* d, uint8_t* pixels) {
  if (setjmp(d->escape) != 0) return false;
  jpeg_start_decompress(&d->info);
  const size_t row_bytes = size_t{d->info.output_width} * d->info.output_components;
  while (d->info.output_scanline < d->info.output_height) {
    JSAMPROW row = pixels + d->info.output_scanline * row_bytes;
    jpeg_read_scanlines(&d->info, &row, 1);
  }
  jpeg_finish_decompress(&d->info);
  return true;
}

// CMYK to RGB in place. Adobe's files store the inks inverted.
void remove_inks(std::vector<uint8_t>* pixels, bool inverted) {
  const size_t count = pixels->size() / 4;
  for (size_t i = 0; i < count; ++i) {
    const uint8_t* ink = pixels->data() + 4 * i;
    const uint8_t black = inverted ? ink[3] : static_cast<uint8_t>(255 - ink[3]);
    uint8_t rgb[3];
    for (int c = 0; c < 3; ++c) {
      const int light = inverted ? ink[c] : 255 - ink[c];
      rgb[c] = static_cast<uint8_t>((light * black + 127) / 255);
    }
    std::copy_n(rgb, 3, pixels->data() + 3 * i);
  }
  pixels->resize(3 * count);
}

Error failure(const Decoder& decoder) {
  return Error(ErrorCode::kInvalidInput, "the JPEG cannot be decoded: %s", decoder.message);
}

Result<Image> decode_with(Decoder* d, std::span<const std::byte> bytes) {
  if (!start(d, bytes)) return failure(*d);
  CARREL_RETURN_IF_ERROR(
      check_picture_size(d->info.image_width, d->info.image_height, d->max_pixels));
  const bool four_inks = d->info.out_color_space == JCS_CMYK;
  Image image{d->info.image_height, d->info.image_width, {}};
  image.rgb.resize(static_cast<size_t>(image.height * image.width) * (four_inks ? 4 : 3));
  if (!decode(d, image.rgb.data())) return failure(*d);
  if (d->truncated) {
    return Error(ErrorCode::kInvalidInput, "the JPEG is truncated or damaged");
  }
  if (four_inks) remove_inks(&image.rgb, d->info.saw_Adobe_marker != FALSE);
  return image;
}

}  // namespace

Result<Image> decode_jpeg(std::span<const std::byte> bytes, uint64_t max_pixels) {
  Decoder decoder{};
  decoder.max_pixels = max_pixels;
  decoder.info.err = jpeg_std_error(&decoder.errors);
  decoder.errors.error_exit = on_error;
  decoder.errors.emit_message = on_message;
  decoder.progress.progress_monitor = on_progress;
  decoder.info.client_data = &decoder;
  if (setjmp(decoder.escape) != 0) return failure(decoder);
  jpeg_create_decompress(&decoder.info);
  decoder.info.progress = &decoder.progress;
  Result<Image> image = decode_with(&decoder, bytes);
  jpeg_destroy_decompress(&decoder.info);
  return image;
}

}  // namespace carrel
