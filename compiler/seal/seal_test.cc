#include "compiler/seal/seal.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>

#include "base/bytes.h"
#include "base/checked.h"
#include "compiler/seal/keys.h"
#include "compiler/seal/quantize.h"
#include "engine/kernels/rows/rows.h"

namespace carrel {
namespace {

using Bytes = std::vector<char>;

Bytes read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void write_file(const std::string& path, const Bytes& bytes) {
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

SecretKey test_key(uint8_t first) {
  SecretKey key{};
  for (size_t i = 0; i < sizeof(key.bytes); ++i) key.bytes[i] = static_cast<uint8_t>(first + i);
  return key;
}

// Networks with weights that tell their place: weight i is (i % 251) / 64.
class Net {
 public:
  explicit Net(const Shape& input) { graph.inputs = {x_ = value("input", input)}; }

  Net& conv(int64_t channels, int64_t kernel, int64_t groups = 1) {
    const Shape in = graph.value(x_).shape;
    Node node = named(OpType::kConv);
    const int64_t pad = kernel / 2;
    node.attributes.ints["strides"] = {1, 1};
    node.attributes.ints["dilations"] = {1, 1};
    node.attributes.ints["pads"] = {pad, pad, pad, pad};
    node.attributes.ints["group"] = {groups};
    node.inputs = {x_, weights({channels, in[1] / groups, kernel, kernel}), weights({channels})};
    return add(node, {1, channels, in[2], in[3]});
  }
  Net& affine() {
    const Shape in = graph.value(x_).shape;
    Node node = named(OpType::kAffine);
    node.inputs = {x_, weights({in[1]}), weights({in[1]})};
    return add(node, in);
  }
  Net& pool_and_dense(int64_t outputs) {
    const int64_t channels = graph.value(x_).shape[1];
    Node pool = named(OpType::kGlobalAveragePool);
    pool.inputs = {x_};
    add(pool, {1, channels, 1, 1});
    Node flat = named(OpType::kReshape);
    flat.inputs = {x_};
    flat.attributes.ints["shape"] = {1, channels};
    add(flat, {1, channels});
    Node dense = named(OpType::kGemm);
    dense.attributes.ints["transB"] = {1};
    dense.inputs = {x_, weights({outputs, channels}), weights({outputs})};
    return add(dense, {1, outputs});
  }
  Graph& done() {
    graph.outputs = {x_};
    graph.name = "test";
    return graph;
  }
  Graph graph;

 private:
  ValueId value(const std::string& name, const Shape& shape) {
    Value v;
    v.name = name;
    v.shape = shape;
    v.shape_known = true;
    return graph.add_value(v);
  }
  ValueId weights(const Shape& shape) {
    std::vector<float> numbers(static_cast<size_t>(shape.count()));
    for (size_t i = 0; i < numbers.size(); ++i) numbers[i] = static_cast<float>(i % 251) / 64.0f - 1.0f;
    return graph.add_const("w" + std::to_string(graph.values.size()), Tensor::from_f32(shape, numbers));
  }
  Node named(OpType op) {
    Node node;
    node.op = op;
    node.name = std::string(op_name(op)) + "_" + std::to_string(graph.nodes.size());
    return node;
  }
  Net& add(Node node, const Shape& out) {
    x_ = value(node.name + "_out", out);
    node.outputs = {x_};
    graph.add_node(std::move(node));
    return *this;
  }
  ValueId x_ = kNoValue;
};

Graph small_graph() { return Net({1, 3, 8, 8}).conv(8, 3).affine().conv(8, 3, 8).pool_and_dense(4).done(); }

SealOptions small_options() {
  SealOptions options;
  options.programs = {{.budget_bytes = 4 * kMiB}};
  return options;
}

class SealTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string folder = ::testing::TempDir() + "carrel_seal_XXXXXX";
    ASSERT_NE(mkdtemp(folder.data()), nullptr);
    folder_ = folder;
    path_ = folder_ + "/model.carrel";
  }
  void TearDown() override {
    for (const char* name : {"/model.carrel", "/other.carrel"}) unlink((folder_ + name).c_str());
    EXPECT_EQ(rmdir(folder_.c_str()), 0) << "something was left in " << folder_;
  }
  void seal(const Graph& graph, const SealOptions& options) {
    const auto id = seal_model(graph, key_, options, path_, {}, &notes_);
    ASSERT_TRUE(id.ok()) << id.error().message();
  }
  ErrorCode verify_error() {
    const Status status = verify_sealed(path_, key_, {});
    EXPECT_FALSE(status.ok());
    return status.ok() ? ErrorCode::kCancelled : status.error().code();
  }

  const SecretKey key_ = test_key(1);
  std::string folder_, path_;
  std::vector<std::string> notes_;
};

TEST_F(SealTest, RoundTrip) {
  const Graph graph = small_graph();
  seal(graph, small_options());
  const auto info = read_sealed(path_);
  ASSERT_TRUE(info.ok()) << info.error().message();
  EXPECT_EQ(info->architecture.nodes.size(), graph.nodes.size());
  EXPECT_EQ(info->architecture.name, "test");
  EXPECT_EQ(info->streams.size(), 4u);
  ASSERT_EQ(info->programs.size(), 1u);
  EXPECT_EQ(info->programs[0].budget_bytes, 4 * kMiB);
  EXPECT_TRUE(authenticate_sealed(*info, key_).ok());
  const Status other = authenticate_sealed(*info, test_key(2));
  ASSERT_FALSE(other.ok());
  EXPECT_EQ(other.error().code(), ErrorCode::kWrongKey);
  const Status verified = verify_sealed(path_, key_, {});
  EXPECT_TRUE(verified.ok()) << verified.error().message();
  const auto program = open_sealed_program(*info, key_, 0);
  ASSERT_TRUE(program.ok());
  EXPECT_TRUE(parse_program(*program).ok());
  EXPECT_TRUE(sealed_streams(*info).ok());
  struct stat status {};
  ASSERT_EQ(stat(path_.c_str(), &status), 0);
  const mode_t mask = umask(0);
  umask(mask);
  EXPECT_EQ(status.st_mode & 0777u, 0666u & ~mask);
}

TEST_F(SealTest, ArchitectureHoldsNoWeights) {
  seal(small_graph(), small_options());
  const auto info = read_sealed(path_);
  ASSERT_TRUE(info.ok());
  for (const Value& value : info->architecture.values) {
    if (!value.is_const() || value.type != DType::kF32) continue;
    EXPECT_TRUE(value.constant->data.empty()) << value.name;
  }
}

// Every stream of the file, opened tile by tile.
std::vector<std::byte> open_stream(const Bytes& file, const SealedInfo& info, const StreamDesc& stream, const Gcm& gcm) {
  const auto grid = make_tile_grid(stream.shape);
  std::vector<std::byte> plain;
  uint64_t offset = stream.file_offset;
  for (uint32_t t = 0; t < grid->tile_count; ++t) {
    const uint32_t bytes = tile_info(*grid, t).stored_bytes;
    std::vector<std::byte> tile(bytes + kTagBytes);
    std::memcpy(tile.data(), file.data() + offset, tile.size());
    const TileAad aad = tile_aad(info.header.model_id, stream.first_tile + t, bytes);
    EXPECT_TRUE(gcm.open_in_place(tile_nonce(stream.first_tile + t), bytes_of(aad), tile.data(), bytes,
                                  tile.data() + bytes));
    plain.insert(plain.end(), tile.begin(), tile.begin() + bytes);
    offset += tile.size();
  }
  return plain;
}

// Slices of panels, chunked and not, with a narrow last panel: what pack_weights makes of the whole stream.
TEST_F(SealTest, TilesHoldTheCanonicalStream) {
  for (const StoredType stored : {StoredType::kF32, StoredType::kF16}) {
    Net net({1, 4, 4, 4});
    net.conv(520, 3).conv(600, 3).conv(1096, 1).pool_and_dense(1000);
    const Graph graph = net.done();
    SealOptions options;
    options.stored = stored;
    seal(graph, options);
    const auto info = read_sealed(path_);
    ASSERT_TRUE(info.ok()) << info.error().message();
    const auto plan = plan_streams(graph, stored);
    ASSERT_TRUE(plan.ok());
    const Bytes file = read_file(path_);
    const Gcm gcm(sealing_subkey(key_, info->header.salt, kTilesLabel).key, detect_cpu());
    for (size_t s = 0; s < plan->streams.size(); ++s) {
      const auto weights = stream_weights(graph, *plan, s);
      ASSERT_TRUE(weights.ok());
      const auto grid = make_tile_grid(plan->streams[s].shape);
      std::vector<std::byte> whole(grid->stored_bytes);
      pack_weights(*grid, weights->weights, weights->bias, whole);
      EXPECT_TRUE(open_stream(file, *info, info->streams[s], gcm) == whole) << "stream " << s;
    }
  }
}

TEST_F(SealTest, QuantizedFullyConnectedLayers) {
  for (const StoredType dense : {StoredType::kI8, StoredType::kI4}) {
    Net net({1, 4, 4, 4});
    net.conv(520, 3).pool_and_dense(11000);
    const Graph graph = net.done();
    SealOptions options;
    options.stored = {StoredType::kF16, dense};
    seal(graph, options);
    const auto info = read_sealed(path_);
    ASSERT_TRUE(info.ok()) << info.error().message();
    EXPECT_TRUE(weight_types(info->manifest) == options.stored);
    EXPECT_TRUE(sealed_streams(*info).ok());
    EXPECT_TRUE(verify_sealed(path_, key_, {}).ok());
    const StreamDesc& stream = info->streams.back();
    EXPECT_EQ(stream.shape.stored, dense);
    const auto plan = plan_streams(graph, options.stored);
    ASSERT_TRUE(plan.ok());
    const auto weights = stream_weights(graph, *plan, plan->streams.size() - 1);
    ASSERT_TRUE(weights.ok());
    const TileGrid grid = *make_tile_grid(stream.shape);
    std::vector<std::byte> whole(grid.stored_bytes);
    pack_dense(grid, quantize_dense(stream.shape, weights->weights), weights->bias, whole);
    const Gcm gcm(sealing_subkey(key_, info->header.salt, kTilesLabel).key, detect_cpu());
    EXPECT_TRUE(open_stream(read_file(path_), *info, stream, gcm) == whole);
  }
}

TEST_F(SealTest, WeightsThatAreNotFiniteAreNotQuantized) {
  Graph graph = small_graph();
  for (Value& value : graph.values) {
    if (value.shape != Shape{4, 8}) continue;
    Tensor bad = *value.constant;
    bad.f32()[3] = INFINITY;
    value.constant = std::make_shared<Tensor>(bad);
  }
  SealOptions options = small_options();
  options.stored = {StoredType::kF32, StoredType::kI8};
  const auto refused = seal_model(graph, key_, options, path_, {}, nullptr);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code(), ErrorCode::kInvalidInput);
  EXPECT_NE(std::string(refused.error().message()).find("Gemm_5"), std::string::npos) << refused.error().message();
}

TEST_F(SealTest, EveryFlippedBitIsFound) {
  seal(small_graph(), small_options());
  const Bytes good = read_file(path_);
  std::fstream file(path_, std::ios::binary | std::ios::in | std::ios::out);
  const auto put = [&](size_t offset, char byte) {
    file.seekp(static_cast<std::streamoff>(offset));
    file.put(byte);
    file.flush();
  };
  for (size_t offset = 0; offset < good.size(); ++offset) {
    put(offset, static_cast<char>(good[offset] ^ (1 << (offset * 5 % 8))));
    const Status status = verify_sealed(path_, key_, {});
    ASSERT_FALSE(status.ok()) << "byte " << offset;
    ASSERT_NE(status.error().code(), ErrorCode::kIo) << "byte " << offset;
    put(offset, good[offset]);
  }
  EXPECT_TRUE(verify_sealed(path_, key_, {}).ok());
}

TEST_F(SealTest, TruncationAndExtensionAreFound) {
  seal(small_graph(), small_options());
  const Bytes good = read_file(path_);
  const auto info = read_sealed(path_);
  ASSERT_TRUE(info.ok());
  std::vector<uint64_t> ends = {0, 1, 255, 256, 257, kTilesOffset - 1, kTilesOffset, info->header.manifest_offset,
                                info->header.manifest_offset + sizeof(ManifestHeader), good.size() - 1};
  for (const StreamDesc& stream : info->streams) ends.push_back(stream.file_offset);
  for (const ProgramRecord& record : info->programs) ends.push_back(record.offset);
  for (uint64_t end : ends) {
    write_file(path_, Bytes(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(end)));
    const Status status = verify_sealed(path_, key_, {});
    ASSERT_FALSE(status.ok()) << end;
    EXPECT_NE(status.error().code(), ErrorCode::kWrongKey) << end;
  }
  Bytes longer = good;
  longer.push_back('\0');
  write_file(path_, longer);
  EXPECT_EQ(verify_error(), ErrorCode::kAuthentication);
}

TEST_F(SealTest, TilesStayInTheirPlaceAndFile) {
  const Graph graph = Net({1, 4, 4, 4}).conv(384, 3).done();
  seal(graph, small_options());
  const Bytes good = read_file(path_);
  const auto info = read_sealed(path_);
  const auto grid = make_tile_grid(info->streams[0].shape);
  ASSERT_GE(grid->tile_count, 2u);
  const size_t tile_bytes = tile_info(*grid, 0).stored_bytes + kTagBytes;
  ASSERT_EQ(tile_info(*grid, 1).stored_bytes + kTagBytes, tile_bytes);
  const auto first = static_cast<std::ptrdiff_t>(kTilesOffset);
  const auto bytes = static_cast<std::ptrdiff_t>(tile_bytes);
  Bytes swapped = good;
  std::swap_ranges(swapped.begin() + first, swapped.begin() + first + bytes, swapped.begin() + first + bytes);
  write_file(path_, swapped);
  EXPECT_EQ(verify_error(), ErrorCode::kAuthentication);

  seal(graph, small_options());
  Bytes mixed = read_file(path_);
  EXPECT_FALSE(std::equal(good.begin(), good.begin() + 4096, mixed.begin()));
  std::copy_n(good.begin() + first, bytes, mixed.begin() + first);
  write_file(path_, mixed);
  EXPECT_EQ(verify_error(), ErrorCode::kAuthentication);
}

// A hostile writer can make any checksum; without the key nothing more.
TEST_F(SealTest, ForgedChecksumsAndCounts) {
  seal(small_graph(), small_options());
  const Bytes good = read_file(path_);
  const auto forge = [&](auto change) {
    Bytes forged = good;
    SealedHeader header;
    std::memcpy(&header, forged.data(), sizeof(header));
    change(&header, &forged);
    const Digest checksum = header_checksum(header);
    std::memcpy(header.checksum, checksum.bytes, sizeof(header.checksum));
    std::memcpy(forged.data(), &header, sizeof(header));
    write_file(path_, forged);
    return verify_error();
  };
  for (size_t offset = offsetof(SealedHeader, salt); offset < offsetof(SealedHeader, checksum); ++offset) {
    const ErrorCode code = forge([&](SealedHeader* header, Bytes*) { reinterpret_cast<uint8_t*>(header)[offset] ^= 1; });
    EXPECT_TRUE(code == ErrorCode::kAuthentication || code == ErrorCode::kWrongKey) << offset;
  }
  const auto set_count = [&](size_t field, uint64_t value, size_t bytes) {
    return forge([&](SealedHeader* header, Bytes* file) {
      std::memcpy(file->data() + header->manifest_offset + field, &value, bytes);
    });
  };
  for (uint64_t value : {uint64_t{0}, uint64_t{0xffffffff}, ~uint64_t{0}}) {
    EXPECT_EQ(set_count(offsetof(ManifestHeader, stream_count), value, 4), ErrorCode::kAuthentication);
    EXPECT_EQ(set_count(offsetof(ManifestHeader, program_count), value, 4), ErrorCode::kAuthentication);
    EXPECT_NE(set_count(offsetof(ManifestHeader, architecture_bytes), value, 8), ErrorCode::kIo);
  }
}

TEST_F(SealTest, AddProgramKeepsTheModel) {
  const Graph graph = small_graph();
  seal(graph, small_options());
  const auto before = read_sealed(path_);
  ASSERT_TRUE(before.ok());
  const auto streams = sealed_streams(*before);
  ASSERT_TRUE(streams.ok()) << streams.error().message();
  const auto plan = plan_program(before->architecture, *streams, {.budget_bytes = 8 * kMiB, .threads = 2});
  ASSERT_TRUE(plan.ok()) << plan.error().message();
  for (int twice = 0; twice < 2; ++twice) {
    const Status added = add_program(path_, key_, before->header.model_id, plan->program);
    ASSERT_TRUE(added.ok()) << added.error().message();
  }
  const auto after = read_sealed(path_);
  ASSERT_TRUE(after.ok());
  EXPECT_EQ(after->header.model_id, before->header.model_id);
  EXPECT_NE(0, std::memcmp(after->header.manifest_salt, before->header.manifest_salt, 32));
  ASSERT_EQ(after->programs.size(), 2u);
  EXPECT_EQ(after->programs[1].threads, 2);
  EXPECT_TRUE(verify_sealed(path_, key_, {}).ok());
  const auto opened = open_sealed_program(*after, key_, 1);
  ASSERT_TRUE(opened.ok());
  EXPECT_TRUE(*opened == plan->program);
}

TEST_F(SealTest, AddProgramNeedsTheKeyAndAnAuthenticFile) {
  const Graph graph = small_graph();
  seal(graph, small_options());
  const auto info = read_sealed(path_);
  const auto program = open_sealed_program(*info, key_, 0);
  ASSERT_TRUE(program.ok());
  const Status wrong = add_program(path_, test_key(9), info->header.model_id, *program);
  ASSERT_FALSE(wrong.ok());
  EXPECT_EQ(wrong.error().code(), ErrorCode::kWrongKey);
  std::vector<std::byte> cut(program->begin(), program->begin() + 100);
  EXPECT_FALSE(add_program(path_, key_, info->header.model_id, cut).ok());
}

TEST_F(SealTest, AddProgramOnlyToTheModelItWasPlannedFor) {
  const Graph graph = small_graph();
  seal(graph, small_options());
  const auto planned_for = read_sealed(path_);
  ASSERT_TRUE(planned_for.ok());
  const auto program = open_sealed_program(*planned_for, key_, 0);
  ASSERT_TRUE(program.ok());
  seal(graph, small_options());  // another sealing is at the path by now
  const Status replaced = add_program(path_, key_, planned_for->header.model_id, *program);
  ASSERT_FALSE(replaced.ok());
  EXPECT_EQ(replaced.error().code(), ErrorCode::kAuthentication);
  // Half-precision weights: the same graph, other streams.
  SealOptions half = small_options();
  half.stored = StoredType::kF16;
  seal(graph, half);
  const auto now = read_sealed(path_);
  ASSERT_TRUE(now.ok());
  const Status other = add_program(path_, key_, now->header.model_id, *program);
  ASSERT_FALSE(other.ok());
  EXPECT_EQ(other.error().code(), ErrorCode::kInvalidInput);
  EXPECT_TRUE(verify_sealed(path_, key_, {}).ok());
}

TEST_F(SealTest, HalfPrecision) {
  Graph graph = small_graph();
  SealOptions options = small_options();
  options.stored = StoredType::kF16;
  seal(graph, options);
  EXPECT_TRUE(verify_sealed(path_, key_, {}).ok());
  for (Value& value : graph.values) {
    if (value.shape != Shape{4, 8}) continue;
    Tensor big = *value.constant;
    big.f32()[3] = -7e4f;
    value.constant = std::make_shared<Tensor>(big);
  }
  const Bytes before = read_file(path_);
  const auto refused = seal_model(graph, key_, options, path_, {}, nullptr);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code(), ErrorCode::kInvalidInput);
  EXPECT_NE(std::string(refused.error().message()).find("Gemm_5"), std::string::npos) << refused.error().message();
  EXPECT_TRUE(read_file(path_) == before) << "a failed sealing must leave the old file";
}

TEST_F(SealTest, SkippedProgramsAreNoted) {
  SealOptions options = small_options();
  for (IsaLevel isa : {IsaLevel::kAvx2, IsaLevel::kAvx512}) {
    options.programs.push_back({.budget_bytes = 64 * kKiB, .threads = 2, .isa = isa});
  }
  seal(small_graph(), options);
  ASSERT_EQ(notes_.size(), 1u);
  EXPECT_EQ(notes_[0].find("no program sealed for 2 threads, avx2, avx512: 64.00 KiB is too small"), 0u) << notes_[0];
  EXPECT_EQ(read_sealed(path_)->programs.size(), 1u);
}

TEST_F(SealTest, ABudgetThatFitsNothingCanBeAnError) {
  SealOptions options = small_options();
  options.every_budget = true;
  options.programs.push_back({.budget_bytes = 64 * kKiB, .threads = 2});
  options.programs.push_back({.budget_bytes = 64 * kKiB});
  const auto refused = seal_model(small_graph(), key_, options, path_, {}, &notes_);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code(), ErrorCode::kBudgetTooSmall);
  const uint64_t least = refused.error().detail();
  EXPECT_NE(std::string(refused.error().message()).find(std::to_string(least)), std::string::npos);
  // It is the least of one thread: two threads are skipped there, and noted.
  for (PlanRequest& request : options.programs) {
    if (request.budget_bytes == 64 * kKiB) request.budget_bytes = least;
  }
  seal(small_graph(), options);
  EXPECT_EQ(notes_.size(), 1u);
  EXPECT_EQ(read_sealed(path_)->programs.size(), 2u);
}

TEST_F(SealTest, EachProgramIsSealedOnce) {
  SealOptions options = small_options();
  for (int i = 0; i < 2; ++i) options.programs.push_back(options.programs[0]);
  seal(small_graph(), options);
  EXPECT_EQ(read_sealed(path_)->programs.size(), 1u);
}

TEST_F(SealTest, InstructionSetsShareAPlan) {
  SealOptions options;
  for (IsaLevel isa : {IsaLevel::kAvx2, IsaLevel::kAvx512}) {
    for (uint32_t threads : {1u, 2u}) {
      options.programs.push_back({.budget_bytes = 4 * kMiB, .threads = threads, .isa = isa});
    }
  }
  seal(small_graph(), options);
  const auto info = read_sealed(path_);
  ASSERT_EQ(info->programs.size(), 4u);
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(info->programs[i].threads, i < 2 ? 1 : 2);
    EXPECT_EQ(info->programs[i].isa, static_cast<uint8_t>(i % 2 == 0 ? IsaLevel::kAvx2 : IsaLevel::kAvx512));
  }
  EXPECT_TRUE(verify_sealed(path_, key_, {}).ok());
}

TEST_F(SealTest, UnwritableAndUnreadablePaths) {
  const auto sealed = seal_model(small_graph(), key_, small_options(), folder_ + "/no/such/folder", {}, nullptr);
  ASSERT_FALSE(sealed.ok());
  EXPECT_EQ(sealed.error().code(), ErrorCode::kIo);
  EXPECT_EQ(read_sealed(folder_).error().code(), ErrorCode::kIo);
  EXPECT_EQ(read_sealed(path_).error().code(), ErrorCode::kIo);
  write_file(path_, Bytes(5000, 'x'));
  EXPECT_EQ(read_sealed(path_).error().code(), ErrorCode::kInvalidInput);
}

}  // namespace
}  // namespace carrel
