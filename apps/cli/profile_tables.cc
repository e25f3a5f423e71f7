#include "apps/cli/profile_tables.h"

#include <fmt/core.h>

namespace carrel::cli {
namespace {

Json times_json(const ProfileTimes& t) {
  return {{"steps", t.steps}, {"wall_ms", t.wall_ms}, {"compute_ms", t.compute_ms}, {"decrypt_ms", t.decrypt_ms},
          {"transfer_ms", t.transfer_ms}, {"wait_ms", t.wait_ms}, {"weight_bytes", t.weight_bytes},
          {"transfer_bytes", t.transfer_bytes}, {"macs", t.macs}, {"gflops_per_core", t.gflops()}};
}

Json row_json(const ProfileRow& row) {
  Json json = Json::object();
  if (!row.name.empty()) json["name"] = row.name;
  json["op"] = row.op;
  if (!row.shape.empty()) json["shape"] = row.shape;
  json.update(times_json(row.times));
  return json;
}

std::string ms_text(double ms) { return ms < 0.0005 ? "-" : fmt::format("{:.3f}", ms); }

// The columns that every table has.
std::vector<std::string> figures(const ProfileTimes& t, const ProfileTimes& total) {
  const double share = total.wall_ms > 0 ? 100 * t.wall_ms / total.wall_ms : 0;
  return {std::to_string(t.steps),   ms_text(t.wall_ms),     fmt::format("{:.1f} %", share),
          ms_text(t.compute_ms),     ms_text(t.decrypt_ms),  ms_text(t.transfer_ms),
          ms_text(t.wait_ms),        t.weight_bytes == 0 ? "-" : size_text(t.weight_bytes),
          t.transfer_bytes == 0 ? "-" : size_text(t.transfer_bytes),
          t.macs > 0 ? fmt::format("{:.0f}", t.gflops()) : "-"};
}

std::vector<std::string> header(std::vector<std::string> first) {
  for (const char* name : {"steps", "ms", "share", "compute", "decrypt", "spill, in, out", "wait", "weights",
                           "activations", "GF/s"}) {
    first.emplace_back(name);
  }
  return first;
}

std::vector<std::string> joined(std::vector<std::string> first, const std::vector<std::string>& rest) {
  first.insert(first.end(), rest.begin(), rest.end());
  return first;
}

}  // namespace

Json profile_json(const Profile& profile) {
  Json json = {{"images", profile.images}, {"engine_ms", profile.engine_ms}, {"total", times_json(profile.total)}};
  json["layers"] = Json::array();
  json["operators"] = Json::array();
  for (const ProfileRow& row : profile.layers) json["layers"].push_back(row_json(row));
  for (const ProfileRow& row : profile.operators) json["operators"].push_back(row_json(row));
  return json;
}

void print_profile(const Profile& profile, uint32_t threads) {
  fmt::print("\nProfile (mean of {} inference{}; {:.3f} ms inside the engine; compute, decrypt, spill and wait are summed "
             "over {} thread{}; GF/s: of one core, as a direct convolution)\n",
             profile.images, profile.images == 1 ? "" : "s", profile.engine_ms, threads, threads == 1 ? "" : "s");
  Table layers(header({"layer", "operation", "output"}), "lllrrrrrrrrrr");
  for (const ProfileRow& row : profile.layers) {
    layers.add(joined({row.name, row.op, row.shape}, figures(row.times, profile.total)));
  }
  layers.add(joined({"total", "", ""}, figures(profile.total, profile.total)));
  layers.print();
  fmt::print("\n");
  Table operators(header({"operation"}), "lrrrrrrrrrr");
  for (const ProfileRow& row : profile.operators) operators.add(joined({row.op}, figures(row.times, profile.total)));
  operators.print();
}

}  // namespace carrel::cli
