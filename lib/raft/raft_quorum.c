/* SPDX-License-Identifier: Apache-2.0 */
/* raft_quorum.c: majorities, checked against brute force in test_raft_quorum.c. */
#include "raft_quorum.h"

#include "base/assertion.h"

uint64_t kvr__raft_quorum_reached(uint64_t *values, uint32_t count)
{
    KVR_ASSERT(count <= KVR__RAFT_MEMBERS_MAX);
    if (count == 0) {
        return UINT64_MAX;
    }
    if (count == 3) { /* the middle one of three */
        uint64_t low = values[0] < values[1] ? values[0] : values[1];
        uint64_t high = values[0] < values[1] ? values[1] : values[0];
        return values[2] < low ? low : values[2] < high ? values[2] : high;
    }
    for (uint32_t i = 1; i < count; i++) { /* insertion sort: count is 3 or 5 */
        uint64_t value = values[i];
        uint32_t place = i;
        for (; place > 0 && values[place - 1] < value; place--) {
            values[place] = values[place - 1];
        }
        values[place] = value;
    }
    return values[count / 2]; /* count / 2 + 1 values are at least this */
}

uint8_t kvr__raft_quorum_vote(uint32_t count, uint32_t granted, uint32_t refused)
{
    KVR_ASSERT(granted + refused <= count);
    uint32_t majority = count / 2 + 1;
    if (count == 0 || granted >= majority) {
        return KVR__RAFT_VOTE_WON;
    }
    return count - refused < majority ? KVR__RAFT_VOTE_LOST : KVR__RAFT_VOTE_PENDING;
}

uint8_t kvr__raft_quorum_joint(uint8_t incoming, uint8_t outgoing)
{
    if (incoming == KVR__RAFT_VOTE_LOST || outgoing == KVR__RAFT_VOTE_LOST) {
        return KVR__RAFT_VOTE_LOST;
    }
    return incoming == outgoing ? incoming : KVR__RAFT_VOTE_PENDING;
}
