#include "compiler/plan/plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "base/bytes.h"
#include "engine/format/program.h"

namespace carrel {
namespace {

// Small networks with shape-only weights: planning needs no numbers.
class Net {
 public:
  explicit Net(const Shape& input) {
    x_ = value(input);
    graph.inputs = {x_};
  }
  ValueId last() const { return x_; }
  const Shape& shape() const { return graph.value(x_).shape; }

  Net& conv(int64_t channels, int64_t kernel, int64_t stride, int64_t groups = 1,
            UnaryFn activation = UnaryFn::kRelu) {
    const Shape in = shape();
    const int64_t pad = kernel / 2;
    const int64_t rows = (in[2] + 2 * pad - kernel) / stride + 1;
    Attributes a;
    a.ints["strides"] = {stride, stride};
    a.ints["pads"] = {pad, pad, pad, pad};
    a.ints["group"] = {groups};
    return add(OpType::kConv, {x_, weights({channels, in[1] / groups, kernel, kernel}), weights({channels})},
               {1, channels, rows, rows}, a, {activation, 0, 0});
  }
  Net& pool() {
    const Shape in = shape();
    Attributes a;
    a.ints["kernel_shape"] = a.ints["strides"] = {2, 2};
    return add(OpType::kMaxPool, {x_}, {1, in[1], in[2] / 2, in[3] / 2}, a);
  }
  Net& start(ValueId at) {
    x_ = at;
    return *this;
  }
  Net& quantize() {
    Attributes a;
    a.floats["scale"] = {0.1f};
    add(OpType::kQuantize, {x_}, shape(), a);
    graph.value(x_).type = DType::kU8;
    return *this;
  }
  Net& quantized_conv(int64_t channels, int64_t kernel) {
    const Shape in = shape();
    const int64_t pad = kernel / 2;
    Attributes a;
    a.ints["pads"] = {pad, pad, pad, pad};
    add(OpType::kQConv, {x_, weights({channels, in[1], kernel, kernel}), weights({channels})},
        {1, channels, in[2], in[3]}, a);
    graph.value(x_).type = DType::kU8;
    return *this;
  }
  // `scale`: that of the values that lie first in it, those last made.
  Net& quantized_concat(ValueId with, float scale) {
    Attributes a;
    a.ints["axis"] = {1};
    a.ints["zeros"] = {0, 0};
    a.floats["scales"] = {scale, 1};
    Shape out = shape();
    out[1] += graph.value(with).shape[1];
    add(OpType::kQConcat, {x_, with}, out, a);
    graph.value(x_).type = DType::kU8;
    return *this;
  }
  Net& dequantize() {
    Attributes a;
    a.floats["scale"] = {0.1f};
    return add(OpType::kDequantize, {x_}, shape(), a);
  }
  Net& pool_same() {
    Attributes a;
    a.ints["kernel_shape"] = {3, 3};
    a.ints["strides"] = {1, 1};
    a.ints["pads"] = {1, 1, 1, 1};
    return add(OpType::kMaxPool, {x_}, shape(), a);
  }
  Net& residual(ValueId with) { return add(OpType::kAdd, {x_, with}, shape()); }
  Net& concat(ValueId with) {
    Shape out = shape();
    out[1] += graph.value(with).shape[1];
    Attributes a;
    a.ints["axis"] = {1};
    return add(OpType::kConcat, {x_, with}, out, a);
  }
  Net& global_pool() { return add(OpType::kGlobalAveragePool, {x_}, {1, shape()[1], 1, 1}); }
  Net& dense(int64_t outputs) {
    const int64_t features = shape().count();
    if (shape().rank() == 4) add(OpType::kReshape, {x_}, {1, features});
    Attributes a;
    a.ints["transB"] = {1};
    return add(OpType::kGemm, {x_, weights({outputs, features}), weights({outputs})}, {1, outputs}, a);
  }
  Net& plain_transpose() {
    const Shape in = shape();
    Attributes a;
    a.ints["perm"] = {0, 1, 3, 2};
    return add(OpType::kTranspose, {x_}, {1, in[1], in[3], in[2]}, a);
  }
  Net& divide(float by) {
    const ValueId divisor = value({1});
    auto tensor = std::make_shared<Tensor>(Tensor::zeros(DType::kF32, {1}));
    tensor->f32()[0] = by;
    graph.value(divisor).constant = tensor;
    return add(OpType::kDiv, {x_, divisor}, shape());
  }
  void add_input(const Shape& shape) { graph.inputs.push_back(value(shape)); }
  void add_output() { graph.outputs.push_back(x_); }
  const Graph& done() {
    graph.outputs = {x_};
    return graph;
  }
  Graph graph;

 private:
  ValueId value(const Shape& shape) {
    Value v;
    v.name = "v" + std::to_string(graph.values.size());
    v.shape = shape;
    v.shape_known = true;
    return graph.add_value(v);
  }
  ValueId weights(const Shape& shape) {
    const ValueId id = value(shape);
    auto tensor = std::make_shared<Tensor>();
    tensor->shape = shape;
    graph.value(id).constant = tensor;
    return id;
  }
  Net& add(OpType op, std::vector<ValueId> inputs, const Shape& out, const Attributes& a = {}, Unary activation = {}) {
    Node node;
    node.op = op;
    node.name = op_name(op) + std::to_string(graph.nodes.size());
    node.inputs = std::move(inputs);
    node.attributes = a;
    node.activation = activation;
    x_ = value(out);
    node.outputs = {x_};
    graph.add_node(std::move(node));
    return *this;
  }
  ValueId x_ = kNoValue;
};

Graph branched_network() {
  Net net({1, 3, 56, 56});
  net.conv(32, 3, 2);
  const ValueId a = net.last();
  net.conv(32, 1, 1).conv(32, 3, 1, 32).residual(a).pool();
  const ValueId b = net.last();
  net.conv(48, 3, 1).concat(b).conv(100, 1, 1).plain_transpose().conv(64, 3, 1, 4).dense(300);
  return net.dense(10).done();
}

struct Planned {
  std::vector<uint64_t> aligned;  // the blob, 8-byte aligned
  ProgramView view;
};
Planned open_program(const Plan& plan) {
  Planned p;
  p.aligned.resize((plan.program.size() + 7) / 8);
  std::memcpy(p.aligned.data(), plan.program.data(), plan.program.size());
  const auto bytes = std::as_bytes(std::span(p.aligned)).first(plan.program.size());
  const Result<ProgramView> view = parse_program(bytes);
  EXPECT_TRUE(view.ok()) << view.error().message();
  if (view.ok()) p.view = *view;
  return p;
}

size_t count_ops(const Graph& graph, Opcode opcode) {
  const Result<StreamPlan> streams = plan_streams(graph, StoredType::kF32);
  EXPECT_TRUE(streams.ok());
  const Result<Plan> plan = plan_program(graph, *streams, {16 * kMiB, Strategy::kAuto, 1, IsaLevel::kAvx2});
  EXPECT_TRUE(plan.ok()) << plan.error().message();
  const Planned program = open_program(*plan);
  const auto is = [&](const OpDesc& op) { return op.opcode == opcode; };
  return static_cast<size_t>(std::count_if(program.view.ops.begin(), program.view.ops.end(), is));
}

TEST(Plan, ConvolutionsWriteIntoConcatenations) {
  for (int64_t channels : {48, 40}) {
    Net net({1, 16, 28, 28});
    const ValueId first = net.conv(32, 1, 1).last();
    net.conv(channels, 3, 1).concat(first);
    // `first` has another reader: it is copied.
    EXPECT_EQ(count_ops(net.done(), Opcode::kCopy), 1u) << channels;
  }
}

TEST(Plan, QuantizedConvolutionsWriteIntoConcatenationsOfTheirScale) {
  for (const float scale : {1.0f, 0.5f}) {
    Net net({1, 16, 28, 28});
    const ValueId first = net.quantize().quantized_conv(32, 1).last();
    net.quantized_conv(48, 3).quantized_concat(first, scale).dequantize();
    EXPECT_EQ(count_ops(net.done(), Opcode::kQuantCopy), scale == 1 ? 1u : 2u);
  }
}

TEST(Plan, FullyConnectedLayersAreCopiedIntoConcatenations) {
  Net net({1, 16, 8, 8});
  const ValueId x = net.conv(32, 3, 1).global_pool().last();
  const ValueId first = net.dense(64).last();
  net.start(x).dense(32).concat(first);
  EXPECT_EQ(count_ops(net.done(), Opcode::kCopy), 2u);
}

TEST(Plan, ConvolutionsAddTheirResiduals) {
  for (UnaryFn activation : {UnaryFn::kNone, UnaryFn::kRelu}) {
    Net net({1, 16, 28, 28});
    const ValueId first = net.conv(32, 1, 1).last();
    net.conv(32, 3, 1, 1, activation).residual(first).conv(16, 1, 1);
    EXPECT_EQ(count_ops(net.done(), Opcode::kBinary), activation == UnaryFn::kNone ? 0u : 1u);
  }
}

// The convolution moves behind what is made after it.
TEST(Plan, AResidualMayBeMadeLater) {
  Net net({1, 16, 28, 28});
  const ValueId input = net.last();
  const ValueId sum = net.conv(16, 3, 1, 1, UnaryFn::kNone).last();
  net.start(input).conv(16, 1, 1).pool_same().residual(sum).conv(16, 1, 1);
  EXPECT_EQ(count_ops(net.done(), Opcode::kBinary), 0u);
  EXPECT_EQ(count_ops(net.graph, Opcode::kConv), 3u);
  EXPECT_EQ(count_ops(net.graph, Opcode::kPool), 1u);
}

TEST(Plan, EveryStrategyAndBudgetGivesAValidProgramWithinItsBudget) {
  const Graph graph = branched_network();
  const Result<StreamPlan> streams = plan_streams(graph, StoredType::kF32);
  ASSERT_TRUE(streams.ok()) << streams.error().message();
  int planned = 0;
  for (Strategy strategy : {Strategy::kWhole, Strategy::kChannel, Strategy::kYplane, Strategy::kAuto}) {
    for (uint32_t threads : {1u, 2u}) {
      for (uint64_t budget = 512 * kKiB; budget <= 64 * kMiB; budget = budget * 3 / 2) {
        const PlanRequest request{budget, strategy, threads, IsaLevel::kAvx2};
        const Result<Plan> plan = plan_program(graph, *streams, request);
        if (!plan.ok()) {
          EXPECT_EQ(plan.error().code(), ErrorCode::kBudgetTooSmall) << plan.error().message();
          EXPECT_GT(plan.error().detail(), budget);
          continue;
        }
        ++planned;
        const Planned program = open_program(*plan);
        const Status valid = validate_program(program.view);
        EXPECT_TRUE(valid.ok()) << valid.error().message();
        EXPECT_LE(program.view.header->planned_peak_bytes, budget);
      }
    }
  }
  EXPECT_GT(planned, 30);
}

TEST(Plan, LeastBudgetWorksAndIsNamedInTheError) {
  const Graph graph = branched_network();
  const Result<StreamPlan> streams = plan_streams(graph, StoredType::kF32);
  ASSERT_TRUE(streams.ok());
  PlanRequest request{64 * kKiB, Strategy::kAuto, 1, IsaLevel::kAvx512};
  const Result<Plan> small = plan_program(graph, *streams, request);
  ASSERT_FALSE(small.ok());
  request.budget_bytes = small.error().detail();
  EXPECT_TRUE(plan_program(graph, *streams, request).ok());
}

// A tighter arena may fragment less, so a search from the budget downwards can pass by what fits.
TEST(Plan, EveryBudgetAboveTheLeastWorks) {
  const Graph graph = branched_network();
  const Result<StreamPlan> streams = plan_streams(graph, StoredType::kF32);
  ASSERT_TRUE(streams.ok());
  for (Strategy strategy : {Strategy::kWhole, Strategy::kChannel, Strategy::kYplane, Strategy::kAuto}) {
    PlanRequest request{0, strategy, 1, IsaLevel::kAvx2};
    const Result<uint64_t> least = least_budget(graph, *streams, request);
    ASSERT_TRUE(least.ok()) << least.error().message();
    for (uint64_t budget = *least; budget < *least + 200 * kKiB; budget += kKiB) {
      request.budget_bytes = budget;
      const Result<Plan> plan = plan_program(graph, *streams, request);
      ASSERT_TRUE(plan.ok()) << strategy_name(strategy) << " " << *least << " " << budget;
      const Planned program = open_program(*plan);
      EXPECT_EQ(program.view.header->budget_bytes, budget);
      EXPECT_LE(program.view.header->planned_peak_bytes, budget);
    }
  }
}

TEST(Plan, ObjectsAliveTogetherNeverOverlap) {
  const Graph graph = branched_network();
  const Result<StreamPlan> streams = plan_streams(graph, StoredType::kF16);
  ASSERT_TRUE(streams.ok());
  for (uint64_t budget : {800 * kKiB, 2 * kMiB, 16 * kMiB}) {
    const Result<Plan> plan = plan_program(graph, *streams, {budget, Strategy::kAuto, 1, IsaLevel::kAvx512});
    ASSERT_TRUE(plan.ok()) << plan.error().message();
    for (size_t i = 0; i < plan->lifetimes.size(); ++i) {
      for (size_t j = 0; j < i; ++j) {
        const LifetimeReport &a = plan->lifetimes[i], &b = plan->lifetimes[j];
        const bool together = a.first_step < b.last_step && b.first_step < a.last_step;
        const bool apart = a.offset + a.bytes <= b.offset || b.offset + b.bytes <= a.offset;
        EXPECT_TRUE(!together || apart) << a.name << " and " << b.name;
      }
    }
  }
}

bool plans_planar_input(const Graph& graph) {
  const Result<StreamPlan> streams = plan_streams(graph, StoredType::kF32);
  EXPECT_TRUE(streams.ok());
  const Result<Plan> plan = plan_program(graph, *streams, {4 * kMiB, Strategy::kAuto, 1, IsaLevel::kAvx512});
  EXPECT_TRUE(plan.ok());
  if (!plan.ok()) return false;
  bool planar = false;
  for (const TensorDesc& t : open_program(*plan).view.tensors) planar = planar || t.type == ElementType::kPlanarF32;
  return planar;
}

TEST(Plan, InputsOfFewChannelsThatConvolutionsOrQuantizationReadArePlanar) {
  const Shape image({1, 3, 56, 56});
  EXPECT_TRUE(plans_planar_input(Net(image).conv(32, 3, 2).pool().done()));
  EXPECT_TRUE(plans_planar_input(Net({1, 4, 56, 56}).conv(32, 7, 2).done()));
  EXPECT_FALSE(plans_planar_input(Net({1, 5, 56, 56}).conv(32, 3, 2).done()));
  EXPECT_FALSE(plans_planar_input(Net(image).conv(3, 3, 1, 3).done())) << "depthwise";
  EXPECT_FALSE(plans_planar_input(Net(image).pool().conv(32, 3, 2).done()));
  EXPECT_TRUE(plans_planar_input(Net(image).quantize().dequantize().done()));
  EXPECT_FALSE(plans_planar_input(Net({1, 5, 56, 56}).quantize().dequantize().done()));
  EXPECT_FALSE(plans_planar_input(Net({1, 3, 1, 1}).conv(32, 1, 1).done())) << "one pixel";
  Net added(image);
  const ValueId x = added.last();
  EXPECT_FALSE(plans_planar_input(added.conv(3, 3, 1).residual(x).done()));
}

// Elements of all streams over the elements of the model's weights; biases count in neither.
double stored_ratio(int64_t channels, int64_t out, int64_t groups) {
  Net net({1, channels, 8, 8});
  const Graph& graph = net.conv(out, 3, 1, groups).done();
  const Result<StreamPlan> plan = plan_streams(graph, StoredType::kF32);
  if (!plan.ok()) return -1;
  uint64_t stored = 0;
  for (const StreamDesc& s : plan->streams) {
    const bool plain = s.shape.kind == WeightsKind::kPlain;
    if (plain && s.shape.element_count == static_cast<uint64_t>(out)) continue;
    stored += plain ? s.shape.element_count : uint64_t{s.shape.in_channels} * s.shape.out_channels * 9;
  }
  return static_cast<double>(stored) / static_cast<double>(out * (channels / groups) * 9);
}

TEST(Plan, GroupedConvolutionsAreNotStoredWithoutBound) {
  EXPECT_EQ(stored_ratio(64, 64, 2), 1);      // groups of whole blocks
  EXPECT_EQ(stored_ratio(128, 128, 32), 4);   // four groups to a block
  EXPECT_EQ(stored_ratio(64, 128, 64), 16);
  EXPECT_EQ(stored_ratio(9, 9, 3), 3);        // no whole blocks: all groups in one stream
  EXPECT_EQ(stored_ratio(4096, 4096, 1024), 4);
  EXPECT_EQ(stored_ratio(51, 102, 17 * 3), 1);  // as the plain operator
}

TEST(Plan, DivisionNeedsAReciprocal) {
  for (float divisor : {3.0f, 1e37f, 2e38f, 1e-39f, 0.0f, -2e38f}) {
    Net net({1, 3, 8, 8});
    const Graph& graph = net.divide(divisor).done();
    const Result<StreamPlan> plan = plan_streams(graph, StoredType::kF32);
    ASSERT_TRUE(plan.ok()) << plan.error().message();
    const Result<StreamWeights> weights = stream_weights(graph, *plan, 0);
    const bool exact = divisor == 3.0f || divisor == 1e37f;
    ASSERT_EQ(weights.ok(), exact) << divisor;
    if (exact) {
      EXPECT_EQ(weights->weights[0], 1 / divisor);
    } else {
      EXPECT_NE(std::string(weights.error().message()).find("Div0"), std::string::npos) << weights.error().message();
    }
  }
}

TEST(Plan, RefusesMoreInputsOrOutputsThanAProgramCounts) {
  for (bool inputs : {false, true}) {
    for (int more : {0, 1}) {
      Net net({1, 3, 8, 8});
      net.conv(4, 1, 1).done();
      for (int i = 0; i < 254 + more; ++i) inputs ? net.add_input({1, 3}) : net.add_output();
      const Result<StreamPlan> streams = plan_streams(net.graph, StoredType::kF32);
      ASSERT_TRUE(streams.ok());
      const Result<Plan> plan = plan_program(net.graph, *streams, {4 * kMiB, Strategy::kAuto, 1, IsaLevel::kAvx2});
      ASSERT_EQ(plan.ok(), more == 0);
      if (more == 1) {
        EXPECT_EQ(plan.error().code(), ErrorCode::kUnsupported);
      }
    }
  }
}

TEST(Plan, StreamsDependOnTheGraphAlone) {
  const Graph graph = branched_network();
  const Result<StreamPlan> once = plan_streams(graph, StoredType::kF32);
  const Result<StreamPlan> again = plan_streams(graph, StoredType::kF32);
  ASSERT_TRUE(once.ok() && again.ok());
  ASSERT_EQ(once->streams.size(), again->streams.size());
  uint64_t tiles = 0;
  for (size_t i = 0; i < once->streams.size(); ++i) {
    EXPECT_EQ(once->streams[i].file_offset, again->streams[i].file_offset);
    EXPECT_EQ(once->streams[i].first_tile, tiles);
    tiles += make_tile_grid(once->streams[i].shape)->tile_count;
  }
  EXPECT_EQ(tiles, once->tile_count);
}

}  // namespace
}  // namespace carrel
