/* SPDX-License-Identifier: Apache-2.0 */
/* peer_raft.c: three members of canonical/raft in one process, over the smallest raft_io that keeps
 * its contract: memory for a disk, one queue for a network. Messages travel as structs, with the
 * entries of an AppendEntries copied once into one batch, as its own uv transport hands them over;
 * nothing is encoded, checksummed or decoded. Completions and messages wait in the queue until the
 * call that made them has returned, because raft is not re-entrant.
 * Start reading at peer_raft_measure. */
#include <limits.h>
#include <raft.h>
#include <stdlib.h>
#include <string.h>

#include "peers.h"

enum { MEMBERS = 3, QUEUE_SIZE = 256, COMMAND_SIZE = 128, BATCH_MAX = 64 };

typedef struct member {
    struct raft raft;
    struct raft_io io;
    struct raft_fsm fsm;
    raft_io_tick_cb tick;
    raft_io_recv_cb receive;
    uint64_t applied;
    uint64_t sum;
} member;

enum { EVENT_APPENDED, EVENT_SENT, EVENT_SNAPSHOT_PUT };

typedef struct event {
    int kind;
    union {
        struct raft_io_append *append;
        struct raft_io_snapshot_put *snapshot_put;
        struct raft_io_send *send;
    } request;
    raft_io_append_cb appended;
    raft_io_send_cb sent;
    raft_io_snapshot_put_cb snapshot_done;
    member *to;
    struct raft_message message;
} event;

static member members[MEMBERS];
static const char *const addresses[MEMBERS] = {"1", "2", "3"};
static event queue[QUEUE_SIZE];
static unsigned queue_head, queue_tail;
static raft_time now;
static unsigned completed;

static event *queue_push(int kind)
{
    bench_require(queue_tail - queue_head < QUEUE_SIZE, "canonical/raft: queue is full");
    event *e = &queue[queue_tail++ % QUEUE_SIZE];
    e->kind = kind;
    return e;
}

static void run_until_idle(void)
{
    while (queue_head != queue_tail) {
        event e = queue[queue_head++ % QUEUE_SIZE];
        if (e.kind == EVENT_APPENDED) {
            e.appended(e.request.append, 0);
        } else if (e.kind == EVENT_SNAPSHOT_PUT) {
            e.snapshot_done(e.request.snapshot_put, 0);
        } else {
            e.sent(e.request.send, 0);
            e.to->receive(&e.to->io, &e.message);
        }
    }
}

/* ------------------------------------------------------------------ raft_io */

static int io_init(struct raft_io *io, raft_id id, const char *address)
{
    (void)io, (void)id, (void)address;
    return 0;
}

static void io_close(struct raft_io *io, raft_io_close_cb cb)
{
    cb(io);
}

/* Each member starts as if it had been bootstrapped: term 1, and a log of one configuration. */
static int io_load(struct raft_io *io, raft_term *term, raft_id *voted_for,
                   struct raft_snapshot **snapshot, raft_index *start_index,
                   struct raft_entry *entries[], size_t *n_entries)
{
    struct raft_configuration configuration;
    (void)io;
    raft_configuration_init(&configuration);
    for (unsigned i = 0; i < MEMBERS; i++) {
        bench_require(raft_configuration_add(&configuration, i + 1, addresses[i], RAFT_VOTER) == 0,
                      "raft_configuration_add");
    }
    *entries = raft_calloc(1, sizeof **entries);
    (*entries)->term = 1;
    (*entries)->type = RAFT_CHANGE;
    bench_require(raft_configuration_encode(&configuration, &(*entries)->buf) == 0,
                  "raft_configuration_encode");
    (*entries)->batch = (*entries)->buf.base;
    raft_configuration_close(&configuration);
    *n_entries = 1;
    *term = 1;
    *voted_for = 0;
    *snapshot = NULL;
    *start_index = 1;
    return 0;
}

static int io_start(struct raft_io *io, unsigned msecs, raft_io_tick_cb tick,
                    raft_io_recv_cb receive)
{
    member *self = io->impl;
    (void)msecs;
    self->tick = tick;
    self->receive = receive;
    return 0;
}

static int io_set_term(struct raft_io *io, raft_term term)
{
    (void)io, (void)term;
    return 0;
}

static int io_set_vote(struct raft_io *io, raft_id id)
{
    (void)io, (void)id;
    return 0;
}

/* The receiver owns the array and the batch that its entries point into. */
static void entries_copy(struct raft_append_entries *message)
{
    size_t size = 0;
    for (unsigned i = 0; i < message->n_entries; i++) {
        size += message->entries[i].buf.len;
    }
    if (message->n_entries == 0) {
        message->entries = NULL;
        return;
    }
    struct raft_entry *entries = raft_malloc(message->n_entries * sizeof *entries);
    uint8_t *batch = raft_malloc(size);
    bench_require(entries != NULL && batch != NULL, "memory for a message");
    memcpy(entries, message->entries, message->n_entries * sizeof *entries);
    size = 0;
    for (unsigned i = 0; i < message->n_entries; i++) {
        memcpy(batch + size, entries[i].buf.base, entries[i].buf.len);
        entries[i].buf.base = batch + size;
        entries[i].batch = batch;
        size += entries[i].buf.len;
    }
    message->entries = entries;
}

static int io_send(struct raft_io *io, struct raft_io_send *request,
                   const struct raft_message *message, raft_io_send_cb cb)
{
    member *self = io->impl;
    event *e = queue_push(EVENT_SENT);
    bench_require(message->type != RAFT_IO_INSTALL_SNAPSHOT,
                  "canonical/raft: a follower is behind");
    e->request.send = request;
    e->sent = cb;
    e->to = &members[message->server_id - 1];
    e->message = *message;
    e->message.server_id = self->raft.id;
    e->message.server_address = self->raft.address;
    if (message->type == RAFT_IO_APPEND_ENTRIES) {
        entries_copy(&e->message.append_entries);
    }
    return 0;
}

/* raft keeps the entries in its own log, so a disk of memory has nothing to copy. */
static int io_append(struct raft_io *io, struct raft_io_append *request,
                     const struct raft_entry entries[], unsigned n, raft_io_append_cb cb)
{
    event *e = queue_push(EVENT_APPENDED);
    (void)io, (void)entries, (void)n;
    e->request.append = request;
    e->appended = cb;
    return 0;
}

static int io_truncate(struct raft_io *io, raft_index index)
{
    (void)io, (void)index;
    return 0;
}

static int io_snapshot_put(struct raft_io *io, unsigned trailing,
                           struct raft_io_snapshot_put *request,
                           const struct raft_snapshot *snapshot, raft_io_snapshot_put_cb cb)
{
    event *e = queue_push(EVENT_SNAPSHOT_PUT);
    (void)io, (void)trailing, (void)snapshot;
    e->request.snapshot_put = request;
    e->snapshot_done = cb;
    return 0;
}

static raft_time io_time(struct raft_io *io)
{
    (void)io;
    return now;
}

static int io_random(struct raft_io *io, int min, int max)
{
    (void)io, (void)max;
    return min;
}

/* ------------------------------------------------------------------ state machine */

static int fsm_apply(struct raft_fsm *fsm, const struct raft_buffer *buf, void **result)
{
    member *self = fsm->data;
    uint64_t number;
    memcpy(&number, buf->base, sizeof number);
    self->applied++;
    self->sum += number;
    *result = NULL;
    return 0;
}

static int fsm_snapshot(struct raft_fsm *fsm, struct raft_buffer *bufs[], unsigned *n_bufs)
{
    member *self = fsm->data;
    *bufs = raft_malloc(sizeof **bufs);
    (*bufs)->len = sizeof self->sum;
    (*bufs)->base = raft_malloc(sizeof self->sum);
    memcpy((*bufs)->base, &self->sum, sizeof self->sum);
    *n_bufs = 1;
    return 0;
}

static int fsm_restore(struct raft_fsm *fsm, struct raft_buffer *buf)
{
    (void)fsm, (void)buf;
    return RAFT_INVALID;
}

/* ------------------------------------------------------------------ the measurement */

/* By default raft compacts each 1,024 entries and keeps 128. */
static void member_start(member *self, unsigned i, bool compact)
{
    self->io = (struct raft_io){.version = 1,
                                .impl = self,
                                .init = io_init,
                                .close = io_close,
                                .load = io_load,
                                .start = io_start,
                                .set_term = io_set_term,
                                .set_vote = io_set_vote,
                                .send = io_send,
                                .append = io_append,
                                .truncate = io_truncate,
                                .snapshot_put = io_snapshot_put,
                                .time = io_time,
                                .random = io_random};
    self->fsm = (struct raft_fsm){.version = 1,
                                  .data = self,
                                  .apply = fsm_apply,
                                  .snapshot = fsm_snapshot,
                                  .restore = fsm_restore};
    bench_require(raft_init(&self->raft, &self->io, &self->fsm, i + 1, addresses[i]) == 0,
                  "raft_init");
    if (!compact) {
        raft_set_snapshot_threshold(&self->raft, UINT_MAX);
    }
    bench_require(raft_start(&self->raft) == 0, "raft_start");
}

static void on_applied(struct raft_apply *request, int status, void *result)
{
    (void)request, (void)result;
    bench_require(status == 0, "canonical/raft: a proposal failed");
    completed++;
}

static void propose(struct raft_apply *request, unsigned batch, uint64_t *number)
{
    struct raft_buffer bufs[BATCH_MAX];
    for (unsigned i = 0; i < batch; i++) {
        bufs[i].len = COMMAND_SIZE;
        bufs[i].base = raft_malloc(COMMAND_SIZE);
        memset(bufs[i].base, 'x', COMMAND_SIZE);
        memcpy(bufs[i].base, number, sizeof *number);
        ++*number;
    }
    bench_require(raft_apply(&members[0].raft, request, bufs, batch, on_applied) == 0,
                  "raft_apply");
    run_until_idle();
}

void peer_raft_measure(bench_run *run)
{
    unsigned batch = (unsigned)bench_parameter(run) & PARAMETER_BATCH_MASK;
    bool compact = (bench_parameter(run) & PARAMETER_COMPACT) != 0;
    uint64_t rounds = batch == 1 ? 400000 : 1280000 / batch, number = 0;
    struct raft_apply request;

    for (unsigned i = 0; i < MEMBERS; i++) {
        member_start(&members[i], i, compact);
    }
    while (raft_state(&members[0].raft) != RAFT_LEADER) {
        now += 100;
        members[0].tick(&members[0].io);
        run_until_idle();
    }

    for (uint64_t i = 0; i < rounds / 10; i++) {
        propose(&request, batch, &number);
    }
    uint64_t warm = number, begin = bench_cpu_ns();
    for (uint64_t i = 0; i < rounds; i++) {
        propose(&request, batch, &number);
    }
    now += 100; /* a heartbeat tells the followers the last commit index */
    members[0].tick(&members[0].io);
    run_until_idle();
    uint64_t spent = bench_cpu_ns() - begin;

    bench_require(completed == rounds + rounds / 10, "canonical/raft: each proposal completes");
    for (unsigned i = 0; i < MEMBERS; i++) {
        bench_require(members[i].applied == number && members[i].sum == number * (number - 1) / 2,
                      "canonical/raft: each member applied each proposal");
    }
    bench_report(run, "cpu-ns", (double)spent / (double)(number - warm));
}
