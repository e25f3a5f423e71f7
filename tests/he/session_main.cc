// Client and server over a connection, and what they do with peers that break the rules.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <random>
#include <thread>

#include "compiler/eval/eval.h"
#include "compiler/graph/patch.h"
#include "compiler/zoo/zoo.h"
#include "he/client/session.h"
#include "he/plan/client_plan.h"
#include "he/ring/sampler.h"
#include "he/server/session.h"

namespace carrel::he {
namespace {

constexpr uint32_t kImages = 3;

class SessionTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    const auto made = make_zoo_model({"mobilenetv1", 1, 0.25, 32});
    ASSERT_TRUE(made.ok());
    auto graph = optimize(*made, eval_node);
    ASSERT_TRUE(graph.ok());
    Shape shape = graph->value(graph->inputs[0]).shape;
    shape[0] = kImages;
    input_ = Tensor::zeros(DType::kF32, shape);
    std::mt19937 random(1);
    std::normal_distribution<float> number;
    for (float& x : input_.f32()) x = number(random);
    expected_ = (*eval_batch(*graph, {input_}))[0];
    network_ = *cut_network(*graph);
    const Ranges ranges = *measure_ranges(network_, {input_});
    scaling_ = *choose_scales(network_, ranges, {2048, 32});
  }

  void SetUp() override { listener_ = std::move(*listen_on("127.0.0.1:0")); }

  // The server's end of what `client` does with the other.
  template <typename ClientTask>
  Result<ServerReport> serve(ClientTask client) {
    const std::string address = *address_of(listener_);
    std::thread other([&] {
      Connection connection(*connect_to(address));
      client(&connection);
    });
    Connection connection(*accept_one(listener_, 10));
    const Result<ServerReport> report = serve_batch(network_, scaling_, {detect_cpu(), 2}, &connection, [](uint64_t, uint64_t) {});
    connection.stop();
    other.join();
    return report;
  }
  // The client's end of what `server` does with the other.
  template <typename ServerTask>
  Result<ClientAnswer> infer(ServerTask server) {
    const std::string address = *address_of(listener_);
    std::thread other([&] {
      Connection connection(*accept_one(listener_, 10));
      server(&connection);
      connection.stop();
    });
    Connection connection(*connect_to(address));
    const Result<ClientAnswer> answer = infer_batch([](const Network&) { return batch(); }, {detect_cpu(), 2}, &connection, [](uint64_t, uint64_t) {});
    connection.stop();
    other.join();
    return answer;
  }
  static Result<Batch> batch() { return Batch{{input_.f32()}, kImages}; }
  static Status send_text(Connection* connection, FrameType type, const std::string& text) {
    return connection->send({type, 0, {kWireVersion}}, std::as_bytes(std::span(text)));
  }
  static void greet(Connection* connection, const StreamKey& seed = {}) {
    std::vector<std::byte> payload;
    ASSERT_TRUE(connection->send({FrameType::kHello, 0, {kWireVersion}}, {}).ok());
    ASSERT_TRUE(connection->receive(&payload).ok());
    ASSERT_TRUE(connection->send({FrameType::kSeed, 0, {}}, std::as_bytes(std::span(&seed, 1))).ok());
  }
  // A well-behaved beginning of a server.
  static void answer_hello(Connection* connection) {
    std::vector<std::byte> payload;
    ASSERT_TRUE(connection->receive(&payload).ok());
    ASSERT_TRUE(send_text(connection, FrameType::kPlan, encode_client_plan(network_, scaling_)).ok());
    ASSERT_TRUE(connection->receive(&payload).ok());
  }

  static inline Tensor input_, expected_;
  static inline Network network_;
  static inline Scaling scaling_;
  Descriptor listener_;
};

TEST_F(SessionTest, AnswersAsThePlainNetwork) {
  Result<ClientAnswer> answer = Error(ErrorCode::kIo, "never ran");
  const auto report = serve([&](Connection* connection) {
    answer = infer_batch([](const Network&) { return batch(); }, {detect_cpu(), 2}, connection, [](uint64_t, uint64_t) {});
  });
  ASSERT_TRUE(report.ok()) << report.error().message();
  ASSERT_TRUE(answer.ok()) << answer.error().message();
  const std::span<const float> expected = expected_.f32();
  ASSERT_EQ(answer->outputs[0].size(), expected.size());
  double difference = 0, square = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    const double off = answer->outputs[0][i] - expected[i];
    difference += off * off;
    square += static_cast<double>(expected[i]) * expected[i];
  }
  EXPECT_LT(std::sqrt(difference / square), 0.02);
}

TEST_F(SessionTest, ServersRefuseWhatIsNotAClient) {
  const std::vector<std::function<void(Connection*)>> clients = {
      [](Connection*) {},  // leaves at once
      [](Connection* c) { (void)c->send({FrameType::kEnd, 0, {}}, {}); },
      [](Connection* c) { (void)c->send({FrameType::kHello, 0, {kWireVersion + 1}}, {}); },
      [](Connection* c) {
        (void)c->send({FrameType::kHello, 0, {kWireVersion}}, {});
        (void)send_text(c, FrameType::kSeed, "too short");
      },
      [](Connection* c) {  // a row that no tensor has
        greet(c);
        const std::vector<std::byte> b(scaling_.ring.polynomial_bytes());
        (void)c->send({FrameType::kFresh, 0, {0, 1u << 30, 0, 0, 1}}, b);
      },
      [](Connection* c) {  // the same twice
        greet(c);
        const std::vector<std::byte> b(scaling_.ring.polynomial_bytes());
        for (int i = 0; i < 2; ++i) (void)c->send({FrameType::kFresh, 0, {0, 0, 0, 0, 1}}, b);
      },
      [](Connection* c) {  // counts that overflow
        greet(c);
        const std::vector<std::byte> b(scaling_.ring.polynomial_bytes());
        (void)c->send({FrameType::kFresh, 0, {0, 0, 0, 2, UINT32_MAX}}, b);
      },
      [](Connection* c) {  // half a polynomial
        greet(c);
        (void)c->send({FrameType::kFresh, 0, {0, 0, 0, 0, 1}}, std::vector<std::byte>(100));
      },
  };
  for (size_t i = 0; i < clients.size(); ++i) {
    const auto report = serve(clients[i]);
    EXPECT_FALSE(report.ok()) << "client " << i;
  }
}

TEST_F(SessionTest, ClientsRefuseWhatIsNotAServer) {
  const auto good = [](Connection* c) { answer_hello(c); };
  const size_t bytes = scaling_.ring.polynomial_bytes();
  const std::vector<std::byte> pair(2 * bytes);
  const std::vector<std::function<void(Connection*)>> servers = {
      [](Connection*) {},
      [](Connection* c) { (void)send_text(c, FrameType::kPlan, "{}"); },
      [](Connection* c) { (void)send_text(c, FrameType::kPlan, "not JSON"); },
      [](Connection* c) { (void)send_text(c, FrameType::kEnd, ""); },
      [&](Connection* c) {  // no such layer
        good(c);
        (void)c->send({FrameType::kResult, 0, {UINT32_MAX, 0, 0, 0, 1}}, pair);
      },
      [&](Connection* c) {  // no such place
        good(c);
        (void)c->send({FrameType::kResult, 0, {0, 0, 1u << 20, 0, 1}}, pair);
      },
      [&](Connection* c) {  // the same twice: its answer would be under an id that served
        good(c);
        for (int i = 0; i < 2; ++i) (void)c->send({FrameType::kResult, 0, {0, 0, 0, 0, 1}}, pair);
        std::vector<std::byte> payload;
        while (c->receive(&payload).ok()) continue;
      },
      [&](Connection* c) {  // a payload of another size
        good(c);
        (void)c->send({FrameType::kResult, 0, {0, 0, 0, 0, 2}}, pair);
      },
      [&](Connection* c) {  // gives up
        good(c);
        c->send_failure("out of \x1b[31m memory");
      },
  };
  for (size_t i = 0; i < servers.size(); ++i) {
    const auto answer = infer(servers[i]);
    ASSERT_FALSE(answer.ok()) << "server " << i;
    EXPECT_EQ(std::strchr(answer.error().message(), '\x1b'), nullptr);
  }
}

TEST_F(SessionTest, PlansComeBackAsTheyWere) {
  const std::string text = encode_client_plan(network_, scaling_);
  const auto plan = parse_client_plan(text);
  ASSERT_TRUE(plan.ok()) << plan.error().message();
  EXPECT_EQ(encode_client_plan(plan->network, plan->scaling), text);
  // Any change of one character gives an error or another plan that is sound: no crash.
  std::mt19937 random(2);
  for (int i = 0; i < 300; ++i) {
    std::string changed = text;
    changed[random() % changed.size()] = static_cast<char>(' ' + random() % 95);
    const auto other = parse_client_plan(changed);
    if (other.ok()) continue;
    EXPECT_EQ(other.error().code(), ErrorCode::kInvalidInput);
  }
}

// Each would make the client read or encrypt what it must not.
TEST_F(SessionTest, PlansThatContradictThemselvesAreRefused) {
  Network two_inputs = network_;
  two_inputs.tensors[1].input = 0;
  Network gap = network_;
  gap.tensors[0].input = 1;
  Network no_output = network_;
  no_output.layers.back().output = -1;
  Network twice = network_;
  twice.layers[1].target = twice.layers[0].target;
  for (const Network& wrong : {two_inputs, gap, no_output, twice}) {
    EXPECT_FALSE(parse_client_plan(encode_client_plan(wrong, scaling_)).ok());
  }
}

}  // namespace
}  // namespace carrel::he
