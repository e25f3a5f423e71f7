// Opens and closes a sealed model as an embedding program does and then searches its own writable memory for the model
// key. Usage: key_scan MODEL.carrel KEY [keep]; keep: does not wipe its own copy. Prints what it found, where and when; exit
// status 0: nothing, 3: the key.
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include "base/wipe.h"
#include "include/carrel/carrel.h"

namespace {

// What is searched for is in this process only masked.
constexpr uint64_t kMask = 0x5aa5c33c69960ff0;

uint64_t masked_at(const void* bytes) {
  uint64_t word;
  std::memcpy(&word, bytes, sizeof word);
  return word ^ kMask;
}

// The key's eight-byte pieces, raw and as the key file spells them.
std::vector<uint64_t> masked_pieces(const uint8_t (&key)[CARREL_KEY_BYTES]) {
  std::vector<uint64_t> pieces;
  char text[2 * CARREL_KEY_BYTES + 1];
  for (size_t i = 0; i < CARREL_KEY_BYTES; ++i) std::snprintf(text + 2 * i, 3, "%02x", key[i]);
  for (size_t i = 0; i < CARREL_KEY_BYTES; i += 8) pieces.push_back(masked_at(key + i));
  for (size_t i = 0; i < 2 * CARREL_KEY_BYTES; i += 8) pieces.push_back(masked_at(text + i));
  carrel::wipe(text, sizeof text);
  return pieces;
}

bool holds(unsigned long begin, unsigned long end, const std::vector<uint64_t>& pieces) {
  for (unsigned long at = begin; at + sizeof(uint64_t) <= end; ++at) {
    const uint64_t word = masked_at(reinterpret_cast<const void*>(at));
    for (uint64_t piece : pieces) {
      if (word == piece) return true;
    }
  }
  return false;
}

// Mappings that hold a piece.
int search(const char* when, const std::vector<uint64_t>& pieces) {
  int found = 0;
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    unsigned long begin = 0, end = 0;
    char access[5] = {};
    if (std::sscanf(line.c_str(), "%lx-%lx %4s", &begin, &end, access) != 3) continue;
    if (std::strncmp(access, "rw", 2) != 0 || !holds(begin, end, pieces)) continue;
    std::printf("%s: %s\n", when, line.c_str());
    ++found;
  }
  return found;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  carrel_error error = {};
  uint8_t key[CARREL_KEY_BYTES];
  carrel_session* session = nullptr;
  bool opened = carrel_read_key(argv[2], key, &error) == CARREL_OK;
  opened = opened && carrel_open(argv[1], key, nullptr, &session, &error) == CARREL_OK;
  const std::vector<uint64_t> pieces = masked_pieces(key);
  if (argc == 3) carrel::wipe(key, sizeof key);
  if (!opened) {
    std::fprintf(stderr, "key_scan: %s\n", error.message);
    return 1;
  }
  int found = search("open", pieces);
  carrel_close(session);
  found += search("closed", pieces);
  return found == 0 ? 0 : 3;
}
