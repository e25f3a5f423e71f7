#include "he/wire/frame.h"

#include <bit>
#include <cstring>

namespace carrel::he {
namespace {

static_assert(std::endian::native == std::endian::little);
constexpr uint32_t kMagic = 0x31454843;  // "CHE1"

struct Raw {
  uint32_t magic, type, payload_bytes, fields[5];
};
static_assert(sizeof(Raw) == kHeaderBytes);

}  // namespace

void encode_header(const FrameHeader& header, std::span<std::byte, kHeaderBytes> out) {
  Raw raw{kMagic, static_cast<uint32_t>(header.type), header.payload_bytes, {}};
  std::memcpy(raw.fields, header.fields, sizeof raw.fields);
  std::memcpy(out.data(), &raw, sizeof raw);
}

Result<FrameHeader> parse_header(std::span<const std::byte, kHeaderBytes> bytes) {
  Raw raw;
  std::memcpy(&raw, bytes.data(), sizeof raw);
  if (raw.magic != kMagic) return Error(ErrorCode::kInvalidInput, "the peer does not speak carrel's protocol");
  if (raw.type < 1 || raw.type > static_cast<uint32_t>(FrameType::kFailure)) {
    return Error(ErrorCode::kInvalidInput, "the peer sent a frame of unknown type %u", raw.type);
  }
  if (raw.payload_bytes > kMostPayloadBytes) {
    return Error(ErrorCode::kInvalidInput, "the peer announced %u bytes in one frame; at most %u are taken", raw.payload_bytes, kMostPayloadBytes);
  }
  FrameHeader header{static_cast<FrameType>(raw.type), raw.payload_bytes, {}};
  std::memcpy(header.fields, raw.fields, sizeof raw.fields);
  return header;
}

}  // namespace carrel::he
