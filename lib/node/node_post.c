/* SPDX-License-Identifier: Apache-2.0 */
/* node_post.c: messages between nodes that are no part of consensus: state hashes, questions about
 * leases and their answers. A body is a head and records of one size; what is longer than we know
 * is skipped. Both may be hostile. Little-endian:
 *
 *   0 u16 head size (8)   2 u8 version (1)   3 u8 flags   4 u16 record size   6 u16 record count
 *                         8 records
 *
 * Start at kvr__post_receive. */
#include "node_internal.h"

enum { POST_VERSION = 1 };

kvr_status kvr__post_begin(kvr__post *post, kvr_node *node, uint8_t flags)
{
    *post = (kvr__post){.flags = flags, .size = KVR__POST_HEAD};
    post->bytes = kvr__mem_alloc(&node->mem, KVR__MEM_MESSAGE, KVR__POST_BYTES_MAX);
    return post->bytes == NULL ? KVR_ENOMEM : KVR_OK;
}

uint8_t *kvr__post_add(kvr__post *post, size_t record_size)
{
    if (post->size + record_size > KVR__POST_BYTES_MAX) {
        return NULL;
    }
    uint8_t *at = post->bytes + post->size;
    post->record_size = (uint16_t)record_size;
    post->size += record_size;
    post->count++;
    return at;
}

kvr_status kvr__post_send(kvr_node *node, uint64_t to, uint8_t type, kvr__post *post)
{
    kvr__store_u16(post->bytes, KVR__POST_HEAD);
    post->bytes[2] = POST_VERSION;
    post->bytes[3] = post->flags;
    kvr__store_u16(post->bytes + 4, post->record_size);
    kvr__store_u16(post->bytes + 6, (uint16_t)post->count);
    kvr_slice body = {post->bytes, post->size};
    kvr_status status = post->count == 0 ? KVR_OK : kvr_raft_post(node->raft, to, type, &body);
    kvr__mem_free(&node->mem, KVR__MEM_MESSAGE, post->bytes, KVR__POST_BYTES_MAX);
    post->bytes = NULL;
    return status;
}

/* ------------------------------------------------------------------ receiving */

static void receive_question(kvr_node *node, uint64_t from, const uint8_t *record)
{
    kvr__ask question = {.from = from,
                         .request = kvr__load_u64(record),
                         .lease = (int64_t)kvr__load_u64(record + 8),
                         .kind = kvr__load_u32(record + 16)};
    kvr__leasing_take(node, &question);
}

static void receive_answer(kvr_node *node, const uint8_t *record)
{
    kvr__ask answer = {.request = kvr__load_u64(record),
                       .lease = (int64_t)kvr__load_u64(record + 8),
                       .ttl_ns = kvr__load_u64(record + 16),
                       .remaining_ns = kvr__load_u64(record + 24),
                       .status = (kvr_status)kvr__load_u32(record + 32)};
    if (answer.status == KVR_OK || answer.status == KVR_ENOLEASE) {
        kvr__question_answered(node, &answer);
    }
}

static size_t known_size(uint8_t type)
{
    switch (type) {
    case KVR__POST_HASH:
        return KVR__POST_HASH_SIZE;
    case KVR__POST_LEASE_ASK:
        return KVR__POST_ASK_SIZE;
    case KVR__POST_LEASE_ANSWER:
        return KVR__POST_ANSWER_SIZE;
    case KVR__POST_CHANGE:
        return KVR__CHANGE_HEAD;
    case KVR__POST_CHANGE_ANSWER:
        return KVR__CHANGE_ANSWER_SIZE;
    default:
        return SIZE_MAX; /* a newer version's: ignored */
    }
}

static void receive_record(kvr_node *node, const kvr_raft_post_in *post, const kvr_slice *record)
{
    kvr__hash_point point;
    switch (post->type) {
    case KVR__POST_HASH:
        point = (kvr__hash_point){kvr__load_u64(record->data), kvr__load_u64(record->data + 8)};
        kvr__exchange_claim(node, post->from, &point);
        break;
    case KVR__POST_LEASE_ASK:
        receive_question(node, post->from, record->data);
        break;
    case KVR__POST_LEASE_ANSWER:
        receive_answer(node, record->data);
        break;
    case KVR__POST_CHANGE:
        kvr__changing_asked(node, post->from, record);
        break;
    default:
        kvr__changing_answered(node, record->data);
    }
}

void kvr__post_receive(kvr_node *node, const kvr_raft_post_in *post)
{
    const uint8_t *body = post->body.data;
    if (post->body.size < KVR__POST_HEAD || body[2] == 0) {
        return;
    }
    size_t head = kvr__load_u16(body);
    size_t record_size = kvr__load_u16(body + 4);
    size_t count = kvr__load_u16(body + 6);
    if (head < KVR__POST_HEAD || record_size < known_size(post->type) ||
        head + record_size * count != post->body.size) {
        return;
    }
    for (size_t i = 0; i < count; i++) {
        kvr_slice record = {body + head + i * record_size, record_size};
        receive_record(node, post, &record);
    }
    if (post->type == KVR__POST_HASH && (body[3] & KVR__POST_WANTS) != 0) {
        kvr__exchange_asked(node, post->from);
    }
}
