#include "compiler/onnx/window.h"

namespace carrel {
namespace {

constexpr int64_t kMaxEntry = int64_t{1} << 31;

Status check_list(const NodeContext& context, const char* name, size_t count, int64_t low,
                  int64_t fallback, std::vector<int64_t>* list) {
  if (list->empty()) list->assign(count, fallback);
  if (list->size() != count) {
    return context.invalid("%s has %zu entries instead of %zu", name, list->size(), count);
  }
  for (int64_t entry : *list) {
    if (entry < low || entry >= kMaxEntry) {
      return context.invalid("%s has the entry %lld", name, static_cast<long long>(entry));
    }
  }
  return ok_status();
}

}  // namespace

Result<int> spatial_rank(const NodeContext& context) {
  const Shape& x = context.shape(0);
  if (x.rank() < 3) return context.invalid("its input has %d dimensions", x.rank());
  if (x.rank() > 5) return context.unsupported("%d spatial dimensions", x.rank() - 2);
  for (int i = 0; i < x.rank(); ++i) {
    if (x[i] < 1 || x[i] >= kMaxEntry) return context.invalid("its input is empty or too large");
  }
  return x.rank() - 2;
}

Result<Window> read_window(NodeContext& context, std::vector<int64_t> kernel) {
  const size_t spatial = kernel.size();
  Window window;
  window.kernel = std::move(kernel);
  window.strides = context.ints_attribute("strides");
  window.dilations = context.ints_attribute("dilations");
  window.pads = context.ints_attribute("pads");
  CARREL_RETURN_IF_ERROR(check_list(context, "kernel_shape", spatial, 1, 1, &window.kernel));
  CARREL_RETURN_IF_ERROR(check_list(context, "strides", spatial, 1, 1, &window.strides));
  CARREL_RETURN_IF_ERROR(check_list(context, "dilations", spatial, 1, 1, &window.dilations));
  CARREL_RETURN_IF_ERROR(check_list(context, "pads", 2 * spatial, 0, 0, &window.pads));
  return window;
}

Status resolve_auto_pad(NodeContext& context, Window* window) {
  const std::string mode = context.string_attribute("auto_pad", "NOTSET");
  if (mode == "NOTSET" || mode.empty()) return ok_status();
  window->pads.assign(window->pads.size(), 0);
  if (mode == "VALID") return ok_status();
  if (mode != "SAME_UPPER" && mode != "SAME_LOWER") {
    return context.invalid("auto_pad is '%s'", mode.c_str());
  }
  const auto spatial = static_cast<size_t>(window->spatial());
  for (size_t i = 0; i < spatial; ++i) {
    const int64_t in = context.shape(0)[static_cast<int>(i) + 2];
    const int64_t out = (in + window->strides[i] - 1) / window->strides[i];
    const int64_t total =
        std::max<int64_t>((out - 1) * window->strides[i] + window->span(i) - in, 0);
    const int64_t less = total / 2;
    window->pads[i] = mode == "SAME_UPPER" ? less : total - less;
    window->pads[i + spatial] = total - window->pads[i];
  }
  return ok_status();
}

void set_window(const Window& window, Node* node) {
  node->attributes.ints["strides"] = window.strides;
  node->attributes.ints["pads"] = window.pads;
  node->attributes.ints["dilations"] = window.dilations;
}

}  // namespace carrel
