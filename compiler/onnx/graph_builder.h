#pragma once
// From a parsed model to one canonical graph, for one choice of batch.
#include <set>

#include "compiler/onnx/node_context.h"

namespace carrel {

// A model's graph with its tensors read and its nodes sorted; shared by all graphs built from it.
struct Source {
  const onnx::GraphProto* proto = nullptr;
  int opset = 0;
  TensorTable tensors;
  std::vector<int> order;          // nodes, producers first
  std::set<std::string> consumed;  // names that nodes read, and graph outputs
  int64_t batch = -1;  // leading dim that all run-time inputs share: n, 0 symbolic, -1 none
};

// Reads tensors, sorts nodes. kInvalidInput: a cycle, a name defined twice or never, an input or
// output whose name is no identity (empty, repeated, with control characters, too long).
Result<Source> prepare_source(onnx::GraphProto* proto, int opset, const std::string& folder,
                              const ImportOptions& options);

// Builds the graph with `batch` as leading dimension of every input (-1: as the file says). All
// unsupported nodes are added to `unsupported`; the graph is then useless and the error says how
// many there are.
Result<Graph> build_graph(const Source& source, const ImportOptions& options, int64_t batch,
                          std::vector<std::string>* unsupported);

// The name for messages: the node's, or "Op#index".
std::string node_label(const onnx::NodeProto& node, int index);

}  // namespace carrel
