/* SPDX-License-Identifier: Apache-2.0 */
/* run.h: one seed, from drawing its world to its verdict.
 *
 *   run_swarm.c   what kind of world: sizes, rates, mix of calls; half of the seeds leave each
 *                 family of faults out
 *   run_world.c   the cluster, and which checker hears of what
 *   run_client.c  who calls, and how; run_op.c makes operations
 *   run_phases.c  safety under faults; then healed: liveness; then all power fails, and what is
 *                 left is compared
 *   run_main.c    seeds, processes, lines */
#ifndef KVRAFT_TEST_SIM_RUN_H
#define KVRAFT_TEST_SIM_RUN_H

#include <kvraft/sim.h>
#include <stdio.h>

#include "check_history.h"
#include "check_lease.h"
#include "check_wal.h"
#include "check_watch.h"

enum {
    RUN_CLIENTS_MAX = 8,
    RUN_WATCHERS_MAX = 24,
    RUN_CALLS_MAX = 256, /* under way, of all clients */
    RUN_LEASES_MAX = 8
};

/* ------------------------------------------------------------------ chance */

typedef struct dice {
    uint64_t state;
} dice;

uint64_t dice_below(dice *d, uint64_t limit);
uint64_t dice_between(dice *d, uint64_t low, uint64_t high); /* both included */
bool dice_one_in(dice *d, uint32_t n);

/* ------------------------------------------------------------------ what kind of world */

/* Weights of what clients do. */
typedef struct run_mix {
    uint32_t put, delete_, txn, read_linear, look, compact, lease, watch, admin;
    uint32_t read_lease, read_stale, transfer;
} run_mix;

typedef struct run_plan {
    kvr_sim_config sim;
    kvr_node_config node;
    kvr_sim_network network;
    kvr_sim_disk_faults disk;
    run_mix mix;
    uint32_t client_count;
    uint32_t key_count;
    uint32_t calls_each; /* a client's calls under way, at most */
    uint32_t value_size_max;
    uint64_t think_ns; /* mean between two calls of a client */
    uint64_t ttl_ns_max;
    uint64_t step_count; /* events of the safety phase */
} run_plan;

void run_plan_draw(run_plan *plan, uint64_t seed, uint64_t steps);
void run_plan_print(const run_plan *plan, FILE *out);

/* ------------------------------------------------------------------ the world */

struct run_world;

/* One call under way. */
typedef struct run_call {
    history_call base;
    uint32_t client;
    bool is_used;
    uint8_t reserved[3];
} run_call;

typedef struct run_watcher {
    ghost_watcher base;
    uint64_t id;
    bool is_used;
    uint8_t reserved[7];
    uint8_t key[16];
    uint8_t range_end[16];
} run_watcher;

typedef struct run_client {
    struct run_world *world;
    uint32_t number;
    uint32_t member; /* whom it asks at present */
    uint32_t under_way;
    uint32_t reserved;
} run_client;

typedef struct run_clients {
    dice dice;
    bool quiet; /* nobody begins anything */
    uint8_t reserved[7];
    run_client items[RUN_CLIENTS_MAX];
    run_call calls[RUN_CALLS_MAX];
    run_watcher watchers[RUN_WATCHERS_MAX];
    int64_t leases[RUN_LEASES_MAX]; /* granted, and not known to be over; 0: none */
    uint64_t under_way;
    uint64_t write_count; /* makes values unique */
    uint64_t probe_done;  /* calls of run_clients_probe that were done */
} run_clients;

typedef struct run_world {
    run_plan plan;
    uint64_t seed;
    kvr_sim *sim;
    kvr_sim_sink sink;
    check_report report;
    ghost *ghost;
    check_raft raft;
    check_wal wal;
    check_store store;
    check_history history;
    check_lease lease;
    check_watch watch;
    run_clients clients;
    FILE *trace;             /* NULL: silent */
    uint64_t failed_members; /* a bit each: failed, and to be restarted */
    uint64_t lost_members;   /* a bit each: its disk is damaged beyond what it can repair */
    uint64_t blocks;         /* of memory, now */
    uint64_t spins;          /* events since time moved */
    uint64_t last_ns;
    bool is_asleep; /* nothing will happen unless somebody asks for it */
    uint8_t reserved[7];
} run_world;

/* What became of a seed. */
typedef struct run_verdict {
    check_report report;
    uint64_t time_ns;
    uint64_t events;
    uint64_t trace_hash;
    uint64_t done; /* calls */
    uint64_t unknown;
    uint64_t watched; /* events that watchers heard */
} run_verdict;

bool run_world_new(run_world *world);
void run_world_free(run_world *world);

/* One event, and all that is checked after it. False: a violation, or there is none (is_asleep). */
bool run_world_step(run_world *world);
bool run_world_is_up(const run_world *world, uint32_t member);
void run_world_status(const run_world *world, uint32_t member, kvr_node_status *out_status);

void run_clients_begin(run_world *world);
void run_clients_timer(run_world *world, void *user);
void run_clients_completed(run_world *world, uint32_t member, const kvr_completion *completion);
void run_clients_stopped(run_world *world, uint32_t member); /* its calls and watchers are gone */
/* A put and a linear read on each member that is up. Returns how many calls began. */
uint32_t run_clients_probe(run_world *world);
void run_clients_caught_up(run_world *world); /* every watcher heard all that its member has */

/* An operation in a room of its own. */
typedef struct run_op {
    kvr_op op;
    bool is_unique;
    uint32_t used_ops, used_compares, used_txns, used_bytes;
    kvr_op ops[32];
    kvr_compare compares[16];
    kvr_txn txns[8];
    uint8_t bytes[32768];
} run_op;

void run_op_draw(run_op *room, run_world *world, uint32_t kind);
kvr_slice run_op_key(run_op *room, run_world *world, uint64_t number);

void run_phases(run_world *world);
void run_seed(uint64_t seed, uint64_t steps, FILE *trace, run_verdict *out_verdict);

#endif
