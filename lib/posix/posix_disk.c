/* SPDX-License-Identifier: Apache-2.0 */
/* posix_disk.c: one thread hands requests in and takes results out, another performs them, all that
 * are queued as one batch. So while one flush is under way the next batch fills. The ring and its
 * rule are drawn in posix_internal.h. */
#include "posix_internal.h"

#include "base/assertion.h"
#include "base/sized.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SECOND_NS UINT64_C(1000000000)
#define IDLE_NS_DEFAULT (SECOND_NS / 10)

/* ------------------------------------------------------------------ config */

kvr_status kvr_posix_disk_config_init(kvr_posix_disk_config *config, uint32_t size)
{
    if (config == NULL || size < sizeof *config) {
        return KVR_EINVAL;
    }
    memset(config, 0, size);
    config->size = size;
    config->idle_ns = IDLE_NS_DEFAULT;
    config->queue_max = KVR__POSIX_QUEUE_DEFAULT;
    return KVR_OK;
}

static bool read_config(const kvr_posix_disk_config *from, kvr_posix_disk_config *config,
                        kvr_wal_config *wal)
{
    const uint32_t known = KVR_POSIX_CREATE | KVR_POSIX_READ_ONLY | KVR_POSIX_SYNCHRONOUS;
    if (from == NULL || !kvr__sized_read(config, sizeof *config, from, sizeof *config) ||
        config->path == NULL || config->wal == NULL ||
        !kvr__sized_read(wal, sizeof *wal, config->wal, sizeof *wal)) {
        return false;
    }
    config->idle_ns = config->idle_ns == 0 ? IDLE_NS_DEFAULT : config->idle_ns;
    config->queue_max = config->queue_max == 0 ? KVR__POSIX_QUEUE_DEFAULT : config->queue_max;
    wal->flags &= KVR_WAL_GROUPS;
    wal->flags |= (config->flags & KVR_POSIX_CREATE) != 0 ? KVR_WAL_CREATE : 0;
    wal->flags |= (config->flags & KVR_POSIX_READ_ONLY) != 0 ? KVR_WAL_READ_ONLY : 0;
    wal->files = kvr_posix_file_ops();
    wal->entropy = kvr_posix_entropy();
    return (config->flags & ~known) == 0 && config->queue_max <= KVR__POSIX_QUEUE_MAX &&
           kvr_wal_config_check(wal) == NULL;
}

/* ------------------------------------------------------------------ life */

static bool is_synchronous(const kvr_posix_disk *disk)
{
    return (disk->config.flags & KVR_POSIX_SYNCHRONOUS) != 0;
}

static kvr_status make_lock(kvr_posix_disk *disk)
{
    pthread_condattr_t attributes;
    if (pthread_condattr_init(&attributes) != 0) {
        return KVR_ENOMEM;
    }
    bool made = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0 &&
                pthread_mutex_init(&disk->lock, NULL) == 0;
    if (made && pthread_cond_init(&disk->changed, &attributes) != 0) {
        (void)pthread_mutex_destroy(&disk->lock);
        made = false;
    }
    (void)pthread_condattr_destroy(&attributes);
    disk->has_lock = made;
    return made ? KVR_OK : KVR_ENOMEM;
}

static kvr_status make_pipe(kvr_posix_disk *disk)
{
    if (is_synchronous(disk)) {
        return KVR_OK;
    }
    if (pipe(disk->wake) != 0) {
        disk->wake[0] = -1;
        disk->wake[1] = -1;
        return KVR_EIO;
    }
    for (int i = 0; i < 2; i++) {
        if (fcntl(disk->wake[i], F_SETFD, FD_CLOEXEC) != 0 ||
            fcntl(disk->wake[i], F_SETFL, O_NONBLOCK) != 0) {
            return KVR_EIO;
        }
    }
    return KVR_OK;
}

static kvr_status make_parts(kvr_posix_disk *disk)
{
    size_t count = disk->config.queue_max;
    disk->requests =
        kvr__mem_zalloc(&disk->mem, KVR__MEM_MESSAGE, count * sizeof(kvr_store_request));
    disk->results = kvr__mem_zalloc(&disk->mem, KVR__MEM_MESSAGE, count * sizeof(kvr_store_result));
    if (disk->requests == NULL || disk->results == NULL) {
        return KVR_ENOMEM;
    }
    kvr_status status = kvr_posix_directory_new(disk->wal_config.allocator,
                                                disk->wal_config.allocator_ctx, &disk->directory);
    if (status == KVR_OK) {
        disk->wal_config.files_ctx = disk->directory;
        status = kvr_wal_new(&disk->wal_config, &disk->wal);
    }
    if (status == KVR_OK) {
        status = make_lock(disk);
    }
    return status == KVR_OK ? make_pipe(disk) : status;
}

kvr_status kvr_posix_disk_new(const kvr_posix_disk_config *config, kvr_posix_disk **out_disk)
{
    kvr_posix_disk_config known;
    kvr_wal_config wal;
    if (out_disk == NULL || !read_config(config, &known, &wal)) {
        return KVR_EINVAL;
    }
    void *handle;
    kvr_status status =
        kvr__mem_new_handle(wal.allocator, wal.allocator_ctx, sizeof(kvr_posix_disk),
                            offsetof(kvr_posix_disk, mem), &handle);
    if (status != KVR_OK) {
        return status;
    }
    kvr_posix_disk *disk = handle;
    disk->config = known;
    disk->wal_config = wal;
    disk->wake[0] = -1;
    disk->wake[1] = -1;
    disk->idle_at = UINT64_MAX;
    status = make_parts(disk);
    if (status != KVR_OK) {
        kvr_posix_disk_free(disk);
        return status;
    }
    *out_disk = disk;
    return KVR_OK;
}

static void note_status(kvr_posix_disk *disk)
{
    disk->status.size = sizeof disk->status;
    kvr_wal_get_status(disk->wal, &disk->status);
}

kvr_status kvr_posix_disk_open(kvr_posix_disk *disk)
{
    if (disk->is_open) {
        return KVR_ESTATE;
    }
    kvr_status status =
        kvr_posix_directory_open(disk->directory, disk->config.path, disk->config.flags);
    const char *error = kvr_posix_directory_error(disk->directory);
    if (status == KVR_OK) {
        status = kvr_wal_open(disk->wal);
        error = kvr_wal_error(disk->wal);
    }
    (void)snprintf(disk->error, sizeof disk->error, "%s", status == KVR_OK ? "" : error);
    note_status(disk);
    disk->is_open = status == KVR_OK;
    disk->maintenance_due = disk->is_open;
    if (disk->is_open && kvr_wal_has_unvouched(disk->wal)) {
        disk->idle_at = 0;
    }
    if (disk->is_open && (disk->config.flags & KVR_POSIX_READ_ONLY) == 0) {
        kvr__posix_directory_sign(disk->directory);
    }
    return status;
}

kvr_status kvr_posix_disk_close(kvr_posix_disk *disk)
{
    if (!disk->is_open) {
        return KVR_ESTATE;
    }
    disk->is_open = false;
    kvr_status status = kvr_wal_close(disk->wal);
    if (status != KVR_OK) {
        (void)snprintf(disk->error, sizeof disk->error, "%s", kvr_wal_error(disk->wal));
    }
    note_status(disk);
    kvr__posix_directory_unlock(disk->directory);
    return status;
}

void kvr_posix_disk_free(kvr_posix_disk *disk)
{
    if (disk == NULL) {
        return;
    }
    kvr_wal_free(disk->wal);
    kvr_posix_directory_free(disk->directory);
    for (int i = 0; i < 2; i++) {
        if (disk->wake[i] >= 0) {
            (void)close(disk->wake[i]);
        }
    }
    if (disk->has_lock) {
        (void)pthread_cond_destroy(&disk->changed);
        (void)pthread_mutex_destroy(&disk->lock);
    }
    size_t count = disk->config.queue_max;
    kvr__mem_free(&disk->mem, KVR__MEM_MESSAGE, disk->requests, count * sizeof(kvr_store_request));
    kvr__mem_free(&disk->mem, KVR__MEM_MESSAGE, disk->results, count * sizeof(kvr_store_result));
    KVR_ASSERT(disk->mem.blocks == 1);
    kvr__mem_free_handle(disk, sizeof *disk, offsetof(kvr_posix_disk, mem));
}

/* ------------------------------------------------------------------ owner: submit and reap */

static void lock(kvr_posix_disk *disk)
{
    KVR_ASSERT(pthread_mutex_lock(&disk->lock) == 0);
    KVR_CHECKED(kvr__posix_check(disk));
}

static void unlock(kvr_posix_disk *disk)
{
    KVR_CHECKED(kvr__posix_check(disk));
    KVR_ASSERT(pthread_mutex_unlock(&disk->lock) == 0);
}

static uint64_t slot(const kvr_posix_disk *disk, uint64_t position)
{
    return position % disk->config.queue_max;
}

static bool is_lending(uint8_t kind)
{
    return kind == KVR_STORE_LOAD || kind == KVR_STORE_READ || kind == KVR_STORE_SNAPSHOT_READ;
}

static uint64_t now_ns(void)
{
    return kvr_posix_clock()->now(NULL);
}

/* After a batch: what is now due, and when. */
static void note_work(kvr_posix_disk *disk)
{
    disk->maintenance_due = true;
    disk->idle_at = kvr_wal_has_unvouched(disk->wal) ? now_ns() + disk->config.idle_ns : UINT64_MAX;
}

static kvr_status submit(void *ctx, const kvr_store_request *request, kvr_store_result *out_result)
{
    kvr_posix_disk *disk = ctx;
    kvr_store_request known;
    if (!disk->is_open || !kvr__sized_read(&known, sizeof known, request, sizeof known)) {
        return disk->is_open ? KVR_EINVAL : KVR_ESTATE;
    }
    kvr_status status = KVR_EBUSY;
    if (is_synchronous(disk)) {
        status = kvr_wal_execute(disk->wal, &known, 1, out_result);
        note_work(disk);
        note_status(disk);
        return status == KVR_OK || kvr_status_is_fatal(status) ? KVR_DONE : status;
    }
    lock(disk);
    if (!disk->is_stopped && disk->submitted - disk->reaped < disk->config.queue_max) {
        disk->requests[slot(disk, disk->submitted)] = known;
        disk->submitted++;
        status = KVR_OK;
        (void)pthread_cond_signal(&disk->changed);
    }
    unlock(disk);
    return status;
}

const kvr_storage *kvr_posix_disk_storage(void)
{
    static const kvr_storage table = {.size = sizeof table, .submit = submit};
    return &table;
}

int32_t kvr_posix_disk_fd(const kvr_posix_disk *disk)
{
    return disk->wake[0];
}

static void drain(kvr_posix_disk *disk)
{
    char bytes[16];
    while (disk->is_awake && read(disk->wake[0], bytes, sizeof bytes) > 0) {
        disk->is_awake = false;
    }
}

static bool is_lent(const kvr_store_request *request, const kvr_store_result *result)
{
    return is_lending(request->kind) || result->detail != NULL;
}

uint32_t kvr_posix_disk_reap(kvr_posix_disk *disk, kvr_store_result *out_results, uint32_t max)
{
    if (is_synchronous(disk) || out_results == NULL || max == 0 ||
        out_results->size < sizeof *out_results) {
        return 0;
    }
    uint32_t stride = out_results->size, count = 0;
    lock(disk);
    disk->lent -= disk->lent_given;
    if (disk->lent_given > 0) {
        (void)pthread_cond_signal(&disk->changed);
    }
    disk->lent_given = 0;
    while (count < max && disk->reaped < disk->performed) {
        uint64_t i = slot(disk, disk->reaped);
        uint8_t *out = (uint8_t *)out_results + (size_t)count * stride;
        memset(out, 0, stride);
        memcpy(out, &disk->results[i], sizeof *out_results);
        memcpy(out, &stride, sizeof stride);
        disk->lent_given += is_lent(&disk->requests[i], &disk->results[i]);
        disk->reaped++;
        count++;
    }
    if (count == 0) {
        drain(disk);
    }
    unlock(disk);
    return count;
}

void kvr_posix_disk_stop(kvr_posix_disk *disk)
{
    lock(disk);
    disk->is_stopped = true;
    (void)pthread_cond_broadcast(&disk->changed);
    unlock(disk);
}

/* ------------------------------------------------------------------ disk's thread */

/* How many of the queued requests may be performed now: up to the end of the ring, and up to a READ
 * while results of an earlier one are still lent. */
static uint32_t performable(const kvr_posix_disk *disk)
{
    uint64_t first = slot(disk, disk->performed);
    uint64_t count = disk->submitted - disk->performed;
    if (count > disk->config.queue_max - first) {
        count = disk->config.queue_max - first;
    }
    for (uint32_t i = 0; i < count && disk->lent > 0; i++) {
        if (is_lending(disk->requests[first + i].kind)) {
            return i;
        }
    }
    return (uint32_t)count;
}

static void wait_until(kvr_posix_disk *disk, uint64_t time_ns)
{
    if (time_ns == UINT64_MAX) {
        (void)pthread_cond_wait(&disk->changed, &disk->lock);
        return;
    }
    struct timespec time = {(time_t)(time_ns / SECOND_NS), (long)(time_ns % SECOND_NS)};
    (void)pthread_cond_timedwait(&disk->changed, &disk->lock, &time);
}

kvr_status kvr_posix_disk_wait(kvr_posix_disk *disk, uint64_t timeout_ns)
{
    uint64_t begin = now_ns();
    uint64_t end = timeout_ns > UINT64_MAX - begin ? UINT64_MAX : begin + timeout_ns;
    kvr_status status = KVR_OK;
    lock(disk);
    while (performable(disk) == 0) {
        uint64_t now = now_ns();
        if (disk->is_stopped) {
            status = KVR_ESTOPPED;
        } else if (disk->maintenance_due || now >= disk->idle_at) {
            status = KVR_AGAIN;
        } else if (now >= end) {
            status = KVR_ETIMEDOUT;
        }
        if (status != KVR_OK) {
            break;
        }
        wait_until(disk, disk->idle_at < end ? disk->idle_at : end);
    }
    unlock(disk);
    return status;
}

/* A detail lends from the wal only until its next execute: what the owner will read is kept
 * here. */
static void keep_detail(kvr_posix_disk *disk, kvr_store_result *result)
{
    if (result->detail == NULL) {
        return;
    }
    size_t size = strlen(result->detail) + 1;
    if (size > sizeof disk->details - disk->details_used) {
        result->detail = NULL;
        return;
    }
    char *kept = disk->details + disk->details_used;
    memcpy(kept, result->detail, size);
    disk->details_used += size;
    result->detail = kept;
}

static void wake_owner(kvr_posix_disk *disk)
{
    ssize_t written = disk->is_awake ? 1 : 0;
    while (written != 1) {
        written = write(disk->wake[1], "", 1);
        KVR_ASSERT(written == 1 || errno == EINTR); /* one byte always fits an empty pipe */
    }
    disk->is_awake = true;
}

static kvr_status perform_batch(kvr_posix_disk *disk, uint32_t count, bool is_alone)
{
    uint64_t first = slot(disk, disk->performed);
    for (uint32_t i = 0; i < count; i++) {
        disk->results[first + i].size = sizeof disk->results[first + i];
    }
    kvr_status status =
        kvr_wal_execute(disk->wal, &disk->requests[first], count, &disk->results[first]);
    KVR_ASSERT(status == KVR_OK || kvr_status_is_fatal(status));
    if (is_alone) {
        disk->details_used = 0;
    }
    uint32_t lent = 0;
    for (uint32_t i = 0; i < count; i++) {
        keep_detail(disk, &disk->results[first + i]);
        lent += is_lent(&disk->requests[first + i], &disk->results[first + i]);
    }
    note_work(disk);
    lock(disk);
    if (status != KVR_OK && disk->error[0] == '\0') {
        (void)snprintf(disk->error, sizeof disk->error, "%s", kvr_wal_error(disk->wal));
    }
    note_status(disk);
    disk->lent += lent;
    disk->performed += count;
    wake_owner(disk);
    unlock(disk);
    return status;
}

/* One slice of what can wait. */
static kvr_status perform_other(kvr_posix_disk *disk)
{
    kvr_status status = KVR_OK;
    if (disk->maintenance_due) {
        status = kvr_wal_maintain(disk->wal);
        disk->maintenance_due = status == KVR_AGAIN;
    } else if (now_ns() >= disk->idle_at) {
        status = kvr_wal_idle(disk->wal);
        disk->idle_at = UINT64_MAX;
    }
    lock(disk);
    if (kvr_status_is_fatal(status) && disk->error[0] == '\0') {
        (void)snprintf(disk->error, sizeof disk->error, "%s", kvr_wal_error(disk->wal));
    }
    note_status(disk);
    unlock(disk);
    return status == KVR_ENOSPACE ? KVR_OK : status;
}

kvr_status kvr_posix_disk_perform(kvr_posix_disk *disk)
{
    if (!disk->is_open) {
        return KVR_ESTATE;
    }
    lock(disk);
    uint32_t count = performable(disk);
    bool is_alone = disk->lent == 0;
    unlock(disk);
    kvr_status status = count > 0 ? perform_batch(disk, count, is_alone) : perform_other(disk);
    if (status != KVR_OK) {
        return status;
    }
    lock(disk);
    status = performable(disk) > 0 || disk->maintenance_due ? KVR_AGAIN : KVR_OK;
    unlock(disk);
    return status;
}

void kvr_posix_disk_run(kvr_posix_disk *disk)
{
    kvr_status status; /* each request carries its own; a failed disk goes on refusing */
    do {
        status = kvr_posix_disk_wait(disk, UINT64_MAX);
        if (status != KVR_ESTOPPED) {
            status = kvr_posix_disk_perform(disk);
        }
    } while (status != KVR_ESTOPPED);
}

/* ------------------------------------------------------------------ questions */

void kvr_posix_disk_get_status(kvr_posix_disk *disk, kvr_wal_status *out_status)
{
    uint32_t size = out_status->size;
    lock(disk);
    memcpy(out_status, &disk->status, size < sizeof disk->status ? size : sizeof disk->status);
    unlock(disk);
    out_status->size = size;
}

const char *kvr_posix_disk_error(const kvr_posix_disk *disk)
{
    return disk->error;
}
