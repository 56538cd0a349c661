#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Each public header compiles alone, and twice, as C11 and as C++11; each internal one alone as C11.
set -eu
flags="-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror -Iinclude -fsyntax-only"
passed=0 failed=0

try() { # try WHAT COMMAND...: the program is read from standard input
    what=$1
    shift
    if "$@"; then passed=$((passed + 1)); else failed=$((failed + 1)) && echo "FAIL $what"; fi
}

for header in include/kvraft/*.h; do
    name=${header#include/}
    program="#include <$name>
#include <$name>"
    echo "$program" | try "$name as C11" $CC -std=c11 $flags -x c -
    echo "$program" | try "$name as C++11" ${CXX:-g++} -std=c++11 $flags -x c++ -
done
for header in lib/*/*.h; do
    echo "#include \"${header#lib/}\"" | try "$header as C11" $CC -std=c11 $flags -Ilib -x c -
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
