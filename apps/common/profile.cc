#include "apps/common/profile.h"

#include <algorithm>
#include <map>

#include "compiler/plan/plan.h"

namespace carrel {
namespace {

bool is_transfer(Opcode opcode) {
  return opcode == Opcode::kInput || opcode == Opcode::kOutput || opcode == Opcode::kSpill || opcode == Opcode::kFetch;
}

double macs_of(const ProgramView& program, const Step& step) {
  const OpDesc& op = program.ops[step.op];
  if (!has_window(op.opcode) || op.stream == kNone16) return 0;
  const TensorDesc& out = program.tensors[op.out];
  const double taps = double{1} * op.window.kernel_h * op.window.kernel_w;
  const bool depthwise = op.opcode == Opcode::kDepthwise || op.opcode == Opcode::kQuantDepthwise;
  const double channels = depthwise ? out.channels : double{1} * op.in_channels * op.out_channels;
  return taps * channels * out.width * step.row_count;
}

// The host's memory held it: figures that cannot be are made possible, so that none becomes negative.
ProfileTimes times_of(const StepProfile& claimed, Opcode opcode, double ms_per_tick, uint64_t images, double threads) {
  const uint64_t decrypt = std::min(claimed.decrypt_ticks, claimed.busy_ticks);
  ProfileTimes t;
  t.steps = 1;
  t.wall_ms = ms_per_tick * static_cast<double>(claimed.wall_ticks);
  const double busy_ms = ms_per_tick * static_cast<double>(claimed.busy_ticks);
  t.decrypt_ms = ms_per_tick * static_cast<double>(decrypt);
  (is_transfer(opcode) ? t.transfer_ms : t.compute_ms) = busy_ms - t.decrypt_ms;
  t.wait_ms = std::max(0.0, threads * t.wall_ms - busy_ms);
  (is_transfer(opcode) ? t.transfer_bytes : t.weight_bytes) = claimed.bytes / images;
  return t;
}

}  // namespace

void ProfileTimes::add(const ProfileTimes& other) {
  steps += other.steps;
  wall_ms += other.wall_ms;
  compute_ms += other.compute_ms;
  decrypt_ms += other.decrypt_ms;
  transfer_ms += other.transfer_ms;
  wait_ms += other.wait_ms;
  weight_bytes += other.weight_bytes;
  transfer_bytes += other.transfer_bytes;
  macs += other.macs;
}

void ProfileSum::add(std::span<const StepProfile> steps, const RunStats& stats) {
  steps_.resize(steps.size());
  for (size_t i = 0; i < steps.size(); ++i) {
    steps_[i].wall_ticks += steps[i].wall_ticks;
    steps_[i].busy_ticks += steps[i].busy_ticks;
    steps_[i].decrypt_ticks += steps[i].decrypt_ticks;
    steps_[i].bytes += steps[i].bytes;
  }
  ++images_;
  ticks_ += stats.ticks;
  nanoseconds_ += stats.nanoseconds;
}

Result<Profile> ProfileSum::mean(const ProgramView& program, const Graph& architecture) const {
  CARREL_ASSIGN(const std::vector<LayerName> names, layer_names(architecture));
  Profile profile;
  profile.images = images_;
  if (images_ == 0 || ticks_ == 0 || steps_.size() != program.steps.size()) return profile;
  const double images = static_cast<double>(images_);
  profile.engine_ms = 1e-6 * static_cast<double>(nanoseconds_) / images;
  const double ms_per_tick = 1e-6 * static_cast<double>(nanoseconds_) / static_cast<double>(ticks_) / images;
  std::map<uint32_t, ProfileTimes> layers;
  std::map<Opcode, ProfileTimes> operators;
  for (size_t s = 0; s < steps_.size(); ++s) {
    const OpDesc& op = program.ops[program.steps[s].op];
    if (op.layer >= names.size()) return Error(ErrorCode::kInvalidInput, "the program is another network's");
    ProfileTimes t = times_of(steps_[s], op.opcode, ms_per_tick, images_, program.header->threads);
    t.macs = macs_of(program, program.steps[s]);
    layers[op.layer].add(t);
    operators[op.opcode].add(t);
    profile.total.add(t);
  }
  for (const auto& [layer, times] : layers) {
    profile.layers.push_back({names[layer].name, names[layer].op, names[layer].shape, times});
  }
  for (const auto& [opcode, times] : operators) profile.operators.push_back({"", opcode_name(opcode), "", times});
  return profile;
}

}  // namespace carrel
