/* SPDX-License-Identifier: Apache-2.0 */
/* sim_disk_name.c: the directory. A change of a name holds the files that the name meant before and
 * after it until a sync_directory covers it, so that a crash can take it back. There are few names:
 * they are searched one by one. */
#include "sim_disk_internal.h"

#include <string.h>

#include "base/array.h"
#include "base/assertion.h"

static uint32_t place_of(const kvr_sim_disk *disk, const char *name)
{
    uint32_t i = 0;
    while (i < disk->names.count && strcmp(disk->names.items[i].text, name) != 0) {
        i++;
    }
    return i;
}

kvr__sim_file *kvr__sim_name_find(const kvr_sim_disk *disk, const char *name)
{
    uint32_t i = place_of(disk, name);
    return i < disk->names.count ? disk->names.items[i].file : NULL;
}

static kvr__sim_file *hold(kvr__sim_file *file)
{
    if (file != NULL) {
        file->holders++;
    }
    return file;
}

static void copy_name(char *to, const char *from)
{
    KVR_ASSERT(strlen(from) < KVR__SIM_NAME_SIZE);
    memcpy(to, from, strlen(from) + 1);
}

/* Room for `changes` pending ones and for one more name. */
static kvr_status reserve(kvr_sim_disk *disk, uint32_t changes)
{
    kvr_status status = kvr__array_grow(
        &disk->mem, KVR__MEM_HANDLE, (void **)&disk->names.items, &disk->names.capacity,
        disk->names.count + disk->renames.count + changes, sizeof *disk->names.items);
    if (status != KVR_OK) {
        return status;
    }
    return kvr__array_grow(&disk->mem, KVR__MEM_HANDLE, (void **)&disk->renames.items,
                           &disk->renames.capacity, disk->renames.count + changes,
                           sizeof *disk->renames.items);
}

/* Needs no memory: a crash, too, may bring back as many names as there are pending changes. */
void kvr__sim_name_bind(kvr_sim_disk *disk, const char *name, kvr__sim_file *file)
{
    uint32_t i = place_of(disk, name);
    kvr__sim_file *before = i < disk->names.count ? disk->names.items[i].file : NULL;
    hold(file);
    if (file != NULL && i == disk->names.count) {
        KVR_ASSERT(disk->names.count < disk->names.capacity);
        copy_name(disk->names.items[disk->names.count++].text, name);
    }
    if (file != NULL) {
        disk->names.items[i].file = file;
    } else if (i < disk->names.count) {
        disk->names.count--;
        memmove(disk->names.items + i, disk->names.items + i + 1,
                (disk->names.count - i) * sizeof *disk->names.items);
    }
    kvr__sim_file_drop(disk, before);
}

static void change(kvr_sim_disk *disk, const char *name, kvr__sim_file *file, bool with_next)
{
    kvr__sim_rename *entry = &disk->renames.items[disk->renames.count++];
    *entry = (kvr__sim_rename){.with_next = with_next};
    copy_name(entry->text, name);
    entry->before = hold(kvr__sim_name_find(disk, name));
    entry->after = hold(file);
    kvr__sim_name_bind(disk, name, file);
}

kvr_status kvr__sim_name_change(kvr_sim_disk *disk, const char *name, kvr__sim_file *file)
{
    kvr_status status = reserve(disk, 1);
    if (status == KVR_OK) {
        change(disk, name, file, false);
    }
    return status;
}

kvr_status kvr__sim_name_move(kvr_sim_disk *disk, const char *from, const char *to)
{
    kvr__sim_file *file = kvr__sim_name_find(disk, from);
    if (file == NULL) {
        return KVR_ENOTFOUND;
    }
    if (strcmp(from, to) == 0) {
        return KVR_OK;
    }
    kvr_status status = reserve(disk, 2);
    if (status == KVR_OK) {
        change(disk, to, file, true);
        change(disk, from, NULL, false);
    }
    return status;
}

void kvr__sim_name_forget(kvr_sim_disk *disk)
{
    for (uint32_t i = 0; i < disk->renames.count; i++) {
        kvr__sim_file_drop(disk, disk->renames.items[i].before);
        kvr__sim_file_drop(disk, disk->renames.items[i].after);
    }
    disk->renames.count = 0;
}
