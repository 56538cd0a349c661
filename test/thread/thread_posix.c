/* SPDX-License-Identifier: Apache-2.0 */
/* thread_posix.c: the hand-over between the owner of a disk and the thread that performs. Run under
 * ThreadSanitizer (a plain main, for Criterion does not start there), and as it is.
 *
 * The owner keeps the queue full of appends, votes and reads, reaps on a poll() loop, and holds
 * every byte that comes back against what it wrote; at the end another open finds all of it. */
#include <kvraft/posix.h>

#include "base/checksum.h"
#include "base/entry.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ENTRIES = 3000, QUEUE = 32, COMMAND = 90, ENTRY = KVR_ENTRY_HEADER_SIZE + COMMAND };

static uint8_t entries[ENTRIES + 1][ENTRY];
static kvr_slice pieces[ENTRIES + 1];
static kvr_posix_disk *disk;
static uint64_t submitted; /* entries handed in, and known to be durable */
static uint64_t durable;
static uint64_t reads_asked;
static uint64_t reads_done;

static void require(bool holds, const char *what)
{
    if (!holds) {
        (void)fprintf(stderr, "thread_posix: %s: %s\n", what,
                      disk == NULL ? "" : kvr_posix_disk_error(disk));
        abort();
    }
}

static void make_entries(void)
{
    for (uint64_t index = 1; index <= ENTRIES; index++) {
        uint8_t *command = entries[index] + KVR_ENTRY_HEADER_SIZE;
        memset(command, (int)(index % 251), COMMAND);
        kvr_entry entry = {.index = index, .term = 1, .kind = KVR_ENTRY_COMMAND};
        entry.command = (kvr_slice){command, COMMAND};
        entry.command_checksum = kvr__xxh3_64(command, COMMAND);
        kvr__entry_write_header(entries[index], &entry);
        pieces[index] = (kvr_slice){entries[index], ENTRY};
    }
}

static void *perform(void *unused)
{
    (void)unused;
    kvr_posix_disk_run(disk);
    return NULL;
}

static bool submit(kvr_store_request request)
{
    kvr_store_result unused = {.size = sizeof unused};
    request.size = sizeof request;
    kvr_status status = kvr_posix_disk_storage()->submit(disk, &request, &unused);
    require(status == KVR_OK || status == KVR_EBUSY, "submit");
    return status == KVR_OK;
}

static bool submit_append(uint64_t index)
{
    return submit((kvr_store_request){.kind = KVR_STORE_APPEND,
                                      .token = index,
                                      .first_index = index,
                                      .last_index = index,
                                      .entry_count = 1,
                                      .pieces = &pieces[index],
                                      .piece_count = 1});
}

/* Fills the queue: mostly appends, now and then a vote, or a read of what is durable. */
static void submit_some(void)
{
    while (submitted < ENTRIES && submit_append(submitted + 1)) {
        submitted++;
        if (submitted % 50 == 0) {
            (void)submit((kvr_store_request){
                .kind = KVR_STORE_VOTE, .token = 1U << 20, .term = submitted, .incarnation = 1});
        }
        if (submitted % 7 == 0 && durable > 0) {
            uint64_t index = 1 + submitted * 31 % durable;
            reads_asked += submit((kvr_store_request){.kind = KVR_STORE_READ,
                                                      .token = 2U << 20,
                                                      .first_index = index,
                                                      .last_index = index,
                                                      .byte_max = 1});
        }
    }
}

static void take(const kvr_store_result *result)
{
    require(result->status == KVR_OK, "a result");
    if (result->token < 1U << 20) {
        require(result->token == durable + 1, "appends complete in order");
        durable++;
    }
    if (result->token == 2U << 20) {
        reads_done++;
        require(result->piece_count == 1 && result->pieces[0].size == ENTRY, "a read's size");
        require(memcmp(result->pieces[0].data, entries[result->first_index], ENTRY) == 0,
                "a read's bytes");
    }
}

static void own(void)
{
    static kvr_store_result results[QUEUE];
    struct pollfd wake = {.fd = kvr_posix_disk_fd(disk), .events = POLLIN};
    while (durable < ENTRIES || reads_done < reads_asked) {
        submit_some();
        require(poll(&wake, 1, -1) == 1, "poll");
        results[0].size = sizeof results[0];
        uint32_t count = kvr_posix_disk_reap(disk, results, QUEUE);
        for (uint32_t i = 0; i < count; i++) {
            take(&results[i]);
        }
        kvr_wal_status status = {.size = sizeof status};
        kvr_posix_disk_get_status(disk, &status);
        require(status.last_index >= durable, "the status is behind the results");
    }
}

static void open_disk(const char *path)
{
    kvr_wal_config wal;
    kvr_posix_disk_config config;
    require(kvr_wal_config_init(&wal, sizeof wal) == KVR_OK, "config");
    wal.cluster_id = 1;
    wal.member_id = 1;
    wal.segment_bytes = 65536;
    require(kvr_posix_disk_config_init(&config, sizeof config) == KVR_OK, "config");
    config.flags = KVR_POSIX_CREATE;
    config.path = path;
    config.wal = &wal;
    config.queue_max = QUEUE;
    config.idle_ns = 1000000;
    require(kvr_posix_disk_new(&config, &disk) == KVR_OK, "new");
    require(kvr_posix_disk_open(disk) == KVR_OK, "open");
}

static void remove_files(const char *path)
{
    char command[600];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", path);
    require(system(command) == 0, "clean-up");
}

int main(void)
{
    char root[512], path[600];
    const char *above = getenv("TMPDIR");
    pthread_t thread;
    (void)snprintf(root, sizeof root, "%s/kvraft-thread-XXXXXX", above == NULL ? "/tmp" : above);
    require(mkdtemp(root) != NULL, "a directory");
    (void)snprintf(path, sizeof path, "%s/store", root);
    make_entries();
    open_disk(path);
    require(pthread_create(&thread, NULL, perform, NULL) == 0, "a thread");
    own();
    kvr_posix_disk_stop(disk);
    require(!submit_append(ENTRIES), "a stopped disk takes nothing");
    require(pthread_join(thread, NULL) == 0, "join");
    kvr_wal_status status = {.size = sizeof status};
    kvr_posix_disk_get_status(disk, &status);
    require(kvr_posix_disk_close(disk) == KVR_OK, "close");
    kvr_posix_disk_free(disk);
    disk = NULL;
    open_disk(path);
    kvr_wal_status again = {.size = sizeof again};
    kvr_posix_disk_get_status(disk, &again);
    require(again.last_index == ENTRIES, "every entry is there again");
    kvr_posix_disk_free(disk);
    disk = NULL;
    remove_files(root);
    require(status.records < ENTRIES, "appends shared records");
    (void)printf("thread_posix: %d entries in %llu records, %llu reads\n", ENTRIES,
                 (unsigned long long)status.records, (unsigned long long)reads_done);
    return 0;
}
