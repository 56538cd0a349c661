/* SPDX-License-Identifier: Apache-2.0 */
/* wal_files.c: the host's file calls as the rest of the room sees them. Short counts are continued
 * here, failures get their text here, and here it is decided what they mean: a read that failed may
 * be tried again; a write that found no room changed nothing that counts; any other failed write or
 * flush is final, because nobody can say what reached the disk (fsyncgate; Rebello et al., "Can
 * Applications Recover from fsync Failures?", ATC'20). */
#include "wal_internal.h"

#include "base/assertion.h"
#include "base/text.h"

static const char remedy_disk[] =
    "nothing more is acknowledged: repair or replace the disk, then restart this member";
static const char remedy_room[] = "make room on the disk; writing goes on by itself";
static const char remedy_read[] = "check the disk; nothing was changed";

/* ------------------------------------------------------------------ failures */

static void name_copy(kvr__wal_name *name, const char *from)
{
    kvr__text text = kvr__text_in(name->text, sizeof name->text);
    kvr__text_add(&text, from);
}

static void text_of_damage(char *room, const kvr__wal_damage *damage)
{
    kvr__text text = kvr__text_in(room, KVR__WAL_TEXT_SIZE);
    if (damage->file[0] != '\0') {
        kvr__text_add(&text, damage->file);
        kvr__text_add(&text, " at offset ");
        kvr__text_add_u64(&text, damage->offset);
        kvr__text_add(&text, ": ");
    }
    kvr__text_add(&text, damage->what);
    if (damage->cause != NULL) {
        kvr__text_add(&text, ": ");
        kvr__text_add(&text, damage->cause);
    }
    if (damage->first_index > 0) {
        kvr__text_add(&text, " (entries from ");
        kvr__text_add_u64(&text, damage->first_index);
        if (damage->last_index > 0) {
            kvr__text_add(&text, " to ");
            kvr__text_add_u64(&text, damage->last_index);
        } else {
            kvr__text_add(&text, " on");
        }
        kvr__text_add(&text, ")");
    }
    if (damage->remedy != NULL) {
        kvr__text_add(&text, "; ");
        kvr__text_add(&text, damage->remedy);
    }
}

kvr_status kvr__wal_files_report(kvr_wal *wal, const kvr__wal_damage *damage)
{
    KVR_ASSERT(damage->status < KVR_OK);
    KVR_ASSERT(wal->state != KVR__WAL_FAILED);
    kvr__wal_failure *failure = &wal->failure;
    wal->failure_count++;
    failure->status = damage->status;
    failure->offset = damage->offset;
    failure->first_index = damage->first_index;
    failure->last_index = damage->last_index;
    failure->remedy = damage->remedy == NULL ? "" : damage->remedy;
    kvr__text file = kvr__text_in(failure->file, sizeof failure->file);
    kvr__text_add(&file, damage->file);
    text_of_damage(failure->text, damage);
    return damage->status;
}

kvr_status kvr__wal_files_fail(kvr_wal *wal, const kvr__wal_damage *damage)
{
    KVR_ASSERT(kvr_status_is_fatal(damage->status));
    kvr_status status = kvr__wal_files_report(wal, damage);
    wal->state = KVR__WAL_FAILED;
    return status;
}

kvr_status kvr__wal_files_report_stranger(kvr_wal *wal, const char *file,
                                          const kvr__wal_identity *theirs)
{
    const kvr_wal_config *config = &wal->config;
    char what[KVR__WAL_TEXT_SIZE];
    kvr__text text = kvr__text_in(what, sizeof what);
    const char *const words[] = {"files of cluster ",  ", member ", ", group ",
                                 "; this is cluster ", ", member ", ", group "};
    const uint64_t numbers[] = {theirs->cluster_id, theirs->member_id, theirs->group_id,
                                config->cluster_id, config->member_id, config->group_id};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        kvr__text_add(&text, words[i]);
        kvr__text_add_u64(&text, numbers[i]);
    }
    return kvr__wal_files_report(
        wal,
        &(kvr__wal_damage){.status = KVR_EMISMATCH,
                           .file = file,
                           .what = what,
                           .remedy = "start with the ids or the directory that belong together"});
}

static const char *cause_of(const kvr_wal *wal, kvr_status status)
{
    const char *phrase = wal->files.error == NULL ? NULL : wal->files.error(wal->config.files_ctx);
    return phrase == NULL ? kvr_status_text(status) : phrase;
}

/* A table may answer with anything that is not KVR_OK; what is no error of ours is a broken
 * disk. */
static kvr_status as_error(kvr_status status)
{
    switch (status) {
    case KVR_ENOSPACE:
    case KVR_ENOMEM:
    case KVR_ENOTFOUND:
    case KVR_EEXIST:
    case KVR_EDENIED:
        return status;
    default:
        return KVR_EIO;
    }
}

static kvr_status failed_read(kvr_wal *wal, kvr_status status, const char *name, uint64_t offset,
                              const char *what)
{
    kvr_status error = as_error(status);
    return kvr__wal_files_report(wal, &(kvr__wal_damage){
                                          .status = error == KVR_EDENIED ? error : KVR_EIO,
                                          .file = name,
                                          .offset = offset,
                                          .what = what,
                                          .cause = cause_of(wal, status),
                                          .remedy = remedy_read,
                                      });
}

static kvr_status failed_write(kvr_wal *wal, kvr_status status, const char *name, uint64_t offset,
                               const char *what)
{
    kvr__wal_damage damage = {
        .status = as_error(status),
        .file = name,
        .offset = offset,
        .what = what,
        .cause = cause_of(wal, status),
        .remedy = remedy_disk,
    };
    if (damage.status == KVR_ENOMEM) {
        damage.status = KVR_ENOSPACE;
    }
    if (damage.status == KVR_ENOSPACE) {
        damage.remedy = remedy_room;
    }
    if (damage.status == KVR_ENOSPACE || wal->state != KVR__WAL_OPEN) {
        return kvr__wal_files_report(wal, &damage);
    }
    damage.status = KVR_FSTORAGE;
    return kvr__wal_files_fail(wal, &damage);
}

/* Where no room is no excuse: the call was to make durable what is already written. */
static kvr_status failed_flush(kvr_wal *wal, kvr_status status, const char *name, const char *what)
{
    kvr_status error = as_error(status);
    return failed_write(wal, error == KVR_ENOSPACE || error == KVR_ENOMEM ? KVR_EIO : status, name,
                        0, what);
}

kvr_status kvr__wal_files_random(kvr_wal *wal, uint64_t *out_number)
{
    uint8_t bytes[sizeof *out_number];
    if (wal->config.entropy->fill(wal->config.entropy_ctx, bytes, sizeof bytes) == KVR_OK) {
        memcpy(out_number, bytes, sizeof bytes);
        *out_number = *out_number == 0 ? 1 : *out_number;
        return KVR_OK;
    }
    kvr__wal_damage damage = {
        .status = KVR_EIO,
        .file = "",
        .what = "no random bytes for an id",
        .remedy = "repair the host's entropy, then restart",
    };
    if (wal->state != KVR__WAL_OPEN) {
        return kvr__wal_files_report(wal, &damage);
    }
    damage.status = KVR_FSTORAGE;
    return kvr__wal_files_fail(wal, &damage);
}

/* ------------------------------------------------------------------ one file */

kvr_status kvr__wal_files_open(kvr_wal *wal, const char *name, uint32_t flags,
                               kvr__wal_file *out_file)
{
    KVR_ASSERT(!out_file->is_open);
    name_copy(&out_file->name, name);
    kvr_status status = wal->files.open(wal->config.files_ctx, name, flags, &out_file->handle);
    if (status == KVR_OK) {
        out_file->is_open = true;
        return KVR_OK;
    }
    if ((flags & KVR_FILE_WRITE) != 0) {
        return failed_write(wal, status, name, 0, "open for writing failed");
    }
    return status == KVR_ENOTFOUND ? status : failed_read(wal, status, name, 0, "open failed");
}

/* Nothing is known to be durable by closing, so nothing can be lost by a close that fails. */
void kvr__wal_files_close(kvr_wal *wal, kvr__wal_file *file)
{
    if (file->is_open) {
        (void)wal->files.close(wal->config.files_ctx, file->handle);
        file->is_open = false;
    }
}

kvr_status kvr__wal_files_length(kvr_wal *wal, kvr__wal_file *file, uint64_t *out_size)
{
    KVR_ASSERT(file->is_open);
    kvr_status status = wal->files.length(wal->config.files_ctx, file->handle, out_size);
    return status == KVR_OK ? KVR_OK
                            : failed_read(wal, status, file->name.text, 0, "no length is known");
}

kvr_status kvr__wal_files_read(kvr_wal *wal, kvr__wal_file *file, uint64_t offset, uint8_t *out,
                               size_t size, size_t *out_size)
{
    KVR_ASSERT(file->is_open);
    size_t done = 0;
    while (done < size) {
        size_t now = 0;
        kvr_status status = wal->files.pread(wal->config.files_ctx, file->handle, out + done,
                                             size - done, offset + done, &now);
        if (status == KVR_OK && now > size - done) {
            status = KVR_EIO;
        }
        if (status != KVR_OK) {
            return failed_read(wal, status, file->name.text, offset + done, "read failed");
        }
        if (now == 0) {
            break;
        }
        done += now;
    }
    *out_size = done;
    return KVR_OK;
}

kvr_status kvr__wal_files_write(kvr_wal *wal, kvr__wal_file *file, kvr_slice bytes, uint64_t offset)
{
    KVR_ASSERT(file->is_open);
    while (bytes.size > 0) {
        size_t now = 0;
        kvr_status status =
            wal->files.pwrite(wal->config.files_ctx, file->handle, &bytes, offset, &now);
        if (status == KVR_OK && (now == 0 || now > bytes.size)) {
            status = KVR_EIO;
        }
        if (status != KVR_OK) {
            return failed_write(wal, status, file->name.text, offset, "write failed");
        }
        bytes.data += now;
        bytes.size -= now;
        offset += now;
        wal->written_bytes += now;
    }
    return KVR_OK;
}

kvr_status kvr__wal_files_flush(kvr_wal *wal, kvr__wal_file *file)
{
    KVR_ASSERT(file->is_open);
    wal->flush_count++;
    kvr_status status = wal->files.fdatasync(wal->config.files_ctx, file->handle);
    return status == KVR_OK ? KVR_OK : failed_flush(wal, status, file->name.text, "flush failed");
}

kvr_status kvr__wal_files_truncate(kvr_wal *wal, kvr__wal_file *file, uint64_t size)
{
    KVR_ASSERT(file->is_open);
    kvr_status status = wal->files.truncate(wal->config.files_ctx, file->handle, size);
    return status == KVR_OK ? KVR_OK
                            : failed_write(wal, status, file->name.text, size, "truncate failed");
}

/* ------------------------------------------------------------------ names */

kvr_status kvr__wal_files_rename(kvr_wal *wal, const char *from, const char *to)
{
    kvr_status status = wal->files.rename(wal->config.files_ctx, from, to);
    return status == KVR_OK ? KVR_OK : failed_write(wal, status, from, 0, "rename failed");
}

kvr_status kvr__wal_files_unlink(kvr_wal *wal, const char *name)
{
    kvr_status status = wal->files.unlink(wal->config.files_ctx, name);
    return status == KVR_OK || status == KVR_ENOTFOUND
               ? KVR_OK
               : failed_write(wal, status, name, 0, "unlink failed");
}

kvr_status kvr__wal_files_flush_names(kvr_wal *wal)
{
    kvr_status status = wal->files.sync_directory(wal->config.files_ctx);
    return status == KVR_OK ? KVR_OK
                            : failed_flush(wal, status, "", "flush of the directory failed");
}
