/* SPDX-License-Identifier: Apache-2.0 */
/* demo_peers.c: messages between members over TCP. Each member connects to each other one and only
 * sends on that connection; what it accepts it only reads. Raft repeats what matters, so a message
 * to a member that is away or too slow is dropped. A stranger's bytes do not pass the checksum,
 * cluster and length of the envelope: he is disconnected and counted. */
#include "demo.h"

#include <inttypes.h>
#include <string.h>

enum { OUT_MAX = 16 << 20, MESSAGE_MAX = 8 << 20, RETRY_NS = 100000000 };

/* Only collects: all messages of one run leave together, in peers_wait. */
void peers_send(void *ctx, const kvr_message *message)
{
    server *self = ctx;
    const kvr_slice *bytes = &message->bytes;
    for (uint32_t i = 0; i < self->chosen->peers.count; i++) {
        stream *to = &self->to[i];
        if (self->chosen->peers.ids[i] == message->to && to->open &&
            buffer_size(&to->out) + bytes->size <= OUT_MAX) {
            memcpy(buffer_room(&to->out, bytes->size), bytes->data, bytes->size);
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
        in->start += info.length;
    }
    return false;
}

static void receive(server *self, stream *from)
{
    bool open = stream_read(from);
    if (!take_messages(self, &from->in)) {
        fprintf(stderr,
                "member %" PRIu64 ": disconnected a peer that is none (%" PRIu64 " so far)\n",
                self->chosen->id, ++self->garbage);
        open = false;
    }
    if (!open) {
        stream_close(from);
    }
}

void peers_wait(server *self, waits *all)
{
    for (uint32_t i = 0; i < self->chosen->peers.count; i++) {
        stream *to = &self->to[i];
        if (!to->open && now_ns() >= self->retry_ns[i]) {
            self->retry_ns[i] = now_ns() + RETRY_NS;
            stream_connect(to, &self->chosen->peers.addresses[i], false);
        }
        if (to->open && !stream_write(to)) {
            stream_close(to); /* half a message would be garbage on the next connection */
        }
        if (!to->open && self->retry_ns[i] < all->deadline_ns) {
            all->deadline_ns = self->retry_ns[i];
        }
        waits_add(all, to, POLLIN);
    }
    for (int i = 0; i < INCOMING_MAX; i++) {
        waits_add(all, &self->from[i], POLLIN);
    }
    waits_add(all, &self->peer_listener, POLLIN);
}

void peers_ready(server *self)
{
    for (int i = 0; i < MEMBERS_MAX; i++) {
        if ((self->to[i].ready & (POLLIN | POLLERR | POLLHUP)) != 0) {
            stream_close(&self->to[i]); /* nobody sends on this one: it was closed */
        }
    }
    for (int i = 0; i < INCOMING_MAX; i++) {
        if (self->from[i].ready != 0) {
            receive(self, &self->from[i]);
        }
    }
    if (self->peer_listener.ready != 0) { /* the oldest goes: its member comes again */
        stream *place = &self->from[self->accepted++ % INCOMING_MAX];
        stream_close(place);
        stream_accept(&self->peer_listener, place);
    }
}
