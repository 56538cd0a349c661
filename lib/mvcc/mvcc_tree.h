/* SPDX-License-Identifier: Apache-2.0 */
/* mvcc_tree.h: a counted B+-tree from keys to their newest records, copy-on-write by epoch.
 *
 *   inner   children[i] holds the keys in [separators[i], separators[i + 1]); separators[0] is
 *           NULL: no bound here
 *   leaf    slots[i] is the newest record of a key; bit i of `live` says that it is not a tombstone
 *
 * Beside each separator and slot stands a head: four bytes of the key as a big-endian number, taken
 * behind `skip` bytes that all keys (a leaf: all keys that may ever come) have in common. So a
 * search reads a few cache lines of numbers, and touches a key only where heads are equal. Full
 * keys decide; heads only hurry.
 *
 * What may be changed in place, what must be copied: kvr__mvcc_tree_own. */
#ifndef KVRAFT_LIB_MVCC_TREE_H
#define KVRAFT_LIB_MVCC_TREE_H

#include "mvcc_record.h"

enum {
    KVR__MVCC_LEAF_SLOTS = 64, /* a bit each in `live` */
    KVR__MVCC_LEAF_STEP = 8,   /* leaves grow by this: a half-full one takes half the room */
    KVR__MVCC_LEAF_MIN = 16,   /* with fewer slots it is joined with a neighbour, if both fit one */
    KVR__MVCC_INNER_CHILDREN = 40,
    KVR__MVCC_INNER_MIN = 10, /* but for the root: so an inner node has neighbours */
    KVR__MVCC_PATH_MAX = 16   /* 16 * 10^14 keys are more than memory holds */
};

/* A lower bound of the keys of a subtree: the shortest string that parts it from the keys before.
 * Immutable; copies of a node share it. */
typedef struct kvr__mvcc_separator {
    uint64_t birth;
    uint32_t size;
    uint8_t bytes[];
} kvr__mvcc_separator;

typedef struct kvr__mvcc_node {
    uint64_t birth; /* epoch in which it was made */
    uint64_t live;  /* leaf: see above */
    uint16_t skip;
    uint8_t level; /* 0: leaf */
    uint8_t count; /* slots or children */
    uint8_t capacity;
    uint8_t reserved[3];
} kvr__mvcc_node;

/* heads[capacity], then slots[capacity]. */
typedef struct kvr__mvcc_leaf {
    kvr__mvcc_node node;
    uint32_t heads[];
} kvr__mvcc_leaf;

typedef struct kvr__mvcc_inner {
    kvr__mvcc_node node;
    uint32_t heads[KVR__MVCC_INNER_CHILDREN];
    kvr__mvcc_node *children[KVR__MVCC_INNER_CHILDREN];
    kvr__mvcc_separator *separators[KVR__MVCC_INNER_CHILDREN];
    uint32_t live[KVR__MVCC_INNER_CHILDREN]; /* live keys below each child */
} kvr__mvcc_inner;

_Static_assert(sizeof(kvr__mvcc_inner) <= KVR__SLAB_MAX, "nodes come from the slab");
_Static_assert(KVR__MVCC_LEAF_SLOTS % KVR__MVCC_LEAF_STEP == 0 && KVR__MVCC_LEAF_STEP % 2 == 0,
               "slots are aligned behind the heads");
_Static_assert(KVR__MVCC_INNER_CHILDREN >= 4 * KVR__MVCC_INNER_MIN,
               "halves of a split are not small");

static inline kvr__mvcc_leaf *kvr__mvcc_leaf_of(const kvr__mvcc_node *node)
{
    return (kvr__mvcc_leaf *)(uintptr_t)node;
}

static inline kvr__mvcc_inner *kvr__mvcc_inner_of(const kvr__mvcc_node *node)
{
    return (kvr__mvcc_inner *)(uintptr_t)node;
}

static inline kvr__mvcc_record **kvr__mvcc_leaf_slots(const kvr__mvcc_leaf *leaf)
{
    return (kvr__mvcc_record **)((uintptr_t)leaf + sizeof *leaf +
                                 leaf->node.capacity * sizeof(uint32_t));
}

/* The first `n` bits. */
static inline uint64_t kvr__mvcc_bits_below(uint32_t n)
{
    return n >= 64 ? UINT64_MAX : ((uint64_t)1 << n) - 1;
}

/* Which keys: [from, to), or from on, or one. Borrows. */
typedef struct kvr__mvcc_interval {
    kvr_slice from;
    kvr_slice to;
    bool is_single;    /* only `from` */
    bool is_unbounded; /* no `to` */
} kvr__mvcc_interval;

/* As kvr_range, kvr_op and kvr_compare write it. */
kvr__mvcc_interval kvr__mvcc_interval_of(const kvr_slice *key, const kvr_slice *range_end);
bool kvr__mvcc_interval_has(const kvr__mvcc_interval *interval, kvr_slice key);
bool kvr__mvcc_interval_is_empty(const kvr__mvcc_interval *interval); /* not upright */

/* From the root to the slot where a key is or belongs. */
typedef struct kvr__mvcc_path {
    kvr__mvcc_node *nodes[KVR__MVCC_PATH_MAX];
    uint8_t at[KVR__MVCC_PATH_MAX];
    uint32_t depth; /* nodes; 0: the tree is empty */
    bool is_exact;  /* the slot holds this very key */
} kvr__mvcc_path;

static inline kvr__mvcc_leaf *kvr__mvcc_path_leaf(const kvr__mvcc_path *path)
{
    return kvr__mvcc_leaf_of(path->nodes[path->depth - 1]);
}

static inline kvr__mvcc_record *kvr__mvcc_path_record(const kvr__mvcc_path *path)
{
    return kvr__mvcc_leaf_slots(kvr__mvcc_path_leaf(path))[path->at[path->depth - 1]];
}

int32_t kvr__mvcc_key_compare(kvr_slice a, kvr_slice b);

/* ---------------------------------------------------------------- mvcc_search.c: reading a tree */

/* NULL: no such slot */
kvr__mvcc_record *kvr__mvcc_tree_find(const kvr__mvcc_node *root, kvr_slice key);
void kvr__mvcc_tree_seek(kvr__mvcc_node *root, kvr_slice key, kvr__mvcc_path *out_path);
/* first half, */
void kvr__mvcc_tree_descend(kvr__mvcc_node *root, kvr_slice key, kvr__mvcc_path *out_path);
/* and second: in the leaf */
void kvr__mvcc_path_search(kvr__mvcc_path *path, kvr_slice key);
/* by the heads alone */
bool kvr__mvcc_path_may_be_exact(const kvr__mvcc_path *path, kvr_slice key);
uint64_t kvr__mvcc_tree_rank(const kvr__mvcc_node *root, kvr_slice key); /* live keys below it */
bool kvr__mvcc_path_next_leaf(kvr__mvcc_path *path); /* false and unchanged: it is the last */

/* The lowest slot of `leaf` whose key is >= `key`, which must belong to this leaf. */
uint32_t kvr__mvcc_leaf_search(const kvr__mvcc_leaf *leaf, kvr_slice key, bool *out_is_exact);
/* index of the child */
uint32_t kvr__mvcc_inner_search(const kvr__mvcc_inner *inner, kvr_slice key);
uint32_t kvr__mvcc_key_head(const uint8_t *key, size_t size, uint32_t skip);
uint32_t kvr__mvcc_common_prefix(kvr_slice a, kvr_slice b);

/* The bounds of the path's leaf, NULL: none. */
void kvr__mvcc_path_fences(const kvr__mvcc_path *path, const kvr__mvcc_separator **out_low,
                           const kvr__mvcc_separator **out_high);
uint32_t kvr__mvcc_node_live(const kvr__mvcc_node *node);

static inline kvr_slice kvr__mvcc_separator_slice(const kvr__mvcc_separator *separator)
{
    return (kvr_slice){separator->bytes, separator->size};
}

/* ------------------------------------------------------------------ mvcc_tree.c: changing one
 *
 * Each function leaves a whole tree with the same keys when it returns KVR_ENOMEM. */

/* Copies what a view may see of the path, so that all of it can be changed in place. */
kvr_status kvr__mvcc_tree_own(kvr__mvcc_content *content, kvr__mvcc_node **root,
                              kvr__mvcc_path *path);

/* Makes sure that the path's leaf has a free slot and that `key`, which is not there, belongs at
 * the path. */
kvr_status kvr__mvcc_tree_make_room(kvr__mvcc_content *content, kvr__mvcc_node **root,
                                    kvr__mvcc_path *path, kvr_slice key);

/* On an owned path. None can fail. */
void kvr__mvcc_tree_insert(const kvr__mvcc_path *path, kvr__mvcc_record *record);
void kvr__mvcc_tree_replace(const kvr__mvcc_path *path, kvr__mvcc_record *record);
void kvr__mvcc_tree_take(const kvr__mvcc_path *path); /* the leaf may become empty */
/* live keys below, for inner nodes */
void kvr__mvcc_tree_count(const kvr__mvcc_path *path, int64_t more);

/* NULL: no memory */
kvr__mvcc_node *kvr__mvcc_leaf_new(kvr__mvcc_content *content, uint32_t slots);
kvr__mvcc_node *kvr__mvcc_inner_new(kvr__mvcc_content *content, uint32_t level);
kvr__mvcc_separator *kvr__mvcc_separator_new(kvr__mvcc_content *content, kvr_slice before,
                                             kvr_slice key);
uint32_t kvr__mvcc_leaf_skip(const kvr__mvcc_separator *low, const kvr__mvcc_separator *high);
void kvr__mvcc_leaf_label(kvr__mvcc_leaf *leaf, uint32_t skip); /* all heads anew */
void kvr__mvcc_leaf_relabel(kvr__mvcc_leaf *leaf, const kvr__mvcc_separator *low,
                            const kvr__mvcc_separator *high);
void kvr__mvcc_leaf_copy(kvr__mvcc_leaf *to, uint32_t at, const kvr__mvcc_leaf *from,
                         uint32_t first, uint32_t count);
void kvr__mvcc_inner_relabel(kvr__mvcc_inner *inner);
void kvr__mvcc_node_free(kvr__mvcc_content *content, kvr__mvcc_node *node);
void kvr__mvcc_separator_free(kvr__mvcc_content *content, kvr__mvcc_separator *separator);

/* ------------------------------------------------------------------ mvcc_shrink.c */

/* Takes the slot away and joins what became small: for keys that are gone for good. KVR_ENOMEM: it
 * is still there. */
kvr_status kvr__mvcc_tree_remove(kvr__mvcc_content *content, kvr__mvcc_node **root,
                                 kvr__mvcc_path *path);

/* From the leaf up: whatever is too small is joined with a neighbour, or takes from it. The path is
 * of no use after it. At most KVR__MVCC_RETIRE_MAX retirements. */
void kvr__mvcc_tree_tidy(kvr__mvcc_content *content, kvr__mvcc_node **root, kvr__mvcc_path *path);

#endif
