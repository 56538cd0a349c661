/* SPDX-License-Identifier: Apache-2.0 */
/* auth_stream.h: the auth section of a snapshot: records one after another, little-endian: size of
 * the payload (4), kind (1), reserved (3), payload, XXH3-64 over the checksum of the record before
 * (0 for the first) and the bytes above. In this order: one HEAD; for each role, by name, a ROLE
 * and its PERMISSIONs; for each user, by name, a USER and its GRANTs; one END. Payloads stand at
 * the kinds. */
#ifndef KVRAFT_LIB_AUTH_AUTH_STREAM_H
#define KVRAFT_LIB_AUTH_AUTH_STREAM_H

enum {
    KVR__AUTH_HEAD = 1,       /* u32 version, u32 enabled, u64 revision, u32 roles, u32 users */
    KVR__AUTH_ROLE = 2,       /* name */
    KVR__AUTH_PERMISSION = 3, /* u8 kind, u32 key size, key, range_end */
    KVR__AUTH_USER = 4,       /* u32 name size, name, hash */
    KVR__AUTH_GRANT = 5,      /* name of a role */
    KVR__AUTH_END = 6,        /* empty */

    KVR__AUTH_STREAM_VERSION = 1,
    KVR__AUTH_RECORD_HEAD = 8,
    KVR__AUTH_RECORD_TAIL = 8,
    KVR__AUTH_HEAD_BYTES = 24,
    KVR__AUTH_PAYLOAD_MAX = 5 + 2 * 65535 /* a permission's */
};

#endif
