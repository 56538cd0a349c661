/* SPDX-License-Identifier: Apache-2.0 */
/* mvcc_build.c: a B+-tree from sorted keys: only the right edge is open, one node a level; a node
 * that is full is hung below the edge of the next level. Leaves get their heads when their upper
 * bound is known. */
#include "mvcc_build.h"

#include "mvcc_internal.h"

/* Hangs the edge of `level` below that of the next. */
static kvr_status hang(kvr__mvcc_builder *builder, uint32_t level)
{
    for (;; level++) {
        kvr__mvcc_node *child = builder->edge[level];
        kvr__mvcc_separator *bound = builder->bound[level];
        builder->edge[level] = NULL;
        builder->bound[level] = NULL;
        KVR_ASSERT(level + 1 < KVR__MVCC_PATH_MAX);
        kvr__mvcc_node *parent = builder->edge[level + 1];
        bool is_new = parent == NULL;
        if (is_new) {
            parent = kvr__mvcc_inner_new(builder->content, level + 1);
            if (parent == NULL) {
                return KVR_ENOMEM;
            }
            builder->edge[level + 1] = parent;
            builder->bound[level + 1] = bound;
        }
        kvr__mvcc_inner *inner = kvr__mvcc_inner_of(parent);
        uint32_t at = parent->count;
        inner->children[at] = child;
        inner->separators[at] = is_new ? NULL : bound;
        inner->live[at] = kvr__mvcc_node_live(child);
        parent->count++;
        if (parent->count < KVR__MVCC_INNER_CHILDREN) {
            return KVR_OK;
        }
        kvr__mvcc_inner_relabel(inner);
    }
}

/* The leaf at the edge is done; `high` is its upper bound, NULL: it is the last. */
static void close_leaf(kvr__mvcc_builder *builder, const kvr__mvcc_separator *high)
{
    kvr__mvcc_leaf *leaf = kvr__mvcc_leaf_of(builder->edge[0]);
    kvr__mvcc_leaf_label(leaf, kvr__mvcc_leaf_skip(builder->bound[0], high));
}

kvr_status kvr__mvcc_build_add(kvr__mvcc_builder *builder, kvr__mvcc_record *record)
{
    kvr__mvcc_separator *bound = NULL;
    if (builder->edge[0] != NULL && builder->edge[0]->count == KVR__MVCC_LEAF_SLOTS) {
        bound = kvr__mvcc_separator_new(builder->content, kvr__mvcc_record_key_slice(builder->last),
                                        kvr__mvcc_record_key_slice(record));
        if (bound == NULL) {
            return KVR_ENOMEM;
        }
        close_leaf(builder, bound);
        if (hang(builder, 0) != KVR_OK) {
            return KVR_ENOMEM;
        }
    }
    if (builder->edge[0] == NULL) {
        builder->edge[0] = kvr__mvcc_leaf_new(builder->content, KVR__MVCC_LEAF_SLOTS);
        if (builder->edge[0] == NULL) {
            return KVR_ENOMEM;
        }
        builder->bound[0] = bound;
    }
    kvr__mvcc_node *leaf = builder->edge[0];
    kvr__mvcc_leaf_slots(kvr__mvcc_leaf_of(leaf))[leaf->count] = record;
    leaf->live |= (uint64_t)kvr__mvcc_record_is_live(record) << leaf->count;
    leaf->count++;
    builder->last = record;
    return KVR_OK;
}

/* True if a level above `level` is open: then its node is not the root. */
static bool has_above(const kvr__mvcc_builder *builder, uint32_t level)
{
    for (uint32_t i = level + 1; i < KVR__MVCC_PATH_MAX; i++) {
        if (builder->edge[i] != NULL) {
            return true;
        }
    }
    return false;
}

/* The nodes of the right edge may be nearly empty: evened out with their left neighbours. */
static void tidy_edge(kvr__mvcc_content *content, kvr__mvcc_node **root)
{
    kvr__mvcc_path path = {.depth = 0};
    kvr__mvcc_node *node = *root;
    for (;; path.depth++) {
        path.nodes[path.depth] = node;
        path.at[path.depth] = (uint8_t)(node->count - 1);
        if (node->level == 0) {
            break;
        }
        node = kvr__mvcc_inner_of(node)->children[node->count - 1];
    }
    path.depth++;
    kvr__mvcc_tree_tidy(content, root, &path);
}

kvr_status kvr__mvcc_build_end(kvr__mvcc_builder *builder, kvr__mvcc_node **out_root)
{
    *out_root = NULL;
    if (builder->edge[0] == NULL) {
        return KVR_OK;
    }
    close_leaf(builder, NULL);
    uint32_t level = 0;
    while (has_above(builder, level)) {
        if (builder->edge[level] != NULL) {
            if (level > 0) {
                kvr__mvcc_inner_relabel(kvr__mvcc_inner_of(builder->edge[level]));
            }
            if (hang(builder, level) != KVR_OK) {
                return KVR_ENOMEM;
            }
        }
        level++;
    }
    KVR_ASSERT(builder->edge[level] != NULL);
    if (level > 0) {
        kvr__mvcc_inner_relabel(kvr__mvcc_inner_of(builder->edge[level]));
    }
    *out_root = builder->edge[level];
    tidy_edge(builder->content, out_root);
    return KVR_OK;
}
