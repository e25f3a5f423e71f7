// Shapes, layout, constants.
#include "tests/onnx/recipes.h"

namespace carrel::conformance {
namespace {

using M = Maker&;

TestCase concat(M m, int64_t axis) {
  m.in("x", {2, 3, 5, 4});
  m.in("z", {2, 3, 5, 4});
  set_int(m.node("Concat", {"x", "z", "x"}), "axis", m.axis(axis, 4));
  return m.finish();
}

TestCase split_sizes(M m) {
  m.in("x", {2, 7, 5, 4});
  onnx::NodeProto& node = m.node("Split", {"x"}, {"y", "z"});
  m.list(node, "split", {3, 4}, 13);
  set_int(node, "axis", 1);
  return m.finish({"y", "z"});
}

TestCase split_evenly(M m) {
  m.in("x", {2, 6, 5, 4});
  onnx::NodeProto& node = m.node("Split", {"x"}, {"y", "z"});
  set_int(node, "axis", 1);
  if (m.opset() >= 18) set_int(node, "num_outputs", 2);
  return m.finish({"y", "z"});
}

TestCase split_unevenly(M m) {
  m.in("x", {2, 7, 4});
  onnx::NodeProto& node = m.node("Split", {"x"}, {"y", "z"});
  set_int(node, "axis", 1);
  set_int(node, "num_outputs", 2);
  return m.finish({"y", "z"});
}

TestCase slice(M m, const std::vector<int64_t>& starts, const std::vector<int64_t>& ends,
               const std::vector<int64_t>& axes, const std::vector<int64_t>& steps) {
  m.in("x", {2, 3, 7, 6});
  onnx::NodeProto& node = m.node("Slice", {"x"});
  m.list(node, "starts", starts, 10);
  m.list(node, "ends", ends, 10);
  m.list(node, "axes", axes, 10);
  if (!steps.empty()) m.list(node, "steps", steps, 10);
  return m.finish();
}

TestCase pad(M m, const char* mode, const std::vector<int64_t>& pads, bool value) {
  m.in("x", {2, 3, 5, 4});
  onnx::NodeProto& node = m.node("Pad", {"x"});
  m.list(node, "pads", pads, 11);
  set_string(node, "mode", mode);
  if (!value) return m.finish();
  if (m.opset() < 11) {
    set_float(node, "value", 1.5f);
  } else {
    m.scalar("value", 1.5f);
    node.add_input("value");
  }
  return m.finish();
}

TestCase pad_axes(M m) {
  m.in("x", {2, 3, 5, 4});
  m.ints("pads", {1, 2, 0, 1});
  m.ints("axes", {2, -1});
  m.node("Pad", {"x", "pads", "", "axes"});
  return m.finish();
}

// `op` with one list as its second input.
TestCase listed(M m, const char* op, std::initializer_list<int64_t> x,
                const std::vector<int64_t>& list) {
  m.in("x", x);
  m.ints("list", list);
  m.node(op, {"x", "list"});
  return m.finish();
}

// `op` with axes, which became an input in opset 13.
TestCase with_axes(M m, const char* op, std::initializer_list<int64_t> x,
                   std::initializer_list<int64_t> axes, int64_t rank) {
  m.in("x", x);
  std::vector<int64_t> positions;
  for (int64_t axis : axes) positions.push_back(m.axis(axis, rank));
  m.list(m.node(op, {"x"}), "axes", positions, 13);
  return m.finish();
}

TestCase with_int(M m, const char* op, std::initializer_list<int64_t> x, const char* name,
                  int64_t value) {
  m.in("x", x);
  set_int(m.node(op, {"x"}), name, value);
  return m.finish();
}

TestCase transpose(M m, const std::vector<int64_t>& perm) {
  m.in("x", {2, 3, 5, 4});
  set_ints(m.node("Transpose", {"x"}), "perm", perm);
  return m.finish();
}

TestCase gather(M m, int64_t axis) {
  m.in("x", {2, 3, 5, 4});
  m.ints("indices", {2, 0, m.axis(-1, axis == 1 ? 3 : 4)});
  set_int(m.node("Gather", {"x", "indices"}), "axis", axis);
  return m.finish();
}

// x reshaped to (its first dim, -1) through Shape, Gather, Unsqueeze, Concat.
TestCase shape_chain(M m) {
  m.in("x", {2, 3, 5, 4});
  m.ints("first", {0});
  m.ints("rest", {-1});
  m.node("Shape", {"x"}, {"shape"});
  m.node("Gather", {"shape", "first"}, {"rows"});
  set_int(m.node("Concat", {"rows", "rest"}, {"target"}), "axis", 0);
  m.node("Reshape", {"x", "target"});
  return m.finish();
}

TestCase shape_slice(M m) {
  m.in("x", {2, 3, 5, 4});
  set_int(m.node("Shape", {"x"}, {"shape"}), "start", 2);
  set_int(m.node("Cast", {"shape"}, {"y"}), "to", onnx::TensorProto::FLOAT);
  return m.finish();
}

// x + Cast(Range(0, 4, 1)) + ConstantOfShape
TestCase constants(M m) {
  m.in("x", {2, 3, 5, 4});
  for (const auto& [name, value] :
       {std::pair<const char*, int64_t>{"from", 0}, {"to", 4}, {"by", 1}}) {
    onnx::NodeProto& node = m.node("Constant", {}, {name});
    set_int(node, "value_int", value);
  }
  m.node("Range", {"from", "to", "by"}, {"range"});
  set_int(m.node("Cast", {"range"}, {"floats"}), "to", onnx::TensorProto::FLOAT);
  m.ints("dims", {5, 1});
  m.node("ConstantOfShape", {"dims"}, {"zeros"});
  m.node("Add", {"floats", "zeros"}, {"sum"});
  m.node("Add", {"x", "sum"});
  return m.finish();
}

// x + a constant's tensor
TestCase constant_tensor(M m) {
  m.in("x", {2, 3, 5, 4});
  onnx::AttributeProto* value = m.node("Constant", {}, {"c"}).add_attribute();
  value->set_name("value");
  value->set_type(onnx::AttributeProto::TENSOR);
  value->mutable_t()->set_data_type(onnx::TensorProto::FLOAT);
  value->mutable_t()->add_dims(4);
  for (float element : {0.5f, -1.25f, 3.0f, 0.0f}) value->mutable_t()->add_float_data(element);
  m.node("Add", {"x", "c"});
  return m.finish();
}

TestCase dropout(M m) {
  m.in("x", {2, 3, 5, 4});
  onnx::NodeProto& node = m.node("Dropout", {"x"});
  if (m.opset() < 12) {
    set_float(node, "ratio", 0.25f);
  } else {
    m.scalar("ratio", 0.25f);
    node.add_input("ratio");
  }
  return m.finish();
}

TestCase depth_to_space(M m, const char* mode) {
  m.in("x", {2, 8, 3, 4});
  onnx::NodeProto& node = m.node("DepthToSpace", {"x"});
  set_int(node, "blocksize", 2);
  if (m.opset() >= 11) set_string(node, "mode", mode);
  return m.finish();
}

TestCase unchanged(M m, const char* op) {
  m.in("x", {2, 3, 5, 4});
  m.node(op, {"x"});
  return m.finish();
}

const Recipe kRecipes[] = {
    {"Concat", "channels", 7, [](M m) { return concat(m, 1); }},
    {"Concat", "rows", 7, [](M m) { return concat(m, -2); }},
    {"Split", "sizes", 7, split_sizes},
    {"Split", "even", 7, split_evenly},
    {"Split", "uneven", 18, split_unevenly},
    {"Slice", "channels", 7, [](M m) { return slice(m, {1}, {3}, {1}, {}); }},
    {"Slice", "from the end, beyond it", 7,
     [](M m) {
       return slice(m, {-5, 1}, {-1, 99}, {2, 3}, {});
     }},
    {"Slice", "steps", 10,
     [](M m) {
       return slice(m, {0, -2}, {9, 0}, {2, 3}, {2, -1});
     }},
    {"Pad", "constant", 7,
     [](M m) {
       return pad(m, "constant", {0, 0, 1, 2, 0, 0, 3, 0}, true);
     }},
    {"Pad", "reflect", 7,
     [](M m) {
       return pad(m, "reflect", {0, 0, 1, 2, 0, 0, 2, 1}, false);
     }},
    {"Pad", "edge", 7,
     [](M m) {
       return pad(m, "edge", {0, 1, 1, 2, 0, 0, 2, 0}, false);
     }},
    {"Pad", "negative", 7,
     [](M m) {
       return pad(m, "constant", {0, 0, -1, 0, 0, 0, 2, -1}, false);
     }},
    {"Pad", "axes", 18, pad_axes},
    {"Reshape", "0 and -1", 7,
     [](M m) {
       return listed(m, "Reshape", {2, 3, 5, 4}, {0, -1, 2});
     }},
    {"Reshape", "across the batch", 7,
     [](M m) {
       return listed(m, "Reshape", {2, 3, 5, 4}, {3, 2, 20});
     }},
    {"Flatten", "axis 1", 7,
     [](M m) {
       return with_int(m, "Flatten", {2, 3, 5, 4}, "axis", 1);
     }},
    {"Flatten", "axis 3", 7,
     [](M m) {
       return with_int(m, "Flatten", {2, 3, 5, 4}, "axis", 3);
     }},
    {"Squeeze", "axes", 7,
     [](M m) {
       return with_axes(m, "Squeeze", {2, 1, 5, 1}, {1, -1}, 4);
     }},
    {"Squeeze", "all", 7, [](M m) { return unchanged(m, "Squeeze"); }},
    {"Unsqueeze", "", 7,
     [](M m) {
       return with_axes(m, "Unsqueeze", {2, 5}, {1, -1}, 4);
     }},
    {"Transpose", "inner", 7,
     [](M m) {
       return transpose(m, {0, 2, 3, 1});
     }},
    {"Transpose", "batch", 7,
     [](M m) {
       return transpose(m, {1, 0, 3, 2});
     }},
    {"Expand", "", 8,
     [](M m) {
       return listed(m, "Expand", {2, 1, 5, 1}, {2, 3, 1, 4});
     }},
    {"Gather", "channels", 7, [](M m) { return gather(m, 1); }},
    {"Gather", "last axis", 7, [](M m) { return gather(m, -1); }},
    {"Shape", "chain to Reshape", 7, shape_chain},
    {"Shape", "start", 15, shape_slice},
    {"Constant", "tensor", 7, constant_tensor},
    {"Constant", "Range, Cast, ConstantOfShape", 12, constants},
    {"DepthToSpace", "DCR", 7, [](M m) { return depth_to_space(m, "DCR"); }},
    {"DepthToSpace", "CRD", 11, [](M m) { return depth_to_space(m, "CRD"); }},
    {"SpaceToDepth", "", 7,
     [](M m) {
       return with_int(m, "SpaceToDepth", {2, 3, 4, 6}, "blocksize", 2);
     }},
    {"Identity", "", 7, [](M m) { return unchanged(m, "Identity"); }},
    {"Dropout", "", 7, [](M m) { return unchanged(m, "Dropout"); }},
    {"Dropout", "ratio", 7, dropout},
    {"Cast", "float to float", 7,
     [](M m) {
       return with_int(m, "Cast", {2, 3, 5, 4}, "to", onnx::TensorProto::FLOAT);
     }},
};

}  // namespace

std::span<const Recipe> movement_recipes() { return kRecipes; }

}  // namespace carrel::conformance
