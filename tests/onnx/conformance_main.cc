// conformance [--data DIR] [--oracle DIR] [--write FILE | --check FILE] [--case NAME]
// --oracle: the folder of ort.mjs; without it the generated models are left out.
// Exit status: 0 all right, 1 a wrong answer or a file that is not current, 2 wrong usage, 77 no
// test data.
#include <cstdio>
#include <fstream>
#include <iterator>

#include "compiler/eval/eval.h"
#include "tests/onnx/generated.h"
#include "tests/onnx/report.h"
#include "tests/onnx/sealed.h"

namespace carrel::conformance {
namespace {

struct Options {
  std::string data = kDataFolder, oracle, write, check, only;
};

bool parse(int argc, char** argv, Options* options) {
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string name = argv[i];
    std::string* target = name == "--data"     ? &options->data
                          : name == "--oracle" ? &options->oracle
                          : name == "--write"  ? &options->write
                          : name == "--check"  ? &options->check
                          : name == "--case"   ? &options->only
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
      std::fprintf(
          stderr,
          "conformance: %s is not current; run: conformance --oracle tests/oracle --write %s\n",
          options.check.c_str(), options.check.c_str());
      return 1;
    }
  }
  return 0;
}

struct Totals {
  int counts[kVerdicts] = {};
  void add(const char* executor, const Outcome& o, bool talk) {
    ++counts[static_cast<int>(o.verdict)];
    const bool wrong = o.verdict == Verdict::kWrong;
    if (!wrong && !talk) return;
    const char* const words[kVerdicts] = {"passed", "unsupported", "WRONG"};
    std::printf("%s %s: %s %s\n", executor, o.name.c_str(), words[static_cast<int>(o.verdict)],
                o.reason.c_str());
  }
  int wrong() const { return counts[static_cast<int>(Verdict::kWrong)]; }
  void print(const char* executor) const {
    std::printf("%s: %d passed, %d unsupported, %d wrong\n", executor, counts[0], counts[1],
                counts[2]);
  }
};

class Conformance {
 public:
  explicit Conformance(const Options& options) : options_(options) {}

  void run_node_tests() {
    for (const std::string& folder : find_cases(options_.data)) {
      TestCase test;
      const Status loaded = load_case(folder, &test);
      if (!chosen(test)) continue;
      if (loaded.ok()) {
        run(test, &report_.cases);
      } else {
        const Outcome outcome = not_loaded(test, loaded.error());
        add({outcome, outcome}, &report_.cases);
      }
    }
  }

  Status run_generated() {
    std::vector<TestCase> cases = generate_cases();
    std::erase_if(cases, [&](const TestCase& test) { return !chosen(test); });
    CARREL_RETURN_IF_ERROR(ask_oracle(options_.oracle, &cases, &report_.refused));
    for (const TestCase& test : cases) {
      if (!test.outputs.empty()) run(test, &report_.generated);
    }
    return ok_status();
  }

  const Report& report() const { return report_; }
  int wrong() const { return plain_.wrong() + sealed_.wrong(); }
  void print() const {
    plain_.print("plain evaluation");
    sealed_.print("sealed engine");
  }

 private:
  bool chosen(const TestCase& test) const {
    return options_.only.empty() || options_.only == test.name;
  }
  void run(const TestCase& test, std::vector<CaseOutcomes>* outcomes) {
    add({run_case_isolated(test, eval_batch), run_case_isolated(test, run_sealed)}, outcomes);
  }
  void add(CaseOutcomes both, std::vector<CaseOutcomes>* outcomes) {
    plain_.add("plain", both.plain, !options_.only.empty());
    sealed_.add("sealed", both.sealed, !options_.only.empty());
    outcomes->push_back(std::move(both));
  }

  const Options& options_;
  Report report_;
  Totals plain_, sealed_;
};

int run(const Options& options) {
  Conformance conformance(options);
  conformance.run_node_tests();
  if (conformance.report().cases.empty() && options.only.empty()) {
    std::fprintf(stderr, "conformance: no cases in %s (Debian package libonnx-testdata)\n",
                 options.data.c_str());
    return 77;
  }
  if (!options.oracle.empty()) {
    const Status status = conformance.run_generated();
    if (!status.ok()) {
      std::fprintf(stderr, "conformance: %s\n", status.error().message());
      return 1;
    }
  }
  conformance.print();
  const int status = options.only.empty() ? finish(options, markdown(conformance.report())) : 0;
  return conformance.wrong() != 0 ? 1 : status;
}

}  // namespace
}  // namespace carrel::conformance

int main(int argc, char** argv) {
  carrel::conformance::Options options;
  if (!carrel::conformance::parse(argc, argv, &options)) {
    std::fprintf(stderr,
                 "usage: conformance [--data DIR] [--oracle DIR] [--write FILE] [--check FILE] "
                 "[--case NAME]\n");
    return 2;
  }
  return carrel::conformance::run(options);
}
