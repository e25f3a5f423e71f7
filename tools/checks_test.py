#!/usr/bin/env python3
"""Every check in this folder passes a good example and fails on a bad one.

usage: checks_test.py [COMPILER]     COMPILER: a C++ compiler (default c++), for the binary checks
"""

import os
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import check_elf
import check_layering
import check_symbols
import count_trusted_lines

COMPILER = "c++"
ROOMS = "base:\nengine/low: base\nengine/high: base engine/low\nengine/high/enclave_*: base\napps: *\n"
GOOD_TREE = {
    "tools/rooms.txt": ROOMS,
    "base/CMakeLists.txt": "carrel_room(TRUSTED)",
    "base/a.h": "#pragma once\n",
    "engine/low/CMakeLists.txt": "carrel_room(TRUSTED DEPS base LIBS m)",
    "engine/low/low.cc": '#include <vector>\n#include "base/a.h"\n#include "engine/low/low.h"\n',
    "engine/low/low_test.cc": '#include "engine/high/high.h"\n#include "anything.h"\n',
    "engine/high/CMakeLists.txt": "carrel_room(\n  DEPS base # the rest\n  engine/low)",
    "engine/high/high.h": '#include "engine/low/low.h"\n',
    "apps/main.cc": '#include "engine/high/high.h"\n',
}


class TreeTest(unittest.TestCase):
    def findings(self, changes):
        with tempfile.TemporaryDirectory() as root:
            for path, text in dict(GOOD_TREE, **changes).items():
                os.makedirs(os.path.dirname(os.path.join(root, path)), exist_ok=True)
                with open(os.path.join(root, path), "w", encoding="utf-8") as file:
                    file.write(text)
            return check_layering.check(root)

    def expect_one(self, changes, *words):
        findings = self.findings(changes)
        self.assertEqual(len(findings), 1, findings)
        for word in words:
            self.assertIn(word, findings[0])

    def test_good_tree(self):
        self.assertEqual(self.findings({}), [])

    def test_forbidden_include(self):
        self.expect_one({"base/b.cc": '#include "engine/low/low.h"\n'}, "base/b.cc", "engine/low")

    def test_forbidden_include_of_an_app(self):
        self.expect_one({"base/b.cc": '#include "apps/x.h"\n'}, "base/b.cc", "apps")

    def test_pattern_overrides_room(self):
        self.expect_one({"engine/high/enclave_x.cc": '#include "engine/low/low.h"\n'}, "enclave_x")

    def test_include_that_is_not_from_the_root(self):
        self.expect_one({"engine/low/x.h": '#include "low.h"\n'}, "engine/low/x.h")

    def test_include_missing_from_deps(self):
        self.expect_one({"engine/high/CMakeLists.txt": "carrel_room(DEPS base)"},
                        "engine/high/high.h", "DEPS")

    def test_files_outside_the_archive_are_free_of_deps(self):
        changes = {"engine/high/CMakeLists.txt": 'carrel_room(EXCLUDE "/high" DEPS base)'}
        self.assertEqual(self.findings(changes), [])

    def test_deps_that_the_table_forbids(self):
        self.expect_one({"engine/low/CMakeLists.txt": "carrel_room(DEPS base apps)"}, "apps")

    def test_unknown_room(self):
        self.expect_one({"surprise/x.cc": "int x;\n"}, "surprise/x.cc")

    def test_cycle_in_the_table(self):
        self.expect_one({"tools/rooms.txt": ROOMS.replace("engine/low: base", "engine/low: engine/high base")},
                        "cycle", "engine/low")

    def test_cycle_in_the_deps(self):
        findings = self.findings({"engine/low/CMakeLists.txt": "carrel_room(DEPS base engine/high)"})
        self.assertTrue(any("cycle" in line for line in findings), findings)


def compile_to(folder, text, *options):
    source, output = os.path.join(folder, "x.cc"), os.path.join(folder, "x.o")
    with open(source, "w", encoding="utf-8") as file:
        file.write(text)
    subprocess.run([COMPILER, "-std=c++20", "-O1", source, "-o", output] + list(options), check=True)
    return output


class SymbolsTest(unittest.TestCase):
    def findings(self, text, *options):
        with tempfile.TemporaryDirectory() as folder:
            compiled = compile_to(folder, text, "-c", *options)
            archive = os.path.join(folder, "libcarrel_example.a")
            subprocess.run(["ar", "rc", archive, compiled], check=True)
            return check_symbols.check(check_symbols.read_policy(), "nm", archive)

    def expect(self, kind, text, *options):
        findings = self.findings(text, *options)
        self.assertTrue(any("banned: %s" % kind in line for line in findings), findings)

    def test_good(self):
        self.assertEqual(self.findings('#include <cstring>\nvoid f(void* a, void* b) { memcpy(a, b, 999); }\n'
                                       "int table[3] = {1, 2, 3};\n"), [])

    def test_heap(self):
        self.expect("heap", "#include <cstdlib>\nvoid* f() { return malloc(3); }\n")
        self.expect("heap", "int* f(int n) { return new int[n]; }\n")
        self.expect("heap", "struct A { virtual ~A(); };\nA::~A() {}\n")

    def test_stdio(self):
        self.expect("stdio", '#include <cstdio>\nvoid f(int x) { printf("%d", x); }\n')
        self.expect("stdio", '#include <cstdio>\nvoid f() { fopen("x", "r"); }\n')
        self.expect("stdio", '#include <iostream>\nvoid f(int x) { std::cout << x; }\n')

    def test_environment(self):
        self.expect("environment", '#include <cstdlib>\nchar* f() { return getenv("HOME"); }\n')

    def test_throw(self):
        self.expect("throw", "void f() { throw 1; }\n")
        self.expect("throw", "#include <string_view>\n"
                             "std::string_view f(std::string_view t) { return t.substr(9); }\n")

    def test_string(self):
        self.expect("string", "#include <string>\nvoid g(std::string&);\nvoid f(std::string& s) { g(s); }\n")

    def test_rtti(self):
        self.expect("rtti", "struct A { virtual void f(); };\nvoid A::f() {}\n", "-frtti")

    def test_end(self):
        self.expect("end", "#include <cstdlib>\nvoid f() { abort(); }\n")

    def test_static(self):
        self.expect("static", "int g();\nint f() { static int x = g(); return x; }\n")
        self.expect("static", "int g();\nint x = g();\n")

    def test_thread_and_outside(self):
        self.expect("thread", "#include <pthread.h>\nvoid f(pthread_t t) { pthread_join(t, nullptr); }\n")
        self.expect("outside", '#include <fcntl.h>\nint f() { return open("x", O_RDONLY); }\n')

    def test_allowed_for_one_archive_only(self):
        policy = check_symbols.Policy("ban outside: getrandom\nallow carrel_a: getrandom  # why\n")
        self.assertIsNone(policy.kind_of("carrel_a", "getrandom"))
        self.assertEqual(policy.kind_of("carrel_b", "getrandom"), "outside")


class ElfTest(unittest.TestCase):
    def findings(self, *options):
        with tempfile.TemporaryDirectory() as folder:
            program = compile_to(folder, "int table[9000];\nint main() { return table[4]; }\n", *options)
            return check_elf.check("readelf", program)

    def test_good(self):
        self.assertEqual(self.findings(), [])
        self.assertEqual(self.findings("-static"), [])

    def test_executable_stack(self):
        self.assertEqual(len(self.findings("-Wl,-z,execstack")), 1)

    def test_writable_code(self):
        findings = self.findings("-Wl,-N", "-static", "-nostdlib", "-Wl,-e,main")
        self.assertTrue(any("writable and executable" in line for line in findings), findings)

    def test_stack_not_declared_and_relocated_code(self):
        headers = "  LOAD           0x000000 0x01 0x01 0x01 0x01 R E 0x1000\n"
        self.assertEqual(len(check_elf.check_listing("x", headers, "")), 1)
        headers += "  GNU_STACK      0x000000 0x00 0x00 0x00 0x00 RW  0x10\n"
        self.assertEqual(check_elf.check_listing("x", headers, ""), [])
        self.assertEqual(len(check_elf.check_listing("x", headers, " 0x16 (TEXTREL) 0x0")), 1)
        self.assertEqual(len(check_elf.check_listing("x", "", "")), 1)

    def test_static_data_is_bounded(self):
        headers = "  LOAD 0x5df770 0x00000000005df770 0x00000000005df770 0x007c40 0x00d7d8 RW  0x1000\n"
        self.assertEqual(check_elf.check_static_bytes("x", headers, 0xd7d8), [])
        self.assertEqual(len(check_elf.check_static_bytes("x", headers, 0xd7d7)), 1)


class CountTest(unittest.TestCase):
    def test_counts_code_of_trusted_files_only(self):
        text = "// why\n\nint a;  // b\n/* c\n d */\nint e;\n"
        with tempfile.TemporaryDirectory() as root:
            for path in ("base/a.cc", "base/a_test.cc", "engine/k/b.h", "platform/p/enclave_c.cc",
                         "platform/p/host_d.cc", "compiler/e.cc", "base/readme.md"):
                os.makedirs(os.path.dirname(os.path.join(root, path)), exist_ok=True)
                with open(os.path.join(root, path), "w", encoding="utf-8") as file:
                    file.write(text)
            self.assertEqual(count_trusted_lines.count(root),
                             {"base": (1, 2), "engine/k": (1, 2), "platform/p": (1, 2)})


if __name__ == "__main__":
    if len(sys.argv) > 1:
        COMPILER = sys.argv.pop(1)
    unittest.main()
