/* SPDX-License-Identifier: Apache-2.0 */
/* explore.h: every interleaving of a small scope. Two or three members of raft.h, a network that
 * keeps what is under way in no order, disks whose requests are done one by one, and budgets for
 * what may happen by itself: timeouts, heartbeats, proposals, crashes, repetitions, snapshots. The
 * core is pure and all its memory lies in one arena, so a state is a copy of some bytes: the search
 * walks depth first over all actions and never enters a state twice.
 *
 *   explore_world.c   a state, and what an action does to it
 *   explore_check.c   what must be true in each, over its whole past
 *   explore_hash.c    when two states are the same
 *   explore_main.c    the search, its scopes and its words */
#ifndef KVRAFT_TEST_EXPLORE_EXPLORE_H
#define KVRAFT_TEST_EXPLORE_EXPLORE_H

#include <kvraft/raft.h>

enum {
    EX_MEMBERS_MAX = 3,
    EX_INDEX_MAX = 24,
    EX_TERM_MAX = 16,
    EX_ENTRY_BYTES = 160,
    EX_MESSAGES_MAX = 8,
    EX_MESSAGE_BYTES = 768,
    EX_REQUESTS_MAX = 6,
    EX_REQUEST_ENTRIES_MAX = 6,
    EX_CONFIGURATION_BYTES = 128,
    EX_ACTIONS_MAX = 96,
    EX_ARENA_BYTES = 1 << 20
};

/* ------------------------------------------------------------------ a state */

typedef struct ex_entry {
    uint64_t term;
    uint32_t size;
    uint32_t reserved;
    uint8_t bytes[EX_ENTRY_BYTES];
} ex_entry;

/* What a disk was asked for, with all that it needs. */
typedef struct ex_request {
    uint64_t token;
    uint64_t first, last;
    uint64_t term, voted_for, incarnation;
    uint64_t offset;
    uint64_t snapshot_index, snapshot_term, chain;
    uint8_t kind;
    uint8_t flags;
    uint8_t entry_count;
    uint8_t chunk_size;
    uint32_t configuration_size;
    ex_entry entries[EX_REQUEST_ENTRIES_MAX];
    uint8_t configuration[EX_CONFIGURATION_BYTES];
} ex_request;

/* What a crash leaves. */
typedef struct ex_disk {
    uint64_t term, voted_for, incarnation;
    uint64_t first, last; /* of the log; last + 1 == first: it is empty */
    uint64_t snapshot_index, snapshot_term, chain;
    uint32_t configuration_size;
    uint32_t reserved;
    uint8_t configuration[EX_CONFIGURATION_BYTES];
    ex_entry log[EX_INDEX_MAX]; /* by index */
} ex_disk;

typedef struct ex_message {
    uint8_t to; /* member + 1; 0: free */
    uint8_t from;
    uint16_t size;
    uint32_t reserved;
    uint8_t bytes[EX_MESSAGE_BYTES];
} ex_message;

typedef struct ex_member {
    kvr_raft *raft; /* in the arena */
    uint64_t now;
    uint64_t chain; /* the state machine: a hash over all that was applied */
    uint64_t applied;
    uint32_t request_count;
    uint32_t reserved;
    ex_request requests[EX_REQUESTS_MAX];
    ex_disk disk;
} ex_member;

/* What may still happen by itself. */
typedef struct ex_budget {
    uint8_t timeouts, heartbeats, proposals, crashes, repeats, snapshots, messages, members;
} ex_budget;

/* What is known of the past. */
typedef struct ex_past {
    uint8_t leaders[EX_TERM_MAX];               /* member + 1; 0: none */
    uint8_t votes[EX_TERM_MAX][EX_MEMBERS_MAX]; /* durable ones: member + 1 */
    uint64_t committed[EX_INDEX_MAX];           /* term of the entry applied at an index; 0: none */
    uint64_t since[EX_INDEX_MAX];               /* and the highest term there was then */
    uint64_t chains[EX_INDEX_MAX];              /* of the state after it */
    uint64_t committed_last;
} ex_past;

typedef struct ex_world {
    ex_budget left;
    ex_past past;
    ex_member members[EX_MEMBERS_MAX];
    ex_message messages[EX_MESSAGES_MAX];
    size_t arena_used;
    void *arena_free[32]; /* by size class */
} ex_world;

extern ex_world world;
extern uint8_t ex_arena[EX_ARENA_BYTES];
extern const char *ex_failure; /* NULL: nothing is violated in this state */
extern char ex_failure_text[256];

void ex_fail(const char *invariant, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ------------------------------------------------------------------ actions */

enum {
    EX_DELIVER = 1,   /* message `what` arrives */
    EX_REPEAT = 2,    /* it arrives, and stays under way */
    EX_DISK = 3,      /* member `who`: its oldest request is done */
    EX_TIMEOUT = 4,   /* its election timeout, or for a leader one without hearing from anybody */
    EX_HEARTBEAT = 5, /* a leader's heartbeat is due */
    EX_PROPOSE = 6,
    EX_CRASH = 7,   /* it loses power when `what` of its requests were done, and starts again */
    EX_SNAPSHOT = 8 /* it takes one, and forgets its log */
};

typedef struct ex_action {
    uint8_t kind, who, what, reserved;
} ex_action;

void ex_world_begin(const ex_budget *budget);
uint32_t ex_world_actions(ex_action *out); /* all that may happen now */
void ex_world_act(const ex_action *action);
void ex_world_describe(const ex_action *action, char *out, size_t size);

uint64_t ex_hash(void);
void ex_check(void); /* after each action */
void ex_check_applied(uint32_t member, const kvr_entry *entry);
void ex_check_installed(uint32_t member, uint64_t index, uint64_t chain);
void ex_check_vote(uint32_t member, uint64_t term, uint64_t voted_for);
void ex_check_sent(uint32_t member, const kvr_message *message);
uint64_t ex_mix(uint64_t hash, uint64_t value);

#endif
