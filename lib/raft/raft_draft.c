/* SPDX-License-Identifier: Apache-2.0 */
/* raft_draft.c: what each kind of change does to a configuration, and nothing else. Each touches
 * the fields that it names and no others (FAULTS 52). Start at kvr__raft_draft_change. */
#include "raft_draft.h"

#include <string.h>

#include "base/assertion.h"

static void read_records(kvr__raft_draft *draft, kvr_slice encoded)
{
    size_t at = 0;
    kvr__raft_configuration_read_head(encoded, &draft->head);
    draft->head.count = 0;
    while (kvr__raft_configuration_next(encoded, &at, &draft->records[draft->head.count]) ==
           KVR_OK) {
        draft->head.count++;
        if (draft->head.count == KVR__RAFT_MEMBERS_MAX) {
            return;
        }
    }
}

void kvr__raft_draft_read(kvr__raft_draft *draft, kvr_slice encoded)
{
    KVR_ASSERT(!kvr__raft_configuration_is_joint(encoded));
    read_records(draft, encoded);
    memset(draft->head.context, 0, sizeof draft->head.context);
    for (uint32_t i = 0; i < draft->head.count; i++) {
        draft->records[i].role_outgoing = draft->records[i].role;
    }
}

void kvr__raft_draft_leave(kvr__raft_draft *draft, kvr_slice encoded)
{
    KVR_ASSERT(kvr__raft_configuration_is_joint(encoded));
    read_records(draft, encoded);
    draft->head.flags = 0;
}

static kvr__raft_record *find(kvr__raft_draft *draft, uint64_t id)
{
    for (uint32_t i = 0; i < draft->head.count; i++) {
        if (draft->records[i].id == id && draft->records[i].role != KVR__RAFT_ROLE_NONE) {
            return &draft->records[i];
        }
    }
    return NULL;
}

/* Ids ascend, so a new member is the last record, and an id that was ever used is known as such
 * though nobody bears it any more (FAULTS 54). */
static kvr_status add(kvr__raft_draft *draft, const kvr_member *member)
{
    uint64_t id = member->id == 0 ? draft->head.highest_id + 1 : member->id;
    bool joins = member->role == KVR_MEMBER_VOTER; /* as a learner, until it caught up */
    if (member->role > KVR_MEMBER_WITNESS || (member->flags & ~KVR_MEMBER_PROMOTE) != 0 ||
        id == 0) {
        return KVR_EINVAL;
    }
    if (id <= draft->head.highest_id) {
        return KVR_EEXIST;
    }
    if (draft->head.count == KVR__RAFT_MEMBERS_MAX ||
        member->attributes.size > KVR__RAFT_ATTRIBUTES_MAX) {
        return KVR_ETOOBIG;
    }
    uint8_t promote = member->role == KVR_MEMBER_LEARNER ? member->flags : 0;
    draft->records[draft->head.count++] = (kvr__raft_record){
        .id = id,
        .attributes = member->attributes,
        .role = joins ? (uint8_t)KVR_MEMBER_LEARNER : member->role,
        .role_outgoing = KVR__RAFT_ROLE_NONE,
        .flags = joins ? (uint8_t)KVR_MEMBER_PROMOTE : promote,
    };
    draft->head.highest_id = id;
    return KVR_OK;
}

static kvr_status move(kvr__raft_record *record, uint8_t from, uint8_t to)
{
    if (record->role != from) {
        return KVR_ESTATE; /* a witness lacks the data to be anything else */
    }
    record->role = to;
    record->flags &= (uint8_t)~KVR_MEMBER_PROMOTE;
    return KVR_OK;
}

kvr_status kvr__raft_draft_change(kvr__raft_draft *draft, const kvr_member_change *change)
{
    const kvr_member *member = &change->member;
    if (member->attributes.data == NULL && member->attributes.size > 0) {
        return KVR_EINVAL;
    }
    if (change->kind == KVR_CHANGE_ADD) {
        return add(draft, member);
    }
    kvr__raft_record *record = find(draft, member->id);
    if (record == NULL) {
        return KVR_ENOTFOUND;
    }
    switch (change->kind) {
    case KVR_CHANGE_PROMOTE:
        return move(record, KVR_MEMBER_LEARNER, KVR_MEMBER_VOTER);
    case KVR_CHANGE_DEMOTE:
        return move(record, KVR_MEMBER_VOTER, KVR_MEMBER_LEARNER);
    case KVR_CHANGE_UPDATE:
        if (member->attributes.size > KVR__RAFT_ATTRIBUTES_MAX) {
            return KVR_ETOOBIG;
        }
        record->attributes = member->attributes;
        return KVR_OK;
    case KVR_CHANGE_REMOVE:
        record->role = KVR__RAFT_ROLE_NONE;
        return KVR_OK;
    default:
        return KVR_EINVAL;
    }
}

uint32_t kvr__raft_draft_moved(const kvr__raft_draft *draft)
{
    uint32_t moved = 0;
    for (uint32_t i = 0; i < draft->head.count; i++) {
        const kvr__raft_record *record = &draft->records[i];
        moved += kvr__raft_votes(record->role) != kvr__raft_votes(record->role_outgoing);
    }
    return moved;
}

uint32_t kvr__raft_draft_voters(const kvr__raft_draft *draft)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < draft->head.count; i++) {
        count += draft->records[i].role == KVR_MEMBER_VOTER;
    }
    return count;
}

uint32_t kvr__raft_draft_copies(const kvr__raft_draft *draft)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < draft->head.count; i++) {
        count += kvr__raft_holds_data(draft->records[i].role);
    }
    return count;
}

/* ------------------------------------------------------------------ as bytes */

static bool is_written(const kvr__raft_record *record, bool joint)
{
    return joint
               ? record->role != KVR__RAFT_ROLE_NONE || record->role_outgoing != KVR__RAFT_ROLE_NONE
               : record->role != KVR__RAFT_ROLE_NONE;
}

size_t kvr__raft_draft_size(const kvr__raft_draft *draft, bool joint)
{
    size_t size = KVR__RAFT_CONFIGURATION_HEAD;
    for (uint32_t i = 0; i < draft->head.count; i++) {
        if (is_written(&draft->records[i], joint)) {
            size += KVR__RAFT_CONFIGURATION_RECORD + draft->records[i].attributes.size;
        }
    }
    return size;
}

void kvr__raft_draft_write(const kvr__raft_draft *draft, bool joint, uint8_t *out)
{
    kvr__raft_configuration_head head = draft->head;
    uint8_t *at = kvr__raft_configuration_write_head(out, &head);
    head.count = 0;
    for (uint32_t i = 0; i < draft->head.count; i++) {
        kvr__raft_record record = draft->records[i];
        if (is_written(&record, joint)) {
            record.role_outgoing = joint ? record.role_outgoing : KVR__RAFT_ROLE_NONE;
            at = kvr__raft_configuration_write_record(at, &record);
            head.count++;
        }
    }
    (void)kvr__raft_configuration_write_head(out, &head);
}
