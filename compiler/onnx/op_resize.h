#pragma once
// Resizing axis by axis, for coordinates that the Resize operator of the graph does not have.
#include <string>
#include <vector>

#include "compiler/onnx/node_context.h"

namespace carrel {

struct ResizeAxis {
  int axis = 0;
  int64_t size = 0;  // of the output
  float scale = 1;
  float roi_start = 0, roi_end = 1;  // tf_crop_and_resize
};

// half_pixel_symmetric, tf_half_pixel_for_nn, tf_crop_and_resize.
bool is_axis_coordinate(const std::string& name);

// Sets output 0. mode: 0 nearest (one Gather per axis), 1 linear (one product with a constant
// matrix per axis). `nearest` as in OpType::kResize. Positions outside the input:
// tf_crop_and_resize gives extrapolation_value, the others clamp. Errors: kUnsupported where the
// tables would be large.
Status resize_by_axes(NodeContext& context, const std::string& coordinates, int64_t mode,
                      int64_t nearest, const std::vector<ResizeAxis>& axes);

}  // namespace carrel
