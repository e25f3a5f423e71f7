#pragma once
// Runs another program: the oracle, zstd.
#include <string>
#include <vector>

#include "base/result.h"

namespace carrel::suite {

// Runs arguments[0], found through PATH, and waits for it; its output goes where ours goes.
// Errors: kIo naming the program if it does not start or its exit status is not 0.
Status run_command(const std::vector<std::string>& arguments);

}  // namespace carrel::suite
