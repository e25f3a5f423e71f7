#!/usr/bin/env bash
# carrel-unsealed gives the command's bits, and the command takes none of its files. Arguments: carrel, carrel-unsealed.
set -euo pipefail
carrel=$1 unsealed=$2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"$carrel" zoo mobilenetv1 --width 0.25 --resolution 64 -o m.onnx >/dev/null
"$carrel" keygen -o k.key >/dev/null
python3 - <<'PYTHON'
import array
header = "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 3, 64, 64), }"
header += " " * (117 - len(header)) + "\n"
values = array.array("f", (i % 23 / 11.5 - 1 for i in range(3 * 64 * 64)))
open("x.npy", "wb").write(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + values.tobytes())
PYTHON
for kind in carrel unsealed; do
  "${!kind}" seal m.onnx -o "m.$kind" --key k.key --memory 1MiB >/dev/null
  "${!kind}" run "m.$kind" --key k.key --memory 1MiB --input x.npy -o "$kind.npy" --platform inproc >/dev/null 2>&1
done
cmp carrel.npy unsealed.npy
if "$carrel" verify m.unsealed --key k.key >/dev/null 2>&1; then
  echo "carrel accepts an unsealed model" >&2
  exit 1
fi
