#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# soak.sh HOURS: fresh seeds through build/kvr-sim until the time is up. Each failing seed is one
# line with the command that replays it, kept in BUILD/log/soak.log. HOURS may be a fraction.
set -eu
hours=${1:?usage: soak.sh HOURS}
batch=${SOAK_BATCH:-2000}
log=$BUILD/log/soak.log
mkdir -p "$BUILD/log"
: >"$log"
start=$(date +%s)
end=$(awk -v now="$start" -v hours="$hours" 'BEGIN { printf "%d", now + hours * 3600 }')
# Seeds that no earlier soak took: they begin at the second of the start.
first=$((start * 1000000))
failed=0 batches=0
while [ "$(date +%s)" -lt "$end" ]; do
    last=$((first + batch - 1))
    "$BUILD/kvr-sim" --seeds "$first..$last" --jobs "$(nproc)" >"$log.batch" 2>&1 || {
        failed=$((failed + 1))
        tee -a "$log" <"$log.batch"
    }
    batches=$((batches + 1))
    first=$((last + 1))
done
rm -f "$log.batch"
seconds=$(($(date +%s) - start))
echo "soak: $((batches * batch)) seeds in $seconds s, $failed of $batches batches failed"
[ "$failed" -eq 0 ]
