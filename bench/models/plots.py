"""Plots as SVG by hand: ratio to ONNX Runtime over budgets, a file for each precision and thread count."""
import math

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 760, 380, 52, 150, 34, 44
COLOURS = ["#3b6fb6", "#c8762d", "#3f9460", "#b34a5b", "#7d5fb2", "#5b8f9e", "#9a7b3c", "#8a8f98", "#c26aa8", "#5f6f2d"]
STYLE = ("text{font:12px system-ui,sans-serif;fill:#57606f}.t{font-size:14px;font-weight:600}"
         ".g{stroke:#d5dae3}.one{stroke:#57606f;stroke-dasharray:5 4}"
         "@media(prefers-color-scheme:dark){text{fill:#a9b2c0}.g{stroke:#3a4252}.one{stroke:#a9b2c0}}")


class Scale:
    """Budgets evenly in powers of two; ratios from nothing to a little above the largest."""

    def __init__(self, budgets, most):
        self.low, self.high = math.log2(min(budgets)), math.log2(max(budgets))
        self.most = max(1.1, math.ceil(most * 10 + 0.5) / 10)

    def x(self, budget):
        span = max(self.high - self.low, 1)
        return LEFT + (WIDTH - LEFT - RIGHT) * (math.log2(budget) - self.low) / span

    def y(self, ratio):
        return TOP + (HEIGHT - TOP - BOTTOM) * (1 - ratio / self.most)


def axes(scale, budgets):
    parts = []
    step = 0.1 if scale.most <= 1.2 else 0.2 if scale.most <= 2.4 else 0.5
    for i in range(int(scale.most / step + 1e-9) + 1):
        y = scale.y(i * step)
        parts.append(f'<line class="g" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
                     f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{i * step:.1f}</text>')
    for budget in budgets:
        parts.append(f'<text x="{scale.x(budget):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{budget}</text>')
    one = scale.y(1)
    parts.append(f'<line class="one" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{one:.1f}" y2="{one:.1f}"/>')
    parts.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 8}" text-anchor="middle">trusted memory, MiB</text>')
    return parts


def labels(ends):
    """Names right of the lines, moved apart where they would overlap."""
    parts, lowest = [], TOP
    for y, name, colour in sorted(ends):
        at = max(y + 4, lowest)
        lowest = at + 14
        parts.append(f'<text x="{WIDTH - RIGHT + 8}" y="{at:.1f}" style="fill:{colour}">{name}</text>')
    return parts


def plot(title, series):
    """series: {name: [(budget, ratio), ...]}; the picture as text."""
    points = [point for line in series.values() for point in line]
    budgets = sorted({budget for budget, _ in points})
    scale = Scale(budgets, max(ratio for _, ratio in points))
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}">',
             f"<style>{STYLE}</style>", f'<text class="t" x="{LEFT}" y="18">{title}</text>', *axes(scale, budgets)]
    ends = []
    for i, (name, line) in enumerate(series.items()):
        colour, line = COLOURS[i % len(COLOURS)], sorted(line)
        path = " ".join(f"{scale.x(b):.1f},{scale.y(r):.1f}" for b, r in line)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{scale.x(b):.1f}" cy="{scale.y(r):.1f}" r="3" fill="{colour}">'
                  f"<title>{name}, {b} MiB: {r:.2f}</title></circle>" for b, r in line]
        ends.append((scale.y(line[-1][1]), name, colour))
    return "\n".join([*parts, *labels(ends), "</svg>"]) + "\n"


def write_plots(rows, folder):
    """One file per precision and thread count; their names and titles."""
    written = []
    for precision in ("fp32", "fp16", "mixed", "int8"):
        for threads in (1, 2):
            series = {}
            for row in rows:
                if row["precision"] == precision and row["threads"] == threads and row["fits"]:
                    series.setdefault(row["network"], []).append((row["memory_mib"], row["ratio"]))
            if not series:
                continue
            title = f"carrel {precision} sealed / ONNX Runtime fp32 plain, {threads} thread{'s' if threads > 1 else ''}"
            folder.mkdir(parents=True, exist_ok=True)
            name = f"ratio_{precision}_{threads}.svg"
            (folder / name).write_text(plot(title, series))
            written.append((name, title))
    return written
