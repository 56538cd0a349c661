/* SPDX-License-Identifier: Apache-2.0 */
/* first.c: a durable store of one member in the directory first.data. Run it twice. */
#include <kvraft/node.h>
#include <kvraft/posix.h>
#include <stdio.h>
#include <threads.h>

static void completed(void *done, const kvr_completion *end)
{
    printf("%s at revision %d\n", kvr_status_name(end->status), (int)end->revision);
    *(bool *)done = true;
}

int main(void)
{
    kvr_wal_config wal;
    kvr_posix_disk_config files;
    kvr_node_config config;
    kvr_posix_disk *disk = NULL;
    kvr_node *node = NULL;
    bool done = false;
    const kvr_node_sink sink = {.size = sizeof sink, .completed = completed};
    const kvr_member members[] = {{.id = 1}};
    const kvr_slice key = {(const uint8_t *)"greeting", 8};
    const kvr_slice value = {(const uint8_t *)"hello, world", 12};

    if (kvr_wal_config_init(&wal, sizeof wal) || kvr_posix_disk_config_init(&files, sizeof files) ||
        kvr_node_config_init(&config, sizeof config)) {
        return 1;
    }
    wal.cluster_id = config.cluster_id = 1;
    wal.member_id = config.member_id = 1;
    wal.segment_bytes = 1 << 20;
    files.path = "first.data";
    files.flags = KVR_POSIX_CREATE | KVR_POSIX_SYNCHRONOUS; /* no disk thread */
    files.wal = &wal;
    if (kvr_posix_disk_new(&files, &disk) || kvr_posix_disk_open(disk)) {
        return 1;
    }
    config.members = members;
    config.member_count = 1; /* three: examples/demo */
    config.storage = kvr_posix_disk_storage();
    config.storage_ctx = disk;
    config.clock = kvr_posix_clock();
    config.sink = &sink;
    config.sink_ctx = &done;
    if (kvr_node_new(&config, &node) || kvr_node_put(node, NULL, &key, &value, 0)) {
        return 1;
    }
    while (!done && kvr_node_run(node, 0) >= 0) { /* others wait in poll(), for kvr_node_deadline */
        thrd_sleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    kvr_kv kv;
    if (kvr_node_get(node, &key, &kv)) {
        printf("%.*s, version %d\n", (int)kv.value.size, kv.value.data, (int)kv.version);
    }
    return kvr_node_free(node) || kvr_posix_disk_close(disk) || (kvr_posix_disk_free(disk), !done);
}
