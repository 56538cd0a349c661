/* SPDX-License-Identifier: Apache-2.0 */
/* check_fixture.h: hand-made histories for the checkers of test/sim: three members that say what a
 * test lets them say. */
#ifndef KVRAFT_TEST_UNIT_SIM_CHECK_FIXTURE_H
#define KVRAFT_TEST_UNIT_SIM_CHECK_FIXTURE_H

#include "sim/check_history.h"
#include "sim/check_lease.h"
#include "sim/check_wal.h"
#include "sim/check_watch.h"

enum { FIXTURE_MEMBERS = 3, FIXTURE_QUEUE_MAX = 32 };

extern check_report report;
extern ghost *ghosts;
extern check_raft raft;
extern check_wal wal;
extern check_store store;
extern check_history history;
extern check_lease leases;
extern check_watch watching;

void fixture_setup(void);
void fixture_teardown(void);

/* A violation of exactly this invariant was noted. */
#define EXPECT_VIOLATION(name)                                                             \
    do {                                                                                   \
        cr_assert(report.failed, "%s was not seen to be violated", name);                  \
        cr_assert_str_eq(report.invariant, name, "%s: %s", report.invariant, report.text); \
    } while (0)
#define EXPECT_NONE() cr_assert(!report.failed, "%s: %s", report.invariant, report.text)

/* ------------------------------------------------------------------ storage */

/* Entries first.. of these terms, all no-ops but with `salt` in their bytes; submitted, not
 * flushed. */
void say_append(uint32_t member, uint64_t first, uint32_t count, const uint64_t *terms,
                uint8_t salt);
/* One entry with a command. */
void say_append_command(uint32_t member, uint64_t index, uint64_t term, const kvr_slice *command);
void say_vote(uint32_t member, uint64_t term, uint64_t voted_for);
void say_snapshot(uint32_t member, uint64_t index, uint64_t term);
void say_discard(uint32_t member, uint64_t first, bool all);
void say_flushed(uint32_t member); /* all that was submitted, in order: KVR_OK */
void say_refused(uint32_t member); /* the oldest: KVR_ENOSPACE */
void say_crashed(uint32_t member);

typedef struct load {
    uint64_t term, voted_for, incarnation, first, last, snapshot_index, snapshot_term;
} load;
void say_loaded(uint32_t member, const load *what);
void say_read(uint32_t member, uint64_t first, uint32_t count, const uint64_t *terms, uint8_t salt);

/* A log of `count` entries of term 1, flushed everywhere; member 0 leads in term 1 and commits
 * them. */
void say_begun(uint32_t count);

/* ------------------------------------------------------------------ messages, status */

typedef struct said {
    uint8_t type; /* WIRE_* */
    uint64_t to;
    uint64_t term;
    uint64_t index; /* last_index, asked_term, prev_index or index: the first u64 of the body */
    uint64_t index_term; /* the second */
    uint16_t flags;
} said;
void say_message(uint32_t member, const said *what);

typedef struct shown {
    uint8_t role;
    uint64_t term, commit, applied, last, durable, voted_for;
} shown;
void say_status(uint32_t member, const shown *what, uint32_t message_type);

/* ------------------------------------------------------------------ commands */

/* Encodes a put (or with value NULL a delete) by origin (1, 1, sequence). Lends until the next
 * call. */
kvr_slice command_put(uint64_t sequence, const char *key, const char *value, int64_t lease);
kvr_slice command_numbers(uint8_t kind, uint64_t sequence, uint64_t a, uint64_t b);

/* Appends the command everywhere in term 1 and commits it. Returns its index. */
uint64_t commit_command(const kvr_slice *command);

kvr_op op_put(const char *key, const char *value);
kvr_completion answer_write(uint64_t index, uint64_t revision, const kvr_op_result *result);

#endif
