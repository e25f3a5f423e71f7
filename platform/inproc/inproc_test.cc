#include "platform/inproc/inproc.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "engine/runtime/test_programs.h"
#include "engine/runtime/test_session.h"

namespace carrel::testing {
namespace {

class ModelFile : public ::testing::Test {
 protected:
  ModelFile()
      : net_(make_conv_net({})),
        blob_(net_.program.blob(2, isa_level(detect_cpu()))),
        view_(*parse_program(blob_)),
        model_(seal_model(net_.program, {blob_}, test_key(kModelKeyFill))) {
    const int fd = mkstemp(path_);
    EXPECT_EQ(write(fd, model_.file.data(), model_.file.size()), static_cast<ssize_t>(model_.file.size()));
    close(fd);
    options_.session.model_path = path_;
    options_.session.budget_bytes = view_.header->planned_peak_bytes;
    options_.session.threads = 2;
    options_.session.cpu = detect_cpu();
    options_.session.shared_bytes = view_.header->store_bytes;
  }
  ~ModelFile() override { unlink(path_); }

  static Status deliver(int fd) { return deliver_secrets(fd, test_secrets()); }
  Status prepare(TrustedSession& session) {
    return session.prepare_sealed(model_.program_offsets[0], model_.program_bytes[0], 0);
  }

  char path_[32] = "/tmp/carrel_inproc_XXXXXX";
  ConvNet net_;
  std::vector<std::byte> blob_;
  ProgramView view_;
  TestModel model_;
  InprocOptions options_;
};

TEST_F(ModelFile, RunsFromAFile) {
  auto session = open_inproc_session(options_, deliver);
  ASSERT_TRUE(session.ok()) << session.error().message();
  ASSERT_TRUE(prepare(**session).ok());
  const SessionBoundary client(test_key(kSessionKeyFill), detect_cpu());
  const std::vector<float> input = random_floats(net_.input_count, 1);
  ASSERT_TRUE(client.seal_input(*boundary_tensor(view_, 0), 1, input, (*session)->shared_area()).ok());
  const auto stats = (*session)->run(1);
  ASSERT_TRUE(stats.ok()) << stats.error().message();
  EXPECT_EQ(stats->peak_trusted_bytes, view_.header->planned_peak_bytes);
  std::vector<float> output(net_.output_count);
  EXPECT_TRUE(client.open_output(*boundary_tensor(view_, 1), 1, (*session)->shared_area(), output).ok());
}

TEST_F(ModelFile, FileThatShrinksEndsTheSession) {
  auto session = open_inproc_session(options_, deliver);
  ASSERT_TRUE(session.ok());
  ASSERT_TRUE(prepare(**session).ok());
  const SessionBoundary client(test_key(kSessionKeyFill), detect_cpu());
  const std::vector<float> input = random_floats(net_.input_count, 1);
  ASSERT_TRUE(client.seal_input(*boundary_tensor(view_, 0), 1, input, (*session)->shared_area()).ok());
  ASSERT_EQ(truncate(path_, 5000), 0);
  const auto stats = (*session)->run(1);
  ASSERT_FALSE(stats.ok());
  EXPECT_EQ(stats.error().code(), ErrorCode::kAuthentication);
  EXPECT_FALSE((*session)->run(2).ok());
}

TEST_F(ModelFile, MissingFile) {
  options_.session.model_path = "/nonexistent/model.carrel";
  const auto session = open_inproc_session(options_, deliver);
  ASSERT_FALSE(session.ok());
  EXPECT_EQ(session.error().code(), ErrorCode::kIo);
}

TEST_F(ModelFile, BudgetBelowTheEngine) {
  options_.session.budget_bytes = 1000;
  const auto session = open_inproc_session(options_, deliver);
  ASSERT_FALSE(session.ok());
  EXPECT_EQ(session.error().code(), ErrorCode::kBudgetTooSmall);
  // What it names is enough for an engine, if not for the program.
  options_.session.budget_bytes = session.error().detail();
  const auto enough = open_inproc_session(options_, deliver);
  EXPECT_TRUE(enough.ok()) << enough.error().message();
}

TEST_F(ModelFile, SecretsDoNotLeakIntoOtherPrograms) {
  int flags = 0;
  const auto session = open_inproc_session(options_, [&flags](int fd) {
    flags = fcntl(fd, F_GETFD);
    return deliver(fd);
  });
  ASSERT_TRUE(session.ok()) << session.error().message();
  EXPECT_TRUE(flags & FD_CLOEXEC);
}

TEST_F(ModelFile, ClientThatDeliversNothing) {
  const auto silent = open_inproc_session(options_, [](int) { return ok_status(); });
  ASSERT_FALSE(silent.ok());
  EXPECT_EQ(silent.error().code(), ErrorCode::kPlatform);
  const auto failing = open_inproc_session(options_, [](int) -> Status { return Error(ErrorCode::kCancelled, "no"); });
  ASSERT_FALSE(failing.ok());
  EXPECT_EQ(failing.error().code(), ErrorCode::kCancelled);
}

TEST_F(ModelFile, SharedAreaSmallerThanTheProgramNeeds) {
  options_.session.shared_bytes = 64;
  auto session = open_inproc_session(options_, deliver);
  ASSERT_TRUE(session.ok());
  const Status prepared = prepare(**session);
  ASSERT_FALSE(prepared.ok());
  EXPECT_EQ(prepared.error().code(), ErrorCode::kPlatform);
  // As on every platform, such an error is the last.
  const Status again = prepare(**session);
  ASSERT_FALSE(again.ok());
  EXPECT_NE(std::string(again.error().message()).find("ended"), std::string::npos) << again.error().message();
}

TEST(Boundary, RefusesWrongSizesAndDirections) {
  const ConvNet net = make_conv_net({});
  TestSession session(net.program, {});
  ASSERT_TRUE(session.opened());
  const BoundaryTensor input = *boundary_tensor(session.view(), 0);
  const BoundaryTensor output = *boundary_tensor(session.view(), 1);
  std::vector<float> values(net.input_count);
  const std::span<std::byte> area = session.session().shared_area();
  EXPECT_TRUE(session.client().seal_input(input, 1, values, area).ok());
  EXPECT_FALSE(session.client().seal_input(input, 1, std::span(values).subspan(1), area).ok());
  EXPECT_FALSE(session.client().seal_input(input, 1, values, area.first(100)).ok());
  EXPECT_FALSE(session.client().seal_input(output, 1, values, area).ok());
  EXPECT_FALSE(session.client().open_output(input, 1, area, values).ok());
  EXPECT_FALSE(boundary_tensor(session.view(), 2).ok());
}

}  // namespace
}  // namespace carrel::testing
