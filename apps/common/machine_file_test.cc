// The figures of a machine on disk: what was saved comes back, and nothing else is believed.
#include "apps/common/machine_file.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "compiler/cost/figure_list.h"
#include "files/test_folder.h"

namespace carrel {
namespace {

class MachineFile : public FolderTest {
 protected:
  void SetUp() override {
    FolderTest::SetUp();
    setenv("XDG_CONFIG_HOME", folder_.c_str(), 1);
  }
  static std::string text() {
    std::stringstream all;
    all << std::ifstream(machine_file_path()).rdbuf();
    return all.str();
  }
  static void write(const std::string& text) { std::ofstream(machine_file_path()) << text; }
  static std::string replaced(std::string text, const std::string& from, const std::string& to) {
    const size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return at == std::string::npos ? text : text.replace(at, from.size(), to);
  }
  static void expect_refused() {
    const Result<MachineProfile> loaded = load_machine_profile();
    ASSERT_FALSE(loaded.ok());
    const std::string message = loaded.error().message();
    EXPECT_NE(message.find("carrel calibrate"), std::string::npos) << message;
    EXPECT_NE(message.find(machine_file_path()), std::string::npos) << message;
    EXPECT_EQ(message.find('\n'), std::string::npos);
  }
};

TEST_F(MachineFile, DefaultsWithoutOne) {
  const Result<MachineProfile> loaded = load_machine_profile();
  ASSERT_TRUE(loaded.ok());
  EXPECT_FALSE(loaded->calibrated);
  EXPECT_EQ(loaded->of(IsaLevel::kAvx2).flops_per_second, MachineFigures{}.flops_per_second);
}

TEST_F(MachineFile, WhatWasSavedComesBack) {
  MachineProfile profile;
  const auto level = static_cast<size_t>(isa_level(detect_cpu()));
  for (const FigureField& field : figure_fields()) profile.figures[level].*field.value *= 1.25;
  const Result<std::string> path = save_machine_profile(profile);
  ASSERT_TRUE(path.ok()) << path.error().message();
  EXPECT_EQ(*path, machine_file_path());
  const Result<MachineProfile> loaded = load_machine_profile();
  ASSERT_TRUE(loaded.ok()) << loaded.error().message();
  EXPECT_TRUE(loaded->calibrated);
  for (const FigureField& field : figure_fields()) {
    EXPECT_EQ(loaded->figures[level].*field.value, profile.figures[level].*field.value) << field.name;
  }
}

TEST_F(MachineFile, DamageIsOneLine) {
  ASSERT_TRUE(save_machine_profile({}).ok());
  const std::string good = text();
  for (const std::string& bad :
       {std::string(), good.substr(0, good.size() / 2), std::string("[]"), replaced(good, "\"version\": 1", "\"version\": 2"),
        replaced(good, "flops_per_second", "flaps_per_second"), replaced(good, "165000000000.0", "\"fast\""),
        replaced(good, "165000000000.0", "-1"), replaced(good, "\"figures\": {", "\"figures\": [], \"others\": {")}) {
    write(bad);
    expect_refused();
  }
}

TEST_F(MachineFile, AnotherProcessorsFiguresAreNotUsed) {
  MachineProfile profile;
  for (MachineFigures& figures : profile.figures) figures.flops_per_second = 1e10;
  ASSERT_TRUE(save_machine_profile(profile).ok());
  write(replaced(text(), "\"processor\": \"", "\"processor\": \"not "));
  const Result<MachineProfile> loaded = load_machine_profile();
  ASSERT_TRUE(loaded.ok());
  EXPECT_FALSE(loaded->calibrated);
  EXPECT_EQ(loaded->of(IsaLevel::kGeneric).flops_per_second, MachineFigures{}.flops_per_second);
}

}  // namespace
}  // namespace carrel
