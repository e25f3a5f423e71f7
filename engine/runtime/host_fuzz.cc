// A hostile host: the fuzzer's bytes are its replies and requests, against a valid sealed model.
// Whatever it does, the engine stays inside its memory, a session that saw a forgery is wiped and
// dead, and an output that the client accepts is the right one, bit for bit.
#include <memory>
#include <thread>

#include "engine/runtime/test_programs.h"
#include "engine/runtime/test_sandbox.h"
#include "engine/runtime/test_scripted_host.h"

namespace carrel::testing {
namespace {

// A model, sealed once, with what an honest run answers.
struct Scenario {
  Scenario(const TestProgram& program, uint32_t threads, uint64_t input_count);
  Request prepare() const {
    return {RequestKind::kPrepare, 0, {model.program_offsets[0], blob.size(), 0}};
  }

  uint32_t threads;
  CpuMask cpu = detect_cpu();
  std::vector<std::byte> blob;
  ProgramView view;
  TestModel model;
  SessionBoundary client{test_key(kSessionKeyFill), cpu};
  std::vector<std::byte> session_program;
  std::vector<float> input, output;
  BoundaryTensor input_tensor, output_tensor;
};

bool all_zero(std::span<const std::byte> bytes) {
  return bytes.empty() || (bytes[0] == std::byte{0} &&
                           std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0);
}

class FuzzedSession : public ScriptedHost {
 public:
  FuzzedSession(const Scenario& scenario, const ScriptedWorld& world, Script script)
      : ScriptedHost(world, script), scenario_(scenario), world_(world) {}

  // The last one that the client accepted.
  const std::vector<float>& output() const { return output_; }

 protected:
  void seal_inputs(uint64_t counter) override {
    CARREL_CHECK(
        scenario_.client.seal_input(scenario_.input_tensor, counter, scenario_.input, world_.area)
            .ok());
  }
  uint64_t put_session_program() override {
    std::ranges::copy(scenario_.session_program, world_.area.begin());
    return scenario_.blob.size();
  }
  void on_reply(const Request& request, const Reply& reply) override {
    CARREL_CHECK(std::memchr(reply.message, 0, sizeof(reply.message)) != nullptr);
    CARREL_CHECK(reply.error_code <= static_cast<uint32_t>(ErrorCode::kCancelled));
    CARREL_CHECK(reply.stats.peak_trusted_bytes <= scenario_.view.header->planned_peak_bytes);
    CARREL_CHECK(!dead_ || reply.ok == 0 || request.kind == RequestKind::kClose);
    if (reply.ok == 0 && reply.error_code == static_cast<uint32_t>(ErrorCode::kAuthentication)) {
      dead_ = true;
      CARREL_CHECK(all_zero(world_.trusted));
    }
    if (reply.ok == 0 || request.kind != RequestKind::kRun) return;
    // A counter used twice would be a nonce used twice.
    CARREL_CHECK(!any_run_ || request.args[0] > last_counter_);
    any_run_ = true;
    last_counter_ = request.args[0];
    check_output(request.args[0]);
  }

 private:
  void check_output(uint64_t counter) {
    std::vector<float> values(scenario_.output_tensor.element_count);
    if (!scenario_.client.open_output(scenario_.output_tensor, counter, world_.area, values).ok())
      return;
    CARREL_CHECK(scenario_.output.empty() ||
                 std::memcmp(values.data(), scenario_.output.data(), values.size() * 4) == 0);
    output_ = values;
  }

  const Scenario& scenario_;
  ScriptedWorld world_;
  bool dead_ = false;
  bool any_run_ = false;
  uint64_t last_counter_ = 0;
  std::vector<float> output_;
};

struct HostManner {
  bool mapped = true;
  bool wakes = true;
};

// One session from start to end; returns the last output that the client accepted.
std::vector<float> play(const Scenario& scenario, HostManner manner, Script script) {
  const ProgramHeader& header = *scenario.view.header;
  const AlignedBytes block(header.planned_peak_bytes - runtime_reserve_bytes(scenario.threads));
  const AlignedBytes area(std::max<uint64_t>(header.store_bytes, scenario.session_program.size()));
  const AlignedBytes model(scenario.model.file.size());
  std::ranges::copy(scenario.model.file, model.span().begin());
  FuzzedSession host(
      scenario,
      {model.span(), area.span(), block.span(), manner.mapped, manner.wakes, scenario.prepare()},
      script);
  auto engine = std::make_unique<Engine>();
  SessionSecrets secrets = test_secrets();
  const EngineConfig config{block.span(), scenario.threads, scenario.cpu, &host};
  if (Engine::open(&host, config, &secrets, engine.get()).ok()) {
    std::vector<std::thread> workers;
    for (uint32_t i = 1; i < scenario.threads; ++i) {
      workers.emplace_back([&engine, i] { engine->worker_loop(i); });
    }
    serve(engine.get());
    for (std::thread& worker : workers) worker.join();
  }
  engine.reset();
  CARREL_CHECK(all_zero(block.span()));
  return host.output();
}

Scenario::Scenario(const TestProgram& program, uint32_t thread_count, uint64_t input_count)
    : threads(thread_count),
      blob(program.blob(threads, isa_level(cpu))),
      view(*parse_program(blob)),
      model(seal_model(program, {blob}, test_key(kModelKeyFill))),
      session_program(blob.size() + kTagBytes),
      input(random_floats(input_count, 3)),
      input_tensor(*boundary_tensor(view, 0)),
      output_tensor(*boundary_tensor(view, 1)) {
  CARREL_CHECK(
      seal_session_program(test_key(kSessionKeyFill), cpu, model.id, blob, session_program).ok());
  // Prepare and one run, honest: model_bytes, model_map, then a request each with its replies.
  std::byte honest[64] = {};
  std::ranges::fill(honest, std::byte{0x10});
  output = play(*this, {}, Script(honest));
  CARREL_CHECK(!output.empty());
}

ConvNetOptions small_spilling_net() {
  ConvNetOptions o;
  o.in_channels = 3, o.out_channels = 5, o.height = 6, o.width = 5;
  o.spill = true;
  return o;
}

Scenario make_scenario(uint32_t which) {
  uint64_t input_count = 0;
  if (which == 2) {
    const TestProgram program = many_operators(&input_count);
    return Scenario(program, 1, input_count);
  }
  ConvNetOptions options = small_spilling_net();
  if (which == 1) {
    // Enough filters for several tiles, so that both threads have some.
    options.out_channels = 70;
  }
  const ConvNet net = make_conv_net(options);
  return Scenario(net.program, which == 1 ? 2 : 1, net.input_count);
}

}  // namespace
}  // namespace carrel::testing

// First byte: bit 0, the model is mapped; bits 1 to 3, which network; bit 4, sleepers are never
// woken.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace carrel::testing;
  static const Scenario scenarios[] = {make_scenario(0), make_scenario(1), make_scenario(2)};
  // Threads cost a switch per step: seldom.
  constexpr uint8_t kScenario[] = {0, 1, 2, 0, 0, 2, 0, 2};
  if (size == 0) return 0;
  const HostManner manner{(data[0] & 1) != 0, (data[0] & 16) == 0};
  const Script script(std::as_bytes(std::span(data, size).subspan(1)));
  (void)play(scenarios[kScenario[data[0] >> 1 & 7]], manner, script);
  return 0;
}
