/* SPDX-License-Identifier: Apache-2.0 */
/* posix_disk.c: a wal between a queue of requests and a queue of results, so that one thread may submit
 * and reap while another performs.
 *
 *   submit -> queued -> [perform: a batch of them through kvr_wal_execute] -> results -> reap
 *
 * The wal belongs to whoever performs; the queues are under the mutex. Requests that are queued, being
 * performed or not reaped yet are at most queue_max, so every array has that size and nothing is
 * allocated after new. A result of LOAD, READ or SNAPSHOT_READ points into the wal: it is pinned until
 * the reap after the one that returned it, and the next request of these kinds waits for that. */
#include "base/assertion.h"
#include "base/sized.h"
#include "posix_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { IDLE_NS = 100000000, QUEUE_MAX = 256, QUEUE_LIMIT = 65536 };

enum {
    PIN_NONE,
    PIN_RESULT,
    PIN_LENT
}; /* nothing points into the wal; a result does; the owner does */

struct kvr_posix_disk {
    kvr__mem mem;
    kvr_posix_disk_config config;
    kvr_posix_directory *directory;
    kvr_wal *wal;
    int wake[2]; /* a pipe: one byte in it while reap has something to do; -1: synchronous */
    pthread_mutex_t mutex;
    pthread_cond_t changed;

    /* Under the mutex. */
    kvr_store_request *queue;  /* a ring */
    kvr_store_result *results; /* a ring */
    uint32_t queue_head;
    uint32_t queue_count;
    uint32_t performing;
    uint32_t result_head;
    uint32_t result_count;
    uint8_t pin;
    bool signalled; /* the byte is in the pipe */
    bool stopped;
    kvr_wal_status status;
    char error[KVR__POSIX_ERROR_BYTES];

    /* The performing thread's. */
    kvr_store_request *batch;
    kvr_store_result *batch_results;
    uint64_t last_work_ns;
    bool maintain; /* kvr_wal_maintain may have something to do */
    bool failed;   /* the wal has: only answers are left to give */
};

/* ------------------------------------------------------------------ life */

kvr_status kvr_posix_disk_config_init(kvr_posix_disk_config *config, uint32_t size)
{
    if (size < sizeof *config) {
        return KVR_EINVAL;
    }
    memset(config, 0, size);
    config->size = size;
    config->idle_ns = IDLE_NS;
    config->queue_max = QUEUE_MAX;
    return KVR_OK;
}

static kvr_status read_config(const kvr_posix_disk_config *from, kvr_posix_disk_config *to)
{
    const uint32_t known = KVR_POSIX_CREATE | KVR_POSIX_READ_ONLY | KVR_POSIX_SYNCHRONOUS;
    if (!kvr__sized_read(to, sizeof *to, from, sizeof *to) || to->path == NULL || to->wal == NULL ||
        (to->flags & ~known) != 0 || to->queue_max > QUEUE_LIMIT) {
        return KVR_EINVAL;
    }
    to->idle_ns = to->idle_ns == 0 ? IDLE_NS : to->idle_ns;
    to->queue_max = to->queue_max == 0 ? QUEUE_MAX : to->queue_max;
    return KVR_OK;
}

static bool is_synchronous(const kvr_posix_disk *disk)
{
    return (disk->config.flags & KVR_POSIX_SYNCHRONOUS) != 0;
}

static kvr_status open_pipe(int ends[2])
{
    if (pipe(ends) != 0) {
        ends[0] = -1;
        ends[1] = -1;
        return KVR_EIO;
    }
    for (int i = 0; i < 2; i++) {
        if (fcntl(ends[i], F_SETFD, FD_CLOEXEC) != 0 || fcntl(ends[i], F_SETFL, O_NONBLOCK) != 0) {
            return KVR_EIO;
        }
    }
    return KVR_OK;
}

static void *new_array(kvr_posix_disk *disk, size_t item_size)
{
    return kvr__mem_zalloc(&disk->mem, KVR__MEM_MESSAGE, disk->config.queue_max * item_size);
}

static void free_array(kvr_posix_disk *disk, void *items, size_t item_size)
{
    kvr__mem_free(&disk->mem, KVR__MEM_MESSAGE, items, disk->config.queue_max * item_size);
}

static kvr_status open_parts(kvr_posix_disk *disk)
{
    const kvr_wal_config *pattern = disk->config.wal;
    kvr_status status =
        kvr_posix_directory_new(pattern->allocator, pattern->allocator_ctx, &disk->directory);
    if (status != KVR_OK) {
        return status;
    }
    kvr_wal_config wal = *pattern;
    wal.files = kvr_posix_file_ops();
    wal.files_ctx = disk->directory;
    wal.entropy = kvr_posix_entropy();
    wal.entropy_ctx = NULL;
    wal.flags = ((disk->config.flags & KVR_POSIX_CREATE) != 0 ? KVR_WAL_CREATE : 0u) |
                ((disk->config.flags & KVR_POSIX_READ_ONLY) != 0 ? KVR_WAL_READ_ONLY : 0u);
    status = kvr_wal_new(&wal, &disk->wal);
    if (status != KVR_OK || is_synchronous(disk)) {
        return status;
    }
    disk->queue = new_array(disk, sizeof *disk->queue);
    disk->batch = new_array(disk, sizeof *disk->batch);
    disk->results = new_array(disk, sizeof *disk->results);
    disk->batch_results = new_array(disk, sizeof *disk->batch_results);
    if (disk->queue == NULL || disk->batch == NULL || disk->results == NULL ||
        disk->batch_results == NULL) {
        return KVR_ENOMEM;
    }
    return open_pipe(disk->wake);
}

/* The clock of waits is the one that does not jump. */
static kvr_status open_mutex(kvr_posix_disk *disk)
{
    pthread_condattr_t attributes;
    if (pthread_condattr_init(&attributes) != 0) {
        return KVR_ENOMEM;
    }
    bool good = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0 &&
                pthread_cond_init(&disk->changed, &attributes) == 0;
    pthread_condattr_destroy(&attributes);
    if (good && pthread_mutex_init(&disk->mutex, NULL) != 0) {
        pthread_cond_destroy(&disk->changed);
        good = false;
    }
    return good ? KVR_OK : KVR_ENOMEM;
}

kvr_status kvr_posix_disk_new(const kvr_posix_disk_config *config, kvr_posix_disk **out_disk)
{
    kvr_posix_disk_config copy;
    void *handle = NULL;
    kvr_status status = read_config(config, &copy);
    if (status == KVR_OK) {
        status = kvr__mem_new_handle(copy.wal->allocator, copy.wal->allocator_ctx,
                                     sizeof **out_disk, offsetof(kvr_posix_disk, mem), &handle);
    }
    if (status != KVR_OK) {
        return status;
    }
    kvr_posix_disk *disk = handle;
    disk->config = copy;
    disk->wake[0] = -1;
    disk->wake[1] = -1;
    disk->status.size = sizeof disk->status;
    status = open_mutex(disk);
    if (status != KVR_OK) {
        kvr__mem_free_handle(disk, sizeof *disk, offsetof(kvr_posix_disk, mem));
        return status;
    }
    status = open_parts(disk);
    if (status != KVR_OK) {
        kvr_posix_disk_free(disk);
        return status;
    }
    *out_disk = disk;
    return KVR_OK;
}

kvr_status kvr_posix_disk_open(kvr_posix_disk *disk)
{
    kvr_status status =
        kvr_posix_directory_open(disk->directory, disk->config.path, disk->config.flags);
    const char *error = kvr_posix_directory_error(disk->directory);
    if (status == KVR_OK) {
        status = kvr_wal_open(disk->wal);
        error = kvr_wal_error(disk->wal);
    }
    if (status != KVR_OK) {
        snprintf(disk->error, sizeof disk->error, "%s", error);
        return status;
    }
    disk->maintain = (disk->config.flags & KVR_POSIX_READ_ONLY) == 0;
    if (disk->maintain) {
        kvr__posix_directory_sign(disk->directory);
    }
    disk->last_work_ns = kvr_posix_clock()->now(NULL);
    kvr_wal_get_status(disk->wal, &disk->status);
    return KVR_OK;
}

kvr_status kvr_posix_disk_close(kvr_posix_disk *disk)
{
    kvr_status status = kvr_wal_close(disk->wal);
    kvr_posix_directory_free(disk->directory); /* unlocks; the wal has closed its files */
    disk->directory = NULL;
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
            close(disk->wake[i]);
        }
    }
    free_array(disk, disk->queue, sizeof *disk->queue);
    free_array(disk, disk->batch, sizeof *disk->batch);
    free_array(disk, disk->results, sizeof *disk->results);
    free_array(disk, disk->batch_results, sizeof *disk->batch_results);
    pthread_cond_destroy(&disk->changed);
    pthread_mutex_destroy(&disk->mutex);
    kvr__mem_free_handle(disk, sizeof *disk, offsetof(kvr_posix_disk, mem));
}

/* ------------------------------------------------------------------ the owner's side */

static void lock(kvr_posix_disk *disk)
{
    int result = pthread_mutex_lock(&disk->mutex);
    KVR_ASSERT(result == 0);
}

static void unlock(kvr_posix_disk *disk)
{
    int result = pthread_mutex_unlock(&disk->mutex);
    KVR_ASSERT(result == 0);
}

/* The byte is in the pipe exactly while reap has something to return or a pin to end. */
static void update_signal(kvr_posix_disk *disk)
{
    bool wanted = disk->result_count > 0 || disk->pin == PIN_LENT;
    uint8_t byte = 0;
    ssize_t moved = 1;
    if (wanted && !disk->signalled) {
        moved = write(disk->wake[1], &byte, 1);
    } else if (!wanted && disk->signalled) {
        moved = read(disk->wake[0], &byte, 1);
    }
    KVR_ASSERT(moved == 1); /* an empty pipe takes a byte, and only we take it out */
    disk->signalled = wanted;
}

/* Without a thread: maintenance first, since the result's bytes must stay until the next call. */
static kvr_status submit_now(kvr_posix_disk *disk, const kvr_store_request *request,
                             kvr_store_result *out_result)
{
    if (disk->maintain) {
        disk->maintain = kvr_wal_maintain(disk->wal) == KVR_AGAIN;
    }
    kvr_status status = kvr_wal_execute(disk->wal, request, 1, out_result);
    disk->maintain = disk->maintain || request->kind == KVR_STORE_DISCARD ||
                     request->kind == KVR_STORE_SNAPSHOT_WRITE || request->kind == KVR_STORE_APPEND;
    kvr_wal_get_status(disk->wal, &disk->status);
    return status == KVR_OK || status == KVR_FSTORAGE ? KVR_DONE : status;
}

static kvr_status submit(void *ctx, const kvr_store_request *request, kvr_store_result *out_result)
{
    kvr_posix_disk *disk = ctx;
    if (is_synchronous(disk)) {
        return submit_now(disk, request, out_result);
    }
    lock(disk);
    bool full = disk->queue_count + disk->performing + disk->result_count >= disk->config.queue_max;
    if (!full && !disk->stopped) {
        uint32_t place = (disk->queue_head + disk->queue_count) % disk->config.queue_max;
        disk->queue[place] = *request;
        disk->queue_count++;
        pthread_cond_signal(&disk->changed);
    }
    kvr_status status = full || disk->stopped ? KVR_EBUSY : KVR_OK;
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

static bool is_pinned_kind(const kvr_store_request *request)
{
    return request->kind == KVR_STORE_LOAD || request->kind == KVR_STORE_READ ||
           request->kind == KVR_STORE_SNAPSHOT_READ;
}

/* A result that points into the wal is the last of its batch, and only one is out at a time: so the
 * pinned one is the last of the results while the pin says PIN_RESULT. */
uint32_t kvr_posix_disk_reap(kvr_posix_disk *disk, kvr_store_result *out_results, uint32_t max)
{
    uint32_t count = 0;
    size_t stride = max > 0 ? out_results[0].size : 0;
    if (is_synchronous(disk) || stride < sizeof(kvr_store_result)) {
        return 0;
    }
    lock(disk);
    if (disk->pin == PIN_LENT) {
        disk->pin = PIN_NONE;
        pthread_cond_signal(&disk->changed);
    }
    while (count < max && disk->result_count > 0) {
        uint8_t *to = (uint8_t *)out_results + count * stride;
        memcpy(to, &disk->results[disk->result_head], sizeof *out_results);
        memcpy(to, &(uint32_t){(uint32_t)stride}, sizeof(uint32_t));
        disk->result_head = (disk->result_head + 1) % disk->config.queue_max;
        disk->result_count--;
        count++;
    }
    if (disk->pin == PIN_RESULT && disk->result_count == 0) {
        disk->pin = PIN_LENT;
    }
    update_signal(disk);
    unlock(disk);
    return count;
}

void kvr_posix_disk_stop(kvr_posix_disk *disk)
{
    lock(disk);
    disk->stopped = true;
    pthread_cond_broadcast(&disk->changed);
    unlock(disk);
}

void kvr_posix_disk_get_status(kvr_posix_disk *disk, kvr_wal_status *out_status)
{
    lock(disk);
    size_t size = out_status->size < sizeof disk->status ? out_status->size : sizeof disk->status;
    uint32_t known = out_status->size;
    memcpy(out_status, &disk->status, size);
    out_status->size = known;
    unlock(disk);
}

const char *kvr_posix_disk_error(const kvr_posix_disk *disk)
{
    return disk->error;
}

/* ------------------------------------------------------------------ the disk's side */

/* How many requests from the head may be performed as one batch now: all up to the first that pins, that
 * one included; none of that kind while another is pinned. */
static uint32_t batch_count(const kvr_posix_disk *disk)
{
    for (uint32_t i = 0; i < disk->queue_count; i++) {
        const kvr_store_request *request =
            &disk->queue[(disk->queue_head + i) % disk->config.queue_max];
        if (is_pinned_kind(request)) {
            return disk->pin == PIN_NONE ? i + 1 : i;
        }
    }
    return disk->queue_count;
}

static bool idle_is_due(const kvr_posix_disk *disk, uint64_t now_ns)
{
    return !disk->failed && kvr_wal_has_unvouched(disk->wal) &&
           now_ns - disk->last_work_ns >= disk->config.idle_ns;
}

static struct timespec to_timespec(uint64_t ns)
{
    return (struct timespec){.tv_sec = (time_t)(ns / 1000000000u),
                             .tv_nsec = (long)(ns % 1000000000u)};
}

kvr_status kvr_posix_disk_wait(kvr_posix_disk *disk, uint64_t timeout_ns)
{
    uint64_t start_ns = kvr_posix_clock()->now(NULL);
    uint64_t end_ns = timeout_ns > UINT64_MAX - start_ns ? UINT64_MAX : start_ns + timeout_ns;
    kvr_status status = KVR_EBUSY; /* none yet */
    lock(disk);
    while (status == KVR_EBUSY) {
        uint64_t now_ns = kvr_posix_clock()->now(NULL);
        bool unvouched = !disk->failed && kvr_wal_has_unvouched(disk->wal);
        uint64_t idle_at_ns = unvouched ? disk->last_work_ns + disk->config.idle_ns : UINT64_MAX;
        uint64_t wake_ns = idle_at_ns < end_ns ? idle_at_ns : end_ns;
        if (batch_count(disk) > 0) {
            status = KVR_OK;
        } else if (disk->stopped && disk->queue_count == 0) {
            status = KVR_ESTOPPED;
        } else if (disk->maintain || idle_is_due(disk, now_ns)) {
            status = KVR_AGAIN;
        } else if (now_ns >= end_ns) {
            status = KVR_ETIMEDOUT;
        } else if (wake_ns == UINT64_MAX) {
            pthread_cond_wait(&disk->changed, &disk->mutex);
        } else {
            struct timespec until = to_timespec(wake_ns);
            pthread_cond_timedwait(&disk->changed, &disk->mutex, &until);
        }
    }
    unlock(disk);
    return status;
}

/* Moves the next batch out of the queue; the requests stay counted as performing. */
static uint32_t take_batch(kvr_posix_disk *disk)
{
    lock(disk);
    uint32_t count = batch_count(disk);
    for (uint32_t i = 0; i < count; i++) {
        disk->batch[i] = disk->queue[disk->queue_head];
        disk->batch_results[i] = (kvr_store_result){.size = sizeof disk->batch_results[i],
                                                    .group_id = disk->batch[i].group_id,
                                                    .token = disk->batch[i].token};
        disk->queue_head = (disk->queue_head + 1) % disk->config.queue_max;
    }
    disk->queue_count -= count;
    disk->performing = count;
    unlock(disk);
    return count;
}

static void give_results(kvr_posix_disk *disk, uint32_t count)
{
    kvr_wal_status status = {.size = sizeof status};
    kvr_wal_get_status(disk->wal, &status);
    lock(disk);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t place = (disk->result_head + disk->result_count) % disk->config.queue_max;
        disk->results[place] = disk->batch_results[i];
        disk->result_count++;
    }
    disk->performing = 0;
    disk->status = status;
    if (count > 0 && is_pinned_kind(&disk->batch[count - 1])) {
        KVR_ASSERT(disk->pin == PIN_NONE);
        disk->pin = PIN_RESULT;
    }
    if (status.status != KVR_OK && disk->error[0] == '\0') {
        snprintf(disk->error, sizeof disk->error, "%s", kvr_wal_error(disk->wal));
    }
    update_signal(disk);
    unlock(disk);
}

/* Nothing is queued: one slice of maintenance, or the record that vouches for the last batch. */
static kvr_status perform_idle(kvr_posix_disk *disk)
{
    kvr_status status = KVR_OK;
    if (disk->maintain) {
        status = kvr_wal_maintain(disk->wal);
        disk->maintain = status == KVR_AGAIN;
    } else if (idle_is_due(disk, kvr_posix_clock()->now(NULL))) {
        status = kvr_wal_idle(disk->wal);
        if (status == KVR_ENOSPACE) {
            disk->last_work_ns =
                kvr_posix_clock()->now(NULL); /* ask again after another idle time */
        }
    }
    disk->failed = kvr_status_is_fatal(status);
    give_results(disk, 0);
    return status == KVR_ENOSPACE ? KVR_OK : status;
}

kvr_status kvr_posix_disk_perform(kvr_posix_disk *disk)
{
    uint32_t count = take_batch(disk);
    if (count == 0) {
        return perform_idle(disk);
    }
    kvr_status status = kvr_wal_execute(disk->wal, disk->batch, count, disk->batch_results);
    KVR_ASSERT(status == KVR_OK || status == KVR_FSTORAGE);
    disk->failed = status != KVR_OK;
    for (uint32_t i = 0; i < count; i++) {
        uint8_t kind = disk->batch[i].kind;
        bool writes = kind == KVR_STORE_APPEND || kind == KVR_STORE_VOTE;
        disk->maintain = !disk->failed && (disk->maintain || !is_pinned_kind(&disk->batch[i]));
        disk->last_work_ns = writes ? kvr_posix_clock()->now(NULL) : disk->last_work_ns;
    }
    give_results(disk, count);
    lock(disk);
    bool more = batch_count(disk) > 0;
    unlock(disk);
    return status != KVR_OK ? status : more || disk->maintain ? KVR_AGAIN : KVR_OK;
}

void kvr_posix_disk_run(kvr_posix_disk *disk)
{
    while (kvr_posix_disk_wait(disk, UINT64_MAX) != KVR_ESTOPPED) {
        kvr_status status = kvr_posix_disk_perform(disk);
        (void)status; /* a failure is in every result, and perform goes on to give them */
    }
}
