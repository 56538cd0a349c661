/* SPDX-License-Identifier: Apache-2.0 */
/* raft_members.c: which configurations stand where, and the one in force as a table of members. A
 * configuration is in force from the moment its entry is appended (Raft 6, thesis 4.1), so
 * appending and truncating put and roll back at once; those below the applied index are forgotten.
 * Room is reserved before anything changes. */
#include "base/array.h"
#include "base/codec.h"
#include "raft_draft.h"
#include "raft_internal.h"

kvr__raft_member *kvr__raft_members_find(const kvr_raft *raft, uint64_t id)
{
    for (uint32_t i = 0; i < raft->member_count; i++) {
        if (raft->members[i].id == id) {
            return &raft->members[i];
        }
    }
    return NULL;
}

bool kvr__raft_members_may_vote(const kvr__raft_member *member)
{
    return kvr__raft_votes(member->role) || kvr__raft_votes(member->role_outgoing);
}

/* A voter that needs nobody else's vote disturbs nobody by not waiting for a leader. */
bool kvr__raft_members_is_only_voter(const kvr_raft *raft)
{
    uint32_t voters = 0;
    for (uint32_t i = 0; i < raft->member_count; i++) {
        voters += kvr__raft_members_may_vote(&raft->members[i]);
    }
    const kvr__raft_member *self = kvr__raft_self(raft);
    return voters == 1 && self != NULL && kvr__raft_members_may_vote(self) &&
           self->role == KVR_MEMBER_VOTER;
}

/* A member that restarts as an older release tells so with its first message. */
void kvr__raft_members_note_level(kvr_raft *raft, const kvr_message_info *head)
{
    kvr__raft_member *member = kvr__raft_members_find(raft, head->from);
    if (member != NULL && member->level != head->level) {
        member->level = head->level;
        raft->work = true; /* the layer above may wait for it */
    }
}

uint32_t kvr_raft_level(const kvr_raft *raft)
{
    uint32_t level = raft->config.level;
    for (uint32_t i = 0; i < raft->member_count; i++) {
        const kvr__raft_member *member = &raft->members[i];
        if (i != raft->self && member->level < level) {
            level = member->level;
        }
    }
    return level;
}

/* What a majority of the voters of one half has reached. */
static uint64_t half_quorum(const kvr_raft *raft, size_t role_offset, size_t field_offset)
{
    uint64_t values[KVR__RAFT_MEMBERS_MAX];
    uint32_t count = 0;
    for (uint32_t i = 0; i < raft->member_count; i++) {
        const uint8_t *member = (const uint8_t *)&raft->members[i];
        if (kvr__raft_votes(member[role_offset])) {
            memcpy(&values[count], member + field_offset, sizeof values[0]);
            count++;
        }
    }
    return kvr__raft_quorum_reached(values, count);
}

uint64_t kvr__raft_members_quorum(const kvr_raft *raft, size_t field_offset)
{
    uint64_t reached = half_quorum(raft, offsetof(kvr__raft_member, role), field_offset);
    if (raft->joint) {
        uint64_t outgoing =
            half_quorum(raft, offsetof(kvr__raft_member, role_outgoing), field_offset);
        reached = reached < outgoing ? reached : outgoing;
    }
    return reached;
}

static bool holds_data(const kvr__raft_member *member)
{
    return kvr__raft_holds_data(member->role) || kvr__raft_holds_data(member->role_outgoing);
}

uint64_t kvr__raft_members_copied(const kvr_raft *raft)
{
    uint64_t best[KVR__RAFT_MEMBERS_MAX]; /* descending */
    uint32_t count = 0;
    for (uint32_t i = 0; i < raft->member_count; i++) {
        if (!holds_data(&raft->members[i])) {
            continue;
        }
        uint64_t match = raft->members[i].progress.match;
        uint32_t place = count++;
        for (; place > 0 && best[place - 1] < match; place--) {
            best[place] = best[place - 1];
        }
        best[place] = match;
    }
    return raft->data_copies_min == 0      ? UINT64_MAX
           : raft->data_copies_min > count ? 0
                                           : best[raft->data_copies_min - 1];
}

uint32_t kvr__raft_members_copies(const kvr_raft *raft, uint64_t index)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < raft->member_count; i++) {
        count += holds_data(&raft->members[i]) && raft->members[i].progress.match >= index;
    }
    return count;
}

bool kvr__raft_members_may_lead(const kvr_raft *raft)
{
    const kvr__raft_member *self = kvr__raft_self(raft);
    if (raft->removed) {
        return false;
    }
    if (self != NULL &&
        (self->role == KVR_MEMBER_VOTER || self->role_outgoing == KVR_MEMBER_VOTER)) {
        return true;
    }
    const kvr__raft_configured *known = kvr__raft_members_at(raft, raft->commit);
    kvr__raft_record record;
    return known != NULL &&
           known->index < raft->configurations.items[raft->configurations.count - 1].index &&
           kvr__raft_configuration_find(known->encoded, raft->config.member_id, &record) &&
           (record.role == KVR_MEMBER_VOTER || record.role_outgoing == KVR_MEMBER_VOTER);
}

uint8_t kvr__raft_members_election(const kvr_raft *raft)
{
    uint32_t counts[2][3] = {{0}}; /* by half, by answer */
    for (uint32_t i = 0; i < raft->member_count; i++) {
        const kvr__raft_member *member = &raft->members[i];
        counts[0][member->vote] += kvr__raft_votes(member->role);
        counts[1][member->vote] += kvr__raft_votes(member->role_outgoing);
    }
    uint8_t results[2];
    for (int half = 0; half < 2; half++) {
        uint32_t granted = counts[half][KVR__RAFT_VOTE_WON];
        uint32_t refused = counts[half][KVR__RAFT_VOTE_LOST];
        uint32_t all = granted + refused + counts[half][KVR__RAFT_VOTE_PENDING];
        results[half] = kvr__raft_quorum_vote(all, granted, refused);
    }
    return kvr__raft_quorum_joint(results[0], results[1]);
}

/* ------------------------------------------------------------------ configurations */

kvr_status kvr__raft_members_reserve(kvr_raft *raft, uint32_t count)
{
    /* Both tables hold any configuration that a truncation may bring back. */
    count = count < raft->member_capacity ? raft->member_capacity : count;
    count = count < raft->spare_capacity ? raft->spare_capacity : count;
    kvr_status status =
        kvr__array_fit(&raft->mem, KVR__MEM_HANDLE, (void **)&raft->configurations.items,
                       &raft->configurations.capacity, raft->configurations.count + 1,
                       sizeof *raft->configurations.items);
    if (status == KVR_OK) {
        status = kvr__array_fit(&raft->mem, KVR__MEM_HANDLE, (void **)&raft->members,
                                &raft->member_capacity, count, sizeof *raft->members);
    }
    if (status == KVR_OK) {
        status = kvr__array_fit(&raft->mem, KVR__MEM_HANDLE, (void **)&raft->spare_members,
                                &raft->spare_capacity, count, sizeof *raft->members);
    }
    return status;
}

/* Takes over what is known of a member that stays; a new one begins as a stranger. */
static void carry_over(kvr_raft *raft, kvr__raft_member *to, kvr__raft_member *from)
{
    if (from == NULL) {
        to->progress = (kvr__raft_progress){0};
        kvr__ring_init(&to->progress.inflight, &raft->mem, KVR__MEM_HANDLE, sizeof(uint64_t));
        kvr__raft_progress_reset(&to->progress, raft->log.last_index, raft->now);
        return;
    }
    to->vote = from->vote;
    to->level = from->level;
    to->progress = from->progress;
    from->id = 0; /* its ring has moved */
}

/* Makes `members` what the last configuration says. Room was reserved. */
static void members_switch(kvr_raft *raft)
{
    const kvr__raft_configured *last = &raft->configurations.items[raft->configurations.count - 1];
    kvr__raft_record record = {0};
    size_t at = 0;
    uint32_t count = 0;
    raft->self = UINT32_MAX;
    while (kvr__raft_configuration_next(last->encoded, &at, &record) == KVR_OK) {
        KVR_ASSERT(count < raft->spare_capacity);
        kvr__raft_member *member = &raft->spare_members[count];
        *member = (kvr__raft_member){
            .id = record.id,
            .role = record.role,
            .role_outgoing = record.role_outgoing,
            .flags = record.flags,
        };
        carry_over(raft, member, kvr__raft_members_find(raft, record.id));
        if (record.id == raft->config.member_id) {
            raft->self = count;
        }
        count++;
    }
    for (uint32_t i = 0; i < raft->member_count; i++) {
        if (raft->members[i].id != 0) {
            kvr__ring_release(&raft->members[i].progress.inflight);
        }
    }
    kvr__raft_member *members = raft->spare_members;
    uint32_t capacity = raft->spare_capacity;
    raft->spare_members = raft->members;
    raft->spare_capacity = raft->member_capacity;
    raft->members = members;
    raft->member_capacity = capacity;
    raft->member_count = count;
    kvr__raft_configuration_head head;
    kvr__raft_configuration_read_head(last->encoded, &head);
    raft->data_copies_min = head.data_copies_min;
    kvr__raft_lease_set(raft, head.lease_ns, last->index);
    raft->joint = kvr__raft_configuration_is_joint(last->encoded);
    raft->change_due = true;
    kvr__raft_trace(raft, "configuration", last->index, 0);
}

void kvr__raft_members_put(kvr_raft *raft, uint64_t index, kvr_buf *buffer, kvr_slice encoded)
{
    KVR_ASSERT(raft->configurations.count < raft->configurations.capacity);
    raft->configurations.items[raft->configurations.count] = (kvr__raft_configured){
        .index = index,
        .buffer = kvr_buf_retain(buffer),
        .encoded = encoded,
    };
    raft->configurations.count++;
    members_switch(raft);
}

void kvr__raft_members_truncate(kvr_raft *raft, uint64_t from)
{
    bool rolled_back = false;
    while (raft->configurations.count > 1 &&
           raft->configurations.items[raft->configurations.count - 1].index >= from) {
        raft->configurations.count--;
        kvr_buf_release(raft->configurations.items[raft->configurations.count].buffer);
        rolled_back = true;
    }
    if (rolled_back) {
        members_switch(raft);
    }
}

/* With one configuration left there is none to go back to; but a snapshot that is being received
 * has reserved room for its own. */
void kvr__raft_members_trim(kvr_raft *raft)
{
    if (raft->configurations.count == 1 && !raft->incoming.active) {
        kvr__array_free(&raft->mem, KVR__MEM_HANDLE, (void **)&raft->spare_members,
                        &raft->spare_capacity, sizeof *raft->spare_members);
    }
}

void kvr__raft_members_forget(kvr_raft *raft, uint64_t index)
{
    uint32_t drop = 0;
    while (drop + 1 < raft->configurations.count &&
           raft->configurations.items[drop + 1].index <= index) {
        kvr_buf_release(raft->configurations.items[drop].buffer);
        drop++;
    }
    if (drop > 0) {
        raft->configurations.count -= drop;
        memmove(raft->configurations.items, raft->configurations.items + drop,
                raft->configurations.count * sizeof *raft->configurations.items);
    }
}

void kvr__raft_members_clear(kvr_raft *raft)
{
    for (uint32_t i = 0; i < raft->configurations.count; i++) {
        kvr_buf_release(raft->configurations.items[i].buffer);
    }
    raft->configurations.count = 0;
}

const kvr__raft_configured *kvr__raft_members_at(const kvr_raft *raft, uint64_t index)
{
    for (uint32_t i = raft->configurations.count; i > 0; i--) {
        if (raft->configurations.items[i - 1].index <= index) {
            return &raft->configurations.items[i - 1];
        }
    }
    return NULL;
}

void kvr__raft_members_release(kvr_raft *raft)
{
    kvr__raft_members_clear(raft);
    for (uint32_t i = 0; i < raft->member_count; i++) {
        kvr__ring_release(&raft->members[i].progress.inflight);
    }
    kvr__array_free(&raft->mem, KVR__MEM_HANDLE, (void **)&raft->configurations.items,
                    &raft->configurations.capacity, sizeof *raft->configurations.items);
    kvr__array_free(&raft->mem, KVR__MEM_HANDLE, (void **)&raft->members, &raft->member_capacity,
                    sizeof *raft->members);
    kvr__array_free(&raft->mem, KVR__MEM_HANDLE, (void **)&raft->spare_members,
                    &raft->spare_capacity, sizeof *raft->spare_members);
}
