/* SPDX-License-Identifier: Apache-2.0 */
/* test_mvcc_snapshot.c: saving and loading: everything above the compaction point comes back,
 * streams are equal where stores are, and nothing that is wrong with a stream gets in. Format:
 * kvraft-snapshot(5). */
#include "mvcc_fixture.h"

#include "base/checksum.h"
#include "base/codec.h"

#include <stdlib.h>

enum { PIECE = 1000, HEADER = 96, BLOCK_HEAD = 16 };

/* A store with old revisions, deletes, leases, a transaction and a large value, and its stream. */
static uint8_t *stream;
static size_t stream_size;

static void fill_store(void)
{
    static uint8_t large[70000];
    char key[16];
    for (int i = 0; i < 300; i++) {
        (void)snprintf(key, sizeof key, "/p/%03d", i % 90);
        kvr_op op = op_put(key, "value");
        op.lease = i % 7;
        MUST(kvr_mvcc_apply(store, &op, NULL));
    }
    kvr_op large_op = op_put("large", "");
    large_op.value = (kvr_slice){large, sizeof large};
    MUST(kvr_mvcc_apply(store, &large_op, NULL));
    MUST(kvr_mvcc_compact(store, 200));
    del_range(text("/p/05"), text("/p/07"));
    put("/p/055", "again");
    del("large");
}

static void save(void)
{
    kvr_mvcc_view *view = view_now();
    stream = save_all(view, PIECE, &stream_size);
    kvr_mvcc_view_free(view);
}

static void setup(void)
{
    mvcc_setup();
    fill_store();
    save();
}

static void teardown(void)
{
    free(stream);
    mvcc_teardown();
}

TestSuite(mvcc_snapshot, .init = setup, .fini = teardown);

/* FAULTS 93: the revision comes from the stream, and is not counted from what is left. */
Test(mvcc_snapshot, everything_above_the_compaction_point_comes_back)
{
    kvr_mvcc *first = store, *second = new_store();
    MUST(load_all(second, stream, stream_size, 77));
    kvr_mvcc_status a = status_now(), b;
    const char *changes = changes_text(200);
    store = second;
    b = status_now();

    cr_assert_eq(a.revision, b.revision);
    cr_assert_eq(a.compacted, b.compacted);
    cr_assert_eq(a.live_keys, b.live_keys);
    cr_assert_eq(a.live_bytes, b.live_bytes);
    cr_assert_eq(a.hash_live, b.hash_live);
    cr_assert_eq(a.hash_chain, b.hash_chain);
    assert_text(changes_text(200), changes);
    kvr_mvcc_view *views[2];
    MUST(kvr_mvcc_view_open(first, &views[0]));
    MUST(kvr_mvcc_view_open(second, &views[1]));
    for (uint64_t revision = 199; revision <= a.revision + 1; revision += 3) {
        const char *wanted = range_text(views[0], ALL, text("l"), revision);
        assert_text(range_text(views[1], ALL, text("l"), revision), wanted);
    }
    kvr_mvcc_view_free(views[0]);
    kvr_mvcc_view_free(views[1]);

    put("after", "1"); /* both go on alike */
    compact_all(250);
    uint64_t chain = status_now().hash_chain;
    store = first;
    put("after", "1");
    compact_all(250);
    cr_assert_eq(status_now().hash_chain, chain);
    kvr_mvcc_free(second);
}

/* The stream is a function of what the store holds: not of the sweep, nor of how the store came to
 * it. */
Test(mvcc_snapshot, equal_stores_write_equal_streams)
{
    kvr_mvcc *first = store, *second = new_store();
    MUST(load_all(second, stream, stream_size, stream_size));
    while (kvr_mvcc_compact_step(first, 100) == KVR_AGAIN) {
    }
    for (int i = 0; i < 2; i++) {
        size_t size;
        kvr_mvcc_view *view;
        MUST(kvr_mvcc_view_open(i == 0 ? first : second, &view));
        uint8_t *bytes = save_all(view, 4096, &size);
        cr_assert_eq(size, stream_size);
        cr_assert_eq(memcmp(bytes, stream, size), 0);
        kvr_mvcc_view_free(view);
        free(bytes);
    }
    kvr_mvcc_free(second);
}

Test(mvcc_snapshot, an_empty_store_comes_back_too)
{
    free(stream);
    kvr_mvcc *first = store;
    store = new_store();
    save();
    kvr_mvcc_free(store);
    store = first;

    MUST(load_all(store, stream, stream_size, 1));

    cr_assert_eq(head_now(), 1);
    cr_assert_eq(status_now().versions, 0);
    put("a", "1");
    assert_text(changes_text(1), "2.0 +a=1");
}

/* While a view is saved, writes go on. */
Test(mvcc_snapshot, a_save_holds_still_while_the_store_moves)
{
    kvr_mvcc_view *view = view_now();
    kvr_mvcc_save *saving;
    uint8_t *bytes = malloc(stream_size + 64);
    size_t size = 0, got;
    char key[16];
    MUST(kvr_mvcc_save_new(view, &saving));
    for (int i = 0; kvr_mvcc_save_read(saving, bytes + size, 64, &got) == KVR_OK; i++) {
        size += got;
        (void)snprintf(key, sizeof key, "/p/%03d", i % 90);
        (void)(i % 3 == 0 ? del(key) : put(key, "other"));
        cr_assert_leq(size, stream_size);
    }
    kvr_mvcc_save_free(saving);
    kvr_mvcc_view_free(view);

    cr_assert_eq(size, stream_size);
    cr_assert_eq(memcmp(bytes, stream, size), 0);
    free(bytes);
}

/* Until the end the old content is there and cannot be written; views of it outlive it. */
Test(mvcc_snapshot, the_old_content_stays_until_the_end_and_in_views)
{
    put("only-old", "1");
    kvr_mvcc_view *view = view_now();
    kvr_op op = op_range(text("only-old"), ONE);
    kvr_mvcc_result *result = apply(&op);
    kvr_mvcc_changes changes;
    kvr_event event;
    MUST(kvr_mvcc_changes_init(&changes, store, 250));
    MUST(kvr_mvcc_changes_next(&changes, store, &event));

    MUST(kvr_mvcc_load_begin(store));
    kvr_slice bytes = {stream, stream_size};
    MUST(kvr_mvcc_load_write(store, &bytes));
    assert_text(range_now(text("only-old"), ONE), "only-old=1");
    op = op_put("x", "y");
    cr_assert_eq(kvr_mvcc_apply(store, &op, NULL), KVR_ESTATE);
    cr_assert_eq(kvr_mvcc_apply_begin(store, &op, false), KVR_ESTATE);
    cr_assert_eq(kvr_mvcc_compact(store, 260), KVR_ESTATE);
    cr_assert_eq(kvr_mvcc_load_begin(store), KVR_ESTATE);
    MUST(kvr_mvcc_load_end(store));

    assert_text(range_now(text("only-old"), ONE), "");
    assert_text(range_text(view, text("only-old"), ONE, 0), "only-old=1");
    assert_text(kvs_text(kvr_mvcc_result_root(result)->kvs, 1), "only-old=1");
    MUST(kvr_mvcc_changes_next(&changes, store, &event)); /* followers go on by revision */
    cr_assert_eq(event.kv.mod_revision, 251);
    kvr_mvcc_view_free(view);
    put("x", "y");
    assert_text(kvs_text(kvr_mvcc_result_root(result)->kvs, 1), "only-old=1");
    kvr_mvcc_result_free(result);
    put("x", "z");
}

Test(mvcc_snapshot, an_aborted_load_leaves_no_trace)
{
    kvr_mvcc_status before = status_now();
    kvr_slice bytes = {stream, stream_size / 2};
    MUST(kvr_mvcc_load_begin(store));
    MUST(kvr_mvcc_load_write(store, &bytes));

    kvr_mvcc_load_abort(store);

    cr_assert_eq(status_now().hash_chain, before.hash_chain);
    cr_assert_eq(status_now().memory_bytes, before.memory_bytes);
    kvr_mvcc_load_abort(store);
    put("a", "1");
}

/* ------------------------------------------------------------------ what is wrong with a stream */

Test(mvcc_snapshot, a_stream_that_is_cut_anywhere_is_refused)
{
    for (size_t size = 0; size < stream_size; size += size < 300 ? 1 : 97) {
        cr_assert_eq(load_all(store, stream, size, PIECE), KVR_ECORRUPT, "cut at %zu", size);
    }
    assert_text(range_now(text("/p/055"), ONE), "/p/055=again");
}

Test(mvcc_snapshot, bytes_behind_the_end_are_refused)
{
    uint8_t *more = calloc(1, stream_size + 1);
    memcpy(more, stream, stream_size);
    cr_assert_eq(load_all(store, more, stream_size + 1, stream_size + 1), KVR_ECORRUPT);
    free(more);
}

Test(mvcc_snapshot, each_changed_bit_is_noticed)
{
    for (size_t at = 0; at < stream_size; at += at < 400 ? 1 : 131) {
        stream[at] ^= (uint8_t)(1 << at % 8);
        kvr_status status = load_all(store, stream, stream_size, PIECE);
        cr_assert(status == KVR_ECORRUPT, "bit at %zu: %s", at, kvr_status_name(status));
        stream[at] ^= (uint8_t)(1 << at % 8);
    }
    MUST(load_all(store, stream, stream_size, PIECE));
}

static void seal_header(uint8_t *header)
{
    kvr__store_u64(header + HEADER - 8, kvr__xxh3_64(header, HEADER - 8));
}

Test(mvcc_snapshot, a_newer_version_is_refused_as_such)
{
    kvr__store_u32(stream + 12, 2);
    seal_header(stream);
    cr_assert_eq(load_all(store, stream, stream_size, PIECE), KVR_EVERSION);
}

/* A header may grow in later streams of this version. */
Test(mvcc_snapshot, a_longer_header_is_skipped)
{
    enum { LONGER = 160 };
    uint8_t *bytes = calloc(1, stream_size + LONGER - HEADER);
    memcpy(bytes, stream, HEADER - 8);
    kvr__store_u32(bytes + 8, LONGER);
    kvr__store_u64(bytes + LONGER - 8, kvr__xxh3_64(bytes, LONGER - 8));
    memcpy(bytes + LONGER, stream + HEADER, stream_size - HEADER);
    size_t size = stream_size + LONGER - HEADER;
    /* Sums are chained, so the blocks are sealed again. */
    uint64_t sum = kvr__load_u64(bytes + LONGER - 8);
    for (size_t at = LONGER; at < size;) {
        uint32_t payload = kvr__load_u32(bytes + at);
        size_t covered = payload == 0 ? 16 : payload;
        sum = kvr__xxh3_64_seed(bytes + at + BLOCK_HEAD, covered, sum);
        kvr__store_u64(bytes + at + 8, sum);
        at += BLOCK_HEAD + covered;
    }

    MUST(load_all(store, bytes, size, 13));
    MUST(load_all(store, bytes, size, size));
    free(bytes);
}

/* ------------------------------------------------------------------ well-sealed nonsense */

/* A stream of one block with these versions, all its sums right. */
typedef struct forged {
    uint8_t bytes[2048];
    size_t size;
    uint32_t versions;
    uint64_t keys;
    uint64_t hash; /* hash_live of what is in it */
} forged;

static void forge_begin(forged *f, uint64_t revision, uint64_t compacted)
{
    memset(f, 0, sizeof *f);
    memcpy(f->bytes, "KVRMVCC", 8);
    kvr__store_u32(f->bytes + 8, HEADER);
    kvr__store_u32(f->bytes + 12, 1);
    kvr__store_u64(f->bytes + 16, revision);
    kvr__store_u64(f->bytes + 24, compacted);
    f->size = HEADER + BLOCK_HEAD;
}

/* As kvr_mvcc_status says that hash_live is made. */
static uint64_t hash_of(const char *key, const uint64_t mod_to_sub[5])
{
    uint8_t words[64];
    kvr__store_u64(words, kvr__xxh3_64(key, strlen(key)));
    kvr__store_u64(words + 8, kvr__xxh3_64("v", 1));
    for (size_t i = 0; i < 5; i++) {
        kvr__store_u64(words + 16 + 8 * i, mod_to_sub[i]);
    }
    kvr__store_u64(words + 56, 1);
    return kvr__xxh3_64(words, sizeof words);
}

/* flags, key ("" for older), value, mod, then create and version, lease, sub as the flags say */
static void forge_version(forged *f, uint8_t flags, const char *key, uint64_t mod,
                          const uint64_t *rest)
{
    kvr__writer w = kvr__writer_of(f->bytes + f->size, sizeof f->bytes - f->size);
    kvr__write_u8(&w, flags);
    if ((flags & 2) == 0) {
        kvr__write_u16(&w, (uint16_t)strlen(key));
        f->keys++;
    }
    if ((flags & 1) == 0) {
        kvr__write_u32(&w, 1);
    }
    kvr__write_u64(&w, mod);
    uint64_t numbers[5] = {mod, mod, 1, 0, 0}; /* mod, create, version, lease, sub */
    for (uint32_t i = 1; i < 5; i++) {
        const uint8_t flag_of[5] = {0, 4, 4, 8, 16};
        if ((flags & flag_of[i]) != 0) {
            numbers[i] = *rest++;
            i < 4 ? kvr__write_u64(&w, numbers[i]) : kvr__write_u32(&w, (uint32_t)numbers[i]);
        }
    }
    f->hash += (flags & 3) == 0 ? hash_of(key, numbers) : 0;
    kvr__write_bytes(&w, (const uint8_t *)key, strlen(key));
    if ((flags & 1) == 0) {
        kvr__write_u8(&w, 'v');
    }
    cr_assert_not(w.failed);
    f->size = (size_t)(w.at - f->bytes);
    f->versions++;
}

/* Seals it; the numbers go into the header as they are. */
static kvr_status forge_load(forged *f, uint64_t changes, uint64_t live)
{
    size_t payload = f->size - HEADER - BLOCK_HEAD;
    uint8_t *block = f->bytes + HEADER, *end = f->bytes + f->size;
    kvr__store_u64(f->bytes + 32, live);
    kvr__store_u64(f->bytes + 40, live * 2);
    kvr__store_u64(f->bytes + 48, f->hash);
    kvr__store_u64(f->bytes + 64, changes);
    seal_header(f->bytes);
    uint64_t sum = kvr__load_u64(f->bytes + HEADER - 8);
    sum = kvr__xxh3_64_seed(block + BLOCK_HEAD, payload, sum);
    kvr__store_u32(block, (uint32_t)payload);
    kvr__store_u32(block + 4, f->versions);
    kvr__store_u64(block + 8, sum);
    memset(end, 0, 32);
    kvr__store_u64(end + 16, f->keys);
    kvr__store_u64(end + 24, f->versions);
    kvr__store_u64(end + 8, kvr__xxh3_64_seed(end + 16, 16, sum));
    return load_all(store, f->bytes, f->size + 32, 2048);
}

/* First one that is right, so that the others are refused for what is wrong with them. */
Test(mvcc_snapshot, a_forged_but_right_stream_is_loaded)
{
    forged f;
    forge_begin(&f, 2, 0);
    forge_version(&f, 0, "k", 2, NULL);
    MUST(forge_load(&f, 1, 1));
    assert_text(range_now(ALL, ALL), "k=v");

    forge_begin(&f, 5, 3);
    forge_version(&f, 0, "j", 2, NULL);
    forge_version(&f, 1, "k", 3, NULL);
    forge_version(&f, 16, "l", 3, (const uint64_t[]){1});
    forge_version(&f, 1, "m", 5, NULL);
    forge_version(&f, 2 | 4 | 8, "", 4, (const uint64_t[]){3, 2, 7});
    forge_version(&f, 2 | 16, "", 3, (const uint64_t[]){2});
    MUST(forge_load(&f, 5, 2));

    assert_text(range_now(ALL, ALL), "j=v l=v");
    assert_text(changes_text(3), "3.0 -k  3.1 +l=v  3.2 +m=v  4.0 +m=v (v)  5.0 -m (v)");
}

/* A store may have been moved to a higher revision, all below it compacted: then that one has no
 * changes. */
Test(mvcc_snapshot, the_compacted_revision_may_be_empty)
{
    forged f;
    forge_begin(&f, 101, 100);
    forge_version(&f, 0, "j", 7, NULL);
    forge_version(&f, 0, "k", 101, NULL);
    forge_version(&f, 16, "l", 101, (const uint64_t[]){1});
    MUST(forge_load(&f, 2, 3));

    kvr_mvcc_view *view = view_now();
    cr_assert_eq(count_of(view, ALL, ALL, 100), 1);
    assert_text(changes_text(100), "101.0 +k=v  101.1 +l=v");
    put("m", "v");
    assert_text(changes_text(102), "102.0 +m=v");
    compact_all(101);
    kvr_mvcc_view_free(view);

    forge_begin(&f, 100, 100);
    forge_version(&f, 0, "j", 7, NULL);
    MUST(forge_load(&f, 0, 1));
    put("k", "v");
    assert_text(changes_text(100), "101.0 +k=v");
    compact_all(101);
}

/* FAULTS 5.1: what no store can hold is refused, whoever sealed it. */
Test(mvcc_snapshot, what_no_store_can_hold_is_refused)
{
    const uint64_t second[] = {2, 2, 0}, odd[] = {2, 1, 0}, zero[] = {0, 0, 0}, sub[] = {1, 0, 0};
    const struct {
        const char *what;
        uint64_t revision, compacted;
        struct {
            uint8_t flags;
            const char *key;
            uint64_t mod;
            const uint64_t *rest;
        } versions[3];
        uint64_t changes, live;
    } cases[] = {
        {"a wrong hash", 2, 0, {{0, "k", 2, NULL}}, 1, 1},
        {"revision 0", 0, 0, {{0, "k", 2, NULL}}, 1, 1},
        {"compacted above the head", 2, 3, {{0, "k", 2, NULL}}, 1, 1},
        {"a change above the head", 2, 0, {{0, "k", 3, NULL}}, 1, 1},
        {"a change at revision 1", 2, 0, {{0, "k", 1, NULL}}, 1, 1},
        {"an unknown flag", 2, 0, {{32, "k", 2, NULL}}, 1, 1},
        {"an empty key", 2, 0, {{0, "", 2, NULL}}, 1, 1},
        {"an older version of nothing", 2, 0, {{2, "", 2, NULL}}, 1, 1},
        {"a delete that is not preceded", 2, 0, {{1, "k", 2, NULL}}, 1, 0},
        {"a delete below the compacted", 3, 3, {{1, "a", 2, NULL}, {0, "k", 3, NULL}}, 1, 1},
        {"a delete with a lease", 3, 2, {{9, "k", 3, second}, {2, "", 2, NULL}}, 2, 0},
        {"version 1 written out", 2, 0, {{4, "k", 2, odd}}, 1, 1},
        {"lease 0 written out", 2, 0, {{8, "k", 2, zero}}, 1, 1},
        {"sub 0 written out", 2, 0, {{16, "k", 2, zero}}, 1, 1},
        {"sub 1 without sub 0", 2, 0, {{16, "k", 2, sub}}, 1, 1},
        {"version 2 without version 1", 3, 0, {{4, "k", 3, second}}, 1, 1},
        {"created after it was changed", 3, 2, {{4, "k", 2, second}}, 1, 1},
        {"keys out of order", 3, 0, {{0, "k", 2, NULL}, {0, "j", 3, NULL}}, 2, 2},
        {"the same key again", 3, 0, {{0, "k", 2, NULL}, {0, "k", 3, NULL}}, 2, 2},
        {"versions out of order", 3, 0, {{4, "k", 2, second}, {2, "", 3, NULL}}, 2, 1},
        {"a put after a put as new", 3, 0, {{0, "k", 3, NULL}, {2, "", 2, NULL}}, 2, 1},
        {"history below the compacted", 3, 3, {{4, "k", 3, second}, {2, "", 2, NULL}}, 1, 1},
        {"a revision without change", 4, 0, {{0, "j", 2, NULL}, {0, "k", 4, NULL}}, 2, 2},
        {"a head without change", 3, 0, {{0, "k", 2, NULL}}, 1, 1},
        {"two changes in one place", 2, 0, {{0, "j", 2, NULL}, {0, "k", 2, NULL}}, 2, 2},
        {"another number of changes", 2, 0, {{0, "k", 2, NULL}}, 2, 1},
        {"another number of live keys", 2, 0, {{0, "k", 2, NULL}}, 1, 2},
        {"a head that no stream could fill", UINT64_MAX, 0, {{0, "k", 2, NULL}}, 1, 1},
        {"a head far above its changes", UINT64_MAX >> 1, 0, {{0, "k", 2, NULL}}, 1, 1},
    };

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        forged f;
        forge_begin(&f, cases[i].revision, cases[i].compacted);
        for (size_t v = 0; v < 3 && cases[i].versions[v].key != NULL; v++) {
            forge_version(&f, cases[i].versions[v].flags, cases[i].versions[v].key,
                          cases[i].versions[v].mod, cases[i].versions[v].rest);
        }
        f.hash += i == 0;
        kvr_status status = forge_load(&f, cases[i].changes, cases[i].live);
        cr_assert_eq(status, KVR_ECORRUPT, "%s: %s", cases[i].what, kvr_status_name(status));
    }
}

/* Announced sizes reserve nothing: memory grows with what has come. */
Test(mvcc_snapshot, an_announced_block_takes_no_memory_before_it_comes)
{
    uint8_t head[HEADER + BLOCK_HEAD];
    memcpy(head, stream, HEADER);
    kvr__store_u32(head + HEADER, 1600000);
    kvr__store_u32(head + HEADER + 4, UINT32_MAX);
    kvr_slice bytes = {head, sizeof head};
    MUST(kvr_mvcc_load_begin(store));
    MUST(kvr_mvcc_load_write(store, &bytes));
    uint64_t before = status_now().memory_bytes;

    bytes.size = 100;
    MUST(kvr_mvcc_load_write(store, &bytes));

    cr_assert_leq(status_now().memory_bytes - before, 1024);
    kvr_mvcc_load_abort(store);
}

Test(mvcc_snapshot, after_a_failure_only_abort_is_left)
{
    kvr_slice bytes = {stream + 1, 64};
    MUST(kvr_mvcc_load_begin(store));
    cr_assert_eq(kvr_mvcc_load_write(store, &bytes), KVR_ECORRUPT);
    cr_assert_eq(kvr_mvcc_load_write(store, &bytes), KVR_ESTATE);
    cr_assert_eq(kvr_mvcc_load_end(store), KVR_ESTATE);
    kvr_mvcc_load_abort(store);
    cr_assert_eq(kvr_mvcc_load_write(store, &bytes), KVR_ESTATE);
}
