#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A program that names every public function except those of seal links libkvraft.a without
# libsodium: the program is made from the symbols of the archive, so that no module can be
# forgotten.
set -eu
dir=$BUILD/without-seal
mkdir -p "$dir"
nm -A --defined-only "$BUILD/libkvraft.a" | grep -v ':seal[a-z_]*\.o:' |
    awk '$2 == "T" && $3 ~ /^kvr_[^_]/ { print $3 }' | LC_ALL=C sort -u >"$dir/functions.txt"
[ -s "$dir/functions.txt" ] || { echo "no public function found in $BUILD/libkvraft.a"; exit 1; }
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
