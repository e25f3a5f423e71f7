#!/bin/bash
# Installs the build into an empty folder, builds examples/classify.c against it with pkg-config and with
# find_package, and runs it on a small sealed network. Usage: install_test.sh BUILD_FOLDER C_COMPILER
set -euo pipefail
build=$1
cc=$2
source=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Sanitized libraries need a sanitized program; the example is built as the library was.
flags=$(grep -E '^CMAKE_CXX_FLAGS:' "$build/CMakeCache.txt" | cut -d= -f2- | grep -oE -- '-fsanitize=[a-z,]+' || true)

cmake --install "$build" --prefix "$work/root" > "$work/install.log"
export PATH=$work/root/bin:$PATH
export PKG_CONFIG_PATH=$(dirname "$(find "$work/root" -name carrel.pc)")
export LD_LIBRARY_PATH=$(dirname "$PKG_CONFIG_PATH")
cd "$work"
carrel zoo mobilenetv1 --width 0.25 --resolution 96 -o m.onnx
carrel keygen -o m.key
carrel seal m.onnx -o m.carrel --key m.key

read -r -a pkg < <(pkg-config --cflags --libs carrel)
"$cc" -std=c11 -Wall -Wextra -Werror $flags "$source/examples/classify.c" -o classify "${pkg[@]}"
with_pkg_config=$(./classify m.carrel m.key)

mkdir project && cd project
cat > CMakeLists.txt <<'CMAKE'
cmake_minimum_required(VERSION 3.25)
project(embed C)
find_package(carrel REQUIRED)
add_executable(classify ${EXAMPLE})
target_link_libraries(classify carrel::carrel)
CMAKE
cmake -B build -DCMAKE_PREFIX_PATH="$work/root" -DEXAMPLE="$source/examples/classify.c" -DCMAKE_C_FLAGS="$flags" > cmake.log
cmake --build build > build.log
with_cmake=$(build/classify ../m.carrel ../m.key)
cd ..

[ "$with_pkg_config" = "$with_cmake" ] || { echo "different answers: $with_pkg_config / $with_cmake"; exit 1; }
case $with_pkg_config in "class "*"trusted memory "*) ;; *) echo "unexpected: $with_pkg_config"; exit 1 ;; esac
# Refusals are one line and exit status 1: a wrong key, and a model with more outputs than the example has room for.
refused() {
  if ./classify "$@" 2> error.txt; then echo "accepted: $*"; exit 1; fi
  [ "$(wc -l < error.txt)" = 1 ] || { cat error.txt; exit 1; }
}
carrel keygen -o other.key
refused m.carrel other.key
PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$source/tests/hostile python3 - <<'PYTHON'
from onnx_bytes import model, node, value
relu, neg = node("Relu", ["x"], ["y"]), node("Neg", ["x"], ["z"])
x, y, z = value(11, "x", [4, 3, 8, 8]), value(12, "y", [4, 3, 8, 8]), value(12, "z", [4, 3, 8, 8])
open("two.onnx", "wb").write(model([relu, neg, x, y, z]))
open("four.onnx", "wb").write(model([relu, x, y]))
PYTHON
for network in two four; do carrel seal $network.onnx -o $network.carrel --key m.key; done
refused two.carrel m.key
./classify four.carrel m.key
carrel inspect four.carrel > seen.txt
grep -q '(4x3x8x8)' seen.txt || { cat seen.txt; exit 1; }
# Only the C API is visible.
leaked=$(nm -D --defined-only "$work"/root/lib*/libcarrel.so* "$work"/root/lib/*/libcarrel.so* 2>/dev/null | awk '$2 ~ /[TDB]/ {print $3}' | grep -v '^carrel_' || true)
[ -z "$leaked" ] || { echo "exported beyond the API: $leaked"; exit 1; }
echo "$with_pkg_config"
