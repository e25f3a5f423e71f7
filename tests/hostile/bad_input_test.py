#!/usr/bin/env python3
"""Models, inputs, keys and budgets that people get wrong, through the command line.

usage: bad_input_test.py CARREL [unittest arguments]
"""

import io
import os
import random
import re
import struct
import threading
import zipfile

import command_case
import onnx_bytes as ox
from command_case import Case, npy, npz, png


class Calibration(Case):
    QUANTIZE = ["quantize", "good.onnx", "-o", "out.onnx", "--calibrate"]

    def test_good_ones_work_and_seal_says_the_same_of_float_again(self):
        self.works(self.QUANTIZE + ["x.npy", "--json"])
        self.assertEqual(self.new_files, ["out.onnx"])
        self.fails(["quantize", "out.onnx", "-o", "twice.onnx", "--calibrate", "x.npy"], "quantized already")

    def test_inputs(self):
        os.mkdir(os.path.join(self.folder, "empty"))
        self.fails(self.QUANTIZE + ["missing.npy"], "missing.npy")
        self.fails(self.QUANTIZE + ["empty"], "empty: has no pictures")
        self.write("wrong.npy", npy([2, 3, 8, 9]))
        self.fails(self.QUANTIZE + ["wrong.npy"], "does not fit")
        self.write("nan.npy", npy([1, 3, 8, 8], [float("nan")] * 192))
        self.fails(self.QUANTIZE + ["nan.npy"], "nan|finite|NaN")

    def test_output_is_an_input(self):
        self.fails(["quantize", "good.onnx", "-o", "good.onnx", "--calibrate", "x.npy"], "good.onnx")
        self.fails(["quantize", "good.onnx", "-o", "x.npy", "--calibrate", "x.npy"], "x.npy")


class Models(Case):
    def test_good_ones_work(self):
        self.works(["seal", "good.onnx", "-o", "out.carrel", "--key", "key", "--memory", "2MiB"])
        self.works(self.run_args())
        self.assertEqual(self.new_files, ["out.npy"])

    def test_not_onnx(self):
        random_bytes = random.Random(1).randbytes(5000)
        for bad in (b"", b"\0", b"hello\n", png(8, 8), npy([4]), random_bytes, b"\xff" * 3000,
                    self.read("good.carrel")[:5000]):
            with self.subTest(bad[:12]):
                self.seal_fails(bad, "bad.onnx")

    def test_missing_or_a_folder(self):
        self.fails(["seal", "no.onnx", "-o", "out.carrel", "--key", "key"], "no.onnx")
        os.mkdir(os.path.join(self.folder, "bad.onnx"))
        self.fails(self.SEAL, "bad.onnx")

    def test_truncated(self):
        good = ox.small()
        for end in list(range(1, 40, 7)) + list(range(40, len(good), 61)) + [len(good) - 1]:
            with self.subTest(end):
                self.write("bad.onnx", good[:end])
                self.fails(self.SEAL, "bad.onnx")

    def test_claims_5_gb_in_1_kb(self):
        for dims in ([1342177280], [4, 3, 11184811, 10], [1 << 31, 1 << 31], [1 << 62, 4], [-1, 3, 3, 3]):
            with self.subTest(dims):
                self.seal_fails(ox.small(ox.tensor("w", dims, b"\0" * 100)), "w", preexec_fn=self.little_memory)

    def test_folds_to_5_gb(self):
        shape = ox.tensor("s", [1], struct.pack("<q", 1342177280), ox.INT64)
        self.seal_fails(ox.model([ox.node("ConstantOfShape", ["s"], ["y"]), shape, ox.value(12, "y", [1342177280])]),
                        "bad.onnx.*", preexec_fn=self.little_memory)

    def test_input_of_5_gb(self):
        self.write("bad.onnx", ox.model([ox.node("Sigmoid", ["x"], ["t"]), ox.node("Softmax", ["t"], ["y"]),
                                         ox.value(11, "x", [1, 1342177280]), ox.value(12, "y", [1, 1342177280])]))
        self.fails(["plan", "bad.onnx", "--memory", "4MiB"], "bad.onnx", preexec_fn=self.little_memory)

    def test_cycle(self):
        self.seal_fails(ox.model([ox.node("Add", ["x", "b"], ["a"], "first"), ox.node("Relu", ["a"], ["b"], "second"),
                                  ox.value(11, "x", [1, 4]), ox.value(12, "b", [1, 4])]), "cycl|first|second|order|produce")

    def test_shape_mismatch(self):
        self.seal_fails(ox.small(ox.floats("w", [4, 5, 3, 3])), "conv")
        self.seal_fails(ox.model([ox.node("Add", ["x", "w"], ["y"], "sum"), ox.floats("w", [5]),
                                  ox.value(11, "x", [1, 4]), ox.value(12, "y", [1, 4])]), "sum")

    def test_nan_in_weights(self):
        for bad in (float("nan"), float("inf"), -float("inf")):
            with self.subTest(bad):
                raw = bytearray(struct.pack("<f", 0.5) * 108)
                raw[200:204] = struct.pack("<f", bad)
                self.seal_fails(ox.small(ox.tensor("w", [4, 3, 3, 3], bytes(raw))), "w|conv")

    def test_external_data(self):
        self.seal_fails(ox.small(ox.tensor("w", [4, 3, 3, 3], external="weights.bin")), "weights.bin")
        self.write("weights.bin", b"\0" * 100)
        self.seal_fails(ox.small(ox.tensor("w", [4, 3, 3, 3], external="weights.bin")), "weights.bin|w")
        for outside in ("../weights.bin", "/etc/passwd", "", "a/../../x"):
            with self.subTest(outside):
                self.seal_fails(ox.small(ox.tensor("w", [4, 3, 3, 3], external=outside)))

    def test_unknown_names(self):
        self.seal_fails(ox.model([ox.node("Relu", ["nowhere"], ["y"]), ox.value(11, "x", [1, 4]),
                                  ox.value(12, "y", [1, 4])]), "nowhere")
        self.seal_fails(ox.model([ox.node("Relu", ["x"], ["z"]), ox.value(11, "x", [1, 4]),
                                  ox.value(12, "y", [1, 4])]), "y")

    def test_names_that_a_terminal_would_obey(self):
        line = self.seal_fails(ox.small(ox.floats("w\x1b[31m\nw", [4, 3, 3, 3])))
        self.assertNotIn("\x1b", line)


class Inputs(Case):
    def test_wrong_shape(self):
        for shape in ([1, 3, 8, 9], [1, 4, 8, 8], [3, 8, 8], [192], [], [0, 3, 8, 8]):
            with self.subTest(shape):
                self.write("bad.npy", npy(shape))
                self.run_fails("bad.npy", "x|shape")

    def test_wrong_name(self):
        self.write("bad.npz", npz({"image": npy([1, 3, 8, 8])}))
        self.run_fails("bad.npz", "'x'")
        self.write("bad.npz", npz({"x": npy([1, 3, 8, 8]), "y": npy([1])}))
        self.run_fails("bad.npz", "'y'")

    def test_wrong_type(self):
        for descr, size in (("<c8", 8), ("<U4", 16), ("|O", 8), ("|V4", 4)):
            with self.subTest(descr):
                self.write("bad.npy", npy([1, 3, 8, 8], descr=descr, dtype_bytes=size))
                self.run_fails("bad.npy", "bad.npy")

    def test_broken_arrays(self):
        good = npy([1, 3, 8, 8])
        for bad in (good[:5], good[:60], good[:200], good[:-1]):
            with self.subTest(len(bad)):
                self.write("bad.npy", bad)
                self.run_fails("bad.npy", "bad.npy")
        whole = npz({"x": good})
        self.write("bad.npz", whole[:len(whole) // 2])
        self.run_fails("bad.npz", "bad.npz")
        huge = good.replace(b"(1, 3, 8, 8, )", b"(99999999999,)")
        self.write("bad.npy", huge)
        self.run_fails("bad.npy", "bad.npy")

    def test_a_picture_that_is_not_one(self):
        picture = png(8, 8)
        for name, bad in (("a.jpg", b"not a picture"), ("b.jpg", b""), ("c.jpg", b"\xff\xd8\xff\xe0" + b"\0" * 500),
                          ("d.png", picture[:40]), ("e.png", picture[:-30]), ("f.png", picture[:8] + b"\xff" * 300),
                          ("g.txt", b"hello\n")):
            with self.subTest(name):
                self.write(name, bad)
                self.run_fails(name, name)
        self.write("good.png", picture)
        self.works(self.run_args("good.png"))

    def test_arrays_that_the_network_does_not_take_are_not_unpacked(self):
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("other.npy", npy([230 << 20], descr="|u1", dtype_bytes=1))
        self.write("bad.npz", out.getvalue())
        self.fails(self.run_args("bad.npz"), "no array 'x'", preexec_fn=self.little_memory)

    def test_an_input_may_be_a_pipe(self):
        for name, data in (("pipe.png", png(8, 8)), ("pipe.npy", npy([1, 3, 8, 8])), ("pipe.npz", npz({"x": npy([1, 3, 8, 8])}))):
            with self.subTest(name):
                os.mkfifo(os.path.join(self.folder, name))
                writer = threading.Thread(target=self.write, args=(name, data), daemon=True)
                writer.start()
                self.works(self.run_args(name))
                writer.join()

    def test_how_pictures_are_prepared(self):
        self.write("good.png", png(8, 8))
        prepared = ("--mean", "0.5"), ("--std", "1,2,3"), ("--scale", "0.5"), ("--size", "8x8"), ("--crop", "1")
        for option in prepared:
            with self.subTest(option):
                self.works(self.run_args("good.png", *option))
                os.remove(os.path.join(self.folder, "out.npy"))
                self.run_fails("x.npy", "pictures", *option)
        for option in ("--mean", "garbage"), ("--std", "1,2"), ("--size", "banana"), ("--scale", "big"), ("--crop", "2"):
            for file in "good.png", "x.npy":
                with self.subTest(option + (file,)):
                    self.assertEqual(self.command(self.run_args(file, *option))[0], 2)
        for option in ("--scale", "0"), ("--scale", "nan"), ("--std", "0"), ("--mean", "inf"), ("--size", "9x8"):
            with self.subTest(option):
                self.run_fails("good.png", "0|finite|8x8", *option)

    def test_missing(self):
        self.run_fails("nothing.npy", "nothing.npy: cannot be read: No such file")
        self.run_fails(".", "")

    def test_labels(self):
        self.run_fails("x.npy", "none.txt", "--labels", "none.txt")


class Sealed(Case):
    def flip(self, at):
        path = os.path.join(self.folder, "good.carrel")
        with open(path, "r+b") as f:
            f.seek(at, os.SEEK_SET if at >= 0 else os.SEEK_END)
            byte = f.read(1)[0]
            f.seek(-1, os.SEEK_CUR)
            f.write(bytes([byte ^ 4]))

    def test_flipped_bits(self):
        for at in (0, 9, 20, 50, 70, 100, 150, 4096, 4300, -20, -1000):
            with self.subTest(at):
                self.flip(at)
                self.fails(["verify", "good.carrel", "--key", "key"], "good.carrel")
                if at not in (-20, -1000):  # of a program that this run does not need
                    self.run_fails("x.npy", "good.carrel")
                self.flip(at)
        self.works(["verify", "good.carrel", "--key", "key"])

    def test_truncated(self):
        whole = self.read("good.carrel")
        for end in (0, 1, 255, 256, 4096, 4100, len(whole) // 2, len(whole) - 1):
            with self.subTest(end):
                self.write("good.carrel", whole[:end])
                self.fails(["verify", "good.carrel", "--key", "key"], "good.carrel")
                self.fails(["inspect", "good.carrel"], "good.carrel")
                self.run_fails("x.npy", "good.carrel")

    def test_wrong_key(self):
        for command in (["verify", "good.carrel"], ["run", "good.carrel", "--memory", "2MiB", "--input", "x.npy"]):
            self.fails(command + ["--key", "other.key"], "key")
            self.fails(command + ["--key", "none.key"], "none.key")
            self.fails(command + ["--key", "x.npy"], "x.npy")

    def test_wrong_model(self):
        self.run_fails("x.npy", "expected|id", "--expect-model", "00" * 16)

    def test_not_sealed(self):
        for command in (["inspect"], ["verify", "--key", "key"], ["run", "--key", "key", "--memory", "2MiB", "--input", "x.npy"]):
            self.fails(command[:1] + ["good.onnx"] + command[1:], "good.onnx")

    def test_budget_too_small_names_the_least(self):
        for memory in ("64KiB", "1", "0"):
            with self.subTest(memory):
                line = self.fails(self.run_args(memory=memory))
                self.assertRegex(line, r"\d+ bytes|\d (KiB|MiB)")
        line = self.fails(["plan", "good.onnx", "--memory", "64KiB"])
        numbers = re.findall(r"(\d+) bytes|(\d+(?:\.\d+)?) (KiB|MiB)", line)
        self.assertTrue(numbers, line)
        sizes = [int(b) if b else float(n) * {"KiB": 1 << 10, "MiB": 1 << 20}[unit] for b, n, unit in numbers]
        least = int(max(sizes))
        for memory in (["64KiB"], ["2MiB", "64KiB"]):
            self.fails(["seal", "good.onnx", "-o", "out.carrel", "--key", "key", "--memory"] + memory, str(least))
        self.works(["plan", "good.onnx", "--memory", str(least)])
        self.works(self.run_args(memory=str(least)))


if __name__ == "__main__":
    command_case.main()
