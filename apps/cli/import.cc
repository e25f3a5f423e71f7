#include "apps/cli/import.h"

#include "apps/cli/cli.h"
#include "apps/cli/progress.h"
#include "compiler/eval/eval.h"
#include "compiler/graph/patch.h"
#include "compiler/onnx/onnx.h"

namespace carrel::cli {

Graph import_or_fail(const std::string& path, const std::map<std::string, int64_t>& symbols) {
  ImportOptions options;
  options.fold = eval_node;
  options.symbols = symbols;
  std::vector<std::string> unsupported;
  const Progress progress("reading the network");
  Result<Graph> graph = import_onnx_file(path, options, &unsupported);
  if (graph.ok()) return value_or_fail(optimize(std::move(*graph), eval_node), path);
  if (unsupported.empty()) fail(graph.error(), path);
  std::string message = path + ": " + std::to_string(unsupported.size()) + " of its nodes are not supported:";
  for (const std::string& line : unsupported) message += "\n  " + line;
  fail(message);
}

std::map<std::string, int64_t> parse_symbols(const std::vector<std::string>& texts) {
  std::map<std::string, int64_t> symbols;
  for (const std::string& text : texts) {
    const size_t equals = text.find('=');
    char* end = nullptr;
    const long long value = equals == std::string::npos ? 0 : std::strtoll(text.c_str() + equals + 1, &end, 10);
    if (equals == 0 || value <= 0 || *end != '\0') {
      throw CLI::ValidationError("--dim", "'" + text + "' is not NAME=VALUE with a positive VALUE");
    }
    symbols[text.substr(0, equals)] = value;
  }
  return symbols;
}

uint64_t parameter_count(const Graph& graph) {
  uint64_t count = 0;
  for (const Value& value : graph.values) {
    if (value.is_const() && value.type == DType::kF32) count += static_cast<uint64_t>(value.shape.count());
  }
  return count;
}

}  // namespace carrel::cli
