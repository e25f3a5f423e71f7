#!/usr/bin/env python3
"""What commands leave behind: outputs that cannot be written or must not be, progress, interruption.

usage: outputs_test.py CARREL [unittest arguments]
"""

import os
import pty
import re
import resource
import shutil
import signal
import subprocess
import tempfile
import threading
import time

import command_case
import onnx_bytes as ox
from command_case import Case, npy


class Outputs(Case):
    COMMANDS = (["zoo", "mobilenetv2", "--width", "0.35", "--resolution", "32"], ["keygen"],
                ["seal", "good.onnx", "--key", "key"],
                ["run", "good.carrel", "--key", "key", "--memory", "2MiB", "--input", "x.npy"],
                ["quantize", "good.onnx", "--calibrate", "x.npy"])

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
                result = subprocess.run(["unshare", "-m", "sh", "-c", script, "sh", command_case.CARREL] + command +
                                        ["-o", "disk/out.npy"],
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
            subprocess.run([command_case.CARREL] + args, cwd=cls.shared, check=True, stdout=subprocess.DEVNULL)
        cls.write(cls, "large.npy", npy([1, 3, 64, 64]))


class OnATerminal(Large):
    def on_a_terminal(self, args):
        """What the command writes to standard error where that is a terminal."""
        ours, theirs = pty.openpty()
        self.addCleanup(os.close, ours)
        began = time.monotonic()
        process = subprocess.Popen([command_case.CARREL] + args, cwd=self.folder, stdin=subprocess.DEVNULL,
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
        images, self.seconds = 200, 0
        while self.seconds < 1.5:  # nothing shows within a second, however fast the machine
            images *= 2
            self.write("many.npy", npy([images, 3, 64, 64]))
            args = ["run", "large.carrel", "--key", "key", "--memory", "4MiB", "--input", "many.npy", "--json"]
            text = self.on_a_terminal(args)
        shares = [int(share) for share in re.findall(r"running +(\d+) %", text)]
        self.assertGreater(len(set(shares)), 2, text)
        self.assertEqual(shares, sorted(shares))
        self.assertTrue(text.endswith("\r\x1b[K"), "the line stays")
        _, _, err = self.command(args)
        self.assertEqual(err, "", "progress, and no terminal")

    def test_what_has_no_share_yet_shows_its_time(self):
        pipe = os.path.join(self.folder, "pipe")
        os.mkfifo(pipe)

        def feed_late():
            with open(pipe, "wb") as f:  # once the command reads
                time.sleep(1.5)
                f.write(npy([1, 3, 64, 64]))
        feeder = threading.Thread(target=feed_late)
        feeder.start()
        text = self.on_a_terminal(["run", "large.carrel", "--key", "key", "--memory", "4MiB", "--input", "pipe"])
        feeder.join()
        self.assertRegex(text, r"reading the input, 1 s ")

    def test_what_is_quick_is_quiet(self):
        self.assertEqual(self.on_a_terminal(["inspect", "good.carrel"]), "")


class Interrupted(Large):
    def setUp(self):
        super().setUp()
        self.before = sorted(os.listdir(self.folder))

    def interrupt(self, args, seconds, signal_number=signal.SIGINT):
        """As a terminal does: to the whole process group, once the command can have its handler."""
        with tempfile.TemporaryFile() as err:
            process = subprocess.Popen([command_case.CARREL] + args, cwd=self.folder, stdin=subprocess.DEVNULL,
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
        args = ["run", "large.carrel", "--key", "key", "--memory", "4MiB", "--input", "large.npy", "-o", "out.npy",
                "--repeat", "1000000"]
        process = subprocess.Popen([command_case.CARREL] + args, cwd=self.folder, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        time.sleep(0.5)
        process.kill()
        process.wait()
        self.assert_nothing_runs()
        self.assertEqual(sorted(os.listdir(self.folder)), self.before)


if __name__ == "__main__":
    command_case.main()
