/* SPDX-License-Identifier: Apache-2.0 */
/* demo_disk.c: a member's disk: one thread performs what the node submits, so that heartbeats and
 * reads never wait for a flush. The library offers the loop (kvr_posix_disk_run), this file the
 * thread. */
#include "demo.h"

#include <inttypes.h>
#include <pthread.h>

static pthread_t thread; /* a process serves one member */

static void *perform(void *disk)
{
    kvr_posix_disk_run(disk);
    return NULL;
}

static bool failed(const server *self, const char *why)
{
    fprintf(stderr, "kvraft-demo: --data-dir %s: %s\n", self->chosen->data_dir, why);
    return false;
}

bool disk_look(server *self)
{
    kvr_posix_directory *directory = NULL;
    kvr_status status = kvr_posix_directory_new(NULL, NULL, &directory);
    if (status == KVR_OK) {
        status = kvr_posix_directory_open(directory, self->chosen->data_dir, KVR_POSIX_READ_ONLY);
    }
    bool good = status != KVR_ELOCKED || failed(self, kvr_posix_directory_error(directory));
    kvr_posix_directory_free(directory);
    return good;
}

bool disk_open(server *self)
{
    kvr_wal_config wal;
    kvr_posix_disk_config config;
    if (kvr_wal_config_init(&wal, sizeof wal) != KVR_OK ||
        kvr_posix_disk_config_init(&config, sizeof config) != KVR_OK) {
        return false;
    }
    wal.cluster_id = self->chosen->cluster_id;
    wal.member_id = self->chosen->id;
    wal.segment_bytes = 8 << 20;
    config.flags = KVR_POSIX_CREATE;
    config.path = self->chosen->data_dir;
    config.wal = &wal;
    kvr_status status = kvr_posix_disk_new(&config, &self->disk);
    if (status == KVR_OK) {
        status = kvr_posix_disk_open(self->disk);
    }
    if (status != KVR_OK) {
        return failed(self, self->disk == NULL ? kvr_status_text(status)
                                               : kvr_posix_disk_error(self->disk));
    }
    bool running = pthread_create(&thread, NULL, perform, self->disk) == 0;
    self->disk_signal = (stream){.fd = kvr_posix_disk_fd(self->disk), .open = running};
    return running || failed(self, "no thread for it");
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
                fprintf(stderr, "member %" PRIu64 ": %s\n", self->chosen->id, results[i].detail);
            }
            kvr_status status = kvr_node_storage_done(self->node, &results[i]);
            (void)status; /* the next run says the same */
        }
    } while (count > 0);
}

void disk_close(server *self)
{
    if (self->disk_signal.open) {
        kvr_posix_disk_stop(self->disk);
        pthread_join(thread, NULL);
        if (kvr_posix_disk_close(self->disk) != KVR_OK) {
            fprintf(stderr, "member %" PRIu64 ": %s\n", self->chosen->id,
                    kvr_posix_disk_error(self->disk));
        }
    }
    kvr_posix_disk_free(self->disk);
}
