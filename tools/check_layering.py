#!/usr/bin/env python3
"""Rooms include only what tools/rooms.txt allows, and say so in their CMakeLists.txt.

usage: check_layering.py [ROOT]

Findings, one line each, exit status 1:
  - an #include "..." of a room that the table does not allow, or of no known room;
  - any other form of including our own files: <...>, a path with dots, a macro, test support in code that is
    not a test, a name that does not end in .h or .inc;
  - an #include of a room that the folder's carrel_room(DEPS ...) does not name;
  - a DEPS entry that the table does not allow;
  - a room without a line in the table, or a line without its room;
  - a source of base/ or engine/ whose folder is no carrel_room(TRUSTED ...);
  - a source with an ending that this check does not read;
  - a cycle among the table's rooms, or among the DEPS.
Python 3 (Debian: python3), no other packages.
"""

import fnmatch
import os
import re
import sys

GAP = r"(?:[^\S\n]|/\*(?:[^*]|\*(?!/))*\*/)*"
INCLUDE = re.compile(r"^%s(?:#|%%:)%s(?:include|include_next|import)\b%s(.*)" % (GAP, GAP, GAP), re.M)
NAMED = re.compile(r'"([^"]+)"|<([^>]+)>')
COMMENT = re.compile(r'^\s*#.*$|\s+#.*$', re.M)
ROOM_CALL = re.compile(r'^\s*carrel_room\s*\(([^)]*)\)', re.M)
KEYWORDS = {"TRUSTED", "EXCLUDE", "DEPS", "LIBS", "TEST_DEPS", "TEST_LIBS"}
FREE_FILES = re.compile(r'(_(test|fuzz)\.cc|(^|/)test_\w+\.h|_testing\.h)$')
INCLUDED_FILES = (".h", ".inc")
SOURCE_FILES = INCLUDED_FILES + (".cc",)
OTHER_SOURCE = re.compile(r"\.(c|C|cp|cpp|cxx|c\+\+|hh|H|hp|hpp|hxx|h\+\+|ipp|tpp|tcc|ixx|cppm|s|S|asm)$")
TRUSTED_ROOMS = ("base/", "engine/")
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
        self.deps, self.exclude, self.trusted = [], None, False
        keyword = None
        for word in COMMENT.sub("", arguments).split():
            self.trusted |= word == "TRUSTED"
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


def includes(text):
    """(whole operand, path, whether in quotes) of every #include; no path for a macro."""
    for operand in INCLUDE.findall(re.sub(r"\\\r?\n", "", text)):
        match = NAMED.match(operand)
        path = (match.group(1) or match.group(2)) if match else None
        yield operand, path, operand.startswith('"')


def form_problem(root, table, included, quoted):
    """What is wrong with how a file is included, or None."""
    if included is None:
        return "which file that is cannot be seen"
    if set(included.split("/")) & {".", ".."}:
        return "a path with dots"
    if not quoted:
        ours = table.room_of(included) or os.path.exists(os.path.join(root, included))
        return "our own files are included in quotes" if ours else None
    if "/" not in included or table.room_of(included) is None:
        return "not a path from the repository's root into a room of tools/rooms.txt"
    if not included.endswith(INCLUDED_FILES):
        return "only .h and .inc files are included"
    if FREE_FILES.search(included):
        return "test support in code that is not a test"
    return None


def room_problem(path, included, table, folders):
    """Why `path` may not depend on the room that `included` lies in, or None."""
    room, home, other_home = table.room_of(included), folder_of(path, folders), folder_of(included, folders)
    if not table.permits(path, room):
        return "tools/rooms.txt does not let %s depend on %s" % (table.room_of(path), room)
    if (home and other_home and other_home != home and folders[home].covers(path)
            and other_home not in folders[home].deps):
        return "DEPS in %s/CMakeLists.txt does not name %s" % (home, other_home)
    return None


def check_includes(root, path, table, folders):
    for operand, included, quoted in includes(read(root, path)):
        problem = form_problem(root, table, included, quoted)
        if quoted and not problem:
            problem = room_problem(path, included, table, folders)
        if problem:
            yield "%s: #include %s: %s" % (path, operand.strip(), problem)


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


def check_table(root, table, files):
    for room in table.rooms:
        if not os.path.isdir(os.path.join(root, room)):
            yield "tools/rooms.txt: there is no folder %s" % room
    for pattern in table.patterns:
        if not fnmatch.filter(files, pattern):
            yield "tools/rooms.txt: there is no file %s" % pattern
    cycle = find_cycle(table.edges())
    if cycle:
        yield "tools/rooms.txt: a cycle: %s" % " -> ".join(cycle)


def check_source(root, path, table, folders):
    if table.room_of(path) is None:
        yield "%s: lies in no room of tools/rooms.txt" % path
        return
    folder = folders.get(os.path.dirname(path))
    if path.startswith(TRUSTED_ROOMS) and not (folder and folder.trusted):
        yield "%s: its folder is no carrel_room(TRUSTED ...)" % path
    if table.allowed_for(path) != ["*"]:
        yield from check_includes(root, path, table, folders)


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
    findings = list(check_folders(table, folders)) + list(check_table(root, table, files))
    for path in files:
        if OTHER_SOURCE.search(path) and table.room_of(path) and table.allowed_for(path) != ["*"]:
            findings.append("%s: sources end in .h, .cc or .inc" % path)
        elif path.endswith(SOURCE_FILES) and not FREE_FILES.search(path):
            findings.extend(check_source(root, path, table, folders))
    return findings


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(__file__), "..")
    findings = check(root)
    for line in findings:
        print(line)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
