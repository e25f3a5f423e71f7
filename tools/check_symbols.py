#!/usr/bin/env python3
"""Trusted code refers to nothing outside itself but what tools/trusted_symbols.txt names.

usage: check_symbols.py [--nm NM] [--objdump OBJDUMP] FILE...

FILE: the archives of all trusted rooms and the objects of the trusted program. Findings, one line
each, exit status 1:
  - an undefined symbol that no FILE defines and the list does not allow for this file;
  - a name on the list that the file does not refer to, or a line for a file that is not there;
  - a system call instruction: the list names the C library's functions that may make one;
  - code that runs before main or after it, and code left to the linker's optimizer;
  - a file without symbols.
Builds without sanitizers only: those add symbols and initializers of their own.
Python 3 (Debian: python3), no other packages; nm and objdump from binutils.
"""

import argparse
import os
import re
import subprocess
import sys

EVERY = "every"
UNDEFINED = "Uwv"
SECTION = re.compile(r"^\s*\d+\s+(\.(?:preinit_array|init_array|fini_array|ctors|dtors|gnu\.lto_)\S*)\s")
SYSTEM_CALL = re.compile(r"^\s*[0-9a-f]+:\s+(?:\w+ )*(syscall|sysenter|int\s+\$0x80)\b")


class Policy:
    """tools/trusted_symbols.txt: the file's name -> the symbols that it may refer to."""

    def __init__(self, text):
        self.allowed = {EVERY: set()}
        for line in text.splitlines():
            name, colon, symbols = line.split("#", 1)[0].partition(":")
            if colon:
                self.allowed.setdefault(name.strip(), set()).update(symbols.split())
            elif name.strip():
                raise ValueError("not NAME: SYMBOLS: %s" % line)


class Symbols:
    """What one archive or object defines for others, and which of its members refer to what."""

    def __init__(self, nm, path):
        self.name = re.sub(r"^lib|(\.cc)?\.[ao]$", "", os.path.basename(path))
        self.defined, self.references = set(), set()
        member = self.name
        output = subprocess.run([nm, "-P", path], check=True, capture_output=True, text=True).stdout
        for line in output.splitlines():
            if line.endswith(":"):
                member = line[:-1].rpartition("[")[2].rstrip("]")
                continue
            symbol, kind = line.split()[:2]
            if kind in UNDEFINED:
                self.references.add((symbol, member))
            elif kind.isupper() or kind in "ui":
                self.defined.add(symbol)

    def empty(self):
        return not self.defined and not self.references


def check_references(policy, files):
    defined = set().union(*(file.defined for file in files))
    used = {EVERY: set()}
    for file in files:
        if file.empty():
            yield "%s: no symbols, so nothing was checked" % file.name
        used.setdefault(file.name, set())
        for symbol, member in sorted(file.references):
            if symbol in policy.allowed[EVERY]:
                used[EVERY].add(symbol)
            elif symbol in policy.allowed.get(file.name, ()):
                used[file.name].add(symbol)
            elif symbol not in defined:
                yield "%s: %s refers to %s, which tools/trusted_symbols.txt does not allow" % (
                    file.name, member, symbol)
    for name, symbols in sorted(policy.allowed.items()):
        for symbol in sorted(symbols - used.get(name, set())):
            yield "tools/trusted_symbols.txt: %s does not refer to %s" % (name, symbol)


def check_code(objdump, path):
    output = subprocess.run([objdump, "-h", "-d", "--no-show-raw-insn", path], check=True,
                            capture_output=True, text=True).stdout
    member = os.path.basename(path)
    for line in output.splitlines():
        if line.endswith(("file format elf64-x86-64", "file format elf64-littleaarch64")):
            member = line.partition(":")[0]
            continue
        section, instruction = SECTION.match(line), SYSTEM_CALL.match(line)
        if section:
            yield "%s: section %s" % (member, section.group(1))
        if instruction:
            yield "%s: a system call instruction, %s" % (member, instruction.group(1))


def check(policy, nm, objdump, paths):
    """All findings, as a list of lines."""
    findings = list(check_references(policy, [Symbols(nm, path) for path in paths]))
    for path in paths:
        findings.extend(check_code(objdump, path))
    return findings


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--nm", default="nm")
    parser.add_argument("--objdump", default="objdump")
    parser.add_argument("files", nargs="+")
    arguments = parser.parse_args()
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "trusted_symbols.txt"),
              encoding="utf-8") as file:
        policy = Policy(file.read())
    findings = check(policy, arguments.nm, arguments.objdump, arguments.files)
    for line in findings:
        print(line)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
