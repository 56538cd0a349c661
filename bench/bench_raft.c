/* SPDX-License-Identifier: Apache-2.0 */
/* bench_raft.c: what one committed proposal costs. Three members in one process and one thread; a
 * message is bytes, encoded and checksummed by its sender and decoded by its receiver; the disk is
 * memory that was there before the clock starts, takes a copy of each entry, answers at once and is
 * read back at the end. Every member applies every proposal (adds a number up). Asked twice: with
 * logs that grow, and with logs that are compacted as the peer does it by default, each 1,024
 * entries, keeping 128: its costs differ much, so both are told. Start reading at measure. */
#include <kvraft/raft.h>
#include <stdlib.h>
#include <string.h>

#include "bench_questions.h"
#include "peers/peers.h"

enum {
    MEMBERS = 3,
    COMMAND_SIZE = 128,
    SNAPSHOT_EVERY = 1024,
    SNAPSHOT_KEEP = 128,
    RECORD_MAX = COMMAND_SIZE + 64, /* an entry on a disk */
    BATCH_MAX = 64
};

typedef struct member {
    kvr_raft *raft;
    uint64_t applied;
    uint64_t sum;
    uint64_t applied_index;
    uint64_t snapshot_index;
    uint8_t *disk;
    size_t disk_size;
    size_t disk_end;
    uint64_t disk_wraps; /* times that what a snapshot replaces was written over */
} member;

static member members[MEMBERS];
static bool compacts;
static uint64_t now_ns;
static uint64_t message_count;
static uint64_t message_bytes;

static void must(kvr_status status)
{
    if (status != KVR_OK) {
        bench_fail(kvr_status_text(status));
    }
}

/* ------------------------------------------------------------------ the host of one member */

/* Room for all entries, or for what compactions leave of them. A disk is there before it is
 * written, so its memory is touched before the clock starts. */
static void disk_new(member *self, uint64_t proposals)
{
    uint64_t entries = compacts ? SNAPSHOT_EVERY + SNAPSHOT_KEEP + 2 * BATCH_MAX : proposals;
    self->disk_size = (size_t)((entries + 2) * RECORD_MAX);
    self->disk = malloc(self->disk_size);
    bench_require(self->disk != NULL, "memory for a disk");
    memset(self->disk, 1, self->disk_size);
}

static void disk_append(member *self, const kvr_store_request *request)
{
    for (uint32_t i = 0; i < request->piece_count; i++) {
        const kvr_slice *piece = &request->pieces[i];
        if (piece->size > self->disk_size - self->disk_end) {
            bench_require(compacts && piece->size <= self->disk_size, "a disk is full");
            self->disk_end = 0;
            self->disk_wraps++;
        }
        memcpy(self->disk + self->disk_end, piece->data, piece->size);
        self->disk_end += piece->size;
    }
}

/* The sum of the numbers in the commands on a disk that keeps all: what a restart would find. */
static uint64_t disk_sum(const member *self)
{
    uint64_t sum = 0;
    for (size_t at = 0; at < self->disk_end;) {
        const uint8_t *header = self->disk + at; /* as kvraft-wal(5) says */
        uint32_t size;
        memcpy(&size, header + 32, sizeof size);
        if (header[3] == KVR_ENTRY_COMMAND) {
            uint64_t number;
            memcpy(&number, header + KVR_ENTRY_HEADER_SIZE, sizeof number);
            sum += number;
        }
        at += KVR_ENTRY_HEADER_SIZE + size;
    }
    return sum;
}

static void serve(member *self, const kvr_store_request *request)
{
    static kvr_store_result result = {.size = sizeof result, .free_bytes = UINT64_MAX};
    bench_require(request->kind != KVR_STORE_READ && request->kind != KVR_STORE_SNAPSHOT_READ,
                  "an entry is asked for that should be in memory");
    result.token = request->token;
    if (request->kind == KVR_STORE_APPEND) {
        disk_append(self, request);
    }
    must(kvr_raft_storage_done(self->raft, &result));
}

static void apply(member *self, const kvr_entry *entry)
{
    self->applied_index = entry->index;
    if (entry->kind == KVR_ENTRY_COMMAND) {
        uint64_t number;
        memcpy(&number, entry->command.data, sizeof number);
        self->sum += number;
        self->applied++;
    }
}

static void compact(member *self, uint64_t term)
{
    kvr_snapshot_meta meta = {
        .index = self->applied_index, .term = term, .bytes = sizeof self->sum};
    must(kvr_raft_configuration(self->raft, meta.index, &meta.configuration));
    must(kvr_raft_snapshotted(self->raft, &meta, SNAPSHOT_KEEP));
    self->snapshot_index = self->applied_index;
}

static void run(member *self)
{
    const kvr_raft_ready *ready;
    uint64_t term = 0;

    must(kvr_raft_ready_get(self->raft, now_ns, &ready));
    bench_require(ready->install == NULL, "a follower is behind");
    for (uint32_t i = 0; i < ready->message_count; i++) {
        message_count++;
        message_bytes += ready->messages[i].bytes.size;
        must(kvr_raft_receive(members[ready->messages[i].to - 1].raft, &ready->messages[i].bytes));
    }
    for (uint32_t i = 0; i < ready->request_count; i++) {
        serve(self, &ready->requests[i]);
    }
    for (uint32_t i = 0; i < ready->committed_count; i++) {
        apply(self, &ready->committed[i]);
        term = ready->committed[i].term;
    }
    if (ready->committed_count > 0) {
        must(kvr_raft_applied(self->raft, self->applied_index));
    }
    kvr_raft_advance(self->raft);
    if (compacts && self->applied_index - self->snapshot_index >= SNAPSHOT_EVERY) {
        compact(self, term);
    }
}

/* One turn for each member that has something to do; false if none had. */
static bool run_each(void)
{
    bool busy = false;
    for (unsigned i = 0; i < MEMBERS; i++) {
        if (kvr_raft_has_ready(members[i].raft)) {
            run(&members[i]);
            busy = true;
        }
    }
    return busy;
}

static void run_until_idle(void)
{
    while (run_each()) {
    }
}

/* ------------------------------------------------------------------ the measurement */

static void start(unsigned i)
{
    kvr_raft_config config;
    kvr_member configuration[MEMBERS] = {{.id = 1}, {.id = 2}, {.id = 3}};
    must(kvr_raft_config_init(&config, sizeof config));
    config.cluster_id = 1;
    config.member_id = i + 1;
    config.seed = 1;
    config.members = configuration;
    config.member_count = MEMBERS;
    must(kvr_raft_new(&config, &members[i].raft));
}

static bool leads(const member *self)
{
    kvr_raft_status status = {.size = sizeof status};
    kvr_raft_get_status(self->raft, &status);
    return status.role == KVR_ROLE_LEADER && status.own_term_committed == 1;
}

static void tick(uint64_t ns)
{
    now_ns += ns;
    for (unsigned i = 0; i < MEMBERS; i++) {
        run(&members[i]);
    }
    run_until_idle();
}

/* Proposes, and returns when the leader has applied it. */
static void propose(unsigned batch, uint64_t *number)
{
    uint8_t command[COMMAND_SIZE];
    kvr_slice slice = {command, sizeof command};
    kvr_raft_proposal proposal;
    for (unsigned i = 0; i < batch; i++) {
        memset(command, 'x', sizeof command);
        memcpy(command, number, sizeof *number);
        must(kvr_raft_propose(members[0].raft, &slice, &proposal));
        ++*number;
    }
    while (members[0].applied < *number) {
        bench_require(run_each(), "what is proposed is applied");
    }
}

static void measure(bench_run *bench)
{
    unsigned batch = (unsigned)bench_parameter(bench) & PARAMETER_BATCH_MASK;
    uint64_t rounds = batch == 1 ? 400000 : 1280000 / batch, number = 0;

    compacts = (bench_parameter(bench) & PARAMETER_COMPACT) != 0;
    for (unsigned i = 0; i < MEMBERS; i++) {
        disk_new(&members[i], (rounds + rounds / 10) * batch);
        start(i);
    }
    run_until_idle();
    must(kvr_raft_campaign(members[0].raft));
    for (int i = 0; i < 100 && !leads(&members[0]); i++) {
        tick(10000000);
    }
    bench_require(leads(&members[0]), "member 1 leads");

    for (uint64_t i = 0; i < rounds / 10; i++) {
        propose(batch, &number);
    }
    uint64_t warm = number, messages = message_count, bytes = message_bytes, begin = bench_cpu_ns();
    for (uint64_t i = 0; i < rounds; i++) {
        propose(batch, &number);
    }
    tick(200000000); /* a heartbeat tells the followers the last commit index */
    double spent = (double)(bench_cpu_ns() - begin), count = (double)(number - warm);

    for (unsigned i = 0; i < MEMBERS; i++) {
        bench_require(members[i].applied == number && members[i].sum == number * (number - 1) / 2,
                      "each member applied each proposal");
        bench_require(compacts ? members[i].disk_wraps > 0
                               : disk_sum(&members[i]) == members[i].sum,
                      "each disk took each entry");
        kvr_raft_free(members[i].raft);
    }
    bench_report(bench, "cpu-ns", spent / count);
    bench_report(bench, "rate", count * 1e9 / spent);
    bench_report(bench, "messages", (double)(message_count - messages) / count);
    bench_report(bench, "bytes", (double)(message_bytes - bytes) / count);
}

#define SIDES                                   \
    {                                           \
        {"kvraft", measure},                    \
        {                                       \
            "canonical/raft", peer_raft_measure \
        }                                       \
    }

const bench_question bench_raft_1 = {
    "consensus-1",
    "consensus: 3 members in memory, 128-byte commands, 1 at a time; CPU time of all three",
    1,
    SIDES,
    {{"consensus-1", "cpu-ns", "ns", 1, BENCH_GOAL_AT_MOST, 0.35},
     {"consensus-1-rate", "rate", "/CPU-s", 0, BENCH_GOAL_NONE, 0},
     {"consensus-1-messages", "messages", "/proposal", 0, BENCH_GOAL_NONE, 0},
     {"consensus-1-bytes", "bytes", "B/proposal", 0, BENCH_GOAL_NONE, 0}}};

const bench_question bench_raft_64 = {
    "consensus-64",
    "consensus: the same, 64 at a time",
    64,
    SIDES,
    {{"consensus-64", "cpu-ns", "ns", 1, BENCH_GOAL_AT_MOST, 0.25},
     {"consensus-64-rate", "rate", "/CPU-s", 0, BENCH_GOAL_NONE, 0},
     {"consensus-64-messages", "messages", "/proposal", 0, BENCH_GOAL_NONE, 0},
     {"consensus-64-bytes", "bytes", "B/proposal", 0, BENCH_GOAL_NONE, 0}}};

const bench_question bench_raft_compact_1 = {
    "consensus-compact-1",
    "consensus: 1 at a time, each 1,024 entries a compaction",
    1 | PARAMETER_COMPACT,
    SIDES,
    {{"consensus-compact-1", "cpu-ns", "ns", 1, BENCH_GOAL_AT_MOST, 0.35}}};

const bench_question bench_raft_compact_64 = {
    "consensus-compact-64",
    "consensus: 64 at a time, each 1,024 entries a compaction",
    64 | PARAMETER_COMPACT,
    SIDES,
    {{"consensus-compact-64", "cpu-ns", "ns", 1, BENCH_GOAL_AT_MOST, 0.25}}};
