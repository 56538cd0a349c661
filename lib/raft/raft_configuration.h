/* SPDX-License-Identifier: Apache-2.0 */
/* raft_configuration.h: an encoded configuration, as config entries, snapshots and messages carry
 * it. Pure; the bytes may be hostile. */
#ifndef KVRAFT_LIB_RAFT_CONFIGURATION_H
#define KVRAFT_LIB_RAFT_CONFIGURATION_H

#include <kvraft/raft.h>

/* Little-endian:
 *
 *   0  u16 head size (56)   2  u8 version (1)
 *   3  u8 flags: 1 joint, 2 leaves the joint one by itself
 *   4  u32 member count     8  u64 highest id that any member ever had (0: of those listed)
 *  16  u32 data copies that a commit waits for   20  u32 0
 *  24  u64[3] context: what the layer above gave with the change
 *  48  u64 lease_ns of kvr_raft_config; 0: no lease reads
 *   then for each member, in ascending order of id:
 *   0  u16 record head size (24)   2  u8 role
 *   3  u8 role in the outgoing configuration (255: none)
 *   4  u32 size of attributes      8  u64 id
 *  16  u8 flags (KVR_MEMBER_PROMOTE)   17  0   24  attributes
 *
 * Heads may be as short as 16 bytes (what lacks is 0) or longer (what is beyond is skipped). In a
 * joint configuration `role` may be 255 too: the member is leaving. */
enum {
    KVR__RAFT_CONFIGURATION_HEAD = 56,
    KVR__RAFT_CONFIGURATION_HEAD_MIN = 16,
    KVR__RAFT_CONFIGURATION_RECORD = 24,
    KVR__RAFT_CONFIGURATION_RECORD_MIN = 16,
    KVR__RAFT_CONFIGURATION_HIGHEST_AT = 8,
    KVR__RAFT_CONFIGURATION_COPIES_AT = 16,
    KVR__RAFT_CONFIGURATION_LEASE_AT = 48,
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
    uint8_t flags;
    uint8_t reserved[5];
} kvr__raft_record;

typedef struct kvr__raft_configuration_head {
    uint64_t highest_id;
    uint64_t context[3];
    uint64_t lease_ns;
    uint32_t count;
    uint32_t data_copies_min;
    uint8_t flags;
    uint8_t reserved[7];
} kvr__raft_configuration_head;

/* The size that `count` members need, or 0 if one's attributes are too long. */
size_t kvr__raft_configuration_size(const kvr_member *members, uint32_t count);

/* Writes a configuration that is not joint. `out` has the size said above; ids ascend. */
void kvr__raft_configuration_write(uint8_t *out, const kvr_member *members, uint32_t count);

/* The parts of the same: a head, and a record with its attributes. Return the place after it. */
uint8_t *kvr__raft_configuration_write_head(uint8_t *out, const kvr__raft_configuration_head *head);
uint8_t *kvr__raft_configuration_write_record(uint8_t *out, const kvr__raft_record *record);

/* Everything that makes it one: structure, ascending ids, known roles, at least one voter (of each
 * half, if joint) unless it is empty. KVR_OK, KVR_ECORRUPT, KVR_EVERSION. */
kvr_status kvr__raft_configuration_verify(kvr_slice encoded, uint32_t *out_count);

/* Of one that was verified. */
bool kvr__raft_configuration_is_joint(kvr_slice encoded);
void kvr__raft_configuration_read_head(kvr_slice encoded, kvr__raft_configuration_head *out_head);

/* False: there is no such member in it. */
bool kvr__raft_configuration_find(kvr_slice encoded, uint64_t id, kvr__raft_record *out_record);

/* Steps through the records: *at starts at 0. KVR_OK, KVR_END, KVR_ECORRUPT. */
kvr_status kvr__raft_configuration_next(kvr_slice encoded, size_t *at,
                                        kvr__raft_record *out_record);

#endif
