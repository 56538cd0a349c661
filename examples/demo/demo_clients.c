/* SPDX-License-Identifier: Apache-2.0 */
/* demo_clients.c: what clients ask a member for, over TCP. A request becomes a call of node.h with
 * itself as `user`; the completion finds it there and writes the reply. Large answers are read
 * through a cursor, a piece at a time, as the client takes them; a watcher whose client is slow is
 * paused, which costs nothing and loses nothing. */
#include "demo.h"

#include <stdlib.h>
#include <string.h>

enum { CLIENTS_MAX = 512, OUT_HIGH = 1 << 20, OUT_LOW = 1 << 18 };

typedef struct client client;

/* One request until its reply is written; a watch until it ends. A client that leaves forgets its
 * requests: `owner` becomes NULL, and their completion frees them. */
typedef struct call {
    struct call *next;
    client *owner;
    request asked;       /* the bytes of its range are behind this struct */
    kvr_mvcc_view *view; /* READ: not NULL once it is being answered */
    kvr_mvcc_cursor cursor;
    uint64_t sent;  /* READ: keys */
    uint64_t watch; /* WATCH: the node's id of it; 0: none */
    bool paused;
    uint8_t bytes[];
} call;

struct client {
    client *next;
    server *home;
    stream io;
    bool closing; /* freed by the main loop: a callback may be using it */
    call *calls;
};

static void keep(kvr_slice *bytes, uint8_t *room)
{
    if (bytes->size > 0) {
        memcpy(room, bytes->data, bytes->size);
    }
    bytes->data = room;
}

static call *new_call(client *owner, const request *asked)
{
    size_t key_size = asked->range.key.size;
    call *of = must_alloc(sizeof *of + key_size + asked->range.range_end.size);
    *of = (call){.next = owner->calls, .owner = owner, .asked = *asked};
    keep(&of->asked.range.key, of->bytes);
    keep(&of->asked.range.range_end, of->bytes + key_size);
    owner->calls = of;
    return of;
}

static void free_call(call *of)
{
    if (of->owner != NULL) {
        call **at = &of->owner->calls;
        while (*at != of) {
            at = &(*at)->next;
        }
        *at = of->next;
    }
    kvr_mvcc_view_free(of->view);
    free(of);
}

static wire begin(const call *of, uint64_t kind, reply head)
{
    wire to = wire_begin(&of->owner->io.out, kind, of->asked.id);
    wire_all(&to, shape_reply, &head);
    return to;
}

static void end_call(call *of, wire *to)
{
    wire_end(to);
    free_call(of);
}

/* The reply to a request that ends with no more than this. */
static void answer(call *of, kvr_status status, uint8_t outcome)
{
    wire to = begin(of, SAY_REPLY, (reply){.status = status, .outcome = outcome});
    end_call(of, &to);
}

/* As much as the client takes now; the rest when its buffer is low again. */
static void continue_read(call *of)
{
    const request *asked = &of->asked;
    reply head = {.revision = kvr_mvcc_view_revision(of->view)};
    bool more = (asked->flags & READ_COUNT_ONLY) == 0;
    while (more && buffer_size(&of->owner->io.out) < OUT_HIGH) {
        kvr_kv kv;
        more = (asked->limit == 0 || of->sent < asked->limit) &&
               kvr_mvcc_cursor_next(&of->cursor, &kv) == KVR_OK;
        if (more) {
            kv.value.size = (asked->flags & READ_KEYS_ONLY) != 0 ? 0 : kv.value.size;
            wire to = begin(of, SAY_KV, head);
            wire_all(&to, shape_kv, &kv);
            wire_end(&to);
            of->sent++;
        }
    }
    if (!more) {
        uint64_t total = 0;
        head.status = kvr_mvcc_count(of->view, &asked->range, &total);
        wire to = begin(of, SAY_REPLY, head);
        wire_number(&to, total);
        end_call(of, &to);
    }
}

static void start_read(call *of)
{
    kvr_status status = kvr_node_view_open(of->owner->home->node, &of->view);
    if (status == KVR_OK) {
        status = kvr_mvcc_cursor_init(&of->cursor, of->view, &of->asked.range);
    }
    if (status == KVR_OK) {
        continue_read(of);
    } else {
        answer(of, status, KVR_OUTCOME_DONE);
    }
}

static kvr_status start_watch(call *of)
{
    const kvr_watch_request wanted = {.size = sizeof wanted,
                                      .flags = (uint32_t)of->asked.flags,
                                      .start_revision = of->asked.range.revision,
                                      .key = of->asked.range.key,
                                      .range_end = of->asked.range.range_end,
                                      .user = of};
    kvr_status status = kvr_node_watch(of->owner->home->node, &wanted, &of->watch);
    if (status == KVR_OK) {
        wire to = begin(of, SAY_REPLY, (reply){.outcome = KVR_OUTCOME_DONE});
        wire_end(&to);
    }
    return status;
}

void clients_watched(void *ctx, const kvr_watch_batch *batch)
{
    server *home = ctx;
    for (uint32_t t = 0; t < batch->target_count; t++) {
        call *of = batch->targets[t].user;
        for (uint32_t i = 0; i < batch->event_count; i++) {
            kvr_event event = batch->events[i];
            wire to = begin(of, SAY_EVENT, (reply){.revision = batch->revision});
            wire_all(&to, shape_event, &event);
            wire_end(&to);
        }
        if (batch->status != KVR_OK) { /* it was overtaken by a compaction and has ended */
            wire to = begin(of, SAY_REPLY,
                            (reply){.status = batch->status, .revision = batch->compacted});
            end_call(of, &to);
        } else if (buffer_size(&of->owner->io.out) > OUT_HIGH) {
            of->paused = kvr_node_watch_pause(home->node, of->watch) == KVR_OK;
        }
    }
}

static void answer_status(call *of)
{
    const server *home = of->owner->home;
    member_status said = {.id = home->chosen->id, .node.size = sizeof said.node};
    kvr_raft_progress progress = {.size = sizeof progress};
    kvr_node_get_status(home->node, &said.node);
    said.garbage = home->garbage;
    wire to = begin(of, SAY_REPLY, (reply){.revision = said.node.store.revision});
    wire_all(&to, shape_status, &said);
    for (uint32_t i = 0; kvr_node_get_progress(home->node, i, &progress) == KVR_OK; i++) {
        wire_all(&to, shape_progress, &progress);
    }
    end_call(of, &to);
}

/* An error: there will be no completion. */
static kvr_status start_call(call *of)
{
    kvr_node *node = of->owner->home->node;
    const kvr_node_call to = {.size = sizeof to, .user = of};
    switch (of->asked.kind) {
    case KVR_CALL_WRITE:
        return kvr_node_write(node, &to, &of->asked.op);
    case KVR_CALL_COMPACT:
        return kvr_node_compact(node, &to, of->asked.range.revision);
    case KVR_CALL_READ_LINEAR:
        if ((of->asked.flags & READ_STALE) == 0) {
            return kvr_node_read_linear(node, &to);
        }
        start_read(of);
        return KVR_OK;
    case KVR_CALL_LEASE_GRANT:
        return kvr_node_lease_grant(node, &to, of->asked.lease, of->asked.ttl_ns);
    case KVR_CALL_LEASE_REVOKE:
        return kvr_node_lease_revoke(node, &to, of->asked.lease);
    case KVR_CALL_LEASE_KEEP_ALIVE:
        return kvr_node_lease_keep_alive(node, &to, of->asked.lease);
    case KVR_CALL_LEASE_TIME_TO_LIVE:
        return kvr_node_lease_time_to_live(node, &to, of->asked.lease);
    case ASK_WATCH:
        return start_watch(of);
    case ASK_STATUS:
        answer_status(of);
        return KVR_OK;
    default:
        return KVR_EINVAL;
    }
}

static void add_result(wire *to, const kvr_op_result *result)
{
    kvr_op_result head = *result;
    head.kv_count = result->kvs == NULL ? 0 : result->kv_count;
    wire_all(to, shape_result, &head);
    for (uint32_t i = 0; i < head.kv_count; i++) {
        kvr_kv kv = result->kvs[i];
        wire_all(to, shape_kv, &kv);
    }
    for (uint32_t i = 0; i < head.result_count; i++) {
        add_result(to, &result->results[i]);
    }
}

static void add_lease(wire *to, const kvr_node *node, const kvr_completion *end)
{
    kvr_slice keys[64];
    uint32_t count = 0;
    wire_number(to, (uint64_t)end->lease);
    wire_number(to, end->ttl_ns);
    wire_number(to, end->remaining_ns);
    kvr_status status = kvr_node_lease_keys(node, end->lease, NULL, keys, COUNT_OF(keys), &count);
    for (uint32_t i = 0; status == KVR_OK && i < count; i++) {
        wire_bytes(to, keys[i]);
    }
}

void clients_completed(void *ctx, const kvr_completion *end)
{
    const server *home = ctx;
    call *of = end->user;
    bool good = end->outcome == KVR_OUTCOME_DONE && end->status == KVR_OK;
    if (of->owner == NULL) {
        free_call(of);
    } else if (end->kind == KVR_CALL_READ_LINEAR && good) {
        start_read(of);
    } else {
        const reply head = {
            .outcome = end->outcome, .status = end->status, .revision = end->revision};
        wire to = begin(of, SAY_REPLY, head);
        if (end->result != NULL) {
            add_result(&to, end->result);
        } else if (end->kind >= KVR_CALL_LEASE_GRANT && good) {
            add_lease(&to, home->node, end);
        }
        end_call(of, &to);
    }
}

/* A client that does not take its replies is not listened to. */
static void take_requests(client *from)
{
    static txn_room room; /* large, and used only until kvr_node_write has encoded it */
    int found = 1;
    while (found == 1 && buffer_size(&from->io.out) < OUT_HIGH) {
        request asked = {.room = &room};
        wire in;
        found = wire_next(&from->io.in, &asked.kind, &asked.id, &in);
        if (found == 1) {
            wire_request(&in, &asked);
            call *of = new_call(from, &asked);
            kvr_status status = in.failed ? KVR_EINVAL : start_call(of);
            if (status < 0) {
                answer(of, status, KVR_OUTCOME_REFUSED);
            }
        }
    }
    if (found < 0) {
        from->home->garbage++;
        from->closing = true;
    }
}

/* The client took what it had: reads go on, watchers are resumed, requests are read again. */
static void refill(client *to)
{
    for (call *of = to->calls, *next; of != NULL; of = next) {
        next = of->next;
        if (of->view != NULL && buffer_size(&to->io.out) < OUT_HIGH) {
            continue_read(of);
        } else if (of->paused) {
            of->paused = kvr_node_watch_resume(to->home->node, of->watch) != KVR_OK;
        }
    }
    take_requests(to);
}

static void free_client(client *gone)
{
    for (call *of = gone->calls, *next; of != NULL; of = next) {
        next = of->next;
        if (of->watch != 0) {
            kvr_status status = kvr_node_watch_cancel(gone->home->node, of->watch);
            (void)status; /* the node may be closed already */
        }
        if (of->view != NULL || of->watch != 0) {
            free_call(of);
        } else {
            of->owner = NULL;
        }
    }
    stream_close(&gone->io);
    free(gone);
}

/* ---------------------------------------------------------------- the main loop's side */

void clients_wait(server *self, waits *all)
{
    uint32_t count = 0;
    for (client **at = &self->clients; *at != NULL;) {
        client *each = *at;
        each->closing = each->closing || !stream_write(&each->io);
        if (!each->closing && buffer_size(&each->io.out) < OUT_LOW) {
            refill(each);
            each->closing = each->closing || !stream_write(&each->io);
        }
        if (each->closing) {
            *at = each->next;
            free_client(each);
            continue;
        }
        waits_add(all, &each->io, buffer_size(&each->io.out) < OUT_HIGH ? POLLIN : 0);
        at = &each->next;
        count++;
    }
    waits_add(all, &self->client_listener, count < CLIENTS_MAX ? POLLIN : 0);
}

void clients_ready(server *self)
{
    stream fresh;
    for (client *each = self->clients; each != NULL; each = each->next) {
        if (each->io.ready != 0) {
            each->closing = !stream_read(&each->io);
            take_requests(each);
        }
    }
    if (self->client_listener.ready != 0 && stream_accept(&self->client_listener, &fresh)) {
        client *one = must_alloc(sizeof *one);
        *one = (client){.next = self->clients, .home = self, .io = fresh};
        self->clients = one;
    }
}

void clients_close(server *self)
{
    for (client *each; (each = self->clients) != NULL;) {
        self->clients = each->next;
        each->closing = !stream_write(&each->io);
        free_client(each);
    }
    stream_close(&self->client_listener);
}
