/* SPDX-License-Identifier: Apache-2.0 */
/* bench_start.c: how long a member takes to start. A first process writes a million random keys
 * through a member on real files, takes a snapshot and ends; the run itself opens the directory,
 * recovers the log, verifies and loads the snapshot, until the member takes part and has every key.
 * Wall time, with the files in the page cache; no election is waited for. Start reading at
 * measure. */

#include <kvraft/node.h>
#include <kvraft/posix.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench_questions.h"

enum {
    PUTS_PER_TXN = 100,
    TXNS = BENCH_KEY_COUNT / PUTS_PER_TXN,
    UNDER_WAY_MAX = 64,
    PATIENCE = 1000000
};

typedef struct host {
    kvr_posix_disk *disk;
    kvr_node *node;
    uint64_t completed;
} host;

static void must(kvr_status status)
{
    if (status != KVR_OK) {
        bench_fail(kvr_status_text(status));
    }
}

static void on_completed(void *ctx, const kvr_completion *completion)
{
    host *self = ctx;
    must(completion->status);
    bench_require(completion->outcome == KVR_OUTCOME_DONE, "a write is done");
    self->completed++;
}

static void drop(void *ctx, const kvr_message *message)
{
    (void)ctx, (void)message;
}

static const kvr_node_sink sink = {.size = sizeof sink, .completed = on_completed};
static const kvr_transport nobody = {.size = sizeof nobody, .send = drop};

static void host_open(host *self, const char *directory)
{
    kvr_wal_config wal;
    kvr_posix_disk_config disk;
    kvr_node_config config;
    kvr_member member = {.id = 1};

    self->completed = 0;
    must(kvr_wal_config_init(&wal, sizeof wal));
    wal.cluster_id = 1;
    wal.member_id = 1;
    must(kvr_posix_disk_config_init(&disk, sizeof disk));
    disk.flags = KVR_POSIX_CREATE | KVR_POSIX_SYNCHRONOUS;
    disk.path = directory;
    disk.wal = &wal;
    must(kvr_posix_disk_new(&disk, &self->disk));
    kvr_status status = kvr_posix_disk_open(self->disk);
    bench_require(status == KVR_OK, kvr_posix_disk_error(self->disk));

    must(kvr_node_config_init(&config, sizeof config));
    kvr_node_config_set_local(&config);
    config.cluster_id = 1;
    config.member_id = 1;
    config.members = &member;
    config.member_count = 1;
    config.keep_entries = PUTS_PER_TXN;
    config.storage = kvr_posix_disk_storage();
    config.storage_ctx = self->disk;
    config.transport = &nobody;
    config.clock = kvr_posix_clock();
    config.sink = &sink;
    config.sink_ctx = self;
    must(kvr_node_new(&config, &self->node));
}

static void run(host *self)
{
    kvr_status status = kvr_node_run(self->node, 0);
    bench_require(status == KVR_OK || status == KVR_AGAIN, kvr_node_error(self->node));
}

/* What a disk does when nothing waits for it: old segments and snapshots go, new segments are
 * filled. */
static void maintain(host *self)
{
    kvr_status status;
    run(self);
    while ((status = kvr_posix_disk_perform(self->disk)) == KVR_AGAIN) {
    }
    bench_require(status == KVR_OK, kvr_posix_disk_error(self->disk));
}

static kvr_node_status status_of(const host *self)
{
    kvr_node_status status = {.size = sizeof status};
    kvr_node_get_status(self->node, &status);
    return status;
}

static void put_some(host *self, const bench_key *keys)
{
    uint8_t values[PUTS_PER_TXN][BENCH_VALUE_SIZE] = {{0}};
    kvr_op puts[PUTS_PER_TXN];
    kvr_txn txn = {.size = sizeof txn, .then_count = PUTS_PER_TXN, .then_ops = puts};
    kvr_op op = {.size = sizeof op, .kind = KVR_OP_TXN, .txn = &txn};

    for (size_t i = 0; i < PUTS_PER_TXN; i++) {
        puts[i] = (kvr_op){.size = sizeof puts[i],
                           .kind = KVR_OP_PUT,
                           .key = {(const uint8_t *)keys[i].text, BENCH_KEY_SIZE},
                           .value = {values[i], BENCH_VALUE_SIZE}};
    }
    must(kvr_node_write(self->node, NULL, &op));
}

/* The first process: ends with a directory whose newest snapshot holds every key. */
static void prepare(const char *directory, const bench_key *keys)
{
    host self;
    host_open(&self, directory);
    for (size_t i = 0; i < PATIENCE && status_of(&self).loading; i++) {
        run(&self);
    }
    must(kvr_node_campaign(self.node));
    for (uint64_t i = 0; i < TXNS; i++) {
        put_some(&self, keys + i * PUTS_PER_TXN);
        while (self.completed + UNDER_WAY_MAX < i + 2) {
            run(&self);
        }
    }
    while (self.completed < TXNS) {
        run(&self);
    }
    must(kvr_node_snapshot(self.node));
    uint64_t target = status_of(&self).raft.applied_index;
    while (status_of(&self).raft.snapshot_index < target) {
        run(&self);
    }
    maintain(&self);
    must(kvr_node_close(self.node));
    must(kvr_node_free(self.node));
    must(kvr_posix_disk_close(self.disk));
    kvr_posix_disk_free(self.disk);
}

static void measure(bench_run *bench)
{
    bench_key *keys = bench_keys_new(BENCH_KEY_COUNT, 1);
    const char *directory = bench_directory(bench);
    int status = 0;
    host self;

    pid_t child = fork();
    bench_require(child >= 0, "fork");
    if (child == 0) {
        prepare(directory, keys);
        _exit(0);
    }
    bench_require(waitpid(child, &status, 0) == child && status == 0, "preparing the directory");
    bench_settle(bench);

    uint64_t resident = bench_resident_bytes(), begin = bench_wall_ns(), cpu = bench_cpu_ns();
    host_open(&self, directory);
    for (size_t i = 0; i < PATIENCE && status_of(&self).loading; i++) {
        run(&self);
    }
    bench_report(bench, "milliseconds", (double)(bench_wall_ns() - begin) / 1e6);
    bench_report(bench, "cpu-ms", (double)(bench_cpu_ns() - cpu) / 1e6);
    bench_report(bench, "resident-bytes",
                 (double)(bench_resident_bytes() - resident) / BENCH_KEY_COUNT);

    bench_require(status_of(&self).store.live_keys == BENCH_KEY_COUNT, "every key is there");
    for (size_t i = 0; i < BENCH_KEY_COUNT; i++) {
        kvr_slice key = {(const uint8_t *)keys[i].text, BENCH_KEY_SIZE};
        kvr_kv kv;
        bench_require(kvr_node_get(self.node, &key, &kv), "each key is found");
    }
}

const bench_question bench_start = {
    "start",
    "start: 1 million keys in a snapshot, files in the page cache; wall time until it takes part",
    0,
    {{"kvraft", measure}},
    {{"start", "milliseconds", "ms", 0, BENCH_GOAL_AT_MOST, 500},
     {"start-cpu", "cpu-ms", "CPU-ms", 0, BENCH_GOAL_NONE, 0},
     {"start-bytes", "resident-bytes", "B/key", 0, BENCH_GOAL_NONE, 0}}};
