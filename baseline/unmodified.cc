#include "baseline/unmodified.h"

#include <optional>

#include "base/checked.h"
#include "base/wipe.h"
#include "baseline/executor.h"
#include "baseline/network.h"
#include "baseline/sealed_weights.h"

namespace carrel {
namespace {

using unmodified::Executor;
using unmodified::Network;
using unmodified::Operand;
using unmodified::StreamTarget;
using unmodified::UnpackTarget;

constexpr uint64_t kPageBytes = 4096;

class Engine final : public UnmodifiedEngine {
 public:
  Engine(std::string path, const SecretKey& key, SealedInfo info, Network network, uint32_t threads)
      : path_(std::move(path)),
        info_(std::move(info)),
        network_(std::move(network)),
        threads_(threads) {
    key_.value = key;
    for (const unmodified::Layer& layer : network_.layers) layers_.push_back(layer.name);
    name_tensors(info_.architecture.inputs, &inputs_);
    name_tensors(info_.architecture.outputs, &outputs_);
  }

  uint64_t memory_bytes() const override { return round_up(network_.bytes, kPageBytes); }
  const Graph& architecture() const override { return info_.architecture; }
  const std::vector<Place>& places() const override { return network_.places; }
  const std::vector<std::string>& layers() const override { return layers_; }
  uint64_t bytes_touched() const override {
    uint64_t floats = 0;
    for (const unmodified::Layer& layer : network_.layers) {
      for (const auto* operands : {&layer.inputs, &layer.outputs}) {
        for (const Operand& operand : *operands) {
          if (operand.place >= 0) floats += static_cast<uint64_t>(operand.shape.count());
        }
      }
      floats += 2 * unmodified::workspace_count(layer, threads_);  // written, then read
    }
    return floats * sizeof(float);
  }
  const std::vector<TensorInfo>& inputs() const override { return inputs_; }
  const std::vector<TensorInfo>& outputs() const override { return outputs_; }

  Status load(std::span<std::byte> region) override {
    if (region.size() < memory_bytes()) {
      return Error(ErrorCode::kBudgetTooSmall, "the unmodified engine needs %lu bytes",
                   memory_bytes())
          .with_detail(memory_bytes());
    }
    executor_.emplace(network_, region, threads_);
    return unmodified::unpack_sealed(path_, info_, key_.value,
                                     [&](size_t stream) { return unpack_target(stream); });
  }

  void on_each_thread(const std::function<void()>& action) const override {
#pragma omp parallel num_threads(static_cast<int>(threads_))
    action();
  }

  Result<std::vector<Tensor>> run(const std::vector<Tensor>& inputs,
                                  const std::function<void(uint32_t)>& before_layer) override {
    CARREL_CHECK(executor_.has_value());
    CARREL_RETURN_IF_ERROR(check_inputs(inputs));
    for (size_t i = 0; i < inputs.size(); ++i) {
      const std::vector<std::byte>& bytes = inputs[i].data;
      std::memcpy(executor_->data(network_.inputs[i]), bytes.data(), bytes.size());
    }
    for (uint32_t i = 0; i < network_.layers.size(); ++i) {
      if (before_layer) before_layer(i);
      CARREL_RETURN_IF_ERROR(executor_->run_layer(i));
    }
    std::vector<Tensor> outputs;
    for (const Operand& out : network_.outputs) {
      const auto count = static_cast<size_t>(out.shape.count());
      outputs.push_back(Tensor::from_f32(out.shape, {executor_->data(out), count}));
    }
    return outputs;
  }

 private:
  void name_tensors(const std::vector<ValueId>& ids, std::vector<TensorInfo>* out) const {
    for (ValueId id : ids) {
      const Value& value = info_.architecture.value(id);
      out->push_back({value.name, value.shape});
    }
  }

  UnpackTarget unpack_target(size_t stream) const {
    const StreamTarget& target = network_.streams[stream];
    const auto at = [&](int place, uint64_t offset) {
      return place < 0 ? nullptr : executor_->data({place, {}}) + offset;
    };
    return {at(target.weights, target.weights_offset), at(target.bias, target.bias_offset),
            target.merged_groups};
  }

  Status check_inputs(const std::vector<Tensor>& inputs) const {
    if (inputs.size() != inputs_.size()) {
      return Error(ErrorCode::kInvalidInput, "the model has %zu inputs, %zu were given",
                   inputs_.size(), inputs.size());
    }
    for (size_t i = 0; i < inputs.size(); ++i) {
      if (inputs[i].type == DType::kF32 && inputs[i].shape == inputs_[i].shape) continue;
      return Error(ErrorCode::kInvalidInput, "input %s has another type or shape",
                   inputs_[i].name.c_str());
    }
    return ok_status();
  }

  const std::string path_;
  Wiped<SecretKey> key_;
  const SealedInfo info_;
  const Network network_;
  const uint32_t threads_;
  std::vector<std::string> layers_;
  std::vector<TensorInfo> inputs_, outputs_;
  std::optional<Executor> executor_;
};

}  // namespace

Result<std::unique_ptr<UnmodifiedEngine>> UnmodifiedEngine::open(const std::string& path,
                                                                 const SecretKey& key,
                                                                 uint32_t threads) {
  CARREL_ASSIGN(SealedInfo info, read_sealed(path));
  CARREL_RETURN_IF_ERROR(authenticate_sealed(info, key));
  CARREL_ASSIGN(const StreamPlan streams, sealed_streams(info));
  CARREL_ASSIGN(Network network, unmodified::build_network(info.architecture, streams, threads));
  return std::unique_ptr<UnmodifiedEngine>(
      std::make_unique<Engine>(path, key, std::move(info), std::move(network), threads));
}

}  // namespace carrel
