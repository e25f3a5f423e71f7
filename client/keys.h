#pragma once
// Model key files: one line of text, "carrel-key-v1 " and 64 hexadecimal digits.
#include <string>

#include "base/result.h"
#include "engine/crypto/gcm.h"

namespace carrel {

struct LoadedKey {
  SecretKey key;
  bool readable_by_others = false;  // group or others may read the file: worth a warning
};                                  // wipe() the key after use

// Draws a random key and writes it to a new file that only its owner may read. An existing file is
// an error (kIo): overwriting a key would lose every model sealed under it.
Status create_key_file(const std::string& path);

// Errors, without the path: kIo; kInvalidInput if it is not a key file. Temporaries are wiped.
Result<LoadedKey> read_key_file(const std::string& path);

// Whether a file that can be read at `path` begins as key files do, whole or damaged: nothing may be
// written over it.
bool begins_as_key_file(const std::string& path);

}  // namespace carrel
