#pragma once
// For tests: a folder of their own, gone with the test.
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <string>
#include <string_view>

#include "files/atomic_file.h"
#include "files/read_file.h"

namespace carrel {

class FolderTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = testing::TempDir() + "carrel-XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string path(const char* name) const { return folder_ + "/" + name; }
  std::string read(const char* name) const {
    const auto bytes = read_file(path(name), 1 << 20);
    if (!bytes.ok()) return "<missing>";
    return {reinterpret_cast<const char*>(bytes->data()), bytes->size()};
  }
  void put(const char* name, std::string_view text) const {
    ASSERT_TRUE(write_file(path(name), std::as_bytes(std::span(text))).ok());
  }

  std::string folder_;
};

}  // namespace carrel
