/* SPDX-License-Identifier: Apache-2.0 */
/* check_ghost.h: what each member's disk must hold, from the requests it submitted and the answers
 * it got; and every entry that anybody ever submitted, by (index, term). A log of the ghost is only
 * a list of terms: the registry knows the rest, because (index, term) names one entry in all logs
 * (R3, which is checked here, as each entry comes).
 *
 *   durable    what a crash now must leave, at least
 *   pending    requests under way, in the order in which they will be executed
 *   view       durable and all of pending: what the member has in memory
 *
 * A crash leaves durable and some first part of pending; which one, LOAD and the READs after it
 * tell (check_wal.h). */
#ifndef KVRAFT_TEST_SIM_CHECK_GHOST_H
#define KVRAFT_TEST_SIM_CHECK_GHOST_H

#include <kvraft/host.h>

#include "check.h"

typedef struct ghost_entry {
    uint64_t term;
    uint64_t prev_term;
    uint64_t submitted_ns; /* when its first copy went to a disk */
    uint64_t lease_clock;
    uint64_t checksum; /* over all of its bytes */
    uint8_t *command;
    uint32_t command_size;
    uint8_t kind;
    uint8_t reserved[3];
} ghost_entry;

typedef struct ghost_slot { /* all entries that were ever proposed at one index */
    ghost_entry *items;
    uint32_t count, capacity;
} ghost_slot;

typedef struct ghost_log {
    uint64_t *terms; /* by index; first..last are valid */
    uint32_t capacity;
    uint32_t reserved;
    uint64_t first; /* last + 1: empty */
    uint64_t last;
    uint64_t snapshot_index;
    uint64_t snapshot_term;
} ghost_log;

typedef struct ghost_vote {
    uint64_t term;
    uint64_t voted_for;
    uint64_t incarnation;
} ghost_vote;

typedef struct ghost_request {
    uint64_t token;
    uint64_t first; /* APPEND, DISCARD */
    uint64_t last;
    uint64_t *terms; /* APPEND */
    ghost_vote vote;
    uint64_t snapshot_index; /* SNAPSHOT_WRITE with KVR_STORE_LAST */
    uint64_t snapshot_term;
    uint8_t kind;
    bool all;   /* DISCARD */
    bool done;  /* answered; it waits for one that was executed before it */
    bool void_; /* answered, and nothing was done */
    uint8_t reserved[4];
} ghost_request;

typedef struct ghost_member {
    ghost_log durable;
    ghost_log view;
    ghost_vote vote; /* durable */
    struct {
        ghost_request *items;
        uint32_t count, capacity;
    } pending;
    uint32_t left; /* of pending: of a life that ended, and nobody knows yet what was done */
    uint32_t reserved;
    uint64_t discarded;     /* entries below it were said to be no longer needed */
    uint64_t durable_index; /* the view up to here is durable */
    uint64_t refused_first; /* for want of room, and not asked for again yet; 0: none */
} ghost_member;

typedef struct ghost {
    check_report *report;
    ghost_slot *slots; /* by index */
    uint32_t slot_count, slot_capacity;
    uint32_t member_count;
    uint32_t reserved;
    uint64_t now_ns; /* whoever runs the simulation keeps it */
    ghost_member members[CHECK_MEMBERS_MAX];
} ghost;

ghost *ghost_new(uint32_t member_count, check_report *report);
void ghost_free(ghost *g);

void ghost_submitted(ghost *g, uint32_t member, const kvr_store_request *request);
void ghost_stored(ghost *g, uint32_t member, const kvr_store_request *request,
                  const kvr_store_result *result);

/* NULL: nobody ever had it. */
const ghost_entry *ghost_find(const ghost *g, uint64_t index, uint64_t term);

/* The term at `index`; 0: it is not there, or compacted. The snapshot's own index counts. */
uint64_t ghost_term(const ghost_log *log, uint64_t index);

/* After a crash, when LOAD has answered: votes and snapshots are decided; the others stay pending,
 * and are `left`. */
void ghost_leave(ghost_member *member);

/* Of those that are left, the first `count` were done and the others never will be. */
void ghost_settle(ghost_member *member, uint32_t count);

/* True while a change is under way: only then may the member's log in memory be ahead of its
 * view. */
bool ghost_is_busy(const ghost_member *member);

/* Whether `entry`, read back from `index`, is the entry that was submitted. */
bool ghost_is_same(const ghost_entry *known, const kvr_entry *entry);

/* What pending request `count` - 1 leaves at `index`, over durable and those before it. 0:
 * nothing. */
uint64_t ghost_term_after(const ghost_member *member, uint32_t count, uint64_t index);

#endif
