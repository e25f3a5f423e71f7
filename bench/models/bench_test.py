#!/usr/bin/env python3
"""What the benchmark writes, from made-up rows: no engine runs."""
import pathlib
import tempfile
import types
import unittest
import xml.etree.ElementTree as ElementTree

import page
import plots
import results
import scenarios
import strategies
import targets


def row(network, memory, ratio, precision="fp32", threads=1, **more):
    fixed = dict(network=network, precision=precision, memory_mib=memory, threads=threads, fits=True, ratio=ratio,
                 ratio_min=ratio, ratio_max=ratio, carrel_ms=20 * ratio, sealing_ms=5 * ratio, unsealed_ms=15 * ratio, free_ms=14 * ratio,
                 peer_ms=20.0, cold_ms=30.0, peak_trusted_bytes=memory << 20, bytes_decrypted=50_000_000, bytes_spilled=0,
                 relative_error=1e-6, correct=True)
    return {**fixed, **more}


class BenchTest(unittest.TestCase):
    def test_means_need_every_network(self):
        rows = [row(n, 16, 0.5 * 2 ** i) for i, n in enumerate(scenarios.TUNED)]
        (found,) = targets.means(rows)
        self.assertAlmostEqual(found[3], 2.0)
        self.assertEqual(found[4], 0.80)
        self.assertEqual(targets.means(rows[1:]), [])

    def test_limits(self):
        self.assertEqual(targets.row_limit(row("vgg16", 64, 1.0)), 0.56)
        self.assertAlmostEqual(targets.row_limit(row("vgg16", 4, 1.0, threads=2)), 0.65)
        self.assertIsNone(targets.row_limit(row("vgg16", 2, 1.0)))
        self.assertIsNone(targets.row_limit(row("alexnet", 16, 1.0)))
        self.assertEqual(targets.verdict(0.5, 0.5), "met")
        self.assertEqual(targets.verdict(0.75, 0.5), "missed by 0.25")

    def test_sealing_allows_what_decryption_takes(self):
        price, allowed = targets.sealing(row("vgg16", 16, 1.0), 10e9)
        self.assertAlmostEqual(price, 5.0)
        self.assertAlmostEqual(allowed, 1.2 * 5.0)

    def test_plots_are_xml_with_every_point(self):
        rows = [row(n, b, 0.9) for n in scenarios.TUNED for b in scenarios.BUDGETS]
        with tempfile.TemporaryDirectory() as folder:
            written = plots.write_plots(rows, pathlib.Path(folder))
            self.assertEqual([name for name, _ in written], ["ratio_fp32_1.svg"])
            root = ElementTree.parse(pathlib.Path(folder) / written[0][0]).getroot()
        self.assertEqual(len(root.findall(".//{*}circle")), len(rows))

    def test_page_holds_every_row(self):
        rows = [row("vgg16", 16, 0.6), row("alexnet", 16, 0.7),
                row("vgg16", 8, 0.3, precision="int8", peer_int8_ms=10.0, ratio_int8=0.6),
                {"network": "vgg16", "precision": "fp32", "memory_mib": 2, "threads": 1, "fits": False, "least_bytes": 3 << 20}]
        text = page.page(types.SimpleNamespace(commit="abc"), rows, [("a.svg", "a")], 1e10,
                         types.SimpleNamespace(rounds=5, runs=3))
        for words in ("missed by 0.04", "needs 3.00 MiB", "| **0.60** | 0.95: met |", "nothing was tuned for", "a.svg"):
            self.assertIn(words, text)

    def test_results_go_on_where_they_were(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "results.jsonl"
            results.Results(path, False).add("a", {"x": 1})
            with path.open("a") as out:
                out.write('{"commit": "other", "key": "b", "row": {}}\n{"commit": "cut of')
            again = results.Results(path, False)
            self.assertEqual(again["a"], {"x": 1})
            self.assertNotIn("b", again)
            self.assertNotIn("a", results.Results(path, True))

    def test_strategies(self):
        fast = {"network": "vgg16", "precision": "fp32", "memory_mib": 4, "correct": True, "relative_error": 0.0,
                "ms": {"auto": 10.0, "yplane": 11.0}, "ratio": {"yplane": 0.91}}
        slow = {**fast, "memory_mib": 64, "ms": {"auto": 10.0, "yplane": 11.0, "whole": 9.0},
                "ratio": {"yplane": 0.91, "whole": 1.11}}
        options = types.SimpleNamespace(rounds=5, runs=3)
        section = strategies.section("abc", [slow, fast], options)
        self.assertIn("1 of 2 are above 1.05", section)
        self.assertIn("| vgg16 | fp32 | 64 MiB | 10.0 ms | 11.0 ms |  | 9.0 ms | **1.11** (more than 1.05) |", section)
        self.assertLess(section.index("4 MiB"), section.index("64 MiB"))
        self.assertIsNone(strategies.worst({**fast, "ratio": {}}))

    def test_fresh_measures_again_and_keeps_the_others(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "results.jsonl"
            first = results.Results(path, fresh=False)
            first.add("a", {"ratio": 1})
            first.add("b", {"ratio": 2})
            again = results.Results(path, fresh=True)
            self.assertNotIn("a", again)
            again.add("a", {"ratio": 3})
            self.assertIn("a", again)
            self.assertEqual(results.Results(path, fresh=False).rows, {"a": {"ratio": 3}, "b": {"ratio": 2}})

    def test_the_section_of_strategies_stays(self):
        self.assertEqual(strategies.split("# Page\n\n## Strategies\n\nrows\n"), ("# Page\n\n", "## Strategies\n\nrows\n"))
        self.assertEqual(strategies.split("# Page\n"), ("# Page\n", ""))


if __name__ == "__main__":
    unittest.main()
