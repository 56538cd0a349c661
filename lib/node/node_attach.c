/* SPDX-License-Identifier: Apache-2.0 */
/* node_attach.c: the ordered set of (lease, key). A treap (Seidel and Aragon, 1996) whose
 * priorities are hashes: no parents, no rotations, insertion splits and removal merges, all without
 * recursion. Start at kvr__attach_add. */
#include "node_attach.h"

#include "base/assertion.h"
#include "base/checksum.h"

#include <string.h>

void kvr__attach_init(kvr__attach *attach, kvr__mem *mem, uint64_t seed)
{
    *attach = (kvr__attach){.mem = mem, .seed = seed};
}

static void free_attachment(kvr__attach *attach, kvr__attachment *item)
{
    kvr__mem_free(attach->mem, KVR__MEM_LEASE, item, sizeof *item + item->key_size);
}

void kvr__attach_release(kvr__attach *attach)
{
    kvr__attach_drop_spares(attach);
    kvr__attachment *item = attach->root;
    while (item != NULL) {
        if (item->left != NULL) { /* rotate until there is no left child: no stack is needed */
            kvr__attachment *left = item->left;
            item->left = left->right;
            left->right = item;
            item = left;
        } else {
            kvr__attachment *right = item->right;
            free_attachment(attach, item);
            item = right;
        }
    }
    attach->root = NULL;
    attach->count = 0;
}

/* Negative: (lease, key) stands before `item`. */
static int compare(int64_t lease, const kvr_slice *key, const kvr__attachment *item)
{
    if (lease != item->lease) {
        return lease < item->lease ? -1 : 1;
    }
    size_t common = key->size < item->key_size ? key->size : item->key_size;
    int order = memcmp(key->data, item->key, common);
    if (order != 0 || key->size == item->key_size) {
        return order;
    }
    return key->size < item->key_size ? -1 : 1;
}

kvr_status kvr__attach_reserve(kvr__attach *attach, int64_t lease, const kvr_slice *key)
{
    KVR_ASSERT(lease != 0);
    KVR_ASSERT(key->size > 0 && key->size <= UINT32_MAX);
    kvr__attachment *item = kvr__mem_alloc(attach->mem, KVR__MEM_LEASE, sizeof *item + key->size);
    if (item == NULL) {
        return KVR_ENOMEM;
    }
    *item = (kvr__attachment){.lease = lease, .key_size = (uint32_t)key->size};
    memcpy(item->key, key->data, key->size);
    uint64_t hash = kvr__xxh3_64_seed(key->data, key->size, attach->seed ^ (uint64_t)lease);
    item->priority = (uint32_t)hash;
    kvr__attachment **end = &attach->spares;
    while (*end != NULL) {
        end = &(*end)->right;
    }
    *end = item;
    return KVR_OK;
}

void kvr__attach_drop_spares(kvr__attach *attach)
{
    while (attach->spares != NULL) {
        kvr__attachment *item = attach->spares;
        attach->spares = item->right;
        free_attachment(attach, item);
    }
}

static kvr__attachment *take_spare(kvr__attach *attach, int64_t lease, const kvr_slice *key)
{
    kvr__attachment **place = &attach->spares;
    while (*place != NULL && compare(lease, key, *place) != 0) {
        place = &(*place)->right;
    }
    kvr__attachment *item = *place;
    KVR_ASSERT(item != NULL);
    *place = item->right;
    item->right = NULL;
    return item;
}

static kvr__attachment **find(kvr__attach *attach, int64_t lease, const kvr_slice *key)
{
    kvr__attachment **place = &attach->root;
    while (*place != NULL) {
        int order = compare(lease, key, *place);
        if (order == 0) {
            break;
        }
        place = order < 0 ? &(*place)->left : &(*place)->right;
    }
    return place;
}

void kvr__attach_add(kvr__attach *attach, int64_t lease, const kvr_slice *key)
{
    if (*find(attach, lease, key) != NULL) {
        return;
    }
    kvr__attachment *item = take_spare(attach, lease, key);
    kvr__attachment **place = &attach->root;
    while (*place != NULL && (*place)->priority >= item->priority) {
        place = compare(lease, key, *place) < 0 ? &(*place)->left : &(*place)->right;
    }
    /* split what is below into what is before and behind the item */
    kvr__attachment *rest = *place;
    *place = item;
    kvr__attachment **before = &item->left;
    kvr__attachment **behind = &item->right;
    while (rest != NULL) {
        if (compare(lease, key, rest) < 0) {
            *behind = rest;
            behind = &rest->left;
            rest = rest->left;
        } else {
            *before = rest;
            before = &rest->right;
            rest = rest->right;
        }
    }
    *before = NULL;
    *behind = NULL;
    attach->count++;
}

void kvr__attach_remove(kvr__attach *attach, int64_t lease, const kvr_slice *key)
{
    kvr__attachment **place = find(attach, lease, key);
    kvr__attachment *item = *place;
    if (item == NULL) {
        return;
    }
    kvr__attachment *left = item->left;
    kvr__attachment *right = item->right;
    while (left != NULL && right != NULL) { /* merge both halves into its place */
        if (left->priority >= right->priority) {
            *place = left;
            place = &left->right;
            left = left->right;
        } else {
            *place = right;
            place = &right->left;
            right = right->left;
        }
    }
    *place = left != NULL ? left : right;
    free_attachment(attach, item);
    KVR_ASSERT(attach->count > 0);
    attach->count--;
}

/* The first attachment of the lease above `after`: O(log n), from the root, since there are no
 * parents. */
static const kvr__attachment *above(const kvr__attach *attach, int64_t lease,
                                    const kvr_slice *after)
{
    const kvr__attachment *best = NULL;
    const kvr__attachment *item = attach->root;
    while (item != NULL) {
        if (compare(lease, after, item) < 0) {
            best = item;
            item = item->left;
        } else {
            item = item->right;
        }
    }
    return best != NULL && best->lease == lease ? best : NULL;
}

uint32_t kvr__attach_keys(const kvr__attach *attach, int64_t lease, const kvr_slice *after,
                          kvr_slice *out_keys, uint32_t capacity)
{
    kvr_slice last = {(const uint8_t *)"", 0};
    if (after != NULL && after->size > 0) {
        last = *after;
    }
    uint32_t count = 0;
    while (count < capacity) {
        const kvr__attachment *item = above(attach, lease, &last);
        if (item == NULL) {
            break;
        }
        last = (kvr_slice){item->key, item->key_size};
        out_keys[count++] = last;
    }
    return count;
}

uint64_t kvr__attach_key_count(const kvr__attach *attach, int64_t lease)
{
    kvr_slice last = {(const uint8_t *)"", 0};
    uint64_t count = 0;
    for (const kvr__attachment *item; (item = above(attach, lease, &last)) != NULL; count++) {
        last = (kvr_slice){item->key, item->key_size};
    }
    return count;
}

void kvr__attach_check(const kvr__attach *attach)
{
    uint64_t count = 0;
    const kvr__attachment *before = NULL;
    kvr_slice last = {(const uint8_t *)"", 0};
    int64_t lease = INT64_MIN;
    for (;;) { /* in order, each found from the root */
        const kvr__attachment *best = NULL;
        for (const kvr__attachment *item = attach->root; item != NULL;) {
            if (item->left != NULL) {
                KVR_ASSERT(item->left->priority <= item->priority);
            }
            if (item->right != NULL) {
                KVR_ASSERT(item->right->priority <= item->priority);
            }
            if (compare(lease, &last, item) < 0) {
                best = item;
                item = item->left;
            } else {
                item = item->right;
            }
        }
        if (best == NULL) {
            break;
        }
        KVR_ASSERT(best != before);
        KVR_ASSERT(best->lease != 0);
        before = best;
        lease = best->lease;
        last = (kvr_slice){best->key, best->key_size};
        count++;
    }
    KVR_ASSERT(count == attach->count);
    KVR_ASSERT((attach->root == NULL) == (attach->count == 0));
}
