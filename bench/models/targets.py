"""Rows of results against what carrel means to reach."""
import math

from scenarios import BUDGETS, INT8_PEER_LIMITS, LIMITS, MEAN_LIMITS, MOST_SEALING, TUNED, limit


def geometric_mean(values):
    return math.exp(sum(map(math.log, values)) / len(values))


def verdict(value, most):
    if most is None:
        return ""
    return "met" if value <= most else f"missed by {value - most:.2f}"


def row_limit(row):
    """The limit of one network's ratio to ONNX Runtime fp32, or None."""
    return limit(LIMITS.get((row["precision"], row["network"]), {}), row["memory_mib"], row["threads"])


def int8_limit(row):
    return limit(INT8_PEER_LIMITS, row["memory_mib"], row["threads"])


def means(rows):
    """(precision, threads, MiB, mean ratio of the tuned networks, limit); only where all of them were measured."""
    found = []
    for precision in ("fp32", "fp16", "mixed", "int8"):
        for threads in (1, 2):
            for memory in BUDGETS:
                ratios = [r["ratio"] for r in rows if r["network"] in TUNED and r["precision"] == precision
                          and r["threads"] == threads and r["memory_mib"] == memory and r["fits"]]
                if len(ratios) == len(TUNED):
                    most = limit(MEAN_LIMITS.get(precision, {}), memory, threads)
                    found.append((precision, threads, memory, geometric_mean(ratios), most))
    return found


def sealing(row, decrypt_bytes_per_second):
    """(price in ms, what is allowed in ms): sealed minus unsealed, the same program, round by round. One core decrypts at the given speed."""
    floor_ms = 1e3 * row["bytes_decrypted"] / (decrypt_bytes_per_second * row["threads"])
    return row["sealing_ms"], MOST_SEALING * floor_ms
