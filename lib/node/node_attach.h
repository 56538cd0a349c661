/* SPDX-License-Identifier: Apache-2.0 */
/* node_attach.h: which keys belong to which lease: one ordered set of (lease, key), so that the
 * keys of a lease stand together, in key order. Derived from the store, never replicated by itself.
 * A treap: its shape comes from hashes and says nothing of order, so no result depends on it.
 *
 * An attachment is made in two steps: reserve, which may fail, before an apply; attach, which
 * cannot, after. */
#ifndef KVRAFT_LIB_NODE_ATTACH_H
#define KVRAFT_LIB_NODE_ATTACH_H

#include <kvraft/base.h>

#include "base/memory.h"

typedef struct kvr__attachment {
    struct kvr__attachment *left;
    struct kvr__attachment *right; /* of a spare: the next one */
    int64_t lease;
    uint32_t priority;
    uint32_t key_size;
    uint8_t key[];
} kvr__attachment;

typedef struct kvr__attach {
    kvr__mem *mem;
    kvr__attachment *root;
    kvr__attachment *spares; /* reserved for the apply under way, in the order of reservation */
    uint64_t count;
    uint64_t seed; /* so that no client can choose the shape */
} kvr__attach;

void kvr__attach_init(kvr__attach *attach, kvr__mem *mem, uint64_t seed);
void kvr__attach_release(kvr__attach *attach); /* empties it; it may be used again */

/* Room for one attachment. KVR_ENOMEM. */
kvr_status kvr__attach_reserve(kvr__attach *attach, int64_t lease, const kvr_slice *key);
void kvr__attach_drop_spares(kvr__attach *attach);

/* Adds what was reserved; there already: nothing happens. */
void kvr__attach_add(kvr__attach *attach, int64_t lease, const kvr_slice *key);
/* not there: nothing */
void kvr__attach_remove(kvr__attach *attach, int64_t lease, const kvr_slice *key);

/* Fills `out_keys` with up to `capacity` keys of the lease above *after (NULL: from the first).
 * Lends until the set changes. Returns how many. */
uint32_t kvr__attach_keys(const kvr__attach *attach, int64_t lease, const kvr_slice *after,
                          kvr_slice *out_keys, uint32_t capacity);
uint64_t kvr__attach_key_count(const kvr__attach *attach, int64_t lease); /* O(keys of the lease) */

void kvr__attach_check(const kvr__attach *attach); /* invariant 9 of README.md; walks everything */

#endif
