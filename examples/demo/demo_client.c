/* SPDX-License-Identifier: Apache-2.0 */
/* demo_client.c: a client's connection: to one endpoint at a time, and to the next when it fails,
 * with a timeout. A call whose connection broke is not repeated by itself: it may have been
 * executed. */
#include "demo.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool client_endpoints(connection *link, const char *list)
{
    char *copy = strdup(list);
    char *rest = NULL;
    bool good = copy != NULL;
    *link = (connection){.fd = -1, .timeout_ns = 10000000000};
    for (char *item = strtok_r(copy, ",", &rest); good && item != NULL;
         item = strtok_r(NULL, ",", &rest)) {
        good = link->endpoint_count < MEMBERS_MAX &&
               parse_address(item, &link->endpoints[link->endpoint_count++]);
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
    for (size_t tried = 0; link->fd < 0 && tried < link->endpoint_count; tried++) {
        link->fd = net_connect(&link->endpoints[link->endpoint], true);
        if (link->fd < 0) {
            link->endpoint = (link->endpoint + 1) % link->endpoint_count;
        }
    }
    return link->fd >= 0;
}

size_t client_begin(connection *link, uint8_t kind)
{
    return wire_begin(&link->out, kind, ++link->next_id);
}

bool client_send(connection *link)
{
    return client_connect(link) && net_write(link->fd, &link->out);
}

static bool take_reply(connection *link, reply *out_reply)
{
    size_t size;
    if (wire_next(&link->in, &out_reply->kind, &out_reply->id, &out_reply->fields, &size) != 1) {
        return false;
    }
    buffer_take(&link->in, size);
    if (out_reply->kind != WIRE_KVS) {
        out_reply->status = (kvr_status)read_u32(&out_reply->fields);
        out_reply->outcome = read_u8(&out_reply->fields);
        out_reply->revision = read_u64(&out_reply->fields);
    }
    return true;
}

bool client_receive(connection *link, uint64_t timeout_ns, reply *out_reply)
{
    uint64_t start_ns = net_now();
    while (link->fd >= 0 && !take_reply(link, out_reply)) {
        struct pollfd wait = {.fd = link->fd, .events = POLLIN};
        uint64_t spent_ns = net_now() - start_ns;
        if (spent_ns >= timeout_ns || (poll(&wait, 1, 100) > 0 && !net_read(link->fd, &link->in))) {
            return false;
        }
    }
    return link->fd >= 0;
}

bool client_call(connection *link, size_t mark, reply *out_reply)
{
    wire_end(&link->out, mark);
    bool good = client_send(link);
    while (good && client_receive(link, link->timeout_ns, out_reply)) {
        if (out_reply->id == link->next_id) {
            return true;
        }
    }
    client_disconnect(link);
    link->endpoint = (link->endpoint + 1) % link->endpoint_count;
    return false;
}

bool reply_is_good(const reply *answer)
{
    return answer->outcome == KVR_OUTCOME_DONE && answer->status == KVR_OK;
}

/* ---------------------------------------------------------------- typed calls */

bool client_write(connection *link, const kvr_op *op, reply *out_reply)
{
    size_t mark = client_begin(link, WIRE_WRITE);
    wire_op(&link->out, op);
    return client_call(link, mark, out_reply);
}

bool client_read(connection *link, const query *wanted, reply *out_reply)
{
    size_t mark = client_begin(link, WIRE_READ);
    wire_u32(&link->out, wanted->flags);
    wire_bytes(&link->out, wanted->range.key);
    wire_bytes(&link->out, wanted->range.range_end);
    wire_u64(&link->out, wanted->range.revision);
    wire_u64(&link->out, wanted->limit);
    bool good = client_call(link, mark, out_reply);
    while (good && out_reply->kind == WIRE_KVS) {
        for (uint32_t n = read_u32(&out_reply->fields); n > 0 && !out_reply->fields.failed; n--) {
            kvr_kv kv = read_kv(&out_reply->fields);
            wanted->each(wanted->ctx, &kv);
        }
        good = client_receive(link, link->timeout_ns, out_reply);
    }
    return good;
}

bool client_watch(connection *link, kvr_slice key, kvr_slice range_end, uint32_t flags,
                  uint64_t since, reply *out_reply)
{
    size_t mark = client_begin(link, WIRE_WATCH);
    wire_u32(&link->out, flags);
    wire_bytes(&link->out, key);
    wire_bytes(&link->out, range_end);
    wire_u64(&link->out, since);
    return client_call(link, mark, out_reply);
}

bool client_lease(connection *link, uint8_t call, int64_t id, uint64_t ttl_ns, reply *out_reply)
{
    size_t mark = client_begin(link, WIRE_LEASE);
    wire_u8(&link->out, call);
    wire_u64(&link->out, (uint64_t)id);
    wire_u64(&link->out, ttl_ns);
    return client_call(link, mark, out_reply);
}

bool client_status(connection *link, uint64_t out_status[STATUS_COUNT], reply *out_reply)
{
    if (!client_call(link, client_begin(link, WIRE_STATUS), out_reply)) {
        return false;
    }
    for (size_t i = 0; i < STATUS_COUNT; i++) {
        out_status[i] = read_u64(&out_reply->fields);
    }
    return !out_reply->fields.failed;
}
