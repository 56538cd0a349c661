/* SPDX-License-Identifier: Apache-2.0 */
/* node_exchange.c: members tell each other their state hashes. A mismatch accuses nobody: whoever
 * differs from a majority of the voters stops, a leader too; while voters differ without a
 * majority, none takes writes (FAULTS 108). The chain covers all that came before, so a difference
 * shows at every later point too. Start at judge. */
#include "node_internal.h"

enum { VOTERS_MAX = 64, REPEATS = 4 };

/* The voters that hold data: a witness has no state to compare. */
static uint32_t data_voters(const kvr_node *node, uint64_t *out_ids)
{
    uint32_t count = 0;
    kvr_raft_progress member = {.size = sizeof member};
    for (uint32_t i = 0; kvr_raft_get_progress(node->raft, i, &member) == KVR_OK; i++) {
        if (member.role == KVR_MEMBER_VOTER && count < VOTERS_MAX) {
            out_ids[count++] = member.id;
        }
    }
    return count;
}

void kvr__exchange_claim(kvr_node *node, uint64_t from, const kvr__hash_point *point)
{
    uint64_t ids[VOTERS_MAX];
    uint32_t count = data_voters(node, ids);
    for (uint32_t i = 0; i < count; i++) {
        if (ids[i] == from && point->index % KVR__HASH_EVERY == 0) {
            (void)kvr__hashes_claim(&node->hashes, from, point); /* no memory: it is told again */
            node->hashes.judge = true;
        }
    }
}

static kvr_status post_to(kvr_node *node, uint64_t to, bool wants)
{
    const kvr__hashes *hashes = &node->hashes;
    kvr__post post;
    kvr_status status = kvr__post_begin(&post, node, wants ? KVR__POST_WANTS : 0);
    if (status != KVR_OK) {
        return status;
    }
    uint32_t first = hashes->count > KVR__CLAIMS_KEPT ? hashes->count - KVR__CLAIMS_KEPT : 0;
    for (uint32_t i = first; i < hashes->count; i++) {
        uint8_t *at = kvr__post_add(&post, KVR__POST_HASH_SIZE);
        kvr__store_u64(at, hashes->points[i].index);
        kvr__store_u64(at + 8, hashes->points[i].chain);
    }
    status = kvr__post_send(node, to, KVR__POST_HASH, &post);
    return status == KVR_EBUSY ? KVR_OK : status; /* told again later */
}

void kvr__exchange_asked(kvr_node *node, uint64_t from)
{
    (void)post_to(node, from, false); /* no memory: as if it were lost */
}

void kvr__exchange_tell(kvr_node *node)
{
    if (node->hashes.count > 0) {
        node->hashes.post_ns = 0;
        node->hashes.judge = true;
    }
}

/* Tells everybody, and asks those whose newest claim is older than this member's newest point. */
static kvr_status tell(kvr_node *node)
{
    kvr__hashes *hashes = &node->hashes;
    uint64_t newest = hashes->points[hashes->count - 1].index;
    bool all_told = true;
    kvr_raft_progress member = {.size = sizeof member};
    for (uint32_t i = 0; kvr_raft_get_progress(node->raft, i, &member) == KVR_OK; i++) {
        if (member.id == node->config.member_id || member.role == KVR_MEMBER_WITNESS) {
            continue;
        }
        bool told = member.role != KVR_MEMBER_VOTER ||
                    kvr__hashes_claimed(hashes, member.id, newest) != NULL;
        if (told && hashes->post_ns != 0) {
            continue;
        }
        kvr_status status = post_to(node, member.id, !told);
        if (status != KVR_OK) {
            return status;
        }
        all_told = all_told && told;
    }
    hashes->post_ns = all_told ? UINT64_MAX : node->now_ns + REPEATS * kvr__node_repeat_ns(node);
    return KVR_OK;
}

/* What the voters say of one index. */
typedef struct verdict {
    bool differs; /* not all that spoke agree */
    bool has_majority;
    bool is_ours; /* the majority's value is this member's */
} verdict;

static verdict judge_point(const kvr_node *node, const kvr__hash_point *own)
{
    uint64_t ids[VOTERS_MAX];
    uint64_t values[VOTERS_MAX];
    uint32_t voters = data_voters(node, ids);
    uint32_t spoken = 0;
    verdict result = {0};
    for (uint32_t i = 0; i < voters; i++) {
        const kvr__hash_point *claim = ids[i] == node->config.member_id
                                           ? own
                                           : kvr__hashes_claimed(&node->hashes, ids[i], own->index);
        if (claim == NULL) {
            continue;
        }
        values[spoken++] = claim->chain;
        result.differs = result.differs || claim->chain != own->chain;
        uint32_t same = 0;
        for (uint32_t j = 0; j < spoken; j++) {
            same += values[j] == claim->chain;
        }
        if (same > voters / 2) {
            result.has_majority = true;
            result.is_ours = claim->chain == own->chain;
        }
    }
    return result;
}

/* From the newest point back: the first that a majority has spoken on decides. */
static kvr_status judge(kvr_node *node)
{
    kvr__hashes *hashes = &node->hashes;
    bool undecided = false;
    hashes->judge = false;
    for (uint32_t i = hashes->count; i > 0; i--) {
        const kvr__hash_point *own = &hashes->points[i - 1];
        verdict said = judge_point(node, own);
        if (said.has_majority) {
            if (!said.is_ours) {
                return kvr__node_fail(
                    node, KVR_FDIVERGED,
                    "the state differs from that of a majority; remove this member "
                    "from the cluster and add a new one with empty data; found at "
                    "index",
                    own->index);
            }
            break;
        }
        undecided = undecided || said.differs;
    }
    if (!undecided) {
        hashes->doubt_ns = UINT64_MAX;
    } else if (hashes->doubt_ns == UINT64_MAX) {
        /* time for the others to speak */
        hashes->doubt_ns = node->now_ns + kvr__node_repeat_ns(node);
    }
    return KVR_OK;
}

kvr_status kvr__exchange_run(kvr_node *node)
{
    kvr__hashes *hashes = &node->hashes;
    if (hashes->count == 0 || !node->loaded) {
        /* kvr__exchange_tell asks again once there is something to compare */
        hashes->judge = false;
        return KVR_OK;
    }
    if (node->now_ns >= hashes->post_ns) {
        kvr_status status = tell(node);
        if (status != KVR_OK) {
            return status;
        }
    }
    if (hashes->judge) {
        kvr_status status = judge(node);
        if (status != KVR_OK) {
            return status;
        }
    }
    node->corrupt = node->now_ns >= hashes->doubt_ns;
    return KVR_OK;
}

/* ------------------------------------------------------------------ when */

uint64_t kvr__exchange_deadline(const kvr_node *node)
{
    const kvr__hashes *hashes = &node->hashes;
    if (hashes->count == 0 || !node->loaded) {
        return UINT64_MAX; /* a run before that does nothing, however late it is */
    }
    bool doubts = !node->corrupt && hashes->doubt_ns < hashes->post_ns;
    return doubts ? hashes->doubt_ns : hashes->post_ns;
}
