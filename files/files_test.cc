// Whole files out and in.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "files/test_folder.h"
#include "files/test_no_tmpfile.h"

namespace carrel {
namespace {

namespace fs = std::filesystem;

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text));
}

class Files : public FolderTest {
 protected:
  size_t file_count() const {
    return static_cast<size_t>(
        std::distance(fs::directory_iterator(folder_), fs::directory_iterator()));
  }
};

TEST_F(Files, NothingAppearsBeforeCommit) {
  put("x", "old");
  {
    auto file = AtomicFile::create(path("x"));
    ASSERT_TRUE(file.ok());
    ASSERT_TRUE(file->write(bytes_of("new")).ok());
    EXPECT_EQ(read("x"), "old");
    AtomicFile moved = std::move(*file);
    ASSERT_TRUE(moved.write(bytes_of("er")).ok());
    ASSERT_TRUE(moved.commit().ok());
    EXPECT_EQ(read("x"), "newer");
  }
  {
    auto file = AtomicFile::create(path("x"));
    ASSERT_TRUE(file.ok() && file->write(bytes_of("never")).ok());
  }
  EXPECT_EQ(read("x"), "newer");
  EXPECT_EQ(file_count(), 1u);
}

TEST_F(Files, CreateNeverOverwrites) {
  EXPECT_TRUE(write_file(path("x"), bytes_of("first"), WriteMode::kCreate).ok());
  EXPECT_FALSE(write_file(path("x"), bytes_of("second"), WriteMode::kCreate).ok());
  auto raced = AtomicFile::create(path("y"), WriteMode::kCreate);
  ASSERT_TRUE(raced.ok() && raced->write(bytes_of("late")).ok());
  put("y", "early");
  const Status status = raced->commit();
  EXPECT_FALSE(status.ok());
  EXPECT_EQ(status.error().code(), ErrorCode::kIo);
  EXPECT_EQ(read("x"), "first");
  EXPECT_EQ(read("y"), "early");
}

TEST_F(Files, LinksAndPermissionsStay) {
  put("target", "old");
  ASSERT_EQ(chmod(path("target").c_str(), 0640), 0);
  ASSERT_EQ(symlink(path("target").c_str(), path("link").c_str()), 0);
  put("link", "new");
  EXPECT_TRUE(fs::is_symlink(path("link")));
  EXPECT_EQ(read("target"), "new");
  struct stat about;
  ASSERT_EQ(stat(path("target").c_str(), &about), 0);
  EXPECT_EQ(about.st_mode & 0777, 0640u);
}

TEST_F(Files, OnlyRegularFilesThatMayBeWrittenAreReplaced) {
  const Status device = write_file("/dev/null", bytes_of("x"));
  ASSERT_FALSE(device.ok());
  EXPECT_TRUE(fs::is_character_file("/dev/null"));
  put("x", "meant to stay");
  ASSERT_EQ(chmod(path("x").c_str(), 0444), 0);
  constexpr uid_t kNobody = 65534;
  const pid_t child = fork();
  if (child == 0) {  // root may write everything
    const bool root = geteuid() == 0;
    if (root && (chown(folder_.c_str(), kNobody, kNobody) != 0 || setuid(kNobody) != 0)) _exit(2);
    _exit(AtomicFile::create(path("y")).ok() && !AtomicFile::create(path("x")).ok() ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(read("x"), "meant to stay");
}

TEST_F(Files, WhatWasWrittenCanBeOverwritten) {
  auto file = AtomicFile::create(path("x"));
  ASSERT_TRUE(file.ok());
  ASSERT_TRUE(file->write_zeros(4).ok() && file->write(bytes_of("tail")).ok());
  EXPECT_EQ(file->position(), 8u);
  ASSERT_TRUE(file->write_at(0, bytes_of("head")).ok() && file->commit().ok());
  EXPECT_EQ(read("x"), "headtail");
}

// As a signal handler finds it: a name to remove while there is one, and none before and after.
bool names_are_told(const std::string& folder) {
  const std::string path = folder + "/x";
  if (!forbid_tmpfile()) return false;
  {
    auto dropped = AtomicFile::create(path);
    if (!dropped.ok() || !fs::exists(pending_output_path())) return false;
  }
  if (*pending_output_path() != '\0' || !fs::is_empty(folder)) return false;
  auto kept = AtomicFile::create(path);
  if (!kept.ok() || !kept->write(bytes_of("new")).ok() || fs::exists(path)) return false;
  return kept->commit().ok() && *pending_output_path() == '\0' && fs::exists(path) &&
         !write_file(path, bytes_of("newer"), WriteMode::kCreate).ok();
}

TEST_F(Files, FileSystemsWithoutNamelessFiles) {
  const pid_t child = fork();
  if (child == 0) _exit(names_are_told(folder_) ? 0 : 1);
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(read("x"), "new");
  EXPECT_EQ(file_count(), 1u);
}

TEST_F(Files, ErrorsGiveTheReasonWithoutThePath) {
  const std::string deep = path((std::string(200, 'a') + "/" + std::string(100, 'b')).c_str());
  for (const std::string& bad : {deep, folder_, std::string()}) {
    const Status status = write_file(bad, bytes_of("x"));
    ASSERT_FALSE(status.ok()) << bad;
    EXPECT_EQ(status.error().code(), ErrorCode::kIo);
    const std::string reason = bad == folder_ ? "Is a directory" : "No such file or directory";
    EXPECT_EQ(status.error().message(), "cannot be written: " + reason);
  }
  EXPECT_FALSE(read_file(path("missing"), 10).ok());
  EXPECT_FALSE(read_file(folder_, 10).ok());
}

TEST_F(Files, ReadingIsBounded) {
  put("x", "0123456789");
  EXPECT_TRUE(read_file(path("x"), 10).ok());
  EXPECT_FALSE(read_file(path("x"), 9).ok());
  const auto endless = read_file("/dev/zero", 1 << 20);
  ASSERT_FALSE(endless.ok());
  EXPECT_EQ(endless.error().code(), ErrorCode::kInvalidInput);
  put("empty", "");
  EXPECT_EQ(read("empty"), "");
  const auto nothing = read_file("/dev/null", 0);
  EXPECT_TRUE(nothing.ok() && nothing->empty());
}

}  // namespace
}  // namespace carrel
