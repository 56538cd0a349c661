#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# run_address.sh PROGRAM ARG...: runs a program of the address build. Criterion lets a leak pass,
# since it is found after the test said that it passed: so every report goes to a file, and a file
# is a failure.
set -eu
logs=$BUILD/reports/$(basename "$1")
rm -rf "$logs"
mkdir -p "$logs"
case $logs in /*) ;; *) logs=$PWD/$logs ;; esac
export ASAN_OPTIONS="log_path=$logs/report:detect_leaks=1:allocator_may_return_null=1"
export LSAN_OPTIONS="report_objects=1"
export UBSAN_OPTIONS="print_stacktrace=1:log_path=$logs/report"
status=0
"$@" || status=$?
for report in "$logs"/report*; do
    [ -e "$report" ] || continue
    cat "$report"
    status=1
done
exit $status
