#include "client/zip.h"

#include <zlib.h>

#include <algorithm>
#include <cstring>

#include "base/checked.h"
#include "client/little_endian.h"

namespace carrel {
namespace {

// APPNOTE.TXT 4.3.7, 4.3.12, 4.3.16.
constexpr uint32_t kLocalSignature = 0x04034b50;
constexpr uint32_t kDirectorySignature = 0x02014b50;
constexpr uint32_t kEndSignature = 0x06054b50;
constexpr size_t kLocalBytes = 30;
constexpr size_t kDirectoryBytes = 46;
constexpr size_t kEndBytes = 22;
constexpr size_t kMaxComment = 65535;
constexpr uint16_t kStored = 0;
constexpr uint16_t kDeflated = 8;
constexpr uint16_t kEncryptedFlag = 1;
constexpr uint16_t kVersion = 20;     // 2.0: the least that has folders and deflate
constexpr uint16_t kFirstDay = 0x21;  // 1980-01-01: archives do not depend on the clock
// Deflate never packs better: 258 bytes in 2 bits.
constexpr uint64_t kMaxDeflateRatio = 1032;

Error damaged(const char* what) {
  return Error(ErrorCode::kInvalidInput, "the zip file is damaged: %s", what);
}

struct Directory {
  uint64_t begin = 0;
  uint64_t bytes = 0;
  uint32_t members = 0;
};

Result<Directory> find_directory(std::span<const std::byte> archive) {
  if (archive.size() < kEndBytes) return damaged("it is too short");
  const size_t last = archive.size() - kEndBytes;
  const size_t first = last > kMaxComment ? last - kMaxComment : 0;
  for (size_t at = last + 1; at-- > first;) {
    const std::byte* end = archive.data() + at;
    if (load_le<uint32_t>(end) != kEndSignature ||
        load_le<uint16_t>(end + 20) != archive.size() - at - kEndBytes) {
      continue;
    }
    const Directory directory{load_le<uint32_t>(end + 16), load_le<uint32_t>(end + 12),
                              load_le<uint16_t>(end + 10)};
    if (!in_range(directory.begin, directory.bytes, at)) return damaged("no directory");
    return directory;
  }
  return damaged("no end record");
}

// Where the member's data starts: the local header repeats the name and has its own extra field.
Result<std::span<const std::byte>> member_data(std::span<const std::byte> archive, uint64_t local,
                                               uint64_t packed) {
  if (!in_range(local, kLocalBytes, archive.size())) return damaged("a member lies outside");
  const std::byte* header = archive.data() + local;
  if (load_le<uint32_t>(header) != kLocalSignature) return damaged("a member has no header");
  const uint64_t begin =
      local + kLocalBytes + load_le<uint16_t>(header + 26) + load_le<uint16_t>(header + 28);
  if (!in_range(begin, packed, archive.size())) return damaged("a member lies outside");
  return archive.subspan(begin, packed);
}

Status check_member(const ZipMember& member, uint16_t flags, uint16_t method) {
  const uint64_t packed = member.packed.size();
  if (flags & kEncryptedFlag) {
    return Error(ErrorCode::kUnsupported, "encrypted zip files are not supported");
  }
  if (method != kStored && method != kDeflated) {
    return Error(ErrorCode::kUnsupported, "zip compression method %u is not supported", method);
  }
  const bool possible = member.deflated ? member.unpacked_bytes <= packed * kMaxDeflateRatio
                                        : member.unpacked_bytes == packed;
  return possible ? ok_status() : Status(damaged("a member's size is impossible"));
}

// The directory entry at `entry`, of which kDirectoryBytes are there.
Result<ZipMember> parse_member(std::span<const std::byte> archive, const std::byte* entry) {
  const auto packed = load_le<uint32_t>(entry + 20);
  const auto method = load_le<uint16_t>(entry + 10);
  ZipMember member;
  member.crc = load_le<uint32_t>(entry + 16);
  member.unpacked_bytes = load_le<uint32_t>(entry + 24);
  member.deflated = method == kDeflated;
  if (packed == UINT32_MAX || member.unpacked_bytes == UINT32_MAX) {
    return Error(ErrorCode::kUnsupported, "zip members of 4 GiB and more are not supported");
  }
  CARREL_ASSIGN(member.packed, member_data(archive, load_le<uint32_t>(entry + 42), packed));
  CARREL_RETURN_IF_ERROR(check_member(member, load_le<uint16_t>(entry + 8), method));
  return member;
}

}  // namespace

Result<std::vector<ZipMember>> list_zip(std::span<const std::byte> archive,
                                        uint64_t max_unpacked_bytes) {
  CARREL_ASSIGN(const Directory directory, find_directory(archive));
  std::vector<ZipMember> members;
  std::set<std::string> names;
  uint64_t at = directory.begin;
  const uint64_t end = directory.begin + directory.bytes;
  uint64_t unpacked = 0;
  for (uint32_t i = 0; i < directory.members; ++i) {
    if (!in_range(at, kDirectoryBytes, end)) return damaged("its directory is truncated");
    const std::byte* entry = archive.data() + at;
    if (load_le<uint32_t>(entry) != kDirectorySignature) return damaged("a bad directory entry");
    const uint16_t name_bytes = load_le<uint16_t>(entry + 28);
    const uint64_t entry_bytes = kDirectoryBytes + uint64_t{name_bytes} +
                                 load_le<uint16_t>(entry + 30) + load_le<uint16_t>(entry + 32);
    if (!in_range(at, entry_bytes, end)) return damaged("its directory is truncated");
    CARREL_ASSIGN(ZipMember member, parse_member(archive, entry));
    member.name.assign(reinterpret_cast<const char*>(entry + kDirectoryBytes), name_bytes);
    unpacked += member.unpacked_bytes;
    if (unpacked > max_unpacked_bytes) {
      return Error(ErrorCode::kInvalidInput, "the zip file unpacks to more than %llu bytes",
                   static_cast<unsigned long long>(max_unpacked_bytes));
    }
    if (!names.insert(member.name).second) return damaged("a name is repeated");
    members.push_back(std::move(member));
    at += entry_bytes;
  }
  return members;
}

namespace {

// False unless the data is one deflate stream of exactly out's size.
bool inflate_all(std::span<const std::byte> packed, std::span<std::byte> out) {
  z_stream stream{};
  constexpr int kRaw = -MAX_WBITS;  // no zlib header
  if (inflateInit2(&stream, kRaw) != Z_OK) return false;
  // Sizes are below 2^32. zlib wants a non-null output even for none.
  std::byte nothing{};
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(packed.data()));
  stream.avail_in = static_cast<uInt>(packed.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.empty() ? &nothing : out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  const int status = inflate(&stream, Z_FINISH);
  const bool complete = status == Z_STREAM_END && stream.total_out == out.size();
  inflateEnd(&stream);
  return complete;
}

uint32_t crc_of(std::span<const std::byte> bytes) {
  return static_cast<uint32_t>(
      crc32_z(0, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

}  // namespace

Result<std::vector<std::byte>> unpack(const ZipMember& member) {
  std::vector<std::byte> bytes(member.unpacked_bytes);
  if (member.deflated) {
    if (!inflate_all(member.packed, bytes)) return damaged("a member does not unpack");
  } else {
    bytes.assign(member.packed.begin(), member.packed.end());
  }
  if (!bytes.empty() && crc_of(bytes) != member.crc) return damaged("a wrong checksum");
  return bytes;
}

Status ZipWriter::add(const std::string& name, std::span<const std::byte> bytes) {
  const uint64_t total = archive_.size() + directory_.size() + kLocalBytes + kDirectoryBytes +
                         kEndBytes + 2 * name.size() + bytes.size();
  if (name.size() > UINT16_MAX || total >= UINT32_MAX || names_.size() >= UINT16_MAX) {
    return Error(ErrorCode::kInvalidInput, "a .npz file can hold at most 4 GiB and 65535 arrays");
  }
  if (!names_.insert(name).second) {
    return Error(ErrorCode::kInvalidInput, "two arrays for one .npz file are called %s",
                 name.c_str());
  }
  // From "version needed" on, the local header and the directory entry agree.
  std::vector<std::byte> common;
  append_le<uint16_t>(&common, kVersion);
  append_le<uint16_t>(&common, 0);  // flags
  append_le<uint16_t>(&common, kStored);
  append_le<uint16_t>(&common, 0);  // time
  append_le<uint16_t>(&common, kFirstDay);
  append_le<uint32_t>(&common, bytes.empty() ? 0 : crc_of(bytes));
  append_le<uint32_t>(&common, static_cast<uint32_t>(bytes.size()));
  append_le<uint32_t>(&common, static_cast<uint32_t>(bytes.size()));
  append_le<uint16_t>(&common, static_cast<uint16_t>(name.size()));
  append_le<uint16_t>(&common, 0);  // extra field
  const auto append = [](std::vector<std::byte>* out, std::span<const std::byte> more) {
    out->insert(out->end(), more.begin(), more.end());
  };
  const auto local = static_cast<uint32_t>(archive_.size());
  append_le<uint32_t>(&directory_, kDirectorySignature);
  append_le<uint16_t>(&directory_, kVersion);  // made by
  append(&directory_, common);
  append_le<uint64_t>(&directory_,
                      0);  // comment length, disk, internal, half of external attributes
  append_le<uint16_t>(&directory_, 0);  // the other half
  append_le<uint32_t>(&directory_, local);
  append(&directory_, std::as_bytes(std::span(name)));
  append_le<uint32_t>(&archive_, kLocalSignature);
  append(&archive_, common);
  append(&archive_, std::as_bytes(std::span(name)));
  append(&archive_, bytes);
  return ok_status();
}

std::vector<std::byte> ZipWriter::finish() {
  const auto begin = static_cast<uint32_t>(archive_.size());
  const auto bytes = static_cast<uint32_t>(directory_.size());
  const auto count = static_cast<uint16_t>(names_.size());
  archive_.insert(archive_.end(), directory_.begin(), directory_.end());
  append_le<uint32_t>(&archive_, kEndSignature);
  append_le<uint32_t>(&archive_, 0);  // this disk, the directory's disk
  append_le<uint16_t>(&archive_, count);
  append_le<uint16_t>(&archive_, count);
  append_le<uint32_t>(&archive_, bytes);
  append_le<uint32_t>(&archive_, begin);
  append_le<uint16_t>(&archive_, 0);  // comment
  return std::move(archive_);
}

}  // namespace carrel
