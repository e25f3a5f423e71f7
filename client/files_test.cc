// Key files and labels.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstring>

#include "client/keys.h"
#include "client/labels.h"
#include "files/test_folder.h"

namespace carrel {
namespace {

using Files = FolderTest;

TEST_F(Files, KeysComeBackAndAreOurs) {
  ASSERT_TRUE(create_key_file(path("key")).ok());
  struct stat about;
  ASSERT_EQ(stat(path("key").c_str(), &about), 0);
  EXPECT_EQ(about.st_mode & 0777, 0600u);
  const std::string text = read("key");
  EXPECT_EQ(text.size(), 79u);
  const auto key = read_key_file(path("key"));
  ASSERT_TRUE(key.ok());
  EXPECT_FALSE(key->readable_by_others);
  char hex[65];
  for (int i = 0; i < 32; ++i) std::snprintf(hex + 2 * i, 3, "%02x", key->key.bytes[i]);
  EXPECT_EQ(text, "carrel-key-v1 " + std::string(hex) + "\n");
  ASSERT_TRUE(create_key_file(path("other")).ok());
  EXPECT_NE(read("other"), text);
  EXPECT_FALSE(create_key_file(path("key")).ok());
  EXPECT_EQ(read("key"), text);
}

TEST_F(Files, KeyPermissionsAreReported) {
  ASSERT_TRUE(create_key_file(path("key")).ok());
  for (const unsigned mode : {0640u, 0604u, 0644u}) {
    ASSERT_EQ(chmod(path("key").c_str(), mode), 0);
    const auto key = read_key_file(path("key"));
    EXPECT_TRUE(key.ok() && key->readable_by_others);
  }
}

TEST_F(Files, OtherFilesAreNotKeys) {
  const std::string magic = "carrel-key-v1 ";
  const std::string hex(64, 'a');
  for (const std::string& good :
       {magic + hex, magic + hex + "\n", magic + hex + "\r\n", magic + std::string(64, 'F')}) {
    put("key", good);
    const auto key = read_key_file(path("key"));
    ASSERT_TRUE(key.ok()) << good;
    EXPECT_EQ(key->key.bytes[31], good[20] == 'F' ? 0xff : 0xaa);
  }
  std::string bad_digit = magic + hex;
  for (const char c : {'g', '@', '`', ' ', '/', ':', '\0', '\xff', 'G'}) {
    bad_digit[40] = c;
    put("key", bad_digit);
    EXPECT_FALSE(read_key_file(path("key")).ok()) << c;
  }
  for (const std::string& bad :
       {std::string(), magic, hex, magic + hex + "0", magic + hex.substr(1), magic + hex + "\n\n",
        "carrel-key-v2 " + hex, magic + hex + "\nmore", magic + std::string(5000, 'a')}) {
    put("key", bad);
    const auto key = read_key_file(path("key"));
    ASSERT_FALSE(key.ok()) << bad;
    EXPECT_EQ(key.error().code(), ErrorCode::kInvalidInput);
    EXPECT_EQ(std::string(key.error().message()).find("aaaa"), std::string::npos);
  }
  EXPECT_EQ(read_key_file(path("none")).error().code(), ErrorCode::kIo);
  EXPECT_FALSE(read_key_file(folder_).ok());
}

TEST_F(Files, Labels) {
  put("labels", "cat\r\n  dog\t\n\nten\x1b[2Jch\nlast");
  const auto labels = read_labels(path("labels"));
  ASSERT_TRUE(labels.ok());
  EXPECT_EQ(*labels, (std::vector<std::string>{"cat", "dog", "", "ten?[2Jch", "last"}));
  put("labels", "");
  EXPECT_TRUE(read_labels(path("labels"))->empty());
  EXPECT_FALSE(read_labels(path("none")).ok());
}

}  // namespace
}  // namespace carrel
