#pragma once
// How generated models are made: recipes by operator family.
#include <initializer_list>
#include <span>

#include "compiler/onnx/test_model.h"
#include "tests/onnx/generated.h"

namespace carrel::conformance {

// One model under construction in one opset.
class Maker {
 public:
  Maker(int opset, uint32_t seed) : opset_(opset), model_(opset), state_(seed) {}
  int opset() const { return opset_; }

  // A run-time input with data, and a weight: uniform in [low, high).
  void in(const std::string& name, std::initializer_list<int64_t> dims, float low = -2,
          float high = 2);
  void weight(const std::string& name, std::initializer_list<int64_t> dims, float low = -1,
              float high = 1);
  void scalar(const std::string& name, float value) { model_.floats(name, {}, {value}); }
  void ints(const std::string& name, const std::vector<int64_t>& values) {
    model_.ints(name, values);
  }
  void floats(const std::string& name, const std::vector<float>& values) {
    model_.floats(name, {static_cast<int64_t>(values.size())}, values);
  }
  onnx::NodeProto& node(const std::string& op, std::initializer_list<std::string> inputs,
                        std::initializer_list<std::string> outputs = {"y"}) {
    return model_.node(op, inputs, outputs);
  }
  // The list as an attribute before `since`, as the next input from then on.
  void list(onnx::NodeProto& node, const std::string& name, const std::vector<int64_t>& values,
            int since);
  // Operators count axes from the end as well since opset 11; before it the axis from the front.
  int64_t axis(int64_t axis, int64_t rank) const {
    return opset_ < 11 && axis < 0 ? axis + rank : axis;
  }
  // Adds the graph outputs and hands the case over.
  TestCase finish(std::initializer_list<std::string> outputs = {"y"});

 private:
  std::vector<float> draw(std::initializer_list<int64_t> dims, float low, float high);

  int opset_;
  TestModel model_;
  uint32_t state_;
  std::vector<NamedTensor> inputs_;
};

struct Recipe {
  const char* op;
  const char* form;  // distinguishes the recipes of one operator; may be empty
  int since;         // first opset
  TestCase (*make)(Maker&);
  int until = kLastGeneratedOpset;
};

std::span<const Recipe> window_recipes();      // convolutions and pools
std::span<const Recipe> activation_recipes();  // functions of one element, norms, softmaxes
std::span<const Recipe> arithmetic_recipes();  // matrices, broadcasting, reductions
std::span<const Recipe> movement_recipes();    // shapes, layout, constants
std::span<const Recipe> resize_recipes();

}  // namespace carrel::conformance
