#include "apps/common/epc_summary.h"

#include <cstdio>
#include <map>

#include "base/checked.h"
#include "compiler/plan/plan.h"
#include "files/atomic_file.h"
#include "platform/epcsim/epc.h"

namespace carrel {
namespace {

void count(EpcEventKind kind, EpcTally* tally) {
  switch (kind) {
    case EpcEventKind::kTouch: ++tally->touches; break;
    case EpcEventKind::kLoad: ++tally->loads; break;
    case EpcEventKind::kEvict: ++tally->evictions; break;
    case EpcEventKind::kCrossing: ++tally->crossings; break;
  }
}

class Tallies {
 public:
  EpcTally* of(const std::string& name) {
    const auto [found, fresh] = index_.try_emplace(name, rows_.size());
    if (fresh) rows_.push_back({name});
    return &rows_[found->second];
  }
  std::vector<EpcTally> take() { return std::move(rows_); }

 private:
  std::map<std::string, size_t> index_;
  std::vector<EpcTally> rows_;
};

const char* event_name(EpcEventKind kind) {
  switch (kind) {
    case EpcEventKind::kTouch: return "touch";
    case EpcEventKind::kLoad: return "load";
    case EpcEventKind::kEvict: return "evict";
    case EpcEventKind::kCrossing: return "crossing";
  }
  return "?";
}

// Names the pages of one program's block. The program outlives it.
class ProgramPages {
 public:
  ProgramPages(const ProgramView& program, std::vector<LayerName> layers) : program_(program), layers_(std::move(layers)) {
    const ProgramHeader& header = *program.header;
    buffers_ = round_up(header.program_bytes, 64);
    arena_ = buffers_ + uint64_t{header.threads} * header.tile_buffer_bytes;
  }

  std::pair<std::string, std::string> operator()(const EpcEvent& event) const {
    if (event.step >= program_.steps.size()) return {"engine start", "whole block"};
    const OpDesc& op = program_.ops[program_.steps[event.step].op];
    const std::string layer = op.layer < layers_.size() ? layers_[op.layer].name : "?";
    if (event.kind == EpcEventKind::kCrossing) return {layer, "calls"};
    return {layer, held(event, op, layer)};
  }

 private:
  std::string held(const EpcEvent& event, const OpDesc& op, const std::string& layer) const {
    const uint64_t begin = event.place * kEpcPageBytes, end = begin + kEpcPageBytes;
    if (begin < buffers_) return "program";
    if (begin < arena_) return "tile buffers";
    const auto meets = [&](uint64_t offset, uint64_t bytes) {
      return bytes > 0 && arena_ + offset < end && arena_ + offset + bytes > begin;
    };
    const auto meets_tensor = [&](uint16_t tensor) {
      return tensor != kNone16 && meets(program_.tensors[tensor].arena_offset, program_.tensors[tensor].bytes);
    };
    if (meets_tensor(op.out)) return layer + " output";
    if (meets_tensor(op.in0) || meets_tensor(op.in1)) return layer + " input";
    if (meets(op.scratch_offset, op.scratch_bytes)) return layer + " scratch";
    if (op.weights == WeightsMode::kResident || op.opcode == Opcode::kLoad) {
      const Result<TileGrid> grid = make_tile_grid(program_.streams[op.stream].shape);
      if (grid.ok() && meets(op.weights_offset, grid->expanded_bytes)) return layer + " weights";
    }
    return "other memory";  // a page that left while another layer was at work, or operands of a plain operator
  }

  ProgramView program_;
  std::vector<LayerName> layers_;
  uint64_t buffers_ = 0, arena_ = 0;
};

}  // namespace

EpcSummary summarize_epc(std::span<const EpcEvent> events, const EpcNames& names) {
  Tallies layers, tensors;
  for (const EpcEvent& event : events) {
    const auto [layer, held] = names(event);
    count(event.kind, layers.of(layer));
    count(event.kind, tensors.of(held));
  }
  return {layers.take(), tensors.take()};
}

Result<EpcNames> program_page_names(const ProgramView& program, const Graph& architecture) {
  CARREL_ASSIGN(std::vector<LayerName> layers, layer_names(architecture));
  return EpcNames(ProgramPages(program, std::move(layers)));
}

Status write_epc_trace(const std::string& path, const EpcTrace& trace) {
  CARREL_ASSIGN(AtomicFile file, AtomicFile::create(path));
  std::string text = "event,step,address\n";
  const auto flush = [&]() -> Status {
    const Status written = file.write(std::as_bytes(std::span(text)));
    text.clear();
    return written;
  };
  for (const EpcEvent& event : trace.events()) {
    char line[64];
    const unsigned long long address = event.place * kEpcPageBytes;
    std::snprintf(line, sizeof line, "%s,%d,0x%llx\n", event_name(event.kind), static_cast<int>(event.step), address);
    text += line;
    if (text.size() > 1 << 20) CARREL_RETURN_IF_ERROR(flush());
  }
  CARREL_RETURN_IF_ERROR(flush());
  return file.commit();
}

}  // namespace carrel
