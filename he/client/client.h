#pragma once
// The data owner's side of a network: encrypts inputs, and between layers decrypts what the server made, applies the layer's operations
// and encrypts the result. Whatever comes from the server is only ever read as polynomials: a wrong one gives wrong numbers, nothing
// else, and the server does not learn which.
#include <atomic>
#include <functional>

#include "he/client/key.h"
#include "he/plan/scales.h"
#include "he/ring/buffer.h"

namespace carrel::he {

class Client {
 public:
  // Polynomials b of channels [channel, channel + count) at (y, x) of a tensor. From any thread.
  using Send = std::function<Status(TensorId tensor, uint32_t y, uint32_t x, uint32_t channel, uint32_t count, const std::byte* b)>;

  // images: at most the ring's degree. network and scaling outlive it. Errors: those of ClientKey::make; kInvalidInput.
  static Result<std::unique_ptr<Client>> make(const Network& network, const Scaling& scaling, uint32_t images, CpuMask cpu,
                                              uint32_t threads);
  ~Client();

  const StreamKey& seed() const { return key_->seed(); }
  uint32_t threads() const { return static_cast<uint32_t>(threads_.size()); }

  // One row of an input of the network. values: [images][channel][y][x] of the whole input.
  Status send_input(int input, std::span<const float> values, uint32_t y, const Send& send);
  // What layer `layer` gives: a and b of channels [channel, channel + count) at (y, x). thread < threads(). Errors: kInvalidInput where there
  // is no such place, or it was given before: its answer's id would serve twice.
  struct Place {
    uint32_t y = 0, x = 0, channel = 0, count = 0;
  };
  Status take(size_t layer, const Place& place, const std::byte* a, const std::byte* b, uint32_t thread, const Send& send);
  // True where the layer's results leave by finish_row() alone.
  bool gathers(size_t layer) const { return gathers_[layer] != nullptr; }
  // After every column and channel of the row, rows in order.
  Status finish_row(size_t layer, uint32_t y, const Send& send);

  // Of output i: [images][elements]. Rounded to multiples of what hides the noise.
  const std::vector<float>& output(int i) const { return outputs_[static_cast<size_t>(i)]; }

 private:
  struct Thread;
  struct Gather;

  Client(const Network& network, const Scaling& scaling, uint32_t images);
  void apply(const ClientOp& op, float* values) const;
  void keep_output(const Layer& layer, const LayerScales& scales, uint32_t y, uint32_t x, uint32_t channel, const float* values);
  Status finish_pixel(size_t layer, uint32_t y, uint32_t x, Thread* thread, const Send& send);
  void pool(const Gather& gather, const Window& window, uint32_t y, uint32_t x, uint32_t channel, float* out) const;
  void softmax(const Gather& gather, bool logarithm, uint32_t y, uint32_t x, Thread* thread) const;
  void pass_on(size_t layer, uint32_t y, uint32_t x, uint32_t channel, const float* values, Thread* thread);

  const Network& net_;
  const Scaling& scaling_;
  uint32_t images_;
  CpuMask cpu_ = 0;
  std::unique_ptr<ClientKey> key_;
  std::vector<uint64_t> first_ids_;
  std::vector<std::unique_ptr<Thread>> threads_;
  std::vector<std::unique_ptr<Gather>> gathers_;  // by layer; null where all operations are element by element
  std::vector<std::unique_ptr<std::atomic<uint8_t>[]>> taken_;  // by layer: [row][column][channel]
  std::vector<std::vector<float>> outputs_;
};

}  // namespace carrel::he
