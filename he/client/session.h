#pragma once
// One batch through a server.
#include <functional>

#include "base/cpu.h"
#include "he/wire/socket.h"
#include "he/plan/network.h"

namespace carrel::he {

struct ClientOptions {
  CpuMask cpu = 0;
  uint32_t threads = 1;
};
struct ClientAnswer {
  std::vector<std::string> names;
  std::vector<Shape> shapes;                // of one image
  std::vector<std::vector<float>> outputs;  // [images][elements]
  double seconds = 0;                       // from hello to the last answer
  uint64_t ciphertexts = 0;                 // decrypted
};
// What goes in: for each input of the network [images][elements], in the order of the server's plan. Outlives the exchange.
struct Batch {
  std::vector<std::span<const float>> inputs;
  uint32_t images = 0;
};
// load: called with the server's plan, without weights and graph. progress(done, all): ciphertexts.
// Errors: kIo, kInvalidInput (inputs that do not fit, or what the server sent), kPlatform (the server gave up).
Result<ClientAnswer> infer_batch(const std::function<Result<Batch>(const Network&)>& load, const ClientOptions& options,
                                 Connection* connection, const std::function<void(uint64_t done, uint64_t all)>& progress);

}  // namespace carrel::he
