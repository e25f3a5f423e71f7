#pragma once
// ONNX files for commands.
#include <map>
#include <string>

#include "compiler/graph/graph.h"

namespace carrel::cli {

// Imports and optimizes; fails with every unsupported node, one line each.
Graph import_or_fail(const std::string& path, const std::map<std::string, int64_t>& symbols);
// `--dim NAME=VALUE` for symbolic dimensions other than the batch.
std::map<std::string, int64_t> parse_symbols(const std::vector<std::string>& texts);
uint64_t parameter_count(const Graph& graph);

}  // namespace carrel::cli
