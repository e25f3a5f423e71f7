#!/usr/bin/env python3
"""Rooms include only what tools/rooms.txt allows, and say so in their CMakeLists.txt.

usage: check_layering.py [ROOT]

Findings, one line each, exit status 1:
  - an #include "..." of a room that the table does not allow, or of no known room;
  - an #include of a room that the folder's carrel_room(DEPS ...) does not name;
  - a DEPS entry that the table does not allow;
  - a room without a line in the table;
  - a cycle among the table's rooms, or among the DEPS.
Python 3 (Debian: python3), no other packages.
"""

import fnmatch
import os
import re
import sys

INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"]+)"', re.M)
COMMENT = re.compile(r'^\s*#.*$|\s+#.*$', re.M)
ROOM_CALL = re.compile(r'^\s*carrel_room\s*\(([^)]*)\)', re.M)
KEYWORDS = {"TRUSTED", "EXCLUDE", "DEPS", "LIBS", "TEST_DEPS", "TEST_LIBS"}
FREE_FILES = re.compile(r'(_(test|fuzz)\.cc|(^|/)test_\w+\.h|_testing\.h)$')
SOURCE_FILES = (".h", ".cc", ".inc")
SKIPPED_FOLDERS = {"build", "node_modules", "docs", "cmake", "testdata"}


class Table:
    """tools/rooms.txt: rooms and file patterns, each with the rooms it may include."""

    def __init__(self, text):
        self.rooms = {}
        self.patterns = {}
        for line in COMMENT.sub("", text).splitlines():
            if not line.strip():
                continue
            name, _, allowed = line.partition(":")
            rows = self.patterns if name.endswith("*") else self.rooms
            rows[name.strip()] = allowed.split()

    def room_of(self, path):
        """The room with the longest name that `path` lies in, or None."""
        parts = path.split("/")
        for count in range(len(parts), 0, -1):
            if "/".join(parts[:count]) in self.rooms:
                return "/".join(parts[:count])
        return None

    def allowed_for(self, path):
        matching = [p for p in self.patterns if fnmatch.fnmatch(path, p)]
        if matching:
            return self.patterns[max(matching, key=len)]
        return self.rooms[self.room_of(path)]

    def permits(self, path, other_room):
        if other_room == self.room_of(path):
            return True
        return any(rule == "*" or rule == other_room or
                   (rule.endswith("/*") and other_room.startswith(rule[:-1]))
                   for rule in self.allowed_for(path))

    def edges(self):
        """Room -> rooms, with patterns counted to their room and wildcards spelled out."""
        graph = {room: set() for room in self.rooms}
        for name in list(self.rooms) + list(self.patterns):
            room = self.room_of(name)
            for other in self.rooms:
                if other != room and "*" not in self.rooms[room]:
                    rules = self.rooms.get(name, self.patterns.get(name, []))
                    if any(other == r or (r.endswith("/*") and other.startswith(r[:-1]))
                           for r in rules):
                        graph[room].add(other)
        return graph


class Folder:
    """What one carrel_room(...) call says."""

    def __init__(self, arguments):
        self.deps, self.exclude = [], None
        keyword = None
        for word in COMMENT.sub("", arguments).split():
            if word in KEYWORDS:
                keyword = word
            elif keyword == "DEPS":
                self.deps.append(word)
            elif keyword == "EXCLUDE":
                self.exclude = word.strip('"').replace("\\\\", "\\")
        if self.exclude and "${" in self.exclude:
            self.exclude = None

    def covers(self, path):
        if path.endswith("_main.cc") or FREE_FILES.search(path):
            return False
        return not (self.exclude and re.search(self.exclude, "/" + path))


def source_files(root):
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(f for f in folders if f not in SKIPPED_FOLDERS and not f.startswith("."))
        for name in sorted(files):
            yield os.path.relpath(os.path.join(folder, name), root).replace(os.sep, "/")


def read(root, path):
    with open(os.path.join(root, path), encoding="utf-8", errors="replace") as file:
        return file.read()


def find_cycle(graph):
    """A list of nodes that depend on each other in a ring, or None."""
    state = {}

    def visit(node, trail):
        state[node] = "open"
        for other in sorted(graph.get(node, ())):
            if state.get(other) == "open":
                return trail[trail.index(other):] + [other]
            if other not in state:
                found = visit(other, trail + [other])
                if found:
                    return found
        state[node] = "done"
        return None

    for node in sorted(graph):
        if node not in state:
            found = visit(node, [node])
            if found:
                return found
    return None


def folder_of(path, folders):
    """The nearest folder with a carrel_room() call that `path` lies in, or None."""
    parts = path.split("/")[:-1]
    for count in range(len(parts), 0, -1):
        if "/".join(parts[:count]) in folders:
            return "/".join(parts[:count])
    return None


def check_includes(root, path, table, folders):
    text = read(root, path)
    home = folder_of(path, folders)
    for included in INCLUDE.findall(text):
        where = "%s: #include \"%s\"" % (path, included)
        other = table.room_of(included)
        if "/" not in included or other is None:
            yield "%s: not a path from the repository's root into a room of tools/rooms.txt" % where
        elif not table.permits(path, other):
            yield "%s: tools/rooms.txt does not let %s depend on %s" % (
                where, table.room_of(path), other)
        else:
            other_folder = folder_of(included, folders)
            if (home and other_folder and other_folder != home and folders[home].covers(path)
                    and other_folder not in folders[home].deps):
                yield "%s: DEPS in %s/CMakeLists.txt does not name %s" % (where, home, other_folder)


def check_folders(table, folders):
    for folder, declared in sorted(folders.items()):
        if table.room_of(folder) is None:
            yield "%s: no such room in tools/rooms.txt" % folder
            continue
        for dep in declared.deps:
            other = table.room_of(dep)
            if other is None or not table.permits(folder + "/x", other):
                yield "%s/CMakeLists.txt: tools/rooms.txt does not allow DEPS %s" % (folder, dep)
    cycle = find_cycle({name: folder.deps for name, folder in folders.items()})
    if cycle:
        yield "the DEPS of the CMakeLists.txt form a cycle: %s" % " -> ".join(cycle)


def check(root):
    """All findings of a tree, as a list of lines."""
    table = Table(read(root, "tools/rooms.txt"))
    files = list(source_files(root))
    folders = {}
    for path in files:
        if os.path.basename(path) == "CMakeLists.txt" and "/" in path:
            call = ROOM_CALL.search(read(root, path))
            if call:
                folders[os.path.dirname(path)] = Folder(call.group(1))
    findings = list(check_folders(table, folders))
    cycle = find_cycle(table.edges())
    if cycle:
        findings.append("tools/rooms.txt: a cycle: %s" % " -> ".join(cycle))
    for path in files:
        if not path.endswith(SOURCE_FILES) or FREE_FILES.search(path):
            continue
        if table.room_of(path) is None:
            findings.append("%s: lies in no room of tools/rooms.txt" % path)
        elif table.allowed_for(path) != ["*"]:
            findings.extend(check_includes(root, path, table, folders))
    return findings


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(__file__), "..")
    findings = check(root)
    for line in findings:
        print(line)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
