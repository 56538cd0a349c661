/* SPDX-License-Identifier: Apache-2.0 */
/* raft_outbox.c: messages under construction. One is filled while the other is shown, and both are
 * used again, so a steady state allocates nothing. A message is sealed (length, checksum) when it
 * is shown: until then it may grow, and until the term and vote are durable it is not shown at
 * all. */
#include "base/array.h"
#include "raft_internal.h"

enum { FIRST_BYTES = 256, KEEP_BYTES = 64 * 1024, IDLE_TICKS_MAX = 2 };

static bool grow_bytes(kvr_raft *raft, kvr__raft_outbox *outbox, size_t want)
{
    if (want <= outbox->capacity) {
        return true;
    }
    size_t capacity = outbox->capacity == 0 ? FIRST_BYTES : outbox->capacity;
    while (capacity < want) {
        capacity *= 2;
    }
    uint8_t *bytes =
        kvr__mem_realloc(&raft->mem, KVR__MEM_MESSAGE, outbox->bytes, outbox->capacity, capacity);
    if (bytes == NULL) {
        return false;
    }
    outbox->bytes = bytes;
    outbox->capacity = capacity;
    return true;
}

/* Room for one more message that ends at `end`; false: no memory, or too many wait. */
static bool make_room(kvr_raft *raft, kvr__raft_outbox *outbox, size_t end)
{
    if (outbox->count == KVR__RAFT_OUTBOX_MAX ||
        (outbox->count > 0 && end > KVR__RAFT_OUTBOX_BYTES_MAX)) {
        return false;
    }
    return kvr__array_grow(&raft->mem, KVR__MEM_MESSAGE, (void **)&outbox->messages,
                           &outbox->message_capacity, outbox->count + 1,
                           sizeof *outbox->messages) == KVR_OK &&
           grow_bytes(raft, outbox, end);
}

uint8_t *kvr__raft_outbox_open(kvr_raft *raft, uint64_t to, uint8_t type, size_t size)
{
    kvr__raft_outbox *outbox = &raft->outbox;
    size_t length = KVR__RAFT_HEAD_SIZE + size;
    size_t start = (outbox->size + 7) & ~(size_t)7;
    bool fits = start + length <= outbox->capacity && outbox->count < outbox->message_capacity;
    if (!fits && !make_room(raft, outbox, start + length)) {
        KVR__RAFT_COUNT(raft, messages_dropped, 1);
        return NULL;
    }
    if (type != KVR__RAFT_HEARTBEAT && type != KVR__RAFT_HEARTBEAT_REPLY) {
        kvr_raft_wake(raft);
    }
    outbox->messages[outbox->count] = (kvr_message){
        .to = to,
        .token = start,
        .bytes = {NULL, length},
    };
    outbox->count++;
    outbox->size = start + length;
    raft->forward_message = 0;
    kvr_message_info head = {
        .cluster_id = raft->config.cluster_id,
        .group_id = raft->config.group_id,
        .from = raft->config.member_id,
        .to = to,
        .term = raft->term,
        .type = type,
        .level = (uint8_t)raft->config.level,
    };
    kvr__raft_message_write_head(outbox->bytes + start, &head);
    raft->work = true;
    return outbox->bytes + start + KVR__RAFT_HEAD_SIZE;
}

uint8_t *kvr__raft_outbox_extend(kvr_raft *raft, size_t size)
{
    kvr__raft_outbox *outbox = &raft->outbox;
    KVR_ASSERT(outbox->count > 0);
    if (outbox->size + size > KVR__RAFT_OUTBOX_BYTES_MAX ||
        !grow_bytes(raft, outbox, outbox->size + size)) {
        return NULL;
    }
    uint8_t *room = outbox->bytes + outbox->size;
    outbox->messages[outbox->count - 1].bytes.size += size;
    outbox->size += size;
    raft->work = true;
    return room;
}

void kvr__raft_outbox_clear(kvr_raft *raft)
{
    raft->outbox.count = 0;
    raft->outbox.size = 0;
    raft->forward_message = 0;
}

static void trace_sent(kvr_raft *raft, kvr_slice bytes)
{
    kvr__raft_message message;
    kvr_status status = kvr__raft_message_read(bytes, &message);
    KVR_ASSERT(status == KVR_OK);
    kvr__raft_trace_message(raft, &message, true);
}

/* Shows what was filled, and fills the other one from now on. */
void kvr__raft_outbox_show(kvr_raft *raft)
{
    kvr__raft_outbox full = raft->outbox;
    raft->outbox = raft->shown_outbox;
    raft->shown_outbox = full;
    raft->forward_message = 0;
    for (uint32_t i = 0; i < full.count; i++) {
        kvr_message *message = &full.messages[i];
        uint8_t *bytes = full.bytes + message->token;
        kvr__raft_message_seal(bytes, (uint32_t)message->bytes.size);
        KVR__RAFT_COUNT(raft, messages_sent[kvr__raft_message_type(bytes)], 1);
        KVR__RAFT_COUNT(raft, bytes_sent, message->bytes.size);
        message->bytes.data = bytes;
        if (raft->config.trace > 1) {
            trace_sent(raft, message->bytes);
        }
        message->token = ++raft->message_token;
    }
}

static void outbox_free(kvr_raft *raft, kvr__raft_outbox *outbox)
{
    kvr__mem_free(&raft->mem, KVR__MEM_MESSAGE, outbox->bytes, outbox->capacity);
    kvr__array_free(&raft->mem, KVR__MEM_MESSAGE, (void **)&outbox->messages,
                    &outbox->message_capacity, sizeof *outbox->messages);
    *outbox = (kvr__raft_outbox){0};
}

void kvr__raft_outbox_advance(kvr_raft *raft)
{
    kvr__raft_outbox *outbox = &raft->shown_outbox;
#ifdef KVR_CHECK
    if (outbox->size > 0) {
        memset(outbox->bytes, KVR__MEM_POISON, outbox->size);
    }
#endif
    outbox->used_max = outbox->size > outbox->used_max ? outbox->size : outbox->used_max;
    outbox->count = 0;
    outbox->size = 0;
}

/* Called with each heartbeat: an array that was hardly used for some of them gives its memory
 * back. */
void kvr__raft_outbox_trim(kvr_raft *raft)
{
    kvr__raft_outbox *outboxes[] = {&raft->outbox, &raft->shown_outbox};
    KVR_ASSERT(!raft->shown);
    for (int i = 0; i < 2; i++) {
        kvr__raft_outbox *outbox = outboxes[i];
        bool idle = outbox->capacity > KEEP_BYTES && outbox->used_max < outbox->capacity / 4;
        outbox->idle_ticks = idle ? outbox->idle_ticks + 1 : 0;
        outbox->used_max = 0;
        if (outbox->idle_ticks > IDLE_TICKS_MAX && outbox->count == 0) {
            outbox_free(raft, outbox);
        }
    }
}

void kvr__raft_outbox_release(kvr_raft *raft)
{
    outbox_free(raft, &raft->outbox);
    outbox_free(raft, &raft->shown_outbox);
}
