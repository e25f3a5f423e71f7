#pragma once
// Builds a zoo graph layer by layer, as a training framework's exporter would name and split it.
//
// Every call infers the shape of what it adds; after the first error further calls do nothing and
// finish() returns it. Weight scaling assumes unit variance: a Conv or Gemm gives outputs of
// variance 1 if its input is what `Signal` says. Filters over rectified inputs see a mean that grows
// with depth over their variation: left alone, every image gets nearly the same logits; taken out
// whole, every layer amplifies the relative size of any perturbation by 1.21 (second moment 1/2 over
// variance 0.3408 of a rectified input, its root), as no trained network does. So a part of each
// filter's mean stays.
#include <string>
#include <vector>

#include "compiler/graph/graph.h"
#include "compiler/zoo/zoo.h"

namespace carrel::zoo {

// The distribution a layer assumes for its input.
enum class Signal : uint8_t {
  kPlain,      // mean 0, variance 1
  kRectified,  // max(z, 0) of that
  kPooled,     // globally averaged kRectified
};

struct ConvSpec {
  int64_t channels = 0;
  int64_t kernel = 1;
  int64_t stride = 1;
  int64_t pad = 0;
  int64_t group = 1;
  bool bias = false;
  Signal signal = Signal::kRectified;
};

struct PoolSpec {
  int64_t kernel = 0;
  int64_t stride = 1;
  int64_t pad = 0;
  bool ceil_mode = false;
};

class Builder {
 public:
  explicit Builder(const ZooOptions& options);

  ValueId input() const { return graph_.inputs[0]; }
  int64_t channels(ValueId x) const;

  ValueId conv(ValueId x, const std::string& name, const ConvSpec& spec);
  // scale: the typical size of the learnt scale (small on the last layer of a residual branch).
  ValueId batch_norm(ValueId x, const std::string& name, double scale = 1);
  ValueId relu(ValueId x, const std::string& name);
  ValueId relu6(ValueId x, const std::string& name);
  ValueId max_pool(ValueId x, const std::string& name, const PoolSpec& spec);
  ValueId average_pool(ValueId x, const std::string& name, const PoolSpec& spec);
  ValueId global_average_pool(ValueId x, const std::string& name);
  ValueId lrn(ValueId x, const std::string& name);
  ValueId add(ValueId a, ValueId b, const std::string& name);
  ValueId concat(const std::vector<ValueId>& inputs, const std::string& name);
  ValueId flatten(ValueId x, const std::string& name);
  // A dense layer with bias; x must be (N, C).
  ValueId dense(ValueId x, const std::string& name, int64_t outputs, Signal signal);

  // Names `logits` the output and checks the graph.
  Result<Graph> finish(ValueId logits);

 private:
  enum class Fill : uint8_t { kNormal, kDampedRows, kUniform };
  struct Weights {
    Fill fill;
    double low_or_mean;
    double high_or_deviation;
  };
  bool failed() const { return !status_.ok(); }
  ValueId constant(const std::string& name, const Shape& shape, const Weights& weights);
  ValueId filters(const std::string& name, const Shape& shape, Signal signal, bool depthwise);
  ValueId bias(const std::string& name, int64_t count);
  ValueId append(OpType op, const std::string& name, std::vector<ValueId> inputs,
                 Attributes attributes, Unary activation = {});
  ValueId pool(OpType op, ValueId x, const std::string& name, const PoolSpec& spec);

  ZooOptions options_;
  Graph graph_;
  Status status_ = ok_status();
  uint64_t constant_bytes_ = 0;
};

}  // namespace carrel::zoo
