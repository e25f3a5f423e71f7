"""What the tests of the command line share: files to feed it, and what must hold when it fails.

Whatever is wrong: exit status 1, one line on stderr that begins "carrel: ", no output file and no partial one, nothing
left running, little memory, and soon. Python 3 standard library only.
"""

import ctypes
import io
import os
import resource
import shutil
import struct
import subprocess
import sys
import tempfile
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
        cls.shared = tempfile.mkdtemp(prefix="carrel_command_")
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
        self.folder = tempfile.mkdtemp(prefix="carrel_command_")
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


def main():
    """Runs the tests of the calling program: PROGRAM CARREL [unittest arguments]."""
    global CARREL, SANITIZED
    CARREL = os.path.abspath(sys.argv.pop(1))
    with open(CARREL, "rb") as program:
        SANITIZED = b"__asan_init" in program.read()
    # Orphans of what this process starts become its own, so that none is overlooked.
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    unittest.main(verbosity=1)
