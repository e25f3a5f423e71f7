#include "apps/cli/paper_chart.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "base/bytes.h"

namespace carrel::cli {
namespace {

constexpr double kPanelWidth = 300, kPanelHeight = 230, kLeft = 46, kRight = 14, kTop = 52, kBottom = 40;
constexpr int kColumns = 3;
constexpr const char* kStyle =
    "text{font:11px system-ui,sans-serif;fill:#57606f}.t{font-size:13px;font-weight:600}.g{stroke:#d5dae3}"
    ".one{stroke:#57606f;stroke-dasharray:5 4}@media(prefers-color-scheme:dark){text{fill:#a9b2c0}.g{stroke:#3a4252}.one{stroke:#a9b2c0}}";

struct Line {
  const char* system;
  const char* precision;
  const char* colour;
};
constexpr Line kLines[] = {{"unmodified", "fp32", "#b34a5b"}, {"channel", "fp32", "#c8762d"}, {"yplane", "fp32", "#7d5fb2"},
                           {"auto", "fp32", "#3b6fb6"},       {"auto", "mixed", "#3f9460"}};

double ratio_of(const PaperRow& row, bool modelled) { return modelled ? row.modelled_ratio : row.measured_ratio; }

class Panel {
 public:
  Panel(const PaperNetwork& network, bool modelled, double x, double y, double most)
      : network_(network), modelled_(modelled), x_(x), y_(y), most_(most) {
    for (const PaperRow& row : network.rows) {
      const double mib = static_cast<double>(row.memory_bytes) / static_cast<double>(kMiB);
      low_ = std::min(low_, mib);
      high_ = std::max(high_, mib);
    }
  }

  std::string draw() const {
    std::string out = fmt::format("<text class=\"t\" x=\"{}\" y=\"{}\">{}</text>", x_ + kLeft, y_ + kTop - 12, network_.name);
    for (double ratio = 0.25; ratio <= most_ * 1.01; ratio *= 2) {
      out += fmt::format("<line class=\"{}\" x1=\"{:.1f}\" x2=\"{:.1f}\" y1=\"{:.1f}\" y2=\"{:.1f}\"/>", ratio == 1 ? "one" : "g",
                         x_ + kLeft, x_ + kPanelWidth - kRight, at_y(ratio), at_y(ratio));
      out += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"end\">{:g}</text>", x_ + kLeft - 5, at_y(ratio) + 4, ratio);
    }
    for (double mib = low_; mib <= high_ * 1.01; mib *= 2) {
      out += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{:g}</text>", at_x(mib),
                         y_ + kPanelHeight - kBottom + 16, mib);
    }
    for (const Line& line : kLines) out += draw_line(line);
    return out;
  }

 private:
  double at_x(double mib) const {
    const double span = std::max(1.0, std::log2(high_ / low_));
    return x_ + kLeft + (kPanelWidth - kLeft - kRight) * std::log2(mib / low_) / span;
  }
  double at_y(double ratio) const {
    const double part = std::log2(std::max(ratio, 0.25) / 0.25) / std::log2(most_ / 0.25);
    return y_ + kTop + (kPanelHeight - kTop - kBottom) * (1 - part);
  }
  std::string draw_line(const Line& line) const {
    std::string path, dots;
    for (const PaperRow& row : network_.rows) {
      if (row.system != line.system || row.precision != line.precision || !row.fits) continue;
      const double x = at_x(static_cast<double>(row.memory_bytes) / static_cast<double>(kMiB));
      const double y = at_y(ratio_of(row, modelled_));
      path += fmt::format("{}{:.1f} {:.1f}", path.empty() ? "M" : "L", x, y);
      dots += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"2.4\" fill=\"{}\"/>", x, y, line.colour);
    }
    if (path.empty()) return "";
    return fmt::format("<path d=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"1.8\"/>{}", path, line.colour, dots);
  }

  const PaperNetwork& network_;
  bool modelled_;
  double x_, y_, most_;
  double low_ = 1e9, high_ = 0;
};

}  // namespace

std::string paper_chart(const std::vector<PaperNetwork>& networks, const EpcProfile& profile, bool modelled) {
  double most = 2;
  for (const PaperNetwork& network : networks) {
    for (const PaperRow& row : network.rows) {
      if (row.fits) most = std::max(most, ratio_of(row, modelled));
    }
  }
  most = std::exp2(std::ceil(std::log2(most)));
  const int rows = (static_cast<int>(networks.size()) + kColumns - 1) / kColumns;
  const double width = kColumns * kPanelWidth, height = rows * kPanelHeight + 34;
  std::string out = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" role=\"img\"><style>{}</style>"
      "<text class=\"t\" x=\"{}\" y=\"20\">Latency over the unprotected run against trusted memory in MiB, {}</text>",
      width, height, kStyle, kLeft, modelled ? "modelled for " + profile.name : std::string("measured"));
  double key = kLeft;
  for (const Line& line : kLines) {
    const std::string name = std::string(line.system) + " " + line.precision;
    out += fmt::format("<text x=\"{:.0f}\" y=\"36\" style=\"fill:{}\">{}</text>", key, line.colour, name);
    key += 8.0 * static_cast<double>(name.size()) + 14;
  }
  for (size_t i = 0; i < networks.size(); ++i) {
    const double x = static_cast<double>(i % kColumns) * kPanelWidth, y = 20 + static_cast<double>(i / kColumns) * kPanelHeight;
    out += Panel(networks[i], modelled, x, y, most).draw();
  }
  return out + "</svg>\n";
}

}  // namespace carrel::cli
