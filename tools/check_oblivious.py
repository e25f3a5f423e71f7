#!/usr/bin/env python3
"""No branch and no address of the vector kernels depends on vector data, as far as registers show.

usage: check_oblivious.py [--objdump OBJDUMP] ARCHIVE...      x86-64

Follows data through registers and flags along the control flow of every function. Secret is what
vector registers load from memory (constants of the code are not), or hold at the start, and what is
computed from it: comparisons, masks, numbers moved or converted to general registers. Findings, one
line each, exit status 1: a conditional or indirect jump, an address (gathers and scatters too), a
store under a mask, a load under a mask of what is not loaded without one, or a string operation
that depends on it; a line of PUBLIC that excuses nothing; no vector code at all.

What it cannot see: secrets that are loaded as integers into general registers (or through vector
registers by moves alone, where compilers keep pointers), and spilled general registers. memcheck
sees both (tests/trace/oblivious_kernels_main.cc), but it does not know AVX-512.
Python 3 (Debian: python3), no other packages; objdump from binutils.
"""

import argparse
import re
import subprocess
import sys

# Functions whose jumps depend on floats that are public.
PUBLIC = {
    r"carrel::rows_\w+::lrn\(carrel::LrnCall const&\)": "beta is a number of the program, and 0.75 has a faster way",
}

GENERAL = {}
for number, names in enumerate(["rax eax ax al ah", "rbx ebx bx bl bh", "rcx ecx cx cl ch", "rdx edx dx dl dh",
                                "rsi esi si sil", "rdi edi di dil", "rbp ebp bp bpl", "rsp esp sp spl"]):
    GENERAL.update({name: 1 << number for name in names.split()})
for number in range(8, 16):
    GENERAL.update({"r%d%s" % (number, width): 1 << number for width in ("", "d", "w", "b")})
MASKS = {"k%d" % number: 1 << (16 + number) for number in range(8)}
FLAGS = 1 << 24
VECTORS = {"%smm%d" % (width, number): 1 << (32 + number) for width in "xyz" for number in range(32)}
ALL_VECTORS = ((1 << 32) - 1) << 32
# A second bit for each vector register: it holds more than moves from memory or general registers.
COMPUTED = 32
REGISTERS = dict(GENERAL, **MASKS, **VECTORS)
CALLER_SAVED = sum(GENERAL[name] for name in "rax rcx rdx rsi rdi r8 r9 r10 r11".split())

FUNCTION = re.compile(r"^([0-9a-f]+) <(.*)>:$")
INSTRUCTION = re.compile(r"^\s*([0-9a-f]+):\t((?:rep\w* |notrack |bnd |lock |data16 |cs )*)(\S+)\s*(.*?)\s*(?:#.*)?$")
TARGET = re.compile(r"^([0-9a-f]+) <")
REGISTER = re.compile(r"%(\w+)")
MEMORY = re.compile(r"[-\w]*\([^)]*\)")
WRITE_MASK = re.compile(r"\{(%k[1-7])\}")
OPERAND = re.compile(r"(?:\([^)]*\)|[^,(])+")

COMPARES = re.compile(r"v?u?comis[sd]|v?ptest|vtestp[sd]|kortest[bwdq]|ktest[bwdq]")
MASK_OPERAND = re.compile(r"vp?maskmov(ps|pd|d|q)")
SETS_FLAGS = re.compile(r"(add|sub|and|or|xor|neg|inc|dec|cmp|test|sh[lr]|sa[lr]|ro[lr]|imul|mul|bt[src]?|bs[fr]|"
                        r"adc|sbb|[lt]zcnt|popcnt|andn|bls\w+|bzhi|bextr|cmpxchg|xadd)[bwlq]?")
NO_RESULT = re.compile(r"(cmp|test|bt)[bwlq]?|kortest[bwdq]|ktest[bwdq]|v?u?comis[sd]|v?ptest|vtestp[sd]|"
                       r"nop\w*|push\w*")
# Also what compilers do with integers that they keep in vector registers.
INTEGER_MOVES = re.compile(r"v?mov(d|q|dqa|dqu|dq[au]\d+|hps|lhps)|v?pinsr[dq]|v?pextr[dq]|v?punpck\w+|vpbroadcast[dq]")
# The result does not depend on what its register held before.
OVERWRITES = re.compile(r"v(?!fn?m|pternlog|permt2|permi2)\w+|k\w+|set\w+|(mov|lea|pop|pmov|cvt|pshuf)\w*")
PADDING = re.compile(r"nop\w*|xchg")
CLEARS = re.compile(r"(v?p?|k)xor\w*|sub[bwlq]?")


class Instruction:
    def __init__(self, address, prefix, name, operands):
        self.address, self.prefix, self.name, self.text = address, prefix, name, operands
        self.operands = OPERAND.findall(operands)
        self.conditional = bool(re.fullmatch(r"j(?!mp)\w+", name))
        self.jumps = self.conditional or name.startswith("jmp")
        target = TARGET.match(operands) if self.jumps else None
        self.target = int(target.group(1), 16) if target else None
        self.indirect = self.jumps and target is None
        self.ends = name.startswith(("jmp", "ret", "ud2", "hlt"))
        self.addresses = registers(" ".join(MEMORY.findall(operands)))
        self.write_mask = registers(" ".join(WRITE_MASK.findall(operands)))
        self.sources = registers(MEMORY.sub("", ",".join(self.operands[:-1]))) | self.write_mask
        last = WRITE_MASK.sub("", self.operands[-1]) if self.operands else ""
        self.result = registers(MEMORY.sub("", last))
        self.memory = MEMORY.findall(operands)
        self.in_memory = bool(self.memory) and not name.startswith(("lea", "nop"))
        self.stores = self.in_memory and bool(MEMORY.search(last))
        self.loads_data = self.in_memory and not self.stores and not self.memory[0].endswith("(%rip)")
        if MASK_OPERAND.fullmatch(name):
            self.write_mask = registers(self.operands[1])
        self.uses_vectors = bool((self.sources | self.result) & ALL_VECTORS) or name.startswith(("cvt", "vcvt"))


def registers(text):
    found = 0
    for name in REGISTER.findall(text):
        found |= REGISTERS.get(name, 0)
    return found


def moved(sources):
    """What makes an integer that is moved secret: from vector registers, that it was computed there."""
    return sources & ~ALL_VECTORS | (sources & ALL_VECTORS) << COMPUTED


def is_computed(i, secret, carried):
    """Whether the vector register that an instruction writes holds more than moves."""
    if not INTEGER_MOVES.fullmatch(i.name) or i.write_mask:
        return bool(carried)
    return bool(moved(i.sources) & secret)


def carried_into(i, secret):
    """The secrets that an instruction's result is made of; 0: none."""
    sources = i.sources | i.addresses
    if not OVERWRITES.fullmatch(i.name) or COMPARES.fullmatch(i.name) or i.write_mask:
        sources |= i.result
    if i.name.startswith(("set", "cmov")):
        sources |= FLAGS
    if i.result & ALL_VECTORS == 0 and INTEGER_MOVES.fullmatch(i.name):
        return moved(sources) & secret
    if CLEARS.fullmatch(i.name) and i.operands[0] == i.operands[1]:
        return 0
    return ALL_VECTORS if i.uses_vectors and i.loads_data else sources & secret


def secret_after(i, secret):
    """The registers that hold secrets after an instruction, from those before it."""
    if i.name.startswith("call"):
        return secret & ~(CALLER_SAVED | FLAGS) | ALL_VECTORS | ALL_VECTORS << COMPUTED
    if i.jumps or i.ends:
        return secret
    carried = carried_into(i, secret)
    if SETS_FLAGS.fullmatch(i.name) or COMPARES.fullmatch(i.name):
        secret = secret | FLAGS if carried else secret & ~FLAGS
    if NO_RESULT.fullmatch(i.name) or i.stores:
        return secret
    computed = (i.result & ALL_VECTORS) << COMPUTED
    after = secret | i.result if carried else secret & ~i.result
    return after | computed if is_computed(i, secret, carried) else after & ~computed


def problem(i, secret, unmasked):
    """What shows a secret, or None. `unmasked`: what the function reads without a mask."""
    if i.conditional and secret & FLAGS:
        return "a jump"
    if i.in_memory and i.addresses & secret:
        return "an address"
    if i.indirect and i.result & secret:
        return "an indirect jump"
    if i.in_memory and i.write_mask & secret and (i.stores or not unmasked.issuperset(i.memory)):
        return "masked access"
    if i.prefix.startswith("rep") and secret & GENERAL["rcx"]:
        return "a string operation"
    return None


def follow(code, before, start, state):
    """Adds to `before`, the secrets before each instruction, what control flow from `start` brings there."""
    at = {i.address: number for number, i in enumerate(code)}
    before[start] = state
    work = [start]
    while work:
        number = work.pop()
        i = code[number]
        after = secret_after(i, before[number])
        following = [] if i.ends else [number + 1]
        if i.target in at:
            following.append(at[i.target])
        for other in following:
            if other < len(code) and (other not in before or after & ~before[other]):
                before[other] = before.get(other, 0) | after
                work.append(other)


def check_function(name, code):
    """A register is secret where it is on any way; what only jump tables lead to is reached from any of them."""
    before, state = {}, ALL_VECTORS | ALL_VECTORS << COMPUTED
    for start, i in enumerate(code):
        if start not in before and not PADDING.fullmatch(i.name):
            follow(code, before, start, state)
        if i.indirect:
            state |= before[start]
    unmasked = {place for i in code if not i.write_mask for place in i.memory}
    for number, i in enumerate(code):
        found = problem(i, before.get(number, 0), unmasked)
        if found:
            yield name, found, "%s %s" % (i.name, i.text)


def functions(listing):
    name, code = None, []
    for line in listing.splitlines():
        start, match = FUNCTION.match(line), INSTRUCTION.match(line)
        if start:
            if code:
                yield name, code
            name, code = start.group(2), []
        elif match:
            code.append(Instruction(int(match.group(1), 16), *match.groups()[1:]))
    if code:
        yield name, code


def check(objdump, path, public=None):
    """All findings of one archive or object, as a list of lines."""
    public = PUBLIC if public is None else public
    listing = subprocess.run([objdump, "-d", "-C", "--no-show-raw-insn", path], check=True, capture_output=True,
                             text=True).stdout
    findings, excused, vectors = [], set(), False
    for name, code in functions(listing):
        vectors |= any(i.uses_vectors for i in code)
        reasons = {pattern for pattern in public if re.fullmatch(pattern, name)}
        for where, what, instruction in check_function(name, code):
            if what == "a jump" and reasons:
                excused |= reasons
            else:
                findings.append("%s: %s depends on data: %s" % (where, what, instruction))
    findings += ["%s: no jump of it depends on a float: %s" % (path, line) for line in set(public) - excused]
    return findings if vectors else ["%s: no vector code, so nothing was checked" % path]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--objdump", default="objdump")
    parser.add_argument("files", nargs="+")
    arguments = parser.parse_args()
    findings = [line for path in arguments.files for line in check(arguments.objdump, path)]
    for line in findings:
        print(line)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
