// Programs that are authentic and wrong: the engine validates every step all the same.
#include <functional>

#include "compiler/seal/keys.h"
#include "compiler/seal/manifest.h"
#include "tests/hostile/hostile_file.h"

namespace carrel::testing {
namespace {

// A program that the true client sealed, but that a bug of its planner has spoilt.
class SpoiltProgram : public HostileFile {
 protected:
  struct Tables {
    ProgramHeader header;
    TensorDesc* tensors;
    StreamDesc* streams;
    StoreDesc* stores;
    OpDesc* ops;
    Step* steps;
  };
  // Every table at a multiple of 8 bytes, in the order of engine/format/program.h.
  static Tables tables_of(std::vector<std::byte>* blob, const ProgramView& original) {
    const std::byte* base = reinterpret_cast<const std::byte*>(original.header);
    const auto same_place = [&](const auto& table) {
      using T = std::remove_const_t<typename std::decay_t<decltype(table)>::element_type>;
      return reinterpret_cast<T*>(blob->data() +
                                  (reinterpret_cast<const std::byte*>(table.data()) - base));
    };
    return {*original.header,
            same_place(original.tensors),
            same_place(original.streams),
            same_place(original.stores),
            same_place(original.ops),
            same_place(original.steps)};
  }
  // Sealed for the session; the engine authenticates it and must refuse all the same.
  void expect_refused(const std::string& what, const std::function<void(Tables*)>& spoil) {
    SCOPED_TRACE(what);
    std::vector<std::byte> blob(client_->blob().begin(), client_->blob().end());
    Tables tables = tables_of(&blob, client_->program());
    spoil(&tables);
    std::memcpy(blob.data(), &tables.header, sizeof(tables.header));
    std::vector<std::byte> sealed(blob.size() + kTagBytes);
    ASSERT_TRUE(seal_session_program(client_->session_key(), detect_cpu(),
                                     client_->info().header.model_id, blob, sealed)
                    .ok());
    auto session = client_->start(path_, kInproc);
    ASSERT_TRUE(session.ok());
    EXPECT_EQ(code_of((*session)->prepare_session_program(sealed)), ErrorCode::kInvalidInput);
    EXPECT_FALSE(client_->infer(**session, 1).ok());
  }
};

TEST_F(SpoiltProgram, UnspoiltItRuns) {
  std::vector<std::byte> sealed(client_->blob().size() + kTagBytes);
  ASSERT_TRUE(seal_session_program(client_->session_key(), detect_cpu(),
                                   client_->info().header.model_id, client_->blob(), sealed)
                  .ok());
  auto session = client_->start(path_, kInproc);
  ASSERT_TRUE(session.ok() && (*session)->prepare_session_program(sealed).ok());
  const auto output = client_->infer(**session, 1);
  ASSERT_TRUE(output.ok()) << output.error().message();
  EXPECT_TRUE(same_bits(*output, expected_));
}

TEST_F(SpoiltProgram, TensorsOutsideTheArena) {
  const uint64_t arena = client_->program().header->arena_bytes;
  for (size_t i = 0; i < client_->program().tensors.size(); ++i) {
    const uint64_t bytes = client_->program().tensors[i].bytes;
    for (uint64_t offset : {arena, arena - bytes + 64, ~uint64_t{0} - 63, uint64_t{1} << 40}) {
      expect_refused("tensor " + std::to_string(i),
                     [&](Tables* t) { t->tensors[i].arena_offset = offset; });
    }
  }
}

TEST_F(SpoiltProgram, StoresOutsideTheSharedArea) {
  const ProgramView& program = client_->program();
  for (size_t i = 0; i < program.stores.size(); ++i) {
    for (uint64_t offset : {program.header->store_bytes, ~uint64_t{0} - 63, uint64_t{1} << 40}) {
      expect_refused("store " + std::to_string(i),
                     [&](Tables* t) { t->stores[i].offset = offset; });
    }
    expect_refused("blocks of store " + std::to_string(i),
                   [&](Tables* t) { t->stores[i].block_count = 1 << 30; });
  }
}

TEST_F(SpoiltProgram, OperatorsAndStepsBeyondTheirTables) {
  const ProgramView& program = client_->program();
  const uint64_t arena = program.header->arena_bytes;
  for (size_t i = 0; i < program.ops.size(); ++i) {
    const OpDesc& op = program.ops[i];
    const std::string name = std::string(opcode_name(op.opcode)) + " " + std::to_string(i);
    // Loads of plain tensors have no place of their own.
    const bool plain =
        op.stream != kNone16 && program.streams[op.stream].shape.kind == WeightsKind::kPlain;
    if (!plain && (op.weights == WeightsMode::kResident || op.opcode == Opcode::kLoad)) {
      expect_refused(name + ": weights", [&](Tables* t) { t->ops[i].weights_offset = arena; });
    }
    if (op.in0 != kNone16) {
      expect_refused(name + ": input", [&](Tables* t) {
        t->ops[i].in0 = static_cast<uint16_t>(program.tensors.size());
      });
    }
    if (op.stream != kNone16) {
      expect_refused(name + ": stream", [&](Tables* t) {
        t->ops[i].stream = static_cast<uint16_t>(program.streams.size());
      });
    }
    if (op.opcode == Opcode::kConv) {
      expect_refused(name + ": channels", [&](Tables* t) { t->ops[i].out_channels += 16; });
    }
    expect_refused(name + ": opcode", [&](Tables* t) { t->ops[i].opcode = Opcode::kCount; });
  }
  for (size_t i = 0; i < program.steps.size(); i += 1 + program.steps.size() / 50) {
    const std::string name = "step " + std::to_string(i);
    expect_refused(name,
                   [&](Tables* t) { t->steps[i].op = static_cast<uint16_t>(program.ops.size()); });
  }
}

TEST_F(SpoiltProgram, HeadersThatClaimMoreMemoryThanGranted) {
  for (uint64_t arena : {uint64_t{1} << 30, ~uint64_t{0} - 4095, uint64_t{0}}) {
    expect_refused("arena", [&](Tables* t) { t->header.arena_bytes = arena; });
  }
  expect_refused("tile buffers", [&](Tables* t) { t->header.tile_buffer_bytes = 64; });
  expect_refused("shared area", [&](Tables* t) { t->header.store_bytes = 64; });
}

// The same in the file: authentic under the owner's key, in manifest and tag.
TEST_F(SpoiltProgram, InTheSealedFile) {
  std::vector<std::byte> blob(client_->blob().begin(), client_->blob().end());
  tables_of(&blob, client_->program()).tensors[0].arena_offset =
      client_->program().header->arena_bytes;
  EXPECT_FALSE(add_program(path_, key_, client_->info().header.model_id, blob).ok()) << "the owner's side refuses it too";
  SealedHeader header = client_->info().header;
  const auto manifest = build_manifest(key_, StoredType::kF32, client_->info().streams,
                                       architecture_bytes(client_->info()), {{blob}}, &header);
  ASSERT_TRUE(manifest.ok()) << manifest.error().message();
  std::vector<std::byte> file = read_bytes(path_);
  file.resize(header.manifest_offset);
  file.insert(file.end(), manifest->begin(), manifest->end());
  std::memcpy(file.data(), &header, sizeof(header));
  write_bytes(path_, file);
  EXPECT_EQ(code_of(run_as_owner(key_)), ErrorCode::kInvalidInput);
  for (const StartOptions& platform : {kInproc, kProcessMaps, kProcessReads}) {
    EXPECT_EQ(code_of(client_->run_all(path_, platform)), ErrorCode::kInvalidInput);
  }
}

}  // namespace
}  // namespace carrel::testing
