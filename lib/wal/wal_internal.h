/* SPDX-License-Identifier: Apache-2.0 */
/* wal_internal.h: what the files of this room call of each other, file by file. The state that they
 * share is in wal_state.h. wal.c is the door; from there
 *
 *   open      wal_recover.c -> wal_vote.c, wal_snapshot.c, wal_scan.c, wal_log.c
 *   execute   wal_append.c -> wal_segment.c; wal_read.c -> wal_scan.c; wal_vote.c; wal_snapshot.c
 *   maintain  wal_maintain.c
 *
 * All of them reach files through wal_files.c, which knows short counts and what a failure
 * means. */
#ifndef KVRAFT_LIB_WAL_INTERNAL_H
#define KVRAFT_LIB_WAL_INTERNAL_H

#include "wal_state.h"

/* ------------------------------------------------------------------ wal_files.c
 *
 * Each records a failure with its place. Reads: KVR_OK, KVR_EIO (the handle goes on). Writes:
 * KVR_OK; KVR_ENOSPACE (the handle goes on); all else is final: KVR_FSTORAGE, or in open the status
 * itself. */

/* Records `damage`. Returns its status. */
kvr_status kvr__wal_files_report(kvr_wal *wal, const kvr__wal_damage *damage);

/* The same, and the handle has failed for good. The status is KVR_FSTORAGE or KVR_FCORRUPT. */
kvr_status kvr__wal_files_fail(kvr_wal *wal, const kvr__wal_damage *damage);

/* Whose a file is. */
typedef struct kvr__wal_identity {
    uint64_t cluster_id;
    uint64_t member_id;
    uint64_t group_id;
} kvr__wal_identity;

/* Records that `file` belongs to others. Returns KVR_EMISMATCH. */
kvr_status kvr__wal_files_report_stranger(kvr_wal *wal, const char *file,
                                          const kvr__wal_identity *theirs);

/* A random number for an id, never 0: what an earlier use left behind must not pass for ours. */
kvr_status kvr__wal_files_random(kvr_wal *wal, uint64_t *out_number);

/* Opens `name`; out_file->name is set in any case. Also KVR_ENOTFOUND, which is not recorded. */
kvr_status kvr__wal_files_open(kvr_wal *wal, const char *name, uint32_t flags,
                               kvr__wal_file *out_file);
void kvr__wal_files_close(kvr_wal *wal, kvr__wal_file *file); /* not open: ignored */
kvr_status kvr__wal_files_length(kvr_wal *wal, kvr__wal_file *file, uint64_t *out_size);
/* Fills `out` as far as the file reaches: *out_size bytes. */
kvr_status kvr__wal_files_read(kvr_wal *wal, kvr__wal_file *file, uint64_t offset, uint8_t *out,
                               size_t size, size_t *out_size);
kvr_status kvr__wal_files_write(kvr_wal *wal, kvr__wal_file *file, kvr_slice bytes,
                                uint64_t offset);
kvr_status kvr__wal_files_flush(kvr_wal *wal, kvr__wal_file *file);
kvr_status kvr__wal_files_truncate(kvr_wal *wal, kvr__wal_file *file, uint64_t size);
kvr_status kvr__wal_files_rename(kvr_wal *wal, const char *from, const char *to);
kvr_status kvr__wal_files_unlink(kvr_wal *wal, const char *name); /* not there: KVR_OK */
kvr_status kvr__wal_files_flush_names(kvr_wal *wal);

/* ------------------------------------------------------------------ wal_log.c: points */

/* Makes room for what one more record may need: two points. KVR_ENOMEM. */
kvr_status kvr__wal_log_reserve(kvr_wal *wal, kvr__wal_group *group);

/* NULL if `record` may follow what the log holds, else what is wrong with it. */
const char *kvr__wal_log_refuses(const kvr__wal_group *group, const kvr__wal_record *record);

/* A durable record at `place` becomes part of the log. Room for a point is reserved. */
void kvr__wal_log_apply(kvr__wal_group *group, const kvr__wal_record *record,
                        const kvr__wal_place *place);

/* Where reading must start to find entry `index`, which the log holds, and the index at which it
 * must stop, to start anew: what follows there in the files was replaced, or is not its own. */
kvr__wal_place kvr__wal_log_find(const kvr__wal_group *group, uint64_t index, uint64_t *out_until);

/* The number of the oldest segment that the log needs; UINT64_MAX: none. */
uint64_t kvr__wal_log_first_segment(const kvr__wal_group *group);

/* The first index from which on the points reach the last one without a gap. */
uint64_t kvr__wal_log_whole_from(const kvr__wal_group *group);

/* The number of the last point at or before `index`, which the log holds. */
uint32_t kvr__wal_log_point(const kvr__wal_group *group, uint64_t index);

/* Segments up to `number`, which the log does not need, go. */
void kvr__wal_log_drop_segment(kvr__wal_group *group, uint64_t number);

/* The log is empty and goes on at first_index. */
void kvr__wal_log_clear(kvr__wal_group *group, uint64_t first_index);

/* ------------------------------------------------------------------ wal_group.c */

static inline bool kvr__wal_group_is_many(const kvr_wal *wal)
{
    return (wal->config.flags & KVR_WAL_GROUPS) != 0;
}

kvr__wal_group *kvr__wal_group_find(const kvr_wal *wal, uint64_t id); /* NULL: none */

/* The group, made if it is new. KVR_ENOMEM, which is not recorded. */
kvr_status kvr__wal_group_add(kvr_wal *wal, uint64_t id, kvr__wal_group **out_group);

/* The same for a request: KVR_ENOSPACE (no memory), KVR_EINVAL (there are too many). */
kvr_status kvr__wal_group_need(kvr_wal *wal, uint64_t id, kvr__wal_group **out_group);

/* The same, and the log names it: before a file does. Also the statuses of an append. */
kvr_status kvr__wal_group_introduce(kvr_wal *wal, uint64_t id, kvr__wal_group **out_group);

void kvr__wal_group_drop(kvr_wal *wal, kvr__wal_group *group);

/* Fills *out with a record of this VOTE, if it may be. KVR_EINVAL. */
kvr_status kvr__wal_group_vote(kvr_wal *wal, kvr__wal_group *group,
                               const kvr_store_request *request, kvr__wal_content *out);

/* NULL, or what is wrong with items that a record holds after all before it. */
const char *kvr__wal_group_refuses(const kvr_wal *wal, kvr_slice items);

/* Items in segment `number` are durable. Groups that they name exist. */
void kvr__wal_group_apply(kvr_wal *wal, kvr_slice items, uint64_t number);

/* Writes up to a slice of items of groups that only segments up to `number` tell of. KVR_OK: there
 * are none; KVR_AGAIN. */
kvr_status kvr__wal_group_tell(kvr_wal *wal, uint64_t number);

/* FORGET. */
kvr_status kvr__wal_group_forget(kvr_wal *wal, uint64_t id);

static inline kvr_slice kvr__wal_content_items(const kvr__wal_content *content)
{
    if (content->kind != KVR__WAL_GROUPS || content->more_items.size > 0) {
        return content->more_items;
    }
    return (kvr_slice){content->item, (size_t)content->body_size};
}

/* ------------------------------------------------------------------ wal_carry.c */

/* NULL if a CARRY `record` fits its group's log, else what is wrong with it. */
const char *kvr__wal_carry_refuses(const kvr__wal_group *group, const kvr__wal_record *record);

/* It is durable at `place`. Room for two points is reserved. */
void kvr__wal_carry_apply(kvr__wal_group *group, const kvr__wal_record *record,
                          const kvr__wal_place *place);

/* Carries a slice of what is still needed of the oldest segment, if the log is much longer than
 * what is needed of it. KVR_OK: it is not; KVR_AGAIN; statuses of an append. */
kvr_status kvr__wal_carry(kvr_wal *wal);

/* ------------------------------------------------------------------ wal_recover.c */

kvr_status kvr__wal_recover(kvr_wal *wal);

/* ------------------------------------------------------------------ wal_segment.c */

/* The segment that is written; NULL: none was begun. */
kvr__wal_segment *kvr__wal_segment_last(kvr_wal *wal);

/* The segment with that number, which exists. */
kvr__wal_segment *kvr__wal_segment_find(kvr_wal *wal, uint64_t number);

/* The last segment has room for a record of `size` bytes (its segment head not counted), and is
 * open. `is_mark`: may use what is reserved for marks. KVR_OK, KVR_ENOSPACE, KVR_FSTORAGE. */
kvr_status kvr__wal_segment_room(kvr_wal *wal, uint64_t size, bool is_mark);

/* The oldest segment, which no group needs, is gone. */
void kvr__wal_segment_drop_oldest(kvr_wal *wal);

/* A number that no file of the log has. */
uint64_t kvr__wal_segment_new_number(const kvr_wal *wal);

/* ------------------------------------------------------------------ wal_append.c */

/* Performs as many of the APPENDs at `requests` as share one record: at least one, at most `count`,
 * which is how many there are. All of them get the status that is returned. */
kvr_status kvr__wal_append(kvr_wal *wal, const kvr_store_request *const *requests, uint32_t count,
                           uint32_t *out_taken);

/* Writes and flushes an empty record: a MARK, or a RESET of the log to `reset` if that is not 0. */
kvr_status kvr__wal_append_empty(kvr_wal *wal, kvr__wal_group *group, uint64_t reset);

/* Writes and flushes a CARRY of the entries at `request`, which was built as an APPEND. */
kvr_status kvr__wal_append_carry(kvr_wal *wal, kvr__wal_group *group,
                                 const kvr_store_request *request);

/* Writes and flushes a record of items, or one without any, which vouches for what is before it. */
kvr_status kvr__wal_append_groups(kvr_wal *wal, kvr_slice items);

/* Writes and flushes what vouches for what is before it. */
kvr_status kvr__wal_append_mark(kvr_wal *wal);

/* ------------------------------------------------------------------ wal_vote.c */

/* Reads the vote file into wal->vote. KVR_ENOTFOUND: there is none. */
kvr_status kvr__wal_vote_load(kvr_wal *wal);
kvr_status kvr__wal_vote_create(kvr_wal *wal);
/* NULL, or what Raft never does. */
const char *kvr__wal_vote_refuses(const kvr__wal_group *now, const kvr_store_request *request);
kvr_status kvr__wal_vote_store(kvr_wal *wal, const kvr_store_request *request);
/* Writes the same once more, as the next slot, so that it names the last record: a log that was
 * closed cannot lose its end unnoticed, not even by a whole file. */
kvr_status kvr__wal_vote_vouch(kvr_wal *wal);
/* Writes the newest slot once more, if it is not known to be durable. */
kvr_status kvr__wal_vote_settle(kvr_wal *wal, uint64_t durable_sequence);

/* ------------------------------------------------------------------ wal_snapshot.c */

kvr_status kvr__wal_snapshot_write(kvr_wal *wal, kvr__wal_group *group,
                                   const kvr_store_request *request);
kvr_status kvr__wal_snapshot_read(kvr_wal *wal, const kvr__wal_group *group,
                                  const kvr_store_request *request, kvr_store_result *result);
const kvr__wal_snapshot *kvr__wal_snapshot_newest(const kvr__wal_group *group); /* NULL: none */

/* Its file, and that in which one from `source` is written. */
kvr__wal_name kvr__wal_snapshot_name(const kvr_wal *wal, const kvr__wal_group *group,
                                     const kvr__wal_snapshot *snapshot);
kvr__wal_name kvr__wal_snapshot_part_name(const kvr_wal *wal, const kvr__wal_group *group,
                                          uint32_t source);

/* The configuration in *out_meta is lent as results are. KVR_ENOSPACE: no memory. */
kvr_status kvr__wal_snapshot_meta(kvr_wal *wal, const kvr__wal_snapshot *snapshot,
                                  kvr_snapshot_meta *out_meta);

/* The list: room for one more; one more, which it then owns; one less. */
kvr_status kvr__wal_snapshot_reserve(kvr_wal *wal, kvr__wal_group *group);
void kvr__wal_snapshot_insert(kvr_wal *wal, kvr__wal_group *group,
                              const kvr__wal_snapshot *snapshot);
void kvr__wal_snapshot_drop(kvr_wal *wal, kvr__wal_group *group, uint32_t i);

/* What is being written, and files that are open for it. */
void kvr__wal_snapshot_close(kvr_wal *wal, kvr__wal_group *group);

/* ------------------------------------------------------------------ wal_verify.c */

/* Begins with head, tail and table of the file that holds `snapshot`, of which index and term are
 * known, and fills in the rest. KVR_OK, KVR_ECORRUPT, KVR_EVERSION, KVR_EMISMATCH, KVR_EIO (all
 * recorded), KVR_ENOMEM. In any case _end follows. */
kvr_status kvr__wal_verify_begin(kvr_wal *wal, kvr__wal_group *group, kvr__wal_snapshot *snapshot);

/* Goes on by one slice. KVR_AGAIN; KVR_OK: all of it is as it was written; KVR_ECORRUPT,
 * KVR_EIO. */
kvr_status kvr__wal_verify_step(kvr_wal *wal, const kvr__wal_snapshot *snapshot);
void kvr__wal_verify_end(kvr_wal *wal);

/* Holds bytes of the stream, from block number `block` on, against the checksums in `file`. */
kvr_status kvr__wal_verify_blocks(kvr_wal *wal, kvr__wal_file *file,
                                  const kvr__wal_snapshot *snapshot, uint64_t block,
                                  kvr_slice bytes);

/* ------------------------------------------------------------------ wal_read.c */

kvr_status kvr__wal_read(kvr_wal *wal, kvr__wal_group *group, const kvr_store_request *request,
                         kvr_store_result *result);

/* The term of entry `index`, which the log holds. Statuses of a READ. */
kvr_status kvr__wal_read_term(kvr_wal *wal, kvr__wal_group *group, uint64_t index,
                              uint64_t *out_term);

/* Memory for a result: *size bytes, or fewer but at least `size_min`. NULL: there is none. */
uint8_t *kvr__wal_read_lend(kvr_wal *wal, size_t size_min, size_t *size);
void kvr__wal_read_end_lending(kvr_wal *wal);
void kvr__wal_read_end_newest(kvr_wal *wal); /* only what was lent last */

/* ------------------------------------------------------------------ wal_maintain.c */

kvr_status kvr__wal_maintain(kvr_wal *wal);

/* ------------------------------------------------------------------ wal_check.c */

/* The invariants of README.md. */
void kvr__wal_check(const kvr_wal *wal);

#endif
