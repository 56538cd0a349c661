/* SPDX-License-Identifier: Apache-2.0 */
/* wal_recover.c: what open makes of the files it finds. The question that everything turns on is
 * whether the first place without a valid record is the end of the log, torn by a crash, or damage
 * to what was durable ("Protocol-Aware Recovery for Consensus-Based Storage", FAST'18):
 *
 *   let b be the sequence number that is missing there. If anything that is whole says that record
 *   b was durable once (a later record, a later segment head, the vote file), it is corruption, and
 *   refused; if nothing does, b was never acknowledged before the last flush, and is cut.
 *
 * Nothing on disk changes before the whole store was understood. Start at kvr__wal_recover. */
#include "wal_scan.h"

#include "base/array.h"
#include "base/assertion.h"

static const char remedy_lost[] =
    "remove this member and let a new one, with another id and an empty directory, take its place; "
    "an older copy of its files has forgotten votes and entries";

/* A file named like a segment, without a valid head: begun in a crash, or damaged. */
typedef struct stranger {
    uint64_t number;
    uint64_t size;
} stranger;

/* A damaged snapshot, and whose it is. */
typedef struct damaged_snapshot {
    uint64_t group_id;
    kvr__wal_name name;
} damaged_snapshot;

typedef struct recovering {
    kvr_wal *wal;
    struct {
        stranger *items;
        uint32_t count, capacity;
    } strangers;
    struct {
        damaged_snapshot *items; /* removed once all else is well */
        uint32_t count, capacity;
    } damaged;
    kvr__wal_place next;    /* of the next record */
    kvr__wal_record record; /* the last one; sequence 0: none */
    uint64_t write_number;  /* the last write: its segment, and its bytes */
    uint64_t write_begin;
    uint64_t write_end;
} recovering;

static kvr_status lost(recovering *recovery, kvr__wal_damage damage)
{
    damage.status = KVR_FCORRUPT;
    damage.remedy = remedy_lost;
    return kvr__wal_files_report(recovery->wal, &damage);
}

/* ------------------------------------------------------------------ the directory */

static kvr_status add_stranger(recovering *recovery, uint64_t number, uint64_t size)
{
    kvr_status status = kvr__array_grow(
        &recovery->wal->mem, KVR__MEM_HANDLE, (void **)&recovery->strangers.items,
        &recovery->strangers.capacity, recovery->strangers.count + 1, sizeof(stranger));
    if (status == KVR_OK) {
        recovery->strangers.items[recovery->strangers.count++] = (stranger){number, size};
    }
    return status;
}

static kvr_status add_segment(kvr_wal *wal, uint64_t number, uint64_t size)
{
    kvr_status status =
        kvr__array_grow(&wal->mem, KVR__MEM_LOG, (void **)&wal->segments.items,
                        &wal->segments.capacity, wal->segments.count + 1, sizeof(kvr__wal_segment));
    if (status != KVR_OK) {
        return status;
    }
    uint32_t at = wal->segments.count++;
    while (at > 0 && wal->segments.items[at - 1].number > number) {
        wal->segments.items[at] = wal->segments.items[at - 1];
        at--;
    }
    wal->segments.items[at] = (kvr__wal_segment){.number = number, .size = size};
    return KVR_OK;
}

static kvr_status add_ready(kvr_wal *wal, uint64_t number, uint64_t size)
{
    kvr_status status =
        kvr__array_grow(&wal->mem, KVR__MEM_LOG, (void **)&wal->ready.items, &wal->ready.capacity,
                        wal->ready.count + 1, sizeof(kvr__wal_ready));
    if (status == KVR_OK) {
        wal->ready.items[wal->ready.count++] = (kvr__wal_ready){number, size};
    }
    return status;
}

static kvr_status add_snapshot(kvr_wal *wal, uint64_t group_id, const kvr__wal_snapshot *snapshot)
{
    kvr__wal_group *group;
    kvr_status status = kvr__wal_group_add(wal, group_id, &group);
    if (status == KVR_OK && snapshot->index > 0) {
        status = kvr__wal_snapshot_reserve(wal, group);
        if (status == KVR_OK) {
            kvr__wal_snapshot_insert(wal, group, snapshot);
        }
    }
    return status;
}

/* Files of one group: of the one, or in a store of many with its number in their names. */
static kvr_status take_group_file(kvr_wal *wal, const char *name, uint64_t size)
{
    uint64_t group_id = wal->config.group_id;
    kvr__wal_snapshot snapshot = {.file_size = size};
    if (kvr__wal_group_is_many(wal)) {
        if (kvr__wal_name_is_group_snapshot(name, &group_id, &snapshot.index, &snapshot.term)) {
            return add_snapshot(wal, group_id, &snapshot);
        }
        if (kvr__wal_name_is_group_part(name, &group_id)) {
            return add_snapshot(wal, group_id, &(kvr__wal_snapshot){.index = 0});
        }
    } else if (kvr__wal_name_is_snapshot(name, &snapshot.index, &snapshot.term)) {
        return add_snapshot(wal, group_id, &snapshot);
    }
    return KVR_OK;
}

/* Order comes from the numbers in names, never from times (FAULTS 86). */
static kvr_status each_file(void *ctx, const char *name, uint64_t size)
{
    kvr_wal *wal = ((recovering *)ctx)->wal;
    uint64_t number;
    if (kvr__wal_name_is_log(name, &number)) {
        return add_segment(wal, number, size);
    }
    if (kvr__wal_name_is_ready(name, &number)) {
        return add_ready(wal, number, size);
    }
    return take_group_file(wal, name, size);
}

static kvr_status list_files(recovering *recovery)
{
    kvr_wal *wal = recovery->wal;
    kvr_status status = wal->files.list(wal->config.files_ctx, each_file, recovery);
    if (status == KVR_OK || status == KVR_ENOMEM) {
        return status;
    }
    return kvr__wal_files_report(wal, &(kvr__wal_damage){.status = KVR_EIO,
                                                         .file = "",
                                                         .what = "the directory cannot be listed",
                                                         .remedy = "check the disk"});
}

/* ------------------------------------------------------------------ snapshots */

static kvr_status verify_all(kvr_wal *wal, kvr__wal_group *group, kvr__wal_snapshot *snapshot)
{
    kvr_status status = kvr__wal_verify_begin(wal, group, snapshot);
    if (status == KVR_OK) {
        do {
            status = kvr__wal_verify_step(wal, snapshot);
        } while (status == KVR_AGAIN);
    }
    kvr__wal_verify_end(wal);
    return status;
}

/* The newest one that is as it was written. Those after it wait for the log: if it goes on from
 * here nothing is lost. */
static kvr_status choose_snapshot(recovering *recovery, kvr__wal_group *group)
{
    kvr_wal *wal = recovery->wal;
    while (group->snapshots.count > 0) {
        kvr__wal_snapshot *newest = &group->snapshots.items[group->snapshots.count - 1];
        kvr_status status = verify_all(wal, group, newest);
        if (status == KVR_OK) {
            newest->is_read_back = true;
        }
        if (status != KVR_ECORRUPT) {
            return status;
        }
        status = kvr__array_grow(&wal->mem, KVR__MEM_HANDLE, (void **)&recovery->damaged.items,
                                 &recovery->damaged.capacity, recovery->damaged.count + 1,
                                 sizeof(damaged_snapshot));
        if (status != KVR_OK) {
            return status;
        }
        recovery->damaged.items[recovery->damaged.count++] =
            (damaged_snapshot){group->id, kvr__wal_snapshot_name(wal, group, newest)};
        kvr__wal_snapshot_drop(wal, group, group->snapshots.count - 1);
    }
    return KVR_OK;
}

static kvr_status choose_snapshots(recovering *recovery)
{
    kvr_wal *wal = recovery->wal;
    kvr_status status = KVR_OK;
    for (uint32_t i = 0; i < wal->groups.count && status == KVR_OK; i++) {
        status = choose_snapshot(recovery, wal->groups.items[i]);
    }
    return status;
}

/* ------------------------------------------------------------------ segments */

static kvr_status read_first_head(kvr_wal *wal, kvr__wal_segment *segment,
                                  kvr__wal_segment_head *out_head)
{
    kvr__wal_file file = {.is_open = false};
    kvr_status status =
        kvr__wal_files_open(wal, kvr__wal_name_log(segment->number).text, KVR_FILE_READ, &file);
    uint8_t bytes[KVR__WAL_HEAD_SIZE_MAX];
    size_t size = 0;
    if (status == KVR_OK) {
        status = kvr__wal_files_read(wal, &file, 0, bytes, sizeof bytes, &size);
    }
    kvr__wal_files_close(wal, &file);
    if (status != KVR_OK) {
        return status == KVR_ENOTFOUND ? KVR_EIO : status;
    }
    status = kvr__wal_segment_head_read((kvr_slice){bytes, size}, 0, wal->vote.store_id, out_head);
    if (status == KVR_EVERSION) {
        return kvr__wal_files_report(wal, &(kvr__wal_damage){.status = status,
                                                             .file = file.name.text,
                                                             .what = "a newer format version",
                                                             .remedy = "use a newer release"});
    }
    if (status != KVR_OK || out_head->number != segment->number || out_head->offset != 0) {
        return KVR_END;
    }
    if (out_head->cluster_id == wal->config.cluster_id &&
        out_head->member_id == wal->config.member_id) {
        return KVR_OK;
    }
    kvr__wal_identity theirs = {out_head->cluster_id, out_head->member_id, wal->config.group_id};
    return kvr__wal_files_report_stranger(wal, file.name.text, &theirs);
}

/* Keeps the segments with a valid head, and starts before the first record of the first of them. */
static kvr_status read_heads(recovering *recovery)
{
    kvr_wal *wal = recovery->wal;
    uint32_t kept = 0;
    recovery->next = (kvr__wal_place){.sequence = 1};
    for (uint32_t i = 0; i < wal->segments.count; i++) {
        kvr__wal_segment segment = wal->segments.items[i];
        kvr__wal_segment_head head;
        kvr_status status = read_first_head(wal, &segment, &head);
        if (status == KVR_END) {
            status = add_stranger(recovery, segment.number, segment.size);
        } else if (status == KVR_OK) {
            segment.first_sequence = head.first_sequence;
            wal->segments.items[kept++] = segment;
            if (kept == 1) {
                recovery->next.sequence = head.first_sequence;
                recovery->next.checksum = head.previous_checksum;
                if (!kvr__wal_group_is_many(wal)) {
                    kvr__wal_log_clear(wal->groups.items[0], head.last_index + 1);
                }
            }
        }
        if (status != KVR_OK) {
            return status;
        }
    }
    wal->segments.count = kept;
    wal->sequence = recovery->next.sequence - 1;
    wal->checksum = recovery->next.checksum;
    return KVR_OK;
}

/* What the scan stands before is damage to something that was durable. */
static kvr_status lost_record(recovering *recovery, const kvr__wal_scan *scan, const char *what)
{
    kvr__wal_damage damage = {
        .file = scan->file.name.text,
        .offset = scan->place.offset,
        .what = what,
    };
    if (!kvr__wal_group_is_many(recovery->wal)) {
        damage.first_index = recovery->wal->groups.items[0]->last_index + 1;
    }
    if (scan->bad_count > 0) {
        damage.first_index = scan->bad_first;
        damage.last_index = scan->bad_first + scan->bad_count - 1;
    }
    return lost(recovery, damage);
}

/* Takes entries into the log of their group. */
static kvr_status take_entries(recovering *recovery, const kvr__wal_scan *scan,
                               const kvr__wal_record *record, kvr_slice body)
{
    kvr_wal *wal = recovery->wal;
    kvr__wal_group *group = kvr__wal_group_find(wal, record->group_id);
    if (group == NULL && kvr__wal_group_is_many(wal)) {
        kvr_status status = kvr__wal_group_add(wal, record->group_id, &group);
        if (status != KVR_OK) {
            return status;
        }
    }
    if (group == NULL) {
        return lost_record(recovery, scan, "a record of another group");
    }
    if (group->shares && !group->is_known && record->first_index > 0) {
        kvr__wal_log_clear(group, record->first_index); /* what is before it, is gone */
        group->is_gone = false;
    }
    const char *what = kvr__wal_log_refuses(group, record);
    uint64_t index = record->first_index;
    kvr_status status = what == NULL ? kvr__wal_entries_walk(body, &index) : KVR_ECORRUPT;
    if (status == KVR_ECORRUPT || index - record->first_index != record->entry_count) {
        what = what == NULL ? "a whole record with impossible entries" : what;
        return lost_record(recovery, scan, what);
    }
    if (status == KVR_OK) {
        status = kvr__wal_log_reserve(wal, group);
    }
    if (status == KVR_OK) {
        kvr__wal_place place = recovery->next;
        place.offset = record->offset;
        place.segment_id = record->segment_id;
        kvr__wal_log_apply(group, record, &place);
    }
    return status;
}

/* Takes what a store of many says of its groups. */
static kvr_status take_items(recovering *recovery, const kvr__wal_scan *scan,
                             const kvr__wal_record *record, kvr_slice body)
{
    kvr_wal *wal = recovery->wal;
    const char *what = kvr__wal_group_refuses(wal, body);
    if (!kvr__wal_group_is_many(wal)) {
        what = "a record of a store of many groups";
    } else if (body.size / KVR__WAL_ITEM_SIZE != record->entry_count) {
        what = "a record with more or fewer items than it says";
    }
    if (what != NULL) {
        return lost_record(recovery, scan, what);
    }
    for (size_t at = 0; at < body.size; at += KVR__WAL_ITEM_SIZE) {
        kvr__wal_group_item item;
        kvr__wal_group *group;
        (void)kvr__wal_group_item_read(body.data + at, &item);
        kvr_status status = kvr__wal_group_add(wal, item.group_id, &group);
        if (status != KVR_OK) {
            return status;
        }
    }
    kvr__wal_group_apply(wal, body, recovery->next.number);
    return KVR_OK;
}

/* Takes one valid record. */
static kvr_status take_record(recovering *recovery, const kvr__wal_scan *scan,
                              const kvr__wal_record *record, kvr_slice body)
{
    kvr_wal *wal = recovery->wal;
    kvr_status status = record->kind == KVR__WAL_GROUPS
                            ? take_items(recovery, scan, record, body)
                            : take_entries(recovery, scan, record, body);
    if (status != KVR_OK) {
        return status;
    }
    if (record->sequence == wal->vote.record_sequence &&
        record->checksum != wal->vote.record_checksum) {
        return lost_record(recovery, scan, "another record than the one that was durable");
    }
    /* Records that were flushed together were written together. */
    bool begins = record->durable_sequence + 1 == record->sequence ||
                  recovery->write_number != recovery->next.number;
    recovery->write_begin = begins ? scan->write_begin : recovery->write_begin;
    recovery->write_number = recovery->next.number;
    recovery->write_end = scan->place.offset;
    recovery->record = *record;
    wal->sequence = record->sequence;
    wal->checksum = record->checksum;
    return KVR_OK;
}

/* Reads records of segment `i`, up to the sequence number at which the next one begins. KVR_END:
 * there is no valid record where one must be, or may be. */
static kvr_status read_segment(recovering *recovery, uint32_t i, kvr__wal_scan *scan)
{
    kvr_wal *wal = recovery->wal;
    kvr__wal_segment *segment = &wal->segments.items[i];
    uint64_t limit =
        i + 1 < wal->segments.count ? wal->segments.items[i + 1].first_sequence : UINT64_MAX;
    recovery->next.number = segment->number;
    recovery->next.offset = 0;
    recovery->next.segment_id = 0;
    kvr_status status = kvr__wal_scan_open(scan, wal, &recovery->next, segment->size);
    while (status == KVR_OK && scan->place.sequence < limit) {
        kvr__wal_record record;
        kvr_slice body;
        status = kvr__wal_scan_next(scan, &record, &body);
        if (status == KVR_OK) {
            status = take_record(recovery, scan, &record, body);
        }
        recovery->next = scan->place;
    }
    segment->end = recovery->next.offset;
    if (status == KVR_OK && scan->place.sequence > limit) {
        return lost_record(recovery, scan, "the next segment begins before this one ends");
    }
    return status == KVR_ENOTFOUND ? KVR_EIO : status;
}

/* ------------------------------------------------------------------ the end of the log */

/* A record is missing at the end of all segments. Corruption, or the end? */
static kvr_status judge_end(recovering *recovery, kvr__wal_scan *scan)
{
    kvr_wal *wal = recovery->wal;
    const uint64_t missing = recovery->next.sequence;
    uint64_t vouched = wal->vote.record_sequence;
    kvr_status status = KVR_OK;
    if (scan->contradicts) {
        return lost_record(recovery, scan, scan->why);
    }
    if (scan->file.is_open) {
        status = kvr__wal_scan_vouched(scan, scan->place.offset, &vouched);
    }
    for (uint32_t i = 0; i < recovery->strangers.count && status == KVR_OK; i++) {
        const stranger *other = &recovery->strangers.items[i];
        if (wal->segments.count > 0 && other->number < recovery->next.number) {
            continue;
        }
        kvr__wal_scan beyond;
        kvr__wal_place place = {.number = other->number};
        status = kvr__wal_scan_open(&beyond, wal, &place, other->size);
        if (status == KVR_OK) {
            status = kvr__wal_scan_vouched(&beyond, 0, &vouched);
        }
        kvr__wal_scan_close(&beyond);
    }
    if (status == KVR_OK && vouched >= missing) {
        return lost_record(recovery, scan, scan->why[0] == '\0' ? "no segment" : scan->why);
    }
    return status;
}

static kvr_status read_log(recovering *recovery)
{
    kvr_wal *wal = recovery->wal;
    kvr__wal_scan scan = {.wal = wal, .why = ""};
    kvr_status status = read_heads(recovery);
    const uint32_t count = wal->segments.count;
    for (uint32_t i = 0; i < count && status == KVR_OK; i++) {
        kvr__wal_scan_close(&scan);
        status = read_segment(recovery, i, &scan);
        if (status == KVR_END && i + 1 < count) {
            status = lost_record(recovery, &scan, scan.why);
        }
    }
    KVR_ASSERT(status != KVR_OK || count == 0);
    if (status == KVR_END || status == KVR_OK) {
        status = judge_end(recovery, &scan);
    }
    kvr__wal_scan_close(&scan);
    return status;
}

/* ------------------------------------------------------------------ log and snapshot together */

static kvr_status gap(recovering *recovery, const kvr__wal_group *group, uint64_t from, uint64_t to,
                      const char *what)
{
    kvr__wal_name file = {.text = ""};
    for (uint32_t i = 0; i < recovery->damaged.count && file.text[0] == '\0'; i++) {
        if (recovery->damaged.items[i].group_id == group->id) {
            file = recovery->damaged.items[i].name;
        }
    }
    return lost(
        recovery,
        (kvr__wal_damage){.file = file.text, .first_index = from, .last_index = to, .what = what});
}

/* A snapshot that is gone had made room; what it stood for must come from the log. The next record
 * says so. */
static void keep_all(kvr__wal_group *group)
{
    group->first_index = group->oldest_index;
    group->durable_first = group->oldest_index;
}

static kvr_status join_without_snapshot(recovering *recovery, kvr__wal_group *group)
{
    uint64_t oldest = group->oldest_index;
    if (group->told_snapshot > 0 && oldest > 1) {
        return gap(recovery, group, 1, oldest - 1, "the snapshot is damaged or gone");
    }
    if (group->told_snapshot > 0) {
        keep_all(group);
    }
    return KVR_OK;
}

/* Raft 7: the log goes on behind the snapshot if it reaches it and agrees with it (host.h,
 * LOAD). */
static kvr_status join_snapshot(recovering *recovery, kvr__wal_group *group,
                                const kvr__wal_snapshot *snapshot)
{
    kvr_wal *wal = recovery->wal;
    uint64_t index = snapshot->index;
    if (group->oldest_index > index + 1) {
        return gap(recovery, group, index + 1, group->oldest_index - 1,
                   "the log does not reach back to the snapshot");
    }
    if (group->first_index > index + 1) {
        keep_all(group);
    }
    bool agrees = group->last_index >= index;
    if (agrees && index >= group->oldest_index) {
        uint64_t first_index = group->first_index, term;
        group->first_index = group->oldest_index;
        kvr_status status = kvr__wal_read_term(wal, group, index, &term);
        if (status != KVR_OK) {
            return status == KVR_ECORRUPT
                       ? gap(recovery, group, index, index, "an entry changed while it was read")
                       : status;
        }
        group->first_index = first_index;
        agrees = term == snapshot->term;
    }
    if (!agrees) {
        kvr__wal_log_clear(group, index + 1);
        group->reset_due = true;
    }
    return KVR_OK;
}

static kvr_status join_group(recovering *recovery, kvr__wal_group *group)
{
    if (group->durable_first > 0) {
        group->first_index = group->durable_first;
    }
    if (group->shares) {
        group->oldest_index = kvr__wal_log_whole_from(group);
    }
    if (group->oldest_index > group->first_index) {
        return gap(recovery, group, group->first_index, group->oldest_index - 1,
                   "segments of the log are damaged or gone");
    }
    const kvr__wal_snapshot *newest = kvr__wal_snapshot_newest(group);
    return newest == NULL ? join_without_snapshot(recovery, group)
                          : join_snapshot(recovery, group, newest);
}

/* A store of many: a group that the log does not name has no files but those that a crash left of
 * one that is gone, or of a snapshot that was never whole. */
static bool is_stranger(const kvr__wal_group *group)
{
    return group->shares && !group->is_known;
}

static kvr_status join_logs(recovering *recovery)
{
    kvr_wal *wal = recovery->wal;
    if (recovery->record.vote_sequence > wal->vote.sequence) {
        return lost(recovery, (kvr__wal_damage){
                                  .file = KVR__WAL_VOTE_NAME,
                                  .offset = recovery->record.vote_sequence % 2 * KVR__WAL_SLOT_SIZE,
                                  .what = "the newest slot, which was durable, is damaged"});
    }
    kvr_status status = KVR_OK;
    for (uint32_t i = 0; i < wal->groups.count && status == KVR_OK; i++) {
        kvr__wal_group *group = wal->groups.items[i];
        if (!is_stranger(group)) {
            status = join_group(recovery, group);
        } else if (!group->is_gone && group->snapshots.count > 0) {
            kvr__wal_name name = kvr__wal_snapshot_name(wal, group, &group->snapshots.items[0]);
            status =
                lost(recovery,
                     (kvr__wal_damage){.file = name.text,
                                       .what = "a snapshot of a group that the log does not name"});
        }
    }
    return status;
}

/* --------------------------------------------------------------- what was found becomes durable */

/* The last write may have reached the page cache and not the disk. It is written once more, the
 * same bytes to the same place, because a flush alone may call pages clean that an earlier, failed
 * flush has dropped. */
static kvr_status settle_last_write(recovering *recovery)
{
    kvr_wal *wal = recovery->wal;
    if (recovery->record.sequence <= wal->vote.record_sequence) {
        return KVR_OK;
    }
    kvr__wal_file file = {.is_open = false};
    kvr_status status = kvr__wal_files_open(wal, kvr__wal_name_log(recovery->write_number).text,
                                            KVR_FILE_READ | KVR_FILE_WRITE, &file);
    for (uint64_t at = recovery->write_begin; at < recovery->write_end && status == KVR_OK;) {
        uint64_t left = recovery->write_end - at;
        size_t want = left < wal->read_capacity ? (size_t)left : wal->read_capacity, size;
        status = kvr__wal_files_read(wal, &file, at, wal->read_buffer, want, &size);
        if (status == KVR_OK && size == 0) {
            status = lost(recovery, (kvr__wal_damage){.file = file.name.text,
                                                      .offset = at,
                                                      .what = "a file that becomes shorter"});
        }
        if (status == KVR_OK) {
            status = kvr__wal_files_write(wal, &file, (kvr_slice){wal->read_buffer, size}, at);
            at += size;
        }
    }
    if (status == KVR_OK) {
        status = kvr__wal_files_flush(wal, &file);
    }
    kvr__wal_files_close(wal, &file);
    return status;
}

/* What was being written of a group's snapshots, and all that stands of one that is no more. */
static kvr_status remove_files_of(kvr_wal *wal, const kvr__wal_group *group)
{
    kvr_status status = KVR_OK;
    for (uint32_t i = 0; i < 2 && status == KVR_OK; i++) {
        status = kvr__wal_files_unlink(wal, kvr__wal_snapshot_part_name(wal, group, i).text);
    }
    for (uint32_t i = 0; is_stranger(group) && i < group->snapshots.count && status == KVR_OK;
         i++) {
        kvr__wal_name name = kvr__wal_snapshot_name(wal, group, &group->snapshots.items[i]);
        status = kvr__wal_files_unlink(wal, name.text);
    }
    return status;
}

/* Files that mean nothing any more. A later open finds and removes what this one does not reach. */
static kvr_status remove_orphans(recovering *recovery)
{
    kvr_wal *wal = recovery->wal;
    kvr_status status = kvr__wal_files_unlink(wal, KVR__WAL_VOTE_PART);
    for (uint32_t i = 0; i < wal->groups.count && status == KVR_OK; i++) {
        status = remove_files_of(wal, wal->groups.items[i]);
    }
    for (uint32_t i = 0; i < recovery->damaged.count && status == KVR_OK; i++) {
        status = kvr__wal_files_unlink(wal, recovery->damaged.items[i].name.text);
    }
    for (uint32_t i = 0; i < recovery->strangers.count && status == KVR_OK; i++) {
        const stranger *other = &recovery->strangers.items[i];
        status = kvr__wal_files_unlink(wal, kvr__wal_name_log(other->number).text);
    }
    return status == KVR_OK ? kvr__wal_files_flush_names(wal) : status;
}

static void drop_strangers(kvr_wal *wal)
{
    for (uint32_t i = wal->groups.count; i > 0; i--) {
        if (is_stranger(wal->groups.items[i - 1])) {
            kvr__wal_group_drop(wal, wal->groups.items[i - 1]);
        }
    }
}

static kvr_status settle(recovering *recovery)
{
    kvr_wal *wal = recovery->wal;
    wal->head_due = true;
    const kvr__wal_record *last = &recovery->record;
    bool is_mark =
        last->kind == KVR__WAL_MARK || (last->kind == KVR__WAL_GROUPS && last->entry_count == 0);
    wal->unvouched = last->sequence == 0 ? wal->vote.sequence > 1
                                         : !is_mark || last->vote_sequence < wal->vote.sequence;
    if ((wal->config.flags & KVR_WAL_READ_ONLY) != 0) {
        return KVR_OK;
    }
    kvr_status status = settle_last_write(recovery);
    if (status == KVR_OK) {
        status = kvr__wal_vote_settle(wal, recovery->record.vote_sequence);
    }
    return status == KVR_OK ? remove_orphans(recovery) : status;
}

/* ------------------------------------------------------------------ open */

static kvr_status begin_store(recovering *recovery)
{
    kvr_wal *wal = recovery->wal;
    bool has_snapshot = false;
    for (uint32_t i = 0; i < wal->groups.count; i++) {
        has_snapshot = has_snapshot || wal->groups.items[i]->snapshots.count > 0;
    }
    if (wal->segments.count > 0 || has_snapshot) {
        return lost(recovery, (kvr__wal_damage){.file = KVR__WAL_VOTE_NAME,
                                                .what = "the file of term and vote is gone"});
    }
    if ((wal->config.flags & KVR_WAL_CREATE) == 0 || (wal->config.flags & KVR_WAL_READ_ONLY) != 0) {
        return kvr__wal_files_report(wal,
                                     &(kvr__wal_damage){.status = KVR_ENOTFOUND,
                                                        .file = "",
                                                        .what = "the directory holds no store",
                                                        .remedy = "name the right directory, or "
                                                                  "allow a new store to be made"});
    }
    kvr_status status = kvr__wal_vote_create(wal);
    wal->head_due = true;
    return status == KVR_OK ? remove_orphans(recovery) : status;
}

static kvr_status recover(recovering *recovery)
{
    kvr_wal *wal = recovery->wal;
    kvr_status status = list_files(recovery);
    if (status == KVR_OK) {
        status = kvr__wal_vote_load(wal);
        if (status == KVR_ENOTFOUND) {
            return begin_store(recovery);
        }
    }
    if (status == KVR_OK) {
        status = choose_snapshots(recovery);
    }
    if (status == KVR_OK) {
        status = read_log(recovery);
    }
    if (status == KVR_OK) {
        status = join_logs(recovery);
    }
    if (status == KVR_OK) {
        status = settle(recovery);
    }
    drop_strangers(wal);
    return status;
}

kvr_status kvr__wal_recover(kvr_wal *wal)
{
    recovering recovery = {.wal = wal};
    kvr_status status = recover(&recovery);
    kvr__array_free(&wal->mem, KVR__MEM_HANDLE, (void **)&recovery.strangers.items,
                    &recovery.strangers.capacity, sizeof(stranger));
    kvr__array_free(&wal->mem, KVR__MEM_HANDLE, (void **)&recovery.damaged.items,
                    &recovery.damaged.capacity, sizeof(damaged_snapshot));
    return status;
}
