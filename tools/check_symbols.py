#!/usr/bin/env python3
"""Trusted archives use no heap, stdio, environment, exceptions, global objects or system calls of their own.

usage: check_symbols.py [--nm NM] ARCHIVE...

Reads tools/trusted_symbols.txt. A finding is an undefined symbol (or a defined static initializer)
of an archive that a `ban` line names and no `allow` line of that archive excuses: one line each,
exit status 1. Symbols of sanitizers are not looked at.
Python 3 (Debian: python3), no other packages; nm from binutils.
"""

import argparse
import os
import re
import subprocess
import sys

SANITIZER = re.compile(r"__(asan|ubsan|tsan|lsan|sanitizer|msan|sancov)_.*")
# nm's lower-case t: a function local to an object, where static initializers are.
REFERENCE = re.compile(r"^\s*(?:[0-9a-f]+)?\s+([UTtWwV])\s+(\S+)$")


class Policy:
    """tools/trusted_symbols.txt"""

    def __init__(self, text):
        self.bans = []
        self.allowed = {}
        for line in text.splitlines():
            line = line.split("#", 1)[0].strip()
            if not line:
                continue
            head, _, names = line.partition(":")
            verb, subject = head.split()
            if verb == "ban":
                self.bans += [(subject, re.compile(name)) for name in names.split()]
            elif verb == "allow":
                self.allowed.setdefault(subject, set()).update(names.split())
            else:
                raise ValueError("neither ban nor allow: %s" % line)

    def kind_of(self, archive, symbol):
        """The ban that `symbol` falls under in `archive`, or None."""
        if SANITIZER.fullmatch(symbol) or symbol in self.allowed.get(archive, ()):
            return None
        for kind, pattern in self.bans:
            if pattern.fullmatch(symbol):
                return kind
        return None


def symbols(nm, path):
    """(object file, symbol) for everything that the archive refers to, and its initializers."""
    output = subprocess.run([nm, path], check=True, capture_output=True, text=True).stdout
    member = os.path.basename(path)
    for line in output.splitlines():
        if line.endswith(":"):
            member = line[:-1]
            continue
        match = REFERENCE.match(line)
        if match and (match.group(1) in "Uw" or "_GLOBAL__" in match.group(2)):
            yield member, match.group(2).split("@")[0]


def archive_name(path):
    return re.sub(r"^lib|\.a$", "", os.path.basename(path))


def check(policy, nm, path):
    """All findings of one archive, as a list of lines."""
    archive = archive_name(path)
    found = sorted({(symbol, member) for member, symbol in symbols(nm, path)})
    return ["%s: %s refers to %s (banned: %s, tools/trusted_symbols.txt)" %
            (archive, member, symbol, policy.kind_of(archive, symbol))
            for symbol, member in found if policy.kind_of(archive, symbol)]


def read_policy():
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "trusted_symbols.txt"),
              encoding="utf-8") as file:
        return Policy(file.read())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--nm", default="nm")
    parser.add_argument("archives", nargs="+")
    arguments = parser.parse_args()
    policy = read_policy()
    findings = [line for path in arguments.archives for line in check(policy, arguments.nm, path)]
    for line in findings:
        print(line)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
