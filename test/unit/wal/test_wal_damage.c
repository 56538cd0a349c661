/* SPDX-License-Identifier: Apache-2.0 */
/* test_wal_damage.c: bytes that rot after they were durable. Each must be noticed, or not matter:
 * an open that succeeds holds exactly what was answered (W6, W7). */
#include <criterion/criterion.h>

#include "base/checksum.h"
#include "base/codec.h"
#include "wal/wal_format.h"
#include "wal_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static wal_world world; /* whole */
static wal_world other; /* with the damage */

enum { SECTOR = 512 };

static void setup(void)
{
    wal_world_init(&world);
    wal_world_init(&other);
}

static void teardown(void)
{
    wal_world_release(&other);
    wal_world_release(&world);
}

TestSuite(wal_damage, .init = setup, .fini = teardown);

/* Three segments, a replaced suffix, a snapshot without which the log does not begin, two votes. */
static void small_store(void)
{
    wal_world_open(&world);
    cr_assert_eq(wal_world_vote(&world, 1, 1), KVR_OK);
    for (uint32_t i = 0; i < 18; i++) {
        wal_world_grow(&world, 3, 1);
    }
    cr_assert_eq(wal_world_snapshot(&world, 31, KVR_SNAPSHOT_LOCAL, 4096), KVR_OK);
    cr_assert_eq(wal_world_discard(&world, 29, false), KVR_OK);
    wal_world_maintain(&world);
    cr_assert_eq(wal_world_vote(&world, 2, 3), KVR_OK);
    cr_assert_eq(wal_world_append(&world, 53, 4, 2), KVR_OK);
    wal_world_grow(&world, 6, 2);
}

static void closed_store(void)
{
    small_store();
    wal_world_close(&world);
}

/* A copy of the store with one file replaced by `data`. */
static void damage(const char *name, const uint8_t *data, size_t size)
{
    wal_disk *disk = wal_disk_copy(world.disk);
    wal_disk_put(disk, name, data, size);
    wal_world_use(&other, disk);
}

/* Opens it: noticed (true), or nothing is missing. */
static bool is_noticed(const char *name, size_t at)
{
    kvr_status status = wal_world_try_open(&other);
    bool noticed = status != KVR_OK;
    if (noticed) {
        cr_assert(status == KVR_FCORRUPT || status == KVR_EVERSION || status == KVR_EMISMATCH,
                  "%s at %zu: %s", name, at, kvr_status_name(status));
        cr_assert_neq(kvr_wal_error(other.wal)[0], '\0');
    } else {
        const char *what = wal_world_differs(&other, &world.model);
        cr_assert_null(what, "%s at %zu: not noticed: %s", name, at, what);
    }
    wal_world_kill(&other);
    return noticed;
}

/* FAULTS 76, 77: the whole store, byte by byte. */
Test(wal_damage, every_flipped_byte_is_noticed_or_does_not_matter)
{
    closed_store();
    size_t noticed = 0, flips = 0;
    for (size_t i = 0; wal_disk_name(world.disk, i) != NULL; i++) {
        char name[64];
        (void)snprintf(name, sizeof name, "%s", wal_disk_name(world.disk, i));
        size_t size;
        uint8_t *bytes = wal_disk_bytes(world.disk, name, &size);
        for (size_t at = 0; at < size; at++) {
            uint8_t bit = (uint8_t)(1U << (at % 8));
            bytes[at] ^= bit;
            damage(name, bytes, size);
            noticed += is_noticed(name, at);
            flips++;
            bytes[at] ^= bit;
        }
    }
    (void)fprintf(stderr, "%zu of %zu flipped bytes refused, the others did not matter\n", noticed,
                  flips);
    cr_assert_gt(noticed, 2000);
}

/* The same for whole sectors: zeroed (FAULTS 76), exchanged (84), replaced by what stood there
 * before. */
Test(wal_damage, every_wrong_sector_is_noticed_or_does_not_matter)
{
    small_store();
    wal_disk *older = wal_disk_copy(world.disk);
    wal_world_grow(&world, 2, 2);
    cr_assert_eq(wal_world_vote(&world, 3, 2), KVR_OK);
    wal_world_close(&world);
    for (size_t i = 0; wal_disk_name(world.disk, i) != NULL; i++) {
        char name[64];
        (void)snprintf(name, sizeof name, "%s", wal_disk_name(world.disk, i));
        size_t size, older_size = 0;
        const uint8_t *bytes = wal_disk_bytes(world.disk, name, &size);
        const uint8_t *old = wal_disk_bytes(older, name, &older_size);
        uint8_t *wrong = malloc(size + 1);
        cr_assert_not_null(wrong);
        for (size_t at = 0; at < size; at += SECTOR) {
            size_t length = size - at < SECTOR ? size - at : SECTOR;
            memcpy(wrong, bytes, size);
            memset(wrong + at, 0, length);
            damage(name, wrong, size);
            (void)is_noticed(name, at);
            for (size_t from = 0; from + SECTOR <= size && at + SECTOR <= size; from += SECTOR) {
                memcpy(wrong, bytes, size);
                memcpy(wrong + at, bytes + from, SECTOR);
                memcpy(wrong + from, bytes + at, SECTOR);
                damage(name, wrong, size);
                (void)is_noticed(name, at);
            }
            if (old != NULL && at + length <= older_size) {
                memcpy(wrong, bytes, size);
                memcpy(wrong + at, old + at, length);
                damage(name, wrong, size);
                (void)is_noticed(name, at);
            }
        }
        free(wrong);
    }
    wal_disk_free(older);
}

/* A file that is gone, empty, or shorter than it was. */
Test(wal_damage, every_missing_file_is_noticed)
{
    closed_store();
    size_t refused = 0, ready = wal_world_file(&world, "ready-", false) != NULL;
    for (size_t i = 0; wal_disk_name(world.disk, i) != NULL; i++) {
        char name[64];
        (void)snprintf(name, sizeof name, "%s", wal_disk_name(world.disk, i));
        size_t size;
        const uint8_t *bytes = wal_disk_bytes(world.disk, name, &size);
        wal_disk *disk = wal_disk_copy(world.disk);
        wal_disk_remove(disk, name);
        wal_world_use(&other, disk);
        refused += is_noticed(name, 0);
        for (size_t left = 0; left < size; left += 97) {
            damage(name, bytes, left);
            (void)is_noticed(name, left);
        }
    }
    cr_assert_eq(refused, wal_disk_file_count(world.disk) - ready);
}

/* The window that man 5 describes: until the next record, mark or vote, the last batch alone can be
 * taken for a torn tail. Everything before it is vouched for at once. */
Test(wal_damage, without_a_mark_only_the_last_batch_can_be_lost)
{
    small_store();
    for (uint32_t i = 0; i < 20; i++) {
        wal_world_grow(&world, 3, 2); /* segments that no vote names */
    }
    uint64_t last = world.model.last;
    wal_world_kill(&world);
    for (size_t i = 0; wal_disk_name(world.disk, i) != NULL; i++) {
        char name[64];
        (void)snprintf(name, sizeof name, "%s", wal_disk_name(world.disk, i));
        size_t size;
        uint8_t *bytes = wal_disk_bytes(world.disk, name, &size);
        for (size_t at = 0; at < size && name[0] == 'w'; at += 3) {
            bytes[at] ^= 1;
            damage(name, bytes, size);
            bytes[at] ^= 1;
            if (wal_world_try_open(&other) == KVR_OK) {
                kvr_store_result result;
                (void)wal_world_ask(&other, &(kvr_store_request){.kind = KVR_STORE_LOAD}, &result);
                cr_assert_geq(result.last_index, last - 3, "%s at %zu", name, at);
            }
            wal_world_kill(&other);
        }
    }
}

static void expect_refusal(kvr_status status, const char *word)
{
    kvr_status got = wal_world_try_open(&other);
    cr_assert_eq(got, status, "%s", kvr_status_name(got));
    cr_assert_not_null(strstr(kvr_wal_error(other.wal), word), "\"%s\" does not say \"%s\"",
                       kvr_wal_error(other.wal), word);
    kvr_wal_failure failure = {.size = sizeof failure};
    kvr_wal_get_failure(other.wal, &failure);
    cr_assert_eq(failure.status, status);
    cr_assert_neq(failure.remedy[0], '\0');
    wal_world_kill(&other);
}

/* FAULTS 77: file, offset, entries and remedy are named, and nothing is changed. */
Test(wal_damage, corruption_names_its_place)
{
    closed_store();
    const char *name = wal_world_file(&world, "wal-", true);
    size_t size;
    uint8_t *bytes = wal_disk_bytes(world.disk, name, &size);
    size_t at = 0;
    kvr__wal_record record;
    while (kvr__wal_record_read((kvr_slice){bytes + at, size - at}, wal_world_store_id(&world),
                                &record) != KVR_OK ||
           record.entry_count == 0) {
        at += KVR__WAL_ALIGN;
    }
    bytes[at + KVR__WAL_HEAD_SIZE + 3] ^= 0x10;
    damage(name, bytes, size);
    uint64_t before = wal_disk_hash(other.disk);
    cr_assert_eq(wal_world_try_open(&other), KVR_FCORRUPT);
    kvr_wal_failure failure = {.size = sizeof failure};
    kvr_wal_get_failure(other.wal, &failure);
    cr_assert_str_eq(failure.file, name);
    cr_assert_eq(failure.offset, at);
    cr_assert_eq(failure.first_index, record.first_index);
    cr_assert_not_null(strstr(failure.text, "damaged entries"));
    cr_assert_not_null(strstr(failure.text, "let a new one"));
    cr_assert_eq(wal_disk_hash(other.disk), before, "a refused store was changed");
    cr_assert_eq(wal_disk_calls(other.disk), 0);
}

/* The end of the log in a segment, and its last record. */
static size_t end_of_log(const uint8_t *bytes, size_t size, kvr__wal_record *out_last)
{
    size_t end = 0;
    for (size_t at = 0; at + KVR__WAL_HEAD_SIZE <= size; at += KVR__WAL_ALIGN) {
        kvr__wal_record record;
        if (kvr__wal_record_read((kvr_slice){bytes + at, size - at}, wal_world_store_id(&world),
                                 &record) == KVR_OK &&
            record.offset == at) {
            *out_last = record;
            end = at + KVR__WAL_HEAD_SIZE + (size_t)kvr__wal_padded(record.body_size);
        }
    }
    return end;
}

/* FAULTS 84: a whole record, copied to where the next one will be expected. */
Test(wal_damage, a_valid_record_in_another_place_is_none)
{
    small_store();
    wal_world_kill(&world);
    const char *name = wal_world_file(&world, "wal-", true);
    size_t size;
    uint8_t *bytes = wal_disk_bytes(world.disk, name, &size);
    kvr__wal_record last = {.offset = 0};
    const size_t end = end_of_log(bytes, size, &last);
    const size_t begin = (size_t)last.offset;
    uint8_t *moved = malloc(size + (end - begin));
    cr_assert_not_null(moved);
    memset(moved, 0, size + (end - begin));
    memcpy(moved, bytes, end);
    memcpy(moved + end, bytes + begin, end - begin);
    damage(name, moved, end + (end - begin));
    wal_world_open(&other);
    const char *what = wal_world_differs(&other, &world.model);
    cr_assert_null(what, "%s", what);
    free(moved);
}

/* W7, FAULTS 84: the last record, whole and under a right checksum, but with another id, offset,
 * sequence number, predecessor, group or member: each of these alone is enough. */
Test(wal_damage, each_tie_to_a_place_is_checked)
{
    small_store();
    uint64_t last = world.model.last;
    wal_world_kill(&world);
    char name[64];
    (void)snprintf(name, sizeof name, "%s", wal_world_file(&world, "wal-", true));
    size_t size, at = 0;
    uint64_t newest = 0;
    uint8_t *bytes = wal_disk_bytes(world.disk, name, &size);
    for (size_t i = 0; i + KVR__WAL_HEAD_SIZE <= size; i += KVR__WAL_ALIGN) {
        kvr__wal_record record;
        if (kvr__wal_record_read((kvr_slice){bytes + i, size - i}, wal_world_store_id(&world),
                                 &record) == KVR_OK &&
            record.offset == i && record.sequence > newest) {
            at = i;
            newest = record.sequence;
        }
    }
    const size_t fields[] = {24, 32, 40, 48, 64, 72};
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        uint8_t *field = bytes + at + fields[i];
        kvr__store_u64(field, kvr__load_u64(field) + 8);
        kvr__store_u64(bytes + at + 120,
                       kvr__xxh3_64_seed(bytes + at, 120, wal_world_store_id(&world)));
        damage(name, bytes, size);
        if (wal_world_try_open(&other) == KVR_OK) {
            kvr_store_result result;
            (void)wal_world_ask(&other, &(kvr_store_request){.kind = KVR_STORE_LOAD}, &result);
            cr_assert_lt(result.last_index, last, "field at %zu", fields[i]);
        }
        wal_world_kill(&other);
        kvr__store_u64(field, kvr__load_u64(field) - 8);
        kvr__store_u64(bytes + at + 120,
                       kvr__xxh3_64_seed(bytes + at, 120, wal_world_store_id(&world)));
    }
    damage(name, bytes, size);
    cr_assert_eq(is_noticed(name, at), false, "as it was");
}

/* A head as somebody would write it into a value who knows all but the store id. */
static void write_forged(uint8_t *head, uint32_t kind, size_t offset, const kvr__wal_record *last)
{
    kvr__wal_segment_head segment = {.number = 1,
                                     .offset = offset,
                                     .id = 5,
                                     .cluster_id = CLUSTER,
                                     .member_id = MEMBER,
                                     .first_sequence = last->sequence + 1};
    kvr__wal_record record = *last;
    record.offset = offset;
    record.sequence = last->sequence + 1000;
    record.durable_sequence = last->sequence + 999;
    if (kind < 2) {
        kvr__wal_segment_head_write(head, &segment, CLUSTER);
        head[6] = kind == 0 ? 2 : 1; /* of a newer version; with another predecessor */
    } else {
        kvr__wal_record_write(head, &record, CLUSTER);
        head[7] = kind == 2 ? 200 : KVR__WAL_MARK; /* of a newer kind; that vouches */
    }
}

/* Behind the log a file that is used again holds old entries, and so whatever a client once wrote.
 * None of it is taken for a head: the member starts, with all that it had. */
Test(wal_damage, what_a_client_wrote_is_no_head)
{
    small_store();
    wal_world_kill(&world);
    const char *name = wal_world_file(&world, "wal-", true);
    size_t size;
    const uint8_t *bytes = wal_disk_bytes(world.disk, name, &size);
    kvr__wal_record last = {.sequence = 0};
    const size_t end = end_of_log(bytes, size, &last);
    cr_assert_gt(end, 0);
    uint8_t *chosen = calloc(1, end + 8 * (size_t)KVR__WAL_HEAD_SIZE);
    cr_assert_not_null(chosen);
    memcpy(chosen, bytes, end);
    const uint64_t seeds[] = {0, CLUSTER};
    for (uint32_t kind = 0; kind < 4; kind++) {
        for (size_t s = 0; s < sizeof seeds / sizeof seeds[0]; s++) {
            for (size_t at = end; at < end + 8 * (size_t)KVR__WAL_HEAD_SIZE;
                 at += KVR__WAL_HEAD_SIZE) {
                write_forged(chosen + at, kind, at, &last);
                kvr__store_u64(chosen + at + 120, kvr__xxh3_64_seed(chosen + at, 120, seeds[s]));
            }
            damage(name, chosen, end + 8 * (size_t)KVR__WAL_HEAD_SIZE);
            wal_world_open(&other);
            const char *what = wal_world_differs(&other, &world.model);
            cr_assert_null(what, "kind %u, seed %zu: %s", kind, s, what);
            wal_world_kill(&other);
        }
    }
    free(chosen);
}

/* Of another cluster, member or group: refused with both names, nothing changed. */
Test(wal_damage, a_strangers_store_is_refused)
{
    closed_store();
    for (uint32_t i = 0; i < 3; i++) {
        wal_world_use(&other, wal_disk_copy(world.disk));
        other.config.cluster_id = i == 0 ? 99 : CLUSTER;
        other.config.member_id = i == 1 ? 99 : MEMBER;
        other.config.group_id = i == 2 ? 99 : GROUP;
        uint64_t before = wal_disk_hash(other.disk);
        expect_refusal(KVR_EMISMATCH, "99");
        cr_assert_eq(wal_disk_hash(other.disk), before);
    }
}

/* Segments of another member, put beside our vote file. */
Test(wal_damage, a_strangers_segment_is_refused)
{
    other.config.member_id = 8;
    wal_world_open(&other);
    wal_world_grow(&other, 3, 1);
    wal_world_close(&other);
    size_t size;
    const uint8_t *theirs =
        wal_disk_bytes(other.disk, wal_world_file(&other, "wal-", false), &size);
    uint8_t *stolen = malloc(size);
    cr_assert_not_null(stolen);
    memcpy(stolen, theirs, size);
    wal_world_open(&world);
    wal_world_grow(&world, 3, 1);
    wal_world_close(&world);
    damage(wal_world_file(&world, "wal-", false), stolen, size);
    other.config.member_id = MEMBER;
    expect_refusal(KVR_EMISMATCH, "member 8");
    free(stolen);
}

/* A vote that was acknowledged, and its slot, all of it, is older or gone: not to be forgotten. */
Test(wal_damage, a_vote_that_a_record_vouches_for_is_not_forgotten)
{
    small_store();
    wal_disk *older = wal_disk_copy(world.disk);
    cr_assert_eq(wal_world_vote(&world, 7, 2), KVR_OK);
    wal_world_grow(&world, 1, 7);
    wal_world_kill(&world);
    size_t size, older_size;
    const uint8_t *bytes = wal_disk_bytes(world.disk, "vote", &size);
    const uint8_t *old = wal_disk_bytes(older, "vote", &older_size);
    cr_assert_eq(size, KVR__WAL_VOTE_FILE_SIZE);
    cr_assert_eq(older_size, size);
    uint8_t wrong[KVR__WAL_VOTE_FILE_SIZE];
    for (uint32_t slot = 0; slot < 2; slot++) {
        memcpy(wrong, bytes, size);
        memset(wrong + (size_t)slot * KVR__WAL_SLOT_SIZE, 0, KVR__WAL_SLOT_SIZE);
        damage("vote", wrong, size);
        (void)is_noticed("vote", slot);
    }
    damage("vote", old, size);
    cr_assert(is_noticed("vote", 0), "the file as it was before");
    wal_disk_free(older);
}

/* Makes a head's version 2 and its checksum right again. */
static void make_newer(uint8_t *head, uint64_t seed)
{
    head[6] = 2;
    kvr__store_u64(head + KVR__WAL_HEAD_SIZE - 8,
                   kvr__xxh3_64_seed(head, KVR__WAL_HEAD_SIZE - 8, seed));
}

Test(wal_damage, a_newer_format_is_named_not_guessed)
{
    closed_store();
    const char *names[] = {"vote", wal_world_file(&world, "wal-", false),
                           wal_world_file(&world, "snapshot-", false)};
    for (size_t i = 0; i < 3; i++) {
        size_t size;
        uint8_t *bytes = wal_disk_bytes(world.disk, names[i], &size);
        uint8_t *newer = malloc(size);
        cr_assert_not_null(newer);
        memcpy(newer, bytes, size);
        make_newer(newer, 0);
        if (i == 0) {
            make_newer(newer + KVR__WAL_SLOT_SIZE, 0);
        }
        damage(names[i], newer, size);
        uint64_t before = wal_disk_hash(other.disk);
        expect_refusal(KVR_EVERSION, "newer format version");
        cr_assert_eq(wal_disk_hash(other.disk), before);
        free(newer);
    }
}

/* Puts impossible numbers into each field of the head at `at`, under a right checksum, and opens
 * that. What a forger wrote may be believed; it must not crash, hang, or take memory without
 * bound. */
static void forge(const char *name, size_t at, uint64_t seed)
{
    size_t size;
    const uint8_t *bytes = wal_disk_bytes(world.disk, name, &size);
    uint8_t *wrong = malloc(size);
    cr_assert_not_null(wrong);
    const uint64_t values[] = {
        0, 1, 7, 1000, 1U << 20, UINT32_MAX, UINT64_MAX / 2, UINT64_MAX, UINT64_MAX - 7};
    for (size_t field = 4; field + 8 <= KVR__WAL_HEAD_SIZE - 8; field += 4) {
        for (size_t v = 0; v < sizeof values / sizeof values[0]; v++) {
            memcpy(wrong, bytes, size);
            uint8_t *head = wrong + at;
            kvr__store_u64(head + field, values[v]);
            kvr__store_u64(head + 120, kvr__xxh3_64_seed(head, 120, seed));
            damage(name, wrong, size);
            if (wal_world_try_open(&other) == KVR_OK) {
                (void)wal_world_differs(&other, &world.model);
                (void)wal_world_append(&other, 1, 1, 1);
                (void)wal_world_vote(&other, UINT64_MAX, 1);
                (void)kvr_wal_has_unvouched(other.wal);
            }
            wal_world_kill(&other);
            other.history_count = 1;
        }
    }
    free(wrong);
}

/* FAULTS 79, 80: huge lengths and counts, indices that jump, wrap or repeat, in every kind of
 * head. */
Test(wal_damage, impossible_fields_under_a_right_checksum_are_survived)
{
    closed_store();
    other.alloc.bytes_max = 1 << 21;
    char first[64], last[64], snapshot[64];
    (void)snprintf(first, sizeof first, "%s", wal_world_file(&world, "wal-", false));
    (void)snprintf(last, sizeof last, "%s", wal_world_file(&world, "wal-", true));
    (void)snprintf(snapshot, sizeof snapshot, "%s", wal_world_file(&world, "snapshot-", true));
    size_t size;
    (void)wal_disk_bytes(world.disk, snapshot, &size);
    forge(first, 0, 0);
    forge(first, KVR__WAL_HEAD_SIZE, wal_world_store_id(&world));
    forge(last, 0, 0);
    forge(last, KVR__WAL_HEAD_SIZE, wal_world_store_id(&world));
    forge("vote", 0, 0);
    forge("vote", KVR__WAL_SLOT_SIZE, 0);
    forge(snapshot, 0, 0);
    forge(snapshot, size - KVR__WAL_HEAD_SIZE, 0);
}

/* Names that hold numbers which cannot be ours. */
Test(wal_damage, files_with_absurd_names_are_not_ours)
{
    closed_store();
    const char *names[] = {"wal-ffffffffffffffff.log",
                           "ready-ffffffffffffffff.log",
                           "snapshot-ffffffffffffffff-0000000000000001",
                           "wal-1.log",
                           "wal-000000000000000G.log",
                           "snapshot-0000000000000001",
                           "vote.old"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        wal_disk_put(world.disk, names[i], (const uint8_t *)"KVRS", 4);
    }
    wal_world_open(&world);
    wal_world_check(&world);
    wal_world_grow(&world, 30, 2);
    wal_world_check(&world);
}

/* FAULTS 63: the newest snapshot is damaged, the one before and its log are still there. */
Test(wal_damage, a_damaged_snapshot_falls_back_to_the_one_before)
{
    wal_world_open(&world);
    wal_world_grow(&world, 10, 1);
    cr_assert_eq(wal_world_snapshot(&world, 6, KVR_SNAPSHOT_LOCAL, 9999), KVR_OK);
    cr_assert_eq(wal_world_discard(&world, 5, false), KVR_OK);
    wal_world_maintain(&world);
    wal_model kept = world.model;
    cr_assert_eq(wal_world_snapshot(&world, 10, KVR_SNAPSHOT_LOCAL, 9999), KVR_OK);
    cr_assert_eq(wal_world_discard(&world, 11, false), KVR_OK);
    kept.first = 11;
    wal_world_kill(&world);
    size_t size;
    const char *name = wal_world_file(&world, "snapshot-", true);
    uint8_t *bytes = wal_disk_bytes(world.disk, name, &size);
    bytes[200] ^= 1;
    wal_world_open(&world);
    world.model = kept;
    wal_world_check(&world);
    cr_assert_null(wal_disk_bytes(world.disk, name, &size), "the damaged snapshot stays");
}

/* FAULTS 63: the same when a record has already said that the log begins behind the newer one. */
Test(wal_damage, a_record_of_the_discard_does_not_stop_the_fall_back)
{
    wal_world_open(&world);
    wal_world_grow(&world, 10, 1);
    cr_assert_eq(wal_world_snapshot(&world, 6, KVR_SNAPSHOT_LOCAL, 9999), KVR_OK);
    cr_assert_eq(wal_world_discard(&world, 5, false), KVR_OK);
    wal_world_maintain(&world);
    cr_assert_eq(wal_world_snapshot(&world, 10, KVR_SNAPSHOT_LOCAL, 9999), KVR_OK);
    cr_assert_eq(wal_world_discard(&world, 11, false), KVR_OK);
    wal_world_grow(&world, 2, 1);
    wal_model kept = world.model;
    kept.snapshot_index = 6;
    wal_world_kill(&world);
    size_t size;
    const char *name = wal_world_file(&world, "snapshot-", true);
    uint8_t *bytes = wal_disk_bytes(world.disk, name, &size);
    bytes[200] ^= 1;

    wal_world_open(&world);

    world.model = kept;
    wal_world_check(&world);
    wal_world_grow(&world, 2, 1);
    wal_world_check(&world);
}

/* FAULTS 63: without one before, but with a log that was not shortened yet: all of it counts,
 * though a record has already said that it begins behind the snapshot. */
Test(wal_damage, the_only_snapshot_damaged_leaves_the_log_to_its_first_entry)
{
    wal_world_open(&world);
    wal_world_grow(&world, 10, 1);
    cr_assert_eq(wal_world_snapshot(&world, 6, KVR_SNAPSHOT_LOCAL, 9999), KVR_OK);
    cr_assert_eq(wal_world_discard(&world, 5, false), KVR_OK);
    wal_world_grow(&world, 2, 1);
    wal_model kept = world.model;
    kept.snapshot_index = 0;
    kept.snapshot_term = 0;
    kept.first = 1;
    wal_world_kill(&world);
    size_t size;
    const char *name = wal_world_file(&world, "snapshot-", true);
    uint8_t *bytes = wal_disk_bytes(world.disk, name, &size);
    bytes[200] ^= 1;

    wal_world_open(&world);

    world.model = kept;
    wal_world_check(&world);
}

/* The same without one before: refused, by name. */
Test(wal_damage, the_only_snapshot_damaged_is_corruption)
{
    closed_store();
    const char *name = wal_world_file(&world, "snapshot-", true);
    size_t size;
    uint8_t *bytes = wal_disk_bytes(world.disk, name, &size);
    bytes[150] ^= 1;
    damage(name, bytes, size);
    expect_refusal(KVR_FCORRUPT, name);
}

/* FAULTS 85: rot after open, met by a read. */
Test(wal_damage, rot_under_an_open_store_is_reported_by_the_read)
{
    small_store();
    const char *name = wal_world_file(&world, "wal-", true);
    size_t size;
    uint8_t *bytes = wal_disk_bytes(world.disk, name, &size);
    bytes[KVR__WAL_HEAD_SIZE * 2 + 20] ^= 1;
    kvr_store_request request = {.kind = KVR_STORE_READ,
                                 .first_index = 31,
                                 .last_index = world.model.last,
                                 .byte_max = 1 << 20};
    kvr_store_result result;
    kvr_status status = KVR_OK;
    while (status == KVR_OK && request.first_index <= world.model.last) {
        status = wal_world_ask(&world, &request, &result);
        request.first_index = result.last_index + 1;
    }
    cr_assert_eq(status, KVR_ECORRUPT);
    cr_assert_not_null(strstr(result.detail, name));

    cr_assert_eq(wal_world_snapshot(&world, 50, KVR_SNAPSHOT_LOCAL, 4096), KVR_OK);
    bytes = wal_disk_bytes(world.disk, wal_world_file(&world, "snapshot-", true), &size);
    bytes[KVR__WAL_HEAD_SIZE + 70000] ^= 1; /* in the second block */
    request = (kvr_store_request){.kind = KVR_STORE_SNAPSHOT_READ, .byte_max = 60000};
    cr_assert_eq(wal_world_ask(&world, &request, &result), KVR_OK);
    request.offset = 60000;
    cr_assert_eq(wal_world_ask(&world, &request, &result), KVR_ECORRUPT);
    cr_assert_not_null(strstr(result.detail, "snapshot-"));
}

/* FAULTS 81: a new snapshot that does not read back as it was written stops the member, and keeps
 * the one before. */
Test(wal_damage, a_snapshot_that_cannot_be_read_back_replaces_nothing)
{
    wal_world_open(&world);
    wal_world_grow(&world, 10, 1);
    cr_assert_eq(wal_world_snapshot(&world, 6, KVR_SNAPSHOT_LOCAL, 9999), KVR_OK);
    wal_world_maintain(&world);
    wal_model kept = world.model;
    cr_assert_eq(wal_world_snapshot(&world, 10, KVR_SNAPSHOT_LOCAL, 9999), KVR_OK);
    cr_assert_eq(wal_world_discard(&world, 11, false), KVR_OK);
    size_t size;
    uint8_t *bytes = wal_disk_bytes(world.disk, wal_world_file(&world, "snapshot-", true), &size);
    bytes[300] ^= 1;
    kvr_status status;
    do {
        status = kvr_wal_maintain(world.wal);
    } while (status == KVR_AGAIN);
    cr_assert_eq(status, KVR_FCORRUPT);
    cr_assert_eq(kvr_wal_maintain(world.wal), KVR_FCORRUPT);
    wal_world_kill(&world);
    wal_world_open(&world);
    world.model = kept;
    wal_world_check(&world);
}
