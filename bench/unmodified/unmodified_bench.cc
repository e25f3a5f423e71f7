// The unmodified engine (baseline/) in plain memory: what it needs, and the time of each layer.
//
//   bench_unmodified MODEL.carrel KEY_FILE [THREADS [RUNS]]
#include <sys/mman.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <random>

#include "apps/common/clock.h"
#include "base/bytes.h"
#include "base/wipe.h"
#include "baseline/unmodified.h"
#include "client/keys.h"

namespace carrel {
namespace {

Tensor noise(const Shape& shape) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  Tensor t = Tensor::zeros(DType::kF32, shape);
  for (float& v : t.f32()) v = normal(random);
  return t;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// Times of every layer and of the whole, by run.
struct Times {
  std::vector<std::vector<double>> layers;
  std::vector<double> runs;
};

Status measure(UnmodifiedEngine& engine, int runs, Times* times) {
  std::vector<Tensor> inputs;
  for (const auto& input : engine.inputs()) inputs.push_back(noise(input.shape));
  times->layers.resize(engine.layers().size());
  for (int r = 0; r <= runs; ++r) {  // the first warms up
    std::vector<double> starts;
    const double begin = now_ms();
    CARREL_ASSIGN(const std::vector<Tensor> outputs,
                  engine.run(inputs, [&](uint32_t) { starts.push_back(now_ms()); }));
    starts.push_back(now_ms());
    if (r == 0) continue;
    times->runs.push_back(starts.back() - begin);
    for (size_t i = 0; i + 1 < starts.size(); ++i)
      times->layers[i].push_back(starts[i + 1] - starts[i]);
  }
  return ok_status();
}

void report(const UnmodifiedEngine& engine, const Times& times) {
  for (size_t i = 0; i < times.layers.size(); ++i)
    std::printf("%9.3f ms  %s\n", median(times.layers[i]), engine.layers()[i].c_str());
  uint64_t bytes[3] = {};
  for (const Place& place : engine.places()) {
    uint64_t& of_kind = bytes[static_cast<int>(place.kind)];
    of_kind = place.kind == PlaceKind::kActivation ? std::max(of_kind, place.offset + place.bytes)
                                                   : of_kind + place.bytes;
  }
  char all[32], weights[32], workspace[32];
  std::printf("memory %s: weights %s, workspace %s\n", format_bytes(engine.memory_bytes(), all),
              format_bytes(bytes[0], weights), format_bytes(bytes[2], workspace));
  std::printf("median of %zu runs %.2f ms, least %.2f ms\n", times.runs.size(), median(times.runs),
              *std::min_element(times.runs.begin(), times.runs.end()));
}

Status bench(const char* model, const char* key_file, uint32_t threads, int runs) {
  CARREL_ASSIGN(LoadedKey key, read_key_file(key_file));
  const auto engine = UnmodifiedEngine::open(model, key.key, threads);
  wipe(&key, sizeof(key));
  if (!engine.ok()) return engine.error();
  UnmodifiedEngine& unmodified = **engine;
  void* memory = mmap(nullptr, unmodified.memory_bytes(), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return Error(ErrorCode::kIo, "no memory");
  const double begin = now_ms();
  CARREL_RETURN_IF_ERROR(
      unmodified.load({static_cast<std::byte*>(memory), unmodified.memory_bytes()}));
  std::printf("load %.1f ms\n", now_ms() - begin);
  Times times;
  CARREL_RETURN_IF_ERROR(measure(unmodified, runs, &times));
  report(unmodified, times);
  return ok_status();
}

}  // namespace
}  // namespace carrel

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: bench_unmodified MODEL.carrel KEY_FILE [THREADS [RUNS]]\n");
    return 2;
  }
  const auto number = [&](int i, int otherwise) {
    return argc > i ? std::max(1, std::atoi(argv[i])) : otherwise;
  };
  const carrel::Status status =
      carrel::bench(argv[1], argv[2], static_cast<uint32_t>(number(3, 1)), number(4, 9));
  if (!status.ok()) std::fprintf(stderr, "bench_unmodified: %s\n", status.error().message());
  return status.ok() ? 0 : 1;
}
