/* SPDX-License-Identifier: Apache-2.0 */
/* peer_judy.c: JudySL as an ordered map, keys only and one word a key: no copy of the value, no
 * version, no history, no hash. That is less than kvr_mvcc does for a put, and JudySL's best case. */
#include <Judy.h>
#include <stdlib.h>
#include <string.h>

#include "peers.h"

static void *map;

static void insert_all(const bench_key *keys, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        PWord_t word = (PWord_t)JudySLIns(&map, (const uint8_t *)keys[i].text, PJE0);
        bench_require(word != NULL && (void *)word != (void *)PPJERR, "JudySLIns");
        *word = i + 1;
    }
}

static uint64_t lookup_all(const bench_key *keys, size_t count)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        PWord_t word = (PWord_t)JudySLGet(map, (const uint8_t *)keys[i].text, PJE0);
        bench_require(word != NULL, "JudySLGet");
        sum += *word;
    }
    return sum;
}

static size_t scan_all(uint64_t *out_sum)
{
    uint8_t key[BENCH_KEY_SIZE + 1] = "";
    size_t count = 0;
    for (PWord_t word = (PWord_t)JudySLFirst(map, key, PJE0); word != NULL;
         word = (PWord_t)JudySLNext(map, key, PJE0)) {
        *out_sum += *word + key[0];
        count++;
    }
    return count;
}

void peer_judy_measure(bench_run *run)
{
    const size_t count = BENCH_KEY_COUNT;
    bench_key *keys = bench_keys_new(count, 1);
    bench_key *lookups = bench_keys_shuffled(keys, count, 2);
    uint64_t sum = 0;

    uint64_t resident = bench_resident_bytes();
    uint64_t begin = bench_cpu_ns();
    insert_all(keys, count);
    uint64_t end = bench_cpu_ns();
    bench_report(run, "put-ns", (double)(end - begin) / (double)count);
    bench_report(run, "resident-bytes", (double)(bench_resident_bytes() - resident) / (double)count);

    begin = bench_cpu_ns();
    sum = lookup_all(lookups, count);
    end = bench_cpu_ns();
    bench_require(sum == count * (count + 1) / 2, "JudySL: each key has its word");
    bench_report(run, "get-ns", (double)(end - begin) / (double)count);

    begin = bench_cpu_ns();
    bench_require(scan_all(&sum) == count, "JudySL: the scan sees each key");
    end = bench_cpu_ns();
    bench_report(run, "scan-ns", (double)(end - begin) / (double)count);

    begin = bench_cpu_ns();
    insert_all(lookups, count);
    end = bench_cpu_ns();
    bench_report(run, "overwrite-ns", (double)(end - begin) / (double)count);
    bench_consume(sum);
}
