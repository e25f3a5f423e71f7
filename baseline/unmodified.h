#pragma once
// The engine that carrel is compared with: whole layers, as the usual frameworks run them.
//
// All weights are decrypted once, into row-major fp32 matrices; activations are whole tensors that
// share memory by lifetime; a convolution is im2col of the whole layer and one sgemm of oneDNN per
// group (1 x 1 convolutions without im2col; depthwise ones by a direct loop). The graph is the one
// that was sealed: batch normalizations folded, activations fused.
//
// Everything that holds weights or activations lies in one region, apart from the buffers of
// oneDNN's sgemm (on the heap, under 1 MiB measured for VGG-16 and DenseNet-121 on two threads),
// one tile's buffer while weights are decrypted, and the caller's inputs and outputs. The last bits
// may depend on the number of threads. Threads are OpenMP's, which wait by spinning: on cores that
// others use too they slow one another down unless OMP_WAIT_POLICY is passive.
//
// NOT for trusted use: it holds the whole model in plain, allocates, and takes what memory it
// likes.
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "baseline/memory_layout.h"
#include "compiler/graph/graph.h"
#include "engine/crypto/gcm.h"

namespace carrel {

class UnmodifiedEngine {
 public:
  struct TensorInfo {
    std::string name;
    Shape shape;
  };

  // Reads and authenticates a sealed model (its manifest and the architecture in it) and lays out
  // memory for `threads` >= 1 threads (each has scratch of its own). Errors: those of read_sealed
  // and authenticate_sealed; kUnsupported naming an operator or stored precision that it does not
  // run: weights stored as fp32 and fp16 do, quantized ones do not.
  static Result<std::unique_ptr<UnmodifiedEngine>> open(const std::string& path,
                                                        const SecretKey& key, uint32_t threads);
  virtual ~UnmodifiedEngine() = default;

  // What load() needs: a multiple of 4096.
  virtual uint64_t memory_bytes() const = 0;
  virtual const Graph& architecture() const = 0;  // authenticated; shape-only weights
  virtual const std::vector<Place>& places() const = 0;
  virtual const std::vector<std::string>& layers() const = 0;  // in execution order
  // Of tensors and im2col's matrix that one inference reads and writes, each layer's anew.
  virtual uint64_t bytes_touched() const = 0;
  virtual const std::vector<TensorInfo>& inputs() const = 0;
  virtual const std::vector<TensorInfo>& outputs() const = 0;

  // Decrypts every tile and unpacks it into `region`: at least memory_bytes(), aligned to 4096,
  // zeroed; it must outlive this object's last run(). Errors: kAuthentication, kIo;
  // kBudgetTooSmall with detail() = memory_bytes().
  virtual Status load(std::span<std::byte> region) = 0;

  // Calls `action` on each thread that run() will use.
  virtual void on_each_thread(const std::function<void()>& action) const = 0;

  // One inference: float32 tensors in the order and shapes of inputs(). Calls before_layer(i), if
  // there is one, before layer i. After load(). Errors: kInvalidInput naming the input that does
  // not fit; those of operators. One call at a time.
  virtual Result<std::vector<Tensor>> run(const std::vector<Tensor>& inputs,
                                          const std::function<void(uint32_t)>& before_layer) = 0;
};

}  // namespace carrel
