// No key is left behind on the engine's stack: it lies in ordinary memory on platforms that hide the rest.
#include <gtest/gtest.h>
#include <pthread.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "engine/crypto/hash.h"
#include "engine/runtime/test_programs.h"
#include "engine/runtime/test_session.h"

namespace carrel::testing {
namespace {

constexpr size_t kStackBytes = size_t{1} << 20;

// Byte by byte: the sanitizer guards parts of a stack in use.
__attribute__((no_sanitize("address"))) void copy_stack(const volatile std::byte* from, std::byte* to) {
  for (size_t i = 0; i < kStackBytes; ++i) to[i] = from[i];
}

// Runs `body` on a thread of its own and keeps what it left on the stack.
class OwnStack {
 public:
  explicit OwnStack(std::function<void()> body)
      : body_(std::move(body)),
        memory_(static_cast<std::byte*>(
            mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))),
        left_(kStackBytes) {
    pthread_attr_t attributes;
    pthread_t thread;
    const auto start = [](void* argument) -> void* {
      OwnStack* self = static_cast<OwnStack*>(argument);
      self->body_();
      copy_stack(self->memory_, self->left_.data());  // the kernel takes the pages when the thread ends
      return nullptr;
    };
    CARREL_CHECK(pthread_attr_init(&attributes) == 0 && pthread_attr_setstack(&attributes, memory_, kStackBytes) == 0 &&
                 pthread_create(&thread, &attributes, start, this) == 0 && pthread_join(thread, nullptr) == 0);
    pthread_attr_destroy(&attributes);
  }
  ~OwnStack() { munmap(memory_, kStackBytes); }

  // Half a key is half too much.
  bool holds(const SecretKey& key) const {
    const std::span<const std::byte> bytes = std::as_bytes(std::span(key.bytes));
    const auto found = [&](std::span<const std::byte> half) {
      return std::search(left_.begin(), left_.end(), half.begin(), half.end()) != left_.end();
    };
    return found(bytes.first(kKeyBytes / 2)) || found(bytes.last(kKeyBytes / 2));
  }

 private:
  std::function<void()> body_;
  std::byte* memory_;
  std::vector<std::byte> left_;
};

TEST(KeyResidue, SearchFindsAKey) {
#if defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "ThreadSanitizer's code leaves other things on the stack: a search there proves nothing";
#endif
  const OwnStack stack([] {
    const Digest left = sha256({});
    asm volatile("" : : "r"(&left) : "memory");
  });
  const Digest digest = sha256({});
  SecretKey wanted;
  std::memcpy(wanted.bytes, digest.bytes, sizeof(wanted.bytes));
  EXPECT_TRUE(stack.holds(wanted));
}

TEST(KeyResidue, NoneAfterOpenAndPrepare) {
  const ConvNet net = make_conv_net({});
  const std::vector<std::byte> blob = net.program.blob(1, isa_level(detect_cpu()));
  const ProgramView view = *parse_program(blob);
  const TestModel model = seal_model(net.program, {blob}, test_key(kModelKeyFill));
  InprocHost host;
  host.use_memory(model.file, true);
  ASSERT_TRUE(host.allocate_shared(view.header->store_bytes).ok());
  const std::span<std::byte> block = map_memory(view.header->planned_peak_bytes);
  auto engine = std::make_unique<Engine>();
  auto secrets = std::make_unique<SessionSecrets>(test_secrets());
  bool ready = false;
  const OwnStack stack([&] {
    ready = Engine::open(&host, {block, 1, detect_cpu(), nullptr}, secrets.get(), engine.get()).ok() &&
            engine->prepare({RequestKind::kPrepare, 0, {model.program_offsets[0], model.program_bytes[0], 0, 0}}).ok();
  });
  EXPECT_TRUE(ready);
  SealedHeader header;
  std::memcpy(&header, model.file.data(), sizeof(header));
  const std::span<const std::byte> salt = std::as_bytes(std::span(header.salt));
  const std::span<const std::byte> manifest_salt = std::as_bytes(std::span(header.manifest_salt));
  const SecretKey model_key = test_key(kModelKeyFill), session_key = test_key(kSessionKeyFill);
  EXPECT_FALSE(stack.holds(hkdf(model_key, salt, kTilesLabel).key));
  EXPECT_FALSE(stack.holds(hkdf(model_key, salt, kKeyCheckLabel).key));
  EXPECT_FALSE(stack.holds(hkdf(model_key, manifest_salt, kProgramsLabel).key));
  for (const char* label : {kInputKeyLabel, kOutputKeyLabel, kProgramKeyLabel}) {
    EXPECT_FALSE(stack.holds(hkdf(session_key, {}, label).key)) << label;
  }
  EXPECT_FALSE(stack.holds(model_key));
  EXPECT_FALSE(stack.holds(session_key));
  engine.reset();
  unmap_memory(block);
}

}  // namespace
}  // namespace carrel::testing
