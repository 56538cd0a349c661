/* SPDX-License-Identifier: Apache-2.0 */
/* mvcc_search.c: finding a key, its place and its rank. Only reads, and only what no writer changes
 * once a view sees it: so it serves the owner and the readers of views on other threads alike.
 *
 * A search is a chain of cache misses: the leaf's heads, its slot, the record. Each is asked for as
 * soon as its address is known, the heads in one go. */
#include "mvcc_internal.h"

int32_t kvr__mvcc_key_compare(kvr_slice a, kvr_slice b)
{
    size_t size = a.size < b.size ? a.size : b.size;
    int32_t order = size == 0 ? 0 : memcmp(a.data, b.data, size);
    return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

uint32_t kvr__mvcc_common_prefix(kvr_slice a, kvr_slice b)
{
    size_t size = a.size < b.size ? a.size : b.size;
    size_t i = 0;
    while (i < size && a.data[i] == b.data[i]) {
        i++;
    }
    return (uint32_t)i;
}

uint32_t kvr__mvcc_key_head(const uint8_t *key, size_t size, uint32_t skip)
{
    if (__builtin_expect(size >= (size_t)skip + 4, 1)) {
        uint32_t head;
        memcpy(&head, key + skip, sizeof head);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
        head = __builtin_bswap32(head);
#endif
        return head;
    }
    /* short keys are padded with zeros: their order stays, ties go to the full key */
    uint32_t head = 0;
    for (uint32_t i = skip; i < skip + 4; i++) {
        head = head << 8 | (i < size ? key[i] : 0);
    }
    return head;
}

/* The number of heads below `head`: halving without a branch that depends on data. */
static uint32_t heads_below(const uint32_t *heads, uint32_t count, uint32_t head)
{
    const uint32_t *base = heads;
    while (count > 1) {
        uint32_t half = count / 2;
        base += (size_t)(base[half - 1] < head) * half;
        count -= half;
    }
    return (uint32_t)(base - heads) + (count == 1 && *base < head);
}

/* The end of the run of heads equal to heads[at]. */
static uint32_t heads_run(const uint32_t *heads, uint32_t at, uint32_t count)
{
    uint32_t head = heads[at];
    return head == UINT32_MAX ? count : at + heads_below(heads + at, count - at, head + 1);
}

/* Record key against `key`, which has the leaf's `skip` bytes in common with it. */
static int32_t record_compare(const kvr__mvcc_record *record, kvr_slice key, uint32_t skip)
{
    const uint8_t *data = kvr__mvcc_record_key(record);
    size_t size = record->key_size;
    size_t shorter = size < key.size ? size : key.size;
    KVR_ASSERT(shorter >= skip);
    int32_t order = memcmp(data + skip, key.data + skip, shorter - skip);
    return order != 0 ? order : (size > key.size) - (size < key.size);
}

bool kvr__mvcc_path_may_be_exact(const kvr__mvcc_path *path, kvr_slice key)
{
    if (path->depth == 0) {
        return false;
    }
    const kvr__mvcc_leaf *leaf = kvr__mvcc_path_leaf(path);
    uint32_t head = kvr__mvcc_key_head(key.data, key.size, leaf->node.skip);
    uint32_t at = heads_below(leaf->heads, leaf->node.count, head);
    return at < leaf->node.count && leaf->heads[at] == head;
}

uint32_t kvr__mvcc_leaf_search(const kvr__mvcc_leaf *leaf, kvr_slice key, bool *out_is_exact)
{
    uint32_t count = leaf->node.count;
    uint32_t head = kvr__mvcc_key_head(key.data, key.size, leaf->node.skip);
    uint32_t at = heads_below(leaf->heads, count, head);
    *out_is_exact = false;
    if (at == count || leaf->heads[at] != head) {
        return at;
    }
    kvr__mvcc_record *const *slots = kvr__mvcc_leaf_slots(leaf);
    uint32_t end = at + 1;
    if (end < count && leaf->heads[end] == head) {
        end = heads_run(leaf->heads, at, count);
    }
    while (at < end) {
        uint32_t middle = at + (end - at) / 2;
        kvr__mvcc_record_prefetch(slots[middle]);
        int32_t order = record_compare(slots[middle], key, leaf->node.skip);
        if (order == 0) {
            *out_is_exact = true;
            return middle;
        }
        if (order < 0) {
            at = middle + 1;
        } else {
            end = middle;
        }
    }
    return at;
}

uint32_t kvr__mvcc_inner_search(const kvr__mvcc_inner *inner, kvr_slice key)
{
    uint32_t count = inner->node.count;
    uint32_t skip = inner->node.skip;
    if (skip > 0) {
        size_t size = key.size < skip ? key.size : skip;
        int32_t order = memcmp(key.data, inner->separators[1]->bytes, size);
        if (order < 0 || (order == 0 && key.size < skip)) {
            return 0;
        }
        if (order > 0) {
            return count - 1;
        }
    }
    uint32_t head = kvr__mvcc_key_head(key.data, key.size, skip);
    uint32_t at = 1 + heads_below(inner->heads + 1, count - 1, head);
    if (at == count || inner->heads[at] != head) {
        return at - 1;
    }
    uint32_t end = heads_run(inner->heads, at, count);
    while (at < end) {
        uint32_t middle = at + (end - at) / 2;
        if (kvr__mvcc_key_compare(kvr__mvcc_separator_slice(inner->separators[middle]), key) <= 0) {
            at = middle + 1;
        } else {
            end = middle;
        }
    }
    return at - 1;
}

KVR__MVCC_PREFETCHES prefetch_node(const kvr__mvcc_node *node)
{
    const uint8_t *at = (const uint8_t *)node;
    __builtin_prefetch(at);
    __builtin_prefetch(at + 64);
    __builtin_prefetch(at + 128);
    __builtin_prefetch(at + 192);
}

kvr__mvcc_record *kvr__mvcc_tree_find(const kvr__mvcc_node *root, kvr_slice key)
{
    const kvr__mvcc_node *node = root;
    if (node == NULL) {
        return NULL;
    }
    while (node->level > 0) {
        const kvr__mvcc_inner *inner = kvr__mvcc_inner_of(node);
        node = inner->children[kvr__mvcc_inner_search(inner, key)];
        prefetch_node(node);
    }
    const kvr__mvcc_leaf *leaf = kvr__mvcc_leaf_of(node);
    bool is_exact;
    uint32_t at = kvr__mvcc_leaf_search(leaf, key, &is_exact);
    return is_exact ? kvr__mvcc_leaf_slots(leaf)[at] : NULL;
}

void kvr__mvcc_tree_descend(kvr__mvcc_node *root, kvr_slice key, kvr__mvcc_path *out_path)
{
    kvr__mvcc_node *node = root;
    out_path->depth = 0;
    out_path->is_exact = false;
    if (node == NULL) {
        return;
    }
    uint32_t depth = 0;
    for (; node->level > 0; depth++) {
        const kvr__mvcc_inner *inner = kvr__mvcc_inner_of(node);
        uint32_t at = kvr__mvcc_inner_search(inner, key);
        out_path->nodes[depth] = node;
        out_path->at[depth] = (uint8_t)at;
        node = inner->children[at];
        prefetch_node(node);
    }
    out_path->nodes[depth] = node;
    out_path->depth = depth + 1;
}

void kvr__mvcc_path_search(kvr__mvcc_path *path, kvr_slice key)
{
    if (path->depth > 0) {
        path->at[path->depth - 1] =
            (uint8_t)kvr__mvcc_leaf_search(kvr__mvcc_path_leaf(path), key, &path->is_exact);
    }
}

void kvr__mvcc_tree_seek(kvr__mvcc_node *root, kvr_slice key, kvr__mvcc_path *out_path)
{
    kvr__mvcc_tree_descend(root, key, out_path);
    kvr__mvcc_path_search(out_path, key);
}

uint32_t kvr__mvcc_node_live(const kvr__mvcc_node *node)
{
    if (node->level == 0) {
        return (uint32_t)__builtin_popcountll(node->live);
    }
    uint32_t live = 0;
    for (uint32_t i = 0; i < node->count; i++) {
        live += kvr__mvcc_inner_of(node)->live[i];
    }
    return live;
}

uint64_t kvr__mvcc_tree_rank(const kvr__mvcc_node *root, kvr_slice key)
{
    uint64_t rank = 0;
    const kvr__mvcc_node *node = root;
    if (node == NULL) {
        return 0;
    }
    while (node->level > 0) {
        const kvr__mvcc_inner *inner = kvr__mvcc_inner_of(node);
        uint32_t at = kvr__mvcc_inner_search(inner, key);
        node = inner->children[at];
        prefetch_node(node);
        for (uint32_t i = 0; i < at; i++) {
            rank += inner->live[i];
        }
    }
    bool is_exact;
    uint32_t at = kvr__mvcc_leaf_search(kvr__mvcc_leaf_of(node), key, &is_exact);
    return rank + (uint64_t)__builtin_popcountll(node->live & kvr__mvcc_bits_below(at));
}

bool kvr__mvcc_path_next_leaf(kvr__mvcc_path *path)
{
    uint32_t i = path->depth;
    do {
        if (i < 2) {
            return false;
        }
        i--;
    } while (path->at[i - 1] + 1 == path->nodes[i - 1]->count);
    path->at[i - 1]++;
    for (; i < path->depth; i++) {
        path->nodes[i] = kvr__mvcc_inner_of(path->nodes[i - 1])->children[path->at[i - 1]];
        path->at[i] = 0;
    }
    path->is_exact = false;
    return true;
}

void kvr__mvcc_path_fences(const kvr__mvcc_path *path, const kvr__mvcc_separator **out_low,
                           const kvr__mvcc_separator **out_high)
{
    *out_low = NULL;
    *out_high = NULL;
    for (uint32_t i = path->depth - 1; i > 0; i--) {
        const kvr__mvcc_inner *inner = kvr__mvcc_inner_of(path->nodes[i - 1]);
        uint32_t at = path->at[i - 1];
        if (*out_low == NULL && at > 0) {
            *out_low = inner->separators[at];
        }
        if (*out_high == NULL && at + 1 < inner->node.count) {
            *out_high = inner->separators[at + 1];
        }
    }
}

/* ------------------------------------------------------------------ intervals */

kvr__mvcc_interval kvr__mvcc_interval_of(const kvr_slice *key, const kvr_slice *range_end)
{
    return (kvr__mvcc_interval){
        .from = *key,
        .to = *range_end,
        .is_single = range_end->size == 0,
        .is_unbounded = range_end->size == 1 && range_end->data[0] == 0,
    };
}

bool kvr__mvcc_interval_is_empty(const kvr__mvcc_interval *interval)
{
    return !interval->is_single && !interval->is_unbounded &&
           kvr__mvcc_key_compare(interval->from, interval->to) >= 0;
}

bool kvr__mvcc_interval_has(const kvr__mvcc_interval *interval, kvr_slice key)
{
    int32_t order = kvr__mvcc_key_compare(key, interval->from);
    if (interval->is_single) {
        return order == 0;
    }
    return order >= 0 && (interval->is_unbounded || kvr__mvcc_key_compare(key, interval->to) < 0);
}
