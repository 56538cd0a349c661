/* SPDX-License-Identifier: Apache-2.0 */
/* raft_quorum.h: what a majority agrees on; pure functions on arrays. A joint configuration (thesis
 * 4.3) needs both of its majorities: take the smaller index, and the worse vote. */
#ifndef KVRAFT_LIB_RAFT_QUORUM_H
#define KVRAFT_LIB_RAFT_QUORUM_H

#include <stdint.h>

enum {
    KVR__RAFT_MEMBERS_MAX = 64, /* members of one configuration */

    KVR__RAFT_VOTE_PENDING = 0,
    KVR__RAFT_VOTE_WON = 1,
    KVR__RAFT_VOTE_LOST = 2
};

/* The largest value that a majority of the `count` values reaches; `values` is reordered. No
 * values: UINT64_MAX, because a configuration without voters holds nothing back in a joint one. */
uint64_t kvr__raft_quorum_reached(uint64_t *values, uint32_t count);

/* What an election among `count` voters has come to, with `granted` votes for and `refused`
 * against. */
uint8_t kvr__raft_quorum_vote(uint32_t count, uint32_t granted, uint32_t refused);

/* Both elections of a joint configuration. */
uint8_t kvr__raft_quorum_joint(uint8_t incoming, uint8_t outgoing);

#endif
