/* SPDX-License-Identifier: Apache-2.0 */
/* node_member.c: changes of the members: the calls, the asking of the leader, the leader's answer.
 * Done and refused are both final, whatever is lost, repeated or late:
 *
 *   done      apply met the configuration that bears the call's origin
 *   refused   by a leader of the term that was asked. It had applied an entry of its own term, so
 *             what an earlier leader made of the same call is known here or dead; a later leader
 *             heeds only asks of its own term; and this one remembers what it refused.
 *
 * Start at kvr__changing_run. */
#include "node_member.h"

#include "base/buffer.h"
#include "base/codec.h"
#include "base/sized.h"
#include "node_internal.h"

#define CALL_OF(place) KVR__CONTAINER_OF(place, kvr__call, link)

void kvr__changing_init(kvr_node *node)
{
    kvr__list_init(&node->changing.calls);
}

void kvr__changing_release(kvr_node *node)
{
    KVR_ASSERT(kvr__list_is_empty(&node->changing.calls));
    if (node->changing.refusals != NULL) {
        kvr__mem_free(&node->mem, KVR__MEM_CALL, node->changing.refusals,
                      sizeof *node->changing.refusals);
        node->changing.refusals = NULL;
    }
}

/* ------------------------------------------------------------------ calls */

static uint64_t encoded_size(const kvr_raft_changes *changes)
{
    uint64_t size = KVR__CHANGE_HEAD;
    for (uint32_t i = 0; i < changes->change_count; i++) {
        size += KVR__CHANGE_ITEM + (uint64_t)changes->changes[i].member.attributes.size;
    }
    return size;
}

static void encode(const kvr_raft_changes *changes, uint8_t *out)
{
    memset(out, 0, KVR__CHANGE_HEAD);
    kvr__store_u32(out + 24, changes->flags);
    kvr__store_u32(out + 28, changes->data_copies_min);
    kvr__store_u32(out + 32, changes->change_count);
    kvr__store_u64(out + 40, changes->lease_ns);
    out += KVR__CHANGE_HEAD;
    for (uint32_t i = 0; i < changes->change_count; i++) {
        const kvr_member_change *change = &changes->changes[i];
        const kvr_slice *attributes = &change->member.attributes;
        out[0] = change->kind;
        out[1] = change->member.role;
        out[2] = change->member.flags;
        out[3] = 0;
        kvr__store_u32(out + 4, (uint32_t)attributes->size);
        kvr__store_u64(out + 8, change->member.id);
        out += KVR__CHANGE_ITEM;
        if (attributes->size > 0) {
            memcpy(out, attributes->data, attributes->size);
        }
        out += attributes->size;
    }
}

static bool is_sound(const kvr_raft_changes *changes)
{
    if (changes->change_count > 0 && changes->changes == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < changes->change_count && i < KVR__CHANGE_ITEMS_MAX; i++) {
        const kvr_member_change *change = &changes->changes[i];
        const kvr_member *member = &change->member;
        if (change->kind < KVR_CHANGE_ADD || change->kind > KVR_CHANGE_REMOVE ||
            (member->id == 0 && change->kind != KVR_CHANGE_ADD) ||
            (member->attributes.data == NULL && member->attributes.size > 0)) {
            return false;
        }
    }
    return true;
}

kvr_status kvr_node_member_change(kvr_node *node, const kvr_node_call *call,
                                  const kvr_raft_changes *changes)
{
    kvr_raft_changes known;
    if (node == NULL || changes == NULL ||
        !kvr__sized_read(&known, sizeof known, changes, sizeof known) || !is_sound(&known)) {
        return KVR_EINVAL;
    }
    if (known.change_count > KVR__CHANGE_ITEMS_MAX ||
        encoded_size(&known) > KVR__CHANGE_BYTES_MAX) {
        return KVR_ETOOBIG;
    }
    kvr_status status = kvr__node_may_take(node);
    if (status != KVR_OK) {
        return status;
    }
    size_t size = (size_t)encoded_size(&known);
    kvr_buf *record = kvr__buf_new_room(&node->mem, KVR__MEM_CALL, size);
    if (record == NULL) {
        return KVR_ENOMEM;
    }
    kvr__call *made;
    status = kvr__calls_new(node, call, KVR_CALL_MEMBER_CHANGE, &made);
    if (status != KVR_OK) {
        kvr_buf_release(record);
        return status;
    }
    record->size = size;
    encode(&known, record->data);
    made->command = record;
    made->done.member = known.change_count > 0 ? known.changes[0].member.id : 0;
    return KVR_OK;
}

static kvr_status change_one(kvr_node *node, const kvr_node_call *call, uint8_t kind,
                             const kvr_member *member)
{
    kvr_member_change change = {.kind = kind, .member = *member};
    kvr_raft_changes changes = {.size = sizeof changes, .change_count = 1, .changes = &change};
    return kvr_node_member_change(node, call, &changes);
}

kvr_status kvr_node_member_add(kvr_node *node, const kvr_node_call *call, const kvr_member *member)
{
    return member == NULL ? KVR_EINVAL : change_one(node, call, KVR_CHANGE_ADD, member);
}

kvr_status kvr_node_member_promote(kvr_node *node, const kvr_node_call *call, uint64_t id)
{
    return change_one(node, call, KVR_CHANGE_PROMOTE, &(kvr_member){.id = id});
}

kvr_status kvr_node_member_demote(kvr_node *node, const kvr_node_call *call, uint64_t id)
{
    return change_one(node, call, KVR_CHANGE_DEMOTE, &(kvr_member){.id = id});
}

kvr_status kvr_node_member_update(kvr_node *node, const kvr_node_call *call, uint64_t id,
                                  const kvr_slice *attributes)
{
    if (attributes == NULL) {
        return KVR_EINVAL;
    }
    return change_one(node, call, KVR_CHANGE_UPDATE,
                      &(kvr_member){.id = id, .attributes = *attributes});
}

kvr_status kvr_node_member_remove(kvr_node *node, const kvr_node_call *call, uint64_t id)
{
    return change_one(node, call, KVR_CHANGE_REMOVE, &(kvr_member){.id = id});
}

kvr_status kvr_node_member_get(const kvr_node *node, uint32_t i, kvr_member *out_member)
{
    kvr_slice encoded;
    if (node == NULL || out_member == NULL) {
        return KVR_EINVAL;
    }
    /* what raft was told; of a witness, which applies nothing here, what raft took for applied */
    uint64_t index = node->raft_status.applied_index > node->apply.told_index
                         ? node->raft_status.applied_index
                         : node->apply.told_index;
    kvr_status status = kvr_raft_configuration(node->raft, index, &encoded);
    return status != KVR_OK ? KVR_END : kvr_configuration_member(&encoded, i, out_member);
}

/* ------------------------------------------------------------------ the leader decides */

/* What was refused to this call before; KVR_OK: nothing. KVR_EBUSY: a later one was, so that this
 * is an old message. */
static kvr_status refused_before(const kvr__refusals *refusals, const kvr__origin_id *origin)
{
    for (uint32_t i = 0; i < refusals->count; i++) {
        const kvr__refusal *refusal = &refusals->items[i];
        if (refusal->member != origin->member) {
            continue;
        }
        if (refusal->incarnation == origin->incarnation && refusal->sequence == origin->sequence) {
            return refusal->status;
        }
        bool is_old =
            refusal->incarnation > origin->incarnation ||
            (refusal->incarnation == origin->incarnation && refusal->sequence > origin->sequence);
        return is_old ? KVR_EBUSY : KVR_OK;
    }
    return KVR_OK;
}

/* Those of this term; NULL: no memory. */
static kvr__refusals *take_refusals(kvr_node *node)
{
    kvr__refusals *refusals = node->changing.refusals;
    if (refusals == NULL) {
        refusals = kvr__mem_zalloc(&node->mem, KVR__MEM_CALL, sizeof *refusals);
        node->changing.refusals = refusals;
    }
    if (refusals != NULL && refusals->term != node->leasing.term) {
        refusals->term = node->leasing.term;
        refusals->count = 0;
    }
    return refusals;
}

static void remember_refusal(kvr__refusals *refusals, const kvr__origin_id *origin,
                             kvr_status status)
{
    uint32_t place = 0;
    while (place < refusals->count && refusals->items[place].member != origin->member) {
        place++;
    }
    refusals->items[place] = (kvr__refusal){.member = origin->member,
                                            .incarnation = origin->incarnation,
                                            .sequence = origin->sequence,
                                            .status = status};
    refusals->count += place == refusals->count;
}

/* One that may not be remembered may not be said. */
static bool has_place(const kvr__refusals *refusals, uint64_t member)
{
    uint32_t place = 0;
    while (place < refusals->count && refusals->items[place].member != member) {
        place++;
    }
    return place < KVR__REFUSALS_MAX;
}

static bool decode(const kvr_slice *record, kvr_raft_changes *out_changes,
                   kvr_member_change out_items[KVR__CHANGE_ITEMS_MAX])
{
    kvr__reader reader = kvr__reader_of(record->data + 24, record->size - 24);
    *out_changes = (kvr_raft_changes){.size = sizeof *out_changes, .changes = out_items};
    out_changes->flags = kvr__read_u32(&reader);
    out_changes->data_copies_min = kvr__read_u32(&reader);
    out_changes->change_count = kvr__read_u32(&reader);
    (void)kvr__read_u32(&reader);
    out_changes->lease_ns = kvr__read_u64(&reader);
    if (out_changes->change_count > KVR__CHANGE_ITEMS_MAX) {
        return false;
    }
    for (uint32_t i = 0; i < out_changes->change_count; i++) {
        kvr_member_change *item = &out_items[i];
        *item = (kvr_member_change){.kind = kvr__read_u8(&reader)};
        item->member.role = kvr__read_u8(&reader);
        item->member.flags = kvr__read_u8(&reader);
        (void)kvr__read_u8(&reader);
        uint32_t size = kvr__read_u32(&reader);
        item->member.id = kvr__read_u64(&reader);
        item->member.attributes = (kvr_slice){kvr__read_bytes(&reader, size), size};
    }
    return !reader.failed;
}

/* KVR_OK: it is in the log. KVR_EBUSY: no answer, not now. Anything else is refused, for ever. */
static kvr_status judge(kvr_node *node, const kvr__origin_id *origin, const kvr_slice *record)
{
    kvr_member_change items[KVR__CHANGE_ITEMS_MAX];
    kvr_raft_changes changes;
    kvr_raft_proposal proposal;
    if (node->leasing.term == 0 || kvr__load_u64(record->data) != node->leasing.term ||
        kvr__origins_seen(&node->origins, origin)) {
        return KVR_EBUSY; /* not this term's leader, or it was done */
    }
    kvr__refusals *refusals = take_refusals(node);
    if (refusals == NULL || !has_place(refusals, origin->member)) {
        return KVR_EBUSY;
    }
    kvr_status status = refused_before(refusals, origin);
    if (status != KVR_OK) {
        return status;
    }
    if (!decode(record, &changes, items)) {
        return KVR_EBUSY;
    }
    changes.context[0] = origin->member;
    changes.context[1] = origin->incarnation;
    changes.context[2] = origin->sequence;
    status = kvr_raft_change(node->raft, &changes, &proposal);
    if (status == KVR_ENOMEM || status == KVR_ENOLEADER || kvr_status_is_fatal(status)) {
        return KVR_EBUSY;
    }
    if (status != KVR_OK && status != KVR_EBUSY) {
        remember_refusal(refusals, origin, status);
    }
    return status;
}

static kvr_status post_answer(kvr_node *node, const kvr__origin_id *origin, kvr_status answer)
{
    kvr__post post;
    kvr_status status = kvr__post_begin(&post, node, 0);
    if (status != KVR_OK) {
        return status;
    }
    uint8_t *at = kvr__post_add(&post, KVR__CHANGE_ANSWER_SIZE);
    kvr__store_u64(at, node->leasing.term);
    kvr__store_u64(at + 8, origin->incarnation);
    kvr__store_u64(at + 16, origin->sequence);
    kvr__store_u32(at + 24, (uint32_t)answer);
    kvr__store_u32(at + 28, 0);
    return kvr__post_send(node, origin->member, KVR__POST_CHANGE_ANSWER, &post);
}

static bool is_member(const kvr_node *node, uint64_t id)
{
    kvr_raft_progress member = {.size = sizeof member};
    for (uint32_t i = 0; kvr_raft_get_progress(node->raft, i, &member) == KVR_OK; i++) {
        if (member.id == id) {
            return true;
        }
    }
    return false;
}

void kvr__changing_asked(kvr_node *node, uint64_t from, const kvr_slice *record)
{
    kvr__origin_id origin = {from, kvr__load_u64(record->data + 8),
                             kvr__load_u64(record->data + 16)};
    if (!is_member(node, from) || origin.sequence == 0) {
        return;
    }
    kvr_status answer = judge(node, &origin, record);
    if (answer != KVR_OK && answer != KVR_EBUSY) {
        (void)post_answer(node, &origin, answer); /* lost: it asks again */
    }
}

/* ------------------------------------------------------------------ asking */

static kvr__call *first_call(const kvr_node *node)
{
    const kvr__list *calls = &node->changing.calls;
    return kvr__list_is_empty(calls) ? NULL : CALL_OF(calls->next);
}

static bool is_due(const kvr_node *node, const kvr__call *call)
{
    return call->sent_term != node->raft_status.term ||
           node->now_ns - call->sent_ns >= kvr__node_repeat_ns(node);
}

static kvr_status post_ask(kvr_node *node, const kvr_slice *record)
{
    kvr__post post;
    kvr_status status = kvr__post_begin(&post, node, 0);
    if (status != KVR_OK) {
        return status;
    }
    uint8_t *at = kvr__post_add(&post, record->size);
    KVR_ASSERT(at != NULL);
    memcpy(at, record->data, record->size);
    status = kvr__post_send(node, node->raft_status.leader, KVR__POST_CHANGE, &post);
    return status == KVR_EBUSY ? KVR_OK : status; /* as if it were lost */
}

/* One at a time: so a leader is asked in the order of the sequences, and can tell an old
 * message. */
kvr_status kvr__changing_run(kvr_node *node)
{
    kvr__call *call = first_call(node);
    if (call == NULL || !node->loaded || node->raft_status.leader == 0 || !is_due(node, call)) {
        return KVR_OK;
    }
    bool leads = node->raft_status.leader == node->config.member_id;
    if (leads && node->leasing.term == 0) {
        return KVR_OK; /* until it has applied an entry of its term */
    }
    kvr_status status = kvr__calls_number(node, call);
    if (status != KVR_OK) {
        return status == KVR_EBUSY ? KVR_OK : status;
    }
    uint8_t *bytes = call->command->data;
    kvr__store_u64(bytes, node->raft_status.term);
    kvr__store_u64(bytes + 8, node->incarnation);
    kvr__store_u64(bytes + 16, call->sequence);
    kvr_slice record = {bytes, call->command->size};
    call->sent_term = node->raft_status.term;
    call->sent_ns = node->now_ns;
    if (!leads) {
        return post_ask(node, &record);
    }
    kvr__origin_id origin = {node->config.member_id, node->incarnation, call->sequence};
    status = judge(node, &origin, &record);
    if (status != KVR_OK && status != KVR_EBUSY) {
        kvr__calls_finish(node, call, KVR_OUTCOME_REFUSED, status);
    }
    return KVR_OK;
}

void kvr__changing_repeat(kvr_node *node)
{
    kvr__call *call = first_call(node);
    if (call != NULL) {
        call->sent_term = 0;
    }
}

void kvr__changing_answered(kvr_node *node, const uint8_t *record)
{
    kvr__call *call = first_call(node);
    kvr_status answer = (kvr_status)kvr__load_u32(record + 24);
    if (call == NULL || call->sequence == 0 || kvr__load_u64(record) != call->sent_term ||
        kvr__load_u64(record + 8) != node->incarnation ||
        kvr__load_u64(record + 16) != call->sequence || answer >= KVR_OK ||
        kvr_status_is_fatal(answer)) {
        return;
    }
    kvr__calls_finish(node, call, KVR_OUTCOME_REFUSED, answer);
}

uint64_t kvr__changing_deadline(const kvr_node *node)
{
    const kvr__call *call = first_call(node);
    bool leads = node->raft_status.leader == node->config.member_id;
    if (call == NULL || !node->loaded || node->raft_status.leader == 0 ||
        (leads && node->leasing.term == 0)) {
        return UINT64_MAX;
    }
    return is_due(node, call) ? 0 : call->sent_ns + kvr__node_repeat_ns(node);
}
