/* SPDX-License-Identifier: Apache-2.0 */
/* raft_configuration.h: an encoded configuration, as config entries, snapshots and messages carry
 * it. Pure; the bytes may be hostile. Little-endian:
 *
 *   0  u16 head size (16)   2  u8 version (1)   3  u8 flags: 1 joint, 2 leaves the joint one by
 *      itself
 *   4  u32 member count     8  u64 0
 *   then for each member, in ascending order of id:
 *   0  u16 record head size (16)   2  u8 role   3  u8 role in the outgoing configuration (255:
 *      none)
 *   4  u32 size of attributes      8  u64 id    16 attributes
 *
 * In a joint configuration `role` may be 255 too: the member is leaving. */
#ifndef KVRAFT_LIB_RAFT_CONFIGURATION_H
#define KVRAFT_LIB_RAFT_CONFIGURATION_H

#include <kvraft/raft.h>

enum {
    KVR__RAFT_CONFIGURATION_HEAD = 16,
    KVR__RAFT_CONFIGURATION_RECORD = 16,
    KVR__RAFT_CONFIGURATION_JOINT = 1,
    KVR__RAFT_CONFIGURATION_AUTO_LEAVE = 2,
    KVR__RAFT_ATTRIBUTES_MAX = 64 * 1024, /* of one member */
    KVR__RAFT_ROLE_NONE = 255
};

/* One member of the encoded form; `attributes` lend from it. */
typedef struct kvr__raft_record {
    uint64_t id;
    kvr_slice attributes;
    uint8_t role;
    uint8_t role_outgoing;
} kvr__raft_record;

/* The size that `count` members need, or 0 if one's attributes are too long. */
size_t kvr__raft_configuration_size(const kvr_member *members, uint32_t count);

/* Writes a configuration that is not joint. `out` has the size said above; ids ascend. */
void kvr__raft_configuration_write(uint8_t *out, const kvr_member *members, uint32_t count);

/* Everything that makes it one: structure, ascending ids, known roles, at least one voter (of each
 * half, if joint) unless it is empty. KVR_OK, KVR_ECORRUPT, KVR_EVERSION. */
kvr_status kvr__raft_configuration_verify(kvr_slice encoded, uint32_t *out_count);

/* Of one that was verified. */
bool kvr__raft_configuration_is_joint(kvr_slice encoded);

/* Steps through the records: *at starts at 0. KVR_OK, KVR_END, KVR_ECORRUPT. */
kvr_status kvr__raft_configuration_next(kvr_slice encoded, size_t *at,
                                        kvr__raft_record *out_record);

#endif
