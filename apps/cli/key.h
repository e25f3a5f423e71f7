#pragma once
// The owner's model key, read from its file and wiped when it goes.
#include <string>

#include "engine/crypto/gcm.h"

namespace carrel::cli {

class OwnerKey {
 public:
  // Warns on stderr if others may read the file.
  explicit OwnerKey(const std::string& path);
  ~OwnerKey();
  OwnerKey(const OwnerKey&) = delete;
  OwnerKey& operator=(const OwnerKey&) = delete;
  const SecretKey& get() const { return key_; }

 private:
  SecretKey key_;
};

}  // namespace carrel::cli
