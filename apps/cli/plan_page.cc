#include "apps/cli/plan_page.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstring>
#include <iterator>

#include "apps/cli/cli.h"
#include "base/checked.h"

namespace carrel::cli {
namespace {

// Of the memory diagram, in its own units.
constexpr double kWidth = 1000, kHeight = 420, kLeft = 76, kBottom = 26, kTop = 14;

constexpr const char* kStyle = R"(
:root{color-scheme:light dark;--ink:#1d2330;--soft:#667085;--line:#d5dae3;--paper:#fff;--bar:#3b6fb6;--bar2:#c8762d}
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ef;--soft:#9aa4b5;--line:#3a4252;--paper:#151a23;--bar:#6d9ee0;--bar2:#e0a062}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:1080px;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem;margin:0}h2{font-size:1.1rem;margin:2rem 0 .4rem}p{color:var(--soft);margin:.2rem 0 .8rem}
dl{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:.6rem 1.2rem}dt{color:var(--soft);font-size:.85rem}
dd{margin:0;font-size:1.15rem}svg{width:100%;height:auto;display:block}svg text{fill:var(--soft);font-size:11px}
.scroll{overflow-x:auto}table{border-collapse:collapse;font-size:.88rem;white-space:nowrap}
th,td{padding:.22rem .8rem .22rem 0;text-align:left;border-bottom:1px solid var(--line)}th{color:var(--soft);font-weight:600}
.n{text-align:right;font-variant-numeric:tabular-nums}
)";

std::string escaped(const std::string& text) {
  std::string out;
  for (char c : text) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      default: out += static_cast<unsigned char>(c) < 0x20 ? '?' : c;
    }
  }
  return out;
}

// The same name gets the same colour in every plan.
std::string colour(const std::string& name) {
  uint32_t hash = 2166136261u;  // FNV-1a
  for (char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619u;
  return fmt::format("hsl({} {}% {}%)", hash % 360, 45 + hash / 360 % 25, 52 + hash / 9000 % 14);
}

class Page {
 public:
  Page(const PageSubject& subject, const Plan& plan) : subject_(subject), plan_(plan) {
    std::memcpy(&header_, plan.program.data(), sizeof(header_));
  }

  std::string build() {
    head();
    memory();
    segments();
    layers();
    out_ += "</body></html>\n";
    return std::move(out_);
  }

 private:
  template <typename... Args>
  void add(fmt::format_string<Args...> format, Args&&... args) {
    fmt::format_to(std::back_inserter(out_), format, std::forward<Args>(args)...);
  }

  void fact(const char* term, const std::string& value) { add("<div><dt>{}</dt><dd>{}</dd></div>", term, value); }

  void head() {
    const std::string name = escaped(subject_.network);
    add("<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">"
        "<meta name=\"viewport\" content=\"width=device-width\"><title>Plan of {}</title><style>{}</style></head><body>"
        "<h1>{}</h1><p>How it runs in {} of trusted memory</p><dl>",
        name, kStyle, name, size_text(header_.budget_bytes));
    fact("planned peak", size_text(header_.planned_peak_bytes));
    fact("least budget", size_text(subject_.least_bytes));
    fact("strategy", strategy_name(plan_.request.strategy));
    fact("threads", std::to_string(plan_.request.threads));
    fact("instruction set", isa_name(plan_.request.isa));
    fact("stored weights", subject_.precision);
    fact("predicted", fmt::format("{:.1f} ms", plan_.predicted_ms));
    fact("program", size_text(plan_.program.size()));
    add("</dl>\n");
  }

  // Bytes of the block before the arena, and of the trusted side before the block.
  uint64_t before_arena() const { return header_.planned_peak_bytes - header_.arena_bytes; }
  double x_of(double step) const {
    return kLeft + (kWidth - kLeft) * step / std::max<double>(1, header_.step_count);
  }
  double y_of(uint64_t bytes) const {
    const double full = static_cast<double>(std::max(header_.budget_bytes, header_.planned_peak_bytes));
    return kTop + (kHeight - kTop - kBottom) * (1 - static_cast<double>(bytes) / full);
  }

  void rectangle(double first, double last, uint64_t begin, uint64_t end, const std::string& fill,
                 const std::string& title) {
    add("<rect x=\"{:.2f}\" y=\"{:.2f}\" width=\"{:.2f}\" height=\"{:.2f}\" fill=\"{}\"><title>{}</title></rect>\n",
        x_of(first), y_of(end), std::max(0.4, x_of(last) - x_of(first)), std::max(0.4, y_of(begin) - y_of(end)), fill,
        title);
  }

  void memory_axis() {
    constexpr int kMarks = 4;
    for (int i = 0; i <= kMarks; ++i) {
      const uint64_t bytes = header_.budget_bytes / kMarks * static_cast<uint64_t>(i);
      add("<line x1=\"{}\" x2=\"{}\" y1=\"{:.2f}\" y2=\"{:.2f}\" stroke=\"var(--line)\"/>"
          "<text x=\"{}\" y=\"{:.2f}\" text-anchor=\"end\">{}</text>\n",
          kLeft, kWidth, y_of(bytes), y_of(bytes), kLeft - 6, y_of(bytes) + 4, size_text(bytes));
    }
    add("<text x=\"{}\" y=\"{}\">step 0</text><text x=\"{}\" y=\"{}\" text-anchor=\"end\">step {}</text>\n", kLeft,
        kHeight - 8, kWidth, kHeight - 8, header_.step_count);
  }

  void memory() {
    add("<h2>Trusted memory over time</h2><p>Each box is a tensor, a row ring or resident weights: when it lives, and "
        "where. At the bottom what never moves: stacks, program, tile buffers. Point at a box for its name.</p>"
        "<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"trusted memory over time\">\n", kWidth, kHeight);
    memory_axis();
    rectangle(0, header_.step_count, 0, before_arena(), "var(--soft)",
              fmt::format("stacks, program and tile buffers: {}", size_text(before_arena())));
    for (const LifetimeReport& l : plan_.lifetimes) {
      const uint64_t begin = before_arena() + l.offset;
      rectangle(l.first_step, uint64_t{l.last_step} + 1, begin, begin + l.bytes, colour(l.name),
                fmt::format("{}: {}, steps {} to {}", escaped(l.name), size_text(l.bytes), l.first_step, l.last_step));
    }
    add("</svg>\n");
  }

  void cell(const std::string& text, bool number) {
    add("<td{}>{}</td>", number ? " class=\"n\"" : "", escaped(text));
  }

  // Weights and activations of one segment as two bars.
  void bars(const SegmentReport& s, uint64_t most) {
    constexpr double kBarWidth = 220;
    const auto width = [&](uint64_t bytes) {
      return most == 0 ? 0.0 : kBarWidth * static_cast<double>(bytes) / static_cast<double>(most);
    };
    add("<td><svg viewBox=\"0 0 {0} 14\" style=\"width:{0}px\"><rect y=\"1\" height=\"6\" width=\"{1:.1f}\" "
        "fill=\"var(--bar)\"/><rect y=\"8\" height=\"6\" width=\"{2:.1f}\" fill=\"var(--bar2)\"/></svg></td>",
        kBarWidth, width(s.weight_bytes_fetched), width(s.spill_bytes));
  }

  void segments() {
    uint64_t most = 0;
    for (const SegmentReport& s : plan_.segments) most = std::max({most, s.weight_bytes_fetched, s.spill_bytes});
    add("<h2>Segments, and bytes across the boundary</h2><p>The layers of a segment run depth-first, a slab of rows at "
        "a time. Upper bar: weights decrypted; lower bar: activations and images, out and in.</p><div class=\"scroll\">"
        "<table><tr><th class=\"n\">#</th><th>layers</th><th class=\"n\">rounds</th><th class=\"n\">slab rows</th>"
        "<th class=\"n\">memory</th><th class=\"n\">weights</th><th class=\"n\">activations</th><th></th>"
        "<th class=\"n\">predicted</th></tr>\n");
    for (size_t i = 0; i < plan_.segments.size(); ++i) {
      const SegmentReport& s = plan_.segments[i];
      add("<tr>");
      cell(std::to_string(i), true);
      cell(fmt::format("{} - {}", s.first_layer, s.last_layer), false);
      cell(std::to_string(s.rounds), true);
      cell(std::to_string(s.slab_rows), true);
      cell(size_text(s.memory_bytes), true);
      cell(size_text(s.weight_bytes_fetched), true);
      cell(size_text(s.spill_bytes), true);
      bars(s, most);
      cell(fmt::format("{:.2f} ms", s.predicted_ms), true);
      add("</tr>\n");
    }
    add("</table></div>\n");
  }

  void layers() {
    add("<h2>Layers</h2><div class=\"scroll\"><table><tr><th class=\"n\">#</th><th>layer</th><th>operation</th>"
        "<th>output</th><th class=\"n\">segment</th><th>weights</th><th>stored</th><th class=\"n\">size</th><th class=\"n\">fetched</th>"
        "<th>kept as</th><th class=\"n\">memory</th></tr>\n");
    for (size_t i = 0; i < plan_.layers.size(); ++i) {
      const LayerReport& l = plan_.layers[i];
      add("<tr>");
      cell(std::to_string(i), true);
      cell(l.name, false);
      cell(l.op, false);
      cell(l.shape, false);
      cell(std::to_string(l.segment), true);
      cell(l.weights, false);
      cell(l.stored, false);
      cell(l.weight_bytes == 0 ? "-" : size_text(l.weight_bytes), true);
      cell(l.fetched_bytes == 0 ? "-" : size_text(l.fetched_bytes), true);
      cell(l.output.empty() ? "-" : l.output, false);
      cell(size_text(l.ring_bytes), true);
      add("</tr>\n");
    }
    add("</table></div>\n");
  }

  const PageSubject& subject_;
  const Plan& plan_;
  ProgramHeader header_;
  std::string out_;
};

}  // namespace

std::string plan_page(const PageSubject& subject, const Plan& plan) { return Page(subject, plan).build(); }

}  // namespace carrel::cli
