/* SPDX-License-Identifier: Apache-2.0 */
/* watch_tree.c: which intervals hold a key? An AVL tree of intervals by (key, range_end, flags) in
 * which each node knows the interval of its subtree that ends last (Cormen et al., "Interval
 * trees"): a subtree that ends at or before the key is not entered. O(log n) for none, O(log n)
 * more a found one. The recursion is as deep as the tree: below 50 for a billion intervals. */
#include "watch_internal.h"

#include "base/assertion.h"

#include <string.h>

typedef kvr__watch_range range;

int kvr__watch_compare(kvr_slice a, kvr_slice b)
{
    size_t size = a.size < b.size ? a.size : b.size;
    int order = size == 0 ? 0 : memcmp(a.data, b.data, size);
    return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

static bool is_infinite(kvr_slice end)
{
    return end.size == 1 && end.data[0] == 0;
}

bool kvr__watch_is_below(kvr_slice key, kvr_slice end)
{
    return is_infinite(end) || kvr__watch_compare(key, end) < 0;
}

static kvr_slice end_of(const range *r)
{
    return kvr__watch_group_end(&r->group);
}

int kvr__watch_compare_ends(kvr_slice a, kvr_slice b)
{
    if (is_infinite(a) || is_infinite(b)) {
        return is_infinite(a) - is_infinite(b);
    }
    return kvr__watch_compare(a, b);
}

static int compare_with(const range *r, kvr_slice key, kvr_slice end, uint32_t flags)
{
    int order = kvr__watch_compare(key, kvr__watch_group_key(&r->group));
    order = order != 0 ? order : kvr__watch_compare_ends(end, end_of(r));
    return order != 0 ? order : (flags > r->group.flags) - (flags < r->group.flags);
}

static int compare(const range *a, const range *b)
{
    return compare_with(b, kvr__watch_group_key(&a->group), end_of(a), a->group.flags);
}

/* ------------------------------------------------------------------ balance */

static uint32_t height_of(const range *r)
{
    return r == NULL ? 0 : r->group.height;
}

static range *further(range *a, range *b)
{
    return b != NULL && kvr__watch_compare_ends(end_of(b), end_of(a)) > 0 ? b : a;
}

/* Recomputes what a node knows of its subtree. */
static void update(range *r)
{
    uint32_t left = height_of(r->left);
    uint32_t right = height_of(r->right);
    r->group.height = (uint8_t)((left > right ? left : right) + 1);
    r->furthest = further(r, r->left == NULL ? NULL : r->left->furthest);
    r->furthest = further(r->furthest, r->right == NULL ? NULL : r->right->furthest);
}

static range *rotate_right(range *r)
{
    range *up = r->left;
    r->left = up->right;
    up->right = r;
    update(r);
    update(up);
    return up;
}

static range *rotate_left(range *r)
{
    range *up = r->right;
    r->right = up->left;
    up->left = r;
    update(r);
    update(up);
    return up;
}

/* The new root of a subtree one of whose sides grew or shrank by one. */
static range *balance(range *r)
{
    if (height_of(r->left) > height_of(r->right) + 1) {
        if (height_of(r->left->left) < height_of(r->left->right)) {
            r->left = rotate_left(r->left);
        }
        return rotate_right(r);
    }
    if (height_of(r->right) > height_of(r->left) + 1) {
        if (height_of(r->right->right) < height_of(r->right->left)) {
            r->right = rotate_right(r->right);
        }
        return rotate_left(r);
    }
    update(r);
    return r;
}

/* ------------------------------------------------------------------ the door */

range *kvr__watch_tree_insert(range *root, range *r)
{
    if (root == NULL) {
        r->left = NULL;
        r->right = NULL;
        update(r);
        return r;
    }
    if (compare(r, root) < 0) {
        root->left = kvr__watch_tree_insert(root->left, r);
    } else {
        root->right = kvr__watch_tree_insert(root->right, r);
    }
    return balance(root);
}

static range *remove_first(range *root, range **out_first)
{
    if (root->left == NULL) {
        *out_first = root;
        return root->right;
    }
    root->left = remove_first(root->left, out_first);
    return balance(root);
}

range *kvr__watch_tree_remove(range *root, range *r)
{
    KVR_ASSERT(root != NULL);
    if (root != r) {
        if (compare(r, root) < 0) {
            root->left = kvr__watch_tree_remove(root->left, r);
        } else {
            root->right = kvr__watch_tree_remove(root->right, r);
        }
        return balance(root);
    }
    if (r->left == NULL || r->right == NULL) {
        return r->left == NULL ? r->right : r->left;
    }
    range *first;
    range *right = remove_first(r->right, &first);
    first->left = r->left;
    first->right = right;
    return balance(first);
}

range *kvr__watch_tree_find(range *root, kvr_slice key, kvr_slice end, uint32_t flags)
{
    while (root != NULL) {
        int order = compare_with(root, key, end, flags);
        if (order == 0) {
            break;
        }
        root = order < 0 ? root->left : root->right;
    }
    return root;
}

kvr_status kvr__watch_tree_stab(range *root, kvr_slice key, kvr__watch_visit visit, void *ctx)
{
    while (root != NULL && kvr__watch_is_below(key, end_of(root->furthest))) {
        kvr_status status = kvr__watch_tree_stab(root->left, key, visit, ctx);
        if (status != KVR_OK) {
            return status;
        }
        if (kvr__watch_compare(kvr__watch_group_key(&root->group), key) > 0) {
            break; /* all to the right begin later still */
        }
        status = kvr__watch_is_below(key, end_of(root)) ? visit(ctx, &root->group) : KVR_OK;
        if (status != KVR_OK) {
            return status;
        }
        root = root->right;
    }
    return KVR_OK;
}
