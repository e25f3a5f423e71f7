#pragma once
// A graph as the engine sees it: layers over row maps wherever the operator allows, dense tensors elsewhere.
#include <string>
#include <vector>

#include "compiler/cost/cost.h"
#include "compiler/graph/graph.h"
#include "compiler/lower/lower.h"
#include "engine/format/program.h"

namespace carrel {

struct PlanTensor {
  std::string name;
  TensorKind kind = TensorKind::kMap;
  MapShape map;                // kMap; pads as its consumers need them
  std::vector<int64_t> dims;   // kPlain
  int input = -1, output = -1;  // index among the graph's inputs / outputs
  uint32_t rows() const { return kind == TensorKind::kMap ? map.height : 1; }
  uint64_t row_bytes() const;   // multiple of 64
};

// One graph node (or a conversion) and the engine operators that do it: one per channel group of a grouped
// convolution, one per input of a concatenation, else one. A convolution may do the addition that follows it too: its
// second input is the other summand.
struct Layer {
  Opcode opcode = Opcode::kPlain;
  NodeId node = -1;        // -1: conversion or constant
  std::string name;
  std::vector<int> inputs, outputs;  // PlanTensor indices
  Window window;
  Unary activation;
  uint32_t args[3] = {};
  float fargs[3] = {};
  std::vector<float> input_scales;  // kQuantCopy that joins: each input's over the output's; 0: bytes as they are
  WeightsShape weights;    // of one group; kind kNone: no weights
  uint32_t groups = 1;     // streams of this layer; each may hold several groups of the model
  int first_stream = -1;
  ValueId constant = kNoValue;  // a kPlain stream that fills outputs[0]
  PlainEncoding plain;          // kPlain
  std::vector<int> plain_operands;  // kPlain inputs: PlanTensor index or -1 (omitted)
  ConvAlgorithm algorithm = ConvAlgorithm::kDirect;  // kConv
};

// Plaintext bytes of the blocks in which an input or output crosses (engine/format/program.h).
uint32_t boundary_block_bytes(const PlanTensor& tensor);

struct LayerGraph {
  std::vector<PlanTensor> tensors;
  std::vector<Layer> layers;  // topological order
  std::vector<int> inputs, outputs;  // PlanTensor indices
};

// What a kConv layer computes.
NodeWork conv_work(const LayerGraph& graph, const Layer& layer);

// winograd: convolutions may take Winograd's algorithm (choose_algorithm()). Errors: kUnsupported naming the node.
Result<LayerGraph> build_layers(const Graph& graph, bool winograd);

// True if values of this shape are maps at the boundary: (1, C, H, W) or (1, C).
bool is_map_shape(const Shape& shape, MapShape* map);

}  // namespace carrel
