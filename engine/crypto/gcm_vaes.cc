#include "engine/crypto/gcm_vaes.h"

// GCC 12 takes the deliberately undefined operands inside its own intrinsics for mistakes.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
#include <immintrin.h>

#define CARREL_INLINE [[gnu::always_inline]] static inline

namespace carrel {
namespace {

// Eight registers of four blocks in flight hide the latency of the AES rounds; one GHASH reduction
// per step.
constexpr int kLanes = 8;
constexpr size_t kLaneBytes = 64;
constexpr size_t kStepBytes = kLanes * kLaneBytes;
constexpr size_t kBlockBytes = 16;
constexpr int kRounds = 14;
constexpr size_t kPrefetchBytes = 4096;
// In ipsec-mb's gcm_key_data: 15 round keys, then H^48 ... H^1 (shifted left by one, reduced).
constexpr size_t kFirstPowerOffset = 240 + 47 * kBlockBytes;
static_assert(kFirstPowerOffset + kStepBytes <= kGcmKeyDataBytes);

struct [[gnu::packed, gnu::may_alias]] Piece {
  std::byte bytes[kLaneBytes];
};

// The only instructions that read ciphertext from memory, and the only ones that write it.
CARREL_INLINE __m512i load_once(const std::byte* from, __mmask64 mask) {
  __m512i value;
  asm volatile("vmovdqu8 %1, %0 %{%2%}%{z%}"
               : "=v"(value)
               : "m"(*reinterpret_cast<const Piece*>(from)), "Yk"(mask));
  return value;
}
CARREL_INLINE __m512i load_once(const std::byte* from) {
  __m512i value;
  asm volatile("vmovdqu64 %1, %0" : "=v"(value) : "m"(*reinterpret_cast<const Piece*>(from)));
  return value;
}
CARREL_INLINE void store_once(std::byte* to, __m512i value, __mmask64 mask) {
  asm volatile("vmovdqu8 %1, %0 %{%2%}"
               : "+m"(*reinterpret_cast<Piece*>(to))
               : "v"(value), "Yk"(mask));
}
CARREL_INLINE void store_once(std::byte* to, __m512i value) {
  asm volatile("vmovdqu64 %1, %0" : "=m"(*reinterpret_cast<Piece*>(to)) : "v"(value));
}

// What lane `lane` of a step with `bytes` bytes covers.
CARREL_INLINE __mmask64 lane_mask(size_t bytes, int lane) {
  const size_t before = static_cast<size_t>(lane) * kLaneBytes;
  if (bytes <= before) return 0;
  if (bytes - before >= kLaneBytes) return ~__mmask64{0};
  return (__mmask64{1} << (bytes - before)) - 1;
}

CARREL_INLINE __m128i reflect(__m128i x) {
  return _mm_shuffle_epi8(x, _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
}
CARREL_INLINE __m512i reflect(__m512i x) {
  const __m128i order = _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  return _mm512_shuffle_epi8(x, _mm512_broadcast_i32x4(order));
}
CARREL_INLINE __m512i xor3(__m512i a, __m512i b, __m512i c) {
  return _mm512_ternarylogic_epi32(a, b, c, 0x96);
}

struct Key {
  const std::byte* data;
};
CARREL_INLINE __m128i round_key(Key key, int round) {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(key.data) + round);
}
CARREL_INLINE __m512i round_keys(Key key, int round) {
  return _mm512_broadcast_i32x4(round_key(key, round));
}
// H^(blocks - 4 lane) ... downwards; a step of `blocks` blocks multiplies its first one by
// H^blocks. Past H^1 lies padding, and what it would multiply is zero.
CARREL_INLINE __m512i powers(Key key, size_t blocks, int lane) {
  const std::byte* first = key.data + kFirstPowerOffset - (blocks - 1) * kBlockBytes;
  return _mm512_loadu_si512(first + static_cast<size_t>(lane) * kLaneBytes);
}

CARREL_INLINE __m128i encrypt_block(Key key, __m128i block) {
  block = _mm_xor_si128(block, round_key(key, 0));
  for (int r = 1; r < kRounds; ++r) block = _mm_aesenc_si128(block, round_key(key, r));
  return _mm_aesenclast_si128(block, round_key(key, kRounds));
}

// Sum of carry-less products of reflected blocks, not reduced: high : middle : low.
struct Product {
  __m512i low, middle, high;
};
CARREL_INLINE void multiply_add(Product* sum, __m512i x, __m512i h) {
  sum->low = _mm512_xor_si512(sum->low, _mm512_clmulepi64_epi128(x, h, 0x00));
  sum->high = _mm512_xor_si512(sum->high, _mm512_clmulepi64_epi128(x, h, 0x11));
  sum->middle =
      xor3(sum->middle, _mm512_clmulepi64_epi128(x, h, 0x01), _mm512_clmulepi64_epi128(x, h, 0x10));
}
CARREL_INLINE __m128i fold(__m512i x) {
  const __m256i half = _mm256_xor_si256(_mm512_castsi512_si256(x), _mm512_extracti64x4_epi64(x, 1));
  return _mm_xor_si128(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
}
// Modulo x^128 + x^127 + x^126 + x^121 + 1 (the GHASH polynomial reflected), two folds of 64 bits.
CARREL_INLINE __m128i reduce(const Product& sum) {
  const __m128i middle = fold(sum.middle);
  const __m128i low = _mm_xor_si128(fold(sum.low), _mm_slli_si128(middle, 8));
  const __m128i high = _mm_xor_si128(fold(sum.high), _mm_srli_si128(middle, 8));
  const __m128i polynomial = _mm_set_epi64x(static_cast<int64_t>(0xC200000000000000u), 1);
  const __m128i first =
      _mm_xor_si128(_mm_shuffle_epi32(low, 0x4e), _mm_clmulepi64_si128(low, polynomial, 0x10));
  const __m128i second =
      _mm_xor_si128(_mm_shuffle_epi32(first, 0x4e), _mm_clmulepi64_si128(first, polynomial, 0x10));
  return _mm_xor_si128(high, second);
}

// One message under way. Passed by value between functions, so that it lives in registers. `hash`
// is the reflected GHASH value; `counter` the next four counter blocks, reflected, so that the
// counter is the lowest 32-bit word.
struct State {
  Key key;
  __m512i counter;
  __m128i hash;
};
struct Lanes {
  __m512i v[kLanes];
};

CARREL_INLINE void start_lanes(State* s, Lanes* stream) {
  const __m512i four = _mm512_broadcast_i32x4(_mm_set_epi32(0, 0, 0, 4));
  const __m512i key = round_keys(s->key, 0);
#pragma GCC unroll 8
  for (int q = 0; q < kLanes; ++q) {
    stream->v[q] = _mm512_xor_si512(reflect(s->counter), key);
    s->counter = _mm512_add_epi32(s->counter, four);
  }
}
CARREL_INLINE void encrypt_rounds(Key key, int first, int last, Lanes* stream) {
#pragma GCC unroll 16
  for (int r = first; r <= last; ++r) {
    const __m512i round = round_keys(key, r);
#pragma GCC unroll 8
    for (int q = 0; q < kLanes; ++q) stream->v[q] = _mm512_aesenc_epi128(stream->v[q], round);
  }
}
CARREL_INLINE void finish_lanes(Key key, Lanes* stream) {
  const __m512i round = round_keys(key, kRounds);
#pragma GCC unroll 8
  for (int q = 0; q < kLanes; ++q) stream->v[q] = _mm512_aesenclast_epi128(stream->v[q], round);
}

CARREL_INLINE void keystream(State* s, Lanes* stream) {
  start_lanes(s, stream);
  encrypt_rounds(s->key, 1, kRounds - 1, stream);
  finish_lanes(s->key, stream);
}

// Adds `blocks` blocks of ciphertext (zero past the end) to the hash.
CARREL_INLINE void hash_lanes(State* s, const Lanes& cipher, size_t blocks) {
  Product sum = {};
#pragma GCC unroll 8
  for (int q = 0; q < kLanes; ++q) {
    __m512i x = reflect(cipher.v[q]);
    if (q == 0) x = _mm512_xor_si512(x, _mm512_zextsi128_si512(s->hash));
    multiply_add(&sum, x, powers(s->key, blocks, q));
  }
  s->hash = reduce(sum);
}

// keystream() and hash_lanes() interleaved: the rounds and the products use different ports.
CARREL_INLINE void keystream_and_hash(State* s, const Lanes& cipher, Lanes* stream) {
  constexpr size_t kBlocks = kStepBytes / kBlockBytes;
  start_lanes(s, stream);
  Product sum = {};
#pragma GCC unroll 8
  for (int q = 0; q < kLanes; ++q) {
    __m512i x = reflect(cipher.v[q]);
    if (q == 0) x = _mm512_xor_si512(x, _mm512_zextsi128_si512(s->hash));
    multiply_add(&sum, x, powers(s->key, kBlocks, q));
    encrypt_rounds(s->key, q + 1, q + 1, stream);
  }
  encrypt_rounds(s->key, kLanes + 1, kRounds - 3, stream);
  s->hash = reduce(sum);
  encrypt_rounds(s->key, kRounds - 2, kRounds - 1, stream);
  finish_lanes(s->key, stream);
}

CARREL_INLINE void prefetch_step(const std::byte* in) {
  const uintptr_t ahead = reinterpret_cast<uintptr_t>(in) + kPrefetchBytes;
#pragma GCC unroll 8
  for (int q = 0; q < kLanes; ++q) {
    __builtin_prefetch(reinterpret_cast<const void*>(ahead + static_cast<size_t>(q) * kLaneBytes));
  }
}

// The same of at most four blocks.
CARREL_INLINE void hash_lane(State* s, __m512i cipher, size_t blocks) {
  Product sum = {};
  const __m512i x = _mm512_xor_si512(reflect(cipher), _mm512_zextsi128_si512(s->hash));
  multiply_add(&sum, x, powers(s->key, blocks, 0));
  s->hash = reduce(sum);
}

State hash_aad(State s, const std::byte* aad, size_t bytes) {
  if (bytes != 0 && bytes <= kLaneBytes) {
    hash_lane(&s, _mm512_maskz_loadu_epi8(lane_mask(bytes, 0), aad),
              (bytes + kBlockBytes - 1) / kBlockBytes);
    return s;
  }
  while (bytes != 0) {
    const size_t take = bytes < kStepBytes ? bytes : kStepBytes;
    Lanes lanes;
#pragma GCC unroll 8
    for (int q = 0; q < kLanes; ++q) {
      lanes.v[q] =
          _mm512_maskz_loadu_epi8(lane_mask(take, q), aad + static_cast<size_t>(q) * kLaneBytes);
    }
    hash_lanes(&s, lanes, (take + kBlockBytes - 1) / kBlockBytes);
    aad += take;
    bytes -= take;
  }
  return s;
}

// J0 = nonce, 1 (SP 800-38D, 7.1); the message starts at counter 2.
CARREL_INLINE __m128i first_counter(const GcmMessage& m) {
  const __mmask16 twelve = 0x0fff;
  return _mm_mask_loadu_epi8(_mm_set_epi8(1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), twelve,
                             m.nonce);
}

State start(const GcmMessage& m) {
  State s;
  s.key = {static_cast<const std::byte*>(m.key_data)};
  s.hash = _mm_setzero_si128();
  s.counter = _mm512_add_epi32(_mm512_broadcast_i32x4(reflect(first_counter(m))),
                               _mm512_set_epi32(0, 0, 0, 4, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0, 1));
  return hash_aad(s, m.aad, m.aad_bytes);
}

void finish(const GcmMessage& m, State s) {
  const __m128i lengths =
      _mm_set_epi64x(static_cast<int64_t>(m.aad_bytes * 8), static_cast<int64_t>(m.bytes * 8));
  hash_lane(&s, _mm512_zextsi128_si512(reflect(lengths)), 1);
  const __m128i tag = _mm_xor_si128(reflect(s.hash), encrypt_block(s.key, first_counter(m)));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(m.tag), tag);
}

// Less than a step: the same, with the bytes past the end masked out of every access.
State open_tail(State s, const std::byte* in, std::byte* out, size_t bytes) {
  Lanes cipher, stream;
#pragma GCC unroll 8
  for (int q = 0; q < kLanes; ++q) {
    cipher.v[q] = load_once(in + static_cast<size_t>(q) * kLaneBytes, lane_mask(bytes, q));
  }
  hash_lanes(&s, cipher, (bytes + kBlockBytes - 1) / kBlockBytes);
  keystream(&s, &stream);
#pragma GCC unroll 8
  for (int q = 0; q < kLanes; ++q) {
    _mm512_mask_storeu_epi8(out + static_cast<size_t>(q) * kLaneBytes, lane_mask(bytes, q),
                            _mm512_xor_si512(cipher.v[q], stream.v[q]));
  }
  return s;
}

State seal_tail(State s, const std::byte* in, std::byte* out, size_t bytes) {
  Lanes cipher, stream;
  keystream(&s, &stream);
#pragma GCC unroll 8
  for (int q = 0; q < kLanes; ++q) {
    const __mmask64 mask = lane_mask(bytes, q);
    const size_t offset = static_cast<size_t>(q) * kLaneBytes;
    const __m512i plain = _mm512_maskz_loadu_epi8(mask, in + offset);
    cipher.v[q] = _mm512_maskz_mov_epi8(mask, _mm512_xor_si512(plain, stream.v[q]));
    store_once(out + offset, cipher.v[q], mask);
  }
  hash_lanes(&s, cipher, (bytes + kBlockBytes - 1) / kBlockBytes);
  return s;
}

CARREL_INLINE void encrypt_step(const std::byte* in, std::byte* out, const Lanes& stream,
                                Lanes* cipher) {
#pragma GCC unroll 8
  for (int q = 0; q < kLanes; ++q) {
    const size_t offset = static_cast<size_t>(q) * kLaneBytes;
    cipher->v[q] = _mm512_xor_si512(_mm512_loadu_si512(in + offset), stream.v[q]);
    store_once(out + offset, cipher->v[q]);
  }
}

}  // namespace

void gcm256_open_vaes(const GcmMessage& m) {
  State s = start(m);
  size_t done = 0;
  for (; m.bytes - done >= kStepBytes; done += kStepBytes) {
    Lanes cipher, stream;
    prefetch_step(m.in + done);
#pragma GCC unroll 8
    for (int q = 0; q < kLanes; ++q) {
      cipher.v[q] = load_once(m.in + done + static_cast<size_t>(q) * kLaneBytes);
    }
    keystream_and_hash(&s, cipher, &stream);
#pragma GCC unroll 8
    for (int q = 0; q < kLanes; ++q) {
      _mm512_storeu_si512(m.out + done + static_cast<size_t>(q) * kLaneBytes,
                          _mm512_xor_si512(cipher.v[q], stream.v[q]));
    }
  }
  if (done != m.bytes) s = open_tail(s, m.in + done, m.out + done, m.bytes - done);
  finish(m, s);
}

// The hash runs one step behind, so that it can overlap with the next step's keystream.
void gcm256_seal_vaes(const GcmMessage& m) {
  State s = start(m);
  size_t done = 0;
  if (m.bytes >= kStepBytes) {
    Lanes cipher, stream;
    keystream(&s, &stream);
    encrypt_step(m.in, m.out, stream, &cipher);
    for (done = kStepBytes; m.bytes - done >= kStepBytes; done += kStepBytes) {
      keystream_and_hash(&s, cipher, &stream);
      encrypt_step(m.in + done, m.out + done, stream, &cipher);
    }
    hash_lanes(&s, cipher, kStepBytes / kBlockBytes);
  }
  if (done != m.bytes) s = seal_tail(s, m.in + done, m.out + done, m.bytes - done);
  finish(m, s);
}

}  // namespace carrel
