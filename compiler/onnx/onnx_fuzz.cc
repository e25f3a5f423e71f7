// Import of hostile ONNX bytes: never a crash; what is accepted survives passes and comes back from export.
#include <cstdio>
#include <cstdlib>

#include "compiler/eval/eval.h"
#include "compiler/graph/patch.h"
#include "compiler/graph/serialize.h"
#include "compiler/onnx/onnx.h"

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
