#include "engine/format/program.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "engine/crypto/hash.h"
#include "engine/format/sealed_model.h"

namespace carrel {
namespace {

// 8-byte aligned by its allocator.
std::vector<std::byte> blob_with(const ProgramHeader& header, size_t table_bytes) {
  std::vector<std::byte> blob(sizeof(header) + table_bytes);
  std::memcpy(blob.data(), &header, sizeof(header));
  return blob;
}

TEST(Program, ParsesTablesInOrder) {
  ProgramHeader h;
  h.tensor_count = h.stream_count = h.store_count = h.op_count = h.step_count = 1;
  h.int_count = 2;
  h.float_count = 1;    // rounded up to 8
  h.operand_count = 3;  // likewise
  const size_t tables = sizeof(TensorDesc) + sizeof(StreamDesc) + sizeof(StoreDesc) + sizeof(OpDesc) + sizeof(Step) +
                        2 * 8 + 8 + 8;
  h.program_bytes = sizeof(h) + tables;
  const std::vector<std::byte> blob = blob_with(h, tables);
  const auto view = parse_program(blob);
  ASSERT_TRUE(view.ok()) << view.error().message();
  const auto offset = [&](const void* p) { return static_cast<size_t>(static_cast<const std::byte*>(p) - blob.data()); };
  EXPECT_EQ(offset(view->tensors.data()), sizeof(ProgramHeader));
  EXPECT_EQ(offset(view->floats.data()), blob.size() - 16);
  EXPECT_EQ(offset(view->operands.data()), blob.size() - 8);
  EXPECT_EQ(view->operands.size(), 3u);
}

TEST(Program, RefusesEveryTruncation) {
  ProgramHeader h;
  h.op_count = 2;
  h.operand_count = 3;
  const size_t tables = 2 * sizeof(OpDesc) + 8;
  h.program_bytes = sizeof(h) + tables;
  const std::vector<std::byte> blob = blob_with(h, tables);
  ASSERT_TRUE(parse_program(blob).ok());
  for (size_t bytes = 0; bytes < blob.size(); ++bytes) {
    EXPECT_FALSE(parse_program(std::span(blob).first(bytes)).ok()) << bytes;
  }
}

TEST(Program, RefusesCountsThatOverflow) {
  for (uint32_t ProgramHeader::*count : {&ProgramHeader::tensor_count, &ProgramHeader::stream_count,
                                         &ProgramHeader::store_count, &ProgramHeader::op_count,
                                         &ProgramHeader::step_count, &ProgramHeader::int_count,
                                         &ProgramHeader::float_count, &ProgramHeader::operand_count}) {
    ProgramHeader h;
    h.*count = ~0u;
    h.program_bytes = sizeof(h) + 64;
    EXPECT_FALSE(parse_program(blob_with(h, 64)).ok());
  }
}

TEST(Program, RefusesAMisalignedBlob) {
  ProgramHeader h;
  h.program_bytes = sizeof(h);
  std::vector<std::byte> blob(sizeof(h) + 8);
  std::memcpy(blob.data() + 4, &h, sizeof(h));
  EXPECT_FALSE(parse_program(std::span(blob).subspan(4, sizeof(h))).ok());
}

TEST(Program, NamesRoundTrip) {
  for (uint8_t i = 0; i <= static_cast<uint8_t>(Strategy::kAuto); ++i) {
    const auto parsed = parse_strategy(strategy_name(static_cast<Strategy>(i)));
    ASSERT_TRUE(parsed.ok());
    EXPECT_EQ(static_cast<uint8_t>(*parsed), i);
  }
  EXPECT_FALSE(parse_strategy("").ok());
  EXPECT_FALSE(parse_strategy("autos").ok());
  EXPECT_STREQ(opcode_name(Opcode::kFetch), "Fetch");
  EXPECT_STREQ(opcode_name(Opcode::kCount), "?");
}

TEST(Program, ReserveGrowsByAStackPerThread) {
  EXPECT_LE(runtime_reserve_bytes(1), 512u * 1024);
  EXPECT_EQ(runtime_reserve_bytes(3) - runtime_reserve_bytes(2), runtime_reserve_bytes(2) - runtime_reserve_bytes(1));
}

class HeaderTest : public ::testing::Test {
 protected:
  HeaderTest() {
    std::memcpy(header_.magic, kSealedMagic, sizeof(kSealedMagic));
    header_.version = kSealedVersion;
    header_.header_bytes = sizeof(SealedHeader);
    header_.tiles_bytes = 1024;
    header_.manifest_offset = kTilesOffset + 1024;
    header_.manifest_bytes = 512;
    header_.file_bytes = kTilesOffset + 1536;
  }
  Status check() {
    const Digest now = sha256(std::as_bytes(std::span(&header_, 1)).first(offsetof(SealedHeader, checksum)));
    std::memcpy(header_.checksum, now.bytes, sizeof(now.bytes));
    return check_sealed_header(header_, kTilesOffset + 1536, now.bytes);
  }
  SealedHeader header_{};
};

TEST_F(HeaderTest, AcceptsAGoodOne) { EXPECT_TRUE(check().ok()); }

TEST_F(HeaderTest, RefusesRegionsThatDoNotFit) {
  const SealedHeader good = header_;
  const auto refused = [&](auto change) {
    header_ = good;
    change();
    return !check().ok();
  };
  EXPECT_TRUE(refused([&] { header_.tiles_bytes = 1025; }));
  EXPECT_TRUE(refused([&] { header_.tiles_bytes = ~uint64_t{0} - kTilesOffset + 1; }));
  EXPECT_TRUE(refused([&] { header_.manifest_bytes = 513; }));
  EXPECT_TRUE(refused([&] { header_.manifest_offset = ~uint64_t{0}; }));
  EXPECT_TRUE(refused([&] { header_.file_bytes -= 1; }));
  EXPECT_TRUE(refused([&] { header_.header_bytes = 128; }));
  EXPECT_TRUE(refused([&] { header_.version = kSealedVersion + 1; }));
  EXPECT_TRUE(refused([&] { header_.reserved[7] = 1; }));
  EXPECT_TRUE(refused([&] { header_.magic[0] = 'X'; }));
}

TEST_F(HeaderTest, TellsDamageFromSomethingElse) {
  const Digest other{};
  std::memset(header_.checksum, 1, sizeof(header_.checksum));
  EXPECT_EQ(check_sealed_header(header_, header_.file_bytes, other.bytes).error().code(), ErrorCode::kAuthentication);
  header_.magic[0] = 'X';
  EXPECT_EQ(check_sealed_header(header_, header_.file_bytes, other.bytes).error().code(), ErrorCode::kInvalidInput);
}

}  // namespace
}  // namespace carrel
