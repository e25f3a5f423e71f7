"""ONNX files by hand: just enough of protobuf's wire format to write wrong ones.

A message is a list of (field number, value): int as varint, float as 32 bits, str, bytes or a nested list as
length-delimited. Field numbers are those of onnx.proto.
"""

import struct

FLOAT, INT64 = 1, 7


def varint(value):
    out = bytearray()
    value &= (1 << 64) - 1
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def message(fields):
    out = b""
    for number, value in fields:
        if isinstance(value, int):
            out += varint(number << 3) + varint(value)
        elif isinstance(value, float):
            out += varint(number << 3 | 5) + struct.pack("<f", value)
        else:
            data = message(value) if isinstance(value, list) else value.encode() if isinstance(value, str) else value
            out += varint(number << 3 | 2) + varint(len(data)) + data
    return out


def ints(name, values):
    return (5, [(1, name)] + [(8, v) for v in values] + [(20, 7)])


def node(op, inputs, outputs, name="", attributes=()):
    return (1, [(1, i) for i in inputs] + [(2, o) for o in outputs] + [(3, name or op.lower()), (4, op)] + list(attributes))


def tensor(name, dims, raw=None, data_type=FLOAT, external=None):
    fields = [(1, d) for d in dims] + [(2, data_type), (8, name)]
    if raw is not None:
        fields.append((9, raw))
    if external is not None:
        fields += [(13, [(1, "location"), (2, external)]), (14, 1)]
    return (5, fields)


def floats(name, dims, value=0.01):
    count = 1
    for d in dims:
        count *= d
    return tensor(name, dims, struct.pack("<f", value) * count)


def value(number, name, dims, data_type=FLOAT):
    """Of the graph: number 11 an input, 12 an output. A str in dims is symbolic."""
    shape = [(1, [(2, d) if isinstance(d, str) else (1, d)]) for d in dims]
    return (number, [(1, name), (2, [(1, [(1, data_type), (2, shape)])])])


def model(graph, opset=13):
    return message([(1, 8), (2, "test"), (7, [(2, "g")] + graph), (8, [(2, opset)])])


def small(weights=None, **kwargs):
    """Conv and Relu on (N, 3, 8, 8)."""
    return model([
        node("Conv", ["x", "w"], ["c"], attributes=[ints("pads", [1, 1, 1, 1]), ints("kernel_shape", [3, 3])]),
        node("Relu", ["c"], ["y"]),
        weights or floats("w", [4, 3, 3, 3]),
        value(11, "x", ["N", 3, 8, 8]),
        value(12, "y", ["N", 4, 8, 8]),
    ], **kwargs)
