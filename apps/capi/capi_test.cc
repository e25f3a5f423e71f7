// libcarrel as an embedding program meets it: through its header and its exported symbols alone.
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include "compiler/seal/seal.h"
#include "include/carrel/carrel.h"

namespace carrel {
namespace {

namespace fs = std::filesystem;

constexpr int kFoundKey = 3;  // key_scan's exit status

// One input of (1, 3, 8, 8) and an output for each function.
Graph network(int64_t batch, std::initializer_list<UnaryFn> functions) {
  Graph graph;
  graph.name = "small";
  graph.batch = batch;
  const auto value = [&](const std::string& name) {
    Value v;
    v.name = name;
    v.shape = {1, 3, 8, 8};
    v.shape_known = true;
    return graph.add_value(v);
  };
  graph.inputs = {value("x")};
  for (UnaryFn fn : functions) {
    Node node;
    node.name = std::to_string(graph.nodes.size());
    node.op = OpType::kUnary;
    node.activation.fn = fn;
    node.inputs = graph.inputs;
    node.outputs = {value(node.name)};
    graph.outputs.push_back(node.outputs[0]);
    graph.add_node(std::move(node));
  }
  return graph;
}

// The exit status of `work` in a process of its own.
template <typename F>
int in_child(F work) {
  const pid_t child = fork();
  if (child == 0) _exit(work());
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

class Capi : public ::testing::Test {
 protected:
  Capi() {
    std::string name = ::testing::TempDir() + "carrel_capi_XXXXXX";
    EXPECT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
    for (size_t i = 0; i < CARREL_KEY_BYTES; ++i) key_.bytes[i] = static_cast<uint8_t>(17 + 59 * i);
  }
  ~Capi() override { fs::remove_all(folder_); }

  std::string sealed(const Graph& graph) {
    const fs::path path = folder_ / "m.carrel";
    std::vector<std::string> notes;
    const auto id = seal_model(graph, key_, {}, path, {}, &notes);
    EXPECT_TRUE(id.ok()) << id.error().message();
    return path;
  }

  fs::path folder_;
  SecretKey key_;
};

class Session {
 public:
  Session(const std::string& path, const SecretKey& key) {
    EXPECT_EQ(carrel_open(path.c_str(), key.bytes, nullptr, &session_, &error_), CARREL_OK) << error_.message;
  }
  ~Session() { carrel_close(session_); }
  carrel_session* get() const { return session_; }

 private:
  carrel_error error_ = {};
  carrel_session* session_ = nullptr;
};

TEST_F(Capi, OptionsOfAnOlderHeader) {
  // Up to `threads`; what lies behind belongs to the caller.
  struct {
    uint64_t struct_bytes, memory_bytes;
    uint32_t threads;
    uint8_t beyond[sizeof(carrel_options)];
  } older;
  std::memset(&older, 0xee, sizeof older);
  const size_t bytes = offsetof(carrel_options, strategy);
  carrel_init_options(reinterpret_cast<carrel_options*>(&older), bytes);
  EXPECT_EQ(older.struct_bytes, bytes);
  EXPECT_EQ(older.memory_bytes, uint64_t{16} << 20);
  EXPECT_EQ(older.threads, 1u);
  for (uint8_t byte : older.beyond) EXPECT_EQ(byte, 0xee);
  const std::string path = sealed(network(0, {UnaryFn::kRelu}));
  carrel_session* session = nullptr;
  carrel_error error;
  EXPECT_EQ(carrel_open(path.c_str(), key_.bytes, reinterpret_cast<carrel_options*>(&older), &session, &error), CARREL_OK);
  carrel_close(session);
}

// A newer header's fields would be ignored, and one of them may be a demand.
TEST_F(Capi, OptionsOfANewerHeaderAreRefused) {
  struct {
    carrel_options known;
    uint64_t more;
  } newer;
  std::memset(&newer, 0xee, sizeof newer);
  carrel_init_options(&newer.known, sizeof newer);
  EXPECT_EQ(newer.known.struct_bytes, sizeof newer);
  EXPECT_EQ(newer.more, 0u);
  carrel_session* session = nullptr;
  carrel_error error;
  EXPECT_EQ(carrel_open("m", key_.bytes, &newer.known, &session, &error), CARREL_INVALID_INPUT);
  EXPECT_NE(std::strstr(error.message, "struct_bytes"), nullptr) << error.message;
}

TEST_F(Capi, FixedAndFreeBatchesAreToldApart) {
  for (int64_t batch : {0, 1, 4}) {
    const Session session(sealed(network(batch, {UnaryFn::kRelu})), key_);
    EXPECT_EQ(carrel_batch(session.get()), batch);
    for (int64_t images : {1, 4}) {
      std::vector<float> x(static_cast<size_t>(images) * 3 * 64, 0.5f), y(x.size());
      const carrel_tensor input = {4, {images, 3, 8, 8}, x.data(), x.size()};
      carrel_tensor output = {0, {}, y.data(), y.size()};
      carrel_error error = {};
      const bool fits = batch == 0 || batch == images;
      EXPECT_EQ(carrel_run(session.get(), &input, &output, &error), fits ? CARREL_OK : CARREL_INVALID_INPUT)
          << error.message;
      EXPECT_EQ(output.dims[0], fits ? images : 0);
    }
  }
}

TEST_F(Capi, EveryOutputIsFilled) {
  const Session session(sealed(network(0, {UnaryFn::kRelu, UnaryFn::kNeg})), key_);
  ASSERT_EQ(carrel_output_count(session.get()), 2u);
  std::vector<float> x(192, 0.5f), y(192), z(192);
  const carrel_tensor input = {4, {1, 3, 8, 8}, x.data(), x.size()};
  carrel_tensor outputs[] = {{0, {}, y.data(), y.size()}, {0, {}, z.data(), z.size()}};
  carrel_error error = {};
  ASSERT_EQ(carrel_run(session.get(), &input, outputs, &error), CARREL_OK) << error.message;
  EXPECT_EQ(y, std::vector<float>(192, 0.5f));
  EXPECT_EQ(z, std::vector<float>(192, -0.5f));
}

void plant(const fs::path& folder, const fs::path& marker) {
  const fs::path program = folder / "libexec/carrel/carrel-enclave";
  fs::create_directories(program.parent_path());
  std::ofstream(program) << "#!/bin/sh\necho > " << marker.string() << "\n";
  fs::permissions(program, fs::perms::owner_all);
}

// A library loaded by a relative path, and then another current directory: where that path leads now, there may be
// anybody's program.
TEST_F(Capi, TheCurrentDirectoryIsNoInstallation) {
  const std::string path = sealed(network(0, {UnaryFn::kRelu}));
  const fs::path marker = folder_ / "was_run";
  for (const char* home : {"home/lib", "other/place/lib"}) fs::create_directories(folder_ / home);
  fs::copy(CARREL_LIBRARY, folder_ / "home/lib/libcarrel.so");
  plant(folder_ / "other", marker);       // ../libexec
  plant(folder_ / "other/place", marker);  // lib/../libexec
  const auto open_elsewhere = [&] {
    fs::current_path(folder_ / "home");
    void* library = dlopen("lib/libcarrel.so", RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) return 10;
    fs::current_path(folder_ / "other/place");
    const auto open = reinterpret_cast<decltype(&carrel_open)>(dlsym(library, "carrel_open"));
    const auto close = reinterpret_cast<decltype(&carrel_close)>(dlsym(library, "carrel_close"));
    carrel_session* session = nullptr;
    const carrel_status status = open(path.c_str(), key_.bytes, nullptr, &session, nullptr);
    close(session);
    return static_cast<int>(status);
  };
  EXPECT_EQ(in_child(open_elsewhere), CARREL_OK) << "the enclave beside the program";
  EXPECT_FALSE(fs::exists(marker));
  std::ofstream(folder_ / "other/place/lib/libcarrel.so") << "a file";
  EXPECT_EQ(in_child(open_elsewhere), CARREL_OK);
  EXPECT_FALSE(fs::exists(marker));
}

TEST_F(Capi, TheKeyIsNowhereAfterOpenAndClose) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "a sanitizer's run time spills registers of its own";
#endif
  const std::string path = sealed(network(0, {UnaryFn::kRelu}));
  std::string text = "carrel-key-v1 ";
  for (uint8_t byte : key_.bytes) {
    char digits[3];
    std::snprintf(digits, sizeof digits, "%02x", byte);
    text += digits;
  }
  const fs::path key_file = folder_ / "k.key";
  std::ofstream(key_file) << text << "\n";
  const auto scan = [&](const char* keep) {
    return in_child([&] {
      execl(CARREL_KEY_SCAN, "key_scan", path.c_str(), key_file.c_str(), keep, nullptr);
      return 127;
    });
  };
  EXPECT_EQ(scan(nullptr), 0);
  EXPECT_EQ(scan("keep"), kFoundKey) << "the search sees what is there";
}

}  // namespace
}  // namespace carrel
