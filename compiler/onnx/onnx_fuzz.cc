// Import of hostile ONNX bytes: never a crash; what is accepted survives passes and comes back from
// export.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>

#include "compiler/eval/eval.h"
#include "compiler/graph/patch.h"
#include "compiler/graph/serialize.h"
#include "compiler/onnx/onnx.h"
#include "compiler/onnx/proto.h"

// Absent where the corpus is only replayed.
extern "C" __attribute__((weak)) size_t LLVMFuzzerMutate(uint8_t* data, size_t size,
                                                         size_t max_size);

namespace {

using Random = std::minstd_rand;

// Sizes, axes and offsets that have broken importers before.
int64_t odd_number(Random& random) {
  constexpr int64_t kOdd[] = {0,     1,         -1,        2,         3,         4,
                              -2,    7,         64,        -3,        8,         1000,
                              65536, INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN, int64_t{1} << 40};
  return kOdd[random() % std::size(kOdd)];
}

float odd_float(Random& random) {
  constexpr float kOdd[] = {0, 1, -1, 0.5f, 2, 1e-20f, 1e20f, -0.25f, 3e38f};
  return kOdd[random() % std::size(kOdd)];
}

std::string some_operator(Random& random) {
  constexpr const char* kNames[] = {"Conv",
                                    "ConvTranspose",
                                    "Gemm",
                                    "MatMul",
                                    "BatchNormalization",
                                    "QuantizeLinear",
                                    "DequantizeLinear",
                                    "DynamicQuantizeLinear",
                                    "QLinearConv",
                                    "QLinearMatMul",
                                    "ConvInteger",
                                    "MatMulInteger",
                                    "LayerNormalization",
                                    "LRN",
                                    "Clip",
                                    "Softmax",
                                    "MaxPool",
                                    "AveragePool",
                                    "GlobalAveragePool",
                                    "Add",
                                    "Mul",
                                    "Div",
                                    "Pow",
                                    "Sum",
                                    "ReduceMean",
                                    "ReduceSum",
                                    "Concat",
                                    "Split",
                                    "Slice",
                                    "Pad",
                                    "Reshape",
                                    "Flatten",
                                    "Squeeze",
                                    "Unsqueeze",
                                    "Transpose",
                                    "Expand",
                                    "Gather",
                                    "Shape",
                                    "ConstantOfShape",
                                    "Cast",
                                    "Range",
                                    "Resize",
                                    "Upsample",
                                    "DepthToSpace",
                                    "SpaceToDepth",
                                    "Identity",
                                    "Dropout",
                                    "Relu"};
  return kNames[random() % std::size(kNames)];
}

std::string some_attribute(Random& random) {
  constexpr const char* kNames[] = {
      "axis",         "axes",  "pads",           "strides",      "dilations",
      "kernel_shape", "group", "ceil_mode",      "keepdims",     "perm",
      "blocksize",    "to",    "output_padding", "output_shape", "count_include_pad",
      "split"};
  return kNames[random() % std::size(kNames)];
}

std::string some_name(const onnx::GraphProto& graph, Random& random) {
  const int which = static_cast<int>(random() % 3);
  if (which == 0 && graph.input_size() > 0)
    return graph.input(static_cast<int>(random() & 0xffff) % graph.input_size()).name();
  if (which == 1 && graph.initializer_size() > 0) {
    return graph.initializer(static_cast<int>(random() & 0xffff) % graph.initializer_size()).name();
  }
  if (graph.node_size() == 0) return "x";
  const onnx::NodeProto& node = graph.node(static_cast<int>(random() & 0xffff) % graph.node_size());
  return node.output_size() > 0 ? node.output(0) : "x";
}

void change_attribute(onnx::NodeProto* node, Random& random) {
  if (node->attribute_size() == 0 || random() % 8 == 0) {
    onnx::AttributeProto* added = node->add_attribute();
    added->set_name(some_attribute(random));
    added->set_type(random() % 2 ? onnx::AttributeProto::INT : onnx::AttributeProto::INTS);
  }
  onnx::AttributeProto* attribute =
      node->mutable_attribute(static_cast<int>(random() & 0xffff) % node->attribute_size());
  switch (random() % 4) {
    case 0:
      attribute->set_i(odd_number(random));
      break;
    case 1:
      attribute->set_f(odd_float(random));
      break;
    case 2:
      attribute->add_ints(odd_number(random));
      break;
    default:
      if (attribute->ints_size() == 0) break;
      attribute->set_ints(static_cast<int>(random() & 0xffff) % attribute->ints_size(),
                          odd_number(random));
  }
}

void change_node(onnx::GraphProto* graph, Random& random) {
  if (graph->node_size() == 0) return;
  onnx::NodeProto* node =
      graph->mutable_node(static_cast<int>(random() & 0xffff) % graph->node_size());
  switch (random() % 5) {
    case 0:
      node->set_op_type(some_operator(random));
      break;
    case 1:
      node->add_input(some_name(*graph, random));
      break;
    case 2:
      if (node->input_size() == 0) break;
      node->set_input(static_cast<int>(random() & 0xffff) % node->input_size(),
                      some_name(*graph, random));
      break;
    default:
      change_attribute(node, random);
  }
}

// Appends a node that reads what is there and becomes a graph output.
void append_node(onnx::GraphProto* graph, Random& random) {
  onnx::NodeProto* node = graph->add_node();
  node->set_op_type(some_operator(random));
  for (auto inputs = 1 + random() % 3; inputs > 0; --inputs)
    node->add_input(some_name(*graph, random));
  const std::string output = "added" + std::to_string(graph->node_size());
  node->add_output(output);
  graph->add_output()->set_name(output);
}

void change_tensor(onnx::GraphProto* graph, Random& random) {
  if (graph->initializer_size() == 0) return;
  onnx::TensorProto* tensor =
      graph->mutable_initializer(static_cast<int>(random() & 0xffff) % graph->initializer_size());
  if (random() % 3 == 0 && tensor->dims_size() > 0) {
    tensor->set_dims(static_cast<int>(random() & 0xffff) % tensor->dims_size(), odd_number(random));
  } else if (tensor->int64_data_size() > 0) {
    tensor->set_int64_data(static_cast<int>(random() & 0xffff) % tensor->int64_data_size(),
                           odd_number(random));
  } else if (tensor->float_data_size() > 0) {
    tensor->set_float_data(static_cast<int>(random() & 0xffff) % tensor->float_data_size(),
                           odd_float(random));
  }
}

void change_input(onnx::GraphProto* graph, Random& random) {
  if (graph->input_size() == 0) return;
  onnx::ValueInfoProto* input =
      graph->mutable_input(static_cast<int>(random() & 0xffff) % graph->input_size());
  onnx::TensorShapeProto* shape = input->mutable_type()->mutable_tensor_type()->mutable_shape();
  if (shape->dim_size() == 0 || random() % 8 == 0) shape->add_dim();
  onnx::TensorShapeProto::Dimension* dim =
      shape->mutable_dim(static_cast<int>(random() & 0xffff) % shape->dim_size());
  if (random() % 4 == 0)
    dim->set_dim_param("N");
  else
    dim->set_dim_value(random() % 2 ? odd_number(random) : static_cast<int64_t>(random() % 12));
}

void change_model(onnx::ModelProto* model, Random& random) {
  onnx::GraphProto* graph = model->mutable_graph();
  switch (random() % 6) {
    case 0:
      append_node(graph, random);
      break;
    case 1:
      change_tensor(graph, random);
      break;
    case 2:
      change_input(graph, random);
      break;
    case 3:
      if (model->opset_import_size() == 0) model->add_opset_import();
      model->mutable_opset_import(0)->set_version(7 + static_cast<int64_t>(random() % 15));
      break;
    default:
      change_node(graph, random);
  }
}

}  // namespace

// One time in four bytes are changed blindly, else the model is: most blind changes end in the
// protobuf parser.
extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size,
                                          unsigned int seed) {
  Random random(seed);
  onnx::ModelProto model;
  if (random() % 4 != 0 && model.ParseFromArray(data, static_cast<int>(size))) {
    for (auto changes = 1 + random() % 3; changes > 0; --changes) change_model(&model, random);
    const std::string changed = model.SerializeAsString();
    if (changed.size() <= max_size) {
      std::memcpy(data, changed.data(), changed.size());
      return changed.size();
    }
  }
  return LLVMFuzzerMutate ? LLVMFuzzerMutate(data, size, max_size) : size;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  carrel::ImportOptions options;
  options.fold = carrel::eval_node;
  std::vector<std::string> unsupported;
  const auto bytes = std::as_bytes(std::span(data, size));
  // No folder: external data has nowhere to come from.
  carrel::Result<carrel::Graph> graph =
      carrel::import_onnx_bytes(bytes, "/nonexistent", options, &unsupported);
  if (!graph.ok()) return 0;
  const auto stored = carrel::serialize_architecture(*graph);
  if (!carrel::parse_architecture(stored).ok()) std::abort();
  const auto exported = carrel::export_onnx_bytes(*graph);
  if (exported.ok()) {
    const auto again = carrel::import_onnx_bytes(*exported, "/nonexistent", options, &unsupported);
    if (!again.ok()) {
      std::fprintf(stderr, "%s\n", again.error().message());
      std::abort();
    }
  }
  const auto optimized = carrel::optimize(std::move(*graph), options.fold);
  // Arithmetic on hostile weights may leave the range of float; the graph itself stays valid.
  if (optimized.ok() && !carrel::verify_graph(*optimized).ok()) std::abort();
  return 0;
}
