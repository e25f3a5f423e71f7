// Runs a libFuzzer target over the files of a folder: the corpus as a test, without clang.
//
// Usage: x_fuzz FOLDER|FILE... A missing or empty folder is a failure: nothing would be tested.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

void replay(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  const std::vector<char> bytes((std::istreambuf_iterator<char>(file)),
                                std::istreambuf_iterator<char>());
  LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
}

std::vector<std::filesystem::path> files_of(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> files;
  if (!std::filesystem::exists(folder)) return files;
  if (!std::filesystem::is_directory(folder)) return {folder};
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace

int main(int argc, char** argv) {
  size_t replayed = 0;
  bool complete = argc > 1;
  for (int i = 1; i < argc; ++i) {
    const std::vector<std::filesystem::path> files = files_of(argv[i]);
    if (files.empty()) {
      std::fprintf(stderr, "%s: nothing to replay\n", argv[i]);
      complete = false;
    }
    for (const std::filesystem::path& file : files) replay(file);
    replayed += files.size();
  }
  std::printf("%zu inputs replayed\n", replayed);
  return complete ? 0 : 1;
}
