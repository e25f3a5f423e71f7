#!/usr/bin/env python3
"""Prints how much code must be trusted: lines per trusted room, without tests, comments and blank lines.

usage: count_trusted_lines.py [ROOT]

Trusted: base/, engine/, platform/*/enclave_*. Libraries that are linked in (ipsec-mb, the C library) are
not counted. Python 3 (Debian: python3), no other packages.
"""

import os
import re
import sys

LINE_COMMENT = re.compile(r"//.*$")
BLOCK_COMMENT = re.compile(r"/\*.*?\*/", re.S)
TEST = re.compile(r"(_(test|fuzz|bench)\.cc|(^|/)test_\w+\.h|_testing\.h)$")


def code_lines(text):
    text = BLOCK_COMMENT.sub("", text)
    return sum(1 for line in text.splitlines() if LINE_COMMENT.sub("", line).strip())


def is_trusted(path):
    parts = path.split("/")
    if TEST.search(path) or not path.endswith((".h", ".cc", ".inc")):
        return False
    return parts[0] in ("base", "engine") or (
        parts[0] == "platform" and parts[-1].startswith("enclave_"))


def count(root):
    """Folder -> (files, lines of code)."""
    totals = {}
    for top in ("base", "engine", "platform"):
        for folder, _, files in os.walk(os.path.join(root, top)):
            for name in files:
                path = os.path.relpath(os.path.join(folder, name), root).replace(os.sep, "/")
                if is_trusted(path):
                    with open(os.path.join(root, path), encoding="utf-8") as file:
                        lines = code_lines(file.read())
                    room = os.path.dirname(path)
                    files_before, lines_before = totals.get(room, (0, 0))
                    totals[room] = (files_before + 1, lines_before + lines)
    return totals


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(__file__), "..")
    totals = count(root)
    print("%-28s %6s %7s" % ("trusted room", "files", "lines"))
    for room in sorted(totals):
        print("%-28s %6d %7d" % ((room,) + totals[room]))
    print("%-28s %6d %7d" % ("all", sum(f for f, _ in totals.values()),
                             sum(n for _, n in totals.values())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
