/* SPDX-License-Identifier: Apache-2.0 */
/* bench_wal.c: appends to the log on real files. A batch is 1, 8 or 64 requests of one entry each,
 * given to one kvr_wal_execute, as they wait for a disk that is busy. Time is wall time, because
 * the disk is what is waited for; the entries are made before. The peer writes as many bytes a
 * batch as we did, record headers included. Start reading at measure. */
#include <kvraft/posix.h>
#include <kvraft/wal.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "bench_questions.h"
#include "peers/peers.h"

enum { COMMAND_SIZE = 128, ENTRY_SIZE = KVR_ENTRY_HEADER_SIZE + COMMAND_SIZE, BATCH_MAX = 64 };
enum { BATCHES = 3000 };

static void must(kvr_status status)
{
    if (status != KVR_OK) {
        bench_fail(kvr_status_text(status));
    }
}

static void put_number(uint8_t *at, uint64_t value, unsigned size)
{
    for (unsigned i = 0; i < size; i++) {
        at[i] = (uint8_t)(value >> (8 * i));
    }
}

/* The layout of host.h. */
static void entry_make(uint8_t bytes[ENTRY_SIZE], uint64_t index)
{
    memset(bytes, 0, KVR_ENTRY_HEADER_SIZE);
    memset(bytes + KVR_ENTRY_HEADER_SIZE, 'x', COMMAND_SIZE);
    put_number(bytes + KVR_ENTRY_HEADER_SIZE, index, 8);
    put_number(bytes, KVR_ENTRY_HEADER_SIZE, 2);
    bytes[2] = 1;
    bytes[3] = KVR_ENTRY_COMMAND;
    put_number(bytes + 8, index, 8);
    put_number(bytes + 16, 1, 8);
    put_number(bytes + 32, COMMAND_SIZE, 4);
    put_number(bytes + 40, XXH3_64bits(bytes + KVR_ENTRY_HEADER_SIZE, COMMAND_SIZE), 8);
    put_number(bytes + 48, XXH3_64bits(bytes, 48), 8);
}

static uint8_t *entries_make(size_t count)
{
    uint8_t *entries = malloc(count * ENTRY_SIZE);
    bench_require(entries != NULL, "memory for entries");
    for (size_t i = 0; i < count; i++) {
        entry_make(entries + i * ENTRY_SIZE, i + 1);
    }
    return entries;
}

static kvr_wal *wal_open(kvr_posix_directory *directory)
{
    kvr_wal_config config;
    kvr_wal *wal;
    kvr_status status;

    must(kvr_wal_config_init(&config, sizeof config));
    config.flags = KVR_WAL_CREATE;
    config.cluster_id = 1;
    config.member_id = 1;
    config.files = kvr_posix_file_ops();
    config.files_ctx = directory;
    config.entropy = kvr_posix_entropy();
    must(kvr_wal_new(&config, &wal));
    status = kvr_wal_open(wal);
    bench_require(status == KVR_OK, kvr_wal_error(wal));
    while ((status = kvr_wal_maintain(wal)) == KVR_AGAIN) {
    }
    must(status);
    return wal;
}

static void vote(kvr_wal *wal)
{
    kvr_store_request request = {.size = sizeof request,
                                 .kind = KVR_STORE_VOTE,
                                 .token = 1,
                                 .term = 1,
                                 .voted_for = 1,
                                 .incarnation = 1};
    kvr_store_result result = {.size = sizeof result};
    must(kvr_wal_execute(wal, &request, 1, &result));
    must(result.status);
}

static void append(kvr_wal *wal, const uint8_t *entries, uint64_t first, uint32_t count)
{
    static kvr_store_request requests[BATCH_MAX];
    static kvr_store_result results[BATCH_MAX];
    kvr_slice pieces[BATCH_MAX];

    for (uint32_t i = 0; i < count; i++) {
        pieces[i] = (kvr_slice){entries + i * ENTRY_SIZE, ENTRY_SIZE};
        requests[i] = (kvr_store_request){.size = sizeof requests[i],
                                          .kind = KVR_STORE_APPEND,
                                          .token = first + i,
                                          .first_index = first + i,
                                          .last_index = first + i,
                                          .last_term = 1,
                                          .pieces = &pieces[i],
                                          .piece_count = 1,
                                          .entry_count = 1};
        results[i].size = sizeof results[i];
    }
    must(kvr_wal_execute(wal, requests, count, results));
    for (uint32_t i = 0; i < count; i++) {
        must(results[i].status);
    }
}

static void measure(bench_run *run)
{
    uint32_t batch = (uint32_t)bench_parameter(run);
    uint8_t *entries = entries_make((size_t)BATCHES * batch);
    kvr_posix_directory *directory;
    kvr_wal_status before = {.size = sizeof before}, after = {.size = sizeof after};

    must(kvr_posix_directory_new(NULL, NULL, &directory));
    must(kvr_posix_directory_open(directory, bench_directory(run), 0));
    kvr_wal *wal = wal_open(directory);
    vote(wal);

    kvr_wal_get_status(wal, &before);
    uint64_t begin = bench_wall_ns(), cpu = bench_cpu_ns();
    for (size_t i = 0; i < BATCHES; i++) {
        append(wal, entries + i * batch * ENTRY_SIZE, i * batch + 1, batch);
    }
    double spent = (double)(bench_wall_ns() - begin), spent_cpu = (double)(bench_cpu_ns() - cpu);
    kvr_wal_get_status(wal, &after);

    double entry_bytes = (double)BATCHES * batch * ENTRY_SIZE;
    bench_require(after.last_index == (uint64_t)BATCHES * batch, "every entry is durable");
    bench_report(run, "batches", BATCHES);
    bench_report(run, "entry-bytes", entry_bytes);
    bench_report(run, "written-bytes", (double)(after.written_bytes - before.written_bytes));
    bench_report(run, "megabytes-per-second", entry_bytes * 1e3 / spent);
    bench_report(run, "cpu-us", spent_cpu / 1e3 / BATCHES);
    bench_report(run, "flushes", (double)(after.flushes - before.flushes) / BATCHES);
    must(kvr_wal_close(wal));
    kvr_wal_free(wal);
    kvr_posix_directory_free(directory);
}

#define SIDES                                    \
    {                                            \
        {"kvraft", measure},                     \
        {                                        \
            "pwrite+fdatasync", peer_wal_measure \
        }                                        \
    }

const bench_question bench_wal_1 = {
    "wal-1",
    "wal: 1 append a batch, 128-byte commands; bytes of entries, wall time",
    1,
    SIDES,
    {{"wal-1", "megabytes-per-second", "MB/s", 1, BENCH_GOAL_NONE, 0},
     {"wal-1-cpu", "cpu-us", "us/batch", 1, BENCH_GOAL_NONE, 0},
     {"wal-1-flushes", "flushes", "/batch", 0, BENCH_GOAL_AT_MOST, 1}}};

const bench_question bench_wal_8 = {
    "wal-8",
    "wal: 8 appends a batch",
    8,
    SIDES,
    {{"wal-8", "megabytes-per-second", "MB/s", 1, BENCH_GOAL_NONE, 0},
     {"wal-8-cpu", "cpu-us", "us/batch", 1, BENCH_GOAL_NONE, 0},
     {"wal-8-flushes", "flushes", "/batch", 0, BENCH_GOAL_AT_MOST, 1}}};

const bench_question bench_wal_64 = {
    "wal-64",
    "wal: 64 appends a batch",
    64,
    SIDES,
    {{"wal-64", "megabytes-per-second", "MB/s", 1, BENCH_GOAL_AT_LEAST, 0.9},
     {"wal-64-cpu", "cpu-us", "us/batch", 1, BENCH_GOAL_NONE, 0},
     {"wal-64-flushes", "flushes", "/batch", 0, BENCH_GOAL_AT_MOST, 1}}};
