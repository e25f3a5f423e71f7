// prepare_source: what can be said about a model before any operator is looked at.
#include <algorithm>
#include <unordered_map>

#include "compiler/onnx/graph_builder.h"
#include "compiler/onnx/names.h"

namespace carrel {
namespace {

Error invalid(const char* format, const std::string& name) {
  return Error(ErrorCode::kInvalidInput, format, printable(name).c_str());
}

bool is_run_time_input(const Source& source, const ImportOptions& options,
                       const onnx::ValueInfoProto& input) {
  if (options.frozen_inputs.count(input.name())) return false;
  for (const onnx::TensorProto& tensor : source.proto->initializer()) {
    if (tensor.name() == input.name()) return false;
  }
  return true;
}

// The leading dim that all run-time inputs share, or -1.
int64_t shared_batch(const Source& source, const ImportOptions& options) {
  bool first = true;
  int64_t batch = -1;
  std::string symbol;
  for (const onnx::ValueInfoProto& input : source.proto->input()) {
    if (!is_run_time_input(source, options, input)) continue;
    const onnx::TensorShapeProto& shape = input.type().tensor_type().shape();
    if (shape.dim_size() == 0) return -1;
    const onnx::TensorShapeProto::Dimension& dim = shape.dim(0);
    const std::string name = dim.dim_param();
    const bool given = options.symbols.count(name) != 0;
    const int64_t size = given                 ? options.symbols.at(name)
                         : dim.has_dim_value() ? dim.dim_value()
                                               : 0;
    // Some exporters write an unknown dim as -1.
    const int64_t leading = size > 0 ? size : 0;
    if (!first && (leading != batch || (leading == 0 && name != symbol))) return -1;
    first = false;
    batch = leading;
    symbol = name;
  }
  return batch;
}

// Inputs and outputs keep their names: callers feed by them, and arrays are stored under them.
constexpr size_t kLongestName = 4096;

Status check_names(const google::protobuf::RepeatedPtrField<onnx::ValueInfoProto>& values,
                   const char* kind) {
  std::set<std::string> seen;
  for (const onnx::ValueInfoProto& value : values) {
    const std::string& name = value.name();
    const char* wrong = name.empty() || !seen.insert(name).second ? "it is unnamed or listed twice"
                        : std::any_of(name.begin(), name.end(), is_control)
                            ? "its name has control characters"
                        : name.size() > kLongestName ? "its name is too long"
                                                     : nullptr;
    if (wrong == nullptr) continue;
    return Error(ErrorCode::kInvalidInput, "graph %s '%s': %s", kind, printable(name).c_str(),
                 wrong);
  }
  return ok_status();
}

// Which node (index + 1) defines each name; 0 for inputs and initializers.
using Definitions = std::unordered_map<std::string, int>;

Result<Definitions> find_definitions(const onnx::GraphProto& graph) {
  CARREL_RETURN_IF_ERROR(check_names(graph.input(), "input"));
  CARREL_RETURN_IF_ERROR(check_names(graph.output(), "output"));
  Definitions definitions;
  std::set<std::string> inputs;
  for (const onnx::ValueInfoProto& input : graph.input()) {
    inputs.insert(input.name());
    definitions[input.name()] = 0;
  }
  for (const onnx::TensorProto& tensor : graph.initializer()) {
    // An initializer may share its name with an input, whose default it is.
    const bool fresh = definitions.emplace(tensor.name(), 0).second;
    if (tensor.name().empty() || (!fresh && inputs.erase(tensor.name()) == 0)) {
      return invalid("tensor '%s' is unnamed or listed twice", tensor.name());
    }
  }
  for (int n = 0; n < graph.node_size(); ++n) {
    for (const std::string& output : graph.node(n).output()) {
      if (!output.empty() && !definitions.emplace(output, n + 1).second) {
        return invalid("value '%s' is defined twice", output);
      }
    }
  }
  return definitions;
}

Status check_defined(const onnx::GraphProto& graph, const Definitions& definitions) {
  for (int n = 0; n < graph.node_size(); ++n) {
    for (const std::string& input : graph.node(n).input()) {
      if (!input.empty() && definitions.count(input) == 0) {
        return Error(ErrorCode::kInvalidInput, "node %s: input '%s' is not defined",
                     node_label(graph.node(n), n).c_str(), printable(input).c_str());
      }
    }
  }
  if (graph.output_size() == 0) return Error(ErrorCode::kInvalidInput, "the model has no outputs");
  for (const onnx::ValueInfoProto& output : graph.output()) {
    if (definitions.count(output.name()) == 0) {
      return invalid("graph output '%s' is not defined", output.name());
    }
  }
  return ok_status();
}

// Kahn's algorithm; keeps the file's order where it already is one.
Result<std::vector<int>> sort_nodes(const onnx::GraphProto& graph, const Definitions& definitions) {
  const auto count = static_cast<size_t>(graph.node_size());
  std::vector<int> waiting(count, 0);
  std::vector<std::vector<int>> followers(count);
  for (int n = 0; n < graph.node_size(); ++n) {
    for (const std::string& input : graph.node(n).input()) {
      const int definer = input.empty() ? 0 : definitions.at(input);
      if (definer == 0) continue;
      ++waiting[static_cast<size_t>(n)];
      followers[static_cast<size_t>(definer - 1)].push_back(n);
    }
  }
  std::set<int> ready;
  for (int n = 0; n < graph.node_size(); ++n) {
    if (waiting[static_cast<size_t>(n)] == 0) ready.insert(n);
  }
  std::vector<int> order;
  while (!ready.empty()) {
    const int n = *ready.begin();
    ready.erase(ready.begin());
    order.push_back(n);
    for (int follower : followers[static_cast<size_t>(n)]) {
      if (--waiting[static_cast<size_t>(follower)] == 0) ready.insert(follower);
    }
  }
  if (order.size() == count) return order;
  for (int n = 0; n < graph.node_size(); ++n) {
    if (waiting[static_cast<size_t>(n)] > 0) {
      return Error(ErrorCode::kInvalidInput, "node %s: the graph has a cycle",
                   node_label(graph.node(n), n).c_str());
    }
  }
  return Error(ErrorCode::kInvalidInput, "the graph has a cycle");
}

}  // namespace

std::string node_label(const onnx::NodeProto& node, int index) {
  if (!node.name().empty()) return printable(node.name());
  return printable(node.op_type()) + "#" + std::to_string(index);
}

Result<Source> prepare_source(onnx::GraphProto* proto, int opset, const std::string& folder,
                              const ImportOptions& options) {
  Source source;
  source.proto = proto;
  source.opset = opset;
  CARREL_ASSIGN(const Definitions definitions, find_definitions(*proto));
  CARREL_RETURN_IF_ERROR(check_defined(*proto, definitions));
  CARREL_ASSIGN(source.order, sort_nodes(*proto, definitions));
  for (const onnx::NodeProto& node : proto->node()) {
    source.consumed.insert(node.input().begin(), node.input().end());
  }
  for (const onnx::ValueInfoProto& output : proto->output()) source.consumed.insert(output.name());
  CARREL_ASSIGN(source.tensors, TensorTable::read(proto, folder));
  source.batch = shared_batch(source, options);
  return source;
}

}  // namespace carrel
