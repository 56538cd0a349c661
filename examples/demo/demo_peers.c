/* SPDX-License-Identifier: Apache-2.0 */
/* demo_peers.c: messages between members over TCP. Each member connects to each other one and only sends on that
 * connection; what it accepts it only reads. Raft repeats what matters, so a message to a member that is away or
 * too slow is dropped. A stranger's bytes are recognised by the envelope's checksum, and he is disconnected. */
#include "demo.h"

#include <errno.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { OUT_MAX = 16 << 20, MESSAGE_MAX = 8 << 20, INCOMING_MAX = 32, RETRY_NS = 100000000 };

typedef struct outgoing {
    uint64_t id;
    int fd; /* -1: not connected */
    bool connecting;
    uint64_t retry_ns; /* not before */
    buffer out;
} outgoing;

typedef struct incoming {
    int fd; /* -1: free place */
    buffer in;
} incoming;

struct peer {
    outgoing to[MEMBERS_MAX];
    incoming from[INCOMING_MAX];
};

bool peers_open(server *self)
{
    self->peers = must_alloc(sizeof *self->peers);
    for (uint32_t i = 0; i < INCOMING_MAX; i++) {
        self->peers->from[i].fd = -1;
    }
    for (uint32_t i = 0; i < self->peer_count; i++) {
        self->peers->to[i] = (outgoing){.id = self->ids[i], .fd = -1};
        if (self->ids[i] == self->id) {
            self->peer_listener = listen_on(&self->addresses[i]);
        }
    }
    return self->peer_listener >= 0;
}

/* ------------------------------------------------------------------ sending */

static void disconnect(outgoing *to, uint64_t now_ns)
{
    if (to->fd >= 0) {
        close(to->fd);
    }
    buffer_release(&to->out); /* a message cut in two would be garbage to the next connection */
    to->fd = -1;
    to->connecting = false;
    to->retry_ns = now_ns + RETRY_NS;
}

static void connect_to(outgoing *to, const struct sockaddr_in *address, uint64_t now_ns)
{
    int one = 1;
    to->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (to->fd < 0 || !set_nonblocking(to->fd) ||
        setsockopt(to->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) != 0 ||
        (connect(to->fd, (const struct sockaddr *)address, sizeof *address) != 0 && errno != EINPROGRESS)) {
        disconnect(to, now_ns);
        return;
    }
    to->connecting = true;
}

static void flush(outgoing *to, uint64_t now_ns)
{
    while (to->fd >= 0 && !to->connecting && buffer_size(&to->out) > 0) {
        ssize_t sent = send(to->fd, to->out.data + to->out.start, buffer_size(&to->out), MSG_NOSIGNAL);
        if (sent > 0) {
            buffer_take(&to->out, (size_t)sent);
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            return;
        } else if (errno != EINTR) {
            disconnect(to, now_ns);
        }
    }
}

/* Only collects: peers_poll sends all messages of one run together. */
void peers_send(void *ctx, const kvr_message *message)
{
    server *self = ctx;
    for (uint32_t i = 0; i < self->peer_count; i++) {
        outgoing *to = &self->peers->to[i];
        if (to->id == message->to && to->fd >= 0 && buffer_size(&to->out) + message->bytes.size <= OUT_MAX) {
            buffer_add(&to->out, message->bytes.data, message->bytes.size);
        }
    }
}

/* ------------------------------------------------------------------ receiving */

static void drop_incoming(incoming *from)
{
    close(from->fd);
    from->fd = -1;
    buffer_release(&from->in);
}

/* Hands every whole message to the node. False: garbage. */
static bool take_messages(server *self, incoming *from)
{
    for (;;) {
        kvr_slice bytes = {from->in.data + from->in.start, buffer_size(&from->in)};
        kvr_message_info info;
        if (bytes.size == 0) {
            return true;
        }
        kvr_status status = kvr_message_peek(&bytes, MESSAGE_MAX, &info);
        if (status == KVR_END) {
            return true;
        }
        if (status != KVR_OK) {
            return false;
        }
        bytes.size = info.length;
        status = kvr_node_receive(self->node, &bytes);
        buffer_take(&from->in, info.length);
        if (status == KVR_ECORRUPT || status == KVR_EMISMATCH || status == KVR_EVERSION) {
            return false;
        }
    }
}

static void receive(server *self, incoming *from)
{
    for (;;) {
        uint8_t *room = buffer_room(&from->in, 65536);
        ssize_t got = recv(from->fd, room, 65536, 0);
        from->in.end -= 65536 - (got > 0 ? (size_t)got : 0);
        if (got > 0) {
            if (!take_messages(self, from)) {
                self->garbage++;
                fprintf(stderr, "member %" PRIu64 ": a peer sent what is no message of this cluster; disconnected "
                        "(%" PRIu64 " so far)\n", self->id, self->garbage);
                drop_incoming(from);
                return;
            }
        } else if (got < 0 && errno == EINTR) {
            continue;
        } else if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            return;
        } else {
            drop_incoming(from);
            return;
        }
    }
}

static void accept_peers(server *self)
{
    int fd;
    while ((fd = accept(self->peer_listener, NULL, NULL)) >= 0) {
        incoming *place = NULL;
        for (uint32_t i = 0; place == NULL && i < INCOMING_MAX; i++) {
            place = self->peers->from[i].fd < 0 ? &self->peers->from[i] : NULL;
        }
        if (place == NULL || !set_nonblocking(fd)) {
            close(fd);
        } else {
            place->fd = fd;
        }
    }
}

/* ------------------------------------------------------------------ the main loop's side */

void peers_poll(server *self, struct pollfd *fds, uint32_t *count, uint64_t now_ns)
{
    fds[(*count)++] = (struct pollfd){.fd = self->peer_listener, .events = POLLIN};
    for (uint32_t i = 0; i < self->peer_count; i++) {
        outgoing *to = &self->peers->to[i];
        if (to->id != self->id && to->fd < 0 && now_ns >= to->retry_ns) {
            connect_to(to, &self->addresses[i], now_ns);
        }
        flush(to, now_ns);
        if (to->fd >= 0) {
            bool wants_out = to->connecting || buffer_size(&to->out) > 0;
            fds[(*count)++] = (struct pollfd){.fd = to->fd, .events = (short)(wants_out ? POLLIN | POLLOUT : POLLIN)};
        }
    }
    for (uint32_t i = 0; i < INCOMING_MAX; i++) {
        if (self->peers->from[i].fd >= 0) {
            fds[(*count)++] = (struct pollfd){.fd = self->peers->from[i].fd, .events = POLLIN};
        }
    }
}

static void handle_outgoing(outgoing *to, short events, uint64_t now_ns)
{
    int failure = 0;
    socklen_t size = sizeof failure;
    if (to->connecting && (events & (POLLOUT | POLLERR | POLLHUP)) != 0) {
        if (getsockopt(to->fd, SOL_SOCKET, SO_ERROR, &failure, &size) != 0 || failure != 0) {
            disconnect(to, now_ns);
            return;
        }
        to->connecting = false;
    } else if ((events & (POLLIN | POLLERR | POLLHUP)) != 0) {
        disconnect(to, now_ns); /* nobody sends on this one: it was closed */
    }
}

void peers_handle(server *self, const struct pollfd *fds, uint32_t count, uint64_t now_ns)
{
    for (uint32_t f = 0; f < count; f++) {
        if (fds[f].revents == 0) {
            continue;
        }
        if (fds[f].fd == self->peer_listener) {
            accept_peers(self);
        }
        for (uint32_t i = 0; i < self->peer_count; i++) {
            if (self->peers->to[i].fd == fds[f].fd) {
                handle_outgoing(&self->peers->to[i], fds[f].revents, now_ns);
            }
        }
        for (uint32_t i = 0; i < INCOMING_MAX; i++) {
            if (self->peers->from[i].fd == fds[f].fd) {
                receive(self, &self->peers->from[i]);
            }
        }
    }
}

uint64_t peers_deadline(const server *self)
{
    uint64_t deadline = UINT64_MAX;
    for (uint32_t i = 0; i < self->peer_count; i++) {
        const outgoing *to = &self->peers->to[i];
        if (to->id != self->id && to->fd < 0 && to->retry_ns < deadline) {
            deadline = to->retry_ns;
        }
    }
    return deadline;
}

void peers_close(server *self)
{
    for (uint32_t i = 0; self->peers != NULL && i < INCOMING_MAX; i++) {
        if (self->peers->from[i].fd >= 0) {
            drop_incoming(&self->peers->from[i]);
        }
    }
    for (uint32_t i = 0; self->peers != NULL && i < self->peer_count; i++) {
        disconnect(&self->peers->to[i], 0);
    }
    free(self->peers);
    if (self->peer_listener >= 0) {
        close(self->peer_listener);
    }
}
