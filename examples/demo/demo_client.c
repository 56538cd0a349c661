/* SPDX-License-Identifier: Apache-2.0 */
/* demo_client.c: a client's connection: to one endpoint at a time, and to the next when it fails,
 * with a timeout. A request whose connection broke is not repeated by itself: it may have been
 * executed. */
#include "demo.h"

bool client_send(connection *link, request *asked)
{
    for (uint32_t tried = 0; !link->io.open && tried < link->endpoints.count; tried++) {
        if (!stream_connect(&link->io, &link->endpoints.addresses[link->endpoint], true)) {
            link->endpoint = (link->endpoint + 1) % link->endpoints.count;
        }
    }
    if (!link->io.open) {
        return false;
    }
    asked->id = ++link->next_id;
    wire to = wire_begin(&link->io.out, asked->kind, asked->id);
    wire_request(&to, asked);
    wire_end(&to);
    return stream_write(&link->io);
}

reply client_receive(connection *link)
{
    uint64_t start_ns = now_ns();
    uint64_t timeout_ns = link->timeout_ns > 0 ? link->timeout_ns : 10000000000;
    bool good = link->io.open;
    while (good && now_ns() - start_ns < timeout_ns && !interrupted) {
        reply got = {.answered = true};
        struct pollfd wait = {.fd = link->io.fd, .events = POLLIN};
        int found = wire_next(&link->io.in, &got.kind, &got.id, &got.rest);
        if (found == 1) {
            wire_all(&got.rest, shape_reply, &got);
            got.good = got.outcome == KVR_OUTCOME_DONE && got.status == KVR_OK;
            return got;
        }
        good = found == 0 && (poll(&wait, 1, 100) <= 0 || stream_read(&link->io));
    }
    return (reply){.outcome = KVR_OUTCOME_UNKNOWN};
}

reply client_ask(connection *link, request *asked)
{
    reply got = {.answered = client_send(link, asked)};
    got.outcome = link->io.open ? KVR_OUTCOME_UNKNOWN : KVR_OUTCOME_REFUSED;
    while (got.answered && got.id != asked->id) {
        got = client_receive(link);
    }
    if (!got.answered) {
        stream_close(&link->io);
        link->endpoint = (link->endpoint + 1) % link->endpoints.count;
    }
    return got;
}

reply client_status(connection *link, member_status *out_status)
{
    request asked = {.kind = ASK_STATUS};
    reply got = client_ask(link, &asked);
    wire_all(&got.rest, shape_status, out_status);
    got.good = got.good && !got.rest.failed;
    return got;
}
