#include "base/bytes.h"

#include <gtest/gtest.h>

namespace carrel {
namespace {

TEST(Bytes, ParsesUnits) {
  EXPECT_EQ(*parse_bytes("16MiB"), 16 * kMiB);
  EXPECT_EQ(*parse_bytes("512KiB"), 512 * kKiB);
  EXPECT_EQ(*parse_bytes("1GiB"), kGiB);
  EXPECT_EQ(*parse_bytes("4096"), 4096u);
}

TEST(Bytes, RejectsEverythingElse) {
  for (const char* text : {"", "MiB", "16MB", "-1", "1.5MiB", "99999999999999999999", "18446744073709551615GiB"}) {
    EXPECT_FALSE(parse_bytes(text).ok()) << text;
  }
}

TEST(Bytes, FormatsForPeople) {
  char buffer[32];
  EXPECT_STREQ(format_bytes(3 * kMiB + kMiB / 2, buffer), "3.50 MiB");
  EXPECT_STREQ(format_bytes(12, buffer), "12 B");
}

TEST(Error, FormatsWithoutStdio) {
  const Error e(ErrorCode::kIo, "%s %d %lu %.*s %x %%", "a", -5, uint64_t{7}, 2, "xyz", 255u);
  EXPECT_STREQ(e.message(), "a -5 7 xy ff %");
}

}  // namespace
}  // namespace carrel
