#include <algorithm>
#include <cstring>

#include "compiler/seal/input_file.h"
#include "compiler/seal/keys.h"
#include "compiler/seal/manifest.h"
#include "compiler/seal/seal.h"
#include "files/atomic_file.h"

namespace carrel {
namespace {

constexpr uint64_t kCopyBytes = uint64_t{4} << 20;

bool same_request(const std::vector<std::byte>& a, const std::vector<std::byte>& b) {
  ProgramHeader x, y;
  std::memcpy(&x, a.data(), sizeof(x));
  std::memcpy(&y, b.data(), sizeof(y));
  return x.budget_bytes == y.budget_bytes && x.strategy == y.strategy && x.threads == y.threads && x.isa == y.isa;
}

// The tiles of the file that `header` was read from, or an error if `in` is another one.
Status copy_tiles(const InputFile& in, const SealedHeader& header, AtomicFile* out) {
  SealedHeader now;
  CARREL_RETURN_IF_ERROR(in.read_at(0, std::as_writable_bytes(std::span(&now, 1))));
  if (std::memcmp(&now, &header, sizeof(now)) != 0) {
    return Error(ErrorCode::kAuthentication, "the sealed model was replaced while it was read");
  }
  std::vector<std::byte> buffer;
  const uint64_t end = kTilesOffset + header.tiles_bytes;
  for (uint64_t offset = 0; offset < end; offset += buffer.size()) {
    buffer.resize(std::min<uint64_t>(kCopyBytes, end - offset));
    CARREL_RETURN_IF_ERROR(in.read_at(offset, buffer));
    CARREL_RETURN_IF_ERROR(out->write(buffer));
  }
  return ok_status();
}

}  // namespace

Status add_program(const std::string& path, const SecretKey& key, const ModelId& model,
                   const std::vector<std::byte>& program) {
  CARREL_ASSIGN(const ProgramView view, parse_program(program));
  CARREL_RETURN_IF_ERROR(validate_program(view));
  CARREL_ASSIGN(const SealedInfo info, read_sealed(path));
  CARREL_RETURN_IF_ERROR(authenticate_sealed(info, key));
  if (!(info.header.model_id == model)) {
    return Error(ErrorCode::kAuthentication, "the sealed model is not the one that the program was planned for");
  }
  if (!same_streams({view.streams.begin(), view.streams.end()}, info.streams)) {
    return Error(ErrorCode::kInvalidInput, "the program names other weights than the sealed model has");
  }
  std::vector<OwnedProgram> programs;
  for (size_t i = 0; i < info.programs.size(); ++i) {
    CARREL_ASSIGN(std::vector<std::byte> blob, open_sealed_program(info, key, i));
    if (!same_request(blob, program)) programs.push_back({std::move(blob)});
  }
  programs.push_back({program});
  SealedHeader header = info.header;
  CARREL_ASSIGN(const std::vector<std::byte> manifest,
                build_manifest(key, weight_types(info.manifest), info.streams,
                               architecture_bytes(info), programs, &header));
  CARREL_ASSIGN(const InputFile in, InputFile::open(path));
  CARREL_ASSIGN(AtomicFile out, AtomicFile::create(path));
  CARREL_RETURN_IF_ERROR(copy_tiles(in, info.header, &out));
  CARREL_RETURN_IF_ERROR(out.write(manifest));
  CARREL_RETURN_IF_ERROR(out.write_at(0, bytes_of(header)));
  return out.commit();
}

}  // namespace carrel
