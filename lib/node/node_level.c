/* SPDX-License-Identifier: Apache-2.0 */
/* node_level.c: the cluster level, by which a cluster is upgraded member by member. Each member
 * tells with its messages what it can apply; when all can apply more than is written, the leader
 * says so in an entry, and from there on it may be. Levels only rise, and a member that cannot
 * follow stops before it applies what it does not understand: it never guesses. */
#include "node_internal.h"

#include "base/codec.h"

uint32_t kvr_node_level_max(void)
{
    return KVR__LEVEL_MAX;
}

kvr_status kvr__level_allows(const kvr_node *node, uint8_t kind)
{
    return kvr__command_level(kind) <= node->applied.level ? KVR_OK : KVR_EVERSION;
}

/* Once a term is enough: a proposal of the own term is committed, or the term is over. One that is
 * refused is tried again. */
void kvr__level_run(kvr_node *node)
{
    if (!kvr__node_leads(node) || node->level_term == node->raft_status.term) {
        return;
    }
    uint32_t level = kvr_raft_level(node->raft);
    if (level <= node->applied.level) {
        return;
    }
    uint8_t bytes[KVR__COMMAND_HEAD + KVR__COMMAND_LEVEL_SIZE];
    kvr__origin_id origin = {node->config.member_id, node->incarnation, 0};
    kvr__command_write_head(bytes, KVR__COMMAND_LEVEL, KVR__COMMAND_LEVEL_SIZE);
    kvr__command_stamp(bytes, &origin);
    kvr__store_u32(bytes + KVR__COMMAND_HEAD, level);
    kvr__store_u32(bytes + KVR__COMMAND_HEAD + 4, 0);
    kvr_slice command = {bytes, sizeof bytes};
    kvr_raft_proposal proposal;
    if (kvr_raft_propose(node->raft, &command, &proposal) == KVR_OK && proposal.index != 0) {
        node->level_term = node->raft_status.term;
    }
}

kvr_status kvr__level_apply(kvr_node *node)
{
    const kvr_slice *payload = &node->apply.command.payload;
    if (payload->size < KVR__COMMAND_LEVEL_SIZE) {
        node->apply.outcome = KVR_ECORRUPT;
        return KVR_OK;
    }
    uint32_t level = kvr__load_u32(payload->data);
    if (level > node->config.level_max) {
        return kvr__node_fail(
            node, KVR_FVERSION,
            "this member is too old for its cluster: run a release that can apply "
            "cluster level",
            level);
    }
    if (level > node->applied.level) {
        node->applied.level = level;
        node->level_term = 0; /* there may be more */
    }
    return KVR_OK;
}
