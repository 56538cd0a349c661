/* SPDX-License-Identifier: Apache-2.0 */
/* demo_disk.c: a member's disk: one thread that performs what the node submits, so that heartbeats and reads never
 * wait for a flush. The library offers the loop (kvr_posix_disk_run); this file offers the thread. */
#include "demo.h"

#include <pthread.h>
#include <stdlib.h>

struct disk_thread {
    pthread_t thread;
    bool running;
};

static void *perform(void *disk)
{
    kvr_posix_disk_run(disk);
    return NULL;
}

bool disk_open(server *self, const char *path)
{
    kvr_wal_config wal;
    kvr_posix_disk_config config;
    if (kvr_wal_config_init(&wal, sizeof wal) != KVR_OK ||
        kvr_posix_disk_config_init(&config, sizeof config) != KVR_OK) {
        return false;
    }
    wal.cluster_id = self->cluster_id;
    wal.member_id = self->id;
    wal.segment_bytes = 8 << 20;
    config.flags = KVR_POSIX_CREATE;
    config.path = path;
    config.wal = &wal;
    kvr_status status = kvr_posix_disk_new(&config, &self->disk);
    if (status != KVR_OK) {
        fprintf(stderr, "kvraft-demo: --data-dir %s: %s\n", path, kvr_status_text(status));
        return false;
    }
    status = kvr_posix_disk_open(self->disk);
    if (status != KVR_OK) {
        fprintf(stderr, "kvraft-demo: --data-dir %s: %s\n", path, kvr_posix_disk_error(self->disk));
        return false;
    }
    return true;
}

bool disk_start(server *self)
{
    self->disk_thread = must_alloc(sizeof *self->disk_thread);
    self->disk_thread->running = pthread_create(&self->disk_thread->thread, NULL, perform, self->disk) == 0;
    if (!self->disk_thread->running) {
        fprintf(stderr, "kvraft-demo: no thread for the disk\n");
    }
    return self->disk_thread->running;
}

void disk_reap(server *self)
{
    kvr_store_result results[32];
    uint32_t count;
    do {
        for (size_t i = 0; i < COUNT_OF(results); i++) {
            results[i].size = sizeof results[i];
        }
        count = kvr_posix_disk_reap(self->disk, results, COUNT_OF(results));
        for (uint32_t i = 0; i < count; i++) {
            if (results[i].status != KVR_OK && results[i].detail != NULL) {
                fprintf(stderr, "member %llu: disk: %s\n", (unsigned long long)self->id, results[i].detail);
            }
            /* A failure shows in the node's status, which the main loop reports. */
            (void)!kvr_node_storage_done(self->node, &results[i]);
        }
    } while (count > 0);
}

void disk_close(server *self)
{
    if (self->disk_thread != NULL && self->disk_thread->running) {
        kvr_posix_disk_stop(self->disk);
        pthread_join(self->disk_thread->thread, NULL);
    }
    free(self->disk_thread);
    if (self->disk != NULL && kvr_posix_disk_close(self->disk) == KVR_OK) {
        fprintf(stderr, "member %llu: closed\n", (unsigned long long)self->id);
    }
    kvr_posix_disk_free(self->disk);
}
