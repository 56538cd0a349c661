/* SPDX-License-Identifier: Apache-2.0 */
/* node_config.c: defaults, presets, and what is wrong with a config. */
#include "node_internal.h"

#include "base/sized.h"

#define MS UINT64_C(1000000)
#define MIB UINT64_C(1048576)

enum { CHUNK_BYTES_MIN = 4096, CHUNK_BYTES_MAX = 16 * 1024 * 1024 };

kvr_status kvr_node_config_init(kvr_node_config *config, uint32_t size)
{
    if (config == NULL || size < sizeof *config) {
        return KVR_EINVAL;
    }
    memset(config, 0, size);
    config->size = size;
    kvr_node_config_set_lan(config);
    config->snapshot_entries = 10000;
    config->snapshot_bytes_min = 4 * MIB;
    config->keep_entries = 5000;
    config->message_bytes_max = MIB;
    config->uncommitted_bytes_max = 64 * MIB;
    config->calls_max = KVR__CALLS_MAX;
    config->snapshot_chunk_bytes = 256 * 1024;
    return KVR_OK;
}

void kvr_node_config_set_lan(kvr_node_config *config)
{
    config->heartbeat_ns = 100 * MS;
    config->election_ns = 1000 * MS;
}

void kvr_node_config_set_local(kvr_node_config *config)
{
    config->heartbeat_ns = 10 * MS;
    config->election_ns = 100 * MS;
}

void kvr_node_config_set_wan(kvr_node_config *config)
{
    config->heartbeat_ns = 500 * MS;
    config->election_ns = 5000 * MS;
}

static const char *check_ids(const kvr_node_config *config)
{
    if (config->cluster_id == 0) {
        return "cluster_id is 0: give all members of a cluster the same random number";
    }
    if (config->member_id == 0) {
        return "member_id is 0: number the members from 1";
    }
    if (config->member_count > 0 && config->members == NULL) {
        return "members is NULL though member_count is not 0";
    }
    return NULL;
}

static const char *check_limits(const kvr_node_config *config)
{
    if (config->heartbeat_ns > UINT64_MAX / 4 || config->election_ns > UINT64_MAX / 4) {
        return "heartbeat_ns or election_ns is beyond all time: give nanoseconds";
    }
    if (config->quiet_ns > 0 && config->quiet_ns < config->election_ns) {
        return "quiet_ns must be 0 or at least election_ns";
    }
    if (config->level_max > KVR__LEVEL_CONFIG_MAX) {
        return "level_max is above kvr_node_level_max(): this release cannot apply it";
    }
    if (config->heartbeat_ns * 2 >= config->election_ns) {
        return "heartbeat_ns must be less than half of election_ns, or followers take a slow "
               "leader "
               "for a dead one";
    }
    if (config->lease_ns > 0 && (config->lease_ns < 3 * config->heartbeat_ns ||
                                 config->lease_ns > UINT64_C(3600000) * MS)) {
        return "lease_ns is outside 3 x heartbeat_ns to an hour: give election_ns";
    }
    if (config->calls_max > KVR__CALLS_MAX) {
        return "calls_max is above 2048, half of the window in which a repetition is recognised";
    }
    if (config->snapshot_chunk_bytes < CHUNK_BYTES_MIN ||
        config->snapshot_chunk_bytes > CHUNK_BYTES_MAX) {
        return "snapshot_chunk_bytes is outside 4 KiB to 16 MiB";
    }
    return NULL;
}

static const char *check_tables(const kvr_node_config *config)
{
    if (config->counters != NULL && config->counters->size != sizeof *config->counters) {
        return "counters has another size: set it to sizeof(kvr_raft_counters)";
    }
    if (config->storage != NULL && config->storage->submit == NULL) {
        return "storage has no submit";
    }
    if (config->transport != NULL && config->transport->send == NULL) {
        return "transport has no send";
    }
    if (config->clock != NULL && config->clock->now == NULL) {
        return "clock has no now";
    }
    if (config->log != NULL && config->log->write == NULL) {
        return "log has no write";
    }
    if (config->trace != NULL && config->trace->event == NULL) {
        return "trace has no event";
    }
    return NULL;
}

/* 0 means default. */
static void fill_defaults(kvr_node_config *config)
{
    kvr_node_config defaults;
    kvr_status status = kvr_node_config_init(&defaults, sizeof defaults);
    KVR_ASSERT(status == KVR_OK);
    uint64_t *fields[] = {&config->election_ns,       &config->heartbeat_ns,
                          &config->snapshot_entries,  &config->snapshot_bytes_min,
                          &config->message_bytes_max, &config->uncommitted_bytes_max};
    const uint64_t values[] = {defaults.election_ns,       defaults.heartbeat_ns,
                               defaults.snapshot_entries,  defaults.snapshot_bytes_min,
                               defaults.message_bytes_max, defaults.uncommitted_bytes_max};
    for (uint32_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        *fields[i] = *fields[i] == 0 ? values[i] : *fields[i];
    }
    if (config->calls_max == 0) {
        config->calls_max = defaults.calls_max;
    }
    if (config->level_max == 0) {
        config->level_max = KVR__LEVEL_MAX;
    }
    if (config->snapshot_chunk_bytes == 0) {
        config->snapshot_chunk_bytes = defaults.snapshot_chunk_bytes;
    }
    if (config->call_timeout_ns == 0) {
        config->call_timeout_ns = 5000 * MS + 2 * config->election_ns;
    }
}

const char *kvr__config_read(const kvr_node_config *config, kvr_node_config *out_config)
{
    if (!kvr__sized_read(out_config, sizeof *out_config, config, sizeof *config)) {
        return "size is not that of a kvr_node_config: call kvr_node_config_init";
    }
    fill_defaults(out_config);
    const char *wrong = check_ids(out_config);
    wrong = wrong != NULL ? wrong : check_limits(out_config);
    return wrong != NULL ? wrong : check_tables(out_config);
}

const char *kvr_node_config_check(const kvr_node_config *config)
{
    kvr_node_config known;
    return config == NULL ? "config is NULL" : kvr__config_read(config, &known);
}
