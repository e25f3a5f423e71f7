#!/bin/sh
# Kernels have no branch and no address that depends on inputs or weights: memcheck's verdict on this build.
# usage: oblivious_kernels.sh PROGRAM      exit status 77: no valgrind here
set -u
program=$1
command -v valgrind > /dev/null || { echo "no valgrind: skipped"; exit 77; }
check() { valgrind --quiet --error-exitcode=9 --track-origins=no "$@"; }
check "$program" --leak > /dev/null 2>&1
[ $? -eq 9 ] || { echo "the check does not see a branch on a secret"; exit 1; }
check "$program"
