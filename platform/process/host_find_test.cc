// Who else could have put an executable there, and that it is not given keys then.
#include "platform/process/host_find.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace carrel {
namespace {

namespace fs = std::filesystem;

class FindEnclave : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/carrel_find_XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    top_ = name;
    folder_ = top_ / "libexec";
    fs::create_directory(folder_);
    chmod(folder_.c_str(), 0755);
    file_ = folder_ / "carrel-enclave";
    std::ofstream(file_) << "a program";
    chmod(file_.c_str(), 0755);
  }
  void TearDown() override { fs::remove_all(top_); }

  void expect_found() const {
    const auto found = find_enclave(file_);
    ASSERT_TRUE(found.ok()) << found.error().message();
    EXPECT_EQ(found->path, fs::canonical(file_));
  }
  void expect_refused(const char* text, const fs::path& where) const {
    const auto found = find_enclave(file_);
    ASSERT_FALSE(found.ok()) << where;
    EXPECT_EQ(found.error().code(), ErrorCode::kPlatform);
    const std::string message = found.error().message();
    EXPECT_NE(message.find(text), std::string::npos) << message;
    EXPECT_NE(message.find(where), std::string::npos) << message;
  }

  fs::path top_, folder_, file_;
};

TEST_F(FindEnclave, TakesOneThatNobodyElseMayReplace) { expect_found(); }

TEST_F(FindEnclave, TheDescriptorIsOfTheFileThatWasChecked) {
  const auto found = find_enclave(file_);
  ASSERT_TRUE(found.ok()) << found.error().message();
  struct stat checked {
  }, named{};
  fs::rename(file_, folder_ / "moved");
  ASSERT_EQ(fstat(found->fd.get(), &checked), 0);
  ASSERT_EQ(stat((folder_ / "moved").c_str(), &named), 0);
  EXPECT_EQ(checked.st_ino, named.st_ino);
}

TEST_F(FindEnclave, AFileThatOthersMayWriteIsRefused) {
  chmod(file_.c_str(), 0757);
  expect_refused("others may replace", file_);
}

TEST_F(FindEnclave, AFolderThatOthersMayWriteIsRefusedUnlessSticky) {
  for (const fs::path& folder : {folder_, top_}) {
    chmod(folder.c_str(), 0777);
    expect_refused("others may replace", folder);
    chmod(folder.c_str(), 01777);
    expect_found();
  }
}

TEST_F(FindEnclave, OnlyAPrivateGroupMayWrite) {
  if (geteuid() != 0) GTEST_SKIP() << "only root gives files away";
  for (const fs::path& place : {file_, folder_, top_}) {
    chmod(place.c_str(), 0775);
    ASSERT_EQ(chown(place.c_str(), 0, 12345), 0);
    expect_refused("others may replace", place);
    ASSERT_EQ(chown(place.c_str(), 0, 0), 0);
    expect_found();
  }
}

TEST_F(FindEnclave, AnotherUsersFileOrFolderIsRefused) {
  if (geteuid() != 0) GTEST_SKIP() << "only root gives files away";
  for (const fs::path& place : {file_, folder_, top_}) {
    ASSERT_EQ(chown(place.c_str(), 12345, 12345), 0);
    expect_refused("belongs to user 12345", place);
    ASSERT_EQ(chown(place.c_str(), 0, 0), 0);
  }
}

TEST_F(FindEnclave, ALinkIsJudgedByWhatItLeadsTo) {
  const fs::path link = top_ / "link";
  fs::create_symlink(file_, link);
  EXPECT_TRUE(find_enclave(link).ok());
  chmod(folder_.c_str(), 0777);
  EXPECT_EQ(find_enclave(link).error().code(), ErrorCode::kPlatform);
}

TEST_F(FindEnclave, WhatIsNotThereOrNoProgramIsAnotherError) {
  chmod(file_.c_str(), 0644);
  for (const fs::path& place : {file_, folder_, top_ / "nothing"}) {
    EXPECT_EQ(find_enclave(place).error().code(), ErrorCode::kIo) << place;
  }
}

}  // namespace
}  // namespace carrel
