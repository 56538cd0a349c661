/* SPDX-License-Identifier: Apache-2.0 */
/* mvcc_shrink.c: taking keys out of the tree for good, which only a compaction does, and joining
 * what became small. Joined and evened-out nodes are new ones, so it matters not who sees the old.
 * If memory is short the tree stays as it is, less tidy: no answer depends on its shape. */
#include "mvcc_internal.h"

/* Children of an inner node, as many as two of them hold. */
typedef struct run {
    kvr__mvcc_node *children[2 * KVR__MVCC_INNER_CHILDREN];
    kvr__mvcc_separator *separators[2 * KVR__MVCC_INNER_CHILDREN];
    uint32_t live[2 * KVR__MVCC_INNER_CHILDREN];
    uint32_t count;
} run;

/* Where the two neighbours stand, and the bounds of both together. */
typedef struct pair {
    kvr__mvcc_inner *parent;
    uint32_t at; /* of the left one */
    const kvr__mvcc_separator *low;
    const kvr__mvcc_separator *high;
} pair;

/* Puts one node in the place of the pair. */
static void replace_pair(kvr__mvcc_content *content, const pair *p, kvr__mvcc_node *joined)
{
    kvr__mvcc_inner *parent = p->parent;
    kvr__mvcc_pin_retire_node(content, parent->children[p->at]);
    kvr__mvcc_pin_retire_node(content, parent->children[p->at + 1]);
    parent->children[p->at] = joined;
    parent->live[p->at] = kvr__mvcc_node_live(joined);
    uint32_t rest = parent->node.count - p->at - 2u;
    memmove(parent->children + p->at + 1, parent->children + p->at + 2,
            rest * sizeof parent->children[0]);
    memmove(parent->separators + p->at + 1, parent->separators + p->at + 2,
            rest * sizeof parent->separators[0]);
    memmove(parent->live + p->at + 1, parent->live + p->at + 2, rest * sizeof parent->live[0]);
    parent->node.count--;
    kvr__mvcc_inner_relabel(parent);
}

/* Leaves are joined if that leaves some room, or if one is empty; small ones between full ones
 * stay. */
static void join_leaves(kvr__mvcc_content *content, const pair *p)
{
    const kvr__mvcc_leaf *left = kvr__mvcc_leaf_of(p->parent->children[p->at]);
    const kvr__mvcc_leaf *right = kvr__mvcc_leaf_of(p->parent->children[p->at + 1]);
    uint32_t count = (uint32_t)left->node.count + right->node.count;
    bool has_empty = left->node.count == 0 || right->node.count == 0;
    if (!has_empty && count > KVR__MVCC_LEAF_SLOTS - KVR__MVCC_LEAF_MIN) {
        return;
    }
    kvr__mvcc_node *node = kvr__mvcc_leaf_new(content, count);
    if (node == NULL) {
        return;
    }
    kvr__mvcc_leaf *leaf = kvr__mvcc_leaf_of(node);
    kvr__mvcc_leaf_copy(leaf, 0, left, 0, left->node.count);
    kvr__mvcc_leaf_copy(leaf, left->node.count, right, 0, right->node.count);
    kvr__mvcc_leaf_label(leaf, kvr__mvcc_leaf_skip(p->low, p->high));
    kvr__mvcc_pin_retire_separator(content, p->parent->separators[p->at + 1]);
    replace_pair(content, p, node);
}

static void run_add(run *r, const kvr__mvcc_inner *inner, kvr__mvcc_separator *first)
{
    uint32_t count = inner->node.count;
    memcpy(r->children + r->count, inner->children, count * sizeof r->children[0]);
    memcpy(r->separators + r->count, inner->separators, count * sizeof r->separators[0]);
    memcpy(r->live + r->count, inner->live, count * sizeof r->live[0]);
    r->separators[r->count] = first;
    r->count += count;
}

static kvr__mvcc_node *inner_of_run(kvr__mvcc_content *content, const run *r, uint32_t first,
                                    uint32_t count)
{
    kvr__mvcc_node *node = kvr__mvcc_inner_new(content, r->children[first]->level + 1u);
    if (node == NULL) {
        return NULL;
    }
    kvr__mvcc_inner *inner = kvr__mvcc_inner_of(node);
    memcpy(inner->children, r->children + first, count * sizeof r->children[0]);
    memcpy(inner->separators, r->separators + first, count * sizeof r->separators[0]);
    memcpy(inner->live, r->live + first, count * sizeof r->live[0]);
    inner->separators[0] = NULL;
    node->count = (uint8_t)count;
    kvr__mvcc_inner_relabel(inner);
    return node;
}

/* One inner node of both, or two of half each. */
static void even_inners(kvr__mvcc_content *content, const pair *p)
{
    kvr__mvcc_inner *parent = p->parent;
    run r = {.count = 0};
    run_add(&r, kvr__mvcc_inner_of(parent->children[p->at]), NULL);
    run_add(&r, kvr__mvcc_inner_of(parent->children[p->at + 1]), parent->separators[p->at + 1]);
    if (r.count <= KVR__MVCC_INNER_CHILDREN - KVR__MVCC_INNER_MIN) {
        kvr__mvcc_node *joined = inner_of_run(content, &r, 0, r.count);
        if (joined != NULL) {
            replace_pair(content, p, joined);
        }
        return;
    }
    uint32_t half = r.count / 2;
    kvr__mvcc_node *left = inner_of_run(content, &r, 0, half);
    kvr__mvcc_node *right = left == NULL ? NULL : inner_of_run(content, &r, half, r.count - half);
    if (right == NULL) {
        if (left != NULL) {
            kvr__mvcc_node_free(content, left);
        }
        return;
    }
    kvr__mvcc_pin_retire_node(content, parent->children[p->at]);
    kvr__mvcc_pin_retire_node(content, parent->children[p->at + 1]);
    parent->children[p->at] = left;
    parent->children[p->at + 1] = right;
    parent->separators[p->at + 1] = r.separators[half];
    parent->live[p->at] = kvr__mvcc_node_live(left);
    parent->live[p->at + 1] = kvr__mvcc_node_live(right);
    kvr__mvcc_inner_relabel(parent);
}

static void drop_needless_roots(kvr__mvcc_content *content, kvr__mvcc_node **root)
{
    while (*root != NULL && (*root)->level > 0 && (*root)->count == 1) {
        kvr__mvcc_node *old = *root;
        *root = kvr__mvcc_inner_of(old)->children[0];
        kvr__mvcc_pin_retire_node(content, old);
    }
    if (*root != NULL && (*root)->level == 0 && (*root)->count == 0) {
        kvr__mvcc_pin_retire_node(content, *root);
        *root = NULL;
    }
}

void kvr__mvcc_tree_tidy(kvr__mvcc_content *content, kvr__mvcc_node **root, kvr__mvcc_path *path)
{
    for (uint32_t i = path->depth - 1; i > 0; i--) {
        const kvr__mvcc_node *node = path->nodes[i];
        uint32_t least = node->level == 0 ? KVR__MVCC_LEAF_MIN : KVR__MVCC_INNER_MIN;
        pair p = {.parent = kvr__mvcc_inner_of(path->nodes[i - 1])};
        if (node->count >= least || p.parent->node.count < 2) {
            continue;
        }
        p.at = path->at[i - 1] > 0 ? path->at[i - 1] - 1u : 0;
        if (node->level > 0) {
            even_inners(content, &p);
            continue;
        }
        path->depth = i; /* the bounds of the parent, where the pair is at its edge */
        kvr__mvcc_path_fences(path, &p.low, &p.high);
        if (p.at > 0) {
            p.low = p.parent->separators[p.at];
        }
        if (p.at + 2u < p.parent->node.count) {
            p.high = p.parent->separators[p.at + 2];
        }
        join_leaves(content, &p);
    }
    drop_needless_roots(content, root);
}

kvr_status kvr__mvcc_tree_remove(kvr__mvcc_content *content, kvr__mvcc_node **root,
                                 kvr__mvcc_path *path)
{
    KVR_ASSERT(path->is_exact);
    if (kvr__mvcc_tree_own(content, root, path) != KVR_OK ||
        kvr__mvcc_pin_reserve(content) != KVR_OK) {
        return KVR_ENOMEM;
    }
    kvr__mvcc_tree_take(path);
    kvr__mvcc_tree_tidy(content, root, path);
    return KVR_OK;
}
