/* SPDX-License-Identifier: Apache-2.0 */
/* mvcc_shortcut.c: keeping the shortcut true and in size. A key whose bucket is full is forgotten.
 * One in four of these looks whether the whole segment is nearly full: then it is split by the next
 * bit of the hash, which its tags still hold; after nine splits the tags are made anew from the
 * keys. The directory only doubles while its segments are used well: keys chosen to share their
 * hash gain the speed of the tree, not our memory. */
#include "mvcc_shortcut.h"

#include "base/assertion.h"

typedef kvr__mvcc_shortcut_segment segment;

/* blocks are aligned to 8; a segment begins at a cache line */
enum { BLOCK_SIZE = sizeof(segment) + 56 };

_Static_assert(KVR__MVCC_SHORTCUT_DEPTH_MAX + KVR__MVCC_TAG_BITS <= 59,
               "directory, tag and bucket take different bits of the hash");
_Static_assert(KVR__MVCC_SHORTCUT_DEPTH_MAX < 64, "a base fits the low bits of a place");

static segment *segment_at(const kvr__mvcc_shortcut *shortcut, uint64_t hash)
{
    return kvr__mvcc_shortcut_segment_of(kvr__mvcc_shortcut_place(shortcut, hash));
}

static segment *new_segment(kvr__mvcc_shortcut *shortcut)
{
    uint8_t *block = kvr__mem_zalloc(shortcut->mem, KVR__MEM_TREE, BLOCK_SIZE);
    if (block == NULL) {
        return NULL;
    }
    uint8_t skip = (uint8_t)((0 - (uintptr_t)block) & 63);
    segment *s = (segment *)(void *)(block + skip);
    s->skip = skip;
    return s;
}

static void free_segment(kvr__mvcc_shortcut *shortcut, segment *s)
{
    kvr__mem_free(shortcut->mem, KVR__MEM_TREE, (uint8_t *)s - s->skip, BLOCK_SIZE);
}

/* The entry of `record` in the bucket, for NULL a free one; NULL: there is none. */
static uint64_t *find_entry(uint64_t *bucket, const kvr__mvcc_record *record)
{
    for (uint32_t i = 0; i < KVR__MVCC_BUCKET_ENTRIES; i++) {
        if (kvr__mvcc_shortcut_record(bucket[i]) == record) {
            return &bucket[i];
        }
    }
    return NULL;
}

/* ------------------------------------------------------------------ growing */

/* False: the directory stays as it is. */
static bool double_directory(kvr__mvcc_shortcut *shortcut)
{
    uint64_t places = (uint64_t)1 << shortcut->depth;
    if (shortcut->depth == KVR__MVCC_SHORTCUT_DEPTH_MAX ||
        shortcut->count < places * KVR__MVCC_SEGMENT_ENTRIES / 4) {
        return false;
    }
    size_t size = (size_t)places * sizeof(kvr__mvcc_place);
    kvr__mvcc_place *directory = kvr__mem_alloc(shortcut->mem, KVR__MEM_TREE, 2 * size);
    if (directory == NULL) {
        return false;
    }
    for (uint64_t i = 0; i < places; i++) {
        directory[2 * i] = shortcut->directory[i];
        directory[2 * i + 1] = shortcut->directory[i];
    }
    kvr__mem_free(shortcut->mem, KVR__MEM_TREE, shortcut->directory, size);
    shortcut->directory = directory;
    shortcut->depth++;
    return true;
}

/* Tags from the keys themselves, of the bits behind the depth. */
static void renew_tags(segment *s)
{
    s->base = s->depth;
    for (uint32_t i = 0; i < KVR__MVCC_SEGMENT_ENTRIES; i++) {
        if (i + 8 < KVR__MVCC_SEGMENT_ENTRIES) {
            kvr__mvcc_record_prefetch(kvr__mvcc_shortcut_record(s->entries[i + 8]));
        }
        const kvr__mvcc_record *record = kvr__mvcc_shortcut_record(s->entries[i]);
        if (record != NULL) {
            uint64_t hash = kvr__mvcc_shortcut_hash(kvr__mvcc_record_key_slice(record));
            s->entries[i] = (uint64_t)(uintptr_t)record | kvr__mvcc_shortcut_tag(s->base, hash);
        }
    }
}

/* The places from `first` on, `count` of them. */
static void name_segment(kvr__mvcc_place *first, uint32_t count, const segment *s)
{
    for (uint32_t i = 0; i < count; i++) {
        first[i] = (uintptr_t)s | s->base;
    }
}

static uint32_t count_entries(const segment *s)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < KVR__MVCC_SEGMENT_ENTRIES; i++) {
        count += s->entries[i] != 0;
    }
    return count;
}

/* Moves half of the entries to a segment of their own, if there are enough, and memory. */
static void split_segment(kvr__mvcc_shortcut *shortcut, uint64_t hash)
{
    segment *left = segment_at(shortcut, hash);
    if (count_entries(left) < KVR__MVCC_SEGMENT_FULL) {
        return;
    }
    if (left->depth == shortcut->depth && !double_directory(shortcut)) {
        return;
    }
    segment *right = new_segment(shortcut);
    if (right == NULL) {
        return;
    }
    if (left->depth - left->base > KVR__MVCC_TAG_BITS - KVR__MVCC_TAG_LEAST) {
        renew_tags(left);
    }
    uint64_t bit = kvr__mvcc_shortcut_tag(left->base, (uint64_t)1 << (63 - left->depth));
    for (uint32_t i = 0; i < KVR__MVCC_SEGMENT_ENTRIES; i++) {
        if ((left->entries[i] & bit) != 0) {
            right->entries[i] = left->entries[i];
            left->entries[i] = 0;
        }
    }
    uint32_t places = 1u << (shortcut->depth - left->depth);
    uint64_t at = hash >> 1 >> (63 - shortcut->depth);
    kvr__mvcc_place *first = &shortcut->directory[at & ~(uint64_t)(places - 1)];
    left->depth++;
    right->depth = left->depth;
    right->base = left->base;
    name_segment(first, places / 2, left);
    name_segment(first + places / 2, places / 2, right);
}

/* ------------------------------------------------------------------ changing */

void kvr__mvcc_shortcut_learn(kvr__mvcc_shortcut *shortcut, uint64_t hash,
                              const kvr__mvcc_record *record)
{
    uintptr_t address = (uintptr_t)record;
    if (shortcut->directory == NULL || (uint64_t)address >> 48 != 0) {
        return; /* an entry has no room for such an address */
    }
    kvr__mvcc_place place = kvr__mvcc_shortcut_place(shortcut, hash);
    uint64_t *entry = find_entry(kvr__mvcc_shortcut_bucket(place, hash), NULL);
    if (entry != NULL) {
        *entry = (uint64_t)address | kvr__mvcc_shortcut_tag(place & 63, hash);
        shortcut->count++;
    }
}

void kvr__mvcc_shortcut_put(kvr__mvcc_shortcut *shortcut, uint64_t hash,
                            const kvr__mvcc_record *record, const kvr__mvcc_record *old)
{
    if (shortcut->directory == NULL) {
        return;
    }
    if (old != NULL) {
        kvr__mvcc_shortcut_erase(shortcut, hash, old);
    }
    kvr__mvcc_place place = kvr__mvcc_shortcut_place(shortcut, hash);
    if (hash / KVR__MVCC_SEGMENT_BUCKETS % 4 == 0 &&
        find_entry(kvr__mvcc_shortcut_bucket(place, hash), NULL) == NULL) {
        split_segment(shortcut, hash);
    }
    kvr__mvcc_shortcut_learn(shortcut, hash, record);
}

void kvr__mvcc_shortcut_erase(kvr__mvcc_shortcut *shortcut, uint64_t hash,
                              const kvr__mvcc_record *record)
{
    if (shortcut->directory == NULL) {
        return;
    }
    uint64_t *bucket = kvr__mvcc_shortcut_bucket(kvr__mvcc_shortcut_place(shortcut, hash), hash);
    uint64_t *entry = find_entry(bucket, record);
    if (entry != NULL) {
        *entry = 0;
        shortcut->count--;
    }
}

/* ------------------------------------------------------------------ all of it */

void kvr__mvcc_shortcut_start(kvr__mvcc_shortcut *shortcut)
{
    kvr__mvcc_place *directory = kvr__mem_alloc(shortcut->mem, KVR__MEM_TREE, sizeof *directory);
    if (directory == NULL) {
        return;
    }
    segment *first = new_segment(shortcut);
    if (first == NULL) {
        kvr__mem_free(shortcut->mem, KVR__MEM_TREE, directory, sizeof *directory);
        return;
    }
    name_segment(directory, 1, first);
    shortcut->directory = directory;
}

void kvr__mvcc_shortcut_walk(const kvr__mvcc_shortcut *shortcut,
                             void (*visit)(void *ctx, const kvr__mvcc_record *record), void *ctx)
{
    if (shortcut->directory == NULL) {
        return;
    }
    uint64_t count = 0, places = (uint64_t)1 << shortcut->depth;
    for (uint64_t at = 0; at < places;) {
        const segment *s = kvr__mvcc_shortcut_segment_of(shortcut->directory[at]);
        KVR_ASSERT((shortcut->directory[at] & 63) == s->base);
        for (uint32_t i = 0; i < KVR__MVCC_SEGMENT_ENTRIES; i++) {
            if (s->entries[i] != 0) {
                visit(ctx, kvr__mvcc_shortcut_record(s->entries[i]));
                count++;
            }
        }
        at += (uint64_t)1 << (shortcut->depth - s->depth);
    }
    KVR_ASSERT(count == shortcut->count);
}

void kvr__mvcc_shortcut_release(kvr__mvcc_shortcut *shortcut)
{
    if (shortcut->directory == NULL) {
        return;
    }
    uint64_t places = (uint64_t)1 << shortcut->depth;
    for (uint64_t at = 0; at < places;) {
        segment *s = kvr__mvcc_shortcut_segment_of(shortcut->directory[at]);
        at += (uint64_t)1 << (shortcut->depth - s->depth);
        free_segment(shortcut, s);
    }
    kvr__mem_free(shortcut->mem, KVR__MEM_TREE, shortcut->directory,
                  (size_t)places * sizeof *shortcut->directory);
    shortcut->directory = NULL;
    shortcut->count = 0;
    shortcut->depth = 0;
}
