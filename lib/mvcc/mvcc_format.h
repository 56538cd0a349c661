/* SPDX-License-Identifier: Apache-2.0 */
/* mvcc_format.h: the numbers of the snapshot section "mvcc", kvraft-snapshot(5). All integers are
 * little-endian.
 *
 *   header   0 magic, 8 u32 its size, 12 u32 version, 16 revision, 24 compacted, 32 live keys, 40
 *            live bytes, 48 hash_live, 56 hash_chain, 64 changes, 72 zero, 80 zero, 88 checksum of
 *            what is before it
 *   block    0 u32 payload size, 4 u32 versions in it, 8 checksum, 16 payload
 *   end      0 u32 0, 4 u32 0, 8 checksum, 16 keys, 24 versions
 *   version  u8 flags, [u16 key size], [u32 value size], u64 mod, [u64 create, u64 version], [u64
 *            lease], [u32 sub], key, value
 *
 * A checksum is XXH3-64 seeded with the one before it, so no block can be taken out or moved. */
#ifndef KVRAFT_LIB_MVCC_FORMAT_H
#define KVRAFT_LIB_MVCC_FORMAT_H

#include <kvraft/mvcc.h>

#define KVR__MVCC_FORMAT_MAGIC "KVRMVCC" /* and its zero byte */

enum {
    KVR__MVCC_FORMAT_VERSION = 1,
    KVR__MVCC_FORMAT_HEADER = 96,
    KVR__MVCC_FORMAT_HEADER_MAX = 4096, /* of later versions of the same format */
    KVR__MVCC_FORMAT_BLOCK_HEAD = 16,
    KVR__MVCC_FORMAT_END = 32,
    KVR__MVCC_FORMAT_BLOCK = 64 * 1024, /* payload, unless a single version is larger */
    KVR__MVCC_FORMAT_FIELDS_MAX = 1 + 2 + 4 + 8 + 16 + 8 + 4,
    KVR__MVCC_FORMAT_PAYLOAD_MAX =
        KVR__MVCC_FORMAT_FIELDS_MAX + (int)KVR_KEY_BYTES_MAX + (int)KVR_VALUE_BYTES_MAX
};

/* Flags of a version. What is not there has its usual value, and is not written: so there is one
 * way only to write a version. */
enum {
    KVR__MVCC_FORMAT_TOMBSTONE = 1, /* no value, create, version or lease */
    KVR__MVCC_FORMAT_OLDER = 2,     /* of the same key as the version before it here: no key */
    KVR__MVCC_FORMAT_AGED = 4,      /* create and version; else they are mod and 1 */
    KVR__MVCC_FORMAT_LEASED = 8,
    KVR__MVCC_FORMAT_SUB = 16, /* else 0 */
    KVR__MVCC_FORMAT_FLAGS = 31
};

#endif
