#include "apps/cli/outputs.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "client/npy.h"

namespace carrel::cli {
namespace {

constexpr size_t kTop = 5;

std::string label_of(const std::vector<std::string>& labels, uint64_t index) {
  return index < labels.size() ? labels[index] : "";
}

Json ranked_json(const std::vector<Ranked>& ranked, const std::vector<std::string>& labels) {
  Json list = Json::array();
  for (const Ranked& r : ranked) {
    Json entry = {{"index", r.index}, {"value", r.value}};
    if (!label_of(labels, r.index).empty()) entry["label"] = label_of(labels, r.index);
    list.push_back(std::move(entry));
  }
  return list;
}

}  // namespace

std::vector<std::vector<Ranked>> top_five(const Tensor& output, int64_t images) {
  std::vector<std::vector<Ranked>> all;
  const std::span<const float> values = output.f32();
  const size_t count = values.size() / static_cast<size_t>(std::max<int64_t>(1, images));
  for (int64_t image = 0; image < images; ++image) {
    const std::span<const float> part = values.subspan(static_cast<size_t>(image) * count, count);
    std::vector<uint64_t> order(count);
    std::iota(order.begin(), order.end(), 0);
    const size_t top = std::min(kTop, count);
    // NaN comes last: the order stays strict.
    const auto key = [&](uint64_t i) { return std::isnan(part[i]) ? -INFINITY : part[i]; };
    std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(top), order.end(),
                      [&](uint64_t a, uint64_t b) { return key(a) != key(b) ? key(a) > key(b) : a < b; });
    std::vector<Ranked> ranked;
    for (size_t i = 0; i < top; ++i) ranked.push_back({order[i], part[order[i]]});
    all.push_back(std::move(ranked));
  }
  return all;
}

Json outputs_json(const std::vector<TensorInfo>& infos, const std::vector<Tensor>& outputs, int64_t images,
                  const std::vector<std::string>& labels) {
  Json list = Json::array();
  for (size_t i = 0; i < outputs.size(); ++i) {
    const Shape& shape = outputs[i].shape;
    std::vector<int64_t> dims;
    for (int d = 0; d < shape.rank(); ++d) dims.push_back(shape[d]);
    const auto tops = top_five(outputs[i], images);
    Json entry = {{"name", infos[i].name}, {"shape", dims}, {"top", ranked_json(tops[0], labels)}};
    if (images > 1) {
      Json each = Json::array();
      for (const auto& ranked : tops) each.push_back(ranked_json(ranked, labels));
      entry["top_of_each"] = std::move(each);
    }
    list.push_back(std::move(entry));
  }
  return list;
}

void print_outputs(const std::vector<TensorInfo>& infos, const std::vector<Tensor>& outputs, int64_t images,
                   const std::vector<std::string>& labels) {
  constexpr size_t kMostShown = 16;
  for (size_t i = 0; i < outputs.size(); ++i) {
    fmt::print("{} ({})\n", printable(infos[i].name), shape_text(outputs[i].shape));
    const auto tops = top_five(outputs[i], images);
    for (size_t image = 0; image < std::min(tops.size(), kMostShown); ++image) {
      if (images > 1) fmt::print("  image {}\n", image);
      for (const Ranked& r : tops[image]) fmt::print("  {:>6}  {:>12.6g}  {}\n", r.index, r.value, label_of(labels, r.index));
    }
    if (tops.size() > kMostShown) fmt::print("  ... and {} more images\n", tops.size() - kMostShown);
  }
}

void check_array_file(const std::string& path, size_t tensor_count) {
  if (path.empty() || tensor_count == 1 || path.ends_with(".npz")) return;
  fail(fmt::format("{}: {} arrays need a file that ends in .npz", path, tensor_count));
}

void write_tensors(const std::string& path, const std::vector<TensorInfo>& infos, const std::vector<Tensor>& outputs) {
  std::vector<NamedArray> arrays;
  for (size_t i = 0; i < outputs.size(); ++i) {
    const std::span<const float> values = outputs[i].f32();
    arrays.push_back({infos[i].name, outputs[i].shape, {values.begin(), values.end()}});
  }
  ok_or_fail(write_arrays(path, arrays), path);
}

}  // namespace carrel::cli
