#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Each public header compiles alone, and twice, as C11 and as C++11; each internal one alone as C11.
set -eu
flags="-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror -Iinclude -fsyntax-only"
program=$BUILD/header_alone.c
passed=0 failed=0

try() { # try WHAT COMPILER FLAG...
    what=$1
    shift
    # shellcheck disable=SC2086
    if "$@" $flags "$program"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAIL $what"
    fi
}

for header in include/kvraft/*.h; do
    name=${header#include/}
    printf '#include <%s>\n#include <%s>\n' "$name" "$name" >"$program"
    try "$name as C11" $CC -std=c11 -x c
    try "$name as C++11" $CXX -std=c++11 -x c++
done
for header in lib/*/*.h; do
    printf '#include "%s"\nextern int unused;\n' "${header#lib/}" >"$program"
    try "$header as C11" $CC -std=c11 -Ilib -x c
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
