#include "compiler/plan/program_builder.h"

#include <cstring>

#include "base/checked.h"

namespace carrel {
namespace {

constexpr uint64_t kTableAlignment = 8;

template <typename T>
void add_size(const std::vector<T>& table, uint64_t* bytes) {
  *bytes = round_up(*bytes, kTableAlignment) + table.size() * sizeof(T);
}

template <typename T>
void add_table(const std::vector<T>& table, std::vector<std::byte>* blob) {
  blob->resize(round_up(blob->size(), kTableAlignment));
  const size_t at = blob->size();
  blob->resize(at + table.size() * sizeof(T));
  if (!table.empty()) std::memcpy(blob->data() + at, table.data(), table.size() * sizeof(T));
}

}  // namespace

uint64_t program_blob_bytes(const ProgramTables& t) {
  uint64_t bytes = sizeof(ProgramHeader);
  add_size(t.tensors, &bytes);
  add_size(t.streams, &bytes);
  add_size(t.stores, &bytes);
  add_size(t.ops, &bytes);
  add_size(t.steps, &bytes);
  add_size(t.ints, &bytes);
  add_size(t.floats, &bytes);
  add_size(t.operands, &bytes);
  return round_up(bytes, kTableAlignment);
}

std::vector<std::byte> write_program(ProgramHeader header, const ProgramTables& t) {
  header.tensor_count = static_cast<uint32_t>(t.tensors.size());
  header.stream_count = static_cast<uint32_t>(t.streams.size());
  header.store_count = static_cast<uint32_t>(t.stores.size());
  header.op_count = static_cast<uint32_t>(t.ops.size());
  header.step_count = static_cast<uint32_t>(t.steps.size());
  header.int_count = static_cast<uint32_t>(t.ints.size());
  header.float_count = static_cast<uint32_t>(t.floats.size());
  header.operand_count = static_cast<uint32_t>(t.operands.size());
  header.program_bytes = program_blob_bytes(t);
  std::vector<std::byte> blob(sizeof header);
  std::memcpy(blob.data(), &header, sizeof header);
  add_table(t.tensors, &blob);
  add_table(t.streams, &blob);
  add_table(t.stores, &blob);
  add_table(t.ops, &blob);
  add_table(t.steps, &blob);
  add_table(t.ints, &blob);
  add_table(t.floats, &blob);
  add_table(t.operands, &blob);
  blob.resize(header.program_bytes);
  return blob;
}

}  // namespace carrel
