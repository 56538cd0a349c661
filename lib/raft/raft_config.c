/* SPDX-License-Identifier: Apache-2.0 */
/* raft_config.c: kvr_raft_config: defaults, and one sentence for each thing that can be wrong with
 * it. */
#include "base/sized.h"
#include "raft_internal.h"

#define MILLISECOND ((uint64_t)1000000)
#define KIB ((uint64_t)1024)
#define MIB (1024 * KIB)
#define MESSAGE_BYTES_MAX (64 * MIB) /* of config.message_bytes_max and command_bytes_max */
#define ELECTION_NS_MAX (3600000 * MILLISECOND)

/* What 0 stands for. */
static void fill_defaults(kvr_raft_config *config)
{
    struct {
        uint64_t *field;
        uint64_t value;
    } defaults[] = {
        {&config->election_ns, 1000 * MILLISECOND},
        {&config->heartbeat_ns, 100 * MILLISECOND},
        {&config->message_bytes_max, MIB},
        {&config->command_bytes_max, MIB + MIB / 2 + 64 * KIB},
        {&config->uncommitted_bytes_max, 64 * MIB},
        {&config->inflight_bytes_max, 8 * MIB},
        {&config->apply_bytes_max, 16 * MIB},
        {&config->log_memory_bytes, 64 * KIB},
    };
    for (size_t i = 0; i < sizeof defaults / sizeof defaults[0]; i++) {
        if (*defaults[i].field == 0) {
            *defaults[i].field = defaults[i].value;
        }
    }
    if (config->stall_ns == 0) {
        config->stall_ns = config->election_ns;
    }
    if (config->inflight_messages_max == 0) {
        config->inflight_messages_max = 256;
    }
    if (config->snapshot_chunk_bytes == 0) {
        config->snapshot_chunk_bytes = (uint32_t)(256 * KIB);
    }
}

bool kvr__raft_config_read(const kvr_raft_config *config, kvr_raft_config *out_config)
{
    if (!kvr__sized_read(out_config, sizeof *out_config, config, sizeof *out_config)) {
        return false;
    }
    fill_defaults(out_config);
    return true;
}

kvr_status kvr_raft_config_init(kvr_raft_config *config, uint32_t size)
{
    if (config == NULL || size < sizeof *config) {
        return KVR_EINVAL;
    }
    memset(config, 0, size);
    config->size = size;
    fill_defaults(config);
    return KVR_OK;
}

static const char *members_fault(const kvr_raft_config *config)
{
    bool voter = config->member_count == 0;
    uint32_t copies = 0;
    if (config->member_count > KVR__RAFT_MEMBERS_MAX) {
        return "member_count is above 64";
    }
    if (config->member_count > 0 && config->members == NULL) {
        return "members is NULL but member_count is not 0";
    }
    for (uint32_t i = 0; i < config->member_count; i++) {
        const kvr_member *member = &config->members[i];
        if (member->id == 0) {
            return "a member's id is 0";
        }
        if (i > 0 && member->id <= config->members[i - 1].id) {
            return "members are not in ascending order of their ids, each once";
        }
        if (member->role > KVR_MEMBER_WITNESS) {
            return "a member's role is none of KVR_MEMBER_*";
        }
        if (member->attributes.size > KVR__RAFT_ATTRIBUTES_MAX) {
            return "a member's attributes are above 64 KiB";
        }
        if (member->attributes.data == NULL && member->attributes.size > 0) {
            return "a member's attributes are NULL but not empty";
        }
        if ((member->flags & ~KVR_MEMBER_PROMOTE) != 0) {
            return "a member's flags are none of KVR_MEMBER_PROMOTE";
        }
        voter = voter || member->role == KVR_MEMBER_VOTER;
        copies += member->role != KVR_MEMBER_WITNESS;
    }
    if (config->member_count > 0 && config->data_copies_min > copies) {
        return "data_copies_min is above the number of members that hold data";
    }
    return voter ? NULL : "no member is a voter";
}

bool kvr__raft_config_lease_is_sound(const kvr_raft_config *config, uint64_t lease_ns)
{
    return lease_ns >= 3 * config->heartbeat_ns && lease_ns <= ELECTION_NS_MAX;
}

static const char *limits_fault(const kvr_raft_config *config)
{
    if (config->election_ns > ELECTION_NS_MAX) {
        return "election_ns is above an hour";
    }
    if (config->heartbeat_ns >= config->election_ns / 2) {
        return "heartbeat_ns is not less than half of election_ns";
    }
    if (config->level > UINT8_MAX) {
        return "level is above 255";
    }
    if (config->quiet_ns > 0 && config->quiet_ns < config->election_ns) {
        return "quiet_ns is less than election_ns, and not 0";
    }
    if (config->lease_ns > 0 && !kvr__raft_config_lease_is_sound(config, config->lease_ns)) {
        return "lease_ns is less than 3 x heartbeat_ns, or above an hour";
    }
    if (config->message_bytes_max > MESSAGE_BYTES_MAX) {
        return "message_bytes_max is above 64 MiB";
    }
    if (config->command_bytes_max > MESSAGE_BYTES_MAX) {
        return "command_bytes_max is above 64 MiB";
    }
    if (config->snapshot_chunk_bytes > MESSAGE_BYTES_MAX) {
        return "snapshot_chunk_bytes is above 64 MiB";
    }
    if (config->uncommitted_bytes_max < config->command_bytes_max) {
        return "uncommitted_bytes_max is less than command_bytes_max";
    }
    return NULL;
}

const char *kvr_raft_config_check(const kvr_raft_config *config)
{
    kvr_raft_config known;
    if (config == NULL || !kvr__raft_config_read(config, &known)) {
        return "size is not that of a kvr_raft_config, or a field that this version does not know "
               "is set";
    }
    if (known.cluster_id == 0) {
        return "cluster_id is 0";
    }
    if (known.member_id == 0) {
        return "member_id is 0";
    }
    if (known.counters != NULL && known.counters->size != sizeof *known.counters) {
        return "counters is not NULL, but its size is not that of a kvr_raft_counters";
    }
    const char *fault = limits_fault(&known);
    return fault != NULL ? fault : members_fault(&known);
}
