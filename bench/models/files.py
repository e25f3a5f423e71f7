"""Models, keys and pictures, made once per build: the zoo, the planner and the format may have changed."""
import array
import json
import math
import os
import pathlib

from engines import CARREL, EngineError, command

CALIBRATION_PICTURES = 8


class Files:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder).resolve()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.key = self.folder / "bench.key"
        if not self.key.exists():
            command(CARREL, "keygen", "-o", self.key)
        self.mine, self.theirs = self.folder / "carrel.npy", self.folder / "onnxruntime.npy"

    @staticmethod
    def _stale(path, *sources):
        return not path.exists() or path.stat().st_mtime < max(os.stat(s).st_mtime for s in sources)

    def onnx(self, network):
        path = self.folder / f"{network}.onnx"
        if self._stale(path, CARREL):
            command(CARREL, "zoo", network, "-o", path)
        return path

    def quantized(self, network):
        """The QDQ file that carrel and ONNX Runtime both run."""
        path, source = self.folder / f"{network}.int8.onnx", self.onnx(network)
        if self._stale(path, CARREL, source):
            command(CARREL, "quantize", source, "--calibrate", self.calibration(), "-o", path)
        return path

    def sealed(self, network, precision, program=CARREL):
        """Sealed by `program`: the command, or its twin that only copies."""
        kind = "carrel" if program == CARREL else "unsealed"
        source = self.quantized(network) if precision == "int8" else self.onnx(network)
        path = self.folder / f"{network}.{precision}.{kind}"
        if self._stale(path, program, source):
            stored = [] if precision == "int8" else ["--precision", precision]
            command(program, "seal", source, "-o", path, "--key", self.key, "--memory", "128MiB", "--threads", 1,
                    *stored)
        return path

    def add_program(self, sealed, memory_bytes, threads, program=CARREL, strategy="auto"):
        """Plans once for many runs. None, or the least budget where this one is too small."""
        try:
            command(program, "plan", sealed, "--memory", memory_bytes, "--threads", threads, "--strategy", strategy,
                    "--json", "--key", self.key, "--seal-into", sealed)
        except EngineError as error:
            try:
                return json.loads(error.output)["least_bytes"]
            except (ValueError, KeyError):
                raise error from None
        return None

    def picture(self):
        path = self.folder / "input.npy"
        if not path.exists():
            write_npy(path, (1, 3, 224, 224), wave(0))
        return path

    def calibration(self):
        path = self.folder / "calibration.npy"
        if not path.exists():
            pictures = array.array("f")
            for i in range(CALIBRATION_PICTURES):
                pictures.extend(wave(i + 1))
            write_npy(path, (CALIBRATION_PICTURES, 3, 224, 224), pictures)
        return path


def wave(phase):
    """A picture with structure: floats between -1 and 1."""
    return array.array("f", (math.sin(0.37 * x + c + phase) * math.cos((0.23 + 0.05 * phase) * y - c)
                             for c in range(3) for y in range(224) for x in range(224)))


def write_npy(path, shape, values):
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {tuple(shape)}, }}"
    header += " " * (117 - len(header)) + "\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + values.tobytes())


def read_npy(path):
    data = pathlib.Path(path).read_bytes()
    begin = 10 + int.from_bytes(data[8:10], "little")
    return array.array("f", data[begin:])


def relative_error(a, b):
    if len(a) != len(b) or not all(map(math.isfinite, a)) or not all(map(math.isfinite, b)):
        return math.inf
    return max(abs(x - y) for x, y in zip(a, b)) / max(abs(y) for y in b)
