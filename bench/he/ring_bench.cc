// Ring arithmetic on one thread: transforms, products of ciphertexts with integer weights, samplers. Each instruction set checks
// its result against the generic one before it is timed.
#include <benchmark/benchmark.h>

#include <random>

#include "he/client/key.h"
#include "he/ring/ntt_kernels.h"
#include "he/ring/product.h"
#include "he/ring/sampler.h"

namespace carrel::he {
namespace {

struct Isa {
  const char* name;
  CpuMask mask;
};
const Isa kIsas[] = {{"generic", kCpuGeneric},
                     {"avx2", kCpuAvx2},
                     {"avx512", kCpuAvx2 | kCpuAvx512},
                     {"vnni", kCpuAvx2 | kCpuAvx512 | kCpuVnni},
                     {"ifma", kCpuAvx2 | kCpuAvx512 | kCpuIfma}};

void ntt(benchmark::State& state, CpuMask mask, bool forward) {
  const uint32_t degree = static_cast<uint32_t>(state.range(0));
  const uint64_t p = *ntt_prime(50, degree);
  const NttTables tables(degree, p, mask);
  std::vector<uint64_t> values(degree), before;
  std::mt19937_64 random(1);
  for (uint64_t& v : values) v = random() % p;
  before = values;
  tables.forward(values.data());
  tables.inverse(values.data());
  if (values != before) return state.SkipWithError("wrong");
  for (auto _ : state) {
    if (forward) tables.forward(values.data());
    else tables.inverse(values.data());
    benchmark::ClobberMemory();
  }
}

// A 1 x 1 convolution of one pixel.
template <class T>
struct Product {
  static constexpr bool kNarrow = sizeof(T) == 4;
  static constexpr uint32_t kDegree = 2048;
  uint32_t channels, outputs;
  std::vector<std::byte> pixel;
  std::vector<T> weights;
  std::vector<std::vector<T>> out;
  std::vector<void*> outs;
  Tap tap;

  Product(uint32_t in, uint32_t out_count) : channels(in), outputs(out_count) {
    std::mt19937_64 random(2);
    pixel.resize((kNarrow ? packed_bytes32(kDegree, in) : packed_bytes52(kDegree, in)));
    for (size_t i = 0; i < pixel.size(); i += 8) {
      const uint64_t x = kNarrow ? random() : random() & kMask52;
      __builtin_memcpy(&pixel[i], &x, 8);
    }
    const uint32_t blocks = (out_count + kOutputs - 1) / kOutputs;
    weights.resize(size_t{blocks} * kOutputs * (kNarrow ? pairs_of(in) : in));
    for (T& w : weights) w = static_cast<T>(random() & (kNarrow ? ~uint64_t{0} : kMask52));
    out.assign(out_count, std::vector<T>(kDegree));
    for (auto& o : out) outs.push_back(o.data());
    tap = {pixel.data(), 0};
  }
  void run(CpuMask mask) {
    const uint32_t pairs = kNarrow ? pairs_of(channels) : channels;
    const ProductCall call{&tap, 1, pairs, weights.data(), pairs, outputs, nullptr, outs.data(), kDegree};
    if (kNarrow) product_kernels(mask).product32(call);
    else product_kernels(mask).product52(call);
  }
};

template <class T>
void product(benchmark::State& state, CpuMask mask) {
  Product<T> p(static_cast<uint32_t>(state.range(0)), static_cast<uint32_t>(state.range(1)));
  p.run(kCpuGeneric);
  const auto expected = p.out;
  p.run(mask);
  if (p.out != expected) return state.SkipWithError("wrong");
  for (auto _ : state) {
    p.run(mask);
    benchmark::ClobberMemory();
  }
  const double macs = static_cast<double>(state.iterations()) * p.channels * p.outputs * p.kDegree;
  state.counters["residue_macs"] = benchmark::Counter(macs, benchmark::Counter::kIsRate);
}

void uniform(benchmark::State& state) {
  Streams streams(StreamKey{{1}});
  std::vector<uint32_t> out(2048);
  uint64_t i = 0;
  for (auto _ : state) streams.uniform(i++, out);
  state.SetBytesProcessed(state.iterations() * 8192);
}

void noise(benchmark::State& state) {
  Streams streams(StreamKey{{1}});
  std::vector<uint32_t> out(2048), words(4096);
  const CoefficientKernels& kernels = coefficient_kernels(detect_cpu());
  uint64_t i = 0;
  for (auto _ : state) {
    streams.uniform(i++, words);
    kernels.add_noise32(out.data(), words.data(), 2048);
  }
}

// What a client does with one ciphertext between two layers: decrypt, Relu, encrypt.
void refresh(benchmark::State& state) {
  const uint32_t bits = static_cast<uint32_t>(state.range(0));
  const auto key = ClientKey::make({2048, bits}, detect_cpu());
  if (!key.ok()) return state.SkipWithError(key.error().message());
  KeyUser user(**key);
  std::vector<float> values(2048, 1.5f);
  std::vector<uint64_t> a(2048), b(2048);
  uint64_t id = 0;
  for (auto _ : state) {
    user.encrypt(id++, values.data(), 1 << 14, b.data());
    user.decrypt(a.data(), b.data(), 1 << 14, values.data());
    for (float& v : values) v = v > 0 ? v : 0;
  }
}

void add_all() {
  for (const Isa& isa : kIsas) {
    if ((detect_cpu() & isa.mask) != isa.mask) continue;
    const std::string name = isa.name;
    benchmark::RegisterBenchmark(("product32/" + name).c_str(), product<uint32_t>, isa.mask)
        ->Args({64, 64})->Args({256, 64})->Args({576, 64})->Args({2048, 512});
    benchmark::RegisterBenchmark(("product52/" + name).c_str(), product<uint64_t>, isa.mask)->Args({64, 64})->Args({576, 64});
    for (const bool forward : {true, false}) {
      benchmark::RegisterBenchmark((std::string(forward ? "ntt_forward/" : "ntt_inverse/") + name).c_str(), ntt, isa.mask, forward)
          ->Arg(2048)->Arg(4096)->Arg(8192)->Arg(16384)->Arg(32768);
    }
  }
  benchmark::RegisterBenchmark("refresh", refresh)->Arg(32)->Arg(52);
  benchmark::RegisterBenchmark("uniform32", uniform);
  benchmark::RegisterBenchmark("noise", noise);
}

}  // namespace
}  // namespace carrel::he

int main(int argc, char** argv) {
  carrel::he::add_all();
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
}
