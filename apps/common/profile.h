#pragma once
// Where the time of an inference goes: what the engine wrote step by step, added up by layer and by operator.
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "compiler/graph/graph.h"
#include "engine/format/program.h"
#include "engine/host/host.h"

namespace carrel {

// Of one image. compute, decrypt and transfer are summed over threads: with wait they are threads * wall.
struct ProfileTimes {
  uint64_t steps = 0;
  double wall_ms = 0;
  double compute_ms = 0;   // kernels, and what a step costs in itself
  double decrypt_ms = 0;   // weights: from untrusted memory to verified plaintext
  double transfer_ms = 0;  // activations: spilled, brought back, inputs, outputs
  double wait_ms = 0;      // threads without work, until the slowest is done
  uint64_t weight_bytes = 0, transfer_bytes = 0;
  double macs = 0;         // multiply-adds of a direct convolution

  void add(const ProfileTimes& other);
  // Of one core, counted as a direct convolution's; 0 without any.
  double gflops() const { return compute_ms <= 0 ? 0 : 2e-6 * macs / compute_ms; }
};
struct ProfileRow {
  std::string name, op, shape;  // name and shape: empty for an operator
  ProfileTimes times;
};
struct Profile {
  std::vector<ProfileRow> layers;     // as executed
  std::vector<ProfileRow> operators;  // by opcode
  ProfileTimes total;
  uint64_t images = 0;                // that the figures are the mean of
  double engine_ms = 0;               // total.wall_ms and what lies between steps
};

class ProfileSum {
 public:
  // The shared area's copy of one image's profile, and the statistics that came with it.
  void add(std::span<const StepProfile> steps, const RunStats& stats);
  // `architecture` names the layers of `program`. Errors: kInvalidInput if the two do not belong together.
  Result<Profile> mean(const ProgramView& program, const Graph& architecture) const;

 private:
  std::vector<StepProfile> steps_;
  uint64_t images_ = 0, ticks_ = 0, nanoseconds_ = 0;
};

}  // namespace carrel
