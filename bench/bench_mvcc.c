/* SPDX-License-Identifier: Apache-2.0 */
/* bench_mvcc.c: the store alone with a million random keys of 16 bytes and values of 100. A put is
 * a transaction of its own, with revision, version, history and hash. Reads are checked: each get
 * by its value, each scan and count by its number. Start reading at measure. */
#include <kvraft/mvcc.h>
#include <stdlib.h>
#include <string.h>

#include "bench_questions.h"
#include "peers/peers.h"

enum { RANGE_KEYS = 100, RANGES = 20000, COUNTS = 200000 };

static kvr_mvcc *store;

static void must(kvr_status status)
{
    if (status != KVR_OK) {
        bench_fail(kvr_status_text(status));
    }
}

static kvr_slice key_slice(const bench_key *key)
{
    return (kvr_slice){(const uint8_t *)key->text, BENCH_KEY_SIZE};
}

static const kvr_slice to_the_end = {(const uint8_t *)"", 1};

static double put_all(const bench_key *keys, size_t count)
{
    uint8_t value[BENCH_VALUE_SIZE] = {0};
    uint64_t begin = bench_cpu_ns();
    for (size_t i = 0; i < count; i++) {
        kvr_op op = {.size = sizeof op,
                     .kind = KVR_OP_PUT,
                     .key = key_slice(&keys[i]),
                     .value = {value, sizeof value}};
        bench_value_fill(value, i + 1);
        must(kvr_mvcc_apply(store, &op, NULL));
    }
    return (double)(bench_cpu_ns() - begin) / (double)count;
}

static double get_all(const bench_key *lookups, size_t count)
{
    uint64_t sum = 0, begin = bench_cpu_ns();
    for (size_t i = 0; i < count; i++) {
        kvr_slice key = key_slice(&lookups[i]);
        kvr_kv kv;
        uint64_t number;
        bench_require(kvr_mvcc_get(store, &key, &kv), "each key is there");
        memcpy(&number, kv.value.data, sizeof number);
        sum += number;
    }
    double spent = (double)(bench_cpu_ns() - begin) / (double)count;
    bench_require(sum == count * (count + 1) / 2, "each key has its value");
    return spent;
}

static double range_all(const kvr_mvcc_view *view, const bench_key *lookups)
{
    uint64_t sum = 0, begin = bench_cpu_ns();
    for (size_t i = 0; i < RANGES; i++) {
        kvr_range range = {
            .size = sizeof range, .key = key_slice(&lookups[i]), .range_end = to_the_end};
        kvr_mvcc_cursor cursor;
        kvr_kv kv;
        kvr_status status = KVR_OK;
        size_t n = 0;
        must(kvr_mvcc_cursor_init(&cursor, view, &range));
        while (n < RANGE_KEYS && (status = kvr_mvcc_cursor_next(&cursor, &kv)) == KVR_OK) {
            uint64_t number;
            bench_require(n > 0 || memcmp(kv.key.data, lookups[i].text, BENCH_KEY_SIZE) == 0,
                          "a range begins with its first key");
            memcpy(&number, kv.value.data, sizeof number);
            sum += number;
            n++;
        }
        bench_require(n == RANGE_KEYS || status == KVR_END, "a range has its keys");
    }
    bench_consume(sum);
    return (double)(bench_cpu_ns() - begin) / RANGES;
}

static double scan_all(const kvr_mvcc_view *view, size_t count)
{
    kvr_range range = {.size = sizeof range, .key = to_the_end, .range_end = to_the_end};
    kvr_mvcc_cursor cursor;
    kvr_kv kv;
    size_t seen = 0;
    uint64_t sum = 0, begin = bench_cpu_ns();
    must(kvr_mvcc_cursor_init(&cursor, view, &range));
    while (kvr_mvcc_cursor_next(&cursor, &kv) == KVR_OK) {
        sum += kv.mod_revision + kv.version + kv.key.data[0];
        seen++;
    }
    double spent = (double)(bench_cpu_ns() - begin) / (double)count;
    bench_require(seen == count, "the scan sees each key");
    bench_consume(sum);
    return spent;
}

static double count_all(const kvr_mvcc_view *view, const bench_key *lookups)
{
    uint64_t sum = 0, begin = bench_cpu_ns();
    for (size_t i = 0; i < COUNTS; i++) {
        const bench_key *a = &lookups[2 * i], *b = &lookups[2 * i + 1];
        bool upright = memcmp(a->text, b->text, BENCH_KEY_SIZE) < 0;
        kvr_range range = {.size = sizeof range,
                           .key = key_slice(upright ? a : b),
                           .range_end = key_slice(upright ? b : a)};
        uint64_t count;
        must(kvr_mvcc_count(view, &range, &count));
        bench_require(count > 0, "an interval holds its first key");
        sum += count;
    }
    bench_consume(sum);
    return (double)(bench_cpu_ns() - begin) / COUNTS;
}

static void measure(bench_run *run)
{
    const size_t count = BENCH_KEY_COUNT;
    bench_key *keys = bench_keys_new(count, 1);
    bench_key *lookups = bench_keys_shuffled(keys, count, 2);
    kvr_mvcc_config config;
    kvr_mvcc_view *view;

    must(kvr_mvcc_config_init(&config, sizeof config));
    uint64_t resident = bench_resident_bytes();
    must(kvr_mvcc_new(&config, &store));
    bench_report(run, "put-ns", put_all(keys, count));
    double grown = (double)(bench_resident_bytes() - resident) / (double)count;
    bench_report(run, "resident-bytes", grown);
    bench_report(run, "overhead-bytes", grown - BENCH_KEY_SIZE - BENCH_VALUE_SIZE);
    bench_report(run, "get-ns", get_all(lookups, count));

    must(kvr_mvcc_view_open(store, &view));
    bench_report(run, "range-ns", range_all(view, lookups));
    double scan = scan_all(view, count);
    bench_report(run, "scan-ns", scan);
    bench_report(run, "scan-rate", 1e9 / scan);
    bench_report(run, "count-ns", count_all(view, lookups));
    kvr_mvcc_view_free(view);

    bench_report(run, "overwrite-ns", put_all(lookups, count));
    kvr_mvcc_free(store);
}

const bench_question bench_mvcc = {
    "mvcc",
    "mvcc: 1 million random keys, 16-byte keys, 100-byte values; CPU time",
    0,
    {{"kvraft", measure},
     {"JudySL bare", peer_judy_bare_measure},
     {"JudySL", peer_judy_measure},
     {"LMDB", peer_lmdb_measure}},
    {{"mvcc-put", "put-ns", "ns", 1, BENCH_GOAL_AT_MOST, 2.0},
     {"mvcc-put-value", "put-ns", "ns", 2, BENCH_GOAL_NONE, 0},
     {"mvcc-put-lmdb", "put-ns", "ns", 3, BENCH_GOAL_NONE, 0},
     {"mvcc-overwrite", "overwrite-ns", "ns", 2, BENCH_GOAL_NONE, 0},
     {"mvcc-overwrite-lmdb", "overwrite-ns", "ns", 3, BENCH_GOAL_NONE, 0},
     {"mvcc-get", "get-ns", "ns", 2, BENCH_GOAL_AT_MOST, 1.0},
     {"mvcc-get-bare", "get-ns", "ns", 1, BENCH_GOAL_NONE, 0},
     {"mvcc-get-lmdb", "get-ns", "ns", 3, BENCH_GOAL_NONE, 0},
     {"mvcc-range-100", "range-ns", "ns", 2, BENCH_GOAL_NONE, 0},
     {"mvcc-range-100-lmdb", "range-ns", "ns", 3, BENCH_GOAL_NONE, 0},
     {"mvcc-scan", "scan-ns", "ns/key", 1, BENCH_GOAL_NONE, 0},
     {"mvcc-scan-lmdb", "scan-ns", "ns/key", 3, BENCH_GOAL_NONE, 0},
     {"mvcc-scan-rate", "scan-rate", "keys/CPU-s", 0, BENCH_GOAL_AT_LEAST, 20e6},
     {"mvcc-count", "count-ns", "ns", 0, BENCH_GOAL_AT_MOST, 5000},
     {"mvcc-bytes", "resident-bytes", "B/key", 2, BENCH_GOAL_NONE, 0},
     {"mvcc-bytes-overhead", "overhead-bytes", "B/key", 0, BENCH_GOAL_AT_MOST, 100}}};
