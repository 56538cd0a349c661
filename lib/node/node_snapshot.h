/* SPDX-License-Identifier: Apache-2.0 */
/* node_snapshot.h: what the taking and the installing of snapshots have in common. */
#ifndef KVRAFT_LIB_NODE_SNAPSHOT_H
#define KVRAFT_LIB_NODE_SNAPSHOT_H

#include "node_internal.h"
#include "node_stream.h"

enum {
    KVR__SECTION_VERSION = 1,
    KVR__SECTION_COUNT = 3,
    /* of the section "node": every origin with its bitmap fits */
    KVR__STATE_BYTES_MAX = 1024 * 1024
};

/* Names of the sections, in their order. */
#define KVR__SECTION_NODE "node"
#define KVR__SECTION_LEASE "lease"
#define KVR__SECTION_MVCC "mvcc"

/* A token of this room. */
static inline uint64_t kvr__snapshot_token(kvr_node *node)
{
    node->snapshots.tokens++;
    return KVR__TOKEN_OWN | node->snapshots.tokens;
}

/* Over keys, leases and origins as they are now. */
uint64_t kvr__state_hash_live(const kvr_node *node);

/* The section "node". Read fills empty ones. KVR_OK, KVR_ECORRUPT, KVR_ENOMEM. */
size_t kvr__state_size(const kvr_node *node);
void kvr__state_write(const kvr_node *node, kvr__writer *writer);
kvr_status kvr__state_read(kvr_slice bytes, kvr__origins *origins, kvr__hashes *hashes);

#endif
