"""One scenario: everything that is compared takes turns, so that drift of a shared machine meets all of it."""
import statistics

from engines import CARREL, UNSEALED, run
from files import read_npy, relative_error
from scenarios import MIB, MOST_RELATIVE_ERROR

# Everything stays in memory: after the first inference nothing is fetched, decrypted or spilled.
NO_BUDGET = 4096 * MIB


class Turns:
    """The engines of one scenario and their milliseconds, round by round."""

    def __init__(self, files, oracle, scenario, runs):
        self.files, self.oracle, self.scenario, self.runs = files, oracle, scenario, runs
        self.sealed = files.sealed(scenario.network, scenario.precision)
        self.plain = files.sealed(scenario.network, scenario.precision, UNSEALED)
        self.rounds = {name: [] for name in ("carrel", "unsealed", "free", "peer", "peer_int8")}
        self.cold, self.report = [], None

    def plan(self):
        """The least budget where this one is too small, else None."""
        s = self.scenario
        least = self.files.add_program(self.sealed, s.memory_mib * MIB, s.threads)
        if least is None:
            self.files.add_program(self.plain, s.memory_mib * MIB, s.threads, UNSEALED)
            self.files.add_program(self.plain, NO_BUDGET, s.threads, UNSEALED)
        return least

    def load_peers(self):
        s = self.scenario
        self.oracle.load("peer", self.files.onnx(s.network), s.threads)
        self.oracle.first("peer", self.files.picture(), self.files.theirs)
        if s.precision == "int8":
            self.oracle.load("peer_int8", self.files.quantized(s.network), s.threads)
            self.oracle.first("peer_int8", self.files.picture(), self.files.theirs)

    def unload_peers(self):
        self.oracle.unload("peer")
        if self.scenario.precision == "int8":
            self.oracle.unload("peer_int8")

    def _carrel(self, program, sealed, memory_bytes, platform):
        return run(program, sealed, self.files.key, memory_bytes, self.scenario.threads, self.files.picture(),
                   self.runs + 1, self.files.mine, platform)

    def one_round(self):
        memory = self.scenario.memory_mib * MIB
        self.rounds["peer"].append(statistics.median(self.oracle.milliseconds("peer", self.runs)))
        for name, bytes_ in (("unsealed", memory), ("free", NO_BUDGET)):
            report = self._carrel(UNSEALED, self.plain, bytes_, "inproc")
            self.rounds[name].append(report["latency_ms"]["median"])
        if self.scenario.precision == "int8":
            self.rounds["peer_int8"].append(statistics.median(self.oracle.milliseconds("peer_int8", self.runs)))
        self.report = self._carrel(CARREL, self.sealed, memory, "process")
        self.rounds["carrel"].append(self.report["latency_ms"]["median"])
        self.cold.append(self.report["cold_ms"])

    def ratios(self, peer):
        return [a / b for a, b in zip(self.rounds["carrel"], self.rounds[peer])]


def measure(files, oracle, scenario, rounds, runs):
    """A row of results. Raises EngineError where an engine fails."""
    turns = Turns(files, oracle, scenario, runs)
    row = {"network": scenario.network, "precision": scenario.precision, "memory_mib": scenario.memory_mib,
           "threads": scenario.threads}
    least = turns.plan()
    if least is not None:
        return {**row, "fits": False, "least_bytes": least}
    turns.load_peers()
    for _ in range(rounds):
        turns.one_round()
    turns.unload_peers()
    error = relative_error(read_npy(files.mine), read_npy(files.theirs))
    ratios = turns.ratios("peer")
    row.update(fits=True, relative_error=error, correct=error <= MOST_RELATIVE_ERROR[scenario.precision],
               inferences=rounds * runs, cold_ms=statistics.median(turns.cold),
               ratio=statistics.median(ratios), ratio_min=min(ratios), ratio_max=max(ratios))
    row["sealing_ms"] = statistics.median(a - b for a, b in zip(turns.rounds["carrel"], turns.rounds["unsealed"]))
    row.update({f"{name}_ms": statistics.median(ms) for name, ms in turns.rounds.items() if ms})
    if scenario.precision == "int8":
        row["ratio_int8"] = statistics.median(turns.ratios("peer_int8"))
    for name in ("peak_trusted_bytes", "kernel_private_bytes", "bytes_decrypted", "bytes_spilled", "bytes_fetched"):
        row[name] = turns.report[name]
    return row
