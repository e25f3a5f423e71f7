"""docs/BENCHMARKS.md from rows of results."""
import os
import platform

from scenarios import MIB, MOST_SEALING, TUNED, UNTUNED
from table import table
from targets import int8_limit, means, row_limit, sealing, verdict


def machine():
    model = "unknown CPU"
    with open("/proc/cpuinfo") as info:
        for line in info:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    return f"{model}, {os.cpu_count()} CPUs, Linux {platform.release()}"


def target_text(value, most):
    return "" if most is None else f"{most:.2f}: {verdict(value, most)}"


def means_table(rows):
    body = [[p, str(t), f"{m} MiB", f"**{ratio:.2f}**", target_text(ratio, most)] for p, t, m, ratio, most in means(rows)]
    if not body:
        return "Not all five networks were measured in this run."
    return table(["precision", "threads", "memory", "geometric mean", "target"], body)


def latency_row(r):
    cells = [r["network"], f"{r['memory_mib']} MiB", str(r["threads"])]
    if not r["fits"]:
        return cells + [f"needs {r['least_bytes'] / MIB:.2f} MiB"] + [""] * 9
    return cells + [
        f"{r['carrel_ms']:.1f} ms", f"{r['peer_ms']:.1f} ms", f"**{r['ratio']:.2f}**",
        f"{r['ratio_min']:.2f} - {r['ratio_max']:.2f}", target_text(r["ratio"], row_limit(r)), f"{r['cold_ms']:.1f} ms",
        f"{r['peak_trusted_bytes'] / MIB:.2f} MiB", f"{r['bytes_decrypted'] / 1e6:.1f} MB",
        f"{r['bytes_spilled'] / 1e6:.1f} MB", f"{r['relative_error']:.0e}"]


def latency_table(rows):
    header = ["network", "memory", "threads", "carrel", "ONNX Runtime", "ratio", "least - most", "target", "first run",
              "trusted", "decrypted", "spilled", "error"]
    return table(header, map(latency_row, rows))


def int8_table(rows):
    body = [[r["network"], f"{r['memory_mib']} MiB", str(r["threads"]), f"{r['carrel_ms']:.1f} ms",
             f"{r['peer_int8_ms']:.1f} ms", f"**{r['ratio_int8']:.2f}**", target_text(r["ratio_int8"], int8_limit(r))]
            for r in rows if r["fits"] and r["precision"] == "int8"]
    return table(["network", "memory", "threads", "carrel", "ONNX Runtime int8", "ratio", "target"], body)


def sealing_table(rows, speed):
    body = []
    for r in rows:
        if not r["fits"] or r["network"] not in TUNED:
            continue
        price, allowed = sealing(r, speed)
        met = "met" if price <= max(allowed, 0) else f"missed by {price - allowed:.1f} ms"
        body.append([r["network"], r["precision"], f"{r['memory_mib']} MiB", str(r["threads"]), f"{r['carrel_ms']:.1f} ms",
                     f"{r['unsealed_ms']:.1f} ms", f"{r['free_ms']:.1f} ms", f"{price:.1f} ms", f"{allowed:.1f} ms: {met}"])
    return table(["network", "precision", "memory", "threads", "sealed", "unsealed", "no budget either", "price",
                  "allowed"], body)


def head(results, speed, options):
    return f"""# Benchmarks

Written by `./dev bench` at {results.commit}. Weights are synthetic (`carrel zoo`), one 224 x 224 picture; outputs were
compared first. carrel: process platform, sealed weights, `--memory` covering every writable byte of the trusted
process. ONNX Runtime 1.30: plain memory, all optimizations, the same number of threads. Each row is of one run, {options.rounds}
rounds of {options.runs} inferences each, turn by turn (with a pause after ONNX Runtime's, whose threads go on spinning), a fresh carrel process in
each round; times are medians, the ratio is the median over rounds (least - most beside it). "First run" is carrel's first inference, when nothing is resident and
memory is touched for the first time; "decrypted" and "spilled" are of a later one: weights that fit the budget stay.
"Error" is the largest difference to ONNX Runtime over the largest output. Targets are of `bench/models/scenarios.py`.

Machine: {machine()}. One core decrypts cold tiles at {speed / 1e9:.1f} GB/s (`carrel hwbench`, in this run).

## Geometric means of {', '.join(TUNED)}

Of carrel's time over ONNX Runtime's with fp32.
"""


SEALING = f"""## What sealing costs

"Unsealed": the same program in the same budget, run by `carrel-unsealed` (bench/unsealed): the engine linked with a cipher
that copies each tile and checks nothing, without a process of its own. "No budget either": the same program with 4 GiB, where
every weight stays resident and nothing moves in a later inference: carrel unprotected. The price is sealed minus unsealed
and includes the request to the trusted process; allowed is {MOST_SEALING} times the bytes decrypted at the speed above.
"""


def page(results, rows, plots, speed, options):
    parts = [head(results, speed, options), means_table(rows), ""]
    parts += [f"![{title}](bench/{name})\n" for name, title in plots]
    for precision in ("fp32", "fp16", "mixed", "int8"):
        some = [r for r in rows if r["precision"] == precision]
        for title, networks in ((f"## {precision}", TUNED), (f"### {precision}, networks that nothing was tuned for", UNTUNED)):
            of_these = [r for r in some if r["network"] in networks]
            if of_these:
                parts += [title, "", latency_table(of_these), ""]
        if precision == "int8" and some:
            parts += ["### int8 against ONNX Runtime on the same quantized file", "", int8_table(some), ""]
    return "\n".join([*parts, SEALING, sealing_table(rows, speed), ""])
