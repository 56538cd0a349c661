/* SPDX-License-Identifier: Apache-2.0 */
/* posix_tables.c: clock, entropy and log of the machine, as constant tables. */
#include <kvraft/posix.h>

#include "base/assertion.h"

#include <errno.h>
#include <stdio.h>
#include <sys/random.h>
#include <time.h>

/* A machine that slept must not take an old lease for a fresh one. */
#ifdef CLOCK_BOOTTIME
#define CLOCK CLOCK_BOOTTIME
#else
#define CLOCK CLOCK_MONOTONIC
#endif

static uint64_t clock_now(void *ctx)
{
    (void)ctx;
    struct timespec now = {0, 0};
    int result = clock_gettime(CLOCK, &now);
    KVR_ASSERT(result == 0); /* POSIX: it fails only for a clock that is not there */
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

const kvr_clock *kvr_posix_clock(void)
{
    static const kvr_clock table = {.size = sizeof table, .now = clock_now};
    return &table;
}

static kvr_status entropy_fill(void *ctx, uint8_t *out_bytes, size_t size)
{
    (void)ctx;
    size_t done = 0;
    while (done < size) {
        ssize_t got = getrandom(out_bytes + done, size - done, 0);
        if (got < 0 && errno != EINTR) {
            return KVR_EIO;
        }
        done += got > 0 ? (size_t)got : 0;
    }
    return KVR_OK;
}

const kvr_entropy *kvr_posix_entropy(void)
{
    static const kvr_entropy table = {.size = sizeof table, .fill = entropy_fill};
    return &table;
}

static void log_write(void *ctx, int32_t level, const char *text)
{
    static const char *const names[] = {"error", "warning", "info", "debug"};
    (void)ctx;
    size_t i = level < 0 ? 0 : level > KVR_LOG_DEBUG ? KVR_LOG_DEBUG : (size_t)level;
    (void)fprintf(stderr, "kvraft: %s: %s\n", names[i], text);
}

const kvr_log *kvr_posix_log(uint32_t level_max)
{
    static const kvr_log tables[] = {
        {.size = sizeof(kvr_log), .level_max = KVR_LOG_ERROR, .write = log_write},
        {.size = sizeof(kvr_log), .level_max = KVR_LOG_WARN, .write = log_write},
        {.size = sizeof(kvr_log), .level_max = KVR_LOG_INFO, .write = log_write},
        {.size = sizeof(kvr_log), .level_max = KVR_LOG_DEBUG, .write = log_write},
    };
    return &tables[level_max > KVR_LOG_DEBUG ? KVR_LOG_DEBUG : level_max];
}
