/* SPDX-License-Identifier: Apache-2.0 */
/* mvcc_load.h: a content under construction, from the bytes of a snapshot stream.
 *
 *   HEADER -> HEAD -> PAYLOAD -> HEAD -> ... -> END -> COMPLETE        (FAILED: only abort is left)
 *
 * mvcc_load.c cuts the stream into these pieces and checks their sums; mvcc_load_version.c reads
 * the versions in a payload and decides whether a store can have them. All bytes may be hostile. */
#ifndef KVRAFT_LIB_MVCC_LOAD_H
#define KVRAFT_LIB_MVCC_LOAD_H

#include "mvcc_build.h"
#include "mvcc_format.h"
#include "mvcc_internal.h"

enum {
    KVR__MVCC_LOAD_HEADER = 0,
    KVR__MVCC_LOAD_HEAD = 1,
    KVR__MVCC_LOAD_PAYLOAD = 2,
    KVR__MVCC_LOAD_END = 3,
    KVR__MVCC_LOAD_COMPLETE = 4,
    KVR__MVCC_LOAD_FAILED = 5
};

enum { KVR__MVCC_LOAD_LEARN = 16 };

struct kvr__mvcc_load {
    kvr__mem *mem;
    kvr__mvcc_content *content;
    kvr__mvcc_builder builder;
    kvr__mvcc_record *last; /* the version read last; NULL: none */
    uint32_t stage;
    uint32_t block_versions;  /* of the block under way */
    size_t want;              /* bytes of the piece under way */
    uint64_t checksum;        /* of the last piece, */
    uint64_t checksum_wanted; /* and what the one under way must have */
    uint64_t keys;
    uint8_t *buffer; /* the piece under way, if it comes in parts */
    uint32_t buffered;
    uint32_t capacity;
    kvr__mvcc_record **changes; /* at or above the compacted revision, in key order */
    uint32_t change_count;
    uint32_t change_capacity;
    struct {
        kvr__mvcc_record *record;
        uint64_t hash;
        /* on their way into the shortcut: their buckets are being fetched */
    } learn[KVR__MVCC_LOAD_LEARN];
    uint64_t learn_count;    /* so many came by */
    kvr__mvcc_snap expected; /* what the header says */
    uint64_t expected_changes;
};

/* Reads all versions of a payload into the content. KVR_OK, KVR_ECORRUPT, KVR_ENOMEM. */
kvr_status kvr__mvcc_load_payload(kvr__mvcc_load *load, kvr_slice payload);

/* The last key has no more versions: may its oldest one be the oldest? */
kvr_status kvr__mvcc_load_end_key(const kvr__mvcc_load *load);

/* Puts the changes in order into the content's history; they must be dense. */
kvr_status kvr__mvcc_load_history(kvr__mvcc_load *load);

#endif
