/* SPDX-License-Identifier: Apache-2.0 */
/* mvcc_tree.c: changing the tree. A node born after the newest pin opened is nobody else's and is
 * changed in place; an older one is first replaced by a copy, and so are the nodes above it
 * (kvr__mvcc_tree_own). So on a path the owned nodes come first.
 *
 * A change is made of steps that keep the keys as they are (own, grow, split) and may fail, and one
 * last step (insert, replace, take) that cannot. So KVR_ENOMEM never leaves more than another
 * shape. */
#include "mvcc_internal.h"

/* ------------------------------------------------------------------ nodes */

static size_t node_size(const kvr__mvcc_node *node)
{
    return node->level > 0 ? sizeof(kvr__mvcc_inner)
                           : sizeof(kvr__mvcc_leaf) +
                                 node->capacity * (sizeof(uint32_t) + sizeof(kvr__mvcc_record *));
}

static kvr__mvcc_node *node_new(kvr__mvcc_content *content, kvr__mvcc_node head)
{
    kvr__mvcc_node *node = kvr__slab_alloc(content->nodes, node_size(&head));
    if (node != NULL) {
        *node = head;
        node->birth = content->epoch;
    }
    return node;
}

kvr__mvcc_node *kvr__mvcc_leaf_new(kvr__mvcc_content *content, uint32_t slots)
{
    KVR_ASSERT(slots <= KVR__MVCC_LEAF_SLOTS);
    uint32_t steps = slots == 0 ? 1 : (slots + KVR__MVCC_LEAF_STEP - 1) / KVR__MVCC_LEAF_STEP;
    return node_new(content, (kvr__mvcc_node){.capacity = (uint8_t)(steps * KVR__MVCC_LEAF_STEP)});
}

kvr__mvcc_node *kvr__mvcc_inner_new(kvr__mvcc_content *content, uint32_t level)
{
    KVR_ASSERT(level > 0);
    KVR_ASSERT(level < KVR__MVCC_PATH_MAX);
    return node_new(
        content, (kvr__mvcc_node){.level = (uint8_t)level, .capacity = KVR__MVCC_INNER_CHILDREN});
}

void kvr__mvcc_node_free(kvr__mvcc_content *content, kvr__mvcc_node *node)
{
    kvr__slab_free(content->nodes, node, node_size(node));
}

/* The shortest bytes s with before < s <= key. */
kvr__mvcc_separator *kvr__mvcc_separator_new(kvr__mvcc_content *content, kvr_slice before,
                                             kvr_slice key)
{
    uint32_t size = kvr__mvcc_common_prefix(before, key) + 1;
    KVR_ASSERT(size <= key.size);
    kvr__mvcc_separator *separator = kvr__slab_alloc(content->nodes, sizeof *separator + size);
    if (separator != NULL) {
        separator->birth = content->epoch;
        separator->size = size;
        memcpy(separator->bytes, key.data, size);
    }
    return separator;
}

void kvr__mvcc_separator_free(kvr__mvcc_content *content, kvr__mvcc_separator *separator)
{
    kvr__slab_free(content->nodes, separator, sizeof *separator + separator->size);
}

/* ------------------------------------------------------------------ heads */

/* All keys that can ever come to a leaf lie between its fences, and share what those share. */
uint32_t kvr__mvcc_leaf_skip(const kvr__mvcc_separator *low, const kvr__mvcc_separator *high)
{
    if (low == NULL || high == NULL) {
        return 0;
    }
    return kvr__mvcc_common_prefix(kvr__mvcc_separator_slice(low), kvr__mvcc_separator_slice(high));
}

void kvr__mvcc_leaf_label(kvr__mvcc_leaf *leaf, uint32_t skip)
{
    kvr__mvcc_record *const *slots = kvr__mvcc_leaf_slots(leaf);
    leaf->node.skip = (uint16_t)skip;
    for (uint32_t i = 0; i < leaf->node.count; i++) {
        kvr__mvcc_record_prefetch(slots[i]);
    }
    for (uint32_t i = 0; i < leaf->node.count; i++) {
        leaf->heads[i] =
            kvr__mvcc_key_head(kvr__mvcc_record_key(slots[i]), slots[i]->key_size, skip);
    }
}

void kvr__mvcc_leaf_relabel(kvr__mvcc_leaf *leaf, const kvr__mvcc_separator *low,
                            const kvr__mvcc_separator *high)
{
    uint32_t skip = kvr__mvcc_leaf_skip(low, high);
    if (skip != leaf->node.skip) {
        kvr__mvcc_leaf_label(leaf, skip);
    }
}

/* An inner node takes what its own separators share, and a search compares that first: so a root
 * whose keys all begin alike has useful heads too. */
void kvr__mvcc_inner_relabel(kvr__mvcc_inner *inner)
{
    uint32_t count = inner->node.count;
    inner->heads[0] = 0;
    inner->node.skip = 0;
    if (count < 2) {
        return;
    }
    uint32_t skip =
        kvr__mvcc_common_prefix(kvr__mvcc_separator_slice(inner->separators[1]),
                                kvr__mvcc_separator_slice(inner->separators[count - 1]));
    inner->node.skip = (uint16_t)skip;
    for (uint32_t i = 1; i < count; i++) {
        const kvr__mvcc_separator *separator = inner->separators[i];
        inner->heads[i] = kvr__mvcc_key_head(separator->bytes, separator->size, skip);
    }
}

/* ------------------------------------------------------------------ owning a path */

static void link_node(kvr__mvcc_node **root, kvr__mvcc_path *path, uint32_t i, kvr__mvcc_node *node)
{
    path->nodes[i] = node;
    if (i == 0) {
        *root = node;
    } else {
        kvr__mvcc_inner_of(path->nodes[i - 1])->children[path->at[i - 1]] = node;
    }
}

kvr_status kvr__mvcc_tree_own(kvr__mvcc_content *content, kvr__mvcc_node **root,
                              kvr__mvcc_path *path)
{
    if (content->frozen == 0) {
        return KVR_OK;
    }
    uint32_t i = 0;
    while (i < path->depth && path->nodes[i]->birth > content->frozen) {
        i++;
    }
    if (i < path->depth && kvr__mvcc_pin_reserve(content) != KVR_OK) {
        return KVR_ENOMEM;
    }
    for (; i < path->depth; i++) {
        kvr__mvcc_node *old = path->nodes[i];
        KVR_ASSERT(old->birth <= content->frozen);
        size_t size = node_size(old);
        kvr__mvcc_node *copy = kvr__slab_alloc(content->nodes, size);
        if (copy == NULL) {
            return KVR_ENOMEM;
        }
        memcpy(copy, old, size);
        copy->birth = content->epoch;
        link_node(root, path, i, copy);
        kvr__mvcc_pin_retire_node(content, old);
    }
    return KVR_OK;
}

/* ------------------------------------------------------------------ room for one more */

void kvr__mvcc_leaf_copy(kvr__mvcc_leaf *to, uint32_t at, const kvr__mvcc_leaf *from,
                         uint32_t first, uint32_t count)
{
    memcpy(to->heads + at, from->heads + first, count * sizeof(uint32_t));
    memcpy(kvr__mvcc_leaf_slots(to) + at, kvr__mvcc_leaf_slots(from) + first,
           count * sizeof(kvr__mvcc_record *));
    if (count > 0) {
        to->node.live |= (from->node.live >> first & kvr__mvcc_bits_below(count)) << at;
    }
    to->node.count = (uint8_t)(at + count);
}

static kvr_status grow_leaf(kvr__mvcc_content *content, kvr__mvcc_node **root, kvr__mvcc_path *path)
{
    kvr__mvcc_leaf *old = kvr__mvcc_path_leaf(path);
    kvr__mvcc_node *grown =
        kvr__mvcc_leaf_new(content, (uint32_t)old->node.capacity + KVR__MVCC_LEAF_STEP);
    if (grown == NULL) {
        return KVR_ENOMEM;
    }
    grown->skip = old->node.skip;
    kvr__mvcc_leaf_copy(kvr__mvcc_leaf_of(grown), 0, old, 0, old->node.count);
    link_node(root, path, path->depth - 1, grown);
    kvr__mvcc_node_free(content, &old->node);
    return KVR_OK;
}

static void insert_child(kvr__mvcc_inner *inner, uint32_t at, kvr__mvcc_separator *separator,
                         kvr__mvcc_node *child)
{
    uint32_t rest = inner->node.count - at;
    KVR_ASSERT(inner->node.count < KVR__MVCC_INNER_CHILDREN);
    memmove(inner->children + at + 1, inner->children + at, rest * sizeof inner->children[0]);
    memmove(inner->separators + at + 1, inner->separators + at, rest * sizeof inner->separators[0]);
    memmove(inner->live + at + 1, inner->live + at, rest * sizeof inner->live[0]);
    inner->children[at] = child;
    inner->separators[at] = separator;
    inner->live[at] = kvr__mvcc_node_live(child);
    inner->node.count++;
    kvr__mvcc_inner_relabel(inner);
}

static kvr_status grow_root(kvr__mvcc_content *content, kvr__mvcc_node **root, kvr__mvcc_path *path)
{
    kvr__mvcc_node *node = kvr__mvcc_inner_new(content, (*root)->level + 1u);
    if (node == NULL) {
        return KVR_ENOMEM;
    }
    kvr__mvcc_inner *inner = kvr__mvcc_inner_of(node);
    insert_child(inner, 0, NULL, *root);
    KVR_ASSERT(path->depth < KVR__MVCC_PATH_MAX);
    memmove(path->nodes + 1, path->nodes, path->depth * sizeof path->nodes[0]);
    memmove(path->at + 1, path->at, path->depth * sizeof path->at[0]);
    path->depth++;
    path->nodes[0] = node;
    path->at[0] = 0;
    *root = node;
    return KVR_OK;
}

/* Where runs of ascending keys end, the left part stays nearly full: nothing will come to it any
 * more. */
static kvr_status split_inner(kvr__mvcc_content *content, kvr__mvcc_path *path, uint32_t i)
{
    kvr__mvcc_inner *left = kvr__mvcc_inner_of(path->nodes[i]);
    kvr__mvcc_node *node = kvr__mvcc_inner_new(content, left->node.level);
    if (node == NULL) {
        return KVR_ENOMEM;
    }
    kvr__mvcc_inner *right = kvr__mvcc_inner_of(node);
    uint32_t count = left->node.count;
    uint32_t keep = path->at[i] == count - 1 ? count - KVR__MVCC_INNER_MIN : count / 2;
    uint32_t rest = count - keep;
    kvr__mvcc_separator *separator = left->separators[keep];
    memcpy(right->children, left->children + keep, rest * sizeof right->children[0]);
    memcpy(right->separators, left->separators + keep, rest * sizeof right->separators[0]);
    memcpy(right->live, left->live + keep, rest * sizeof right->live[0]);
    right->separators[0] = NULL;
    right->node.count = (uint8_t)rest;
    left->node.count = (uint8_t)keep;
    kvr__mvcc_inner_relabel(left);
    kvr__mvcc_inner_relabel(right);
    kvr__mvcc_inner *parent = kvr__mvcc_inner_of(path->nodes[i - 1]);
    parent->live[path->at[i - 1]] = kvr__mvcc_node_live(&left->node);
    insert_child(parent, path->at[i - 1] + 1u, separator, node);
    if (path->at[i] >= keep) {
        path->nodes[i] = node;
        path->at[i] = (uint8_t)(path->at[i] - keep);
        path->at[i - 1]++;
    }
    return KVR_OK;
}

/* In the middle, or at the very end or start if that is where `key` goes: ascending and descending
 * keys then leave full leaves behind. */
static kvr_status split_leaf(kvr__mvcc_content *content, kvr__mvcc_path *path, kvr_slice key)
{
    uint32_t i = path->depth - 1;
    kvr__mvcc_leaf *old = kvr__mvcc_path_leaf(path);
    kvr__mvcc_record *const *slots = kvr__mvcc_leaf_slots(old);
    uint32_t count = old->node.count, at = path->at[i];
    uint32_t keep = at == count ? count : at == 0 ? 0 : count / 2;
    bool goes_right = at >= keep && at > 0;
    kvr_slice before = keep == 0 ? key : kvr__mvcc_record_key_slice(slots[keep - 1]);
    kvr_slice after = goes_right && at == keep ? key : kvr__mvcc_record_key_slice(slots[keep]);
    kvr__mvcc_node *left = kvr__mvcc_leaf_new(content, keep + !goes_right);
    kvr__mvcc_node *right = kvr__mvcc_leaf_new(content, count - keep + goes_right);
    kvr__mvcc_separator *separator = kvr__mvcc_separator_new(content, before, after);
    if (left == NULL || right == NULL || separator == NULL) {
        if (left != NULL) {
            kvr__mvcc_node_free(content, left);
        }
        if (right != NULL) {
            kvr__mvcc_node_free(content, right);
        }
        if (separator != NULL) {
            kvr__mvcc_separator_free(content, separator);
        }
        return KVR_ENOMEM;
    }
    left->skip = old->node.skip;
    right->skip = old->node.skip;
    kvr__mvcc_leaf_copy(kvr__mvcc_leaf_of(left), 0, old, 0, keep);
    kvr__mvcc_leaf_copy(kvr__mvcc_leaf_of(right), 0, old, keep, count - keep);
    const kvr__mvcc_separator *low, *high;
    kvr__mvcc_path_fences(path, &low, &high);
    kvr__mvcc_leaf_relabel(kvr__mvcc_leaf_of(left), low, separator);
    kvr__mvcc_leaf_relabel(kvr__mvcc_leaf_of(right), separator, high);
    kvr__mvcc_inner *parent = kvr__mvcc_inner_of(path->nodes[i - 1]);
    parent->children[path->at[i - 1]] = left;
    parent->live[path->at[i - 1]] = kvr__mvcc_node_live(left);
    insert_child(parent, path->at[i - 1] + 1u, separator, right);
    path->nodes[i] = goes_right ? right : left;
    if (goes_right) {
        path->at[i - 1]++;
        path->at[i] = (uint8_t)(at - keep);
    }
    kvr__mvcc_node_free(content, &old->node);
    return KVR_OK;
}

kvr_status kvr__mvcc_tree_make_room(kvr__mvcc_content *content, kvr__mvcc_node **root,
                                    kvr__mvcc_path *path, kvr_slice key)
{
    if (path->depth == 0) {
        kvr__mvcc_node *leaf = kvr__mvcc_leaf_new(content, 1);
        if (leaf == NULL) {
            return KVR_ENOMEM;
        }
        path->depth = 1;
        path->at[0] = 0;
        link_node(root, path, 0, leaf);
        return KVR_OK;
    }
    const kvr__mvcc_node *leaf = path->nodes[path->depth - 1];
    KVR_ASSERT(leaf->birth > content->frozen);
    if (leaf->count < leaf->capacity) {
        return KVR_OK;
    }
    if (leaf->capacity < KVR__MVCC_LEAF_SLOTS) {
        return grow_leaf(content, root, path);
    }
    /* The full nodes above the leaf are split from the top down, so each finds room in its
     * parent. */
    uint32_t top = path->depth - 1;
    while (top > 0 && path->nodes[top - 1]->count == KVR__MVCC_INNER_CHILDREN) {
        top--;
    }
    kvr_status status = KVR_OK;
    if (top == 0) {
        status = grow_root(content, root, path);
        top = 1;
    }
    for (; status == KVR_OK && top < path->depth - 1; top++) {
        status = split_inner(content, path, top);
    }
    return status == KVR_OK ? split_leaf(content, path, key) : status;
}

/* ------------------------------------------------------------------ the steps that cannot fail */

void kvr__mvcc_tree_count(const kvr__mvcc_path *path, int64_t more)
{
    for (uint32_t i = 0; i + 1 < path->depth; i++) {
        uint32_t *live = &kvr__mvcc_inner_of(path->nodes[i])->live[path->at[i]];
        *live = (uint32_t)(*live + more);
    }
}

void kvr__mvcc_tree_insert(const kvr__mvcc_path *path, kvr__mvcc_record *record)
{
    kvr__mvcc_leaf *leaf = kvr__mvcc_path_leaf(path);
    kvr__mvcc_record **slots = kvr__mvcc_leaf_slots(leaf);
    uint32_t at = path->at[path->depth - 1];
    uint32_t rest = leaf->node.count - at;
    KVR_ASSERT(leaf->node.count < leaf->node.capacity);
    memmove(leaf->heads + at + 1, leaf->heads + at, rest * sizeof leaf->heads[0]);
    memmove(slots + at + 1, slots + at, rest * sizeof slots[0]);
    leaf->heads[at] =
        kvr__mvcc_key_head(kvr__mvcc_record_key(record), record->key_size, leaf->node.skip);
    slots[at] = record;
    uint64_t low = kvr__mvcc_bits_below(at);
    uint64_t live = leaf->node.live;
    uint64_t bit = kvr__mvcc_record_is_live(record);
    leaf->node.live = (live & low) | bit << at | (live & ~low) << 1;
    leaf->node.count++;
    if (bit != 0) {
        kvr__mvcc_tree_count(path, 1);
    }
}

void kvr__mvcc_tree_replace(const kvr__mvcc_path *path, kvr__mvcc_record *record)
{
    kvr__mvcc_leaf *leaf = kvr__mvcc_path_leaf(path);
    uint32_t at = path->at[path->depth - 1];
    uint64_t bit = (uint64_t)1 << at;
    uint64_t live = kvr__mvcc_record_is_live(record) ? bit : 0;
    KVR_ASSERT(at < leaf->node.count);
    kvr__mvcc_leaf_slots(leaf)[at] = record;
    if ((leaf->node.live & bit) != live) {
        leaf->node.live ^= bit;
        kvr__mvcc_tree_count(path, live != 0 ? 1 : -1);
    }
}

void kvr__mvcc_tree_take(const kvr__mvcc_path *path)
{
    kvr__mvcc_leaf *leaf = kvr__mvcc_path_leaf(path);
    kvr__mvcc_record **slots = kvr__mvcc_leaf_slots(leaf);
    uint32_t at = path->at[path->depth - 1];
    KVR_ASSERT(at < leaf->node.count);
    uint32_t rest = leaf->node.count - at - 1;
    memmove(leaf->heads + at, leaf->heads + at + 1, rest * sizeof leaf->heads[0]);
    memmove(slots + at, slots + at + 1, rest * sizeof slots[0]);
    uint64_t low = kvr__mvcc_bits_below(at);
    uint64_t live = leaf->node.live;
    leaf->node.live = (live & low) | (live >> 1 & ~low);
    leaf->node.count--;
    if ((live >> at & 1) != 0) {
        kvr__mvcc_tree_count(path, -1);
    }
}
