#pragma once
// Collects the tables of a program and writes the blob.
#include <vector>

#include "engine/format/program.h"

namespace carrel {

struct ProgramTables {
  std::vector<TensorDesc> tensors;
  std::vector<StreamDesc> streams;
  std::vector<StoreDesc> stores;
  std::vector<OpDesc> ops;
  std::vector<Step> steps;
  std::vector<int64_t> ints;
  std::vector<float> floats;
  std::vector<uint16_t> operands;
};

// Bytes the blob will have.
uint64_t program_blob_bytes(const ProgramTables& tables);
// The blob; counts and program_bytes are filled in, the rest of `header` is kept.
std::vector<std::byte> write_program(ProgramHeader header, const ProgramTables& tables);

}  // namespace carrel
