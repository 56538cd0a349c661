/* SPDX-License-Identifier: Apache-2.0 */
/* raft_post.c: messages of the layer above, carried like any other and understood by nobody here.
 * They change no term. Received bodies are copied to one of two arrays: one fills while the other
 * is shown. */
#include "base/array.h"
#include "raft_internal.h"

enum { FIRST_POST_BYTES = 256, BYTES_MAX = 4 * 1024 * 1024 };

kvr_status kvr_raft_post(kvr_raft *raft, uint64_t to, uint8_t type, const kvr_slice *body)
{
    if (raft->failed != KVR_OK) {
        return raft->failed;
    }
    if (to == 0 || to == raft->config.member_id || type > 127) {
        return KVR_EINVAL;
    }
    if (body->size > KVR__RAFT_POST_BYTES_MAX) {
        return KVR_ETOOBIG;
    }
    if (raft->outbox.count == KVR__RAFT_OUTBOX_MAX || raft->role == KVR_ROLE_LOADING) {
        return KVR_EBUSY;
    }
    uint8_t *out =
        kvr__raft_outbox_open(raft, to, KVR__RAFT_POST, KVR__RAFT_POST_SIZE + body->size);
    if (out == NULL) {
        return KVR_ENOMEM;
    }
    kvr__raft_message_write_post(out, type);
    if (body->size > 0) {
        memcpy(out + KVR__RAFT_POST_SIZE, body->data, body->size);
    }
    return KVR_OK;
}

static kvr_status reserve(kvr_raft *raft, kvr__raft_posts *posts, size_t size)
{
    if (posts->size + size > posts->capacity) {
        size_t capacity = posts->capacity == 0 ? FIRST_POST_BYTES : posts->capacity;
        while (capacity < posts->size + size) {
            capacity *= 2;
        }
        uint8_t *bytes =
            kvr__mem_realloc(&raft->mem, KVR__MEM_MESSAGE, posts->bytes, posts->capacity, capacity);
        if (bytes == NULL) {
            return KVR_ENOMEM;
        }
        posts->bytes = bytes;
        posts->capacity = capacity;
    }
    return kvr__array_grow(&raft->mem, KVR__MEM_MESSAGE, (void **)&posts->items,
                           &posts->item_capacity, posts->count + 1, sizeof *posts->items);
}

kvr_status kvr__raft_recv_post(kvr_raft *raft, const kvr__raft_message *message)
{
    kvr__raft_posts *posts = &raft->posts;
    uint8_t type = kvr__raft_message_read_post(message->body);
    if (type > 127 || message->tail.size > KVR__RAFT_POST_BYTES_MAX) {
        return kvr__raft_recv_bad(raft);
    }
    if (posts->count == KVR__RAFT_POSTS_MAX || posts->size + message->tail.size > BYTES_MAX) {
        return KVR_EBUSY;
    }
    if (reserve(raft, posts, message->tail.size) != KVR_OK) {
        return KVR_ENOMEM;
    }
    posts->items[posts->count] = (kvr_raft_post_in){
        .from = message->head.from,
        .term = message->head.term,
        .type = type,
        .body = {NULL, message->tail.size}, /* its place is known when it is shown */
    };
    if (message->tail.size > 0) {
        memcpy(posts->bytes + posts->size, message->tail.data, message->tail.size);
    }
    posts->size += message->tail.size;
    posts->count++;
    raft->work = true;
    return KVR_OK;
}

void kvr__raft_post_show(kvr_raft *raft)
{
    kvr__raft_posts full = raft->posts;
    raft->posts = raft->shown_posts;
    raft->shown_posts = full;
    size_t at = 0;
    for (uint32_t i = 0; i < full.count; i++) {
        full.items[i].body.data = full.bytes + at;
        at += full.items[i].body.size;
    }
    raft->ready.posts = full.items;
    raft->ready.post_count = full.count;
}

void kvr__raft_post_advance(kvr_raft *raft)
{
    raft->shown_posts.count = 0;
    raft->shown_posts.size = 0;
}

static void posts_free(kvr_raft *raft, kvr__raft_posts *posts)
{
    kvr__mem_free(&raft->mem, KVR__MEM_MESSAGE, posts->bytes, posts->capacity);
    kvr__array_free(&raft->mem, KVR__MEM_MESSAGE, (void **)&posts->items, &posts->item_capacity,
                    sizeof *posts->items);
    *posts = (kvr__raft_posts){0};
}

void kvr__raft_post_release(kvr_raft *raft)
{
    posts_free(raft, &raft->posts);
    posts_free(raft, &raft->shown_posts);
}
