#pragma once
// The little of the zip format that .npz needs: no encryption, no zip64, one disk, stored or
// deflated members.
#include <cstddef>
#include <cstdint>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"

namespace carrel {

struct ZipMember {
  std::string name;
  std::span<const std::byte> packed;  // into the archive
  uint32_t unpacked_bytes = 0;
  uint32_t crc = 0;
  bool deflated = false;
};

// The members by the central directory, names unique, packed bytes inside the archive. Errors:
// kInvalidInput; also if the members claim to unpack to more than max_unpacked_bytes together, or
// to more than their bytes can.
Result<std::vector<ZipMember>> list_zip(std::span<const std::byte> archive,
                                        uint64_t max_unpacked_bytes);
// kInvalidInput if the data does not unpack to the claimed size and checksum.
Result<std::vector<std::byte>> unpack(const ZipMember& member);

// Builds an archive of stored members in memory.
class ZipWriter {
 public:
  // kInvalidInput: the name is repeated, or the archive would pass 4 GiB or 65535 members.
  Status add(const std::string& name, std::span<const std::byte> bytes);
  // Once; then the object is spent.
  std::vector<std::byte> finish();

 private:
  std::vector<std::byte> archive_;
  std::vector<std::byte> directory_;
  std::set<std::string> names_;
};

}  // namespace carrel
