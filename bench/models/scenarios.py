"""What is measured, and what carrel means to reach."""
import dataclasses

MIB = 1 << 20
TUNED = ["vgg16", "resnet50", "mobilenetv2", "squeezenet1_1", "densenet121"]
UNTUNED = ["inception_v1", "alexnet", "resnet18", "vgg19", "mobilenetv1"]
BUDGETS = [2, 4, 8, 16, 32, 64, 128]  # MiB
PRECISIONS = ["fp32", "fp16", "mixed", "int8"]
THREADS = [1, 2]

# Of the outputs, against ONNX Runtime on the file that a precision starts from (int8: the quantized one).
MOST_RELATIVE_ERROR = {"fp32": 1e-4, "fp16": 2e-3, "mixed": 5e-2, "int8": 1e-1}

# Largest ratio of carrel's time to ONNX Runtime's with one thread, by MiB; larger budgets as 16. Missing: no limit.
LIMITS = {
    ("fp32", "vgg16"): {16: 0.56, 8: 0.58, 4: 0.60},
    ("fp32", "resnet50"): {16: 0.93, 8: 0.95, 4: 0.97},
    ("fp32", "mobilenetv2"): {16: 0.89, 8: 0.89, 4: 0.89, 2: 0.89},
    ("fp32", "squeezenet1_1"): {16: 0.95, 8: 1.0, 4: 1.0},
    ("fp32", "densenet121"): {16: 0.95, 8: 1.0, 4: 1.0},
}
MEAN_LIMITS = {
    "fp32": {16: 0.80, 8: 0.82, 4: 0.85},
    "fp16": {16: 0.72, 8: 0.74, 4: 0.77},
    "int8": {16: 0.30, 8: 0.31, 4: 0.33},
}
INT8_PEER_LIMITS = {16: 0.95, 8: 0.95, 4: 1.0}  # each network, against ONNX Runtime on the same quantized file
MORE_WITH_TWO_THREADS = 0.05
MOST_SEALING = 1.2  # times bytes decrypted / decryption speed


@dataclasses.dataclass(frozen=True)
class Scenario:
    network: str
    precision: str
    memory_mib: int
    threads: int

    def key(self):
        return f"{self.network}/{self.precision}/{self.memory_mib}MiB/{self.threads}"


def select(networks, precisions, budgets, threads):
    return [Scenario(n, p, b, t) for n in networks for p in precisions for t in threads for b in sorted(budgets)]


def limit(limits, memory_mib, threads):
    """The limit for a budget, or None."""
    found = limits.get(min(memory_mib, 16))
    if found is None:
        return None
    return found + (MORE_WITH_TWO_THREADS if threads == 2 else 0)
