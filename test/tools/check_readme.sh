#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# README.md's first C program is built as it stands and run; it must succeed and print something.
set -eu
dir=$BUILD/readme
mkdir -p "$dir"
awk '/^```c$/ { inside = 1; next } /^```/ { if (inside) exit } inside' README.md >"$dir/readme.c"
[ -s "$dir/readme.c" ] || { echo "README.md holds no C program (a block after \`\`\`c)"; exit 1; }
$CC -std=c11 -Wall -Wextra -Wpedantic -Werror -Iinclude -o "$dir/readme" "$dir/readme.c" \
    "$BUILD/libkvraft.a"
cd "$dir"
./readme | tee out
[ -s out ] || { echo "it printed nothing"; exit 1; }
