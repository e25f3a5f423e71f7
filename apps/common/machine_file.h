#pragma once
// The figures of this machine, kept per user by `carrel calibrate`: $XDG_CONFIG_HOME/carrel/machine.json, else
// ~/.config/carrel/machine.json.
#include <string>

#include "base/cpu.h"
#include "base/result.h"
#include "compiler/cost/cost.h"

namespace carrel {

struct MachineProfile {
  MachineFigures figures[3];  // by IsaLevel; those that the machine lacks stay at their defaults
  bool calibrated = false;
  std::string source;         // in words: a path, or why there is none

  const MachineFigures& of(IsaLevel isa) const { return figures[static_cast<size_t>(isa)]; }
};

// Empty where the environment names no home.
std::string machine_file_path();

// The defaults, where no file exists or it is another processor's. Errors, naming the file: kInvalidInput for what calibrate
// did not write, kIo where it cannot be read.
Result<MachineProfile> load_machine_profile();
// Makes the folders; the file appears whole or not at all. Returns its path. Errors: kIo.
Result<std::string> save_machine_profile(const MachineProfile& profile);

}  // namespace carrel
