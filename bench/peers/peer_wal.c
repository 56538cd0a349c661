/* SPDX-License-Identifier: Apache-2.0 */
/* peer_wal.c: the fastest plain log there is on this file system: as many bytes a batch as our
 * record took, written with pwrite into a file that was filled with zeros before, one fdatasync a
 * batch. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "peers.h"

static int file_new(const char *directory, size_t size)
{
    enum { CHUNK = 1 << 20 };
    char path[4096];
    uint8_t *zeros = calloc(1, CHUNK);
    snprintf(path, sizeof path, "%s/plain", directory);
    int file = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
    bench_require(file >= 0 && zeros != NULL, "open");
    for (size_t offset = 0; offset < size; offset += CHUNK) {
        bench_require(pwrite(file, zeros, CHUNK, (off_t)offset) == CHUNK, "pwrite of zeros");
    }
    bench_require(fsync(file) == 0, "fsync");
    free(zeros);
    return file;
}

void peer_wal_measure(bench_run *run)
{
    size_t batches = (size_t)bench_ours(run, "batches");
    double entry_bytes = bench_ours(run, "entry-bytes");
    size_t total = (size_t)bench_ours(run, "written-bytes"), record = total / batches;
    uint8_t *bytes = malloc(record);
    int file = file_new(bench_directory(run), total);
    bench_require(bytes != NULL, "memory for a record");
    memset(bytes, 'x', record);

    uint64_t begin = bench_wall_ns(), cpu = bench_cpu_ns();
    for (size_t i = 0; i < batches; i++) {
        memcpy(bytes, &i, sizeof i);
        bench_require(pwrite(file, bytes, record, (off_t)(i * record)) == (ssize_t)record &&
                          fdatasync(file) == 0,
                      "pwrite and fdatasync");
    }
    uint64_t spent = bench_wall_ns() - begin;
    bench_report(run, "cpu-us", (double)(bench_cpu_ns() - cpu) / 1e3 / (double)batches);
    bench_report(run, "megabytes-per-second", entry_bytes * 1e3 / (double)spent);
    close(file);
}
