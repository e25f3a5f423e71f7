#pragma once
// The figures of a machine by name: what calibration stores and `carrel plan` shows. A new figure joins the list.
#include <span>

#include "compiler/cost/cost.h"

namespace carrel {

struct FigureField {
  const char* name;
  double MachineFigures::*value;
  double least, most;  // what a machine may have: anything else is a damaged file or a failed measurement
};
std::span<const FigureField> figure_fields();
// Of the first field that is out of its bounds; null if none is.
const FigureField* implausible_figure(const MachineFigures& figures);

}  // namespace carrel
