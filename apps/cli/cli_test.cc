// The command as its users meet it: arguments, exit status, files.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <thread>

#include "client/npy.h"
#include "compiler/eval/eval.h"
#include "compiler/graph/patch.h"
#include "compiler/onnx/onnx.h"
#include "files/test_no_tmpfile.h"
#include "platform/epcsim/test_userfaultfd.h"

namespace carrel {
namespace {

using Json = nlohmann::json;
namespace fs = std::filesystem;

struct Outcome {
  int status = -1;
  std::string out, err;
};

std::string read_text(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void write_text(const fs::path& path, const std::string& text) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << text;
}

// What the command finds: the most bytes of a file (0: no limit), and a file system with O_TMPFILE or without.
struct Surroundings {
  uint64_t file_limit = 0;
  bool tmpfile = true;
};

pid_t start(const fs::path& folder, const std::vector<std::string>& arguments, Surroundings surroundings = {}) {
  const pid_t child = fork();
  if (child != 0) return child;
  const int out = open((folder / "out").c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  const int err = open((folder / "err").c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  dup2(out, STDOUT_FILENO);
  dup2(err, STDERR_FILENO);
  if (surroundings.file_limit != 0) {
    const rlimit limit{surroundings.file_limit, surroundings.file_limit};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  if (!surroundings.tmpfile && !forbid_tmpfile()) _exit(119);
  if (chdir(folder.c_str()) != 0) _exit(120);
  std::vector<char*> argv = {const_cast<char*>("carrel")};
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  execv(CARREL_PROGRAM, argv.data());
  _exit(121);
}

Outcome finish(const fs::path& folder, pid_t child) {
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  Outcome outcome;
  outcome.status = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  outcome.out = read_text(folder / "out");
  outcome.err = read_text(folder / "err");
  return outcome;
}

// One folder with a small network, sealed once for all tests.
class CliTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    std::string name = ::testing::TempDir() + "carrel_cli_XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
    ASSERT_EQ(carrel({"zoo", "mobilenetv1", "--width", "0.25", "--resolution", "64", "-o", "m.onnx"}).status, 0);
    setenv("XDG_CONFIG_HOME", folder_.c_str(), 1);  // no calibration, whoever runs this
    ASSERT_EQ(carrel({"keygen", "-o", "k.key"}).status, 0);
    ASSERT_EQ(carrel({"keygen", "-o", "other.key"}).status, 0);
    const Outcome sealed = carrel({"seal", "m.onnx", "-o", "m.carrel", "--key", "k.key", "--memory", "2MiB", "4MiB"});
    ASSERT_EQ(sealed.status, 0) << sealed.err;
    write_input("x.npy", "", {1, 3, 64, 64});
    good_ = read_text(folder_ / "m.carrel");
  }
  static void TearDownTestSuite() { fs::remove_all(folder_); }

  void SetUp() override { write_text(folder_ / "m.carrel", good_); }
  // Nothing half-written stays behind, whatever a test did.
  void TearDown() override {
    for (const auto& entry : fs::directory_iterator(folder_)) {
      const std::string name = entry.path().filename();
      EXPECT_TRUE(name.find("tmp") == std::string::npos && name.find("partial") == std::string::npos) << name;
    }
  }

  static Outcome carrel(const std::vector<std::string>& arguments) { return finish(folder_, start(folder_, arguments)); }

  static Outcome run(std::vector<std::string> more, const std::string& key = "k.key", const std::string& memory = "2MiB") {
    std::vector<std::string> arguments = {"run", "m.carrel", "--key", key, "--memory", memory};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return carrel(arguments);
  }

  // One line "carrel: ...", exit status 1, no output file.
  static void expect_refusal(const Outcome& outcome, const std::string& words) {
    EXPECT_EQ(outcome.status, 1) << outcome.err;
    EXPECT_EQ(outcome.err.rfind("carrel: ", 0), 0u) << outcome.err;
    EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
    EXPECT_NE(outcome.err.find(words), std::string::npos) << outcome.err;
    EXPECT_EQ(outcome.out, "");
    EXPECT_FALSE(fs::exists(folder_ / "y.npy"));
  }

  static void write_input(const std::string& file, const std::string& name, const Shape& shape) {
    NamedArray array{name, shape, {}};
    for (int64_t i = 0; i < shape.count(); ++i) array.values.push_back(static_cast<float>(i * 7 % 23) / 11.5f - 1.0f);
    ASSERT_TRUE(write_arrays(folder_ / file, {&array, 1}).ok());
  }
  static std::vector<float> read_output(const std::string& file) {
    const auto arrays = read_arrays(folder_ / file);
    EXPECT_TRUE(arrays.ok());
    fs::remove(folder_ / file);
    return arrays.ok() ? (*arrays)[0].values : std::vector<float>();
  }

  static inline fs::path folder_;
  static inline std::string good_;
};

TEST_F(CliTest, HelpHasAnExampleForEveryCommand) {
  EXPECT_EQ(carrel({"--help"}).status, 0);
  for (const char* command : {"zoo", "keygen", "seal", "inspect", "verify", "plan", "run", "hwbench", "calibrate", "gramine-manifest"}) {
    const Outcome outcome = carrel({command, "--help"});
    EXPECT_EQ(outcome.status, 0);
    EXPECT_NE(outcome.out.find(std::string("Example:\n  carrel ") + command), std::string::npos) << outcome.out;
  }
}

TEST_F(CliTest, HomomorphicHelpHasExamplesToo) {
  for (const char* command : {"plan", "serve", "infer", "run"}) {
    const Outcome outcome = carrel({"he", command, "--help"});
    EXPECT_EQ(outcome.status, 0);
    EXPECT_NE(outcome.out.find(std::string("Example:\n  carrel he ") + command), std::string::npos) << outcome.out;
  }
  EXPECT_EQ(carrel({"he", "serve", "m.onnx", "--listen", "127.0.0.1:0"}).status, 2);  // nothing to calibrate with
}

TEST_F(CliTest, HomomorphicRunAnswersAsThePlainNetwork) {
  ASSERT_EQ(run({"--input", "x.npy", "-o", "y.npy"}).status, 0);
  const std::vector<float> expected = read_output("y.npy");
  const Outcome outcome = carrel({"he", "run", "m.onnx", "--input", "x.npy", "-o", "y.npy", "--json"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  const Json report = Json::parse(outcome.out);
  EXPECT_EQ(report["images"], 1);
  EXPECT_GT(report["ciphertexts"], 1000);
  const std::vector<float> output = read_output("y.npy");
  ASSERT_EQ(output.size(), expected.size());
  double difference = 0, square = 0;
  for (size_t i = 0; i < output.size(); ++i) {
    difference += (output[i] - expected[i]) * (output[i] - expected[i]);
    square += expected[i] * expected[i];
  }
  EXPECT_LT(std::sqrt(difference / square), 0.02);
}

TEST_F(CliTest, HomomorphicRunRefusesWhatItCannotDo) {
  expect_refusal(carrel({"he", "run", "m.onnx", "--input", "m.onnx"}), "m.onnx");
  expect_refusal(carrel({"he", "infer", "--server", "127.0.0.1:1", "--input", "x.npy"}), "127.0.0.1:1");
  expect_refusal(carrel({"he", "infer", "--server", "nowhere", "--input", "x.npy"}), "HOST:PORT");
  expect_refusal(carrel({"he", "plan", "m.onnx", "--calibrate", "nothing.npy"}), "nothing.npy");
}

TEST_F(CliTest, WrongUsageIsTwo) {
  EXPECT_EQ(carrel({}).status, 2);
  EXPECT_EQ(carrel({"frobnicate"}).status, 2);
  EXPECT_EQ(carrel({"zoo", "nosuchnet", "-o", "n.onnx"}).status, 2);
  EXPECT_EQ(carrel({"plan", "m.onnx"}).status, 2);
  EXPECT_EQ(carrel({"plan", "m.onnx", "--memory", "8 potatoes"}).status, 2);
  EXPECT_EQ(carrel({"plan", "m.onnx", "--memory", "8MiB", "--strategy", "none"}).status, 2);
  EXPECT_EQ(carrel({"plan", "m.onnx", "--memory", "8MiB", "--seal-into", "m.carrel"}).status, 2);
  EXPECT_EQ(run({"--input", "x.npy", "--expect-model", "12"}).status, 2);
  EXPECT_EQ(run({"--input", "x.npy", "--threads", "0"}).status, 2);
  EXPECT_EQ(carrel({"run", "m.carrel", "--key", "k.key", "--input", "x.npy"}).status, 2);
  EXPECT_EQ(run({"--input", "x.npy", "--trace", "t.csv"}).status, 2);
  EXPECT_EQ(run({"--input", "x.npy", "--engine", "unmodified"}).status, 2);
  const std::string id(32, '0');
  EXPECT_EQ(run({"--input", "x.npy", "--platform", "inproc", "--engine", "unmodified", "--expect-model", id}).status, 2);
}

TEST_F(CliTest, RunAnswersAsThePlainNetwork) {
  const Outcome outcome = run({"--input", "x.npy", "-o", "y.npy", "--json", "--repeat", "3"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  const std::vector<float> output = read_output("y.npy");
  const Json report = Json::parse(outcome.out);
  EXPECT_EQ(report["platform"], "process");
  EXPECT_EQ(report["planned_now"], false);
  EXPECT_EQ(report["budget_bytes"], 2 << 20);
  EXPECT_EQ(report["planned_peak_bytes"], report["peak_trusted_bytes"]);
  EXPECT_LE(report["kernel_private_bytes"].get<uint64_t>(), uint64_t{4} << 20);
  EXPECT_EQ(report["latency_ms"]["runs"], 2);
  EXPECT_EQ(report["outputs"][0]["top"].size(), 5u);

  ImportOptions options;
  options.fold = eval_node;
  auto graph = import_onnx_file(folder_ / "m.onnx", options, nullptr);
  ASSERT_TRUE(graph.ok());
  const auto input = read_arrays(folder_ / "x.npy");
  const auto expected = eval_graph(*graph, {Tensor::from_f32((*input)[0].shape, (*input)[0].values)});
  ASSERT_TRUE(expected.ok());
  float difference = 0, largest = 0;
  ASSERT_EQ(output.size(), (*expected)[0].f32().size());
  for (size_t i = 0; i < output.size(); ++i) {
    difference = std::max(difference, std::fabs(output[i] - (*expected)[0].f32()[i]));
    largest = std::max(largest, std::fabs((*expected)[0].f32()[i]));
  }
  EXPECT_LE(difference, 1e-4f * largest);
  const size_t best = report["outputs"][0]["top"][0]["index"];
  EXPECT_EQ(output[best], *std::max_element(output.begin(), output.end()));
}

TEST_F(CliTest, PlatformsThreadsAndBudgetsGiveTheSameBits) {
  std::vector<float> first;
  for (const char* platform : {"process", "inproc"}) {
    for (const char* threads : {"1", "2"}) {
      for (const char* memory : {"2MiB", "3MiB"}) {  // sealed, planned now
        const Outcome outcome = run({"--input", "x.npy", "-o", "y.npy", "--platform", platform, "--threads", threads},
                                    "k.key", memory);
        ASSERT_EQ(outcome.status, 0) << outcome.err;
        EXPECT_NE(outcome.err.find(std::string(platform) + ": "), std::string::npos) << "says what it protects";
        EXPECT_EQ(outcome.err.find("planned now") != std::string::npos, memory == std::string("3MiB"));
        const std::vector<float> output = read_output("y.npy");
        if (first.empty()) first = output;
        EXPECT_EQ(output, first);
      }
    }
  }
}

TEST_F(CliTest, SimulatorMeasuresAndModels) {
  SKIP_WITHOUT_USERFAULTFD();
  ASSERT_EQ(run({"--input", "x.npy", "-o", "y.npy"}).status, 0);
  const std::vector<float> expected = read_output("y.npy");
  const Outcome outcome = run({"--input", "x.npy", "-o", "y.npy", "--platform", "epcsim", "--trace", "t.csv", "--json"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(read_output("y.npy"), expected);
  const Json epc = Json::parse(outcome.out)["epc"];
  EXPECT_EQ(epc["measured"]["loads"], 0) << "the engine fits its memory";
  uint64_t touches = 0;
  for (const Json& layer : epc["layers"]) touches += layer["touches"].get<uint64_t>() + layer["crossings"].get<uint64_t>();
  const std::string trace = read_text(folder_ / "t.csv");
  EXPECT_EQ(static_cast<uint64_t>(std::count(trace.begin(), trace.end(), '\n')), touches + 1);
  fs::remove(folder_ / "t.csv");
}

TEST_F(CliTest, UnmodifiedEnginePagesWhereCarrelDoesNot) {
  SKIP_WITHOUT_USERFAULTFD();
  ASSERT_EQ(run({"--input", "x.npy", "-o", "y.npy"}).status, 0);
  const std::vector<float> expected = read_output("y.npy");
  const Outcome outcome =
      run({"--input", "x.npy", "-o", "y.npy", "--platform", "epcsim", "--engine", "unmodified", "--repeat", "2", "--json"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  const std::vector<float> output = read_output("y.npy");
  const float largest = *std::max_element(expected.begin(), expected.end());
  for (size_t i = 0; i < output.size(); ++i) EXPECT_NEAR(output[i], expected[i], 1e-4f * largest);
  const Json report = Json::parse(outcome.out);
  const Json& measured = report["epc"]["measured"];
  EXPECT_GT(measured["loads"].get<uint64_t>(), 100u);
  EXPECT_LE(measured["most_resident_bytes"].get<uint64_t>(), uint64_t{2} << 20);
  EXPECT_GT(report["epc"]["modelled"]["fault_ms"].get<double>(), 0);
  expect_refusal(run({"--input", "x.npy", "--platform", "epcsim", "--epc-profile", "optee-16"}, "k.key", "17MiB"), "no paging");
  expect_refusal(run({"--input", "x.npy", "--platform", "epcsim", "--epc-profile", "sgx9"}), "sgx9");
}

TEST_F(CliTest, ProfileAddsUp) {
  for (const char* platform : {"process", "inproc"}) {
    const Outcome outcome = run({"--input", "x.npy", "--json", "--repeat", "3", "--profile", "--platform", platform});
    ASSERT_EQ(outcome.status, 0) << outcome.err;
    const Json profile = Json::parse(outcome.out)["profile"];
    EXPECT_EQ(profile["images"], 2);
    double wall = 0, macs = 0;
    for (const Json& layer : profile["layers"]) wall += layer["wall_ms"].get<double>();
    for (const Json& op : profile["operators"]) macs += op["macs"].get<double>();
    EXPECT_NEAR(wall, profile["total"]["wall_ms"].get<double>(), 1e-6);
    EXPECT_LE(wall, profile["engine_ms"].get<double>() * 1.001);
    EXPECT_GT(macs, 0);
  }
}

TEST_F(CliTest, BatchIsAnOuterLoop) {
  write_input("two.npy", "", {2, 3, 64, 64});
  const Outcome outcome = run({"--input", "two.npy", "-o", "y.npz", "--json"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(Json::parse(outcome.out)["outputs"][0]["shape"], Json({2, 1000}));
  const std::vector<float> both = read_output("y.npz");
  ASSERT_EQ(run({"--input", "x.npy", "-o", "y.npy"}).status, 0);
  const std::vector<float> one = read_output("y.npy");
  EXPECT_TRUE(std::equal(one.begin(), one.end(), both.begin()));
}

TEST_F(CliTest, InspectVerifyPlan) {
  const Outcome inspect = carrel({"inspect", "m.carrel", "--json"});
  ASSERT_EQ(inspect.status, 0) << inspect.err;
  const Json seen = Json::parse(inspect.out);
  EXPECT_EQ(seen["programs"].size(), 8u);
  EXPECT_EQ(seen["inputs"][0]["shape"], Json({1, 3, 64, 64}));
  const Outcome text = carrel({"inspect", "m.carrel"});
  EXPECT_EQ(text.status, 0);
  EXPECT_NE(text.out.find("(Nx3x64x64)"), std::string::npos) << text.out;
  EXPECT_NE(text.out.find("(Nx1000)"), std::string::npos) << text.out;
  const std::string id = seen["model_id"];
  EXPECT_EQ(run({"--input", "x.npy", "--expect-model", id}).status, 0);
  expect_refusal(run({"--input", "x.npy", "-o", "y.npy", "--expect-model", std::string(32, '0')}), "model");
  EXPECT_EQ(carrel({"verify", "m.carrel", "--key", "k.key"}).status, 0);

  for (const char* model : {"m.onnx", "m.carrel"}) {
    const Outcome plan = carrel({"plan", model, "--memory", "1MiB", "--json", "--html", "plan.html"});
    ASSERT_EQ(plan.status, 0) << plan.err;
    const Json report = Json::parse(plan.out);
    EXPECT_LE(report["planned_peak_bytes"].get<uint64_t>(), uint64_t{1} << 20);
    EXPECT_LE(report["least_bytes"], report["planned_peak_bytes"]);
    const std::string page = read_text(folder_ / "plan.html");
    EXPECT_NE(page.find("<svg"), std::string::npos);
    EXPECT_EQ(page.find("http"), std::string::npos) << "no external resource";
  }
  ASSERT_EQ(carrel({"plan", "m.onnx", "--memory", "1MiB", "--key", "k.key", "--seal-into", "m.carrel"}).status, 0);
  const Outcome sealed = run({"--input", "x.npy", "--json"}, "k.key", "1MiB");
  ASSERT_EQ(sealed.status, 0) << sealed.err;
  EXPECT_EQ(Json::parse(sealed.out)["planned_now"], false);
  EXPECT_EQ(carrel({"verify", "m.carrel", "--key", "k.key"}).status, 0);
}

TEST_F(CliTest, BudgetTooSmallSaysTheLeast) {
  const Outcome plan = carrel({"plan", "m.onnx", "--memory", "300KiB", "--json"});
  EXPECT_EQ(plan.status, 1);
  const Json report = Json::parse(plan.out);
  EXPECT_EQ(report["fits"], false);
  const std::string least = std::to_string(report["least_bytes"].get<uint64_t>());
  EXPECT_NE(plan.err.find(least), std::string::npos) << plan.err;
  expect_refusal(run({"--input", "x.npy", "-o", "y.npy"}, "k.key", "300KiB"), least);
  EXPECT_EQ(run({"--input", "x.npy"}, "k.key", least).status, 0) << "the least that works works";
}

TEST_F(CliTest, PlanSaysWhichFiguresItUsed) {
  const std::vector<std::string> plan = {"plan", "m.carrel", "--memory", "2MiB"};
  EXPECT_NE(carrel(plan).out.find("not calibrated"), std::string::npos);
  fs::create_directory(folder_ / "carrel");
  write_text(folder_ / "carrel/machine.json", "{}");
  expect_refusal(carrel(plan), "carrel calibrate");
  fs::remove_all(folder_ / "carrel");
}

TEST_F(CliTest, HostileSealedFiles) {
  expect_refusal(run({"--input", "x.npy", "-o", "y.npy"}, "other.key"), "key");
  expect_refusal(carrel({"verify", "m.carrel", "--key", "other.key"}), "key");
  for (size_t offset : {size_t{20}, size_t{4096}, good_.size() / 2, good_.size() - 1}) {
    std::string bad = good_;
    bad[offset] = static_cast<char>(bad[offset] ^ 0x10);
    write_text(folder_ / "m.carrel", bad);
    expect_refusal(run({"--input", "x.npy", "-o", "y.npy"}), "m.carrel");
    expect_refusal(carrel({"verify", "m.carrel", "--key", "k.key"}), "m.carrel");
  }
  write_text(folder_ / "m.carrel", good_.substr(0, good_.size() / 2));
  expect_refusal(run({"--input", "x.npy", "-o", "y.npy"}), "truncated");
  write_text(folder_ / "m.carrel", "not a model at all");
  expect_refusal(run({"--input", "x.npy", "-o", "y.npy"}), "not a sealed model");
}

TEST_F(CliTest, BadInputs) {
  write_input("wrong_shape.npy", "", {1, 3, 32, 64});
  expect_refusal(run({"--input", "wrong_shape.npy", "-o", "y.npy"}), "shape");
  write_input("wrong_name.npz", "picture", {1, 3, 64, 64});
  expect_refusal(run({"--input", "wrong_name.npz", "-o", "y.npy"}), "'input'");
  write_text(folder_ / "not.jpg", "\xff\xd8\xff\xe0 this is no picture");
  expect_refusal(run({"--input", "not.jpg", "-o", "y.npy"}), "not.jpg");
  write_text(folder_ / "not.txt", "hello");
  expect_refusal(run({"--input", "not.txt", "-o", "y.npy"}), "not.txt");
  expect_refusal(run({"--input", "missing.npy", "-o", "y.npy"}), "missing.npy");
  expect_refusal(run({"--input", "x.npy", "-o", "no/folder/y.npy"}), "no/folder/y.npy");
  expect_refusal(run({"--input", "x.npy", "-o", "y.npy"}, "missing.key"), "missing.key");
  expect_refusal(run({"--input", "x.npy", "-o", "y.npy", "--labels", "missing.txt"}), "missing.txt");
  expect_refusal(run({"--input", "x.npy", "-o", "y.npy", "--enclave", "/bin/true"}), "m.carrel");
}

TEST_F(CliTest, PaperPutsTheUnmodifiedEngineBesideCarrel) {
  SKIP_WITHOUT_USERFAULTFD();
  const Outcome outcome = carrel({"bench", "paper", "--networks", "squeezenet1_1", "--memory", "4MiB", "--repeat", "1", "--folder", ".",
                                  "--svg", "paper.svg", "--json"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  const Json network = Json::parse(outcome.out)["networks"][0];
  std::map<std::string, Json> rows;
  for (const Json& row : network["rows"]) rows[row["system"].get<std::string>() + " " + row["precision"].get<std::string>()] = row;
  for (const char* system : {"channel fp32", "yplane fp32", "auto fp32", "auto mixed", "unmodified fp32"}) {
    ASSERT_EQ(rows.count(system), 1u) << system;
    if (!rows[system]["fits"]) continue;
    EXPECT_LT(rows[system]["relative_error"], 0.02) << system;
  }
  EXPECT_GT(rows["unmodified fp32"]["faults"], 1000);
  EXPECT_LT(rows["auto fp32"]["measured_ms"], rows["unmodified fp32"]["measured_ms"]);
  for (const char* chart : {"paper.svg", "paper_modelled.svg"}) {
    EXPECT_NE(read_text(folder_ / chart).find("</svg>"), std::string::npos) << chart;
    fs::remove(folder_ / chart);
  }
  for (const auto& entry : fs::directory_iterator(folder_)) {
    EXPECT_EQ(entry.path().filename().string().find("carrel-paper-"), std::string::npos) << entry.path();
  }
}

TEST_F(CliTest, BadModels) {
  const std::string onnx = read_text(folder_ / "m.onnx");
  write_text(folder_ / "bad.onnx", onnx.substr(0, onnx.size() / 2));
  expect_refusal(carrel({"seal", "bad.onnx", "-o", "y.npy", "--key", "k.key"}), "bad.onnx");
  write_text(folder_ / "bad.onnx", "PK\x03\x04 something else");
  expect_refusal(carrel({"seal", "bad.onnx", "-o", "y.npy", "--key", "k.key"}), "bad.onnx");
  expect_refusal(carrel({"plan", "missing.onnx", "--memory", "8MiB"}), "missing.onnx");
  expect_refusal(carrel({"seal", "m.onnx", "-o", "no/folder/y", "--key", "k.key"}), "no/folder/y");
}

TEST_F(CliTest, KeysAreNotOverwritten) {
  expect_refusal(carrel({"gramine-manifest", "m.carrel", "--memory", "2MiB", "-o", "k.key"}), "k.key");
  expect_refusal(carrel({"bench", "paper", "--networks", "mobilenetv2", "--svg", "k.key"}), "k.key");
  struct stat status {};
  ASSERT_EQ(stat((folder_ / "k.key").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777u, 0600u);
  const std::string before = read_text(folder_ / "k.key");
  expect_refusal(carrel({"keygen", "-o", "k.key"}), "k.key");
  EXPECT_EQ(read_text(folder_ / "k.key"), before);
}

// A limit on file sizes stands for a full disk.
TEST_F(CliTest, FullDisk) {
  const std::vector<std::vector<std::string>> commands = {
      {"seal", "m.onnx", "-o", "full.carrel", "--key", "k.key", "--memory", "2MiB"},
      {"zoo", "squeezenet1_1", "-o", "full.onnx"},
      {"plan", "m.onnx", "--memory", "2MiB", "--html", "full.html", "--json"}};
  for (const auto& arguments : commands) {
    const Outcome outcome = finish(folder_, start(folder_, arguments, {.file_limit = 8 * 1024}));
    EXPECT_EQ(outcome.status, 1) << outcome.err;
    for (const char* name : {"full.carrel", "full.onnx", "full.html"}) EXPECT_FALSE(fs::exists(folder_ / name)) << name;
  }
}

// A file system without O_TMPFILE shows a hidden file beside the output; Ctrl-C takes it away, and at once.
TEST_F(CliTest, InterruptRemovesTheHiddenFile) {
  const fs::path folder = folder_ / "hidden";
  ASSERT_TRUE(fs::create_directory(folder));
  const pid_t child = start(folder_, {"zoo", "vgg16", "-o", "hidden/vgg16.onnx"}, {.tmpfile = false});
  const auto written = [&] {
    std::error_code gone;
    for (const auto& entry : fs::directory_iterator(folder)) {
      if (entry.file_size(gone) > 0 && !gone) return true;
    }
    return false;
  };
  for (int i = 0; i < 3000 && !written(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  ASSERT_TRUE(written());
  EXPECT_FALSE(fs::exists(folder / "vgg16.onnx"));
  const auto before = std::chrono::steady_clock::now();
  kill(child, SIGINT);
  const Outcome outcome = finish(folder_, child);
  EXPECT_LT(std::chrono::steady_clock::now() - before, std::chrono::seconds(1));
  EXPECT_EQ(outcome.status, 1) << outcome.err;
  EXPECT_TRUE(fs::is_empty(folder));
}

TEST_F(CliTest, InterruptLeavesNothing) {
  const pid_t child = start(folder_, {"run", "m.carrel", "--key", "k.key", "--memory", "2MiB", "--input", "x.npy", "-o",
                                      "y.npy", "--repeat", "1000000"});
  pid_t enclave = 0;
  // The launcher's keeper thread is the enclave's parent: it is listed under that thread.
  for (int i = 0; i < 500 && enclave == 0; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    std::error_code gone;
    for (const auto& task : fs::directory_iterator("/proc/" + std::to_string(child) + "/task", gone)) {
      std::ifstream(task.path() / "children") >> enclave;
      if (enclave != 0) break;
    }
  }
  ASSERT_NE(enclave, 0);
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  kill(child, SIGINT);
  const Outcome outcome = finish(folder_, child);
  EXPECT_EQ(outcome.status, 1);
  EXPECT_NE(outcome.err.find("carrel: interrupted"), std::string::npos);
  EXPECT_FALSE(fs::exists(folder_ / "y.npy"));
  bool running = true;
  for (int i = 0; i < 200 && running; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    const std::string stat = read_text("/proc/" + std::to_string(enclave) + "/stat");
    const size_t name_end = stat.rfind(')');
    running = name_end != std::string::npos && stat[name_end + 2] != 'Z';
  }
  EXPECT_FALSE(running) << "the enclave " << enclave << " outlives its command";
}

}  // namespace
}  // namespace carrel
