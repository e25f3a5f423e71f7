#!/usr/bin/env python3
"""Whole models: carrel (process platform, sealed) beside ONNX Runtime (plain memory), in one run.

Python 3 standard library only. A round times a few inferences of one engine and then of the other, so that drift of a
shared machine meets both; the ratio is taken round by round and its median reported. The first inference of each carrel
process is its cold one and is left out of the median. Outputs are compared before anything is reported.
"""
import argparse
import json
import math
import os
import pathlib
import platform
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
CARREL = ROOT / "build/release/bin/carrel"
ORACLE = ROOT / "tests/oracle/ort.mjs"
MIB = 1 << 20
NETWORKS = ["vgg16", "resnet50", "mobilenetv2"]
MOST_RELATIVE_ERROR = {"fp32": 1e-4, "fp16": 2e-3}


class Oracle:
    """ONNX Runtime in a process of its own, one JSON command at a time."""

    def __init__(self):
        self.process = subprocess.Popen(["node", str(ORACLE), "--serve"], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True, cwd=ORACLE.parent)

    def ask(self, **command):
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        reply = json.loads(self.process.stdout.readline())
        if not reply["ok"]:
            sys.exit(f"compare: ONNX Runtime: {reply['error']}")
        return reply

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def carrel(*arguments):
    result = subprocess.run([str(CARREL), *map(str, arguments)], capture_output=True, text=True)
    if result.returncode != 0:
        sys.exit(f"compare: {result.stderr.strip()}")
    return result.stdout


def stale(path):
    return not path.exists() or path.stat().st_mtime < CARREL.stat().st_mtime


def prepare(network, precision, folder):
    """The ONNX file, the sealed file and a key, made once per build: the zoo and the planner may have changed."""
    onnx, key = folder / f"{network}.onnx", folder / "bench.key"
    sealed = folder / f"{network}.{precision}.carrel"
    if not key.exists():
        carrel("keygen", "-o", key)
    if stale(onnx):
        carrel("zoo", network, "-o", onnx)
    if stale(sealed):
        carrel("seal", onnx, "-o", sealed, "--key", key, "--precision", precision)
    return onnx, sealed, key


def picture(folder):
    """An input with structure: 1 x 3 x 224 x 224 floats between -1 and 1."""
    import array
    path = folder / "input.npy"
    if path.exists():
        return path
    values = array.array("f", (math.sin(0.37 * x + c) * math.cos(0.23 * y - c) for c in range(3)
                               for y in range(224) for x in range(224)))
    header = "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 3, 224, 224), }"
    header += " " * (117 - len(header)) + "\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + values.tobytes())
    return path


def read_npy(path):
    import array
    data = pathlib.Path(path).read_bytes()
    begin = 10 + int.from_bytes(data[8:10], "little")
    return array.array("f", data[begin:])


def relative_error(a, b):
    if len(a) != len(b) or not all(map(math.isfinite, a)) or not all(map(math.isfinite, b)):
        return math.inf
    return max(abs(x - y) for x, y in zip(a, b)) / max(abs(y) for y in b)


def run_carrel(sealed, key, memory, threads, image, repeat, output):
    return json.loads(carrel("run", sealed, "--key", key, "--memory", memory, "--threads", threads, "--input", image,
                             "--repeat", repeat, "-o", output, "--json"))


def scenario(oracle, network, precision, memory, threads, options):
    folder = options.folder
    onnx, sealed, key = prepare(network, precision, folder)
    image = picture(folder)
    mine, theirs = folder / "carrel.npy", folder / "ort.npy"
    oracle.ask(cmd="load", id="m", model=str(onnx), threads=threads)
    oracle.ask(cmd="run", id="m", input=str(image), output=str(theirs), repeat=2)
    rounds = []
    for _ in range(options.rounds):
        peer = statistics.median(oracle.ask(cmd="run", id="m", repeat=options.runs)["ms"])
        report = run_carrel(sealed, key, memory, threads, image, options.runs + 1, mine)
        rounds.append((report["latency_ms"]["median"], peer, report["cold_ms"]))
    oracle.ask(cmd="unload", id="m")
    error = relative_error(read_npy(mine), read_npy(theirs))
    if error > MOST_RELATIVE_ERROR[precision]:
        sys.exit(f"compare: {network} {memory}: relative error {error:.1e}")
    ratios = [a / b for a, b, _ in rounds]
    return {
        "network": network, "precision": precision, "memory": memory, "threads": threads,
        "carrel_ms": statistics.median(a for a, _, _ in rounds), "onnxruntime_ms": statistics.median(b for _, b, _ in rounds),
        "ratio": statistics.median(ratios), "ratio_min": min(ratios), "ratio_max": max(ratios),
        "cold_ms": statistics.median(c for _, _, c in rounds), "runs": options.rounds * options.runs,
        "peak_trusted_bytes": report["peak_trusted_bytes"], "kernel_private_bytes": report["kernel_private_bytes"],
        "bytes_decrypted": report["bytes_decrypted"], "bytes_spilled": report["bytes_spilled"], "relative_error": error,
    }


def machine():
    model = "unknown CPU"
    for line in open("/proc/cpuinfo"):
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    return f"{model}, {os.cpu_count()} CPUs, Linux {platform.release()}"


def table(rows):
    lines = ["| network | precision | memory | threads | carrel | ONNX Runtime | ratio | least - most | first run | trusted | decrypted | spilled |",
             "|---|---|---|---|---|---|---|---|---|---|---|---|"]
    for r in rows:
        lines.append(
            f"| {r['network']} | {r['precision']} | {r['memory']} | {r['threads']} | {r['carrel_ms']:.1f} ms | {r['onnxruntime_ms']:.1f} ms "
            f"| **{r['ratio']:.2f}** | {r['ratio_min']:.2f} - {r['ratio_max']:.2f} | {r['cold_ms']:.1f} ms "
            f"| {r['peak_trusted_bytes'] / MIB:.2f} MiB | {r['bytes_decrypted'] / 1e6:.1f} MB | {r['bytes_spilled'] / 1e6:.1f} MB |")
    return "\n".join(lines)


def page(rows, options):
    return f"""# Benchmarks

Written by `./dev bench`. Weights are synthetic (`carrel zoo`), one 224 x 224 picture; outputs were compared first.
carrel: process platform, sealed weights, `--memory` covering every writable byte of the trusted process. ONNX Runtime
1.30: plain memory, all optimizations, the same number of threads. Both in one run, {options.rounds} rounds of {options.runs}
inferences each, turn by turn; the ratio is the median over rounds (least - most beside it). "First run" is carrel's
first inference, when nothing is resident and memory is touched for the first time; "decrypted" and "spilled" are of a
later one: weights that fit the budget stay.

Machine: {machine()}.

{table(rows)}
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=NETWORKS)
    parser.add_argument("--memory", nargs="+", default=["16MiB"])
    parser.add_argument("--threads", nargs="+", type=int, default=[1])
    parser.add_argument("--precision", nargs="+", default=["fp32"], choices=["fp32", "fp16"])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--runs", type=int, default=3, help="timed inferences of each engine in a round")
    parser.add_argument("--folder", type=pathlib.Path, default=ROOT / "build/bench", help="for models and outputs")
    parser.add_argument("--write", type=pathlib.Path, help="write a page of the results")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    options.folder = options.folder.resolve()
    oracle, rows = Oracle(), []
    for network in options.networks:
        for precision in options.precision:
            for memory in options.memory:
                for threads in options.threads:
                    rows.append(scenario(oracle, network, precision, memory, threads, options))
                    r = rows[-1]
                    print(f"{network} {precision} {memory} {threads} threads: {r['carrel_ms']:.1f} ms, ONNX Runtime "
                          f"{r['onnxruntime_ms']:.1f} ms, ratio {r['ratio']:.2f}", file=sys.stderr)
    oracle.close()
    print(json.dumps({"machine": machine(), "rows": rows}, indent=1) if options.json else table(rows))
    if options.write:
        options.write.write_text(page(rows, options))


if __name__ == "__main__":
    main()
