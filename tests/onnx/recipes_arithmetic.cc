// Matrix products, broadcasting arithmetic, reductions.
#include "tests/onnx/recipes.h"

namespace carrel::conformance {
namespace {

using M = Maker&;

TestCase gemm(M m, bool transposed, std::initializer_list<int64_t> bias) {
  m.in("x", {4, 6});
  transposed ? m.weight("w", {5, 6}) : m.weight("w", {6, 5});
  if (bias.size() > 0) m.weight("c", bias);
  onnx::NodeProto& node = m.node("Gemm", {"x", "w", bias.size() > 0 ? "c" : ""});
  set_int(node, "transB", transposed);
  set_float(node, "alpha", 0.5f);
  set_float(node, "beta", 2);
  return m.finish();
}

TestCase matmul(M m, std::initializer_list<int64_t> x, std::initializer_list<int64_t> w,
                bool run_time) {
  m.in("x", x);
  run_time ? m.in("w", w) : m.weight("w", w);
  m.node("MatMul", {"x", "w"});
  return m.finish();
}

// Two operands, the second a constant or given at run time.
TestCase binary(M m, const char* op, std::initializer_list<int64_t> other, bool run_time) {
  const bool positive = std::string(op) == "Div" || std::string(op) == "Pow";
  m.in("x", {2, 3, 5, 4}, positive ? 0.5f : -2, 2);
  const float low = positive ? 0.5f : -2;
  run_time ? m.in("w", other, low, 2) : m.weight("w", other, low, 2);
  m.node(op, {"x", "w"});
  return m.finish();
}

TestCase variadic_same(M m, const char* op) {
  for (const char* name : {"x", "z"}) m.in(name, {2, 3, 5, 4});
  m.weight("w", {2, 3, 5, 4});
  m.node(op, {"x", "z", "w"});
  return m.finish();
}

TestCase variadic(M m, const char* op) {
  m.in("x", {2, 3, 5, 4});
  m.in("z", {2, 3, 1, 4});
  m.weight("w", {5, 1});
  m.node(op, {"x", "z", "w"});
  return m.finish();
}

TestCase reduce(M m, const char* op, std::vector<int64_t> axes, bool keep) {
  for (int64_t& axis : axes) axis = m.axis(axis, 4);
  m.in("x", {2, 3, 5, 4});
  onnx::NodeProto& node = m.node(op, {"x"});
  const int since = std::string(op) == "ReduceSum" ? 13 : 18;
  if (!axes.empty()) m.list(node, "axes", axes, since);
  set_int(node, "keepdims", keep);
  return m.finish();
}

TestCase reduce_nothing(M m, const char* op) {
  m.in("x", {2, 3, 5, 4});
  set_int(m.node(op, {"x"}), "noop_with_empty_axes", 1);
  return m.finish();
}

#define CARREL_BINARY(OP)                                                                 \
  {OP, "per channel", 7,                                                                  \
   [](M m) {                                                                              \
     return binary(m, OP, {3, 1, 1}, false);                                              \
   }},                                                                                    \
      {OP, "scalar", 7, [](M m) { return binary(m, OP, {}, false); }},                    \
      {OP, "same shape at run time", 7,                                                   \
       [](M m) {                                                                          \
         return binary(m, OP, {2, 3, 5, 4}, true);                                        \
       }},                                                                                \
  {                                                                                       \
    OP, "broadcast at run time", 7, [](M m) { return binary(m, OP, {2, 1, 5, 1}, true); } \
  }
#define CARREL_REDUCE(OP)                                                                  \
  {OP, "spatial", 7,                                                                       \
   [](M m) {                                                                               \
     return reduce(m, OP, {2, 3}, true);                                                   \
   }},                                                                                     \
      {OP, "negative axis, dropped", 7, [](M m) { return reduce(m, OP, {-1}, false); }}, { \
    OP, "all", 7, [](M m) { return reduce(m, OP, {}, true); }                              \
  }

const Recipe kRecipes[] = {
    {"Gemm", "", 7, [](M m) { return gemm(m, false, {5}); }},
    {"Gemm", "transB, no bias", 11, [](M m) { return gemm(m, true, {}); }},
    {"Gemm", "scalar bias", 7, [](M m) { return gemm(m, true, {1}); }},
    {"MatMul", "matrix", 7,
     [](M m) {
       return matmul(m, {4, 6}, {6, 5}, false);
     }},
    {"MatMul", "batched", 7,
     [](M m) {
       return matmul(m, {2, 3, 4, 6}, {6, 5}, false);
     }},
    {"MatMul", "both at run time", 7,
     [](M m) {
       return matmul(m, {2, 3, 4, 6}, {2, 3, 6, 5}, true);
     }},
    {"MatMul", "broadcast", 7,
     [](M m) {
       return matmul(m, {2, 1, 4, 6}, {3, 6, 5}, false);
     }},
    {"MatMul", "vector", 7,
     [](M m) {
       return matmul(m, {3, 4, 6}, {6}, false);
     }},
    CARREL_BINARY("Add"),
    CARREL_BINARY("Sub"),
    CARREL_BINARY("Mul"),
    CARREL_BINARY("Div"),
    CARREL_BINARY("Pow"),
    {"Sum", "same shapes", 7, [](M m) { return variadic_same(m, "Sum"); }},
    {"Sum", "broadcast", 8, [](M m) { return variadic(m, "Sum"); }},
    {"Max", "same shapes", 7, [](M m) { return variadic_same(m, "Max"); }},
    {"Max", "broadcast", 8, [](M m) { return variadic(m, "Max"); }},
    {"Min", "same shapes", 7, [](M m) { return variadic_same(m, "Min"); }},
    {"Min", "broadcast", 8, [](M m) { return variadic(m, "Min"); }},
    {"Mean", "same shapes", 7, [](M m) { return variadic_same(m, "Mean"); }},
    {"Mean", "broadcast", 8, [](M m) { return variadic(m, "Mean"); }},
    CARREL_REDUCE("ReduceMean"),
    CARREL_REDUCE("ReduceSum"),
    CARREL_REDUCE("ReduceMax"),
    {"ReduceSum", "noop_with_empty_axes", 13, [](M m) { return reduce_nothing(m, "ReduceSum"); }},
    {"ReduceMean", "noop_with_empty_axes", 18, [](M m) { return reduce_nothing(m, "ReduceMean"); }},
};

}  // namespace

std::span<const Recipe> arithmetic_recipes() { return kRecipes; }

}  // namespace carrel::conformance
