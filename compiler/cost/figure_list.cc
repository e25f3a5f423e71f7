#include "compiler/cost/figure_list.h"

namespace carrel {
namespace {

constexpr FigureField kFields[] = {
    {"flops_per_second", &MachineFigures::flops_per_second, 1e6, 1e15},
    {"touch_bytes_per_second", &MachineFigures::touch_bytes_per_second, 1e6, 1e14},
    {"fetch_bytes_per_second", &MachineFigures::fetch_bytes_per_second, 1e5, 1e13},
    {"far_bytes_per_second", &MachineFigures::far_bytes_per_second, 1e6, 1e14},
    {"spill_bytes_per_second", &MachineFigures::spill_bytes_per_second, 1e5, 1e13},
    {"action_seconds", &MachineFigures::action_seconds, 1e-9, 1e-1},
    {"winograd2_filter_seconds", &MachineFigures::winograd2_filter_seconds, 1e-11, 1e-3},
    {"winograd2_input_seconds", &MachineFigures::winograd2_input_seconds, 1e-11, 1e-3},
    {"winograd2_output_seconds", &MachineFigures::winograd2_output_seconds, 1e-11, 1e-3},
    {"winograd4_filter_seconds", &MachineFigures::winograd4_filter_seconds, 1e-11, 1e-3},
    {"winograd4_input_seconds", &MachineFigures::winograd4_input_seconds, 1e-11, 1e-3},
    {"winograd4_output_seconds", &MachineFigures::winograd4_output_seconds, 1e-11, 1e-3},
};

}  // namespace

std::span<const FigureField> figure_fields() { return kFields; }

const FigureField* implausible_figure(const MachineFigures& figures) {
  for (const FigureField& field : kFields) {
    const double value = figures.*field.value;
    if (!(value >= field.least && value <= field.most)) return &field;
  }
  return nullptr;
}

}  // namespace carrel
