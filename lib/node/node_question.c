/* SPDX-License-Identifier: Apache-2.0 */
/* node_question.c: questions about leases on their way to the leader and back, many in one message.
 * Both ways may be lost or repeated: a question is asked again until it is answered or its time is
 * over, which is harmless, as renewing twice is renewing once. Start at kvr__question_put. */
#include "node_internal.h"

#define CALL_OF(place) KVR__CONTAINER_OF(place, kvr__call, link)
#define ASK_OF(place) KVR__CONTAINER_OF(place, kvr__ask, link)

/* Ids of earlier lives differ, so that a late answer to one of theirs finds nobody. */
static uint64_t request_of(const kvr_node *node, const kvr__call *call)
{
    return node->incarnation << 40 | call->request;
}

static void note_asked(kvr_node *node, kvr__call *call)
{
    call->sent_ns = node->now_ns;
    call->sent_term = node->raft_status.term;
    kvr__list_remove(&call->link);
    kvr__list_push_back(&node->leasing.asked, &call->link);
}

static kvr_status put_to_myself(kvr_node *node)
{
    kvr__list *asking = &node->leasing.asking;
    while (!kvr__list_is_empty(asking) && node->leasing.ask_count < KVR__ASKS_MAX) {
        kvr__call *call = CALL_OF(asking->next);
        kvr__ask question = {.from = node->config.member_id,
                             .request = request_of(node, call),
                             .lease = call->done.lease,
                             .kind = call->done.kind};
        uint32_t before = node->leasing.ask_count;
        kvr_status status = kvr__map_put(&node->leasing.by_request, question.request, call);
        if (status != KVR_OK) {
            return status;
        }
        kvr__leasing_take(node, &question);
        if (node->leasing.ask_count == before) {
            return KVR_ENOMEM;
        }
        note_asked(node, call);
    }
    return KVR_OK;
}

/* Fills one body. The calls that are in it move to `asked` only once it was posted. */
static kvr_status put_to(kvr_node *node, uint64_t leader)
{
    kvr__list *asking = &node->leasing.asking;
    kvr__post post;
    kvr_status status = kvr__post_begin(&post, node, 0);
    if (status != KVR_OK) {
        return status;
    }
    for (kvr__list *place = asking->next; place != asking; place = place->next) {
        kvr__call *call = CALL_OF(place);
        uint64_t request = request_of(node, call);
        uint8_t *at = kvr__post_add(&post, KVR__POST_ASK_SIZE);
        if (at == NULL) {
            break;
        }
        status = kvr__map_put(&node->leasing.by_request, request, call);
        if (status != KVR_OK) {
            post.size -= KVR__POST_ASK_SIZE;
            post.count--;
            break;
        }
        kvr__store_u64(at, request);
        kvr__store_u64(at + 8, (uint64_t)call->done.lease);
        kvr__store_u32(at + 16, call->done.kind);
        kvr__store_u32(at + 20, 0);
    }
    uint32_t count = post.count;
    kvr_status sent = kvr__post_send(node, leader, KVR__POST_LEASE_ASK, &post);
    for (; count > 0 && sent == KVR_OK; count--) {
        note_asked(node, CALL_OF(asking->next));
    }
    return sent != KVR_OK ? sent : status;
}

kvr_status kvr__question_put(kvr_node *node)
{
    kvr__leasing *leasing = &node->leasing;
    uint64_t leader = node->raft_status.leader;
    if (!node->loaded || leader == 0 || kvr__list_is_empty(&leasing->asking) ||
        node->now_ns < leasing->blocked_until) {
        return KVR_OK;
    }
    kvr_status status = KVR_OK;
    if (leader == node->config.member_id) {
        if (leasing->term != 0) {
            status = put_to_myself(node);
        }
    } else {
        status = put_to(node, leader);
    }
    if (status == KVR_EBUSY) {
        leasing->blocked_until = node->now_ns + node->config.heartbeat_ns;
        status = KVR_OK;
    }
    return status;
}

void kvr__question_repeat(kvr_node *node, bool all)
{
    kvr__leasing *leasing = &node->leasing;
    kvr__list *last = leasing->asked.prev;
    while (!kvr__list_is_empty(&leasing->asked)) {
        kvr__list *place = leasing->asked.next;
        kvr__call *call = CALL_OF(place);
        if (!all && node->now_ns - call->sent_ns < kvr__node_repeat_ns(node)) {
            break;
        }
        /* nothing was lost: it is in this member's own lists */
        bool is_here = !all && leasing->term != 0;
        call->sent_ns = node->now_ns;
        kvr__list_remove(&call->link);
        kvr__list_push_back(is_here ? &leasing->asked : &leasing->asking, &call->link);
        if (place == last) {
            break;
        }
    }
}

void kvr__question_answered(kvr_node *node, const kvr__ask *answer)
{
    kvr__call *call = kvr__map_get(&node->leasing.by_request, answer->request);
    if (call == NULL || call->done.lease != answer->lease) {
        return;
    }
    kvr_mvcc_status store = {.size = sizeof store};
    kvr_mvcc_get_status(node->store, &store);
    call->done.revision = store.revision;
    call->done.term = node->raft_status.term;
    call->done.ttl_ns = answer->ttl_ns;
    call->done.remaining_ns = answer->remaining_ns;
    kvr__calls_finish(node, call, KVR_OUTCOME_DONE, answer->status);
}

void kvr__question_forget(kvr_node *node, kvr__call *call)
{
    (void)kvr__map_remove(&node->leasing.by_request, request_of(node, call));
}

kvr_status kvr__question_post_answers(kvr_node *node)
{
    kvr__list *answers = &node->leasing.answers;
    while (!kvr__list_is_empty(answers)) {
        uint64_t to = ASK_OF(answers->next)->from;
        kvr__post post;
        kvr_status status = kvr__post_begin(&post, node, 0);
        if (status != KVR_OK) {
            return status;
        }
        for (kvr__list *place = answers->next; place != answers;) {
            kvr__ask *ask = ASK_OF(place);
            place = place->next;
            uint8_t *at = ask->from != to ? NULL : kvr__post_add(&post, KVR__POST_ANSWER_SIZE);
            if (at == NULL) {
                continue;
            }
            kvr__store_u64(at, ask->request);
            kvr__store_u64(at + 8, (uint64_t)ask->lease);
            kvr__store_u64(at + 16, ask->ttl_ns);
            kvr__store_u64(at + 24, ask->remaining_ns);
            kvr__store_u32(at + 32, (uint32_t)ask->status);
            kvr__store_u32(at + 36, 0);
            kvr__leasing_free(node, ask); /* a post that is lost now is asked for again */
        }
        status = kvr__post_send(node, to, KVR__POST_LEASE_ANSWER, &post);
        if (status != KVR_OK && status != KVR_EBUSY) {
            return status;
        }
    }
    return KVR_OK;
}

uint64_t kvr__question_deadline(const kvr_node *node)
{
    const kvr__leasing *leasing = &node->leasing;
    uint64_t deadline = UINT64_MAX;
    bool leader_is_ready = node->raft_status.leader != node->config.member_id || leasing->term != 0;
    if (node->loaded && node->raft_status.leader != 0 && leader_is_ready &&
        !kvr__list_is_empty(&leasing->asking)) {
        deadline = leasing->blocked_until; /* 0: at once */
    }
    if (!kvr__list_is_empty(&leasing->asked)) {
        const kvr__call *call = CALL_OF(leasing->asked.next);
        uint64_t repeat = call->sent_ns + kvr__node_repeat_ns(node);
        deadline = repeat < deadline ? repeat : deadline;
    }
    return deadline;
}
