#include "apps/common/machine_file.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "compiler/cost/figure_list.h"
#include "files/atomic_file.h"
#include "files/read_file.h"

namespace carrel {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr int kVersion = 1;
constexpr uint64_t kMostFileBytes = 64 * 1024;

// Figures of one machine would mislead another that shares the home.
std::string processor_name() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (line.starts_with("model name") && line.find(": ") != std::string::npos) return line.substr(line.find(": ") + 2);
  }
  return "unknown";
}

Error not_a_profile(const std::string& path, const std::string& what) {
  return Error(ErrorCode::kInvalidInput, "%s: %s; run 'carrel calibrate' to measure again, or remove the file",
               path.c_str(), what.c_str());
}

Status read_figures(const std::string& path, const Json& object, const char* isa, MachineFigures* figures) {
  if (!object.is_object()) return not_a_profile(path, std::string("no figures for ") + isa);
  for (const FigureField& field : figure_fields()) {
    const auto found = object.find(field.name);
    if (found == object.end() || !found->is_number()) return not_a_profile(path, std::string("no number ") + field.name);
    figures->*field.value = found->get<double>();
  }
  const FigureField* bad = implausible_figure(*figures);
  if (bad != nullptr) return not_a_profile(path, std::string("no machine has such a ") + bad->name);
  return ok_status();
}

Status read_profile(const std::string& path, const Json& file, MachineProfile* profile) {
  if (!file.is_object() || file.value("version", Json()) != kVersion) {
    return not_a_profile(path, "not a calibration of this version of carrel");
  }
  if (file.value("processor", Json()) != processor_name()) {
    profile->source = "defaults: " + path + " was measured on another processor ('carrel calibrate' measures this one)";
    return ok_status();
  }
  const Json all = file.value("figures", Json());
  for (uint8_t level = 0; level <= static_cast<uint8_t>(isa_level(detect_cpu())); ++level) {
    const char* isa = isa_name(static_cast<IsaLevel>(level));
    const Json one = all.is_object() ? all.value(isa, Json()) : Json();
    CARREL_RETURN_IF_ERROR(read_figures(path, one, isa, &profile->figures[level]));
  }
  profile->calibrated = true;
  profile->source = path;
  return ok_status();
}

}  // namespace

std::string machine_file_path() {
  const char* config = std::getenv("XDG_CONFIG_HOME");
  const char* home = std::getenv("HOME");
  fs::path folder;
  if (config != nullptr && config[0] == '/') folder = config;
  else if (home != nullptr && home[0] == '/') folder = fs::path(home) / ".config";
  return folder.empty() ? std::string() : (folder / "carrel" / "machine.json").string();
}

Result<MachineProfile> load_machine_profile() {
  MachineProfile profile;
  profile.source = "defaults: this machine is not calibrated ('carrel calibrate' measures it)";
  const std::string path = machine_file_path();
  std::error_code error;
  if (path.empty() || !fs::exists(path, error)) return profile;
  const Result<std::vector<std::byte>> bytes = read_file(path, kMostFileBytes);
  if (!bytes.ok()) return Error(bytes.error().code(), "%s: %s", path.c_str(), bytes.error().message());
  const auto* text = reinterpret_cast<const char*>(bytes->data());
  CARREL_RETURN_IF_ERROR(read_profile(path, Json::parse(text, text + bytes->size(), nullptr, false), &profile));
  return profile;
}

Result<std::string> save_machine_profile(const MachineProfile& profile) {
  const std::string path = machine_file_path();
  if (path.empty()) return Error(ErrorCode::kIo, "neither XDG_CONFIG_HOME nor HOME says where to keep the figures");
  Json file = {{"version", kVersion}, {"processor", processor_name()}};
  for (uint8_t level = 0; level <= static_cast<uint8_t>(isa_level(detect_cpu())); ++level) {
    Json& one = file["figures"][isa_name(static_cast<IsaLevel>(level))];
    for (const FigureField& field : figure_fields()) one[field.name] = profile.figures[level].*field.value;
  }
  std::error_code error;
  fs::create_directories(fs::path(path).parent_path(), error);
  if (error) return Error(ErrorCode::kIo, "%s: %s", path.c_str(), error.message().c_str());
  const std::string text = file.dump(2) + "\n";
  const Status written = write_file(path, std::as_bytes(std::span(text)));
  if (!written.ok()) return Error(ErrorCode::kIo, "%s: %s", path.c_str(), written.error().message());
  return path;
}

}  // namespace carrel
