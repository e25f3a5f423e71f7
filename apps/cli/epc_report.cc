#include "apps/cli/epc_report.h"

#include <fmt/core.h>

#include <algorithm>

namespace carrel::cli {
namespace {

Json tallies_json(const std::vector<EpcTally>& tallies) {
  Json rows = Json::array();
  for (const EpcTally& t : tallies) {
    rows.push_back({{"name", t.name}, {"touches", t.touches}, {"loads", t.loads}, {"evictions", t.evictions},
                    {"bytes_moved", t.bytes_moved()}, {"crossings", t.crossings}});
  }
  return rows;
}

// The busiest first; the rest in one row.
void print_tallies(const char* what, std::vector<EpcTally> tallies) {
  constexpr size_t kShown = 20;
  std::stable_sort(tallies.begin(), tallies.end(), [](const EpcTally& a, const EpcTally& b) {
    return a.loads + a.touches + a.evictions > b.loads + b.touches + b.evictions;
  });
  if (tallies.size() > kShown) {
    EpcTally rest{fmt::format("{} more", tallies.size() - kShown)};
    for (size_t i = kShown; i < tallies.size(); ++i) {
      rest.touches += tallies[i].touches;
      rest.loads += tallies[i].loads;
      rest.evictions += tallies[i].evictions;
      rest.crossings += tallies[i].crossings;
    }
    tallies.resize(kShown);
    tallies.push_back(rest);
  }
  Table table({what, "first touches", "loads", "evictions", "moved", "crossings"}, "lrrrrr");
  for (const EpcTally& t : tallies) {
    table.add({t.name, std::to_string(t.touches), std::to_string(t.loads), std::to_string(t.evictions),
               size_text(t.bytes_moved()), std::to_string(t.crossings)});
  }
  fmt::print("\n");
  table.print();
}

}  // namespace

Json epc_json(const EpcReport& report) {
  const EpcMeasured& m = report.measured;
  const EpcModelled modelled = model_epc(report.profile, m, report.delivery_us);
  Json json = {{"profile", report.profile.name},
               {"about", report.profile.about},
               {"memory_bytes", report.memory_bytes},
               {"engine_bytes", report.engine_bytes},
               {"measured",
                {{"latency_ms", m.ms}, {"faults", m.counters.faults()}, {"first_touches", m.counters.touches},
                 {"loads", m.counters.loads}, {"evictions", m.counters.evictions},
                 {"most_resident_bytes", m.counters.most_resident * kEpcPageBytes}, {"crossings", m.crossings}}},
               {"modelled",
                {{"latency_ms", modelled.ms}, {"simulator_ms", modelled.simulator_ms}, {"fault_ms", modelled.fault_ms},
                 {"crossing_ms", modelled.crossing_ms}, {"encryption_ms", modelled.encryption_ms},
                 {"arithmetic", epc_arithmetic(report.profile, m, report.delivery_us)}}},
               {"sources", report.profile.sources}};
  if (!report.traced) return json;
  json["layers"] = tallies_json(report.summary.layers);
  json["tensors"] = tallies_json(report.summary.tensors);
  json["events_dropped"] = report.events_dropped;
  return json;
}

void print_epc(const EpcReport& report) {
  const EpcMeasured& m = report.measured;
  fmt::print("measured here   {:.1f} ms, {} faults ({} first touches, {} loads), {} evictions; at most {} resident of {}\n", m.ms,
             m.counters.faults(), m.counters.touches, m.counters.loads, m.counters.evictions,
             size_text(m.counters.most_resident * kEpcPageBytes), size_text(report.memory_bytes));
  fmt::print("modelled        {}: {}\n", report.profile.name, epc_arithmetic(report.profile, m, report.delivery_us));
  if (report.engine_bytes < report.memory_bytes) {
    fmt::print("                {} of {} are used: beyond the cache, memory of {} is slower than decryption from outside\n",
               size_text(report.engine_bytes), size_text(report.memory_bytes), report.profile.name);
  }
  if (!report.traced) return;
  print_tallies("layer", report.summary.layers);
  print_tallies("memory", report.summary.tensors);
  if (report.events_dropped > 0) fmt::print("{} later events were not kept\n", report.events_dropped);
}

}  // namespace carrel::cli
