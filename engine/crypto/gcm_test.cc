#include "engine/crypto/gcm.h"

#include <gtest/gtest.h>
#include <openssl/evp.h>

#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "engine/crypto/gcm_backend.h"

namespace carrel {
namespace {

using Bytes = std::vector<std::byte>;

struct Sealed {
  Bytes cipher;
  Bytes tag;
  bool operator==(const Sealed&) const = default;
};

Bytes from_hex(const std::string& hex) {
  Bytes bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes.push_back(static_cast<std::byte>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

Bytes random_vector(size_t bytes, uint64_t seed) {
  std::mt19937_64 random(seed);
  Bytes out(bytes);
  for (std::byte& b : out) b = static_cast<std::byte>(random());
  return out;
}

const uint8_t* u8(const Bytes& bytes) { return reinterpret_cast<const uint8_t*>(bytes.data()); }

SecretKey key_of(const Bytes& bytes) {
  SecretKey key;
  memcpy(key.bytes, bytes.data(), kKeyBytes);
  return key;
}

Nonce nonce_of(const Bytes& bytes) {
  Nonce nonce;
  memcpy(nonce.bytes, bytes.data(), kNonceBytes);
  return nonce;
}

Sealed openssl_seal(const SecretKey& key, const Nonce& nonce, const Bytes& aad,
                    const Bytes& plain) {
  Sealed sealed{Bytes(plain.size()), Bytes(kTagBytes)};
  EVP_CIPHER_CTX* context = EVP_CIPHER_CTX_new();
  int count = 0;
  auto* out = reinterpret_cast<uint8_t*>(sealed.cipher.data());
  EXPECT_EQ(EVP_EncryptInit_ex(context, EVP_aes_256_gcm(), nullptr, key.bytes, nonce.bytes), 1);
  if (!aad.empty()) EVP_EncryptUpdate(context, nullptr, &count, u8(aad), int(aad.size()));
  if (!plain.empty()) EVP_EncryptUpdate(context, out, &count, u8(plain), int(plain.size()));
  uint8_t rest[16];
  EXPECT_EQ(EVP_EncryptFinal_ex(context, rest, &count), 1);
  EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_GET_TAG, kTagBytes, sealed.tag.data());
  EVP_CIPHER_CTX_free(context);
  return sealed;
}

// Every implementation that this machine can run, by the mask that selects it.
std::vector<CpuMask> masks() {
  const CpuMask here = detect_cpu();
  std::vector<CpuMask> all = {kCpuGeneric};
  if (here & kCpuAvx) all.push_back(kCpuAesNi | kCpuAvx);
  if (here & kCpuAvx2) all.push_back(kCpuAesNi | kCpuAvx | kCpuAvx2);
  if (here & kCpuVaes) all.push_back(here);
  return all;
}

class GcmTest : public testing::TestWithParam<CpuMask> {
 protected:
  const SecretKey key_ = key_of(random_vector(kKeyBytes, 1));
  const Gcm gcm_{key_, GetParam()};

  Sealed seal(const Nonce& nonce, const Bytes& aad, const Bytes& plain) const {
    Sealed sealed{Bytes(plain.size()), Bytes(kTagBytes)};
    gcm_.seal(nonce, aad, plain.data(), sealed.cipher.data(), plain.size(), sealed.tag.data());
    return sealed;
  }
};

std::string name_of(const testing::TestParamInfo<CpuMask>& info) {
  std::string name = Gcm(SecretKey{}, info.param).implementation();
  for (char& c : name) {
    if (!isalnum(c)) c = '_';
  }
  return name;
}
INSTANTIATE_TEST_SUITE_P(Implementations, GcmTest, testing::ValuesIn(masks()), name_of);

struct Vector {
  const char *key, *nonce, *aad, *plain, *cipher, *tag;
};
// D. McGrew, J. Viega, "The Galois/Counter Mode of Operation", appendix B, test cases 13 to 16.
constexpr Vector kVectors[] = {
    {"0000000000000000000000000000000000000000000000000000000000000000", "000000000000000000000000",
     "", "", "", "530f8afbc74536b9a963b4f1c4cb738b"},
    {"0000000000000000000000000000000000000000000000000000000000000000", "000000000000000000000000",
     "", "00000000000000000000000000000000", "cea7403d4d606b6e074ec5d3baf39d18",
     "d0d1c8a799996bf0265b98b5d48ab919"},
    {"feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308", "cafebabefacedbaddecaf888",
     "",
     "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
     "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255",
     "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
     "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015ad",
     "b094dac5d93471bdec1a502270e3cc6c"},
    {"feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308", "cafebabefacedbaddecaf888",
     "feedfacedeadbeeffeedfacedeadbeefabaddad2",
     "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
     "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
     "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
     "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662",
     "76fc6ece0f4e1768cddf8853bb2d551b"},
};

TEST_P(GcmTest, PublishedVectors) {
  for (const Vector& v : kVectors) {
    const Gcm gcm(key_of(from_hex(v.key)), GetParam());
    const Bytes plain = from_hex(v.plain), aad = from_hex(v.aad);
    const Nonce nonce = nonce_of(from_hex(v.nonce));
    Sealed sealed{Bytes(plain.size()), Bytes(kTagBytes)};
    gcm.seal(nonce, aad, plain.data(), sealed.cipher.data(), plain.size(), sealed.tag.data());
    EXPECT_EQ(sealed.cipher, from_hex(v.cipher));
    EXPECT_EQ(sealed.tag, from_hex(v.tag));
  }
}

TEST_P(GcmTest, EqualsOpensslAtEveryLength) {
  for (size_t bytes = 0; bytes <= 2100; ++bytes) {
    const Bytes plain = random_vector(bytes, bytes);
    const Bytes aad = random_vector(bytes % 65, bytes + 1);
    const Nonce nonce = tile_nonce(bytes * 0x123456789u);
    const Sealed expected = openssl_seal(key_, nonce, aad, plain);
    ASSERT_EQ(seal(nonce, aad, plain), expected) << bytes;

    Bytes in_place = plain, tag(kTagBytes);
    gcm_.seal(nonce, aad, in_place.data(), in_place.data(), bytes, tag.data());
    ASSERT_EQ((Sealed{in_place, tag}), expected) << bytes;
    ASSERT_TRUE(gcm_.open_in_place(nonce, aad, in_place.data(), bytes, tag.data())) << bytes;
    ASSERT_EQ(in_place, plain) << bytes;

    Bytes opened(bytes);
    ASSERT_TRUE(gcm_.open_from_untrusted(nonce, aad, expected.cipher.data(), opened.data(), bytes,
                                         expected.tag.data()))
        << bytes;
    ASSERT_EQ(opened, plain) << bytes;
  }
}

TEST_P(GcmTest, EqualsOpensslForLongMessagesAndAad) {
  for (size_t bytes : {4096u, 16384u, 65536u + 1, 262144u - 3, (1u << 20) + 511}) {
    const Bytes plain = random_vector(bytes, bytes), aad = random_vector(bytes / 16 + 7, 9);
    const Sealed expected = openssl_seal(key_, block_nonce(7, bytes), aad, plain);
    ASSERT_EQ(seal(block_nonce(7, bytes), aad, plain), expected) << bytes;
    Bytes opened(bytes);
    ASSERT_TRUE(gcm_.open_from_untrusted(block_nonce(7, bytes), aad, expected.cipher.data(),
                                         opened.data(), bytes, expected.tag.data()));
    ASSERT_EQ(opened, plain) << bytes;
  }
}

// Fences of known bytes before and after every buffer stay as they are.
TEST_P(GcmTest, StaysInsideItsBuffers) {
  constexpr size_t kFence = 64;
  const std::byte fence{0xa5};
  for (size_t bytes : {0u, 1u, 15u, 63u, 64u, 65u, 511u, 512u, 513u, 1023u, 1537u}) {
    const Bytes plain = random_vector(bytes, 3);
    Bytes cipher(bytes + 2 * kFence, fence), opened(bytes + 2 * kFence, fence), tag(kTagBytes);
    gcm_.seal(tile_nonce(1), {}, plain.data(), cipher.data() + kFence, bytes, tag.data());
    ASSERT_TRUE(gcm_.open_from_untrusted(tile_nonce(1), {}, cipher.data() + kFence,
                                         opened.data() + kFence, bytes, tag.data()));
    for (const Bytes* buffer : {&cipher, &opened}) {
      for (size_t i = 0; i < kFence; ++i) {
        ASSERT_EQ((*buffer)[i], fence);
        ASSERT_EQ((*buffer)[bytes + kFence + i], fence);
      }
    }
  }
}

TEST_P(GcmTest, RejectsEveryKindOfChangeAndWipes) {
  std::mt19937_64 random(5);
  const Bytes aad = random_vector(32, 6);
  for (size_t bytes : {1u, 16u, 100u, 512u, 700u, 1024u, 4100u}) {
    const Sealed sealed = seal(tile_nonce(4), aad, random_vector(bytes, bytes));
    for (int attempt = 0; attempt < 300; ++attempt) {
      Sealed changed = sealed;
      Bytes changed_aad = aad;
      Nonce nonce = tile_nonce(4);
      const std::byte flip = std::byte{1} << (random() % 8);
      switch (attempt % 4) {
        case 0:
          changed.tag[random() % kTagBytes] ^= flip;
          break;
        case 1:
          changed_aad[random() % aad.size()] ^= flip;
          break;
        case 2:
          nonce.bytes[random() % kNonceBytes] ^= static_cast<uint8_t>(flip);
          break;
        default:
          changed.cipher[random() % bytes] ^= flip;
      }
      Bytes opened(bytes, std::byte{0xff});
      ASSERT_FALSE(gcm_.open_from_untrusted(nonce, changed_aad, changed.cipher.data(),
                                            opened.data(), bytes, changed.tag.data()));
      ASSERT_EQ(opened, Bytes(bytes)) << "plaintext of a rejected message is wiped";
      ASSERT_FALSE(
          gcm_.open_in_place(nonce, changed_aad, changed.cipher.data(), bytes, changed.tag.data()));
      ASSERT_EQ(changed.cipher, Bytes(bytes)) << "plaintext of a rejected message is wiped";
    }
  }
}

TEST_P(GcmTest, RejectsTruncationAndMovedLengths) {
  const Bytes aad = random_vector(32, 6);
  const Sealed sealed = seal(tile_nonce(4), aad, random_vector(1000, 8));
  for (size_t bytes : {0u, 1u, 512u, 984u, 999u}) {
    Bytes opened(1000);
    EXPECT_FALSE(gcm_.open_from_untrusted(tile_nonce(4), aad, sealed.cipher.data(), opened.data(),
                                          bytes, sealed.tag.data()));
  }
  // The same concatenated bytes with the border between AAD and ciphertext moved.
  Bytes all = aad;
  all.insert(all.end(), sealed.cipher.begin(), sealed.cipher.end());
  Bytes opened(984);
  EXPECT_FALSE(gcm_.open_from_untrusted(tile_nonce(4), std::span(all).first(48), all.data() + 48,
                                        opened.data(), 984, sealed.tag.data()));
}

TEST(Nonce, Layout) {
  const Nonce tile = tile_nonce(0x0102030405060708);
  const uint8_t expected_tile[] = {0, 0, 0, 0, 8, 7, 6, 5, 4, 3, 2, 1};
  EXPECT_EQ(memcmp(tile.bytes, expected_tile, kNonceBytes), 0);
  const Nonce block = block_nonce(0x0a0b0c0d, 0x0102030405060708);
  const uint8_t expected_block[] = {0x0d, 0x0c, 0x0b, 0x0a, 8, 7, 6, 5, 4, 3, 2, 1};
  EXPECT_EQ(memcmp(block.bytes, expected_block, kNonceBytes), 0);
}

TEST(GcmMasks, SelectTheirImplementation) {
  const CpuMask here = detect_cpu();
  EXPECT_STREQ(Gcm(SecretKey{}, kCpuGeneric).implementation(), "ipsec-mb sse");
  if (here & kCpuAvx2) {
    EXPECT_STREQ(Gcm(SecretKey{}, here & ~kCpuVaes).implementation(), "ipsec-mb avx2");
  }
  if (here & kCpuVaes) {
    EXPECT_STREQ(Gcm(SecretKey{}, here).implementation(), "vaes");
  }
}

TEST(GcmVaes, EqualsIpsecVaes) {
  if (!(detect_cpu() & kCpuVaes)) GTEST_SKIP() << "this CPU has no VAES";
  const SecretKey key = key_of(random_vector(kKeyBytes, 2));
  alignas(64) std::byte state[kGcmKeyDataBytes] = {};
  kGcmIpsecVaes.expand(key.bytes, state);
  const Bytes aad = random_vector(64, 3);
  for (size_t bytes = 0; bytes <= 2100; ++bytes) {
    const Bytes plain = random_vector(bytes, bytes);
    const Nonce nonce = tile_nonce(bytes);
    const auto run = [&](void (*function)(const GcmMessage&), const Bytes& in) {
      Sealed out{Bytes(bytes), Bytes(kTagBytes)};
      function({state, nonce.bytes, aad.data(), bytes % 65, in.data(), out.cipher.data(), bytes,
                reinterpret_cast<uint8_t*>(out.tag.data())});
      return out;
    };
    const Sealed sealed = run(kGcmIpsecVaes.seal, plain);
    ASSERT_EQ(run(kGcmVaes.seal, plain), sealed) << bytes;
    ASSERT_EQ(run(kGcmVaes.open, sealed.cipher), run(kGcmIpsecVaes.open, sealed.cipher)) << bytes;
  }
}

}  // namespace
}  // namespace carrel
