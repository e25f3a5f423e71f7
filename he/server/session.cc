#include "he/server/session.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <thread>

#include "he/plan/client_plan.h"
#include "he/server/rows.h"

namespace carrel::he {
namespace {

class Session {
 public:
  Session(const Network& network, const Scaling& scaling, const ServerOptions& options, Connection* connection)
      : net_(network), scaling_(scaling), options_(options), connection_(*connection), rows_(network, scaling.ring) {}

  Result<ServerReport> run(const std::function<void(uint64_t, uint64_t)>& progress) {
    CARREL_RETURN_IF_ERROR(greet());
    const auto start = std::chrono::steady_clock::now();
    std::thread reader([this] { read_rows(); });
    Status status = compute(progress);
    if (status.ok()) status = connection_.send({FrameType::kEnd, 0, {}}, {});
    else connection_.send_failure(status.error().message());
    if (!status.ok()) connection_.stop();
    reader.join();
    CARREL_RETURN_IF_ERROR(status);
    ServerReport report;
    report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    report.stored_bytes = rows_.most_bytes();
    report.residue_macs = macs();
    return report;
  }

 private:
  Status greet() {
    std::vector<std::byte> payload;
    CARREL_ASSIGN(const FrameHeader hello, connection_.receive(&payload));
    if (hello.type != FrameType::kHello) return refuse("the client did not say hello");
    if (hello.fields[0] != kWireVersion) return refuse("the client speaks another version of the protocol");
    const std::string plan = encode_client_plan(net_, scaling_);
    if (plan.size() > kMostPayloadBytes) return refuse("the network's plan is too large");
    CARREL_RETURN_IF_ERROR(connection_.send({FrameType::kPlan, 0, {}}, std::as_bytes(std::span(plan))));
    CARREL_ASSIGN(const FrameHeader seed, connection_.receive(&payload));
    if (seed.type != FrameType::kSeed || payload.size() != sizeof seed_) return refuse("the client did not send its seed");
    std::memcpy(&seed_, payload.data(), sizeof seed_);
    return ok_status();
  }
  Status refuse(const char* why) {
    connection_.send_failure(why);
    return Error(ErrorCode::kInvalidInput, "%s", why);
  }

  // What the client sends, until it closes.
  void read_rows() {
    std::vector<std::byte> payload;
    for (;;) {
      const Result<FrameHeader> header = connection_.receive(&payload);
      if (!header.ok()) return rows_.fail(header.error());
      if (header->type != FrameType::kFresh) return rows_.fail(Error(ErrorCode::kInvalidInput, "the client sent a frame out of turn"));
      const uint32_t* f = header->fields;
      const Status status = rows_.put(static_cast<TensorId>(f[0]), f[1], f[2], f[3], f[4], payload);
      if (!status.ok()) return rows_.fail(status.error());
    }
  }

  // The last layer that has all it needs runs a row: what has been made is used up before more is, and no tensor is ever held
  // whole. Layers run ahead only while the client is busy.
  Status compute(const std::function<void(uint64_t, uint64_t)>& progress) {
    Evaluator evaluator(net_, scaling_, seed_, options_.cpu, options_.threads);
    std::vector<uint32_t> next(net_.layers.size());
    uint64_t done = 0, all = 0;
    for (const Layer& layer : net_.layers) all += layer.out.height;
    while (done < all) {
      const uint64_t seen = rows_.arrivals();
      size_t l = net_.layers.size();
      while (l > 0 && !ready(l - 1, next[l - 1])) --l;
      if (l-- == 0) {
        CARREL_RETURN_IF_ERROR(rows_.wait_for_more(seen));
        continue;
      }
      const uint32_t y = next[l]++;
      CARREL_RETURN_IF_ERROR(evaluator.row(l, y, &rows_, [&](uint32_t x, const std::byte* a, const std::byte* b, uint32_t) {
        return send_column(l, y, x, a, b);
      }));
      progress(++done, all);
    }
    return ok_status();
  }

  bool ready(size_t l, uint32_t y) {
    const Layer& layer = net_.layers[l];
    if (y >= layer.out.height) return false;
    const Rows wanted = input_rows(net_, l, y);
    for (uint32_t in = wanted.end; in > wanted.begin; --in) {
      if (!rows_.has(layer.input, in - 1)) return false;
    }
    return layer.addend == kNoTensor || rows_.has(layer.addend, y);
  }

  Status send_column(size_t l, uint32_t y, uint32_t x, const std::byte* a, const std::byte* b) {
    const size_t bytes = scaling_.ring.polynomial_bytes();
    const uint32_t channels = net_.layers[l].out.channels;
    const uint32_t most = std::max<uint32_t>(1, static_cast<uint32_t>(kUsualPayloadBytes / (2 * bytes)));
    for (uint32_t c = 0; c < channels; c += most) {
      const uint32_t count = std::min(most, channels - c);
      CARREL_RETURN_IF_ERROR(connection_.send({FrameType::kResult, 0, {static_cast<uint32_t>(l), y, x, c, count}},
                                              {a + c * bytes, count * bytes}, {b + c * bytes, count * bytes}));
    }
    return ok_status();
  }

  // Of both polynomials.
  uint64_t macs() const {
    uint64_t sum = 0;
    for (const Layer& layer : net_.layers) {
      const uint64_t taps = layer.weights.size() / layer.out.channels + (layer.addend != kNoTensor);
      sum += 2 * layer.out.count() * taps * scaling_.ring.degree;
    }
    return sum;
  }

  const Network& net_;
  const Scaling& scaling_;
  ServerOptions options_;
  Connection& connection_;
  ArrivingRows rows_;
  StreamKey seed_ = {};
};

}  // namespace

Result<ServerReport> serve_batch(const Network& network, const Scaling& scaling, const ServerOptions& options, Connection* connection,
                                 const std::function<void(uint64_t done, uint64_t all)>& progress) {
  return Session(network, scaling, options, connection).run(progress);
}

}  // namespace carrel::he
