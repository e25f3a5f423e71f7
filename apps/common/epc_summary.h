#pragma once
// A trace of faults, put in words: which layer took them, for what.
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "compiler/graph/graph.h"
#include "engine/format/program.h"
#include "platform/epcsim/epc_trace.h"

namespace carrel {

struct EpcTally {
  std::string name;  // of the layer, or of what the page held
  uint64_t touches = 0, loads = 0, evictions = 0, crossings = 0;
  uint64_t bytes_moved() const { return (loads + evictions) * 4096; }  // encrypted pages in and out
};
struct EpcSummary {
  std::vector<EpcTally> layers;   // as executed; evictions count where they happened
  std::vector<EpcTally> tensors;  // "conv1 output", "tile buffers", ...; in order of appearance
};

// What a step is of and what page `place` holds meanwhile.
using EpcNames = std::function<std::pair<std::string, std::string>(const EpcEvent& event)>;
EpcSummary summarize_epc(std::span<const EpcEvent> events, const EpcNames& names);

// Of carrel's engine: the block is [program][tile buffers][arena] (engine/format/program.h).
Result<EpcNames> program_page_names(const ProgramView& program, const Graph& architecture);

// One line per event, "event,step,address": addresses in the region, hexadecimal; step -1: while the engine starts. Errors: kIo.
Status write_epc_trace(const std::string& path, const EpcTrace& trace);

}  // namespace carrel
