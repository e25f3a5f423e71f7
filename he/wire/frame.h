#pragma once
// What client and server say to each other: frames over a byte stream, each a header and a payload.
//
//   header   magic "CHE1" (u32), type (u32), payload bytes (u32), then five u32 whose meaning the type decides
//
//   type      from     fields                                 payload
//   hello     client   version                                -
//   plan      server   -                                      the client's plan as JSON (he/plan/client_plan.h)
//   seed      client   -                                      the key's public seed (16 bytes)
//   fresh     client   tensor, y, x, channel, count           b of `count` polynomials
//   result    server   layer, y, x, channel, count            a of `count` polynomials, then b of each
//   end       server   -                                      -
//   failure   both     -                                      a message for people, at most 1 KiB of text
//
// Numbers are little-endian. Payloads carry ciphertexts, public seeds and shapes: nothing secret.
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/result.h"

namespace carrel::he {

enum class FrameType : uint32_t { kHello = 1, kPlan, kSeed, kFresh, kResult, kEnd, kFailure };
inline constexpr uint32_t kWireVersion = 1;
inline constexpr uint32_t kMostPayloadBytes = 64u << 20;
// Frames of polynomials are cut to about this.
inline constexpr uint32_t kUsualPayloadBytes = 1u << 20;

struct FrameHeader {
  FrameType type = FrameType::kEnd;
  uint32_t payload_bytes = 0;
  uint32_t fields[5] = {};
};
inline constexpr size_t kHeaderBytes = 32;

void encode_header(const FrameHeader& header, std::span<std::byte, kHeaderBytes> out);
// Errors: kInvalidInput (not a frame, an unknown type, a payload over kMostPayloadBytes).
Result<FrameHeader> parse_header(std::span<const std::byte, kHeaderBytes> bytes);

}  // namespace carrel::he
