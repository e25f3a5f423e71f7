#include "tests/suite/pictures.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>

#include "base/bytes.h"
#include "client/images.h"
#include "files/read_file.h"
#include "tests/suite/command.h"
#include "tests/suite/oracle.h"
#include "tests/suite/tar.h"

namespace carrel::suite {
namespace {

constexpr uint64_t kMaxArchiveBytes = kGiB;

int cifar_class(const std::string& path) {
  static constexpr std::array kNames = {"airplane", "automobile", "bird",  "cat",  "deer",
                                        "dog",      "frog",       "horse", "ship", "truck"};
  const std::string folder = std::filesystem::path(path).parent_path().filename();
  return static_cast<int>(std::find(kNames.begin(), kNames.end(), folder) - kNames.begin());
}

// Appends one decoded picture, resized and cropped to the network's size; values are 0..255 times
// `scale`.
Status append(std::span<const std::byte> file, int64_t size, float scale,
              std::vector<float>* values) {
  CARREL_ASSIGN(const Image image, decode_image(file));
  PreprocessOptions options;
  options.height = options.width = size;
  options.scale = scale;
  std::fill_n(options.mean, 3, 0.0f);
  std::fill_n(options.std, 3, 1.0f);
  CARREL_ASSIGN(const std::vector<float> one, preprocess(image, options));
  values->insert(values->end(), one.begin(), one.end());
  return ok_status();
}

Result<std::vector<std::byte>> cifar_archive(const std::string& part) {
  const std::string packed = data_folder() + "/cifar10/cifar10_" + part + ".tar.zst";
  CARREL_ASSIGN(const std::string digest, file_digest(packed));
  const std::string archive = cache_folder() + "/cifar10-" + digest + ".tar";
  if (!std::filesystem::exists(archive)) {
    const std::string beside = archive + "." + std::to_string(getpid());
    CARREL_RETURN_IF_ERROR(run_command({"zstd", "-d", "-q", "-f", packed, "-o", beside}));
    std::filesystem::rename(beside, archive);
  }
  return read_file(archive, kMaxArchiveBytes);
}

}  // namespace

Result<Pictures> cifar_pictures(size_t step, const std::string& part, int64_t size, float scale) {
  CARREL_ASSIGN(const std::vector<std::byte> archive, cifar_archive(part));
  CARREL_ASSIGN(std::vector<TarEntry> entries, read_tar(archive));
  std::sort(entries.begin(), entries.end(),
            [](const auto& a, const auto& b) { return a.name < b.name; });
  Pictures pictures;
  std::vector<float> values;
  for (size_t i = 0; i < entries.size(); i += step) {
    CARREL_RETURN_IF_ERROR(append(entries[i].bytes, size, scale, &values));
    pictures.classes.push_back(cifar_class(entries[i].name));
  }
  pictures.values =
      Tensor::from_f32({static_cast<int64_t>(pictures.classes.size()), 3, size, size}, values);
  return pictures;
}

Result<Pictures> photographs() {
  std::vector<std::string> paths;
  for (const auto& entry : std::filesystem::directory_iterator(data_folder() + "/photos")) {
    if (entry.path().extension() == ".JPEG") paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());
  Pictures pictures;
  std::vector<float> values;
  for (const std::string& path : paths) {
    CARREL_ASSIGN(const std::vector<std::byte> file, read_file(path, kMaxArchiveBytes));
    CARREL_RETURN_IF_ERROR(append(file, 96, 1.0f / 255, &values));
  }
  pictures.values = Tensor::from_f32({static_cast<int64_t>(paths.size()), 3, 96, 96}, values);
  return pictures;
}

std::string data_folder() {
  const char* folder = std::getenv("CARREL_TEST_DATA");
  return folder == nullptr ? "" : folder;
}

}  // namespace carrel::suite
