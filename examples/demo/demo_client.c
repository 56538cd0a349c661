/* SPDX-License-Identifier: Apache-2.0 */
/* demo_client.c: a client's connection: to one endpoint at a time, and to the next one when it fails. Blocking, with
 * a timeout. A call whose connection broke is not repeated by itself, since it may have been executed. */
#include "demo.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

uint64_t monotonic_ns(void)
{
    return kvr_posix_clock()->now(NULL);
}

bool client_endpoints(connection *link, const char *list)
{
    char *copy = must_alloc(strlen(list) + 1);
    memcpy(copy, list, strlen(list));
    *link = (connection){.fd = -1, .timeout_ns = 10000000000};
    char *rest = copy;
    bool good = true;
    for (char *item = strsep(&rest, ","); good && item != NULL; item = strsep(&rest, ",")) {
        good = link->endpoint_count < MEMBERS_MAX && parse_address(item, &link->endpoints[link->endpoint_count]);
        link->endpoint_count += good;
    }
    free(copy);
    return good && link->endpoint_count > 0;
}

void client_disconnect(connection *link)
{
    if (link->fd >= 0) {
        close(link->fd);
    }
    link->fd = -1;
    buffer_release(&link->in);
    buffer_release(&link->out);
}

bool client_connect(connection *link)
{
    int one = 1;
    if (link->fd >= 0) {
        return true;
    }
    for (size_t tried = 0; tried < link->endpoint_count; tried++) {
        const struct sockaddr_in *to = &link->endpoints[link->endpoint];
        link->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (link->fd >= 0 && connect(link->fd, (const struct sockaddr *)to, sizeof *to) == 0 &&
            setsockopt(link->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) == 0) {
            return true;
        }
        client_disconnect(link);
        link->endpoint = (link->endpoint + 1) % link->endpoint_count;
    }
    return false;
}

size_t client_begin(connection *link, uint8_t kind)
{
    return wire_begin(&link->out, kind, ++link->next_id);
}

bool client_send(connection *link)
{
    while (link->fd >= 0 && buffer_size(&link->out) > 0) {
        ssize_t sent = send(link->fd, link->out.data + link->out.start, buffer_size(&link->out), MSG_NOSIGNAL);
        if (sent > 0) {
            buffer_take(&link->out, (size_t)sent);
        } else if (errno != EINTR) {
            return false;
        }
    }
    return link->fd >= 0;
}

static bool take_reply(connection *link, reply *out_reply)
{
    size_t size;
    int found = wire_next(&link->in, &out_reply->kind, &out_reply->id, &out_reply->fields, &size);
    if (found != 1) {
        return false;
    }
    buffer_take(&link->in, size);
    if (out_reply->kind != WIRE_KVS) {
        out_reply->status = (kvr_status)read_u32(&out_reply->fields);
        out_reply->outcome = out_reply->kind == WIRE_REPLY ? read_u8(&out_reply->fields) : 0;
        out_reply->revision = read_u64(&out_reply->fields);
    }
    return true;
}

bool client_receive(connection *link, uint64_t timeout_ns, reply *out_reply)
{
    uint64_t end_ns = monotonic_ns() + timeout_ns;
    while (link->fd >= 0 && !take_reply(link, out_reply)) {
        uint64_t now_ns = monotonic_ns();
        struct pollfd wait = {.fd = link->fd, .events = POLLIN};
        int ready = now_ns >= end_ns ? 0 : poll(&wait, 1, (int)((end_ns - now_ns) / 1000000) + 1);
        if (ready <= 0) {
            if (ready < 0 && errno == EINTR) {
                continue;
            }
            return false;
        }
        uint8_t *room = buffer_room(&link->in, 65536);
        ssize_t got = recv(link->fd, room, 65536, 0);
        link->in.end -= 65536 - (got > 0 ? (size_t)got : 0);
        if (got == 0 || (got < 0 && errno != EINTR)) {
            return false;
        }
    }
    return link->fd >= 0;
}

bool client_call(connection *link, reply *out_reply)
{
    uint64_t id = link->next_id;
    bool good = client_connect(link) && client_send(link);
    while (good) {
        good = client_receive(link, link->timeout_ns, out_reply);
        if (good && out_reply->id == id) {
            return true;
        }
    }
    client_disconnect(link);
    link->endpoint = (link->endpoint + 1) % link->endpoint_count;
    return false;
}
