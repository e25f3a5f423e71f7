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

// Who reads a tensor: a layer's input or its addend.
struct Reader {
  size_t layer = 0;
  bool addend = false;
};

// Fresh ciphertexts: of row y of a tensor the polynomials b of [column][channel]; `a` follows from the seed.
class RowSource {
 public:
  virtual ~RowSource() = default;
  // Stays until every reader is done with it. Errors: kIo.
  virtual Result<const std::byte*> row(TensorId tensor, uint32_t y) = 0;
  // The reader needs no row below `below` any more.
  virtual void done(const Reader& reader, uint32_t below) = 0;
};

// The rows of a layer's input that row y of its output needs: [begin, end).
struct Rows {
  uint32_t begin = 0, end = 0;
};
Rows input_rows(const Network& network, size_t layer, uint32_t y);

class Evaluator {
 public:
  // The results of one column: a of every output channel, and b of every one. From any of the threads.
  using Sink = std::function<Status(uint32_t x, const std::byte* a, const std::byte* b, uint32_t thread)>;

  // network and scaling outlive it. seed: of the client's key.
  Evaluator(const Network& network, const Scaling& scaling, const StreamKey& seed, CpuMask cpu, uint32_t threads);
  ~Evaluator();

  // Row y of the output of layer `layer`; rows of a layer in ascending order, layers in any. Errors: those of `rows` and `sink`.
  Status row(size_t layer, uint32_t y, RowSource* rows, const Sink& sink);

 private:
  struct InputRow;
  struct LayerState;
  struct Thread;

  LayerState& state_of(size_t layer);
  size_t pixel_bytes(const Layer& layer) const;
  Status bring_rows(LayerState* state, const Rows& wanted, RowSource* rows);
  void bring_pixel(const Layer& layer, InputRow* row, const std::byte* b, uint32_t x, Thread* thread);
  void let_go(LayerState* state, uint32_t below);
  void make_pixel(const LayerState& state, uint32_t y, uint32_t x, Thread* thread);
  void add_map(const LayerState& state, uint32_t y, uint32_t x, const std::byte* addend_row, Thread* thread);
  void expand(TensorId tensor, uint32_t y, uint32_t x, Thread* thread, std::byte* a);
  const MapShape& input_shape(const Layer& layer) const { return net_.tensors[static_cast<size_t>(layer.input)].shape; }
  uint32_t threads() const { return static_cast<uint32_t>(threads_.size()); }

  const Network& net_;
  const Scaling& scaling_;
  const ProductKernels& kernels_;
  std::vector<uint64_t> first_ids_;
  size_t polynomial_bytes_;
  BufferPool pool_;
  std::vector<std::unique_ptr<Thread>> threads_;
  std::vector<std::unique_ptr<LayerState>> states_;  // of layers that have begun and not ended
};

}  // namespace carrel::he
