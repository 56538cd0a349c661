/* SPDX-License-Identifier: Apache-2.0 */
/* test_raft_log.c: the segmented log against a plain array of entries, and what its picture
 * promises. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/entry.h"
#include "base/random.h"
#include "raft/raft_log.h"
#include "support/fault_sweep.h"
#include "support/test_alloc.h"

enum { MODEL_MAX = 4096, BYTES_MAX = 40000 };

static test_alloc alloc;
static kvr__mem mem;
static kvr__raft_log raft_log;

/* The twin: entry i at [i], as bytes of its own. */
static struct {
    uint64_t base;
    uint64_t base_term;
    uint64_t last;
    uint64_t terms[MODEL_MAX];
    size_t sizes[MODEL_MAX];
    uint8_t *bytes[MODEL_MAX];
} model;

static void setup(void)
{
    test_alloc_init(&alloc);
    cr_assert_eq(kvr__mem_init(&mem, &test_alloc_table, &alloc), KVR_OK);
    kvr__raft_log_init(&raft_log, &mem);
}

static void teardown(void)
{
    kvr__raft_log_release(&raft_log);
    TEST_ALLOC_ASSERT_EMPTY(&alloc);
}

TestSuite(raft_log, .init = setup, .fini = teardown);

static size_t write_entry(uint8_t *out, uint64_t index, uint64_t term, size_t command_size)
{
    static uint8_t command[BYTES_MAX];
    memset(command, (int)(index & 0xFF), command_size);
    kvr_entry entry = {.index = index,
                       .term = term,
                       .kind = KVR_ENTRY_COMMAND,
                       .command = {command, command_size}};
    kvr__entry_write_header(out, &entry);
    memcpy(out + KVR_ENTRY_HEADER_SIZE, command, command_size);
    return KVR_ENTRY_HEADER_SIZE + command_size;
}

static bool append(uint64_t term, size_t command_size)
{
    size_t size = KVR_ENTRY_HEADER_SIZE + command_size;
    uint8_t *room = kvr__raft_log_room(&raft_log, size);
    if (room == NULL) {
        return false;
    }
    cr_assert_eq(write_entry(room, raft_log.last_index + 1, term, command_size), size);
    kvr__raft_log_commit_room(&raft_log, term, (uint32_t)size);
    return true;
}

static void model_append(uint64_t term, size_t command_size)
{
    uint64_t i = ++model.last;
    model.terms[i] = term;
    model.bytes[i] = malloc(KVR_ENTRY_HEADER_SIZE + command_size);
    model.sizes[i] = write_entry(model.bytes[i], i, term, command_size);
}

static void model_forget(uint64_t from, uint64_t to)
{
    for (uint64_t i = from; i <= to; i++) {
        free(model.bytes[i]);
        model.bytes[i] = NULL;
    }
}

static void compare(void)
{
    kvr__raft_log_check(&raft_log);
    cr_assert_eq(raft_log.base_index, model.base);
    cr_assert_eq(raft_log.last_index, model.last);
    uint64_t term = 0;
    cr_assert(kvr__raft_log_term(&raft_log, model.base, &term));
    cr_assert_eq(term, model.base_term);
    uint64_t bytes = 0;
    for (uint64_t i = model.base + 1; i <= model.last; i++) {
        kvr_entry entry;
        kvr__raft_log_entry(&raft_log, i, &entry);
        cr_assert_eq(entry.index, i);
        cr_assert_eq(entry.term, model.terms[i]);
        cr_assert_eq(entry.bytes.size, model.sizes[i]);
        cr_assert(memcmp(entry.bytes.data, model.bytes[i], model.sizes[i]) == 0);
        bytes += model.sizes[i];
    }
    cr_assert_eq(kvr__raft_log_bytes(&raft_log, model.base + 1, model.last), bytes);
}

/* Any run, cut into pieces, is the entries one after the other. */
static void compare_run(uint64_t first, uint64_t last)
{
    uint64_t index = first;
    uint64_t at = first;
    size_t offset = 0;
    uint32_t pieces = 0;
    while (index <= last) {
        kvr_slice piece;
        kvr_buf *buffer = NULL;
        index = kvr__raft_log_piece(&raft_log, index, last, &piece, &buffer);
        pieces++;
        cr_assert(piece.data >= buffer->data);
        for (size_t done = 0; done < piece.size; at++) {
            cr_assert_eq(offset, 0, "entries are whole in a piece");
            cr_assert(memcmp(piece.data + done, model.bytes[at], model.sizes[at]) == 0);
            done += model.sizes[at];
            cr_assert_leq(done, piece.size);
        }
    }
    cr_assert_eq(at, last + 1);
    cr_assert_leq(pieces, kvr__raft_log_buffers(&raft_log, first, last));
}

static void random_step(kvr__random *random, uint64_t *term)
{
    uint64_t held = model.last - model.base;
    switch (kvr__random_below(random, 8)) {
    case 0:
        if (held > 0) { /* truncate */
            uint64_t from = model.base + 1 + kvr__random_below(random, held);
            kvr__raft_log_truncate(&raft_log, from);
            model_forget(from, model.last);
            model.last = from - 1;
        }
        break;
    case 1:
        if (held > 0) { /* discard */
            uint64_t to = model.base + kvr__random_below(random, held + 1);
            kvr__raft_log_discard(&raft_log, to);
            model.base_term = to > model.base ? model.terms[to] : model.base_term;
            model_forget(model.base + 1, to);
            model.base = to;
        }
        break;
    case 2:
        if (held > 0) { /* evict: how much is the log's own business */
            uint64_t limit = model.base + kvr__random_below(random, held + 1);
            kvr__raft_log_evict(&raft_log, limit, kvr__random_below(random, 4000));
            cr_assert_leq(raft_log.base_index, limit);
            uint64_t to = raft_log.base_index;
            model.base_term = to > model.base ? model.terms[to] : model.base_term;
            model_forget(model.base + 1, to);
            model.base = to;
        }
        break;
    default: {
        size_t size =
            (size_t)kvr__random_below(random, kvr__random_below(random, 10) == 0 ? 30000 : 300);
        *term += kvr__random_below(random, 5) == 0;
        cr_assert(append(*term, size));
        model_append(*term, size);
    }
    }
}

Test(raft_log, behaves_like_a_plain_array)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        kvr__random random;
        kvr__random_init(&random, seed);
        memset(&model, 0, sizeof model);
        uint64_t term = 1;
        for (int i = 0; i < 400 && model.last < MODEL_MAX - 1; i++) {
            random_step(&random, &term);
            compare();
            if (model.last > model.base) {
                uint64_t first =
                    model.base + 1 + kvr__random_below(&random, model.last - model.base);
                compare_run(first, first + kvr__random_below(&random, model.last - first + 1));
            }
        }
        model_forget(model.base + 1, model.last);
        kvr__raft_log_reset(&raft_log, 0, 0);
    }
}

/* The run that fits a limit is the longest, but never empty. */
Test(raft_log, run_is_the_longest_that_fits)
{
    for (int i = 0; i < 100; i++) {
        cr_assert(append(1, (size_t)(i * 7 % 50)));
    }
    for (uint64_t first = 1; first <= 100; first += 9) {
        for (uint64_t max = 0; max < 12000; max += 61) {
            uint64_t last = kvr__raft_log_run(&raft_log, first, max);
            cr_assert_geq(last, first);
            if (last > first) {
                cr_assert_leq(kvr__raft_log_bytes(&raft_log, first, last), max);
            }
            if (last < 100) {
                cr_assert_gt(kvr__raft_log_bytes(&raft_log, first, last + 1), max);
            }
        }
    }
}

/* FAULTS 25: a term that is not known is never told as 0. */
Test(raft_log, term_below_the_base_or_past_the_end_is_not_known)
{
    uint64_t term = 99;
    for (uint64_t t = 1; t <= 5; t++) {
        cr_assert(append(t, 10));
    }
    kvr__raft_log_discard(&raft_log, 3);

    cr_assert_not(kvr__raft_log_term(&raft_log, 2, &term));
    cr_assert_not(kvr__raft_log_term(&raft_log, 6, &term));
    cr_assert_eq(term, 99);
    cr_assert(kvr__raft_log_term(&raft_log, 3, &term));
    cr_assert_eq(term, 3);
    cr_assert(kvr__raft_log_term(&raft_log, 5, &term));
    cr_assert_eq(term, 5);
}

/* FAULTS 24: every hint against every first and last index is an index of the log, or its base. */
Test(raft_log, conflict_is_always_an_index_of_the_log)
{
    const uint64_t terms[] = {1, 1, 2, 2, 2, 5, 5, 6};
    for (uint64_t i = 0; i < 8; i++) {
        cr_assert(append(terms[i], 10));
    }
    for (uint64_t base = 0; base <= 8; base++) {
        kvr__raft_log_discard(&raft_log, base);
        for (uint64_t index = 0; index <= 12; index++) {
            for (uint64_t term = 0; term <= 7; term++) {
                uint64_t found = kvr__raft_log_conflict(&raft_log, index, term);

                uint64_t expected = base;
                for (uint64_t i = base + 1; i <= index && i <= 8; i++) {
                    expected = terms[i - 1] <= term ? i : expected;
                }
                cr_assert_eq(found, expected, "base %d index %d term %d", (int)base, (int)index,
                             (int)term);
            }
        }
    }
}

/* Bytes that were lent stay what they were, whatever becomes of the log. */
Test(raft_log, held_buffers_outlive_truncation_and_discarding)
{
    kvr_entry held[40];
    for (uint64_t i = 0; i < 40; i++) {
        cr_assert(append(1, 100));
        kvr__raft_log_entry(&raft_log, i + 1, &held[i]);
        kvr_buf_retain(held[i].buffer);
    }
    kvr__raft_log_discard(&raft_log, 10);
    kvr__raft_log_truncate(&raft_log, 20);
    for (int i = 0; i < 50; i++) {
        cr_assert(append(2, 100));
    }

    for (uint64_t i = 0; i < 40; i++) {
        kvr_entry entry;
        cr_assert_eq(kvr__entry_read(held[i].bytes, false, &entry), KVR_OK);
        cr_assert_eq(entry.index, i + 1);
        cr_assert_eq(entry.term, 1);
        kvr_buf_release(held[i].buffer);
    }
}

/* A log of a few small entries costs little; a big entry has a buffer of its own, of its size. */
Test(raft_log, memory_follows_what_is_held)
{
    cr_assert(append(1, 0));
    cr_assert_leq(alloc.live_bytes, 1024);

    cr_assert(append(1, 20000));
    kvr_entry big;
    kvr__raft_log_entry(&raft_log, 2, &big);
    cr_assert_eq(big.buffer->size, big.bytes.size);
    cr_assert_eq(big.buffer->capacity, big.bytes.size);
}

/* In a steady state of appending and discarding, segments come from the one that was let go
 * last. */
Test(raft_log, steady_state_does_not_allocate)
{
    for (int i = 0; i < 3000; i++) {
        cr_assert(append(1, 128));
    }
    kvr__raft_log_discard(&raft_log, 2700);
    for (int i = 0; i < 1000; i++) {
        cr_assert(append(1, 128));
        kvr__raft_log_discard(&raft_log, raft_log.last_index - 300);
    }
    uint64_t calls = alloc.call_count;

    for (int i = 0; i < 10000; i++) {
        cr_assert(append(1, 128));
        kvr__raft_log_discard(&raft_log, raft_log.last_index - 300);
    }

    cr_assert_leq(alloc.call_count - calls, 2);
}

/* Room that was found stays, so that a new leader's first entry cannot fail. */
Test(raft_log, room_once_found_needs_no_memory)
{
    for (int i = 0; i < 7; i++) {
        cr_assert(append(1, 40));
    }
    cr_assert_not_null(kvr__raft_log_room(&raft_log, KVR_ENTRY_HEADER_SIZE));
    kvr__raft_log_discard(&raft_log, 7);
    fault_arm(FAULT_ALLOC, 1, true);

    cr_assert_not_null(kvr__raft_log_room(&raft_log, KVR_ENTRY_HEADER_SIZE));

    fault_disarm();
}

static bool appended;

/* If memory ends, the log is as it was. */
Test(raft_log, failed_append_changes_nothing)
{
    FAULT_SWEEP(
        {
            kvr__raft_log_reset(&raft_log, 0, 0);
            kvr__raft_log_release(&raft_log);
            for (int i = 0; i < 8; i++) {
                cr_assert(append(1, 40));
            }
        },
        appended = append(2, 5000),
        {
            cr_assert_eq(appended, fault_fired() == 0);
            cr_assert_eq(raft_log.last_index, appended ? 9U : 8U);
            cr_assert_eq(raft_log.last_term, appended ? 2U : 1U);
            kvr__raft_log_check(&raft_log);
        });
}
