/* SPDX-License-Identifier: Apache-2.0 */
/* test_posix_directory.c: private, locked, and every call of the table on real files. */
#include <criterion/criterion.h>
#include <kvraft/posix.h>

#include "posix/posix_internal.h"
#include "posix_place.h"
#include "support/fault_sweep.h"
#include "support/test_alloc.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static test_alloc alloc;
static kvr_posix_directory *directory;
static const kvr_file_ops *files;

static void setup(void)
{
    test_alloc_init(&alloc);
    (void)posix_place_enter();
    files = kvr_posix_file_ops();
    cr_assert_eq(kvr_posix_directory_new(&test_alloc_table, &alloc, &directory), KVR_OK);
}

static void teardown(void)
{
    kvr_posix_directory_free(directory);
    posix_place_leave();
    TEST_ALLOC_ASSERT_EMPTY(&alloc);
}

TestSuite(posix_directory, .init = setup, .fini = teardown);

static void open_new(const char *name)
{
    cr_assert_eq(kvr_posix_directory_open(directory, posix_place_path(name), KVR_POSIX_CREATE),
                 KVR_OK, "%s", kvr_posix_directory_error(directory));
}

static void expect_error(kvr_status got, kvr_status status, const char *word)
{
    const char *error = kvr_posix_directory_error(directory);
    cr_assert_eq(got, status, "%s: %s", kvr_status_name(got), error);
    cr_assert_not_null(strstr(error, word), "\"%s\" does not say \"%s\"", error, word);
}

Test(posix_directory, is_made_private)
{
    open_new("store");
    struct stat stat_of;
    cr_assert_eq(stat(posix_place_path("store"), &stat_of), 0);
    cr_assert_eq(stat_of.st_mode & 0777, 0700);
    cr_assert_eq(stat(posix_place_path("store/lock"), &stat_of), 0);
    cr_assert_eq(stat_of.st_mode & 0777, 0600);
    uint64_t file;
    cr_assert_eq(files->open(directory, "f", KVR_FILE_WRITE | KVR_FILE_CREATE, &file), KVR_OK);
    cr_assert_eq(files->close(directory, file), KVR_OK);
    cr_assert_eq(stat(posix_place_path("store/f"), &stat_of), 0);
    cr_assert_eq(stat_of.st_mode & 0777, 0600);
    cr_assert_eq(kvr_posix_directory_open(directory, posix_place_path("store"), 0), KVR_ESTATE);
}

Test(posix_directory, that_others_may_write_to_is_refused)
{
    cr_assert_eq(mkdir(posix_place_path("wide"), 0775), 0);
    cr_assert_eq(chmod(posix_place_path("wide"), 0775), 0);
    expect_error(kvr_posix_directory_open(directory, posix_place_path("wide"), 0), KVR_EDENIED,
                 "chmod 700");
    cr_assert_eq(access(posix_place_path("wide/lock"), F_OK), -1, "it was changed");
}

Test(posix_directory, that_is_none_is_refused)
{
    expect_error(kvr_posix_directory_open(directory, posix_place_path("absent"), 0), KVR_ENOTFOUND,
                 "absent");
    expect_error(kvr_posix_directory_open(directory, posix_place_path("a/b"), KVR_POSIX_CREATE),
                 KVR_ENOTFOUND, "cannot be made");
    FILE *plain = fopen(posix_place_path("plain"), "w");
    cr_assert_not_null(plain);
    (void)fclose(plain);
    expect_error(kvr_posix_directory_open(directory, posix_place_path("plain"), KVR_POSIX_CREATE),
                 KVR_EINVAL, "plain");
    expect_error(kvr_posix_directory_open(directory, "", 0), KVR_EINVAL, "no path");
}

Test(posix_directory, a_second_handle_is_locked_out_and_told_by_whom)
{
    open_new("store");
    kvr_posix_directory *first = directory;
    cr_assert_eq(kvr_posix_directory_new(&test_alloc_table, &alloc, &directory), KVR_OK);
    const char *who = "in use by another process";
    expect_error(kvr_posix_directory_open(directory, posix_place_path("store"), 0), KVR_ELOCKED,
                 who);
    kvr__posix_directory_sign(first);
    char pid[32];
    (void)snprintf(pid, sizeof pid, "process %ld", (long)getpid());
    expect_error(
        kvr_posix_directory_open(directory, posix_place_path("store"), KVR_POSIX_READ_ONLY),
        KVR_ELOCKED, pid);
    kvr_posix_directory_free(first);
    cr_assert_eq(kvr_posix_directory_open(directory, posix_place_path("store"), 0), KVR_OK);
}

Test(posix_directory, readers_share_it)
{
    open_new("store");
    kvr_posix_directory_free(directory);
    cr_assert_eq(kvr_posix_directory_new(&test_alloc_table, &alloc, &directory), KVR_OK);
    kvr_posix_directory *other;
    cr_assert_eq(kvr_posix_directory_new(&test_alloc_table, &alloc, &other), KVR_OK);
    const char *path = posix_place_path("store");
    cr_assert_eq(kvr_posix_directory_open(directory, path, KVR_POSIX_READ_ONLY), KVR_OK);
    cr_assert_eq(kvr_posix_directory_open(other, path, KVR_POSIX_READ_ONLY), KVR_OK);
    kvr_posix_directory_free(other);
}

/* The lock of a process that is killed is gone with it. */
Test(posix_directory, a_killed_process_leaves_no_lock)
{
    int ready[2];
    cr_assert_eq(pipe(ready), 0);
    pid_t child = fork();
    cr_assert_geq(child, 0);
    if (child == 0) {
        kvr_status status =
            kvr_posix_directory_open(directory, posix_place_path("store"), KVR_POSIX_CREATE);
        (void)!write(ready[1], status == KVR_OK ? "y" : "n", 1);
        (void)pause();
        _exit(0);
    }
    char answer = '?';
    cr_assert_eq(read(ready[0], &answer, 1), 1);
    cr_assert_eq(answer, 'y');
    expect_error(kvr_posix_directory_open(directory, posix_place_path("store"), 0), KVR_ELOCKED,
                 "in use");
    cr_assert_eq(kill(child, SIGKILL), 0);
    cr_assert_eq(waitpid(child, NULL, 0), child);
    cr_assert_eq(kvr_posix_directory_open(directory, posix_place_path("store"), 0), KVR_OK, "%s",
                 kvr_posix_directory_error(directory));
}

Test(posix_directory, new_without_memory_gives_nothing)
{
    kvr_posix_directory *other = NULL;
    kvr_status status = KVR_OK;
    FAULT_SWEEP((void)0, status = kvr_posix_directory_new(&test_alloc_table, &alloc, &other), {
        cr_assert_eq(status, fault_fired() == 0 ? KVR_OK : KVR_ENOMEM);
        kvr_posix_directory_free(other);
        other = NULL;
    });
}

/* ------------------------------------------------------------------ the table */

static kvr_status count_files(void *ctx, const char *name, uint64_t size)
{
    uint64_t *sum = ctx;
    if (strcmp(name, "lock") != 0) {
        sum[0]++;
        sum[1] += size;
    }
    return strcmp(name, "stop") == 0 ? KVR_EIO : KVR_OK;
}

Test(posix_directory, each_call_does_what_wal_h_says)
{
    open_new("store");
    const uint32_t make = KVR_FILE_READ | KVR_FILE_WRITE | KVR_FILE_CREATE;
    uint64_t file, size;
    size_t done;
    uint8_t bytes[64];
    cr_assert_eq(files->open(directory, "a", KVR_FILE_READ, &file), KVR_ENOTFOUND);
    cr_assert_str_eq(files->error(directory), "No such file or directory");
    cr_assert_eq(files->open(directory, "a", make, &file), KVR_OK);
    cr_assert_eq(files->open(directory, "a", make | KVR_FILE_EXCLUSIVE, &size), KVR_EEXIST);
    kvr_slice data = {(const uint8_t *)"hello", 5};
    cr_assert_eq(files->pwrite(directory, file, &data, 1000, &done), KVR_OK);
    cr_assert_eq(done, 5);
    cr_assert_eq(files->length(directory, file, &size), KVR_OK);
    cr_assert_eq(size, 1005);
    cr_assert_eq(files->pread(directory, file, bytes, sizeof bytes, 998, &done), KVR_OK);
    cr_assert_eq(done, 7);
    cr_assert_eq(memcmp(bytes, "\0\0hello", 7), 0);
    cr_assert_eq(files->pread(directory, file, bytes, sizeof bytes, 5000, &done), KVR_OK);
    cr_assert_eq(done, 0, "behind the end");
    cr_assert_eq(files->fdatasync(directory, file), KVR_OK);
    cr_assert_eq(files->truncate(directory, file, 3), KVR_OK);
    cr_assert_eq(files->length(directory, file, &size), KVR_OK);
    cr_assert_eq(size, 3);
    cr_assert_eq(files->close(directory, file), KVR_OK);
    cr_assert_eq(files->close(directory, file), KVR_EIO, "it is closed");
    cr_assert_eq(files->open(directory, "b", make, &file), KVR_OK);
    cr_assert_eq(files->close(directory, file), KVR_OK);
    cr_assert_eq(files->rename(directory, "a", "b"), KVR_OK);
    cr_assert_eq(files->rename(directory, "a", "b"), KVR_ENOTFOUND);
    cr_assert_eq(files->sync_directory(directory), KVR_OK);
    cr_assert_eq(mkdir(posix_place_path("store/folder"), 0700), 0);
    uint64_t sum[2] = {0, 0};
    cr_assert_eq(files->list(directory, count_files, sum), KVR_OK);
    cr_assert_eq(sum[0], 1, "folders and dots are not listed");
    cr_assert_eq(sum[1], 3);
    cr_assert_eq(files->rename(directory, "b", "stop"), KVR_OK);
    cr_assert_eq(files->list(directory, count_files, sum), KVR_EIO, "each ends the list");
    cr_assert_eq(files->unlink(directory, "stop"), KVR_OK);
    cr_assert_eq(files->unlink(directory, "stop"), KVR_ENOTFOUND);
    cr_assert_eq(rmdir(posix_place_path("store/folder")), 0);
    cr_assert_eq(files->space(directory, &size), KVR_OK);
    cr_assert_gt(size, 0);
}

Test(posix_directory, a_link_is_not_followed)
{
    open_new("store");
    cr_assert_eq(symlink("/etc/passwd", posix_place_path("store/vote")), 0);
    uint64_t file;
    cr_assert_eq(files->open(directory, "vote", KVR_FILE_READ, &file), KVR_EIO);
}

Test(posix_directory, the_tables_of_the_machine_work)
{
    uint64_t before = kvr_posix_clock()->now(NULL);
    cr_assert_geq(kvr_posix_clock()->now(NULL), before);
    uint8_t bytes[64] = {0};
    cr_assert_eq(kvr_posix_entropy()->fill(NULL, bytes, sizeof bytes), KVR_OK);
    uint32_t zeros = 0;
    for (size_t i = 0; i < sizeof bytes; i++) {
        zeros += bytes[i] == 0;
    }
    cr_assert_lt(zeros, 16);
    cr_assert_eq(kvr_posix_log(KVR_LOG_WARN)->level_max, KVR_LOG_WARN);
    cr_assert_eq(kvr_posix_log(99)->level_max, KVR_LOG_DEBUG);
}
