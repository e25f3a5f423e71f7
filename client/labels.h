#pragma once
// Class labels: a text file with one label per line, line i naming class i.
#include <string>
#include <vector>

#include "base/result.h"

namespace carrel {

// Surrounding blanks are dropped; an empty line is a class without a name; control characters,
// which a terminal might obey, become '?'. Errors: kIo; kInvalidInput for more than 16 MiB.
Result<std::vector<std::string>> read_labels(const std::string& path);

}  // namespace carrel
