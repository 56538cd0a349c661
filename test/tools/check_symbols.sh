#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The shared library exports what test/unit/abi/symbols.txt lists, no more and no less: a change of
# the ABI is a visible diff. With KVR_ACCEPT=1 the list is rewritten.
set -eu
list=test/unit/abi/symbols.txt
now=$BUILD/symbols.txt
nm -D --defined-only "$BUILD/libkvraft.so.0" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' |
    LC_ALL=C sort >"$now"
if [ "${KVR_ACCEPT:-0}" = 1 ]; then
    mkdir -p "${list%/*}"
    cp "$now" "$list"
    echo "accepted $(wc -l <"$list") symbols"
    exit 0
fi
if ! diff -u "$list" "$now"; then
    echo "$list: exported symbols changed; if that is meant: make accept, and review the diff"
    exit 1
fi
soname=$(objdump -p "$BUILD/libkvraft.so.0" | awk '$1 == "SONAME" { print $2 }')
[ "$soname" = libkvraft.so.0 ] || { echo "soname is '$soname', not libkvraft.so.0"; exit 1; }
echo "$(wc -l <"$list") symbols, as listed"
