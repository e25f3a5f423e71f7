#include "engine/crypto/hash.h"

#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <cstring>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace carrel {
namespace {

using Bytes = std::vector<std::byte>;

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

std::string hex(const Digest& digest) {
  std::string out;
  for (uint8_t byte : digest.bytes) {
    for (int nibble : {byte >> 4, byte & 15}) out += "0123456789abcdef"[nibble];
  }
  return out;
}

Bytes counting(size_t bytes, int first) {
  Bytes out(bytes);
  for (size_t i = 0; i < bytes; ++i) out[i] = static_cast<std::byte>(first + static_cast<int>(i));
  return out;
}

Bytes random_vector(size_t bytes, uint64_t seed) {
  std::mt19937_64 random(seed);
  Bytes out(bytes);
  for (std::byte& b : out) b = static_cast<std::byte>(random());
  return out;
}

// FIPS 180-4 example values.
TEST(Sha256, PublishedVectors) {
  EXPECT_EQ(hex(sha256({})), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(hex(sha256(bytes_of("abc"))),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(hex(sha256(bytes_of("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"))),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(hex(sha256(Bytes(1000000, std::byte{'a'}))),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256, EqualsOpensslAtEveryLengthAndCut) {
  std::mt19937_64 random(1);
  for (size_t bytes = 0; bytes <= 300; ++bytes) {
    const Bytes data = random_vector(bytes, bytes);
    Digest expected;
    EVP_Digest(data.data(), bytes, expected.bytes, nullptr, EVP_sha256(), nullptr);
    ASSERT_EQ(sha256(data), expected) << bytes;
    Sha256 pieces;
    for (size_t done = 0; done < bytes;) {
      const size_t take = std::min<size_t>(random() % 150, bytes - done);
      pieces.update(std::span(data).subspan(done, take));
      done += take;
    }
    ASSERT_EQ(pieces.finish(), expected) << bytes;
  }
}

// RFC 4231, test cases 1, 2 and 6 (a key longer than a block).
TEST(Hmac, PublishedVectors) {
  EXPECT_EQ(hex(hmac_sha256(Bytes(20, std::byte{0x0b}), bytes_of("Hi There"))),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
  EXPECT_EQ(hex(hmac_sha256(bytes_of("Jefe"), bytes_of("what do ya want for nothing?"))),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  EXPECT_EQ(hex(hmac_sha256(Bytes(131, std::byte{0xaa}),
                            bytes_of("Test Using Larger Than Block-Size Key - Hash Key First"))),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

TEST(Hmac, EqualsOpenssl) {
  for (size_t bytes = 1; bytes < 200; ++bytes) {
    const Bytes key = random_vector(bytes, bytes), data = random_vector(3 * bytes, bytes + 1);
    Digest expected;
    HMAC(EVP_sha256(), key.data(), static_cast<int>(bytes),
         reinterpret_cast<const uint8_t*>(data.data()), data.size(), expected.bytes, nullptr);
    ASSERT_EQ(hmac_sha256(key, data), expected) << bytes;
  }
}

// RFC 5869, appendix A.1 to A.3: the pseudorandom key and the first 32 bytes of the output.
TEST(Hkdf, PublishedVectors) {
  const Digest first = hkdf_extract(counting(13, 0), Bytes(22, std::byte{0x0b}));
  EXPECT_EQ(hex(first), "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5");
  EXPECT_EQ(hex(hkdf_expand(first, counting(10, 0xf0))),
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf");
  const Digest second = hkdf_extract(counting(80, 0x60), counting(80, 0));
  EXPECT_EQ(hex(second), "06a6b88c5853361a06104c9ceb35b45cef760014904671014a193f40c15fc244");
  EXPECT_EQ(hex(hkdf_expand(second, counting(80, 0xb0))),
            "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c");
  const Digest third = hkdf_extract({}, Bytes(22, std::byte{0x0b}));
  EXPECT_EQ(hex(third), "19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04");
  EXPECT_EQ(hex(hkdf_expand(third, {})),
            "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d");
}

TEST(Hkdf, IsExtractThenExpand) {
  SecretKey key;
  memcpy(key.bytes, random_vector(kKeyBytes, 3).data(), kKeyBytes);
  const Bytes salt = random_vector(32, 4);
  const Subkey subkey = hkdf(key, salt, "carrel tiles");
  const Digest expected = hkdf_expand(hkdf_extract(salt, std::as_bytes(std::span(key.bytes))),
                                      bytes_of("carrel tiles"));
  EXPECT_EQ(memcmp(subkey.key.bytes, expected.bytes, kKeyBytes), 0);
  const Subkey other = hkdf(key, salt, "carrel programs");
  EXPECT_NE(memcmp(subkey.key.bytes, other.key.bytes, kKeyBytes), 0);
}

TEST(EqualConstantTime, FindsEverySingleBit) {
  Bytes a = random_vector(33, 5), b = a;
  EXPECT_TRUE(equal_constant_time(a.data(), b.data(), a.size()));
  EXPECT_TRUE(equal_constant_time(nullptr, nullptr, 0));
  for (size_t bit = 0; bit < a.size() * 8; ++bit) {
    b[bit / 8] ^= std::byte{1} << (bit % 8);
    EXPECT_FALSE(equal_constant_time(a.data(), b.data(), a.size())) << bit;
    b[bit / 8] = a[bit / 8];
  }
}

TEST(RandomBytes, FillsEverything) {
  for (size_t bytes : {0u, 1u, 32u, 1000u, 100000u}) {
    Bytes out(bytes + 1, std::byte{0x5a});
    ASSERT_TRUE(random_bytes(std::span(out).first(bytes)).ok());
    EXPECT_EQ(out[bytes], std::byte{0x5a});
    if (bytes >= 32) {
      EXPECT_NE(Bytes(out.begin(), out.begin() + 32), Bytes(32, std::byte{0x5a}));
      EXPECT_NE(Bytes(out.end() - 33, out.end() - 1), Bytes(32, std::byte{0x5a}));
    }
  }
}

}  // namespace
}  // namespace carrel
