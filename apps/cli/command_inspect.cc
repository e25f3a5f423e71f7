#include <fmt/core.h>

#include <map>

#include "apps/cli/cli.h"
#include "apps/cli/import.h"
#include "apps/cli/precision.h"
#include "compiler/seal/seal.h"

namespace carrel::cli {
namespace {

struct Options {
  std::string model;
  bool json = false;
};

uint64_t tile_count(const SealedInfo& info) {
  uint64_t count = 0;
  for (const StreamDesc& stream : info.streams) count += make_tile_grid(stream.shape)->tile_count;
  return count;
}

// With the batch that a run takes: "Nx3x8x8" where it is free.
std::string port_text(const Graph& graph, const Shape& shape) {
  if (shape.rank() == 0 || graph.batch == 1) return shape_text(shape);
  std::string text = graph.batch == 0 ? "N" : std::to_string(graph.batch);
  for (int i = 1; i < shape.rank(); ++i) text += fmt::format("x{}", shape[i]);
  return text;
}

// What the file has of a node's weights.
struct StoredWeights {
  const char* type = "-";
  uint64_t bytes = 0;
};

// By node. Empty for a file that another carrel laid out.
std::vector<StoredWeights> stored_weights(const SealedInfo& info) {
  std::vector<StoredWeights> all(info.architecture.nodes.size());
  const Result<StreamPlan> plan = sealed_streams(info);
  for (size_t i = 0; plan.ok() && i < plan->streams.size(); ++i) {
    if (plan->sources[i].node < 0) continue;
    StoredWeights& mine = all[static_cast<size_t>(plan->sources[i].node)];
    mine.type = stored_name(plan->streams[i].shape.stored);
    mine.bytes += make_tile_grid(plan->streams[i].shape)->stored_bytes;
  }
  return all;
}

const char* kind_name(WeightsKind kind) {
  constexpr const char* kNames[] = {"none", "conv", "depthwise", "vectors", "plain", "quantized conv",
                                    "quantized depthwise", "dense"};
  return kNames[static_cast<size_t>(kind)];
}

Json ports_json(const Graph& graph, const std::vector<ValueId>& ids) {
  Json list = Json::array();
  for (ValueId id : ids) {
    const Shape& shape = graph.value(id).shape;
    std::vector<int64_t> dims;
    for (int i = 0; i < shape.rank(); ++i) dims.push_back(shape[i]);
    list.push_back({{"name", graph.value(id).name}, {"shape", dims}});
  }
  return list;
}

Json layers_json(const SealedInfo& info) {
  const Graph& graph = info.architecture;
  const std::vector<StoredWeights> stored = stored_weights(info);
  Json list = Json::array();
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    const Node& node = graph.nodes[i];
    const Shape shape = node.outputs.empty() ? Shape{} : graph.value(node.outputs[0]).shape;
    list.push_back({{"name", node.name}, {"op", op_name(node.op)}, {"output", shape_text(shape)},
                    {"stored", stored[i].type}, {"bytes", stored[i].bytes}});
  }
  return list;
}

Json programs_json(const SealedInfo& info) {
  Json list = Json::array();
  for (const ProgramRecord& p : info.programs) {
    list.push_back({{"budget_bytes", p.budget_bytes}, {"planned_peak_bytes", p.planned_peak_bytes},
                    {"strategy", strategy_name(static_cast<Strategy>(p.strategy))}, {"threads", p.threads},
                    {"isa", isa_name(static_cast<IsaLevel>(p.isa))}, {"program_bytes", p.program_bytes}});
  }
  return list;
}

Json streams_json(const SealedInfo& info) {
  Json list = Json::array();
  for (const StreamDesc& stream : info.streams) {
    const TileGrid grid = *make_tile_grid(stream.shape);
    list.push_back({{"kind", kind_name(stream.shape.kind)}, {"stored", stored_name(stream.shape.stored)}, {"file_offset", stream.file_offset},
                    {"first_tile", stream.first_tile}, {"tiles", grid.tile_count}, {"bytes", grid.stored_bytes}});
  }
  return list;
}

void print_all_json(const Options& options, const SealedInfo& info) {
  const Graph& graph = info.architecture;
  print_json({{"path", options.model},
              {"model_id", hex(info.header.model_id)},
              {"name", graph.name},
              {"format_version", info.header.version},
              {"precision", precision_word(weight_types(info.manifest), info.streams)},
              {"fc_precision", stored_name(weight_types(info.manifest).dense)},
              {"file_bytes", info.header.file_bytes},
              {"tiles_bytes", info.header.tiles_bytes},
              {"parameters", parameter_count(graph)},
              {"tiles", tile_count(info)},
              {"batch", graph.batch},
              {"inputs", ports_json(graph, graph.inputs)},
              {"outputs", ports_json(graph, graph.outputs)},
              {"programs", programs_json(info)},
              {"streams", streams_json(info)},
              {"layers", layers_json(info)}});
}

void print_ports(const char* label, const Graph& graph, const std::vector<ValueId>& ids) {
  for (ValueId id : ids) {
    fmt::print("{:<12}{} ({})\n", label, printable(graph.value(id).name), port_text(graph, graph.value(id).shape));
    label = "";
  }
}

void print_programs(const SealedInfo& info) {
  if (info.programs.empty()) return fmt::print("\nNo sealed programs: run plans on the spot.\n");
  fmt::print("\nPrograms\n");
  Table table({"budget", "strategy", "threads", "isa", "planned peak", "program"}, "rlrlrr");
  for (const ProgramRecord& p : info.programs) {
    table.add({size_text(p.budget_bytes), strategy_name(static_cast<Strategy>(p.strategy)), std::to_string(p.threads),
               isa_name(static_cast<IsaLevel>(p.isa)), size_text(p.planned_peak_bytes), size_text(p.program_bytes)});
  }
  table.print();
}

void print_layers(const SealedInfo& info) {
  const Graph& graph = info.architecture;
  fmt::print("\nLayers\n");
  const std::vector<StoredWeights> stored = stored_weights(info);
  Table table({"#", "operator", "name", "output", "weights", "stored", "bytes"}, "rlllrlr");
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    const Node& node = graph.nodes[i];
    uint64_t weights = 0;
    for (ValueId id : node.inputs) {
      if (id == kNoValue || !graph.value(id).is_const() || graph.value(id).type != DType::kF32) continue;
      weights += static_cast<uint64_t>(graph.value(id).shape.count());
    }
    table.add({std::to_string(i), op_name(node.op), node.name,
               node.outputs.empty() ? "-" : shape_text(graph.value(node.outputs[0]).shape),
               weights == 0 ? "-" : std::to_string(weights), stored[i].type,
               stored[i].bytes == 0 ? "-" : size_text(stored[i].bytes)});
  }
  table.print();
}

void run(const Options& options) {
  const SealedInfo info = value_or_fail(read_sealed(options.model), options.model);
  if (options.json) return print_all_json(options, info);
  fmt::print("{}\n", options.model);
  fmt::print("{:<12}{}\n", "model id", hex(info.header.model_id));
  fmt::print("{:<12}{}\n", "network", printable(info.architecture.name));
  fmt::print("{:<12}{}\n", "precision", precision_name(weight_types(info.manifest), info.streams));
  fmt::print("{:<12}{}, of which {} encrypted weights ({} numbers, {} streams, {} tiles)\n", "size",
             size_text(info.header.file_bytes), size_text(info.header.tiles_bytes), parameter_count(info.architecture),
             info.streams.size(), tile_count(info));
  print_ports("inputs", info.architecture, info.architecture.inputs);
  print_ports("outputs", info.architecture, info.architecture.outputs);
  print_programs(info);
  print_layers(info);
  fmt::print("\nThis is what anyone can see. Nothing of it is verified without the key (carrel verify).\n");
}

}  // namespace

void add_inspect(CLI::App& app) {
  const auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("inspect", "Show what a host can see of a sealed model (no key needed)");
  command->add_option("MODEL", options->model, "sealed file")->required()->type_name("MODEL.carrel");
  command->add_flag("--json", options->json, "print one JSON object");
  add_example(command, "carrel inspect resnet50.carrel");
  command->callback([options] { run(*options); });
}

}  // namespace carrel::cli
