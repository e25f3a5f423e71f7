#!/usr/bin/env python3
"""Bad input from people, through the command line.

usage: bad_input_test.py CARREL [unittest arguments]

Whatever is wrong: exit status 1, one line on stderr that begins "carrel: ", no output file and no partial one, nothing
left running, little memory, and soon. Python 3 standard library only.
"""

import ctypes
import io
import os
import pty
import random
import re
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import zipfile
import zlib

import onnx_bytes as ox

CARREL = None
SANITIZED = False
PR_SET_CHILD_SUBREAPER = 36
MOST_SECONDS = 60
MOST_BYTES = 1 << 30  # of address space, for a command that must not believe a claimed size


def npy(shape, values=None, descr="<f4", dtype_bytes=4):
    count = 1
    for d in shape:
        count *= d
    header = "{'descr': %s, 'fortran_order': False, 'shape': (%s), }" % (repr(descr), "".join("%d, " % d for d in shape))
    header += " " * (-(len(header) + 11) % 64) + "\n"
    data = struct.pack("<%df" % count, *values) if values else b"\0" * (count * dtype_bytes)
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + data


def npz(arrays):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in arrays.items():
            archive.writestr(name + ".npy", data)
    return out.getvalue()


def png(width, height):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    rows = (b"\0" + b"\x40\x80\xc0" * width) * height
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) +
            chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def children():
    """Everything that this process started or inherited from what it started."""
    found = []
    for task in os.listdir("/proc/self/task"):
        with open("/proc/self/task/%s/children" % task) as f:
            found += [int(pid) for pid in f.read().split()]
    return found


class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.shared = tempfile.mkdtemp(prefix="carrel_bad_input_")
        cls.write(cls, "good.onnx", ox.small())
        for args in (["keygen", "-o", "key"], ["keygen", "-o", "other.key"],
                     ["seal", "good.onnx", "-o", "good.carrel", "--key", "key", "--memory", "2MiB", "--threads", "1"]):
            subprocess.run([CARREL] + args, cwd=cls.shared, check=True, stdout=subprocess.DEVNULL)
        cls.write(cls, "x.npy", npy([1, 3, 8, 8]))

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.shared)

    def setUp(self):
        # What good commands made, in a folder of this test's own.
        self.folder = tempfile.mkdtemp(prefix="carrel_bad_input_")
        for name in os.listdir(self.shared):
            shutil.copy(os.path.join(self.shared, name), self.folder)
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def read(self, name):
        with open(os.path.join(self.folder, name), "rb") as f:
            return f.read()

    def write(self, name, data):
        folder = self.shared if not hasattr(self, "folder") else self.folder
        with open(os.path.join(folder, name), "wb") as f:
            f.write(data)

    def command(self, args, **options):
        """(exit status, stdout, stderr)."""
        before = sorted(os.listdir(self.folder))
        process = subprocess.Popen([CARREL] + args, cwd=self.folder, stdin=subprocess.DEVNULL,
                                   **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options})
        try:
            out, err = process.communicate(timeout=MOST_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            self.fail("%s: still running after %d s" % (" ".join(args), MOST_SECONDS))
        result = process.returncode, (out or b"").decode(), (err or b"").decode()
        self.assert_nothing_runs()
        self.new_files = sorted(set(os.listdir(self.folder)) - set(before))
        return result

    def assert_nothing_runs(self):
        deadline = time.monotonic() + 3
        while True:
            try:
                while os.waitpid(-1, os.WNOHANG)[0] != 0:
                    pass
            except ChildProcessError:
                pass
            left = children()
            if not left:
                return
            if time.monotonic() > deadline:
                self.fail("left running: %s" % left)
            time.sleep(0.02)

    def assert_one_line(self, err):
        lines = err.splitlines()
        self.assertEqual(len(lines), 1, "stderr:\n" + err)
        self.assertTrue(lines[0].startswith("carrel: "), lines[0])
        self.assertGreater(len(lines[0]), len("carrel: ") + 10, lines[0])
        self.assertTrue(err.endswith("\n"))

    def fails(self, args, says="", **options):
        """Runs a command that must fail; returns its line."""
        status, out, err = self.command(args, **options)
        self.assertEqual(status, 1, "exit status %d\n%s%s" % (status, out, err))
        self.assert_one_line(err)
        self.assertEqual(out, "")
        self.assertEqual(self.new_files, [], "files were left")
        self.assertRegex(err, "(?i)" + says)
        return err

    def works(self, args, **options):
        status, out, err = self.command(args, **options)
        self.assertEqual(status, 0, err)
        return out

    @staticmethod
    def little_memory():
        if not SANITIZED:  # a sanitizer takes terabytes of addresses
            resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))

    SEAL = ["seal", "bad.onnx", "-o", "out.carrel", "--key", "key"]

    def seal_fails(self, onnx, says="", **options):
        self.write("bad.onnx", onnx)
        line = self.fails(self.SEAL, says, **options)
        self.fails(["plan", "bad.onnx", "--memory", "4MiB"], says, **options)
        return line

    def run_args(self, file="x.npy", *more, memory="2MiB"):
        return ["run", "good.carrel", "--key", "key", "--memory", memory, "--input", file, "-o", "out.npy"] + list(more)

    def run_fails(self, file, says="", *more):
        self.fails(self.run_args(file, *more), says)
        return self.fails(self.run_args(file, "--json", *more), says)


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


class Outputs(Case):
    COMMANDS = (["zoo", "mobilenetv2", "--width", "0.35", "--resolution", "32"], ["keygen"],
                ["seal", "good.onnx", "--key", "key"],
                ["run", "good.carrel", "--key", "key", "--memory", "2MiB", "--input", "x.npy"])

    def all_fail(self, path, says="", **options):
        for command in self.COMMANDS:
            with self.subTest(command[0]):
                self.fails(command + ["-o", path], says, **options)
        with self.subTest("plan"):
            self.fails(["plan", "good.onnx", "--memory", "2MiB", "--html", path], says, **options)

    def test_not_writable(self):
        os.mkdir(os.path.join(self.folder, "folder"))
        self.all_fail("no/such/folder/out.npy", "no/such/folder")
        self.all_fail("folder", "folder")
        self.all_fail("/proc/out.npy", "/proc/out.npy")

    def test_a_file_for_one_array_and_two_outputs(self):
        self.write("two.onnx", ox.model([ox.node("Relu", ["x"], ["y"]), ox.node("Neg", ["x"], ["z"]),
                                         ox.value(11, "x", ["N", 3, 8, 8]), ox.value(12, "y", ["N", 3, 8, 8]),
                                         ox.value(12, "z", ["N", 3, 8, 8])]))
        self.works(["seal", "two.onnx", "-o", "two.carrel", "--key", "key", "--memory", "2MiB"])
        self.write("many.npy", npy([100, 3, 8, 8]))
        args = ["run", "two.carrel", "--key", "key", "--memory", "2MiB", "--input", "many.npy"]
        # Said before the work: all of it would take longer than a test may.
        self.fails(args + ["-o", "out.npy", "--repeat", "1000000"], "out.npy: 2 arrays need a file that ends in .npz")
        self.works(args + ["-o", "out.npz", "--save-input", "in.npy"])

    def test_no_room(self):
        def limit(size):
            return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        for command in self.COMMANDS[:3]:
            with self.subTest(command[0]):
                self.fails(command + ["-o", "out.npy"], "out.npy", preexec_fn=limit(16))
        self.fails(["plan", "good.onnx", "--memory", "2MiB", "--html", "out.html"], "out.html", preexec_fn=limit(16))
        # Room for the engine's memory, which the kernel holds to the same limit, and not for the answers.
        self.write("many.npy", npy([2600, 3, 8, 8]))
        self.fails(self.run_args("many.npy", "--json"), "out.npy", preexec_fn=limit(5 << 19))

    def test_full_disk(self):
        """A file system of 16 KiB, in a mount namespace that goes with the command."""
        script = ('mount -t tmpfs -o size=16k tmpfs disk || exit 77; head -c 100000 /dev/zero > disk/fill 2>/dev/null; '
                  '"$@"; status=$?; ls -A disk; exit $status')
        os.mkdir(os.path.join(self.folder, "disk"))
        for command in self.COMMANDS:
            with self.subTest(command[0]):
                result = subprocess.run(["unshare", "-m", "sh", "-c", script, "sh", CARREL] + command + ["-o", "disk/out.npy"],
                                        cwd=self.folder, capture_output=True, text=True)
                if "unshare" in result.stderr or result.returncode == 77:
                    self.skipTest("needs the right to mount")
                self.assertEqual(result.returncode, 1, result.stderr)
                self.assert_one_line(result.stderr)
                self.assertEqual(result.stdout, "fill\n")

    def test_stdout_is_full(self):
        with open("/dev/full", "wb") as full:
            status, _, err = self.command(["inspect", "good.carrel"], stdout=full)
        self.assertEqual(status, 1)
        self.assert_one_line(err)

    def test_stderr_is_full(self):
        with open("/dev/full", "wb") as full:
            status, _, _ = self.command(["inspect", "none.carrel"], stderr=full)
            self.assertEqual(status, 1)
            status, _, _ = self.command(self.run_args(), stderr=full)
            self.assertIn(status, (0, 1))

    def refuses_to_write_over(self, file, args, says):
        before = self.read(file)
        self.fails(args, re.escape(file) + ": .*" + says)
        self.assertEqual(self.read(file), before)

    def test_keys_are_never_overwritten(self):
        shutil.copy(os.path.join(self.folder, "other.key"), os.path.join(self.folder, "damaged.key"))
        self.write("damaged.key", self.read("other.key")[:20])
        for key in ("key", "other.key", "damaged.key"):
            for command in self.COMMANDS:
                if command[0] != "keygen":
                    with self.subTest(command[0] + " over " + key):
                        self.refuses_to_write_over(key, command + ["-o", key], "key")
            self.refuses_to_write_over(key, ["plan", "good.onnx", "--memory", "2MiB", "--html", key], "key")
        self.refuses_to_write_over("key", ["keygen", "-o", "key"], "exists")

    def test_inputs_are_not_overwritten(self):
        os.link(os.path.join(self.folder, "x.npy"), os.path.join(self.folder, "hard"))
        os.symlink("x.npy", os.path.join(self.folder, "soft"))
        self.write("labels.txt", b"one\n")
        run = self.run_args("x.npy")[:-2]
        for file, args in (("good.onnx", ["seal", "good.onnx", "--key", "key", "-o"]),
                           ("./good.onnx", ["seal", "good.onnx", "--key", "key", "-o"]),
                           ("good.onnx", ["plan", "good.onnx", "--memory", "2MiB", "--html"]),
                           ("good.carrel", ["plan", "good.onnx", "--memory", "2MiB", "--key", "key", "--seal-into",
                                            "good.carrel", "--html"]),
                           ("good.carrel", run + ["-o"]), ("x.npy", run + ["-o"]), ("hard", run + ["-o"]),
                           ("soft", run + ["-o"]), ("x.npy", run + ["--save-input"]),
                           ("labels.txt", run + ["--labels", "labels.txt", "-o"])):
            with self.subTest(" ".join(args + [file])):
                self.refuses_to_write_over(file, args + [file], "reads this file")

    def test_two_outputs_are_two_files(self):
        self.write("old", b"precious")
        for file in ("new", "./new", os.path.join(self.folder, "new"), "old"):
            with self.subTest(file):
                self.fails(self.run_args()[:-1] + [file, "--save-input", os.path.basename(file)], "two outputs")
        self.assertEqual(self.read("old"), b"precious")

    def test_long_paths_leave_room_for_the_reason(self):
        deep = "/".join(["d" * 100] * 4)
        reason = r"^carrel: \S+: [^/]*No such file or directory$"
        self.all_fail(deep + "/out.npy", reason)
        for args in (["seal", deep, "-o", "out", "--key", "key"], ["inspect", deep], ["verify", deep, "--key", "key"],
                     ["verify", "good.carrel", "--key", deep], self.run_args("x.npy", "--labels", deep)):
            with self.subTest(args[0]):
                self.assertEqual(self.fails(args, reason).count(deep), 1)
        os.makedirs(os.path.join(self.folder, deep))
        for name in ("bad.npy", "bad.jpg", "bad.onnx"):
            shutil.copy(os.path.join(self.folder, "good.carrel"), os.path.join(self.folder, deep, name))
        self.write("%s/bad.npy" % deep, b"\x93NUMPY\x01")
        self.write("%s/bad.jpg" % deep, b"\xff\xd8\xff\xe0")
        for name in ("bad.npy", "bad.jpg"):
            self.assertEqual(self.run_fails(deep + "/" + name, r"^carrel: \S+: [^/]{10,}$").count(name), 1)
        self.fails(["plan", deep + "/bad.npy", "--memory", "2MiB"], r"^carrel: \S+: [^/]{10,}$")

    def test_short_paths_are_named(self):
        for name in ("a", "m", "o"):
            self.write(name, b"not a model, but a file with many letters")
            self.fails(["inspect", name], "^carrel: %s: " % name)

    def test_what_a_file_was_stays(self):
        """A link stays one, and permissions are kept."""
        os.mkdir(os.path.join(self.folder, "real"))
        for command, option in [(c, "-o") for c in self.COMMANDS if c[0] != "keygen"] + [
                (["plan", "good.onnx", "--memory", "2MiB"], "--html")]:
            with self.subTest(command[0]):
                self.write("real/out.npy", b"old")
                os.chmod(os.path.join(self.folder, "real/out.npy"), 0o600)
                link = os.path.join(self.folder, "link.npy")
                if not os.path.islink(link):
                    os.symlink("real/out.npy", link)
                self.works(command + [option, "link.npy"])
                self.assertTrue(os.path.islink(link))
                self.assertNotEqual(self.read("real/out.npy"), b"old")
                self.assertEqual(os.stat(link).st_mode & 0o777, 0o600)

    def test_a_link_to_a_sealed_model_stays_one(self):
        os.mkdir(os.path.join(self.folder, "real"))
        os.rename(os.path.join(self.folder, "good.carrel"), os.path.join(self.folder, "real/m.carrel"))
        link = os.path.join(self.folder, "link.carrel")
        os.symlink("real/m.carrel", link)
        os.chmod(link, 0o600)
        self.works(["plan", link, "--memory", "3MiB", "--key", "key", "--seal-into", "link.carrel"])
        self.assertTrue(os.path.islink(link))
        self.assertEqual(os.stat(link).st_mode & 0o777, 0o600)
        self.works(["verify", "real/m.carrel", "--key", "key"])

    def test_read_only_files_stay(self):
        self.write("out.npy", b"precious")
        os.chmod(os.path.join(self.folder, "out.npy"), 0o400)
        if os.geteuid() == 0:
            self.skipTest("root may write everything")
        for command in self.COMMANDS:
            with self.subTest(command[0]):
                self.fails(command + ["-o", "out.npy"], "out.npy")
        self.assertEqual(self.read("out.npy"), b"precious")

    def test_help_into_a_full_disk(self):
        for args in (["--help"], ["run", "--help"], ["--version"]):
            with open("/dev/full", "wb") as full:
                status, _, err = self.command(args, stdout=full)
            self.assertEqual(status, 1)
            self.assert_one_line(err)

    def test_a_failed_command_keeps_the_old_file(self):
        self.write("out.npy", b"precious")
        self.write("bad.npy", b"\x93NUMPY")
        self.fails(self.run_args("bad.npy"))
        self.write("bad.onnx", b"\0")
        self.fails(["seal", "bad.onnx", "-o", "out.npy", "--key", "key"])
        self.assertEqual(self.read("out.npy"), b"precious")


class Large(Case):
    """With a network that takes some milliseconds."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for args in (["zoo", "resnet18", "--resolution", "64", "-o", "large.onnx"],
                     ["seal", "large.onnx", "-o", "large.carrel", "--key", "key", "--memory", "4MiB", "--threads", "1", "2"]):
            subprocess.run([CARREL] + args, cwd=cls.shared, check=True, stdout=subprocess.DEVNULL)
        cls.write(cls, "large.npy", npy([1, 3, 64, 64]))


class OnATerminal(Large):
    def on_a_terminal(self, args):
        """What the command writes to standard error where that is a terminal."""
        ours, theirs = pty.openpty()
        self.addCleanup(os.close, ours)
        began = time.monotonic()
        process = subprocess.Popen([CARREL] + args, cwd=self.folder, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=theirs)
        os.close(theirs)
        text = b""
        try:
            while True:
                text += os.read(ours, 1 << 16)
        except OSError:  # the last writer is gone
            pass
        self.assertEqual(process.wait(), 0, text)
        self.seconds = time.monotonic() - began
        return text.decode()

    def test_images_are_counted(self):
        self.write("many.npy", npy([400, 3, 64, 64]))
        args = ["run", "large.carrel", "--key", "key", "--memory", "4MiB", "--input", "many.npy", "--json"]
        text = self.on_a_terminal(args)
        self.assertGreater(self.seconds, 1.5, "too fast for this test")
        shares = [int(share) for share in re.findall(r"running +(\d+) %", text)]
        self.assertGreater(len(set(shares)), 2, text)
        self.assertEqual(shares, sorted(shares))
        self.assertTrue(text.endswith("\r\x1b[K"), "the line stays")
        _, _, err = self.command(args)
        self.assertEqual(err, "", "progress, and no terminal")

    def test_what_has_no_share_yet_shows_its_time(self):
        self.works(["zoo", "densenet121", "-o", "densenet121.onnx"])
        text = self.on_a_terminal(["plan", "densenet121.onnx", "--memory", "4MiB"])
        self.assertGreater(self.seconds, 1.5, "too fast for this test")
        self.assertRegex(text, r"(planning|looking for the least budget), \d s ")

    def test_what_is_quick_is_quiet(self):
        self.assertEqual(self.on_a_terminal(["inspect", "good.carrel"]), "")


class Interrupted(Large):
    def setUp(self):
        super().setUp()
        self.before = sorted(os.listdir(self.folder))

    def interrupt(self, args, seconds, signal_number=signal.SIGINT):
        """As a terminal does: to the whole process group, once the command can have its handler."""
        with tempfile.TemporaryFile() as err:
            process = subprocess.Popen([CARREL] + args, cwd=self.folder, stdin=subprocess.DEVNULL,
                                       stdout=subprocess.DEVNULL, stderr=err, start_new_session=True)
            self.wait_for_handler(process.pid, signal_number)
            time.sleep(seconds)
            self.assertIsNone(process.poll(), "it was done before it could be interrupted")
            os.killpg(process.pid, signal_number)
            began = time.monotonic()
            status = process.wait(10)
            self.assertLess(time.monotonic() - began, 3)
            err.seek(0)
            text = err.read().decode()
        self.assertEqual(status, 1, text)
        lines = [line for line in text.splitlines() if line.startswith("carrel: ")]
        self.assertEqual(len(lines), 1, text)
        self.assertRegex(lines[0], "interrupted")
        self.assert_nothing_runs()
        self.assertEqual(sorted(os.listdir(self.folder)), self.before, "files were left")

    @staticmethod
    def wait_for_handler(pid, signal_number):
        for _ in range(2000):
            with open("/proc/%d/status" % pid) as f:
                caught = re.search(r"SigCgt:\s*([0-9a-f]+)", f.read())
            if caught and int(caught.group(1), 16) >> (signal_number - 1) & 1:
                return
            time.sleep(0.001)

    def test_run(self):
        for threads in ("1", "2"):
            args = ["run", "large.carrel", "--key", "key", "--memory", "4MiB", "--input", "large.npy", "-o", "out.npy",
                    "--repeat", "1000000", "--threads", threads]
            for seconds in (0, 0.01, 0.03, 0.06, 0.1, 0.5, 1):
                for number in (signal.SIGINT, signal.SIGTERM):
                    with self.subTest("%s threads, %s s, %s" % (threads, seconds, number)):
                        self.interrupt(args, seconds, number)

    def test_inproc(self):
        self.interrupt(["run", "large.carrel", "--key", "key", "--memory", "4MiB", "--input", "large.npy", "-o", "out.npy",
                        "--repeat", "1000000", "--platform", "inproc"], 0.3)

    def test_seal(self):
        for seconds in (0, 0.05, 0.1, 0.2):
            with self.subTest(seconds):
                self.interrupt(["seal", "large.onnx", "-o", "out.carrel", "--key", "key"], seconds)

    def test_killed(self):
        """Nobody can catch SIGKILL; the engine ends all the same."""
        process = subprocess.Popen([CARREL, "run", "large.carrel", "--key", "key", "--memory", "4MiB", "--input", "large.npy",
                                    "-o", "out.npy", "--repeat", "1000000"], cwd=self.folder, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        time.sleep(0.5)
        process.kill()
        process.wait()
        self.assert_nothing_runs()
        self.assertEqual(sorted(os.listdir(self.folder)), self.before)


if __name__ == "__main__":
    CARREL = os.path.abspath(sys.argv.pop(1))
    with open(CARREL, "rb") as program:
        SANITIZED = b"__asan_init" in program.read()
    # Orphans of what this process starts become its own, so that none is overlooked.
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    unittest.main(verbosity=1)
