#include "apps/cli/key.h"

#include <fmt/core.h>

#include "apps/cli/cli.h"
#include "base/wipe.h"
#include "client/keys.h"

namespace carrel::cli {

OwnerKey::OwnerKey(const std::string& path) {
  Result<LoadedKey> loaded = read_key_file(path);
  if (!loaded.ok()) fail(loaded.error(), path);
  key_ = loaded->key;
  if (loaded->readable_by_others) {
    fmt::print(stderr, "warning: {} can be read by other users; chmod 600 it\n", path);
  }
  wipe(&loaded->key, sizeof(loaded->key));
}

OwnerKey::~OwnerKey() { wipe(&key_, sizeof(key_)); }

}  // namespace carrel::cli
