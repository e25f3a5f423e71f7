// Would an entropy coder pay for quantized weights? Prints, for 8 and 4 bits, how many bits a weight
// carries on average (order-0 entropy of the codes), the best ratio that such a coder could reach, and
// the speed at which it would have to decode to beat decryption alone: decryption speed / (1 - 1 / ratio).
//
//   bench_codec [--write PREFIX] [MODEL.onnx]...     --write: the codes as files, for `zstd -b1 -e19 FILE`
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include "compiler/eval/eval.h"
#include "compiler/onnx/onnx.h"
#include "compiler/seal/quantize.h"
#include "engine/crypto/gcm.h"
#include "engine/layout/dense.h"

namespace carrel {
namespace {

struct Rows {
  std::string name;
  size_t row = 0;  // weights of a filter
  std::vector<float> weights;
};

template <typename Distribution>
Rows synthetic(const char* name, Distribution distribution) {
  Rows rows{name, 4096, std::vector<float>(size_t{4096} * 512)};
  std::mt19937 random(9);
  for (float& w : rows.weights) w = static_cast<float>(distribution(random));
  return rows;
}

struct Laplace {
  std::exponential_distribution<double> magnitude{1.0};
  double operator()(std::mt19937& random) {
    return random() % 2 ? magnitude(random) : -magnitude(random);
  }
};

// Every filter of a trained network long enough for a scale of its own to be cheap.
std::vector<Rows> trained(const std::string& path) {
  ImportOptions options;
  options.fold = eval_node;
  std::vector<std::string> unsupported;
  const auto graph = import_onnx_file(path, options, &unsupported);
  std::vector<Rows> all;
  if (!graph.ok()) {
    std::fprintf(stderr, "%s: %s\n", path.c_str(), graph.error().message());
    return all;
  }
  for (const Value& value : graph->values) {
    if (!value.is_const() || value.type != DType::kF32 || value.shape.rank() < 2) continue;
    const size_t row = static_cast<size_t>(value.shape.count() / value.shape[0]);
    const std::span<const float> f = value.constant->f32();
    if (row >= 64) all.push_back({path, row, {f.begin(), f.end()}});
  }
  return all;
}

// Bits per code, from how often each occurs.
class Entropy {
 public:
  void add(const std::vector<int8_t>& codes, size_t row, size_t padded) {
    for (size_t i = 0; i < codes.size(); ++i) {
      if (i % padded < row) ++counts_[static_cast<uint8_t>(codes[i])], ++total_;
    }
  }
  double bits() const {
    double sum = 0;
    for (uint64_t count : counts_) {
      const double share = static_cast<double>(count) / static_cast<double>(total_);
      if (count > 0) sum -= share * std::log2(share);
    }
    return sum;
  }

 private:
  uint64_t counts_[256] = {}, total_ = 0;
};

// Bytes per second from memory that is not in any cache.
double decryption_speed() {
  constexpr size_t kBytes = size_t{256} << 20;
  const SecretKey key = {{1}};
  const Gcm gcm(key, detect_cpu());
  std::vector<std::byte> cipher(kBytes), plain(kDenseTileBytes);
  std::vector<std::byte> tags(kBytes / kDenseTileBytes * kTagBytes);
  for (size_t t = 0; t * kDenseTileBytes < kBytes; ++t) {
    gcm.seal(tile_nonce(t), {}, plain.data(), cipher.data() + t * kDenseTileBytes, kDenseTileBytes,
             &tags[t * kTagBytes]);
  }
  double best = 0;
  for (int round = 0; round < 5; ++round) {
    const auto start = std::chrono::steady_clock::now();
    bool authentic = true;
    for (size_t t = 0; t * kDenseTileBytes < kBytes; ++t) {
      authentic &= gcm.open_from_untrusted(tile_nonce(t), {}, cipher.data() + t * kDenseTileBytes,
                                           plain.data(), kDenseTileBytes, &tags[t * kTagBytes]);
    }
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    if (authentic) best = std::max(best, static_cast<double>(kBytes) / seconds.count());
  }
  return best;
}

double squared_error(const std::vector<float>& a, const std::vector<float>& b, double* square) {
  double lost = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double exact = static_cast<double>(a[i]), other = static_cast<double>(b[i]);
    lost += (exact - other) * (exact - other);
    *square += exact * exact;
  }
  return lost;
}

void report(const std::vector<Rows>& parts, StoredType stored, double speed, const std::string& prefix) {
  Entropy entropy;
  double lost = 0, square = 0;
  std::ofstream file;
  const std::string suffix = stored == StoredType::kI4 ? ".i4" : ".i8";
  const std::string name = parts[0].name.substr(parts[0].name.rfind('/') + 1);
  if (!prefix.empty()) file.open(prefix + name + suffix, std::ios::binary);
  for (const Rows& part : parts) {
    WeightsShape shape{WeightsKind::kDense, stored};
    shape.in_channels = static_cast<uint32_t>(part.row);
    shape.out_channels = static_cast<uint32_t>(part.weights.size() / part.row);
    const QuantizedWeights quantized = quantize_dense(shape, part.weights);
    entropy.add(quantized.codes, part.row, quantized.codes.size() / shape.out_channels);
    lost += squared_error(part.weights, dequantize_dense(shape, quantized), &square);
    // Four bits as they are stored: two codes to a byte.
    const TileGrid grid = *make_tile_grid(shape);
    std::vector<std::byte> stream(grid.stored_bytes);
    pack_dense(grid, quantized, {}, stream);
    file.write(reinterpret_cast<const char*>(stream.data()), static_cast<std::streamsize>(stream.size()));
  }
  const double bits = stored == StoredType::kI4 ? 4 : 8, ratio = bits / entropy.bits();
  std::printf("%-28s %4.0f  %7.2f  %5.2f  %8.0f  %6.2f %%\n", name.c_str(), bits, entropy.bits(), ratio,
              speed / (1 - 1 / ratio) * 1e-9, std::sqrt(lost / square) * 100);
}

int run(int argc, char** argv) {
  std::vector<std::vector<Rows>> all;
  all.push_back({synthetic("normal", std::normal_distribution<double>())});
  all.push_back({synthetic("laplace", Laplace())});
  all.push_back({synthetic("student_t_5", std::student_t_distribution<double>(5))});
  std::string prefix;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--write") == 0 && i + 1 < argc) prefix = argv[++i];
    else all.push_back(trained(argv[i]));
  }
  const double speed = decryption_speed();
  std::printf("decryption %.1f GB/s\n%-28s bits  entropy  ratio  GB/s to pay  weights' error\n", speed * 1e-9, "");
  for (const std::vector<Rows>& parts : all) {
    if (parts.empty()) return 1;
    for (StoredType stored : {StoredType::kI8, StoredType::kI4}) report(parts, stored, speed, prefix);
  }
  return 0;
}

}  // namespace
}  // namespace carrel

int main(int argc, char** argv) { return carrel::run(argc, argv); }
