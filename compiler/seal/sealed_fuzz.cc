// Hostile sealed files: never a crash, whatever the reader and the verifier are given. Magic, sizes, checksum, key check
// and tag are made right first, as a forger who knew the key could, so that the parts behind them are reached.
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <string>
#include <vector>

#include "compiler/seal/keys.h"
#include "compiler/seal/seal.h"

namespace {

using carrel::SealedHeader;

constexpr carrel::SecretKey kKey = {{1, 2, 3}};

void put(int fd, const std::vector<std::byte>& file) {
  CARREL_CHECK(ftruncate(fd, 0) == 0);
  CARREL_CHECK(pwrite(fd, file.data(), file.size(), 0) == static_cast<ssize_t>(file.size()));
}

void forge(std::vector<std::byte>* file) {
  SealedHeader header;
  std::memcpy(&header, file->data(), sizeof(header));
  std::memcpy(header.magic, carrel::kSealedMagic, sizeof(header.magic));
  header.version = carrel::kSealedVersion;
  header.header_bytes = sizeof(header);
  std::memset(header.reserved, 0, sizeof(header.reserved));
  header.file_bytes = file->size();
  header.manifest_offset = carrel::kTilesOffset + header.tiles_bytes;
  header.manifest_bytes = header.file_bytes - header.manifest_offset;
  carrel::set_key_check(kKey, &header);
  if (header.manifest_offset <= file->size()) {
    const carrel::Digest tag =
        carrel::manifest_tag(kKey, header, std::span(*file).subspan(header.manifest_offset));
    std::memcpy(header.manifest_tag, tag.bytes, sizeof(header.manifest_tag));
  }
  const carrel::Digest checksum = carrel::header_checksum(header);
  std::memcpy(header.checksum, checksum.bytes, sizeof(header.checksum));
  std::memcpy(file->data(), &header, sizeof(header));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const int fd = memfd_create("sealed", MFD_CLOEXEC);
  CARREL_CHECK(fd >= 0);
  const std::string path = "/proc/self/fd/" + std::to_string(fd);
  std::vector<std::byte> file(reinterpret_cast<const std::byte*>(data), reinterpret_cast<const std::byte*>(data) + size);
  put(fd, file);
  CARREL_CHECK(!carrel::verify_sealed(path, kKey, {}).ok() || size >= carrel::kTilesOffset);
  if (size < sizeof(SealedHeader)) return 0;
  forge(&file);
  put(fd, file);
  const auto info = carrel::read_sealed(path);
  if (!info.ok()) return 0;
  CARREL_CHECK(carrel::authenticate_sealed(*info, kKey).ok());
  const auto streams = carrel::sealed_streams(*info);
  CARREL_CHECK(!streams.ok() || streams->streams.size() == info->streams.size());
  (void)carrel::verify_sealed(path, kKey, {}).ok();
  return 0;
}
