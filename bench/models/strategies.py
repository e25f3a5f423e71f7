"""`auto` beside each fixed strategy that fits, turn by turn: auto may never be much slower than the best of them."""
import statistics

from engines import CARREL, run
from files import read_npy, relative_error
from scenarios import MIB, MOST_RELATIVE_ERROR, TUNED, Scenario
from table import table

FIXED = ["yplane", "channel", "whole"]
BUDGETS = [2, 4, 8, 16, 64]  # MiB
PRECISIONS = ["fp32", "int8"]
MOST = 1.05  # of auto's time over that of the best fixed strategy
TITLE = "## Strategies"


def select(networks, precisions, budgets):
    return [Scenario(n, p, b, 1) for n in networks for p in precisions for b in sorted(budgets)]


def key(scenario):
    return f"strategies/{scenario.key()}"


class Turns:
    def __init__(self, files, scenario, runs):
        self.files, self.scenario, self.runs = files, scenario, runs
        self.sealed = files.sealed(scenario.network, scenario.precision)
        memory = scenario.memory_mib * MIB
        self.strategies = [s for s in ["auto", *FIXED]
                           if files.add_program(self.sealed, memory, scenario.threads, strategy=s) is None]
        self.ms = {s: [] for s in self.strategies}
        self.answers = {}

    def one_round(self):
        s = self.scenario
        for strategy in self.strategies:
            report = run(CARREL, self.sealed, self.files.key, s.memory_mib * MIB, s.threads, self.files.picture(),
                         self.runs + 1, self.files.mine, "process", strategy)
            self.ms[strategy].append(report["latency_ms"]["median"])
            self.answers[strategy] = read_npy(self.files.mine)

    def error(self):
        """The largest difference of any strategy's answer to auto's."""
        return max((relative_error(a, self.answers["auto"]) for a in self.answers.values()), default=0)


def measure(files, scenario, rounds, runs):
    """A row of results; "auto" is missing where nothing fits. Raises EngineError where an engine fails."""
    turns = Turns(files, scenario, runs)
    if turns.strategies:
        for _ in range(rounds):
            turns.one_round()
    row = {"network": scenario.network, "precision": scenario.precision, "memory_mib": scenario.memory_mib,
           "ms": {s: statistics.median(ms) for s, ms in turns.ms.items()},
           "ratio": {s: statistics.median(a / b for a, b in zip(turns.ms["auto"], ms))
                     for s, ms in turns.ms.items() if s != "auto"}}
    error = turns.error()
    row.update(relative_error=error, correct=error <= MOST_RELATIVE_ERROR[scenario.precision])
    return row


def worst(row):
    """Auto's time over that of the best fixed strategy, or None where none fits."""
    return max(row["ratio"].values(), default=None)


def describe(row):
    times = ", ".join(f"{s} {ms:.1f} ms" for s, ms in row["ms"].items()) or "nothing fits"
    most = worst(row)
    verdict = "" if most is None else f": {most:.2f}{'' if most <= MOST else f' MORE THAN {MOST:.2f}'}"
    return times + verdict + ("" if row["correct"] else f"  WRONG: relative error {row['relative_error']:.1e}")


def table_row(row):
    most = worst(row)
    times = [f"{row['ms'][s]:.1f} ms" if s in row["ms"] else "" for s in ["auto", *FIXED]]
    verdict = "" if most is None else f"**{most:.2f}**" + ("" if most <= MOST else f" (more than {MOST:.2f})")
    return [row["network"], row["precision"], f"{row['memory_mib']} MiB", *times, verdict]


def section(commit, rows, options):
    above = sum(1 for r in rows if (worst(r) or 0) > MOST)
    ordered = sorted(rows, key=lambda r: (PRECISIONS.index(r["precision"]), TUNED.index(r["network"]), r["memory_mib"]))
    return f"""{TITLE}

Written by `./dev bench --strategies` at {commit}, on one thread: `auto` beside every fixed strategy that fits, turn by
turn, {options.rounds} rounds of {options.runs} inferences each; times are medians. The last column is auto's time over that
of the best fixed strategy, the median over rounds: {above} of {len(rows)} are above {MOST:.2f}. What is not there does not fit.

{table(["network", "precision", "memory", "auto", *FIXED, "auto / best"], map(table_row, ordered))}
"""


def split(page):
    """A page without this section, and the section."""
    begin = page.find(TITLE)
    return (page, "") if begin < 0 else (page[:begin], page[begin:])
