#include "he/client/session.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <thread>

#include "he/client/client.h"
#include "he/plan/client_plan.h"

namespace carrel::he {
namespace {

// A few frames wait for a free thread; further ones wait in the connection.
class Workers {
 public:
  struct Job {
    size_t layer = 0;
    Client::Place place;
    std::vector<std::byte> payload;
  };

  // A failure ends the connection, so that nobody waits for more.
  Workers(Client* client, const Client::Send& send, size_t polynomial_bytes, Connection* connection)
      : client_(*client), send_(send), bytes_(polynomial_bytes), connection_(*connection) {
    for (uint32_t i = 0; i < client->threads(); ++i) threads_.emplace_back([this, i] { work(i); });
  }
  ~Workers() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      closing_ = true;
    }
    changed_.notify_all();
    for (std::thread& t : threads_) t.join();
  }
  Workers(const Workers&) = delete;

  // A job with a payload that has served, so that its memory is there.
  Job spare() {
    const std::lock_guard<std::mutex> lock(mutex_);
    Job job;
    if (spares_.empty()) return job;
    job.payload = std::move(spares_.back());
    spares_.pop_back();
    return job;
  }
  Status add(Job job) {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [&] { return jobs_.size() < 2 * threads_.size() || !status_.ok(); });
    CARREL_RETURN_IF_ERROR(status_);
    jobs_.push_back(std::move(job));
    changed_.notify_all();
    return ok_status();
  }
  // What went wrong first: with a worker, or what the caller saw.
  Status failure(const Status& seen) {
    const std::lock_guard<std::mutex> lock(mutex_);
    return status_.ok() ? seen : status_;
  }
  // Until nothing is left to do.
  Status wait() {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [&] { return (jobs_.empty() && busy_ == 0) || !status_.ok(); });
    return status_;
  }

 private:
  void work(uint32_t index) {
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      changed_.wait(lock, [&] { return closing_ || !jobs_.empty(); });
      if (closing_) return;
      Job job = std::move(jobs_.front());
      jobs_.pop_front();
      ++busy_;
      lock.unlock();
      const std::byte* a = job.payload.data();
      const Status status = client_.take(job.layer, job.place, a, a + job.place.count * bytes_, index, send_);
      lock.lock();
      --busy_;
      spares_.push_back(std::move(job.payload));
      if (!status.ok() && status_.ok()) {
        status_ = status;
        connection_.stop();
      }
      changed_.notify_all();
    }
  }

  Client& client_;
  const Client::Send& send_;
  size_t bytes_;
  Connection& connection_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Job> jobs_;
  std::vector<std::vector<std::byte>> spares_;
  uint32_t busy_ = 0;
  bool closing_ = false;
  Status status_ = ok_status();
  std::vector<std::thread> threads_;
};

class Session {
 public:
  Session(const ClientOptions& options, Connection* connection) : options_(options), connection_(*connection) {}

  Result<ClientAnswer> run(const std::function<Result<Batch>(const Network&)>& load,
                           const std::function<void(uint64_t, uint64_t)>& progress) {
    const auto start = std::chrono::steady_clock::now();
    Result<ClientAnswer> answer = exchange(load, progress);
    if (!answer.ok()) {
      connection_.send_failure("the client stops");  // not why: that may depend on what was decrypted
      connection_.stop();
      return answer;
    }
    answer->seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    return answer;
  }

 private:
  const Network& net() const { return plan_.network; }

  Result<ClientAnswer> exchange(const std::function<Result<Batch>(const Network&)>& load,
                                const std::function<void(uint64_t, uint64_t)>& progress) {
    CARREL_RETURN_IF_ERROR(greet());
    CARREL_ASSIGN(const Batch batch, load(net()));
    CARREL_ASSIGN(const auto client, Client::make(net(), plan_.scaling, batch.images, options_.cpu, options_.threads));
    const std::span<const std::byte> seed = std::as_bytes(std::span(&client->seed(), 1));
    CARREL_RETURN_IF_ERROR(connection_.send({FrameType::kSeed, 0, {}}, seed));
    const Client::Send send = [this](TensorId t, uint32_t y, uint32_t x, uint32_t c, uint32_t n, const std::byte* b) {
      return connection_.send({FrameType::kFresh, 0, {static_cast<uint32_t>(t), y, x, c, n}}, {b, n * plan_.scaling.ring.polynomial_bytes()});
    };
    CARREL_RETURN_IF_ERROR(send_inputs(client.get(), batch.inputs, send));
    CARREL_RETURN_IF_ERROR(receive_results(client.get(), send, progress));
    ClientAnswer answer{net().output_names, net().output_shapes, {}, 0, expected_};
    for (size_t i = 0; i < answer.names.size(); ++i) answer.outputs.push_back(client->output(static_cast<int>(i)));
    return answer;
  }

  // The server's plan decides the ring, so the key comes after it.
  Status greet() {
    CARREL_RETURN_IF_ERROR(connection_.send({FrameType::kHello, 0, {kWireVersion}}, {}));
    std::vector<std::byte> payload;
    CARREL_ASSIGN(const FrameHeader header, connection_.receive(&payload));
    if (header.type != FrameType::kPlan) return Error(ErrorCode::kInvalidInput, "the server did not send a plan");
    CARREL_ASSIGN(plan_, parse_client_plan({reinterpret_cast<const char*>(payload.data()), payload.size()}));
    return ok_status();
  }

  Status send_inputs(Client* client, const std::vector<std::span<const float>>& inputs, const Client::Send& send) {
    size_t count = 0;
    for (const TensorInfo& t : net().tensors) count += t.input >= 0;
    if (count != inputs.size()) return Error(ErrorCode::kInvalidInput, "the network has %zu inputs, not %zu", count, inputs.size());
    for (const TensorInfo& t : net().tensors) {
      if (t.input < 0) continue;
      if (static_cast<size_t>(t.input) >= count) return Error(ErrorCode::kInvalidInput, "the server's plan: an input");
      for (uint32_t y = 0; y < t.shape.height; ++y) {
        CARREL_RETURN_IF_ERROR(client->send_input(t.input, inputs[static_cast<size_t>(t.input)], y, send));
      }
    }
    return ok_status();
  }

  Status receive_results(Client* client, const Client::Send& send, const std::function<void(uint64_t, uint64_t)>& progress) {
    for (const Layer& layer : net().layers) expected_ += layer.out.count();
    Workers workers(client, send, plan_.scaling.ring.polynomial_bytes(), &connection_);
    uint64_t done = 0;
    std::vector<uint32_t> next_row(net().layers.size());
    std::vector<uint64_t> of_row(net().layers.size());  // ciphertexts
    while (done < expected_) {
      Workers::Job job = workers.spare();
      const Status received = receive_job(&job);
      if (!received.ok()) return workers.failure(received);
      const Layer& layer = net().layers[job.layer];
      const Client::Place place = job.place;
      const size_t index = job.layer;
      if (client->gathers(index) && place.y != next_row[index]) {
        return Error(ErrorCode::kInvalidInput, "%s: the server sent rows out of order", layer.name.c_str());
      }
      CARREL_RETURN_IF_ERROR(workers.add(std::move(job)));
      done += place.count;
      progress(done, expected_);
      if (!client->gathers(index)) continue;
      of_row[index] += place.count;
      if (of_row[index] < uint64_t{layer.out.width} * layer.out.channels) continue;
      of_row[index] = 0;
      ++next_row[index];
      CARREL_RETURN_IF_ERROR(workers.wait());
      CARREL_RETURN_IF_ERROR(client->finish_row(index, place.y, send));
    }
    return workers.wait();
  }

  Status receive_job(Workers::Job* job) {
    CARREL_ASSIGN(const FrameHeader header, connection_.receive(&job->payload));
    const uint32_t* f = header.fields;
    const bool fits = header.type == FrameType::kResult && f[0] < net().layers.size() && f[4] > 0 &&
                      job->payload.size() == uint64_t{2} * f[4] * plan_.scaling.ring.polynomial_bytes();
    if (!fits) return Error(ErrorCode::kInvalidInput, "the server sent a frame out of turn");
    job->layer = f[0];
    job->place = {f[1], f[2], f[3], f[4]};
    return ok_status();
  }

  ClientOptions options_;
  Connection& connection_;
  ClientPlan plan_;
  uint64_t expected_ = 0;
};

}  // namespace

Result<ClientAnswer> infer_batch(const std::function<Result<Batch>(const Network&)>& load, const ClientOptions& options,
                                 Connection* connection, const std::function<void(uint64_t done, uint64_t all)>& progress) {
  return Session(options, connection).run(load, progress);
}

}  // namespace carrel::he
