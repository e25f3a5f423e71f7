#pragma once
// What a command would write is checked before its work begins.
#include <string>
#include <vector>

namespace carrel::cli {

// Fails, with one line, if one of `outputs` cannot be made, is a key file, is the same file as one of `inputs` (what the
// command reads, its key too) or as another output. Empty names are options that were not given. A disk that fills up
// during the work is found only then.
void check_outputs(const std::vector<std::string>& outputs, const std::vector<std::string>& inputs);

}  // namespace carrel::cli
