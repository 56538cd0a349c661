/* SPDX-License-Identifier: Apache-2.0 */
/* posix_place.c: temporary directories. */
#include "posix_place.h"

#include "base/checksum.h"
#include "base/entry.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char root[512];

const char *posix_place_enter(void)
{
    const char *above = getenv("TMPDIR");
    (void)snprintf(root, sizeof root, "%s/kvraft-posix-XXXXXX", above == NULL ? "/tmp" : above);
    cr_assert_not_null(mkdtemp(root), "no directory like %s can be made", root);
    return root;
}

const char *posix_place_path(const char *name)
{
    static char path[1024];
    (void)snprintf(path, sizeof path, "%s/%s", root, name);
    return path;
}

static void empty(const char *path, bool goes_down)
{
    DIR *stream = opendir(path);
    if (stream == NULL) {
        return;
    }
    for (const struct dirent *entry = readdir(stream); entry != NULL; entry = readdir(stream)) {
        char name[1024];
        int size = snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        bool is_dots = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
        if (is_dots || size >= (int)sizeof name || unlink(name) == 0) {
            continue;
        }
        if (goes_down) {
            empty(name, false);
        }
        (void)rmdir(name);
    }
    (void)closedir(stream);
}

void posix_place_leave(void)
{
    empty(root, true);
    (void)rmdir(root);
}

size_t posix_place_entry(uint64_t index, uint64_t term, size_t size, uint8_t *out)
{
    uint8_t *command = out + KVR_ENTRY_HEADER_SIZE;
    memset(command, (int)(index & 0xFF), size);
    kvr_entry entry = {.index = index, .term = term, .kind = KVR_ENTRY_COMMAND};
    entry.command = (kvr_slice){command, size};
    entry.command_checksum = kvr__xxh3_64(command, size);
    kvr__entry_write_header(out, &entry);
    return KVR_ENTRY_HEADER_SIZE + size;
}
