#!/bin/bash
# carrel as an ordinary user: with Debian's default limits, with less lockable memory than it wants, and the same answer as
# root's. Root becomes another user for it. Usage: ordinary_user_test.sh CARREL CARREL_ENCLAVE
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "$1" >&2; exit 1; }
# Copied where any user may go, in the places of an installation.
install -D "$1" "$work/bin/carrel"
install -D "$2" "$work/libexec/carrel/carrel-enclave"
cd "$work"
bin/carrel zoo mobilenetv1 --width 0.25 --resolution 96 -o m.onnx
bin/carrel keygen -o m.key
bin/carrel seal m.onnx -o m.carrel --key m.key --memory 2MiB
python3 - in.npy <<'PYTHON'
import struct, sys
header = "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 3, 96, 96), }".ljust(117) + "\n"
values = [i * 37 % 256 / 128 - 1 for i in range(3 * 96 * 96)]
open(sys.argv[1], "wb").write(b"\x93NUMPY\x01\x00" + struct.pack("<H", 118) + header.encode() +
                              struct.pack(f"<{len(values)}f", *values))
PYTHON
bin/carrel run m.carrel --key m.key --memory 2MiB --json --input in.npy -o own.npz > own.json

user=()
if ((EUID == 0)); then
  nobody=65534
  user=(setpriv --reuid "$nobody" --regid "$nobody" --clear-groups --no-new-privs)
  chown -R "$nobody" "$work"
fi
# run_limited NAME KIB_LOCKABLE: a run with so much lockable memory; leaves NAME.json and NAME.npz.
run_limited() {
  (ulimit -l "$2"; exec "${user[@]}" bin/carrel run m.carrel --key m.key --memory 2MiB --json --input in.npy \
    -o "$1.npz") > "$1.json" 2> "$1.err" || fail "$1: $(cat "$1.err")"
  [ ! -s "$1.err" ] || fail "$1 wrote to stderr: $(cat "$1.err")"
  cmp -s own.npz "$1.npz" || fail "$1: another answer"
}
notes() { grep '"protection_notes"' "$1.json"; }

run_limited ordinary 8192
run_limited unlockable 0
[ "$(notes own)" = "$(notes ordinary)" ] || fail "the default limits lose something: $(notes ordinary)"
[ "$(notes unlockable)" != "$(notes ordinary)" ] || fail "nothing says what is lost without lockable memory"
notes unlockable
# Nothing is left running.
! ls -l /proc/[0-9]*/exe 2> /dev/null | grep -qF "$work" || fail "a trusted process outlived its run"
