"""The programs that are compared: the command carrel, its unsealed twin, ONNX Runtime."""
import json
import pathlib
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
CARREL = ROOT / "build/release/bin/carrel"
UNSEALED = ROOT / "build/release/bench/unsealed/carrel-unsealed"
ORACLE = ROOT / "tests/oracle/ort.mjs"


# With more than one thread, ONNX Runtime's idle threads spin for some 40 ms after an inference: whoever comes next
# would be measured on the processors that they leave.
SETTLE_SECONDS = 0.2


class EngineError(Exception):
    """A command that failed: its line on stderr, and what it printed."""

    def __init__(self, message, output=""):
        super().__init__(message)
        self.output = output


def command(program, *arguments):
    result = subprocess.run([str(program), *map(str, arguments)], capture_output=True, text=True)
    if result.returncode != 0:
        lines = result.stderr.strip().splitlines() or [f"{program} ended with status {result.returncode}"]
        raise EngineError(next((line for line in lines if line.startswith("carrel: ")), lines[-1]), result.stdout)
    return result.stdout


def run(program, sealed, key, memory_bytes, threads, image, repeat, output, platform, strategy="auto"):
    """`repeat` inferences in a process of their own; the report of `carrel run --json`."""
    return json.loads(command(program, "run", sealed, "--key", key, "--memory", memory_bytes, "--threads", threads,
                              "--input", image, "--repeat", repeat, "-o", output, "--platform", platform,
                              "--strategy", strategy, "--json"))


class Oracle:
    """ONNX Runtime in a process of its own, one JSON command at a time."""

    def __init__(self):
        self.process = subprocess.Popen(["node", str(ORACLE), "--serve"], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True, cwd=ORACLE.parent)

    def ask(self, **request):
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        reply = json.loads(answer) if answer else {"ok": False, "error": "it ended"}
        if not reply["ok"]:
            raise EngineError(f"ONNX Runtime: {reply['error']}")
        return reply

    def load(self, name, model, threads):
        self.ask(cmd="load", id=name, model=str(model), threads=threads)

    def first(self, name, image, output):
        """Warms up and writes the answer."""
        self.ask(cmd="run", id=name, input=str(image), output=str(output), repeat=2)

    def milliseconds(self, name, repeat):
        milliseconds = self.ask(cmd="run", id=name, repeat=repeat)["ms"]
        time.sleep(SETTLE_SECONDS)
        return milliseconds

    def unload(self, name):
        self.ask(cmd="unload", id=name)

    def close(self):
        self.process.stdin.close()
        self.process.wait()
