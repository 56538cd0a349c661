#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A program that calls every public function except those of seal links libkvraft.a without libsodium:
# the program is made from the symbols of the objects, so that no module can be forgotten.
set -eu
dir=$BUILD/without-seal
mkdir -p "$dir"
objects=$(find "$BUILD/lib" -name '*.o' ! -path "$BUILD/lib/seal/*")
# shellcheck disable=SC2086
nm -A --defined-only $objects | awk '$2 == "T" && $3 ~ /^kvr_[^_]/ { print $3 }' | LC_ALL=C sort -u \
    >"$dir/functions.txt"
[ -s "$dir/functions.txt" ] || { echo "no public function found under $BUILD/lib"; exit 1; }
{
    sed 's/.*/void &(void);/' "$dir/functions.txt"
    echo 'void (*const called[])(void) = {'
    sed 's/.*/    &,/' "$dir/functions.txt"
    echo '};'
    echo 'int main(void) { return called[0] == 0; }'
} >"$dir/without_seal.c"
$CC -w -fno-builtin -o "$dir/without_seal" "$dir/without_seal.c" "$BUILD/libkvraft.a"
"$dir/without_seal"
if objdump -p "$dir/without_seal" | grep NEEDED | grep -v 'libc\.so'; then
    echo "needs more than the C library"
    exit 1
fi
echo "$(wc -l <"$dir/functions.txt") functions linked, the C library alone"
