/* SPDX-License-Identifier: Apache-2.0 */
/* auth_stream.h: the auth section of a snapshot: records one after another, little-endian.
 *
 *   offset size
 *        0    4  size of the payload
 *        4    1  kind
 *        5    3  reserved (0)
 *        8    .  payload
 *        .    8  XXH3-64 over the checksum of the record before (0 for the first) and the bytes
 *             above
 *
 * In this order: one HEAD (u32 version, u32 enabled, u64 revision, u32 roles, u32 users); for each
 * role, by name, a ROLE (name) and its PERMISSIONs (u8 permission kind, u32 key size, key,
 * range_end); for each user, by name, a USER (u32 name size, name, hash) and its GRANTs (name of a
 * role); one END (empty). */
#ifndef KVRAFT_LIB_AUTH_AUTH_STREAM_H
#define KVRAFT_LIB_AUTH_AUTH_STREAM_H

enum {
    KVR__AUTH_HEAD = 1,
    KVR__AUTH_ROLE = 2,
    KVR__AUTH_PERMISSION = 3,
    KVR__AUTH_USER = 4,
    KVR__AUTH_GRANT = 5,
    KVR__AUTH_END = 6,

    KVR__AUTH_STREAM_VERSION = 1,
    KVR__AUTH_RECORD_HEAD = 8,
    KVR__AUTH_RECORD_TAIL = 8,
    KVR__AUTH_HEAD_BYTES = 24,
    KVR__AUTH_PAYLOAD_MAX = 5 + 2 * 65535 /* a permission's */
};

#endif
