// Whole sessions with the real enclave, beside the same sessions in this process.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <thread>
#include <vector>

#include "base/bytes.h"
#include "client/boundary.h"
#include "engine/runtime/test_model.h"
#include "engine/runtime/test_programs.h"
#include "platform/inproc/inproc.h"
#include "platform/process/process.h"

namespace carrel {
namespace {

namespace fs = std::filesystem;
using testing::ConvNet;
using testing::ConvNetOptions;

// One sealed network in a file, its client, and a run on either platform.
class ProcessSessionTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/carrel_session_XXXXXX";
    const int fd = mkstemp(name);
    ASSERT_GE(fd, 0);
    close(fd);
    options_.model_path = name;
    options_.enclave_path = fs::read_symlink("/proc/self/exe").parent_path() / "carrel-enclave";
    options_.cpu = detect_cpu();
    options_.timeout_ms = 30 * 1000;
    secrets_.model_key = testing::test_key(3);
    secrets_.session_key = testing::test_key(4);
  }
  void TearDown() override { unlink(options_.model_path.c_str()); }

  void make(const ConvNetOptions& net_options, uint32_t threads = 1) {
    net_ = testing::make_conv_net(net_options);
    blob_ = net_.program.blob(threads, isa_level(options_.cpu));
    model_ = testing::seal_model(net_.program, {blob_}, testing::test_key(3));
    write_model();
    const auto* header = reinterpret_cast<const ProgramHeader*>(blob_.data());
    options_.threads = threads;
    options_.budget_bytes = header->planned_peak_bytes;
    options_.shared_bytes = std::max<uint64_t>(header->store_bytes, blob_.size() + kTagBytes);
    input_ = testing::random_floats(net_.input_count, 21);
  }
  void write_model() const {
    std::ofstream(options_.model_path, std::ios::binary)
        .write(reinterpret_cast<const char*>(model_.file.data()),
               static_cast<std::streamsize>(model_.file.size()));
  }
  DeliverSecrets deliver() const {
    return [this](int fd) { return deliver_secrets(fd, secrets_); };
  }
  Result<std::unique_ptr<TrustedSession>> open() {
    return open_process_session(options_, deliver());
  }
  Status prepare(TrustedSession& session) {
    return session.prepare_sealed(model_.program_offsets[0], model_.program_bytes[0], 0);
  }
  std::unique_ptr<TrustedSession> opened() {
    auto session = open();
    EXPECT_TRUE(session.ok()) << session.error().message();
    if (!session.ok()) return nullptr;
    const Status prepared = prepare(**session);
    EXPECT_TRUE(prepared.ok()) << prepared.error().message();
    return prepared.ok() ? std::move(*session) : nullptr;
  }
  // One image; the output's floats.
  Result<std::vector<float>> infer(TrustedSession& session, uint64_t counter,
                                   RunStats* stats = nullptr) {
    CARREL_ASSIGN(const ProgramView program, parse_program(blob_));
    CARREL_ASSIGN(const BoundaryTensor in, boundary_tensor(program, 0));
    CARREL_ASSIGN(const BoundaryTensor out, boundary_tensor(program, 1));
    const SessionBoundary client(secrets_.session_key, options_.cpu);
    CARREL_RETURN_IF_ERROR(client.seal_input(in, counter, input_, session.shared_area()));
    CARREL_ASSIGN(const RunStats measured, session.run(counter));
    if (stats != nullptr) *stats = measured;
    std::vector<float> output(net_.output_count);
    CARREL_RETURN_IF_ERROR(client.open_output(out, counter, session.shared_area(), output));
    return output;
  }
  std::vector<float> inproc_output() {
    auto session = open_inproc_session({options_, {}, {}, nullptr}, deliver());
    EXPECT_TRUE(session.ok() && prepare(**session).ok());
    const auto output = infer(**session, 1);
    EXPECT_TRUE(output.ok());
    return output.ok() ? *output : std::vector<float>();
  }

  SessionOptions options_;
  SessionSecrets secrets_ = {};
  ConvNet net_;
  std::vector<std::byte> blob_;
  testing::TestModel model_;
  std::vector<float> input_;
};

TEST_F(ProcessSessionTest, SameBitsAndPeakAsInproc) {
  ConvNetOptions spilling;
  spilling.spill = true;
  ConvNetOptions resident;
  resident.weights = WeightsMode::kResident;
  resident.stored = StoredType::kF16;
  for (const ConvNetOptions& net : {ConvNetOptions(), spilling, resident}) {
    for (const uint32_t threads : {1u, 2u}) {
      for (const bool map_model : {true, false}) {
        make(net, threads);
        options_.map_model = map_model;
        const std::vector<float> expected = inproc_output();
        auto session = opened();
        ASSERT_NE(session, nullptr);
        for (uint64_t counter = 1; counter <= 3; ++counter) {
          RunStats stats;
          const auto output = infer(*session, counter, &stats);
          ASSERT_TRUE(output.ok()) << output.error().message();
          EXPECT_EQ(*output, expected);
          EXPECT_EQ(stats.peak_trusted_bytes, options_.budget_bytes);
        }
      }
    }
  }
}

TEST_F(ProcessSessionTest, KernelsFigureStaysWithinTheBudget) {
  ConvNetOptions net;
  net.height = net.width = 24;
  for (const uint32_t threads : {1u, 2u}) {
    for (const uint64_t mib : {1, 2, 4, 16, 64}) {
      make(net, threads);
      options_.budget_bytes = mib * kMiB;
      const auto begin = std::chrono::steady_clock::now();
      auto session = opened();
      ASSERT_NE(session, nullptr);
      const std::chrono::duration<double, std::milli> took =
          std::chrono::steady_clock::now() - begin;
      RunStats stats;
      const auto output = infer(*session, 1, &stats);
      ASSERT_TRUE(output.ok()) << output.error().message();
      const uint64_t bytes = session->kernel_private_bytes();
      const uint64_t block = options_.budget_bytes - runtime_reserve_bytes(threads);
      printf(
          "%2llu MiB, %u threads: prepared in %.2f ms, kernel's figure %llu KiB = block + %lld "
          "KiB\n",
          static_cast<unsigned long long>(mib), threads, took.count(),
          static_cast<unsigned long long>(bytes / kKiB),
          (static_cast<long long>(bytes) - static_cast<long long>(block)) / 1024);
      EXPECT_LE(bytes, options_.budget_bytes + 2 * kMiB);
      // The reserve is honest: all that is not the block fits it. (Ordinary memory counts once it
      // is touched.)
      EXPECT_LE(bytes, options_.budget_bytes);
      EXPECT_GE(bytes, stats.peak_trusted_bytes - runtime_reserve_bytes(threads));
    }
  }
}

TEST_F(ProcessSessionTest, RunsAProgramPlannedOnTheSpot) {
  make({});
  const std::vector<float> expected = inproc_output();
  std::vector<std::byte> sealed(blob_.size() + kTagBytes);
  ASSERT_TRUE(
      seal_session_program(secrets_.session_key, options_.cpu, model_.id, blob_, sealed).ok());
  auto session = open();
  ASSERT_TRUE(session.ok()) << session.error().message();
  const Status prepared = (*session)->prepare_session_program(sealed);
  ASSERT_TRUE(prepared.ok()) << prepared.error().message();
  const auto output = infer(**session, 7);
  ASSERT_TRUE(output.ok()) << output.error().message();
  EXPECT_EQ(*output, expected);
}

TEST_F(ProcessSessionTest, WrongKeyIsToldFromAChangedFile) {
  make({});
  secrets_.model_key = testing::test_key(9);
  EXPECT_EQ(open().error().code(), ErrorCode::kWrongKey);
  secrets_.model_key = testing::test_key(3);
  model_.file[40] ^= std::byte{1};
  write_model();
  EXPECT_EQ(open().error().code(), ErrorCode::kAuthentication);
}

TEST_F(ProcessSessionTest, WrongModelIsRefused) {
  make({});
  secrets_.pin_model = 1;
  secrets_.expected_model = model_.id;
  EXPECT_TRUE(open().ok());
  secrets_.expected_model.bytes[0] ^= 1;
  EXPECT_FALSE(open().ok());
}

TEST_F(ProcessSessionTest, CounterIsUsedOnce) {
  make({});
  auto session = opened();
  ASSERT_NE(session, nullptr);
  ASSERT_TRUE(infer(*session, 5).ok());
  EXPECT_EQ(infer(*session, 5).error().code(), ErrorCode::kInvalidInput);
  EXPECT_TRUE(infer(*session, 6).ok());
}

TEST_F(ProcessSessionTest, SharedAreaTooSmallIsAnError) {
  make({});
  options_.shared_bytes = 4096;
  auto session = open();
  ASSERT_TRUE(session.ok()) << session.error().message();
  EXPECT_FALSE(prepare(**session).ok());
  std::vector<std::byte> huge(8192);
  EXPECT_EQ((*session)->prepare_session_program(huge).error().code(), ErrorCode::kInvalidInput);
}

TEST_F(ProcessSessionTest, ModelChangedOrShrunkWhileOpenEndsTheSession) {
  for (const bool map_model : {true, false}) {
    for (const bool shrink : {true, false}) {
      make({});
      options_.map_model = map_model;
      auto session = opened();
      ASSERT_NE(session, nullptr);
      ASSERT_TRUE(infer(*session, 1).ok());
      if (shrink) {
        fs::resize_file(options_.model_path, kTilesOffset);
      } else {
        model_.file[kTilesOffset + 100] ^= std::byte{1};
        write_model();
      }
      const auto output = infer(*session, 2);
      ASSERT_FALSE(output.ok());
      EXPECT_EQ(output.error().code(), ErrorCode::kAuthentication) << output.error().message();
      if (shrink && map_model) {
        EXPECT_NE(std::string(output.error().message()).find("shrank"), std::string::npos)
            << output.error().message();
      }
      fs::resize_file(options_.model_path, 0);
      write_model();
      EXPECT_FALSE(infer(*session, 3).ok());  // dead for good
    }
  }
}

// At any moment of a run: the answer is right or an error, never a death.
TEST_F(ProcessSessionTest, ModelShrinkingDuringRunsNeverKills) {
  ConvNetOptions net;
  net.in_channels = net.out_channels = 96;
  net.height = net.width = 16;
  for (int trial = 0; trial < 10; ++trial) {
    make(net, 2);
    const std::vector<float> expected = inproc_output();
    auto session = opened();
    ASSERT_NE(session, nullptr);
    std::thread host([&] {
      std::this_thread::sleep_for(std::chrono::microseconds(300 * trial));
      fs::resize_file(options_.model_path, kTilesOffset + 512);
    });
    Result<std::vector<float>> output = std::vector<float>();
    for (uint64_t counter = 1; output.ok() && counter < 10000; ++counter) {
      output = infer(*session, counter);
      if (output.ok()) {
        ASSERT_EQ(*output, expected);
      }
    }
    host.join();
    ASSERT_FALSE(output.ok());
    EXPECT_EQ(output.error().code(), ErrorCode::kAuthentication) << output.error().message();
  }
}

TEST_F(ProcessSessionTest, TamperedInputEndsTheSession) {
  make({});
  auto session = opened();
  ASSERT_NE(session, nullptr);
  ASSERT_TRUE(infer(*session, 1).ok());
  // The blocks of image 1 again, under the next counter.
  const auto replayed = session->run(2);
  ASSERT_FALSE(replayed.ok());
  EXPECT_EQ(replayed.error().code(), ErrorCode::kAuthentication);
  EXPECT_FALSE(infer(*session, 3).ok());
}

TEST_F(ProcessSessionTest, SaysWhatItDoesNotProtect) {
  make({});
  auto session = opened();
  ASSERT_NE(session, nullptr);
  EXPECT_NE(std::string(session->protection_notes()).find("root"), std::string::npos);
}

TEST_F(ProcessSessionTest, BudgetTooSmallSaysHowMuchWouldDo) {
  make({});
  const uint64_t needed = options_.budget_bytes;
  options_.budget_bytes = needed - 64;
  auto session = open();
  ASSERT_TRUE(session.ok());
  const Status prepared = prepare(**session);
  ASSERT_FALSE(prepared.ok());
  EXPECT_EQ(prepared.error().code(), ErrorCode::kBudgetTooSmall) << prepared.error().message();
  EXPECT_EQ(prepared.error().detail(), needed);
}

}  // namespace
}  // namespace carrel
