#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# expect_report.sh WORDS COMMAND...: the command must fail and its output hold WORDS. For planted
# bugs.
set -eu
words=$1
shift
out=$(mktemp)
trap 'rm -f "$out"' EXIT
if "$@" >"$out" 2>&1; then
    cat "$out"
    echo "a planted bug was not found: $* succeeded"
    exit 1
fi
if ! grep -q "$words" "$out"; then
    cat "$out"
    echo "$* failed, but not with '$words'"
    exit 1
fi
echo "found as it must be: $words"
