/* SPDX-License-Identifier: Apache-2.0 */
/* demo_clients.c: what clients ask a member for, over TCP. A request becomes a call of node.h with itself as `user`; the
 * completion finds it there and writes the reply. Large answers are read through a cursor a piece at a time,
 * as the client takes them; a watcher whose client is slow is paused, which costs nothing and loses nothing. */
#include "demo.h"

#include <errno.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CLIENTS_MAX = 512, OUT_HIGH = 1 << 20, OUT_LOW = 1 << 18, KVS_BYTES = 64 << 10 };

/* One request until its reply is written. A client that goes away leaves its requests behind: `owner` is NULL then, and
 * their completion frees them. */
typedef struct request {
    struct request *next;
    client *owner;
    uint64_t id;
    uint8_t kind;
    uint8_t lease_call;
    uint32_t flags;
    /* READ, once it may be answered */
    uint8_t *range_bytes; /* key, then range_end */
    kvr_range range;
    uint64_t limit;
    uint64_t sent;
    kvr_mvcc_view *view;
    kvr_mvcc_cursor cursor;
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
    bool closing; /* freed by the main loop, since a callback may be using it */
    buffer in;
    buffer out;
    request *requests;
    watcher *watchers;
};

/* ------------------------------------------------------------------ replies */

static size_t begin_reply(request *of, kvr_status status, uint8_t outcome, uint64_t revision)
{
    buffer *out = &of->owner->out;
    size_t mark = wire_begin(out, WIRE_REPLY, of->id);
    wire_u32(out, (uint32_t)status);
    wire_u8(out, outcome);
    wire_u64(out, revision);
    return mark;
}

static void free_request(request *of)
{
    for (request **at = of->owner == NULL ? NULL : &of->owner->requests; at != NULL && *at != NULL; at = &(*at)->next) {
        if (*at == of) {
            *at = of->next;
            break;
        }
    }
    kvr_mvcc_view_free(of->view);
    free(of->range_bytes);
    free(of);
}

static void refuse(request *of, kvr_status status)
{
    wire_end(&of->owner->out, begin_reply(of, status, KVR_OUTCOME_REFUSED, 0));
    free_request(of);
}

/* ------------------------------------------------------------------ reads */

static bool add_kvs(request *of)
{
    buffer *out = &of->owner->out;
    size_t mark = wire_begin(out, WIRE_KVS, of->id);
    size_t count_at = buffer_size(out);
    uint32_t count = 0;
    bool more = true;
    wire_u32(out, 0);
    while (buffer_size(out) - mark < KVS_BYTES) {
        kvr_kv kv;
        if ((of->limit > 0 && of->sent == of->limit) || kvr_mvcc_cursor_next(&of->cursor, &kv) != KVR_OK) {
            more = false;
            break;
        }
        if ((of->flags & WIRE_READ_KEYS_ONLY) != 0) {
            kv.value = (kvr_slice){NULL, 0};
        }
        wire_kv(out, &kv);
        of->sent++;
        count++;
    }
    memcpy(out->data + out->start + count_at, &(uint32_t){count}, sizeof count);
    wire_end(out, mark);
    return more;
}

/* As much as the client takes now; the rest when its buffer is empty enough again. */
static void continue_read(request *of)
{
    uint64_t total = 0;
    bool more = (of->flags & WIRE_READ_COUNT_ONLY) == 0;
    while (more && buffer_size(&of->owner->out) < OUT_HIGH) {
        more = add_kvs(of);
    }
    if (more) {
        return;
    }
    kvr_status status = kvr_mvcc_count(of->view, &of->range, &total);
    size_t mark = begin_reply(of, status, KVR_OUTCOME_DONE, kvr_mvcc_view_revision(of->view));
    wire_u64(&of->owner->out, total);
    wire_end(&of->owner->out, mark);
    free_request(of);
}

static void start_read(request *of)
{
    kvr_status status = kvr_node_view_open(of->owner->home->node, &of->view);
    if (status == KVR_OK) {
        status = kvr_mvcc_cursor_init(&of->cursor, of->view, &of->range);
    }
    if (status != KVR_OK) {
        refuse(of, status);
        return;
    }
    continue_read(of);
}

static kvr_status take_read(request *of, reader *in, const kvr_node_call *call)
{
    of->flags = read_u32(in);
    kvr_slice key = read_bytes(in);
    kvr_slice range_end = read_bytes(in);
    uint64_t revision = read_u64(in);
    of->limit = read_u64(in);
    if (in->failed) {
        return KVR_EINVAL;
    }
    of->range_bytes = must_alloc(key.size + range_end.size + 1);
    memcpy(of->range_bytes, key.data, key.size);
    memcpy(of->range_bytes + key.size, range_end.data, range_end.size);
    of->range = (kvr_range){.size = sizeof of->range,
                            .key = {of->range_bytes, key.size},
                            .range_end = {of->range_bytes + key.size, range_end.size},
                            .revision = revision};
    if ((of->flags & WIRE_READ_STALE) != 0) {
        start_read(of);
        return KVR_DONE;
    }
    return kvr_node_read_linear(of->owner->home->node, call);
}

/* ------------------------------------------------------------------ writes, leases, status */

static kvr_status take_write(request *of, reader *in, const kvr_node_call *call)
{
    kvr_op op;
    op_memory memory = {.count = 0};
    kvr_status status = KVR_EINVAL;
    if (read_op(in, &memory, &op, 1) && !in->failed) {
        status = kvr_node_write(of->owner->home->node, call, &op);
    }
    op_memory_release(&memory);
    return status;
}

static kvr_status take_lease(request *of, reader *in, const kvr_node_call *call)
{
    kvr_node *node = of->owner->home->node;
    uint8_t which = read_u8(in);
    int64_t id = (int64_t)read_u64(in);
    uint64_t ttl_ns = read_u64(in);
    if (in->failed) {
        return KVR_EINVAL;
    }
    switch (which) {
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

static void add_lease_keys(buffer *out, const kvr_node *node, int64_t id)
{
    kvr_slice keys[64];
    uint32_t count = 0;
    if (kvr_node_lease_keys(node, id, NULL, keys, COUNT_OF(keys), &count) != KVR_OK) {
        count = 0;
    }
    wire_u32(out, count);
    for (uint32_t i = 0; i < count; i++) {
        wire_bytes(out, keys[i]);
    }
}

static void reply_status(request *of)
{
    server *home = of->owner->home;
    buffer *out = &of->owner->out;
    kvr_node_status s = {.size = sizeof s};
    kvr_node_get_status(home->node, &s);
    size_t mark = begin_reply(of, s.failure, KVR_OUTCOME_DONE, s.store.revision);
    const uint64_t numbers[] = {home->id, s.raft.role, s.raft.leader, s.raft.term, s.raft.first_index,
                                s.raft.last_index, s.raft.commit_index, s.raft.applied_index, s.raft.snapshot_index,
                                s.store.compacted, s.store.live_keys, s.store.live_bytes, s.lease.leases,
                                s.watch.watchers, s.hash_index, s.hash_chain, s.hash_live, s.snapshots_taken,
                                s.snapshots_installed, s.memory_bytes, s.no_space, s.corrupt, home->garbage,
                                s.raft.bad_messages};
    for (size_t i = 0; i < COUNT_OF(numbers); i++) {
        wire_u64(out, numbers[i]);
    }
    kvr_raft_progress progress;
    for (uint32_t i = 0; kvr_node_get_progress(home->node, i, &progress) == KVR_OK; i++) {
        wire_u64(out, progress.id);
        wire_u64(out, progress.match);
        wire_u8(out, progress.state);
        wire_u8(out, progress.role);
    }
    wire_end(out, mark);
    free_request(of);
}

/* ------------------------------------------------------------------ completions */

static void add_answer(request *of, const kvr_completion *end)
{
    buffer *out = &of->owner->out;
    size_t mark = begin_reply(of, end->status, end->outcome, end->revision);
    if (of->kind == WIRE_WRITE && end->result != NULL) {
        wire_result(out, end->result);
    }
    if (of->kind == WIRE_LEASE) {
        wire_u64(out, (uint64_t)end->lease);
        wire_u64(out, end->ttl_ns);
        wire_u64(out, end->remaining_ns);
        add_lease_keys(out, of->owner->home->node, end->lease);
    }
    wire_end(out, mark);
}

void clients_completed(void *ctx, const kvr_completion *completion)
{
    (void)ctx;
    request *of = completion->user;
    if (of->owner == NULL) {
        free_request(of);
    } else if (of->kind == WIRE_READ && completion->outcome == KVR_OUTCOME_DONE && completion->status == KVR_OK) {
        start_read(of);
    } else {
        add_answer(of, completion);
        free_request(of);
    }
}

/* ------------------------------------------------------------------ watches */

static kvr_status take_watch(request *of, reader *in)
{
    watcher *one = must_alloc(sizeof *one);
    kvr_watch_request wanted = {.size = sizeof wanted, .flags = read_u32(in), .user = one};
    wanted.key = read_bytes(in);
    wanted.range_end = read_bytes(in);
    wanted.start_revision = read_u64(in);
    one->owner = of->owner;
    one->id = of->id;
    kvr_status status = in->failed ? KVR_EINVAL : kvr_node_watch(of->owner->home->node, &wanted, &one->node_id);
    if (status != KVR_OK) {
        free(one);
        return status;
    }
    one->next = of->owner->watchers;
    of->owner->watchers = one;
    wire_end(&of->owner->out, begin_reply(of, KVR_OK, KVR_OUTCOME_DONE, 0));
    free_request(of);
    return KVR_DONE;
}

static void deliver(watcher *to, const kvr_watch_batch *batch)
{
    buffer *out = &to->owner->out;
    size_t mark = wire_begin(out, WIRE_EVENTS, to->id);
    wire_u32(out, (uint32_t)batch->status);
    wire_u64(out, batch->revision);
    wire_u64(out, batch->compacted);
    wire_u32(out, batch->event_count);
    for (uint32_t i = 0; i < batch->event_count; i++) {
        const kvr_event *event = &batch->events[i];
        wire_u8(out, event->type);
        wire_kv(out, &event->kv);
        wire_u8(out, event->has_prev);
        wire_kv(out, &event->prev);
    }
    wire_end(out, mark);
    if (batch->status != KVR_OK) {
        to->node_id = 0;
    } else if (buffer_size(out) > OUT_HIGH) {
        to->paused = kvr_node_watch_pause(to->owner->home->node, to->node_id) == KVR_OK;
    }
}

void clients_watched(void *ctx, const kvr_watch_batch *batch)
{
    (void)ctx;
    for (uint32_t i = 0; i < batch->target_count; i++) {
        deliver(batch->targets[i].user, batch);
    }
}

/* ------------------------------------------------------------------ connections */

static void take_request(client *from, uint8_t kind, uint64_t id, reader *in)
{
    request *of = must_alloc(sizeof *of);
    *of = (request){.next = from->requests, .owner = from, .id = id, .kind = kind};
    from->requests = of;
    kvr_node_call call = {.size = sizeof call, .user = of};
    kvr_status status = KVR_EINVAL;
    switch (kind) {
    case WIRE_WRITE:
        status = take_write(of, in, &call);
        break;
    case WIRE_READ:
        status = take_read(of, in, &call);
        break;
    case WIRE_WATCH:
        status = take_watch(of, in);
        break;
    case WIRE_LEASE:
        status = take_lease(of, in, &call);
        break;
    case WIRE_COMPACT:
        status = kvr_node_compact(from->home->node, &call, read_u64(in));
        break;
    case WIRE_STATUS:
        reply_status(of);
        status = KVR_DONE;
        break;
    case WIRE_SNAPSHOT:
        refuse(of, kvr_node_snapshot(from->home->node));
        status = KVR_DONE;
        break;
    default:
        break;
    }
    if (status < 0) {
        refuse(of, status);
    }
}

static void take_frames(client *from)
{
    uint8_t kind;
    uint64_t id;
    reader fields;
    size_t size;
    int found = 0;
    while (!from->closing && buffer_size(&from->out) < OUT_HIGH * 4 &&
           (found = wire_next(&from->in, &kind, &id, &fields, &size)) == 1) {
        take_request(from, kind, id, &fields);
        buffer_take(&from->in, size);
    }
    if (found < 0) {
        from->home->garbage++;
        from->closing = true;
    }
}

static void receive(client *from)
{
    while (!from->closing && buffer_size(&from->in) < WIRE_FRAME_MAX + 65536) {
        uint8_t *room = buffer_room(&from->in, 65536);
        ssize_t got = recv(from->fd, room, 65536, 0);
        from->in.end -= 65536 - (got > 0 ? (size_t)got : 0);
        if (got > 0) {
            take_frames(from);
        } else if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            return;
        } else if (got == 0 || errno != EINTR) {
            from->closing = true;
        }
    }
}

static void flush(client *to)
{
    while (!to->closing && buffer_size(&to->out) > 0) {
        ssize_t sent = send(to->fd, to->out.data + to->out.start, buffer_size(&to->out), MSG_NOSIGNAL);
        if (sent > 0) {
            buffer_take(&to->out, (size_t)sent);
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            return;
        } else if (errno != EINTR) {
            to->closing = true;
        }
    }
}

/* The client took what it had: reads go on, watchers are resumed. */
static void refill(client *to)
{
    if (buffer_size(&to->out) > OUT_LOW) {
        return;
    }
    for (request *of = to->requests, *next; of != NULL && buffer_size(&to->out) < OUT_HIGH; of = next) {
        next = of->next;
        if (of->view != NULL) {
            continue_read(of);
        }
    }
    for (watcher *one = to->watchers; one != NULL; one = one->next) {
        if (one->paused && one->node_id != 0) {
            one->paused = kvr_node_watch_resume(to->home->node, one->node_id) != KVR_OK;
        }
    }
}

static void free_client(client *gone)
{
    while (gone->watchers != NULL) {
        watcher *one = gone->watchers;
        gone->watchers = one->next;
        if (one->node_id != 0) {
            (void)!kvr_node_watch_cancel(gone->home->node, one->node_id);
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

static void accept_clients(server *self)
{
    int one = 1;
    int fd;
    uint32_t count = 0;
    for (client *each = self->clients; each != NULL; each = each->next) {
        count++;
    }
    while ((fd = accept(self->client_listener, NULL, NULL)) >= 0) {
        if (count++ >= CLIENTS_MAX || !set_nonblocking(fd)) {
            close(fd);
            continue;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        client *fresh = must_alloc(sizeof *fresh);
        *fresh = (client){.next = self->clients, .home = self, .fd = fd};
        self->clients = fresh;
    }
}

/* ------------------------------------------------------------------ the main loop's side */

void clients_poll(server *self, struct pollfd *fds, uint32_t *count)
{
    fds[(*count)++] = (struct pollfd){.fd = self->client_listener, .events = POLLIN};
    client **at = &self->clients;
    while (*at != NULL) {
        client *each = *at;
        refill(each);
        flush(each);
        if (each->closing) {
            *at = each->next;
            free_client(each);
            continue;
        }
        short events = (short)(buffer_size(&each->out) > 0 ? POLLIN | POLLOUT : POLLIN);
        fds[(*count)++] = (struct pollfd){.fd = each->fd, .events = events};
        at = &each->next;
    }
}

void clients_handle(server *self, const struct pollfd *fds, uint32_t count)
{
    for (uint32_t f = 0; f < count; f++) {
        if (fds[f].revents == 0) {
            continue;
        }
        if (fds[f].fd == self->client_listener) {
            accept_clients(self);
        }
        for (client *each = self->clients; each != NULL; each = each->next) {
            if (each->fd == fds[f].fd) {
                receive(each);
            }
        }
    }
}

void clients_close(server *self)
{
    while (self->clients != NULL) {
        client *each = self->clients;
        self->clients = each->next;
        flush(each);
        free_client(each);
    }
    if (self->client_listener >= 0) {
        close(self->client_listener);
    }
}
