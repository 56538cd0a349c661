/* SPDX-License-Identifier: Apache-2.0 */
/* raft_draft.h: the next configuration while it is made of the present one; pure, as is
 * raft_configuration.h. In a draft `role` is what a member will be and `role_outgoing` what it is,
 * so a draft is a joint configuration already, and the one that follows it is what `role` says.
 *
 *     read      role = role_outgoing = as now
 *     change    moves `role`; 255 leaves, a new member has `role_outgoing` 255
 *     write     both (joint), or `role` alone                                                    */
#ifndef KVRAFT_LIB_RAFT_DRAFT_H
#define KVRAFT_LIB_RAFT_DRAFT_H

#include "raft_configuration.h"
#include "raft_quorum.h"

typedef struct kvr__raft_draft {
    kvr__raft_configuration_head head; /* count: of `records` */
    kvr__raft_record records[KVR__RAFT_MEMBERS_MAX];
} kvr__raft_draft;

static inline bool kvr__raft_votes(uint8_t role)
{
    return role == KVR_MEMBER_VOTER || role == KVR_MEMBER_WITNESS;
}

static inline bool kvr__raft_holds_data(uint8_t role)
{
    return role == KVR_MEMBER_VOTER || role == KVR_MEMBER_LEARNER;
}

/* Of a configuration that was verified and is not joint; attributes lend from it. */
void kvr__raft_draft_read(kvr__raft_draft *draft, kvr_slice encoded);

/* The configuration that follows a joint one. */
void kvr__raft_draft_leave(kvr__raft_draft *draft, kvr_slice encoded);

/* KVR_OK, KVR_EEXIST, KVR_ENOTFOUND, KVR_ESTATE, KVR_ETOOBIG, KVR_EINVAL: the draft is as it was.
 * Whether a learner has caught up is not asked here. */
kvr_status kvr__raft_draft_change(kvr__raft_draft *draft, const kvr_member_change *change);

/* Votes that come, go or move. */
uint32_t kvr__raft_draft_moved(const kvr__raft_draft *draft);

/* Members of the configuration to come that vote, or hold data. */
uint32_t kvr__raft_draft_voters(const kvr__raft_draft *draft);
uint32_t kvr__raft_draft_copies(const kvr__raft_draft *draft);

size_t kvr__raft_draft_size(const kvr__raft_draft *draft, bool joint);
void kvr__raft_draft_write(const kvr__raft_draft *draft, bool joint, uint8_t *out);

#endif
