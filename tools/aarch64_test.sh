#!/bin/sh
# Builds the kernels of aarch64, the layout and their tests and runs them under qemu-user, on a processor with every
# extension and on one without dot products.
# Needs the Debian packages g++-aarch64-linux-gnu, qemu-user and googletest (sources). Slow test: about
# two minutes. usage: tools/aarch64_test.sh [BUILD_FOLDER]
set -eu
cd "$(dirname "$0")/.."
compiler=${CARREL_AARCH64_CXX:-aarch64-linux-gnu-g++}
gtest=${CARREL_GTEST_SOURCE:-/usr/src/googletest/googletest}
for needed in "$compiler" qemu-aarch64; do
  if ! command -v "$needed" > /dev/null; then
    echo "aarch64_test: $needed is not installed; skipped" >&2
    exit 77
  fi
done
if [ ! -f "$gtest/src/gtest-all.cc" ]; then
  echo "aarch64_test: no googletest sources in $gtest; skipped" >&2
  exit 77
fi

if [ $# -ge 1 ]; then
  out=$1
  mkdir -p "$out"
else
  out=$(mktemp -d)
  trap 'rm -rf "$out"' EXIT
fi

flags="-std=c++20 -O2 -ffp-contract=off -fno-math-errno -I. -I$gtest/include"
sources="base/result.cc base/format.cc base/cpu.cc base/vector_math_test.cc
  $(ls engine/layout/*.cc engine/kernels/rows/*.cc | grep -v -E '_(avx2|avxvnni|avx512|avx512vnni|fuzz|main)\.cc$')"
for source in $sources; do
  object="$out/$(echo "$source" | tr / _).o"
  case $source in  # as in cmake/rooms.cmake
    *_dotprod.cc) extensions=-march=armv8.2-a+dotprod ;;
    *_i8mm.cc) extensions=-march=armv8.2-a+dotprod+i8mm ;;
    *) extensions= ;;
  esac
  # shellcheck disable=SC2086
  $compiler $flags $extensions -c "$source" -o "$object"
done
for part in gtest-all gtest_main; do
  # shellcheck disable=SC2086
  [ -f "$out/$part.o" ] || $compiler $flags -I"$gtest" -c "$gtest/src/$part.cc" -o "$out/$part.o"
done
$compiler -static -pthread "$out"/*.o -o "$out/aarch64_tests"

# A processor that is said to have a kernel's instructions must have run its tests.
quantized=$(qemu-aarch64 -cpu max "$out/aarch64_tests" --gtest_list_tests --gtest_filter='*Quant*')
for extension in dotprod i8mm; do
  case $quantized in
    *_"$extension"*) ;;
    *) echo "aarch64_test: no test of $extension" >&2; exit 1 ;;
  esac
done
qemu-aarch64 -cpu max "$out/aarch64_tests" --gtest_brief=1
qemu-aarch64 -cpu cortex-a57 "$out/aarch64_tests" --gtest_brief=1 --gtest_filter='*Quant*:*quant*'
