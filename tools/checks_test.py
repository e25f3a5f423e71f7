#!/usr/bin/env python3
"""Every check in this folder passes a good example and fails on a bad one.

usage: checks_test.py [COMPILER]     COMPILER: a C++ compiler (default c++), for the binary checks
"""

import os
import platform
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import check_elf
import check_layering
import check_oblivious
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
    "engine/high/CMakeLists.txt": "carrel_room(TRUSTED\n  DEPS base # the rest\n  engine/low)",
    "engine/high/enclave_a.cc": '#include "base/a.h"\n',
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

    def test_other_ways_to_include(self):
        for line in ("#include <engine/low/low.h>",
                     '/**/#include "engine/low/low.h"',
                     '#/* x\n */include "engine/low/low.h"',
                     '#inc\\\nlude "engine/low/low.h"',
                     '%:include "engine/low/low.h"',
                     '#include_next "engine/low/low.h"',
                     '#include "base/../engine/low/low.h"',
                     "#include <base/../engine/low/low.h>",
                     "#include <../engine/low/low.h>",
                     "#include LOW_H",
                     '#include "base/a.txt"'):
            self.expect_one({"base/b.cc": "int x;\n" + line + "\n"}, "base/b.cc: #include ")

    def test_system_headers_and_comments_are_free(self):
        text = "#include <vector>\n#include <sys/mman.h>\n// says #include x\n"
        self.assertEqual(self.findings({"base/b.cc": text}), [])

    def test_test_support_in_an_archive(self):
        self.expect_one({"engine/low/b.cc": '#include "engine/low/low_testing.h"\n'}, "test support")
        self.expect_one({"engine/low/b.cc": '#include "engine/low/test_model.h"\n'}, "test support")

    def test_source_that_is_not_read(self):
        for name in ("b.hpp", "b.cpp", "b.c", "b.S"):
            self.expect_one({"base/" + name: '#include "engine/low/low.h"\n'}, "base/" + name)

    def test_trusted_rooms_say_so(self):
        self.expect_one({"base/CMakeLists.txt": "carrel_room()"}, "base/a.h", "TRUSTED")
        self.expect_one({"engine/low/part/x.cc": "int x;\n", "engine/low/part/CMakeLists.txt": "add_library(x x.cc)"},
                        "engine/low/part/x.cc", "TRUSTED")

    def test_line_without_its_room(self):
        self.expect_one({"tools/rooms.txt": ROOMS + "engine/gone: base\n"}, "engine/gone")
        self.expect_one({"tools/rooms.txt": ROOMS + "engine/low/x_*: base\n"}, "engine/low/x_*")

    def test_include_missing_from_deps(self):
        self.expect_one({"engine/high/CMakeLists.txt": "carrel_room(TRUSTED DEPS base)"},
                        "engine/high/high.h", "DEPS")

    def test_files_outside_the_archive_are_free_of_deps(self):
        changes = {"engine/high/CMakeLists.txt": 'carrel_room(TRUSTED EXCLUDE "/high" DEPS base)'}
        self.assertEqual(self.findings(changes), [])

    def test_deps_that_the_table_forbids(self):
        self.expect_one({"engine/low/CMakeLists.txt": "carrel_room(TRUSTED DEPS base apps)"}, "apps")

    def test_unknown_room(self):
        self.expect_one({"surprise/x.cc": "int x;\n"}, "surprise/x.cc")

    def test_cycle_in_the_table(self):
        self.expect_one({"tools/rooms.txt": ROOMS.replace("engine/low: base", "engine/low: engine/high base")},
                        "cycle", "engine/low")

    def test_cycle_in_the_deps(self):
        findings = self.findings({"engine/low/CMakeLists.txt": "carrel_room(TRUSTED DEPS base engine/high)"})
        self.assertTrue(any("cycle" in line for line in findings), findings)


def compile_to(folder, text, *options):
    source, output = os.path.join(folder, "x.cc"), os.path.join(folder, "x.o")
    with open(source, "w", encoding="utf-8") as file:
        file.write(text)
    subprocess.run([COMPILER, "-std=c++20", "-O1", source, "-o", output] + list(options), check=True)
    return output


class SymbolsTest(unittest.TestCase):
    def findings(self, text, *options, allowed=""):
        policy = check_symbols.Policy("carrel_example: %s\n" % allowed)
        with tempfile.TemporaryDirectory() as folder:
            compiled = compile_to(folder, text, "-c", "-fno-stack-protector", *options)
            archive = os.path.join(folder, "libcarrel_example.a")
            subprocess.run(["ar", "rc", archive, compiled], check=True)
            return check_symbols.check(policy, "nm", "objdump", [archive])

    def expect(self, word, text, *options):
        findings = self.findings(text, *options)
        self.assertTrue(any(word in line for line in findings), findings)

    def expect_reference(self, symbol, text, *options):
        self.expect(" refers to %s," % symbol, text, *options)

    def test_good(self):
        text = "#include <cstring>\nvoid f(void* a, void* b, int n) { memcpy(a, b, n); }\nint table[3] = {1, 2, 3};\n"
        self.assertEqual(self.findings(text, allowed="memcpy"), [])

    def test_heap(self):
        self.expect_reference("malloc", "#include <cstdlib>\nvoid* f() { return malloc(3); }\n")
        self.expect_reference("_Znam", "int* f(int n) { return new int[n]; }\n")
        self.expect_reference("_ZdlPvm", "struct A { virtual ~A(); };\nA::~A() {}\n")
        self.expect_reference("qsort", "#include <cstdlib>\nvoid f(void* a, int (*c)(const void*, const void*)) "
                                       "{ qsort(a, 9, 4, c); }\n")

    def test_stdio(self):
        self.expect_reference("printf", '#include <cstdio>\nvoid f(int x) { printf("%d", x); }\n')
        self.expect_reference("fputs_unlocked",
                              "#include <stdio.h>\nvoid f(FILE* o, char* s) { fputs_unlocked(s, o); }\n")
        self.expect_reference("_ZSt4cout", "#include <iostream>\nvoid f(int x) { std::cout << x; }\n")
        self.expect_reference("warnx", '#include <err.h>\nvoid f() { warnx("x"); }\n')
        self.expect_reference("error", '#include <error.h>\nvoid f() { error(0, 0, "x"); }\n')
        self.expect_reference("syslog", '#include <syslog.h>\nvoid f() { syslog(0, "x"); }\n')

    def test_environment(self):
        self.expect_reference("getenv", '#include <cstdlib>\nchar* f() { return getenv("HOME"); }\n')

    def test_throw(self):
        self.expect_reference("__cxa_throw", "void f() { throw 1; }\n")
        self.expect_reference("_ZSt24__throw_out_of_range_fmtPKcz",
                              "#include <string_view>\n"
                              "std::string_view f(std::string_view t) { return t.substr(9); }\n")

    def test_rtti(self):
        self.expect_reference("_ZTVN10__cxxabiv117__class_type_infoE",
                              "struct A { virtual void f(); };\nvoid A::f() {}\n", "-frtti")

    def test_end(self):
        self.expect_reference("abort", "#include <cstdlib>\nvoid f() { abort(); }\n")

    def test_static(self):
        self.expect_reference("__cxa_guard_acquire", "int g();\nint f() { static int x = g(); return x; }\n")
        self.expect(".init_array", "int g();\nint x = g();\n")
        self.expect(".init_array", "int x;\n__attribute__((constructor)) void f() { x = 3; }\n")
        self.expect(".fini_array", "int x;\n__attribute__((destructor)) void f() { x = 3; }\n")

    def test_outside(self):
        self.expect_reference("pthread_join",
                              "#include <pthread.h>\nvoid f(pthread_t t) { pthread_join(t, nullptr); }\n")
        self.expect_reference("sem_wait", "#include <semaphore.h>\nvoid f(sem_t* s) { sem_wait(s); }\n")
        self.expect_reference("open", '#include <fcntl.h>\nint f() { return open("x", O_RDONLY); }\n')
        self.expect_reference("opendir", '#include <dirent.h>\nDIR* f() { return opendir("x"); }\n')
        self.expect_reference("prctl", "#include <sys/prctl.h>\nint f() { return prctl(4, 1); }\n")
        self.expect_reference("memfd_create", '#include <sys/mman.h>\nint f() { return memfd_create("x", 0); }\n')
        self.expect_reference("process_vm_readv", "#include <sys/uio.h>\nlong f(int p, iovec* v) "
                                                  "{ return process_vm_readv(p, v, 1, v, 1, 0); }\n")
        self.expect_reference("rand", "#include <cstdlib>\nint f() { return rand(); }\n")
        self.expect_reference("_ZNSt6chrono3_V212steady_clock3nowEv",
                              "#include <chrono>\nauto f() { return std::chrono::steady_clock::now(); }\n")
        self.expect_reference("__read_chk",
                              "#include <unistd.h>\nchar b[9];\nlong f(int n) { return read(0, b, n); }\n",
                              "-O2", "-D_FORTIFY_SOURCE=2")

    def test_system_call_instructions(self):
        self.expect("system call instruction, syscall", 'void f() { asm volatile("syscall"); }\n')
        self.expect("system call instruction, sysenter", 'void f() { asm volatile("sysenter"); }\n')
        self.expect("system call instruction, int", 'void f() { asm volatile("int $0x80"); }\n')

    def test_code_left_to_the_linker(self):
        self.expect(".gnu.lto_", "int f() { return 1; }\n", "-flto", "-ffat-lto-objects")

    def test_archive_without_symbols(self):
        with tempfile.TemporaryDirectory() as folder:
            archive = os.path.join(folder, "libcarrel_example.a")
            subprocess.run(["ar", "rc", archive], check=True)
            findings = check_symbols.check(check_symbols.Policy(""), "nm", "objdump", [archive])
        self.assertEqual(findings, ["carrel_example: no symbols, so nothing was checked"])

    def test_allowed_names_are_used(self):
        text = "int getrandom_like();\nint f() { return getrandom_like(); }\n"
        symbol = "_Z14getrandom_likev"
        self.assertEqual(self.findings(text, allowed=symbol), [])
        self.assertEqual(self.findings("int x;\n", allowed=symbol),
                         ["tools/trusted_symbols.txt: carrel_example does not refer to %s" % symbol])

    def test_allowed_for_every_file(self):
        with tempfile.TemporaryDirectory() as folder:
            compiled = compile_to(folder, "int g();\nint f() { return g(); }\n", "-c")
            policy = check_symbols.Policy("every: _Z1gv h\n")
            self.assertEqual(check_symbols.check(policy, "nm", "objdump", [compiled]),
                             ["tools/trusted_symbols.txt: every does not refer to h"])

    def test_allowed_for_one_file_only(self):
        with tempfile.TemporaryDirectory() as folder:
            compiled = compile_to(folder, "int g();\nint f() { return g(); }\n", "-c")
            policy = check_symbols.Policy("x: _Z1gv  # why\ny: _Z1hv\n")
            self.assertEqual(check_symbols.check(policy, "nm", "objdump", [compiled]),
                             ["tools/trusted_symbols.txt: y does not refer to _Z1hv"])
            policy = check_symbols.Policy("y: _Z1gv\n")
            self.assertEqual(len(check_symbols.check(policy, "nm", "objdump", [compiled])), 2)

    def test_trusted_files_may_refer_to_each_other(self):
        with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
            files = [compile_to(one, "int g();\nint f() { return g(); }\n", "-c"),
                     compile_to(other, "int g() { return 1; }\n", "-c")]
            self.assertEqual(check_symbols.check(check_symbols.Policy(""), "nm", "objdump", files), [])


@unittest.skipUnless(platform.machine() == "x86_64", "x86-64 code")
class ObliviousTest(unittest.TestCase):
    SIGNATURE = "(const float* p, volatile float* q, const float* table, unsigned n) {"
    MASK = "__m512 x = _mm512_loadu_ps(p); __mmask16 m = _mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_LT_OQ); "
    INDEX = "__m512i i = _mm512_cvtps_epi32(_mm512_loadu_ps(p)); "
    OUT = "float* out = const_cast<float*>(q); "

    def findings(self, bodies, public=None):
        """Of functions f0, f1, ... with these bodies, compiled together."""
        text = "#include <immintrin.h>\n" + "\n".join(
            "void f%d%s %s }" % (number, self.SIGNATURE, body) for number, body in enumerate(bodies))
        with tempfile.TemporaryDirectory() as folder:
            compiled = compile_to(folder, text, "-c", "-O2", "-mavx2", "-mavx512f", "-mavx512vl")
            return check_oblivious.check("objdump", compiled, public or {})

    def expect(self, what, bodies):
        findings = self.findings(bodies)
        for number, body in enumerate(bodies):
            self.assertTrue(any(line.startswith("f%d(" % number) and "%s depends on data" % what in line
                                for line in findings), (body, findings))

    def test_good(self):
        self.assertEqual([], self.findings([
            "for (unsigned i = 0; i < n; ++i) q[i] = p[i] * p[i] + 1;",
            self.MASK + self.OUT + "_mm512_storeu_ps(out, _mm512_maskz_add_ps(m, x, x));",
            self.OUT + "_mm512_mask_storeu_ps(out, (1u << n) - 1, _mm512_loadu_ps(p));",
            self.OUT + "_mm256_maskstore_ps(out, _mm256_cmpgt_epi32(_mm256_set1_epi32(n), "
                       "_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)), _mm256_loadu_ps(p));",
            self.OUT + "_mm512_storeu_ps(out, _mm512_i32gather_ps(_mm512_set1_epi32(n), table, 4));"]))

    def test_jumps(self):
        self.expect("a jump", [
            "if (p[0] > 0.5f) *q = 1;",
            "while (*p == 0) *q = *p++;",
            "bool big = p[0] > p[1]; *q = 3; if (big | (n == 3)) *q = 1;",
            "if (static_cast<int>(p[0]) == 3) *q = 1;",
            "if (_mm256_movemask_ps(_mm256_loadu_ps(p)) == 255) *q = 1;",
            "if (_mm256_testz_ps(_mm256_loadu_ps(p), _mm256_loadu_ps(table))) *q = 1;",
            "switch (n) { case 0: *q = 1; break; case 1: q[1] = 2; break; case 2: q[2] = 9; break; "
            "case 3: if (p[1] > 2) q[3] = 0; break; case 4: q[4] = 7; break; case 5: q[5] = 6; }",
            self.MASK + "if (m) *q = 1;",
            self.MASK + "if (m & n) *q = 1;",
            self.MASK + "for (unsigned i = 0; i < static_cast<unsigned>(__builtin_popcount(m)); ++i) *q = 1;"])

    def test_addresses(self):
        self.expect("an address", [
            "q[0] = table[static_cast<int>(p[0])];",
            "q[static_cast<int>(p[0] * 3) & 15] = 1;",
            self.INDEX + self.OUT + "_mm512_storeu_ps(out, _mm512_i32gather_ps(i, table, 4));",
            self.INDEX + self.OUT + "_mm512_i32scatter_ps(out, i, _mm512_loadu_ps(table), 4);",
            self.OUT + "__m256i i = _mm256_cvtps_epi32(_mm256_loadu_ps(p)); "
                       "_mm256_storeu_ps(out, _mm256_i32gather_ps(table, i, 4));"])

    def test_masked_accesses(self):
        self.expect("masked access", [
            self.MASK + self.OUT + "_mm512_mask_storeu_ps(out, m, x);",
            self.MASK + self.OUT + "_mm512_mask_compressstoreu_ps(out, m, x);",
            self.MASK + self.OUT + "_mm512_storeu_ps(out, _mm512_maskz_loadu_ps(m, table));",
            self.OUT + "_mm256_maskstore_ps(out, _mm256_castps_si256(_mm256_loadu_ps(p)), _mm256_loadu_ps(table));"])

    def test_public_floats(self):
        public = {r"f0\(.*\)": "why"}
        self.assertEqual([], self.findings(["if (p[0] == 0.75f) *q = 1;"], public))
        self.assertEqual(1, len(self.findings(["q[0] = 1.0f;"], public)))
        self.assertNotEqual([], self.findings(["q[static_cast<int>(p[0])] = 1; if (p[0] == 0.75f) *q = 1;"], public))

    def test_nothing_to_check(self):
        self.assertEqual(1, len(self.findings([""])))


class ElfTest(unittest.TestCase):
    def findings(self, *options):
        with tempfile.TemporaryDirectory() as folder:
            program = compile_to(folder, "int table[9000];\nint main() { return table[4]; }\n", *options)
            return check_elf.check("readelf", program)

    def test_good(self):
        self.assertEqual(self.findings("-Wl,-z,now"), [])
        self.assertEqual(self.findings("-static"), [])

    def test_lazy_binding(self):
        headers = "  LOAD  0x0 0x01 0x01 0x01 0x01 R E 0x1000\n  GNU_STACK 0x0 0x00 0x00 0x00 0x00 RW  0x10\n"
        calls = " 0x17 (JMPREL) 0x520\n"
        self.assertEqual(len(check_elf.check_listing("x", headers, calls)), 1)
        self.assertEqual(check_elf.check_listing("x", headers, calls + " 0x1e (FLAGS) BIND_NOW\n"), [])

    def test_executable_stack(self):
        self.assertEqual(len(self.findings("-Wl,-z,execstack,-z,now")), 1)

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
