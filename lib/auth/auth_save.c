/* SPDX-License-Identifier: Apache-2.0 */
/* auth_save.c: writes the stream of auth_stream.h a room at a time. A record is a few runs of
 * bytes; what fits of them is copied, and the place within the record is remembered, so that a room
 * may be smaller than a record. */
#include "auth_internal.h"
#include "auth_stream.h"

#include "base/assertion.h"
#include "base/checksum.h"
#include "base/codec.h"

#include <string.h>

/* In the caller's kvr_auth_save. `major` counts: 0 the head, then roles, then users, then the end;
 * `minor`: 0 the role or user itself, then its permissions or grants. */
typedef struct place {
    uint64_t offset; /* within the record */
    uint64_t before; /* checksum of the record before */
    uint32_t major;
    uint32_t minor;
} place;

_Static_assert(sizeof(place) <= sizeof(kvr_auth_save), "a place fits into the public struct");

/* One record as runs: head, fixed part of the payload, up to two texts, checksum. */
typedef struct record {
    uint8_t head[KVR__AUTH_RECORD_HEAD + KVR__AUTH_HEAD_BYTES];
    uint8_t tail[KVR__AUTH_RECORD_TAIL];
    size_t head_size; /* with the fixed part */
    kvr_slice texts[2];
    uint64_t checksum;
} record;

void kvr_auth_save_init(kvr_auth_save *save, const kvr_auth_store *store)
{
    (void)store;
    memset(save, 0, sizeof *save);
}

static void begin(record *of, uint8_t kind)
{
    memset(of, 0, sizeof *of);
    of->head[4] = kind;
    of->head_size = KVR__AUTH_RECORD_HEAD;
}

static void finish(record *of, uint64_t before)
{
    size_t payload = of->head_size - KVR__AUTH_RECORD_HEAD + of->texts[0].size + of->texts[1].size;
    uint8_t chained[8];
    kvr__xxh3 hash;
    kvr__store_u32(of->head, (uint32_t)payload);
    kvr__store_u64(chained, before);
    kvr__xxh3_reset(&hash);
    kvr__xxh3_update(&hash, chained, sizeof chained);
    kvr__xxh3_update(&hash, of->head, of->head_size);
    for (int i = 0; i < 2; i++) {
        if (of->texts[i].size > 0) {
            kvr__xxh3_update(&hash, of->texts[i].data, of->texts[i].size);
        }
    }
    of->checksum = kvr__xxh3_digest_64(&hash);
    kvr__store_u64(of->tail, of->checksum);
}

static void head_record(const kvr__auth_tables *tables, record *of)
{
    uint8_t *at = of->head + KVR__AUTH_RECORD_HEAD;
    begin(of, KVR__AUTH_HEAD);
    kvr__store_u32(at, KVR__AUTH_STREAM_VERSION);
    kvr__store_u32(at + 4, tables->enabled ? 1 : 0);
    kvr__store_u64(at + 8, tables->revision);
    kvr__store_u32(at + 16, tables->role_count);
    kvr__store_u32(at + 20, tables->user_count);
    of->head_size += KVR__AUTH_HEAD_BYTES;
}

static void role_record(const kvr__auth_role *role, uint32_t minor, record *of)
{
    if (minor == 0) {
        begin(of, KVR__AUTH_ROLE);
        of->texts[0] = kvr__auth_slice(&role->name);
        return;
    }
    kvr_permission permission;
    kvr__auth_permission_show(role->permissions[minor - 1], &permission);
    begin(of, KVR__AUTH_PERMISSION);
    of->head[KVR__AUTH_RECORD_HEAD] = permission.kind;
    kvr__store_u32(of->head + KVR__AUTH_RECORD_HEAD + 1, (uint32_t)permission.key.size);
    of->head_size += 5;
    of->texts[0] = permission.key;
    of->texts[1] = permission.range_end;
}

static void user_record(const kvr__auth_user *user, uint32_t minor, record *of)
{
    if (minor == 0) {
        begin(of, KVR__AUTH_USER);
        kvr__store_u32(of->head + KVR__AUTH_RECORD_HEAD, user->name.size);
        of->head_size += 4;
        of->texts[0] = kvr__auth_slice(&user->name);
        of->texts[1] = kvr__auth_slice(&user->hash);
        return;
    }
    begin(of, KVR__AUTH_GRANT);
    of->texts[0] = kvr__auth_slice(&user->roles[minor - 1]);
}

/* Builds the record at `at`; returns how many minors its major has, 0 when all is written. */
static uint32_t build(const kvr__auth_tables *tables, const place *at, record *of)
{
    uint32_t minors = 1;
    uint32_t number = at->major - 1;
    if (at->major == 0) {
        head_record(tables, of);
    } else if (number < tables->role_count) {
        role_record(tables->roles[number], at->minor, of);
        minors = tables->roles[number]->permission_count + 1;
    } else if (number - tables->role_count < tables->user_count) {
        const kvr__auth_user *user = tables->users[number - tables->role_count];
        user_record(user, at->minor, of);
        minors = user->role_count + 1;
    } else if (number == tables->role_count + tables->user_count) {
        begin(of, KVR__AUTH_END);
    } else {
        return 0;
    }
    finish(of, at->before);
    return minors;
}

/* Copies what fits of one run, `offset` of which is written already. */
static size_t copy(kvr_slice run, uint64_t *offset, kvr__writer *out)
{
    if (*offset >= run.size) {
        *offset -= run.size;
        return 0;
    }
    size_t size = run.size - (size_t)*offset;
    size_t room = (size_t)(out->end - out->at);
    size = size < room ? size : room;
    kvr__write_bytes(out, run.data + *offset, size);
    *offset = 0;
    return size;
}

kvr_status kvr_auth_save_read(kvr_auth_save *save, const kvr_auth_store *store, uint8_t *room,
                              size_t room_size, size_t *out_size)
{
    place at;
    record of;
    uint32_t minors;
    kvr__writer out = kvr__writer_of(room, room_size);
    memcpy(&at, save, sizeof at);
    *out_size = 0;
    while (out.at < out.end && (minors = build(&store->tables, &at, &of)) > 0) {
        const kvr_slice runs[] = {
            {of.head, of.head_size}, of.texts[0], of.texts[1], {of.tail, sizeof of.tail}};
        uint64_t total = 0;
        uint64_t offset = at.offset;
        size_t copied = 0;
        for (size_t i = 0; i < 4; i++) {
            total += runs[i].size;
            copied += copy(runs[i], &offset, &out);
        }
        at.offset += copied;
        KVR_ASSERT(at.offset <= total);
        if (at.offset == total) {
            bool last = at.minor + 1 == minors;
            at = (place){.before = of.checksum,
                         .major = at.major + (last ? 1 : 0),
                         .minor = last ? 0 : at.minor + 1};
        }
    }
    *out_size = (size_t)(out.at - room);
    memcpy(save, &at, sizeof at);
    return *out_size > 0 ? KVR_OK : KVR_END;
}
