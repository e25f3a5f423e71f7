#include "apps/common/epc_cost.h"

#include <algorithm>
#include <cstdio>

namespace carrel {
namespace {

// Every page that came in sent another one out, and a fresh one may have too.
uint64_t misses(const EpcCounters& counters) { return std::max(counters.loads, counters.evictions); }

// What fits the cache is decrypted when it comes in, and not again.
uint64_t encrypted_bytes(const EpcProfile& profile, const EpcMeasured& measured) {
  return measured.working_set > profile.cache_bytes ? measured.bytes_touched : 0;
}

double ns_per_byte(const EpcProfile& profile) {
  return std::max(0.0, 1 / profile.encrypted_gb_per_second - 1 / profile.plain_gb_per_second);
}

}  // namespace

uint64_t worthwhile_bytes(const EpcProfile& profile, uint64_t memory_bytes, double fetch_bytes_per_second) {
  if (profile.encrypted_gb_per_second * 1e9 >= fetch_bytes_per_second || profile.cache_bytes == 0) return memory_bytes;
  return std::min(memory_bytes, profile.cache_bytes);
}

EpcModelled model_epc(const EpcProfile& profile, const EpcMeasured& measured, double delivery_us) {
  EpcModelled out;
  const EpcCounters& counters = measured.counters;
  out.simulator_ms = std::min(measured.ms, 1e-6 * static_cast<double>(counters.handler_ns) +
                                               1e-3 * delivery_us * static_cast<double>(counters.faults()));
  out.fault_ms = 1e-3 * profile.fault_us * static_cast<double>(misses(counters));
  out.crossing_ms = 1e-3 * profile.crossing_us * static_cast<double>(measured.crossings);
  out.encryption_ms = 1e-6 * ns_per_byte(profile) * static_cast<double>(encrypted_bytes(profile, measured));
  out.ms = measured.ms - out.simulator_ms + out.fault_ms + out.crossing_ms + out.encryption_ms;
  return out;
}

std::string epc_arithmetic(const EpcProfile& profile, const EpcMeasured& measured, double delivery_us) {
  const EpcModelled modelled = model_epc(profile, measured, delivery_us);
  char text[400];
  std::snprintf(text, sizeof text,
                "%.1f ms measured - %.1f (%llu faults handled here) + %.1f (%llu misses x %.1f us) + %.2f (%llu crossings x %.1f us) "
                "+ %.1f (%.1f MB of encrypted memory x %.3f ns a byte) = %.1f ms",
                measured.ms, modelled.simulator_ms, static_cast<unsigned long long>(measured.counters.faults()),
                modelled.fault_ms, static_cast<unsigned long long>(misses(measured.counters)), profile.fault_us,
                modelled.crossing_ms, static_cast<unsigned long long>(measured.crossings), profile.crossing_us,
                modelled.encryption_ms, 1e-6 * static_cast<double>(encrypted_bytes(profile, measured)), ns_per_byte(profile),
                modelled.ms);
  return text;
}

}  // namespace carrel
