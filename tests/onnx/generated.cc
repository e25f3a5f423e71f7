#include "tests/onnx/generated.h"

#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "client/npy.h"
#include "tests/onnx/recipes.h"

namespace carrel::conformance {
namespace {

namespace fs = std::filesystem;

// A folder of its own, gone with the object.
class TemporaryFolder {
 public:
  TemporaryFolder()
      : path_(fs::temp_directory_path() / ("carrel_generated_" + std::to_string(getpid()))) {
    fs::create_directories(path_);
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  std::string file(const std::string& name) const { return (path_ / name).string(); }

 private:
  fs::path path_;
};

std::string case_file(const TemporaryFolder& folder, size_t i, const char* suffix) {
  return folder.file(std::to_string(i) + suffix);
}

void write_bytes(const std::string& path, const void* bytes, size_t size) {
  std::ofstream(path, std::ios::binary)
      .write(static_cast<const char*>(bytes), static_cast<std::streamsize>(size));
}

// Writes model and inputs; the commands that make ONNX Runtime answer.
Result<std::string> pose(const TemporaryFolder& folder, size_t i, const TestCase& test) {
  write_bytes(case_file(folder, i, ".onnx"), test.model.data(), test.model.size());
  std::vector<NamedArray> arrays;
  for (const NamedTensor& in : test.inputs) {
    arrays.push_back({in.name, in.tensor.shape, {in.tensor.f32().begin(), in.tensor.f32().end()}});
  }
  CARREL_ASSIGN(const std::vector<std::byte> npz, encode_npz(arrays));
  write_bytes(case_file(folder, i, "-in.npz"), npz.data(), npz.size());
  const std::string id = "\"id\":\"" + std::to_string(i) + "\"";
  return "{\"cmd\":\"load\"," + id + ",\"model\":\"" + case_file(folder, i, ".onnx") +
         "\"}\n{\"cmd\":\"run\"," + id + ",\"input\":\"" + case_file(folder, i, "-in.npz") +
         "\",\"output\":\"" + case_file(folder, i, "-out.npz") + "\"}\n{\"cmd\":\"unload\"," + id +
         "}\n";
}

Status serve(const std::string& oracle, const TemporaryFolder& folder) {
  const std::string command = "node '" + oracle + "/ort.mjs' --serve < '" +
                              folder.file("commands") + "' > '" + folder.file("replies") + "'";
  const int status = std::system(command.c_str());
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return ok_status();
  return Error(ErrorCode::kIo,
               "ONNX Runtime gave no answers; needs `npm install --ignore-scripts` in %s",
               oracle.c_str());
}

// The answers by name, or what the oracle said instead.
Status collect(const TemporaryFolder& folder, size_t i, TestCase* test) {
  CARREL_ASSIGN(const std::vector<NamedArray> answers,
                read_arrays(case_file(folder, i, "-out.npz")));
  for (NamedTensor& output : test->outputs) {
    for (const NamedArray& answer : answers) {
      if (answer.name == output.name) output.tensor = Tensor::from_f32(answer.shape, answer.values);
    }
  }
  return ok_status();
}

}  // namespace

std::vector<TestCase> generate_cases() {
  std::vector<TestCase> cases;
  for (const auto family : {window_recipes(), activation_recipes(), arithmetic_recipes(),
                            movement_recipes(), resize_recipes()}) {
    for (const Recipe& recipe : family) {
      for (int opset = recipe.since; opset <= recipe.until; ++opset) {
        Maker maker(opset, static_cast<uint32_t>(cases.size()));
        TestCase test = recipe.make(maker);
        const std::string form = recipe.form;
        test.name = recipe.op + (form.empty() ? "" : " (" + form + ")") + ", opset " +
                    std::to_string(opset);
        test.operators = {recipe.op};
        cases.push_back(std::move(test));
      }
    }
  }
  return cases;
}

Status ask_oracle(const std::string& oracle, std::vector<TestCase>* cases,
                  std::vector<std::string>* refused) {
  const TemporaryFolder folder;
  std::string commands;
  for (size_t i = 0; i < cases->size(); ++i) {
    CARREL_ASSIGN(const std::string lines, pose(folder, i, (*cases)[i]));
    commands += lines;
  }
  write_bytes(folder.file("commands"), commands.data(), commands.size());
  CARREL_RETURN_IF_ERROR(serve(oracle, folder));
  std::ifstream replies(folder.file("replies"));
  std::string load, run, unload;
  for (size_t i = 0; i < cases->size(); ++i) {
    TestCase& test = (*cases)[i];
    std::getline(replies, load);
    std::getline(replies, run);
    std::getline(replies, unload);
    if (fs::exists(case_file(folder, i, "-out.npz"))) {
      CARREL_RETURN_IF_ERROR(collect(folder, i, &test));
    } else {
      test.outputs.clear();
      refused->push_back(test.name + ": " + (load.find("\"ok\":true") < load.size() ? run : load));
    }
  }
  return ok_status();
}

}  // namespace carrel::conformance
