/* SPDX-License-Identifier: Apache-2.0 */
/* lease_set.c: the leases by id, in a B+tree whose leaves are chained. A full node splits in
 * halves, or, if the new entry belongs at its end, into the full node and one that begins: so ids
 * that count up, and snapshots, fill nodes whole. A node goes when it is empty, not when it is half
 * empty: simpler, and the slab would not return the memory earlier (Johnson and Shasha, "B-trees
 * with Inserts and Deletes: Why Free-at-Empty Is Better Than Merge-at-Half", 1993). Why no hash
 * map: ids come from clients, who could choose colliding ones, and a list in order is wanted. */
#include "lease_internal.h"

#include "base/assertion.h"
#include "base/checksum.h"
#include "base/codec.h"

#include <string.h>

/* The way from the root to a leaf: path[0] is the leaf, path[height - 1] the root. */
typedef struct step {
    kvr__lease_node *node;
    uint32_t slot; /* of the kid that the way takes; in the leaf, of the id itself */
} step;

_Static_assert(sizeof(kvr__lease) == 56, "the lease is what a million of is paid for");
_Static_assert(sizeof(kvr__lease_node) <= KVR__SLAB_MAX,
               "nodes are reserved, which slabs do up to here");

uint64_t kvr__lease_hash(const kvr__lease *lease)
{
    uint8_t bytes[32];
    kvr__store_u64(bytes, (uint64_t)lease->id);
    kvr__store_u64(bytes + 8, lease->ttl_ns);
    kvr__store_u64(bytes + 16, lease->recorded_ns);
    kvr__store_u64(bytes + 24, lease->granted_ns);
    return kvr__xxh3_64(bytes, sizeof bytes);
}

/* How many ids of the node are at or below `id`. */
static uint32_t rank_of(const kvr__lease_node *node, int64_t id)
{
    uint32_t low = 0;
    uint32_t left = (uint32_t)node->count;
    while (left > 0) {
        uint32_t half = left / 2;
        if (node->ids[low + half] <= id) {
            low += half + 1;
            left -= half + 1;
        } else {
            left = half;
        }
    }
    return low;
}

/* The kid of an inner node whose ids include `id`. */
static uint32_t kid_of(const kvr__lease_node *node, int64_t id)
{
    uint32_t rank = rank_of(node, id);
    return rank == 0 ? 0 : rank - 1;
}

/* Asks for all lines of a node at once: a search touches several, and would wait for one after the
 * other. */
static kvr__lease_node *fetch(kvr__lease_node *node)
{
    for (size_t at = 0; at < sizeof *node; at += 64) {
        __builtin_prefetch((const uint8_t *)node + at);
    }
    return node;
}

static kvr__lease_node *leaf_of(const kvr__lease_set *set, int64_t id)
{
    kvr__lease_node *node = set->root;
    for (uint32_t level = set->height; level > 1; level--) {
        node = fetch(node->kids[kid_of(node, id)]);
    }
    return node;
}

/* Fills path[0..height - 1]; path[0].slot is where `id` is or would be. */
static void walk(const kvr__lease_set *set, int64_t id, step *path)
{
    kvr__lease_node *node = set->root;
    for (uint32_t level = set->height; level > 1; level--) {
        uint32_t slot = kid_of(node, id);
        path[level - 1] = (step){node, slot};
        node = node->kids[slot];
    }
    uint32_t rank = rank_of(node, id);
    bool found = rank > 0 && node->ids[rank - 1] == id;
    path[0] = (step){node, found ? rank - 1 : rank};
}

kvr__lease *kvr__lease_set_find(const kvr__lease_set *set, int64_t id)
{
    if (set->height == 0) {
        return NULL;
    }
    const kvr__lease_node *leaf = leaf_of(set, id);
    uint32_t rank = rank_of(leaf, id);
    return rank > 0 && leaf->ids[rank - 1] == id ? leaf->kids[rank - 1] : NULL;
}

/* ------------------------------------------------------------------ adding */

static void insert_at(kvr__lease_node *node, uint32_t slot, int64_t id, void *kid)
{
    KVR_ASSERT(node->count < KVR__LEASE_FANOUT);
    KVR_ASSERT(slot <= node->count);
    size_t after = (size_t)node->count - slot;
    memmove(&node->ids[slot + 1], &node->ids[slot], after * sizeof node->ids[0]);
    memmove(&node->kids[slot + 1], &node->kids[slot], after * sizeof node->kids[0]);
    node->ids[slot] = id;
    node->kids[slot] = kid;
    node->count++;
}

static kvr__lease_node *new_node(kvr__lease_set *set)
{
    kvr__lease_node *node = kvr__slab_alloc(set->slab, sizeof *node);
    KVR_ASSERT(node != NULL); /* reserve_nodes */
    node->prev = NULL;
    node->next = NULL;
    node->count = 0;
    return node;
}

/* Puts the entry at `slot` into a full node by splitting it, and returns the new right one. */
static kvr__lease_node *split_at(kvr__lease_set *set, step at, int64_t id, void *kid)
{
    kvr__lease_node *left = at.node;
    kvr__lease_node *right = new_node(set);
    uint32_t keep = at.slot == KVR__LEASE_FANOUT ? KVR__LEASE_FANOUT : KVR__LEASE_FANOUT / 2;
    right->count = KVR__LEASE_FANOUT - keep;
    left->count = keep;
    memcpy(right->ids, &left->ids[keep], (size_t)right->count * sizeof right->ids[0]);
    memcpy(right->kids, &left->kids[keep], (size_t)right->count * sizeof right->kids[0]);
    if (at.slot < keep || (at.slot == keep && keep < KVR__LEASE_FANOUT)) {
        insert_at(left, at.slot, id, kid);
    } else {
        insert_at(right, at.slot - keep, id, kid);
    }
    return right;
}

static void chain_after(kvr__lease_node *left, kvr__lease_node *right)
{
    right->prev = left;
    right->next = left->next;
    if (right->next != NULL) {
        right->next->prev = right;
    }
    left->next = right;
}

static void insert(kvr__lease_set *set, step *path, kvr__lease *lease)
{
    int64_t id = lease->id;
    void *kid = lease;
    /* A new lowest id: whoever stands above it must not tell a higher one, or the right half of a
     * later split would be put before its left one. */
    for (uint32_t level = 1; level < set->height && id < path[level].node->ids[0]; level++) {
        path[level].node->ids[0] = id;
    }
    for (uint32_t level = 0; level < set->height; level++) {
        step at = path[level];
        if (at.node->count < KVR__LEASE_FANOUT) {
            insert_at(at.node, at.slot, id, kid);
            return;
        }
        kvr__lease_node *right = split_at(set, at, id, kid);
        if (level == 0) {
            chain_after(at.node, right);
        }
        id = right->ids[0];
        kid = right;
        if (level + 1 < set->height) {
            path[level + 1].slot++; /* the right half stands after its left one */
        }
    }
    kvr__lease_node *root = new_node(set);
    if (set->height > 0) {
        insert_at(root, 0, set->root->ids[0], set->root);
    }
    insert_at(root, (uint32_t)root->count, id, kid);
    set->root = root;
    set->height++;
    KVR_ASSERT(set->height <= KVR__LEASE_HEIGHT_MAX);
}

/* One node for each full one from the leaf up, and a root above if all are full. */
static kvr_status reserve_nodes(kvr__lease_set *set, const step *path)
{
    uint32_t level = 0;
    while (level < set->height && path[level].node->count == KVR__LEASE_FANOUT) {
        level++;
    }
    uint32_t needed = level == set->height ? level + 1 : level;
    return needed == 0 ? KVR_OK : kvr__slab_reserve(set->slab, sizeof(kvr__lease_node), needed);
}

kvr__lease *kvr__lease_set_add(kvr__lease_set *set, int64_t id, uint64_t ttl_ns,
                               uint64_t granted_ns)
{
    step path[KVR__LEASE_HEIGHT_MAX];
    if (set->height > 0) {
        walk(set, id, path);
        KVR_ASSERT(path[0].slot == path[0].node->count || path[0].node->ids[path[0].slot] != id);
    }
    if (set->count >= KVR__LEASE_COUNT_MAX || reserve_nodes(set, path) != KVR_OK) {
        return NULL;
    }
    kvr__lease *lease = kvr__slab_alloc(set->slab, sizeof *lease);
    if (lease == NULL) {
        return NULL;
    }
    *lease = (kvr__lease){.id = id, .ttl_ns = ttl_ns, .granted_ns = granted_ns};
    insert(set, path, lease);
    set->count++;
    set->hash += kvr__lease_hash(lease);
    return lease;
}

/* ------------------------------------------------------------------ removing and recording */

static void remove_at(kvr__lease_node *node, uint32_t slot)
{
    KVR_ASSERT(slot < node->count);
    node->count--;
    size_t after = (size_t)node->count - slot;
    memmove(&node->ids[slot], &node->ids[slot + 1], after * sizeof node->ids[0]);
    memmove(&node->kids[slot], &node->kids[slot + 1], after * sizeof node->kids[0]);
}

static void free_node(kvr__lease_set *set, kvr__lease_node *node)
{
    if (node->prev != NULL) {
        node->prev->next = node->next;
    }
    if (node->next != NULL) {
        node->next->prev = node->prev;
    }
    kvr__slab_free(set->slab, node, sizeof *node);
}

void kvr__lease_set_remove(kvr__lease_set *set, kvr__lease *lease)
{
    KVR_ASSERT(set->count > 0);
    step path[KVR__LEASE_HEIGHT_MAX];
    walk(set, lease->id, path);
    KVR_ASSERT(path[0].slot < path[0].node->count);
    KVR_ASSERT(path[0].node->kids[path[0].slot] == lease);
    uint32_t level = 0;
    remove_at(path[0].node, path[0].slot);
    while (path[level].node->count == 0) {
        free_node(set, path[level].node);
        level++;
        if (level == set->height) {
            set->root = NULL;
            set->height = 0;
            break;
        }
        remove_at(path[level].node, path[level].slot);
    }
    while (set->height > 1 && set->root->count == 1) {
        kvr__lease_node *old = set->root;
        set->root = old->kids[0];
        set->height--;
        free_node(set, old);
    }
    set->count--;
    set->hash -= kvr__lease_hash(lease);
    kvr__slab_free(set->slab, lease, sizeof *lease);
}

void kvr__lease_set_record(kvr__lease_set *set, kvr__lease *lease, uint64_t renewed_ns)
{
    set->hash -= kvr__lease_hash(lease);
    lease->recorded_ns = renewed_ns;
    set->hash += kvr__lease_hash(lease);
}

/* ------------------------------------------------------------------ in order */

kvr__lease_spot kvr__lease_set_seek(const kvr__lease_set *set, int64_t id)
{
    if (set->height == 0) {
        return (kvr__lease_spot){NULL, 0};
    }
    step path[KVR__LEASE_HEIGHT_MAX];
    walk(set, id, path);
    return (kvr__lease_spot){path[0].node, path[0].slot};
}

kvr__lease *kvr__lease_set_next(kvr__lease_spot *spot)
{
    while (spot->leaf != NULL && spot->slot == spot->leaf->count) {
        *spot = (kvr__lease_spot){spot->leaf->next, 0};
    }
    return spot->leaf == NULL ? NULL : spot->leaf->kids[spot->slot++];
}
