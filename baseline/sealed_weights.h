#pragma once
// All weights of a sealed model, decrypted and unpacked.
#include <functional>
#include <string>

#include "baseline/unpack.h"
#include "compiler/seal/seal.h"

namespace carrel::unmodified {

// Opens every tile of the sealed file at `path` and unpacks it to where target(stream) says.
// `info`: authenticated under `key`. Plaintext passes through one tile's buffer, which is wiped.
// Errors: kIo, kAuthentication.
Status unpack_sealed(const std::string& path, const SealedInfo& info, const SecretKey& key,
                     const std::function<UnpackTarget(size_t stream)>& target);

}  // namespace carrel::unmodified
