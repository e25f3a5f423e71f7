#!/usr/bin/env python3
"""Whole models: carrel (process platform, sealed) beside ONNX Runtime (plain memory), in one run.

Python 3 standard library only. Results of finished scenarios are kept with their commit in FOLDER/results.jsonl: an
interrupted run goes on where it was. Without --write nothing but that file and the models changes.
"""
import argparse
import json
import pathlib
import sys

import strategies
from engines import CARREL, ROOT, EngineError, Oracle, command
from files import Files
from measure import measure
from page import page
from plots import write_plots
from results import Results
from scenarios import BUDGETS, PRECISIONS, THREADS, TUNED, UNTUNED, select

HARDWARE = "hwbench"
PAGE = ROOT / "docs/BENCHMARKS.md"


def arguments():
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--strategies", action="store_true",
                        help="auto beside the fixed strategies instead, on one thread")
    parser.add_argument("--networks", nargs="+", metavar="NAME")
    parser.add_argument("--memory", nargs="+", type=int, metavar="MIB")
    parser.add_argument("--threads", nargs="+", type=int, default=THREADS)
    parser.add_argument("--precision", nargs="+", choices=PRECISIONS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--runs", type=int, default=3, help="timed inferences of each engine in a round")
    parser.add_argument("--folder", type=pathlib.Path, default=ROOT / "build/bench", help="for models and results")
    parser.add_argument("--fresh", action="store_true", help="measure the scenarios again that are there already")
    parser.add_argument("--write", action="store_true", help="write docs/BENCHMARKS.md and docs/bench/*.svg")
    parser.add_argument("--json", action="store_true", help="print all rows as one JSON object")
    options = parser.parse_args()
    fixed = options.strategies
    options.networks = options.networks or (TUNED if fixed else TUNED + UNTUNED)
    options.memory = options.memory or (strategies.BUDGETS if fixed else BUDGETS)
    options.precision = options.precision or (strategies.PRECISIONS if fixed else PRECISIONS)
    return options


def say(text):
    print(text, file=sys.stderr, flush=True)


def describe(row):
    if not row["fits"]:
        return f"needs {row['least_bytes']} bytes"
    peer = f", {row['ratio_int8']:.2f} of its int8" if "ratio_int8" in row else ""
    wrong = "" if row["correct"] else f"  WRONG: relative error {row['relative_error']:.1e}"
    return (f"{row['carrel_ms']:.1f} ms sealed, {row['unsealed_ms']:.1f} unsealed, {row['free_ms']:.1f} without a budget, "
            f"ONNX Runtime {row['peer_ms']:.1f}: {row['ratio']:.2f}{peer}{wrong}")


def decrypt_speed(results):
    """Bytes per second of one core on cold tiles, measured once for the commit."""
    if HARDWARE not in results:
        results.add(HARDWARE, json.loads(command(CARREL, "hwbench", "--json")))
    return results[HARDWARE]["cipher_gb_per_second"]["open_cold"] * 1e9


def measure_all(options, results):
    """(rows, what could not be measured)."""
    files, oracle, rows, failures = Files(options.folder), Oracle(), [], []
    for scenario in select(options.networks, options.precision, options.memory, options.threads):
        key = scenario.key()
        try:
            if key not in results:
                results.add(key, measure(files, oracle, scenario, options.rounds, options.runs))
            rows.append(results[key])
            say(f"{key}: {describe(rows[-1])}")
        except EngineError as error:
            failures.append(f"{key}: {error}")
            say(failures[-1])
            oracle.close()  # whatever it had loaded
            oracle = Oracle()
    oracle.close()
    return rows, failures


def compare_strategies(options, results):
    """(rows of this run's scenarios, what could not be measured)."""
    files, rows, failures = Files(options.folder), [], []
    for scenario in strategies.select(options.networks, options.precision, options.memory):
        key = strategies.key(scenario)
        try:
            if key not in results:
                results.add(key, strategies.measure(files, scenario, options.rounds, options.runs))
            rows.append(results[key])
            say(f"{key}: {strategies.describe(rows[-1])}")
        except EngineError as error:
            failures.append(f"{key}: {error}")
            say(failures[-1])
    return rows, failures


def main_of_strategies(options, results):
    rows, failures = compare_strategies(options, results)
    wrong = [r for r in rows if not r["correct"]]
    if options.json:
        print(json.dumps({"commit": results.commit, "rows": rows, "failures": failures}, indent=1))
    if options.write and rows and not wrong:
        known = [row for key, row in results.rows.items() if key.startswith("strategies/")]
        rest, _ = strategies.split(PAGE.read_text())
        PAGE.write_text(rest.rstrip("\n") + "\n\n" + strategies.section(results.commit, known, options))
    return 1 if failures or wrong else 0


def main():
    options = arguments()
    options.folder.mkdir(parents=True, exist_ok=True)
    results = Results(options.folder / "results.jsonl", options.fresh)
    if options.strategies:
        return main_of_strategies(options, results)
    speed = decrypt_speed(results)
    rows, failures = measure_all(options, results)
    wrong = [r for r in rows if r["fits"] and not r["correct"]]
    if options.json:
        print(json.dumps({"commit": results.commit, "decrypt_bytes_per_second": speed, "rows": rows,
                          "failures": failures}, indent=1))
    if options.write and rows and not wrong:
        # Of this commit, earlier runs' too.
        known = [row for key, row in results.rows.items() if key != HARDWARE and not key.startswith("strategies/")]
        plots = write_plots(known, ROOT / "docs/bench")
        _, compared = strategies.split(PAGE.read_text())
        PAGE.write_text(page(results, known, plots, speed, options) + ("\n" + compared if compared else ""))
    elif not options.json and rows:
        print(page(results, rows, [], speed, options))
    return 1 if failures or wrong else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except EngineError as failed:
        sys.exit(f"bench: {failed}")
