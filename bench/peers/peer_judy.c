/* SPDX-License-Identifier: Apache-2.0 */
/* peer_judy.c: JudySL as an ordered map, asked twice. Bare, its best case, a key has one word: no
 * value, version, history or hash. With values the word points to a copy of 100 bytes from malloc,
 * as a program that keeps values needs it, and a read reads through it. */
#include <Judy.h>
#include <stdlib.h>
#include <string.h>

#include "peers.h"

enum { RANGE_KEYS = 100, RANGES = 20000 };

static void *map;

static PWord_t insert(const bench_key *key)
{
    PWord_t word = (PWord_t)JudySLIns(&map, (const uint8_t *)key->text, PJE0);
    bench_require(word != NULL && (void *)word != (void *)PPJERR, "JudySLIns");
    return word;
}

static PWord_t lookup(const bench_key *key)
{
    PWord_t word = (PWord_t)JudySLGet(map, (const uint8_t *)key->text, PJE0);
    bench_require(word != NULL, "JudySLGet");
    return word;
}

static uint64_t value_number(const PWord_t word)
{
    uint64_t number;
    memcpy(&number, (const void *)*word, sizeof number);
    return number;
}

/* ------------------------------------------------------------------ bare */

void peer_judy_bare_measure(bench_run *run)
{
    const size_t count = BENCH_KEY_COUNT;
    bench_key *keys = bench_keys_new(count, 1);
    bench_key *lookups = bench_keys_shuffled(keys, count, 2);
    uint8_t key[BENCH_KEY_SIZE + 1] = "";
    uint64_t sum = 0, seen = 0, resident = bench_resident_bytes(), begin = bench_cpu_ns();

    for (size_t i = 0; i < count; i++) {
        *insert(&keys[i]) = i + 1;
    }
    bench_report(run, "put-ns", (double)(bench_cpu_ns() - begin) / (double)count);
    bench_report(run, "resident-bytes",
                 (double)(bench_resident_bytes() - resident) / (double)count);

    begin = bench_cpu_ns();
    for (size_t i = 0; i < count; i++) {
        sum += *lookup(&lookups[i]);
    }
    bench_report(run, "get-ns", (double)(bench_cpu_ns() - begin) / (double)count);
    bench_require(sum == count * (count + 1) / 2, "JudySL: each key has its word");

    begin = bench_cpu_ns();
    for (PWord_t word = (PWord_t)JudySLFirst(map, key, PJE0); word != NULL;
         word = (PWord_t)JudySLNext(map, key, PJE0)) {
        sum += *word + key[0];
        seen++;
    }
    bench_report(run, "scan-ns", (double)(bench_cpu_ns() - begin) / (double)count);
    bench_require(seen == count, "JudySL: the scan sees each key");
    bench_consume(sum);
}

/* ------------------------------------------------------------------ with values */

static double put_all(const bench_key *keys, size_t count)
{
    uint8_t value[BENCH_VALUE_SIZE] = {0};
    uint64_t begin = bench_cpu_ns();
    for (size_t i = 0; i < count; i++) {
        PWord_t word = insert(&keys[i]);
        if (*word == 0) {
            *word = (Word_t)malloc(BENCH_VALUE_SIZE);
            bench_require(*word != 0, "memory for a value");
        }
        bench_value_fill(value, i + 1);
        memcpy((void *)*word, value, sizeof value);
    }
    return (double)(bench_cpu_ns() - begin) / (double)count;
}

static double range_all(const bench_key *lookups)
{
    uint8_t key[BENCH_KEY_SIZE + 1];
    uint64_t sum = 0, begin = bench_cpu_ns();
    for (size_t i = 0; i < RANGES; i++) {
        memcpy(key, lookups[i].text, sizeof key);
        PWord_t word = (PWord_t)JudySLFirst(map, key, PJE0);
        for (size_t n = 0; n < RANGE_KEYS && word != NULL; n++) {
            sum += value_number(word);
            word = (PWord_t)JudySLNext(map, key, PJE0);
        }
    }
    bench_consume(sum);
    return (double)(bench_cpu_ns() - begin) / RANGES;
}

void peer_judy_measure(bench_run *run)
{
    const size_t count = BENCH_KEY_COUNT;
    bench_key *keys = bench_keys_new(count, 1);
    bench_key *lookups = bench_keys_shuffled(keys, count, 2);
    uint64_t sum = 0, resident = bench_resident_bytes();

    bench_report(run, "put-ns", put_all(keys, count));
    bench_report(run, "resident-bytes",
                 (double)(bench_resident_bytes() - resident) / (double)count);
    uint64_t begin = bench_cpu_ns();
    for (size_t i = 0; i < count; i++) {
        sum += value_number(lookup(&lookups[i]));
    }
    bench_report(run, "get-ns", (double)(bench_cpu_ns() - begin) / (double)count);
    bench_require(sum == count * (count + 1) / 2, "JudySL: each key has its value");
    bench_report(run, "range-ns", range_all(lookups));
    bench_report(run, "overwrite-ns", put_all(lookups, count));
}
