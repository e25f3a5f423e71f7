#pragma once
// Writes canonical nodes as ONNX ones; what export_onnx_* share.
#include <set>

#include "compiler/onnx/onnx.h"
#include "compiler/onnx/proto.h"

namespace carrel {

class Exporter {
 public:
  Exporter(const Graph& graph, onnx::GraphProto* proto);
  Status run();

 private:
  // The value's unique ONNX name; writes a constant on first use.
  const std::string& name(ValueId id);
  std::string fresh_name(const std::string& stem);
  void write_tensor(const Tensor& tensor, const std::string& tensor_name);
  // A list as a new initializer; returns its name.
  std::string int_list(const std::string& stem, const std::vector<int64_t>& values);
  std::string float_list(const std::string& stem, const std::vector<float>& values, bool scalar);
  void set_shape_of(ValueId id, onnx::ValueInfoProto* info);
  onnx::NodeProto* add_node(const std::string& op, const std::string& node_name);

  Status write_node(const Node& node);
  // The node's operator with its inputs and attributes; its outputs are write_node's affair.
  Result<onnx::NodeProto*> write_operator(const Node& node);
  void write_list_inputs(const Node& node, onnx::NodeProto* proto);
  Status write_attributes(const Node& node, onnx::NodeProto* proto);
  Status write_pool(const Node& node, onnx::NodeProto* proto);
  Status write_transposed_pads(const Node& node, onnx::NodeProto* proto);
  Status write_affine(const Node& node, onnx::NodeProto* proto);
  void write_levels(const Node& node, onnx::NodeProto* proto);
  Status write_resize(const Node& node, onnx::NodeProto* proto);
  // The ONNX node or nodes for `function` from value name `in`; returns the last.
  Result<onnx::NodeProto*> write_unary(const Unary& function, const std::string& in,
                                       const std::string& node_name);
  Result<onnx::NodeProto*> write_gelu(const Unary& function, const std::string& in,
                                      const std::string& node_name);
  onnx::NodeProto* write_binary(const char* op, const std::string& node_name, const std::string& a,
                                const std::string& b);
  std::string output_of(onnx::NodeProto* node);

  const Graph& graph_;
  onnx::GraphProto& proto_;
  std::vector<std::string> names_;
  std::set<std::string> taken_;
};

}  // namespace carrel
