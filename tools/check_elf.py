#!/usr/bin/env python3
"""No memory of a program is both writable and executable, and no code is changed while loading.

usage: check_elf.py [--readelf READELF] [--static-bytes MOST] FILE...

Findings, one line each, exit status 1: a segment with W and E; a stack that is executable or not
declared; relocations in code (TEXTREL); symbols bound at their first call (which spills registers,
and what secrets they hold, to the stack); more than MOST bytes of writable segments (static data).
Python 3 (Debian: python3), no other packages; readelf from binutils.
"""

import argparse
import re
import subprocess
import sys

# "  LOAD  0x000000 0x... 0x... 0x... 0x... R E 0x1000": the flags are fixed columns before the alignment.
SEGMENT = re.compile(r"^\s+([A-Z_]+)\s+(?:0x[0-9a-f]+\s+){5}([R ])([W ])([E ])\s+0x[0-9a-f]+\s*$")


WRITABLE = re.compile(r"^\s+LOAD\s+(?:0x[0-9a-f]+\s+){4}0x([0-9a-f]+)\s+R?\s*W", re.M)


def check_static_bytes(name, program_headers, most):
    """Data, bss and what becomes read-only after relocation: all of it is memory of the trusted side."""
    total = sum(int(size, 16) for size in WRITABLE.findall(program_headers))
    return ["%s: %d bytes of static data, %d are reserved for it" % (name, total, most)] if total > most else []


def segments(listing):
    for line in listing.splitlines():
        match = SEGMENT.match(line)
        if match:
            yield match.group(1), "".join(match.groups()[1:]).replace(" ", "")


def check_listing(name, program_headers, dynamic):
    found = list(segments(program_headers))
    if not any(kind == "LOAD" for kind, _ in found):
        return ["%s: no program segments" % name]
    findings = ["%s: segment %s is writable and executable" % (name, kind)
                for kind, flags in found if kind != "GNU_STACK" and "W" in flags and "E" in flags]
    stacks = [flags for kind, flags in found if kind == "GNU_STACK"]
    if not stacks:
        findings.append("%s: no GNU_STACK segment, so the stack is executable" % name)
    elif "E" in stacks[0]:
        findings.append("%s: the stack is executable" % name)
    if "TEXTREL" in dynamic:
        findings.append("%s: relocations in code (TEXTREL)" % name)
    if "(JMPREL)" in dynamic and "BIND_NOW" not in dynamic:
        findings.append("%s: symbols are bound lazily (link with -z now)" % name)
    return findings


def check(readelf, path, static_bytes=None):
    def run(option):
        return subprocess.run([readelf, option, path], check=True, capture_output=True,
                              text=True).stdout
    headers = run("-lW")
    findings = check_listing(path, headers, run("-dW"))
    if static_bytes is not None:
        findings += check_static_bytes(path, headers, static_bytes)
    return findings


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--readelf", default="readelf")
    parser.add_argument("--static-bytes", type=int)
    parser.add_argument("files", nargs="+")
    arguments = parser.parse_args()
    findings = [line for path in arguments.files
                for line in check(arguments.readelf, path, arguments.static_bytes)]
    for line in findings:
        print(line)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
