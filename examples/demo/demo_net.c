/* SPDX-License-Identifier: Apache-2.0 */
/* demo_net.c: growing buffers and the few socket calls that members and clients share. */
#include "demo.h"

#include <arpa/inet.h>
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
    if (b->start > b->capacity / 2 || b->start == b->end) {
        if (b->start < b->end) {
            memmove(b->data, b->data + b->start, buffer_size(b));
        }
        b->end = buffer_size(b);
        b->start = 0;
    }
    if (size > b->capacity - b->end) {
        size_t capacity = b->capacity == 0 ? 4096 : b->capacity;
        while (capacity - b->end < size) {
            capacity *= 2;
        }
        uint8_t *data = must_alloc(capacity);
        if (b->end > 0) {
            memcpy(data, b->data, b->end);
        }
        free(b->data);
        b->data = data;
        b->capacity = capacity;
    }
    b->end += size;
    return b->data + b->end - size;
}

void buffer_take(buffer *b, size_t size)
{
    b->start += size;
}

void buffer_release(buffer *b)
{
    free(b->data);
    *b = (buffer){0};
}

/* ---------------------------------------------------------------- sockets */

static bool prepare(int fd, bool blocking)
{
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fcntl(fd, F_SETFD, FD_CLOEXEC) == 0 && (blocking || fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
}

int net_listen(const struct sockaddr_in *address)
{
    char host[INET_ADDRSTRLEN] = "?";
    int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0 &&
        bind(fd, (const struct sockaddr *)address, sizeof *address) == 0 && listen(fd, 128) == 0 &&
        prepare(fd, false)) {
        return fd;
    }
    inet_ntop(AF_INET, &address->sin_addr, host, sizeof host);
    fprintf(stderr, "kvraft-demo: cannot listen on %s:%u: %s%s\n", host, ntohs(address->sin_port),
            strerror(errno), errno == EADDRINUSE ? "; stop who does, or choose another port" : "");
    if (fd >= 0) {
        close(fd);
    }
    return -1;
}

int net_accept(int listener)
{
    int fd = accept(listener, NULL, NULL);
    if (fd >= 0 && !prepare(fd, false)) {
        close(fd);
        fd = -1;
    }
    return fd;
}

int net_connect(const struct sockaddr_in *address, bool blocking)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd >= 0 && prepare(fd, blocking) &&
        (connect(fd, (const struct sockaddr *)address, sizeof *address) == 0 ||
         (!blocking && errno == EINPROGRESS))) {
        return fd;
    }
    if (fd >= 0) {
        close(fd);
    }
    return -1;
}

bool net_read(int fd, buffer *in)
{
    ssize_t got = recv(fd, buffer_room(in, READ_BYTES), READ_BYTES, 0);
    in->end -= READ_BYTES - (got > 0 ? (size_t)got : 0);
    return got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR));
}

bool net_write(int fd, buffer *out)
{
    while (buffer_size(out) > 0) {
        ssize_t sent = send(fd, out->data + out->start, buffer_size(out), MSG_NOSIGNAL);
        if (sent < 0 && errno != EINTR) {
            return errno == EAGAIN || errno == ENOTCONN; /* not connected yet is no failure */
        }
        buffer_take(out, sent > 0 ? (size_t)sent : 0);
    }
    return true;
}

uint64_t net_now(void)
{
    return kvr_posix_clock()->now(NULL);
}
