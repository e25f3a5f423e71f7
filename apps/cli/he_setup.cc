#include "apps/cli/he_setup.h"

#include <fmt/core.h>

#include <cmath>

#include "apps/cli/cli.h"
#include "apps/cli/progress.h"

namespace carrel::cli {
namespace {

// Where the narrow modulus would cost more than this in some layer, the wide one is taken.
constexpr double kMostRelativeError = 0.02;

bool accurate(const HeSetup& setup) {
  for (size_t l = 0; l < setup.network.layers.size(); ++l) {
    if (!(relative_error(setup, l) <= kMostRelativeError)) return false;
  }
  return true;
}

}  // namespace

double relative_error(const HeSetup& setup, size_t layer) {
  return setup.scaling.layers[layer].error / std::sqrt(std::max(setup.ranges.layers[layer].mean_square, 1e-30));
}

HeSetup he_setup(const std::string& model, const Graph& graph, const std::vector<Tensor>& calibration, uint64_t images,
                 uint32_t modulus_bits) {
  HeSetup setup;
  setup.network = value_or_fail(he::cut_network(graph), model);
  {
    const Progress progress("calibrating");
    setup.ranges = value_or_fail(he::measure_ranges(setup.network, calibration), model);
  }
  for (const uint32_t bits : {32u, 52u}) {
    if (modulus_bits != 0 && modulus_bits != bits) continue;
    const uint32_t degree = he::least_degree(bits, static_cast<uint32_t>(std::min<uint64_t>(images, UINT32_MAX)));
    if (degree == 0) fail(fmt::format("{}: a batch of {}; at most {} images go at once", model, images, he::kMostDegree));
    Result<he::Scaling> scaling = he::choose_scales(setup.network, setup.ranges, {degree, bits});
    const bool last = modulus_bits != 0 || bits == 52;
    if (!scaling.ok() && !last) continue;
    setup.scaling = value_or_fail(std::move(scaling), model);
    if (last || accurate(setup)) break;
  }
  return setup;
}

}  // namespace carrel::cli
