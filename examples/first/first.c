/* SPDX-License-Identifier: Apache-2.0 */
/* first.c: the smallest program on libkvraft: a durable store of one member in the directory ./first.data.
 * Three members differ only in `members` and in a transport; examples/demo shows them. */
#include <kvraft/kvraft.h>
#include <stdio.h>
#include <time.h>

/* Every call ends here, once: done, refused, or unknown. */
static void completed(void *ctx, const kvr_completion *end)
{
    (void)ctx;
    *(const kvr_completion **)end->user = end;
    printf("%s at revision %llu\n", kvr_status_name(end->status), (unsigned long long)end->revision);
}

int main(void)
{
    kvr_wal_config wal;
    kvr_posix_disk_config files;
    kvr_node_config config;
    if (kvr_wal_config_init(&wal, sizeof wal) || kvr_posix_disk_config_init(&files, sizeof files) ||
        kvr_node_config_init(&config, sizeof config)) {
        return 1;
    }
    wal.cluster_id = config.cluster_id = 1;
    wal.member_id = config.member_id = 1;
    wal.segment_bytes = 1 << 20;
    files.path = "first.data";
    files.flags = KVR_POSIX_CREATE | KVR_POSIX_SYNCHRONOUS;
    files.wal = &wal;

    kvr_posix_disk *disk = NULL;
    if (kvr_posix_disk_new(&files, &disk) || kvr_posix_disk_open(disk)) {
        fprintf(stderr, "first: %s\n", disk ? kvr_posix_disk_error(disk) : "no memory");
        return 1;
    }
    const kvr_node_sink sink = {.size = sizeof sink, .completed = completed};
    const kvr_member members[] = {{.id = 1}};
    config.members = members;
    config.member_count = 1;
    config.storage = kvr_posix_disk_storage();
    config.storage_ctx = disk;
    config.clock = kvr_posix_clock();
    config.sink = &sink;
    kvr_node *node = NULL;
    const kvr_slice key = {(const uint8_t *)"greeting", 8};
    const kvr_slice value = {(const uint8_t *)"hello, world", 12};
    const kvr_completion *end = NULL;
    const kvr_node_call call = {.size = sizeof call, .user = &end};
    if (kvr_node_new(&config, &node) || kvr_node_put(node, &call, &key, &value, 0)) {
        return 1;
    }
    while (end == NULL && kvr_node_run(node, 0) >= 0) { /* a real host waits for the deadline in poll() */
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    kvr_kv kv;
    if (kvr_node_get(node, &key, &kv)) {
        printf("%.*s, version %llu\n", (int)kv.value.size, kv.value.data, (unsigned long long)kv.version);
    }
    return kvr_node_free(node) || kvr_posix_disk_close(disk) || (kvr_posix_disk_free(disk), 0);
}
