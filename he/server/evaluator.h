#pragma once
// What the server computes: one row of a layer's output at a time, exactly modulo q. It holds no secret key.
#include <functional>
#include <vector>

#include "base/cpu.h"
#include "he/plan/scales.h"
#include "he/ring/buffer.h"
#include "he/ring/product.h"
#include "he/ring/sampler.h"

namespace carrel::he {

// Fresh ciphertexts: of row y of a tensor the polynomials b of [column][channel]; `a` follows from the seed.
class RowSource {
 public:
  virtual ~RowSource() = default;
  // Stays until unpin. Errors: kIo.
  virtual Result<const std::byte*> pin(TensorId tensor, uint32_t y) = 0;
  virtual void unpin(TensorId tensor, uint32_t y) = 0;
};

class Evaluator {
 public:
  // The results of one column: a of every output channel, and b of every one. From any of the threads.
  using Sink = std::function<Status(uint32_t x, const std::byte* a, const std::byte* b, uint32_t thread)>;

  // network and scaling outlive it. seed: of the client's key.
  Evaluator(const Network& network, const Scaling& scaling, const StreamKey& seed, CpuMask cpu, uint32_t threads);
  ~Evaluator();

  // Row y of the output of layer `layer`; rows of a layer in ascending order. Errors: those of `rows` and `sink`.
  Status row(size_t layer, uint32_t y, RowSource* rows, const Sink& sink);

 private:
  struct Weights;
  struct InputRow;
  struct Thread;

  void start_layer(size_t layer);
  Status bring_rows(uint32_t begin, uint32_t end, RowSource* rows);
  void bring_pixel(InputRow* row, const std::byte* b, uint32_t x, Thread* thread);
  void make_pixel(uint32_t y, uint32_t x, Thread* thread);
  void expand(TensorId tensor, uint32_t y, uint32_t x, Thread* thread, std::byte* a);
  Status add_map(uint32_t y, uint32_t x, const std::byte* addend_row, Thread* thread);
  std::vector<InputRow> let_go(uint32_t begin, RowSource* rows);
  uint32_t threads() const { return static_cast<uint32_t>(threads_.size()); }

  const Network& net_;
  const Scaling& scaling_;
  const ProductKernels& kernels_;
  std::vector<uint64_t> first_ids_;
  size_t polynomial_bytes_;
  std::vector<std::unique_ptr<Thread>> threads_;
  // Of the layer that runs.
  size_t layer_ = SIZE_MAX;
  std::unique_ptr<Weights> weights_;
  std::vector<InputRow> rows_;  // those that the window needs, ascending
};

}  // namespace carrel::he
