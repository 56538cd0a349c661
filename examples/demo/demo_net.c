/* SPDX-License-Identifier: Apache-2.0 */
/* demo_net.c: growing buffers, sockets that own two of them, and poll: for members and clients. */
#include "demo.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { READ_BYTES = 64 << 10 };

void *must_alloc(size_t size)
{
    void *block = calloc(1, size);
    if (block == NULL) {
        fprintf(stderr, "kvraft-demo: out of memory (%zu bytes)\n", size);
        exit(EXIT_FAILED);
    }
    return block;
}

size_t buffer_size(const buffer *b)
{
    return b->end - b->start;
}

uint8_t *buffer_room(buffer *b, size_t size)
{
    size_t used = buffer_size(b);
    if (used == 0) {
        b->start = b->end = 0;
    }
    if (size > b->capacity - b->end) {
        buffer old = *b;
        *b = (buffer){.end = used, .capacity = 2 * (used + size)};
        b->data = must_alloc(b->capacity);
        memcpy(b->data, used > 0 ? old.data + old.start : b->data, used);
        buffer_release(&old);
    }
    b->end += size;
    return b->data + b->end - size;
}

void buffer_release(buffer *b)
{
    free(b->data);
    *b = (buffer){0};
}

/* Takes a fresh descriptor over, or closes it if it cannot be prepared. */
static bool adopt(stream *one, int fd, bool blocking)
{
    int on = 1;
    *one = (stream){.fd = fd, .open = fd >= 0};
    if (fd >= 0 && (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 ||
                    (!blocking && fcntl(fd, F_SETFL, O_NONBLOCK) != 0) ||
                    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0)) {
        stream_close(one);
    }
    return one->open;
}

const char *address_text(const struct sockaddr_in *address)
{
    static char room[INET_ADDRSTRLEN + 8];
    const uint8_t *host = (const uint8_t *)&address->sin_addr;
    snprintf(room, sizeof room, "%u.%u.%u.%u:%u", host[0], host[1], host[2], host[3],
             ntohs(address->sin_port));
    return room;
}

bool stream_listen(stream *one, const struct sockaddr_in *address)
{
    int on = 1;
    if (adopt(one, socket(AF_INET, SOCK_STREAM, 0), false) &&
        setsockopt(one->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
        bind(one->fd, (const struct sockaddr *)address, sizeof *address) == 0 &&
        listen(one->fd, 128) == 0) {
        return true;
    }
    fprintf(stderr, "kvraft-demo: cannot listen on %s: %s%s\n", address_text(address),
            strerror(errno), errno == EADDRINUSE ? "; stop who does, or choose another port" : "");
    stream_close(one);
    return false;
}

bool stream_accept(stream *listener, stream *out_stream)
{
    return adopt(out_stream, accept(listener->fd, NULL, NULL), false);
}

bool stream_connect(stream *one, const struct sockaddr_in *address, bool blocking)
{
    if (adopt(one, socket(AF_INET, SOCK_STREAM, 0), blocking) &&
        connect(one->fd, (const struct sockaddr *)address, sizeof *address) != 0 &&
        (blocking || errno != EINPROGRESS)) {
        stream_close(one);
    }
    return one->open;
}

bool stream_read(stream *one)
{
    ssize_t got = recv(one->fd, buffer_room(&one->in, READ_BYTES), READ_BYTES, 0);
    one->in.end -= READ_BYTES - (got > 0 ? (size_t)got : 0);
    return got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR));
}

bool stream_write(stream *one)
{
    buffer *out = &one->out;
    while (buffer_size(out) > 0) {
        ssize_t sent = send(one->fd, out->data + out->start, buffer_size(out), MSG_NOSIGNAL);
        if (sent < 0 && errno != EINTR) {
            return errno == EAGAIN || errno == ENOTCONN; /* not connected yet is no failure */
        }
        out->start += sent > 0 ? (size_t)sent : 0;
    }
    return true;
}

void stream_close(stream *one)
{
    if (one->open) {
        close(one->fd);
    }
    buffer_release(&one->in);
    buffer_release(&one->out);
    *one = (stream){0};
}

volatile sig_atomic_t interrupted;

static void interrupt(int signal_number)
{
    (void)signal_number;
    interrupted = 1;
}

void catch_interrupts(void)
{
    const struct sigaction action = {.sa_handler = interrupt};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
}

uint64_t now_ns(void)
{
    return kvr_posix_clock()->now(NULL);
}

void waits_add(waits *all, stream *one, short events)
{
    one->ready = 0;
    if (one->open && all->count < COUNT_OF(all->fds)) {
        events = (short)(events | (buffer_size(&one->out) > 0 ? POLLOUT : 0));
        all->fds[all->count] = (struct pollfd){.fd = one->fd, .events = events};
        all->streams[all->count++] = one;
    }
}

/* In milliseconds, rounded up, so that the deadline has passed when it returns without more. */
void waits_poll(waits *all)
{
    uint64_t now = now_ns();
    uint64_t wait_ns = all->deadline_ns > now ? all->deadline_ns - now : 0;
    int wait_ms = wait_ns > 1000000000 ? 1000 : (int)((wait_ns + 999999) / 1000000);
    int found = poll(all->fds, all->count, wait_ms);
    for (uint32_t i = 0; found > 0 && i < all->count; i++) {
        all->streams[i]->ready = all->fds[i].revents;
    }
}
