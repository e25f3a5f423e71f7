#include "compiler/plan/lower.h"

#include <algorithm>
#include <map>

#include "compiler/plan/placement.h"

namespace carrel {
namespace {

class Lowering {
 public:
  Lowering(const LayerGraph& graph, const StreamPlan& streams, const SchedProblem& problem, const Schedule& schedule,
           uint64_t arena_limit_bytes)
      : graph_(graph), streams_(streams), problem_(problem), schedule_(schedule),
        placement_(place(graph, problem, schedule, arena_limit_bytes)) {}

  Result<Lowered> run() {
    out_.arena_bytes = placement_.arena_bytes;
    out_.kept_weights = placement_.kept_weights;
    kept_descs_.assign(graph_.tensors.size(), kNone16);
    ring_descs_.resize(schedule_.segments.size());
    add_boundary_stores();
    out_.tables.streams = streams_.streams;
    for (uint32_t s = 0; s < schedule_.segments.size(); ++s) CARREL_RETURN_IF_ERROR(lower_segment(s));
    out_.store_bytes = next_store_offset_;
    finish_reports();
    return std::move(out_);
  }

 private:
  const Segment& segment(uint32_t s) const { return schedule_.segments[s]; }
  const Layer& layer(NodeIndex n) const { return graph_.layers[static_cast<size_t>(n)]; }
  const PlanTensor& tensor(TensorIndex t) const { return graph_.tensors[static_cast<size_t>(t)]; }
  bool kept(TensorIndex t) const { return schedule_.kept[static_cast<size_t>(t)]; }
  WeightsChoice choice(uint32_t s, NodeIndex n) const {
    return segment(s).weights[static_cast<size_t>(n - segment(s).first)];
  }

  // -1: none.
  uint64_t offset_of(Placement::ObjectIndex object) const { return object < 0 ? 0 : placement_.object(object).offset; }
  const Placement::Weights& weights(NodeIndex n) const { return placement_.weights[static_cast<size_t>(n)]; }

  uint16_t add_store(StoreKind kind, uint32_t block_bytes, uint32_t blocks) {
    StoreDesc store{};
    store.kind = kind;
    store.block_bytes = block_bytes;
    store.block_count = blocks;
    store.first_position = next_position_;
    store.offset = next_store_offset_;
    next_position_ += blocks;
    next_store_offset_ = round_up(next_store_offset_ + uint64_t{blocks} * (block_bytes + 16), 64);
    out_.tables.stores.push_back(store);
    return static_cast<uint16_t>(out_.tables.stores.size() - 1);
  }

  uint16_t add_boundary_store(StoreKind kind, const PlanTensor& t) {
    const uint32_t block_bytes = boundary_block_bytes(t);
    if (t.kind == TensorKind::kMap) return add_store(kind, block_bytes, t.map.height);
    uint64_t bytes = 4;
    for (int64_t d : t.dims) bytes *= static_cast<uint64_t>(d);
    return add_store(kind, block_bytes, static_cast<uint32_t>(std::max<uint64_t>(1, ceil_div(bytes, kPlainBlockBytes))));
  }

  void add_boundary_stores() {
    boundary_.assign(graph_.tensors.size(), kNone16);
    spill_.assign(graph_.tensors.size(), kNone16);
    for (int t : graph_.inputs) boundary_[static_cast<size_t>(t)] = add_boundary_store(StoreKind::kInput, tensor(t));
    for (int t : graph_.outputs) boundary_[static_cast<size_t>(t)] = add_boundary_store(StoreKind::kOutput, tensor(t));
  }

  // The descriptor of a tensor as segment `s` sees it.
  Result<uint16_t> desc(uint32_t s, TensorIndex t) {
    uint16_t& made = kept(t) ? kept_descs_[static_cast<size_t>(t)] : ring_descs_[s].try_emplace(t, kNone16).first->second;
    if (made != kNone16) return made;
    const PlanTensor& p = tensor(t);
    TensorDesc d{};
    d.kind = p.kind;
    const MemoryObject& object = placement_.object(placement_.tensor_object(s, t));
    d.arena_offset = object.offset;
    d.bytes = object.bytes;
    if (p.kind == TensorKind::kMap) {
      d.channels = p.map.channels;
      d.height = p.map.height;
      d.width = p.map.width;
      d.pad_left = p.map.pad_left;
      d.pad_right = p.map.pad_right;
      d.type = p.map.type;
      d.zero = p.map.zero;
      d.ring_rows = static_cast<uint32_t>(object.bytes / p.map.row_bytes());
    } else {
      d.rank = static_cast<uint8_t>(p.dims.size());
      d.dims_begin = static_cast<uint32_t>(out_.tables.ints.size());
      out_.tables.ints.insert(out_.tables.ints.end(), p.dims.begin(), p.dims.end());
    }
    if (out_.tables.tensors.size() >= kNone16) return Error(ErrorCode::kUnsupported, "the network has too many tensors for one program");
    out_.tables.tensors.push_back(d);
    return made = static_cast<uint16_t>(out_.tables.tensors.size() - 1);
  }

  Result<uint16_t> add_op(const OpDesc& op) {
    if (out_.tables.ops.size() >= kNone16) return Error(ErrorCode::kUnsupported, "the network has too many layers for one program");
    out_.tables.ops.push_back(op);
    return static_cast<uint16_t>(out_.tables.ops.size() - 1);
  }

  void add_step(uint16_t op, uint32_t begin, uint32_t end) {
    constexpr uint32_t kMost = 0xffff;
    for (; begin < end; begin += kMost) {
      out_.tables.steps.push_back({op, static_cast<uint16_t>(std::min(kMost, end - begin)), begin});
    }
  }

  Status lower_segment(uint32_t s) {
    first_steps_.resize(static_cast<size_t>(segment(s).end), step_count());
    CARREL_RETURN_IF_ERROR(add_loads(s));
    transfers_.clear();
    for (const Action& a : segment(s).simulation.actions) {
      note_step(segment(s), a);
      switch (a.kind) {
        case Action::Kind::kCompute: CARREL_RETURN_IF_ERROR(compute(s, a)); break;
        case Action::Kind::kFetch: CARREL_RETURN_IF_ERROR(fetch(s, a)); break;
        case Action::Kind::kStore: CARREL_RETURN_IF_ERROR(store(s, a)); break;
      }
    }
    return ok_status();
  }

  uint32_t step_count() const { return static_cast<uint32_t>(out_.tables.steps.size()); }

  // In a segment with one round: what comes after a layer's rows and their stores is of the next layer.
  void note_step(const Segment& segment, const Action& a) {
    if (segment.rounds > 1 || a.kind == Action::Kind::kStore) return;
    if (computed_ >= segment.first) {
      for (NodeIndex n = computed_ + 1; n < segment.end; ++n) first_steps_[static_cast<size_t>(n)] = step_count();
    }
    computed_ = a.kind == Action::Kind::kCompute ? a.node : -1;
  }

  Status add_loads(uint32_t s) {
    for (NodeIndex n = segment(s).first; n < segment(s).end; ++n) {
      if (weights(n).object < 0) continue;
      uint64_t offset = offset_of(weights(n).object);
      for (uint32_t g = 0; g < layer(n).groups; ++g) {
        OpDesc op{};
        op.opcode = Opcode::kLoad;
        op.once = weights(n).once;
        op.stream = static_cast<uint16_t>(layer(n).first_stream + static_cast<int>(g));
        op.weights_offset = offset;
        op.layer = static_cast<uint32_t>(n);
        CARREL_ASSIGN(const TileGrid grid, make_tile_grid(streams_.streams[op.stream].shape));
        offset += grid.expanded_bytes;
        CARREL_ASSIGN(const uint16_t id, add_op(op));
        add_step(id, 0, 1);
      }
    }
    return ok_status();
  }

  // Input, fetch, output or spill of one tensor: one op per segment, made when first needed.
  Result<uint16_t> transfer(uint32_t s, TensorIndex t, Opcode opcode, uint16_t store_id) {
    const auto key = std::make_pair(t, opcode);
    const auto found = transfers_.find(key);
    if (found != transfers_.end()) return found->second;
    OpDesc op{};
    op.opcode = opcode;
    op.store = store_id;
    CARREL_ASSIGN(const uint16_t d, desc(s, t));
    const bool inward = opcode == Opcode::kInput || opcode == Opcode::kFetch;
    (inward ? op.out : op.in0) = d;
    const NodeIndex producer = problem_.tensors[static_cast<size_t>(t)].producer;
    op.layer = static_cast<uint32_t>(std::max<NodeIndex>(0, producer));
    CARREL_ASSIGN(const uint16_t id, add_op(op));
    transfers_[key] = id;
    return id;
  }

  void add_transfer_step(uint16_t id, TensorIndex t, uint32_t begin, uint32_t end) {
    const StoreDesc& st = out_.tables.stores[out_.tables.ops[id].store];
    if (tensor(t).kind == TensorKind::kPlain) add_step(id, 0, st.block_count);
    else add_step(id, begin, end);
  }

  Status fetch(uint32_t s, const Action& a) {
    if (kept(a.tensor)) return ok_status();
    const bool input = tensor(a.tensor).input >= 0;
    const uint16_t st = input ? boundary_[static_cast<size_t>(a.tensor)] : spill_[static_cast<size_t>(a.tensor)];
    CARREL_ASSIGN(const uint16_t id, transfer(s, a.tensor, input ? Opcode::kInput : Opcode::kFetch, st));
    add_transfer_step(id, a.tensor, a.row_begin, a.row_end);
    return ok_status();
  }

  Status store(uint32_t s, const Action& a) {
    const SchedTensor& t = problem_.tensors[static_cast<size_t>(a.tensor)];
    if (t.is_output) {
      CARREL_ASSIGN(const uint16_t id, transfer(s, a.tensor, Opcode::kOutput, boundary_[static_cast<size_t>(a.tensor)]));
      add_transfer_step(id, a.tensor, a.row_begin, a.row_end);
    }
    const bool later = !t.consumers.empty() && t.consumers.back() >= segment(s).end;
    if (!later || kept(a.tensor)) return ok_status();
    uint16_t& st = spill_[static_cast<size_t>(a.tensor)];
    if (st == kNone16 && out_.tables.stores.size() >= kMaxStores) {
      return Error(ErrorCode::kUnsupported, "the network spills too many tensors for one program");
    }
    if (st == kNone16) st = add_store(StoreKind::kSpill, static_cast<uint32_t>(t.row_bytes), t.rows);
    CARREL_ASSIGN(const uint16_t id, transfer(s, a.tensor, Opcode::kSpill, st));
    add_transfer_step(id, a.tensor, a.row_begin, a.row_end);
    return ok_status();
  }

  Status compute(uint32_t s, const Action& a) {
    std::vector<uint16_t>& ops = layer_ops_[a.node];
    if (ops.empty()) CARREL_RETURN_IF_ERROR(make_ops(s, a.node, &ops));
    const bool whole = layer(a.node).opcode == Opcode::kPlain || layer(a.node).opcode == Opcode::kLoad;
    for (uint16_t op : ops) {
      if (whole) add_step(op, 0, 1);
      else add_step(op, a.row_begin, a.row_end);
    }
    return ok_status();
  }

  Status make_ops(uint32_t s, NodeIndex n, std::vector<uint16_t>* ops) {
    const Layer& me = layer(n);
    const bool copies = me.opcode == Opcode::kCopy || me.opcode == Opcode::kQuantCopy;
    const bool concat = copies && me.args[1] == 0;
    const uint32_t count = concat ? static_cast<uint32_t>(me.inputs.size()) : me.groups;
    uint32_t channel = 0;
    uint64_t weights_offset = offset_of(weights(n).object);
    for (uint32_t i = 0; i < count; ++i) {
      if (concat && placement_.parts.count(me.inputs[i]) > 0) {
        channel += tensor(me.inputs[i]).map.channels;
        continue;
      }
      CARREL_ASSIGN(OpDesc op, base_op(s, n));
      if (concat) {
        CARREL_ASSIGN(op.in0, desc(s, me.inputs[i]));
        op.arg0 = channel;
        channel += tensor(me.inputs[i]).map.channels;
        if (!me.input_scales.empty()) {
          op.farg0 = me.input_scales[i];
          op.arg2 = op.farg0 != 0;
        }
      }
      if (me.first_stream >= 0) CARREL_RETURN_IF_ERROR(set_weights(s, n, i, &weights_offset, &op));
      if (me.opcode == Opcode::kPlain) CARREL_RETURN_IF_ERROR(set_plain(s, n, &op));
      CARREL_ASSIGN(const uint16_t id, add_op(op));
      ops->push_back(id);
    }
    return ok_status();
  }

  Result<OpDesc> base_op(uint32_t s, NodeIndex n) {
    const Layer& me = layer(n);
    OpDesc op{};
    op.opcode = me.opcode;
    op.window = me.window;
    op.activation = me.activation.fn;
    op.activation_a = me.activation.a;
    op.activation_b = me.activation.b;
    op.arg0 = me.args[0];
    op.arg1 = me.args[1];
    op.arg2 = me.args[2];
    op.farg0 = me.fargs[0];
    op.farg1 = me.fargs[1];
    op.farg2 = me.fargs[2];
    op.layer = static_cast<uint32_t>(n);
    op.algorithm = me.algorithm;
    op.scratch_bytes = scratch_bytes(problem_, segment(s).simulation, segment(s).first, n);
    if (op.scratch_bytes > 0) op.scratch_offset = offset_of(placement_.scratch[s]);
    if (me.opcode == Opcode::kPlain) return op;
    // A part that a convolution puts in place has no memory of its own; make_ops() names what is left to copy.
    if (!me.inputs.empty() && placement_.parts.count(me.inputs[0]) == 0) {
      CARREL_ASSIGN(op.in0, desc(s, me.inputs[0]));
    }
    const bool residual = me.opcode == Opcode::kConv && me.inputs.size() > 1;
    if (me.opcode == Opcode::kBinary || me.opcode == Opcode::kQuantAdd || residual) {
      CARREL_ASSIGN(op.in1, desc(s, me.inputs[1]));
    }
    const auto part = placement_.parts.find(me.outputs[0]);
    CARREL_ASSIGN(op.out, desc(s, part == placement_.parts.end() ? me.outputs[0] : part->second.whole));
    return op;
  }

  Status set_weights(uint32_t s, NodeIndex n, uint32_t group, uint64_t* weights_offset, OpDesc* op) {
    const Layer& me = layer(n);
    op->stream = static_cast<uint16_t>(me.first_stream + static_cast<int>(group));
    if (me.opcode == Opcode::kLoad) return ok_status();
    const bool resident = weights(n).object >= 0;
    CARREL_CHECK(resident || choice(s, n) == WeightsChoice::kStreamed);
    op->weights = resident ? WeightsMode::kResident : WeightsMode::kStreamed;
    if (resident) {
      op->weights_offset = *weights_offset;
      CARREL_ASSIGN(const TileGrid grid, make_tile_grid(streams_.streams[op->stream].shape));
      *weights_offset += grid.expanded_bytes;
    }
    if (in_wide_panels(me.weights.kind)) {
      op->in_channels = me.weights.in_channels;
      op->out_channels = me.weights.out_channels;
      op->in_block = group * me.weights.in_channels / kLanes;
      const auto part = placement_.parts.find(me.outputs[0]);
      op->out_block = group * me.weights.out_channels / kLanes + (part == placement_.parts.end() ? 0 : part->second.block);
    }
    return ok_status();
  }

  Status set_plain(uint32_t s, NodeIndex n, OpDesc* op) {
    const Layer& me = layer(n);
    ProgramTables& t = out_.tables;
    op->plain_op = static_cast<uint16_t>(me.plain.op);
    op->operand_begin = static_cast<uint32_t>(t.operands.size());
    op->input_count = static_cast<uint16_t>(me.plain_operands.size());
    op->output_count = static_cast<uint16_t>(me.outputs.size());
    for (int operand : me.plain_operands) {
      uint16_t id = kNone16;
      if (operand >= 0) {
        CARREL_ASSIGN(id, desc(s, operand));
      }
      t.operands.push_back(id);
    }
    for (int output : me.outputs) {
      CARREL_ASSIGN(const uint16_t id, desc(s, output));
      t.operands.push_back(id);
    }
    op->int_begin = static_cast<uint32_t>(t.ints.size());
    op->int_count = static_cast<uint16_t>(me.plain.ints.size());
    t.ints.insert(t.ints.end(), me.plain.ints.begin(), me.plain.ints.end());
    op->float_begin = static_cast<uint32_t>(t.floats.size());
    op->float_count = static_cast<uint16_t>(me.plain.floats.size());
    t.floats.insert(t.floats.end(), me.plain.floats.begin(), me.plain.floats.end());
    return ok_status();
  }

  void finish_reports() {
    for (size_t i = 0; i < placement_.objects.size(); ++i) {
      const MemoryObject& o = placement_.objects[i];
      const uint32_t last = o.last + 1 < first_steps_.size() ? first_steps_[o.last + 1] : step_count();
      out_.lifetimes.push_back({placement_.names[i], o.offset, o.bytes, first_steps_[o.first], last});
    }
  }

  const LayerGraph& graph_;
  const StreamPlan& streams_;
  const SchedProblem& problem_;
  const Schedule& schedule_;
  const Placement placement_;
  Lowered out_;
  std::vector<uint16_t> kept_descs_;                           // by tensor
  std::vector<std::map<TensorIndex, uint16_t>> ring_descs_;    // by segment
  std::map<NodeIndex, std::vector<uint16_t>> layer_ops_;
  std::map<std::pair<TensorIndex, Opcode>, uint16_t> transfers_;  // of the current segment
  std::vector<uint16_t> boundary_, spill_;          // stores by tensor
  std::vector<uint32_t> first_steps_;               // by layer: of its segment, where that has more than one round
  NodeIndex computed_ = -1;                         // the layer of the last action, if that computed
  uint64_t next_store_offset_ = 0;
  uint32_t next_position_ = 0;
};

}  // namespace

Result<Lowered> lower_schedule(const LayerGraph& graph, const StreamPlan& streams, const SchedProblem& problem,
                               const Schedule& schedule, uint64_t arena_limit_bytes) {
  return Lowering(graph, streams, problem, schedule, arena_limit_bytes).run();
}

}  // namespace carrel
