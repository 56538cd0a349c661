#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# soak.sh HOURS LEDGER: fresh seeds, batch after batch, until the hours are over. Each batch is a line of the
# ledger; one that fails leaves its smallest run beside the build, and the next batch goes on. Before that, if
# there is time, the small scopes of kvr-explore are searched further than in check-full.
set -u
end=$(($(date +%s) + $(echo "$1" | awk '{ printf "%d", $1 * 3600 }')))
KVR_COMMIT=$(git rev-parse --short=12 HEAD 2>/dev/null || echo -)
export KVR_COMMIT
failed=0
batch=0
if [ "$(($(date +%s) + 3000))" -lt "$end" ]; then
    "$BUILD/kvr-explore" --states 10000000 || failed=1
fi
while [ "$(date +%s)" -lt "$end" ]; do
    batch=$((batch + 1))
    "$BUILD/kvr-sim" --fresh 1000 --jobs 2 --ledger "$2" --shrink "$BUILD/soak-$batch.run" ||
        failed=$((failed + 1))
done
echo "soak: $batch batches of 1000 seeds, $failed with a failure; noted in $2"
[ "$failed" -eq 0 ]
