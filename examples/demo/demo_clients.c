/* SPDX-License-Identifier: Apache-2.0 */
/* demo_clients.c: what clients ask a member for, over TCP. A request becomes a call of node.h with
 * itself as `user`; the completion finds it there and writes the reply. Large answers are read
 * through a cursor, a piece at a time, as the client takes them; a watcher whose client is slow is
 * paused, which costs nothing and loses nothing. */
#include "demo.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CLIENTS_MAX = 512, OUT_HIGH = 1 << 20, OUT_LOW = 1 << 18, PIECE_BYTES = 64 << 10 };

typedef struct client client;

/* One request until its reply is written. A client that leaves forgets its requests: `owner`
 * becomes NULL, and their completion frees them. */
typedef struct request {
    struct request *next;
    client *owner;
    uint64_t id;
    uint8_t kind;
    /* READ */
    uint32_t flags;
    uint64_t limit;
    uint64_t sent;
    kvr_range range;     /* its bytes are behind this struct */
    kvr_mvcc_view *view; /* not NULL once it is being answered */
    kvr_mvcc_cursor cursor;
    uint8_t bytes[];
} request;

typedef struct watcher {
    struct watcher *next;
    client *owner;
    uint64_t id;      /* the client's */
    uint64_t node_id; /* the node's; 0: ended */
    bool paused;
} watcher;

struct client {
    client *next;
    server *home;
    int fd;
    bool closing; /* freed by the main loop: a callback may be using it */
    buffer in;
    buffer out;
    request *requests;
    watcher *watchers;
};

/* ---------------------------------------------------------------- requests and replies */

static request *new_request(client *owner, uint64_t id, uint8_t kind, size_t extra)
{
    request *of = must_alloc(sizeof *of + extra);
    of->next = owner->requests;
    of->owner = owner;
    of->id = id;
    of->kind = kind;
    owner->requests = of;
    return of;
}

static void free_request(request *of)
{
    request **at = of->owner == NULL ? NULL : &of->owner->requests;
    while (at != NULL && *at != of) {
        at = &(*at)->next;
    }
    if (at != NULL) {
        *at = of->next;
    }
    kvr_mvcc_view_free(of->view);
    free(of);
}

static size_t begin_reply(request *of, kvr_status status, uint8_t outcome, uint64_t revision)
{
    buffer *out = &of->owner->out;
    size_t mark = wire_begin(out, WIRE_REPLY, of->id);
    wire_u32(out, (uint32_t)status);
    wire_u8(out, outcome);
    wire_u64(out, revision);
    return mark;
}

static void end_reply(request *of, size_t mark)
{
    wire_end(&of->owner->out, mark);
    free_request(of);
}

/* ---------------------------------------------------------------- reads */

static bool add_piece(request *of)
{
    buffer *out = &of->owner->out;
    size_t mark = wire_begin(out, WIRE_KVS, of->id);
    size_t count_at = buffer_size(out);
    uint32_t count = 0;
    bool more = true;
    wire_u32(out, 0);
    while (more && buffer_size(out) - mark < PIECE_BYTES) {
        kvr_kv kv;
        more = (of->limit == 0 || of->sent < of->limit) &&
               kvr_mvcc_cursor_next(&of->cursor, &kv) == KVR_OK;
        if (more) {
            kv.value.size = (of->flags & READ_KEYS_ONLY) != 0 ? 0 : kv.value.size;
            wire_kv(out, &kv);
            of->sent++;
            count++;
        }
    }
    for (int i = 0; i < 4; i++) {
        out->data[out->start + count_at + (size_t)i] = (uint8_t)(count >> (8 * i));
    }
    wire_end(out, mark);
    return more;
}

/* As much as the client takes now; the rest when its buffer is low again. */
static void continue_read(request *of)
{
    uint64_t total = 0;
    bool more = (of->flags & READ_COUNT_ONLY) == 0;
    while (more && buffer_size(&of->owner->out) < OUT_HIGH) {
        more = add_piece(of);
    }
    if (!more) {
        kvr_status status = kvr_mvcc_count(of->view, &of->range, &total);
        size_t mark = begin_reply(of, status, KVR_OUTCOME_DONE, kvr_mvcc_view_revision(of->view));
        wire_u64(&of->owner->out, total);
        end_reply(of, mark);
    }
}

static void start_read(request *of)
{
    kvr_status status = kvr_node_view_open(of->owner->home->node, &of->view);
    if (status == KVR_OK) {
        status = kvr_mvcc_cursor_init(&of->cursor, of->view, &of->range);
    }
    if (status != KVR_OK) {
        end_reply(of, begin_reply(of, status, KVR_OUTCOME_DONE, 0));
        return;
    }
    continue_read(of);
}

static kvr_status take_read(client *from, uint64_t id, reader *in)
{
    uint32_t flags = read_u32(in);
    kvr_slice key = read_bytes(in);
    kvr_slice end = read_bytes(in);
    request *of = new_request(from, id, WIRE_READ, key.size + end.size);
    memcpy(of->bytes, key.data == NULL ? of->bytes : key.data, key.size);
    memcpy(of->bytes + key.size, end.data == NULL ? of->bytes : end.data, end.size);
    of->flags = flags;
    of->range = (kvr_range){.size = sizeof of->range,
                            .key = {of->bytes, key.size},
                            .range_end = {of->bytes + key.size, end.size},
                            .revision = read_u64(in)};
    of->limit = read_u64(in);
    if (in->failed) {
        return KVR_EINVAL;
    }
    if ((flags & READ_STALE) != 0) {
        start_read(of);
        return KVR_DONE;
    }
    const kvr_node_call call = {.size = sizeof call, .user = of};
    return kvr_node_read_linear(from->home->node, &call);
}

/* ---------------------------------------------------------------- status */

static void reply_status(request *of)
{
    server *home = of->owner->home;
    buffer *out = &of->owner->out;
    kvr_node_status s = {.size = sizeof s};
    kvr_raft_progress progress = {0};
    kvr_node_get_status(home->node, &s);
    const uint64_t numbers[STATUS_COUNT] = {
        [STATUS_ID] = home->id,
        [STATUS_ROLE] = s.raft.role,
        [STATUS_LEADER] = s.raft.leader,
        [STATUS_TERM] = s.raft.term,
        [STATUS_FIRST] = s.raft.first_index,
        [STATUS_LAST] = s.raft.last_index,
        [STATUS_COMMIT] = s.raft.commit_index,
        [STATUS_APPLIED] = s.raft.applied_index,
        [STATUS_SNAPSHOT] = s.raft.snapshot_index,
        [STATUS_REVISION] = s.store.revision,
        [STATUS_COMPACTED] = s.store.compacted,
        [STATUS_KEYS] = s.store.live_keys,
        [STATUS_BYTES] = s.store.live_bytes,
        [STATUS_LEASES] = s.lease.leases,
        [STATUS_WATCHERS] = s.watch.watchers,
        [STATUS_HASH_INDEX] = s.hash_index,
        [STATUS_HASH_CHAIN] = s.hash_chain,
        [STATUS_HASH_LIVE] = s.hash_live,
        [STATUS_TAKEN] = s.snapshots_taken,
        [STATUS_INSTALLED] = s.snapshots_installed,
        [STATUS_MEMORY] = s.memory_bytes,
        [STATUS_NO_SPACE] = s.no_space,
        [STATUS_CORRUPT] = s.corrupt,
        [STATUS_FAILURE] = (uint64_t)(int64_t)s.failure,
        [STATUS_GARBAGE] = home->garbage + s.raft.bad_messages,
    };
    size_t mark = begin_reply(of, KVR_OK, KVR_OUTCOME_DONE, s.store.revision);
    for (size_t i = 0; i < STATUS_COUNT; i++) {
        wire_u64(out, numbers[i]);
    }
    for (uint32_t i = 0; kvr_node_get_progress(home->node, i, &progress) == KVR_OK; i++) {
        wire_u64(out, progress.id);
        wire_u64(out, progress.match);
        wire_u64(out, progress.state);
    }
    end_reply(of, mark);
}

/* ---------------------------------------------------------------- writes, leases, completions */

static kvr_status take_write(kvr_node *node, reader *in, const kvr_node_call *call)
{
    static txn_room room; /* large, and used only until kvr_node_write has encoded it */
    kvr_op op;
    return read_op(in, &room, &op) ? kvr_node_write(node, call, &op) : KVR_EINVAL;
}

static kvr_status take_lease(kvr_node *node, reader *in, const kvr_node_call *call)
{
    uint8_t which = read_u8(in);
    int64_t id = (int64_t)read_u64(in);
    uint64_t ttl_ns = read_u64(in);
    switch (in->failed ? 0 : which) {
    case KVR_CALL_LEASE_GRANT:
        return kvr_node_lease_grant(node, call, id, ttl_ns);
    case KVR_CALL_LEASE_REVOKE:
        return kvr_node_lease_revoke(node, call, id);
    case KVR_CALL_LEASE_KEEP_ALIVE:
        return kvr_node_lease_keep_alive(node, call, id);
    case KVR_CALL_LEASE_TIME_TO_LIVE:
        return kvr_node_lease_time_to_live(node, call, id);
    default:
        return KVR_EINVAL;
    }
}

static void add_lease(buffer *out, const kvr_node *node, const kvr_completion *end)
{
    kvr_slice keys[64];
    uint32_t count = 0;
    if (kvr_node_lease_keys(node, end->lease, NULL, keys, COUNT_OF(keys), &count) != KVR_OK) {
        count = 0;
    }
    wire_u64(out, (uint64_t)end->lease);
    wire_u64(out, end->ttl_ns);
    wire_u64(out, end->remaining_ns);
    wire_u32(out, count);
    for (uint32_t i = 0; i < count; i++) {
        wire_bytes(out, keys[i]);
    }
}

void clients_completed(void *ctx, const kvr_completion *end)
{
    (void)ctx;
    request *of = end->user;
    bool good = end->outcome == KVR_OUTCOME_DONE && end->status == KVR_OK;
    if (of->owner == NULL) {
        free_request(of);
    } else if (of->kind == WIRE_READ && good) {
        start_read(of);
    } else {
        size_t mark = begin_reply(of, end->status, end->outcome, end->revision);
        if (of->kind == WIRE_WRITE && end->result != NULL) {
            wire_result(&of->owner->out, end->result);
        } else if (of->kind == WIRE_LEASE && good) {
            add_lease(&of->owner->out, of->owner->home->node, end);
        }
        end_reply(of, mark);
    }
}

/* ---------------------------------------------------------------- watches */

static kvr_status take_watch(client *from, uint64_t id, reader *in)
{
    watcher *one = must_alloc(sizeof *one);
    kvr_watch_request wanted = {.size = sizeof wanted, .flags = read_u32(in), .user = one};
    wanted.key = read_bytes(in);
    wanted.range_end = read_bytes(in);
    wanted.start_revision = read_u64(in);
    kvr_status status =
        in->failed ? KVR_EINVAL : kvr_node_watch(from->home->node, &wanted, &one->node_id);
    if (status != KVR_OK) {
        free(one);
        return status;
    }
    one->owner = from;
    one->id = id;
    one->next = from->watchers;
    from->watchers = one;
    request *of = new_request(from, id, WIRE_WATCH, 0);
    end_reply(of, begin_reply(of, KVR_OK, KVR_OUTCOME_DONE, 0));
    return KVR_DONE;
}

void clients_watched(void *ctx, const kvr_watch_batch *batch)
{
    (void)ctx;
    for (uint32_t t = 0; t < batch->target_count; t++) {
        watcher *to = batch->targets[t].user;
        buffer *out = &to->owner->out;
        size_t mark = wire_begin(out, WIRE_EVENTS, to->id);
        wire_u32(out, (uint32_t)batch->status);
        wire_u8(out, 0);
        wire_u64(out, batch->status == KVR_OK ? batch->revision : batch->compacted);
        wire_u32(out, batch->event_count);
        for (uint32_t i = 0; i < batch->event_count; i++) {
            wire_u8(out, batch->events[i].type);
            wire_kv(out, &batch->events[i].kv);
            wire_u8(out, batch->events[i].has_prev);
            wire_kv(out, &batch->events[i].prev);
        }
        wire_end(out, mark);
        if (batch->status != KVR_OK) {
            to->node_id = 0;
        } else if (buffer_size(out) > OUT_HIGH) {
            to->paused = kvr_node_watch_pause(to->owner->home->node, to->node_id) == KVR_OK;
        }
    }
}

/* ---------------------------------------------------------------- connections */

static kvr_status take_call(request *of, reader *in)
{
    kvr_node *node = of->owner->home->node;
    const kvr_node_call call = {.size = sizeof call, .user = of};
    switch (of->kind) {
    case WIRE_WRITE:
        return take_write(node, in, &call);
    case WIRE_LEASE:
        return take_lease(node, in, &call);
    case WIRE_COMPACT:
        return kvr_node_compact(node, &call, read_u64(in));
    case WIRE_STATUS:
        reply_status(of);
        return KVR_DONE;
    case WIRE_SNAPSHOT:
        end_reply(of, begin_reply(of, kvr_node_snapshot(node), KVR_OUTCOME_DONE, 0));
        return KVR_DONE;
    default:
        return KVR_EINVAL;
    }
}

static void take_frame(client *from, uint8_t kind, uint64_t id, reader *in)
{
    request *before = from->requests;
    kvr_status status = kind == WIRE_READ    ? take_read(from, id, in)
                        : kind == WIRE_WATCH ? take_watch(from, id, in)
                                             : take_call(new_request(from, id, kind, 0), in);
    if (status < 0) { /* there will be no completion */
        request *of = from->requests == before ? new_request(from, id, kind, 0) : from->requests;
        end_reply(of, begin_reply(of, status, KVR_OUTCOME_REFUSED, 0));
    }
}

/* A client that does not take its replies is not listened to. */
static void take_frames(client *from)
{
    uint8_t kind;
    uint64_t id;
    reader fields;
    size_t size;
    int found = 0;
    while (buffer_size(&from->out) < OUT_HIGH &&
           (found = wire_next(&from->in, &kind, &id, &fields, &size)) == 1) {
        take_frame(from, kind, id, &fields);
        buffer_take(&from->in, size);
    }
    if (found < 0) {
        from->home->garbage++;
        from->closing = true;
    }
}

/* The client took what it had: reads go on, watchers are resumed, requests are read again. */
static void refill(client *to)
{
    for (request *of = to->requests, *next; of != NULL; of = next) {
        next = of->next;
        if (of->view != NULL && buffer_size(&to->out) < OUT_HIGH) {
            continue_read(of);
        }
    }
    for (watcher *one = to->watchers; one != NULL; one = one->next) {
        if (one->paused && one->node_id != 0) {
            one->paused = kvr_node_watch_resume(to->home->node, one->node_id) != KVR_OK;
        }
    }
    take_frames(to);
}

static void free_client(client *gone)
{
    for (watcher *one; (one = gone->watchers) != NULL;) {
        gone->watchers = one->next;
        if (one->node_id != 0) {
            kvr_status status = kvr_node_watch_cancel(gone->home->node, one->node_id);
            (void)status; /* the node may be closed already */
        }
        free(one);
    }
    for (request *of = gone->requests, *next; of != NULL; of = next) {
        next = of->next;
        if (of->view != NULL) {
            free_request(of);
        } else {
            of->owner = NULL;
        }
    }
    close(gone->fd);
    buffer_release(&gone->in);
    buffer_release(&gone->out);
    free(gone);
}

/* ---------------------------------------------------------------- the main loop's side */

void clients_wait(server *self, waits *all)
{
    uint32_t listener_at = all->count++;
    uint32_t count = 0;
    for (client **at = &self->clients; *at != NULL;) {
        client *each = *at;
        each->closing = each->closing || !net_write(each->fd, &each->out);
        if (!each->closing && buffer_size(&each->out) < OUT_LOW) {
            refill(each);
            each->closing = each->closing || !net_write(each->fd, &each->out);
        }
        if (each->closing) {
            *at = each->next;
            free_client(each);
            continue;
        }
        bool full = buffer_size(&each->out) >= OUT_HIGH;
        short events = (short)((full ? 0 : POLLIN) | (buffer_size(&each->out) > 0 ? POLLOUT : 0));
        all->fds[all->count++] = (struct pollfd){.fd = each->fd, .events = events};
        at = &each->next;
        count++;
    }
    int listener = count < CLIENTS_MAX ? self->client_listener : -1;
    all->fds[listener_at] = (struct pollfd){.fd = listener, .events = POLLIN};
}

void clients_ready(server *self, const waits *ready)
{
    for (uint32_t f = 0; f < ready->count; f++) {
        int fd = ready->fds[f].revents == 0 ? -1 : ready->fds[f].fd;
        if (fd >= 0 && fd == self->client_listener && (fd = net_accept(fd)) >= 0) {
            client *fresh = must_alloc(sizeof *fresh);
            *fresh = (client){.next = self->clients, .home = self, .fd = fd};
            self->clients = fresh;
        }
        for (client *each = self->clients; each != NULL; each = each->next) {
            if (each->fd == fd && !each->closing) {
                each->closing = !net_read(fd, &each->in);
                take_frames(each);
            }
        }
    }
}

void clients_close(server *self)
{
    for (client *each; (each = self->clients) != NULL;) {
        self->clients = each->next;
        each->closing = !net_write(each->fd, &each->out);
        free_client(each);
    }
    if (self->client_listener >= 0) {
        close(self->client_listener);
    }
}
