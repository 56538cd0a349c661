#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# check_same_trace.sh SIM OTHER: the same seeds tell the same story, event by event, when they are
# run twice and when another compiler built the simulator.
set -eu
dir=$BUILD/traces
mkdir -p "$dir"
story() { # story PROGRAM FILE: the events and hashes, without the summary's CPU seconds
    "$1" --seeds 1..50 --verbose >"$2.all"
    sed '$d' "$2.all" >"$2"
    rm "$2.all"
}
story "$1" "$dir/first"
story "$1" "$dir/again"
story "$2" "$dir/other"
for other in again other; do
    if ! cmp "$dir/first" "$dir/$other"; then
        diff "$dir/first" "$dir/$other" | head -20
        exit 1
    fi
done
hashes=$(grep -c '^seed [0-9]* trace [0-9a-f]*$' "$dir/first")
[ "$hashes" -eq 50 ] || { echo "50 seeds, but $hashes trace hashes"; exit 1; }
echo "50 seeds, $(wc -l <"$dir/first") lines, the same each time; the last: $(tail -1 "$dir/first")"
rm -r "$dir"
