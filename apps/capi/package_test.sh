#!/bin/bash
# Makes the Debian package, unpacks it into an empty folder, and runs the command and a C program from there.
# Usage: package_test.sh BUILD_FOLDER C_COMPILER      exit status 77: no tools for Debian packages here
set -euo pipefail
build=$1
cc=$2
command -v dpkg-deb > /dev/null && command -v dpkg-shlibdeps > /dev/null || { echo "no dpkg tools: skipped"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
flags=$(grep -E '^CMAKE_CXX_FLAGS:' "$build/CMakeCache.txt" | cut -d= -f2- | grep -oE -- '-fsanitize=[a-z,]+' || true)
fail() { echo "$1"; exit 1; }

cd "$work"
cpack -G DEB -B "$work/package" --config "$build/CPackConfig.cmake" > cpack.log 2>&1 || { cat cpack.log; exit 1; }
dpkg-deb -x package/carrel_*.deb root
usr=$work/root/usr
[ -s "$usr/share/doc/carrel/copyright" ] || fail "no copyright"
enclave=$usr/libexec/carrel/carrel-enclave
[ "$(stat -c %a "$enclave")" = 711 ] || fail "permissions of carrel-enclave: $(stat -c %a "$enclave")"
for program in "$enclave" "$usr/bin/carrel"; do
  [ -z "$(nm "$program" 2> /dev/null)" ] || fail "$program is not stripped"
done

export PATH=$usr/bin:$PATH
carrel zoo mobilenetv1 --width 0.25 --resolution 96 -o m.onnx
carrel keygen -o m.key
carrel seal m.onnx -o m.carrel --key m.key --memory 4MiB
# A picture of one grey pixel.
python3 -c 'import struct, sys, zlib
def chunk(kind, data): return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
sys.stdout.buffer.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)) +
                        chunk(b"IDAT", zlib.compress(b"\0\x80\x80\x80")) + chunk(b"IEND", b""))' > grey.png
carrel run m.carrel --key m.key --memory 4MiB --input grey.png

PKG_CONFIG_PATH=$(dirname "$(find "$usr" -name carrel.pc)")
export PKG_CONFIG_PATH LD_LIBRARY_PATH=${PKG_CONFIG_PATH%/pkgconfig}
read -r -a pkg < <(pkg-config --cflags --libs carrel)
"$cc" -std=c11 $flags "$usr/share/doc/carrel/examples/classify.c" -o classify "${pkg[@]}"
./classify m.carrel m.key
