#pragma once
// ONNX bytes to graph and back; the only room that knows protobuf.
#include <map>
#include <string>

#include "compiler/graph/graph.h"
#include "compiler/graph/patch.h"

namespace carrel {

struct ImportOptions {
  FoldFunction fold;  // constant folding during import (shape chains); required
  // Graph inputs to freeze to constants before import (e.g. a Reshape's shape fed as an input).
  std::map<std::string, Tensor> frozen_inputs;
  // Concrete value for symbolic dimensions other than the batch, by dim_param name.
  std::map<std::string, int64_t> symbols;
};

// Reads an ONNX file (opset 7 to 21; of older ones the operators whose definition is still that of
// opset 7), external data included, into a canonical graph with shapes
// inferred, constants folded and, where batch_separable, batch 1. Hostile input: every size is
// checked against the bytes present before memory is taken; external paths may not leave the
// model's folder. Errors: kInvalidInput (not ONNX, truncated, cyclic, shape mismatch, missing
// external data, NaN or infinity in weights ...), kUnsupported: *all* unsupported nodes, one line
// each, in `unsupported` as "NODE: OPERATOR: reason".
Result<Graph> import_onnx_file(const std::string& path, const ImportOptions& options,
                               std::vector<std::string>* unsupported);
Result<Graph> import_onnx_bytes(std::span<const std::byte> bytes, const std::string& folder,
                                const ImportOptions& options,
                                std::vector<std::string>* unsupported);

// Writes a canonical graph as ONNX (opset 17, ir 8), so that import_onnx_file reads back an equal
// graph. The file appears complete or not at all. Errors do not name `path`.
Status export_onnx_file(const Graph& graph, const std::string& path);
Result<std::vector<std::byte>> export_onnx_bytes(const Graph& graph);

}  // namespace carrel
