// conformance [--data DIR] [--write FILE | --check FILE] [--case NAME]
// Exit status: 0 all right, 1 a wrong answer or a file that is not current, 2 wrong usage, 77 no
// test data.
#include <cstdio>
#include <fstream>
#include <iterator>

#include "compiler/eval/eval.h"
#include "tests/onnx/report.h"

namespace carrel::conformance {
namespace {

struct Options {
  std::string data = kDataFolder, write, check, only;
};

bool parse(int argc, char** argv, Options* options) {
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string name = argv[i];
    std::string* target = name == "--data"    ? &options->data
                          : name == "--write" ? &options->write
                          : name == "--check" ? &options->check
                          : name == "--case"  ? &options->only
                                              : nullptr;
    if (target == nullptr) return false;
    *target = argv[i + 1];
  }
  return argc % 2 == 1;
}

int finish(const Options& options, const std::string& text) {
  if (!options.write.empty()) {
    std::ofstream file(options.write);
    file << text;
    if (!file.flush()) {
      std::fprintf(stderr, "conformance: cannot write %s\n", options.write.c_str());
      return 1;
    }
  }
  if (!options.check.empty()) {
    std::ifstream file(options.check);
    const std::string current((std::istreambuf_iterator<char>(file)),
                              std::istreambuf_iterator<char>());
    if (current != text) {
      std::fprintf(stderr, "conformance: %s is not current; run: conformance --write %s\n",
                   options.check.c_str(), options.check.c_str());
      return 1;
    }
  }
  return 0;
}

int run(const Options& options) {
  std::vector<Outcome> outcomes;
  int counts[3] = {};
  for (const std::string& folder : find_cases(options.data)) {
    const std::string name = folder.substr(folder.rfind('/') + 1);
    if (!options.only.empty() && name != options.only) continue;
    outcomes.push_back(run_case_isolated(folder, eval_batch));
    const Outcome& o = outcomes.back();
    ++counts[static_cast<int>(o.verdict)];
    if (o.verdict == Verdict::kWrong)
      std::printf("WRONG %s: %s\n", o.name.c_str(), o.reason.c_str());
    else if (!options.only.empty())
      std::printf("%s: %s\n", o.name.c_str(), o.reason.c_str());
  }
  if (outcomes.empty()) {
    std::fprintf(stderr, "conformance: no cases in %s (Debian package libonnx-testdata)\n",
                 options.data.c_str());
    return 77;
  }
  std::printf("%d passed, %d unsupported, %d wrong\n", counts[0], counts[1], counts[2]);
  const int status = options.only.empty() ? finish(options, markdown(outcomes)) : 0;
  return counts[2] != 0 ? 1 : status;
}

}  // namespace
}  // namespace carrel::conformance

int main(int argc, char** argv) {
  carrel::conformance::Options options;
  if (!carrel::conformance::parse(argc, argv, &options)) {
    std::fprintf(stderr,
                 "usage: conformance [--data DIR] [--write FILE] [--check FILE] [--case NAME]\n");
    return 2;
  }
  return carrel::conformance::run(options);
}
