/* SPDX-License-Identifier: Apache-2.0 */
/* demo_peers.c: messages between members over TCP. Each member connects to each other one and only
 * sends on that connection; what it accepts it only reads. Raft repeats what matters, so a message
 * to a member that is away or too slow is dropped. A stranger's bytes do not pass the checksum,
 * cluster and length of the envelope: he is disconnected and counted. */
#include "demo.h"

#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { OUT_MAX = 16 << 20, MESSAGE_MAX = 8 << 20, INCOMING_MAX = 32, RETRY_NS = 100000000 };

typedef struct outgoing {
    int fd;            /* -1: not connected */
    uint64_t retry_ns; /* not before */
    buffer out;
} outgoing;

typedef struct incoming {
    int fd; /* -1: free place */
    buffer in;
} incoming;

struct peers {
    outgoing to[MEMBERS_MAX];
    incoming from[INCOMING_MAX];
};

bool peers_open(server *self)
{
    self->peers = must_alloc(sizeof *self->peers);
    for (int i = 0; i < INCOMING_MAX; i++) {
        self->peers->from[i].fd = -1;
    }
    for (uint32_t i = 0; i < self->member_count; i++) {
        self->peers->to[i].fd = -1;
        if (self->ids[i] == self->id) {
            self->peer_listener = net_listen(&self->addresses[i]);
        }
    }
    return self->peer_listener >= 0;
}

static void hang_up(int *fd, buffer *bytes)
{
    if (*fd >= 0) {
        close(*fd);
    }
    *fd = -1;
    buffer_release(bytes); /* a message cut in two would be garbage on the next connection */
}

/* Only collects: all messages of one run leave together, in peers_wait. */
void peers_send(void *ctx, const kvr_message *message)
{
    server *self = ctx;
    for (uint32_t i = 0; i < self->member_count; i++) {
        outgoing *to = &self->peers->to[i];
        if (self->ids[i] == message->to && to->fd >= 0 &&
            buffer_size(&to->out) + message->bytes.size <= OUT_MAX) {
            memcpy(buffer_room(&to->out, message->bytes.size), message->bytes.data,
                   message->bytes.size);
        }
    }
}

/* Hands every whole message to the node. False: this is no member of the cluster. */
static bool take_messages(server *self, buffer *in)
{
    kvr_status status = KVR_OK;
    while (status != KVR_ECORRUPT && status != KVR_EMISMATCH && status != KVR_EVERSION) {
        kvr_slice bytes = {in->data + in->start, buffer_size(in)};
        kvr_message_info info;
        status = bytes.size == 0 ? KVR_END : kvr_message_peek(&bytes, MESSAGE_MAX, &info);
        if (status == KVR_END) {
            return true;
        }
        if (status != KVR_OK) {
            return false;
        }
        bytes.size = info.length;
        status = kvr_node_receive(self->node, &bytes);
        buffer_take(in, info.length);
    }
    return false;
}

static void receive(server *self, incoming *from)
{
    bool open = net_read(from->fd, &from->in);
    if (!take_messages(self, &from->in)) {
        fprintf(stderr,
                "member %" PRIu64 ": disconnected a peer that is none (%" PRIu64 " so far)\n",
                self->id, ++self->garbage);
        open = false;
    }
    if (!open) {
        hang_up(&from->fd, &from->in);
    }
}

static void accept_peers(server *self)
{
    for (int fd; (fd = net_accept(self->peer_listener)) >= 0;) {
        int place = 0;
        while (place < INCOMING_MAX && self->peers->from[place].fd >= 0) {
            place++;
        }
        if (place < INCOMING_MAX) {
            self->peers->from[place].fd = fd;
        } else {
            close(fd);
        }
    }
}

/* ---------------------------------------------------------------- the main loop's side */

uint64_t peers_wait(server *self, waits *all, uint64_t now_ns)
{
    uint64_t reconnect_ns = UINT64_MAX;
    all->fds[all->count++] = (struct pollfd){.fd = self->peer_listener, .events = POLLIN};
    for (uint32_t i = 0; i < self->member_count; i++) {
        outgoing *to = &self->peers->to[i];
        if (self->ids[i] == self->id) {
            continue;
        }
        if (to->fd < 0 && now_ns >= to->retry_ns) {
            to->fd = net_connect(&self->addresses[i], false);
            to->retry_ns = now_ns + RETRY_NS;
        }
        if (to->fd >= 0 && !net_write(to->fd, &to->out)) {
            hang_up(&to->fd, &to->out);
        }
        if (to->fd >= 0) {
            short events = buffer_size(&to->out) > 0 ? POLLIN | POLLOUT : POLLIN;
            all->fds[all->count++] = (struct pollfd){.fd = to->fd, .events = events};
        } else if (to->retry_ns < reconnect_ns) {
            reconnect_ns = to->retry_ns;
        }
    }
    for (int i = 0; i < INCOMING_MAX; i++) {
        if (self->peers->from[i].fd >= 0) {
            all->fds[all->count++] =
                (struct pollfd){.fd = self->peers->from[i].fd, .events = POLLIN};
        }
    }
    return reconnect_ns;
}

void peers_ready(server *self, const waits *ready)
{
    for (uint32_t f = 0; f < ready->count; f++) {
        short events = ready->fds[f].revents;
        if (events == 0) {
            continue;
        }
        if (ready->fds[f].fd == self->peer_listener) {
            accept_peers(self);
        }
        for (uint32_t i = 0; i < self->member_count; i++) {
            outgoing *to = &self->peers->to[i];
            if (to->fd == ready->fds[f].fd && (events & (POLLIN | POLLERR | POLLHUP)) != 0) {
                hang_up(&to->fd, &to->out); /* nobody sends on this one: it was closed */
            }
        }
        for (int i = 0; i < INCOMING_MAX; i++) {
            if (self->peers->from[i].fd == ready->fds[f].fd) {
                receive(self, &self->peers->from[i]);
            }
        }
    }
}

void peers_close(server *self)
{
    for (int i = 0; self->peers != NULL && i < INCOMING_MAX; i++) {
        hang_up(&self->peers->from[i].fd, &self->peers->from[i].in);
    }
    for (uint32_t i = 0; self->peers != NULL && i < self->member_count; i++) {
        hang_up(&self->peers->to[i].fd, &self->peers->to[i].out);
    }
    free(self->peers);
    if (self->peer_listener >= 0) {
        close(self->peer_listener);
    }
}
