/* SPDX-License-Identifier: Apache-2.0 */
/* run.h: one seed, from drawing its world to its verdict.
 *
 *   run_swarm.c     what kind of world: half of the seeds leave each family of faults out
 *   run_knob.c      the same as names and numbers; run_spec.c one run as flags and as a file
 *   run_world.c     the cluster, and which checker hears of what
 *   run_trouble.c   faults that the simulator leaves to its user: damage, memory, room
 *   run_client.c    who calls, and how; run_op.c makes operations; run_register.c others
 *   run_phases.c    safety under faults; a healed core: liveness; all power fails: compare
 *   run_main.c      flags; run_jobs.c seeds and processes
 *   run_shrink.c    the smallest run that still fails; run_page.c a run as a picture */
#ifndef KVRAFT_TEST_SIM_RUN_H
#define KVRAFT_TEST_SIM_RUN_H

#include <kvraft/sim.h>
#include <stdio.h>

#include "check_history.h"
#include "check_lease.h"
#include "check_linear.h"
#include "check_wal.h"
#include "check_watch.h"

enum {
    RUN_CLIENTS_MAX = 8,
    RUN_REGISTER_CLIENTS_MAX = 8,
    RUN_REGISTERS = 3,
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
    uint32_t read_lease, read_stale, transfer, change;
} run_mix;

/* Families of knobs. */
enum {
    RUN_SIZES = 1,
    RUN_WORKLOAD = 2,
    RUN_NETWORK = 4,
    RUN_PARTITION = 8,
    RUN_PROCESS = 16,  /* crashes and pauses */
    RUN_ERRORS = 32,   /* of file calls */
    RUN_SLOW = 64,     /* disks that stall */
    RUN_FULL = 128,    /* disks without room */
    RUN_DAMAGE = 256,  /* of what was flushed */
    RUN_CLOCK = 512,   /* drift and jumps */
    RUN_MEMORY = 1024, /* allocations that fail */
    RUN_SITES = 2048,  /* rare ways of the library */
    RUN_CORE = 4096    /* who stays away for ever */
};

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
    /* Flushed bytes are damaged at an event, of these members only, a bit each: no more than the
     * others are a quorum without (the cluster must live), or all (it must refuse and not lie). */
    uint32_t damage_ppm;
    uint32_t damage_members;
    uint32_t memory_ppm; /* an allocation fails */
    uint32_t full_ppm;   /* at an event a disk becomes full for a while */
    uint64_t full_ns;
    uint32_t away_count; /* members that stay away in the liveness phase */
    uint32_t away_cut;   /* 1: cut off; 0: without power */
    uint32_t register_clients;
    uint32_t reserved;
} run_plan;

void run_plan_draw(run_plan *plan, uint64_t seed);
void run_plan_print(const run_plan *plan, FILE *out);

/* ------------------------------------------------------------------ one run, as it is told */

typedef struct run_setting {
    uint32_t knob; /* its place */
    uint32_t reserved;
    uint64_t value;
} run_setting;

enum { RUN_SETTINGS_MAX = 96 };

/* A seed, and what differs from what it draws. */
typedef struct run_spec {
    uint64_t seed;
    uint32_t setting_count;
    bool has_faults; /* only those in `faults` happen by chance */
    uint8_t reserved[3];
    run_setting settings[RUN_SETTINGS_MAX];
    uint64_t *faults; /* decisions, ascending */
    uint32_t fault_count, fault_capacity;
} run_spec;

uint32_t run_knob_count(void);
const char *run_knob_name(uint32_t knob);
uint32_t run_knob_family(uint32_t knob);
uint32_t run_knob_find(const char *name, size_t size); /* UINT32_MAX: none */
uint64_t run_knob_get(const run_plan *plan, uint32_t knob);
void run_knob_set(run_plan *plan, uint32_t knob, uint64_t value);
uint64_t run_knob_calm(uint32_t knob); /* what leaves no fault, or is easy to read */

/* Sets, or replaces, one setting. */
void run_spec_set(run_spec *spec, uint32_t knob, uint64_t value);
bool run_spec_read_setting(run_spec *spec, const char *text); /* NAME=VALUE */
bool run_spec_read(run_spec *spec, const char *file_name);
bool run_spec_write(const run_spec *spec, const char *why, const char *file_name);
void run_spec_plan(const run_spec *spec, run_plan *out_plan);
void run_spec_print_flags(const run_spec *spec, FILE *out);

/* ------------------------------------------------------------------ the world */

struct run_world;

/* One call under way. */
typedef struct run_call {
    history_call base;
    uint32_t client;
    uint32_t register_number; /* 0: it is not about a register */
    linear_call seen;         /* as far as it is known when it begins */
    bool is_used;
    uint8_t reserved[7];
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
    bool has_registers; /* it knows nothing else */
    uint8_t reserved[3];
} run_client;

typedef struct run_clients {
    dice dice;
    bool quiet; /* nobody begins anything */
    uint8_t reserved[7];
    run_client items[RUN_CLIENTS_MAX + RUN_REGISTER_CLIENTS_MAX];
    run_call calls[RUN_CALLS_MAX];
    run_watcher watchers[RUN_WATCHERS_MAX];
    int64_t leases[RUN_LEASES_MAX]; /* granted, and not known to be over; 0: none */
    uint64_t under_way;
    uint64_t write_count; /* makes values unique */
    uint64_t probe_done;  /* calls of run_clients_probe that were done */
} run_clients;

/* Faults that happened, or that may. */
typedef struct run_faults {
    uint64_t *items;
    uint32_t count, capacity;
} run_faults;

/* Beyond those of sim.h. */
enum { RUN_FAULT_DAMAGE = 32, RUN_FAULT_MEMORY = 33, RUN_FAULT_FULL = 34, RUN_FAULT_KINDS = 128 };

enum { RUN_KEEPSAKES = 16 };

/* A sector as it once was: a write to it may turn out lost. */
typedef struct run_keepsake {
    uint32_t member;
    char name[64];
    uint64_t offset;
    uint8_t bytes[512];
} run_keepsake;

typedef struct run_trouble {
    dice damage_dice, memory_dice, full_dice;
    dice details;      /* of the decision that was made last */
    bool memory_armed; /* allocations may fail now */
    bool over;
    uint32_t keepsake_count;
    run_keepsake keepsakes[RUN_KEEPSAKES];
    uint64_t full_until[CHECK_MEMBERS_MAX]; /* 0: it has room */
} run_trouble;

/* Who listens to a run; any may be NULL. */
typedef struct run_listener {
    FILE *trace;
    struct page *page;
    run_faults *faults; /* collects what happens */
} run_listener;

enum { RUN_SAFETY = 0, RUN_LIVENESS = 1, RUN_POWER_FAILURE = 2 };

typedef struct run_world {
    run_plan plan;
    const run_spec *spec;
    run_listener listener;
    run_trouble trouble;
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
    linear_register registers[RUN_REGISTERS];
    uint64_t undecided; /* registers whose search was too long */
    run_clients clients;
    uint64_t failed_members;  /* a bit each: failed, and to be restarted */
    uint64_t losses;          /* how often damage came to light */
    uint64_t away_members;    /* a bit each: away until the last phase */
    uint64_t damaged_members; /* a bit each: some of what it flushed was damaged */
    uint64_t fault_counts[RUN_FAULT_KINDS];
    uint64_t lost_members; /* a bit each: its disk is damaged beyond what it can repair */
    uint64_t blocks;       /* of memory, now */
    uint32_t phase;        /* RUN_SAFETY.. */
    uint32_t reserved2;
    uint64_t spins; /* events since time moved */
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
    uint64_t undecided; /* registers */
    uint64_t watched;   /* events that watchers heard */
    uint64_t faults[RUN_FAULT_KINDS];
} run_verdict;

bool run_world_new(run_world *world);
void run_world_free(run_world *world);

/* One event, and all that is checked after it. False: a violation, or there is none (is_asleep). */
bool run_world_step(run_world *world);
/* A line of the trace, and of the page, about what the simulator itself does not tell. */
void run_world_say(run_world *world, uint32_t member, const char *word, const char *what,
                   uint64_t number);
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
const char *run_op_words(const run_op *room); /* lends until the next call */
kvr_slice run_op_key(run_op *room, run_world *world, uint64_t number);

/* NULL: too many are under way. `what` is for the page. */
run_call *run_call_new(run_world *world, run_client *client, uint8_t kind, const char *what);
/* False: it was refused at once, and is over. */
bool run_call_taken(run_world *world, run_call *call, kvr_status status);

/* ------------------------------------------------------------------ registers */

void run_register_act(run_world *world, run_client *client, kvr_node *node);
/* completion NULL: its member is gone. */
void run_register_ended(run_world *world, const run_call *call, const kvr_completion *completion);
void run_register_judge(run_world *world);
void run_register_release(run_world *world);

/* ------------------------------------------------------------------ trouble */

/* Whether a fault that chance wants may happen in this run. */
bool run_trouble_wants(run_world *world, uint32_t kind, uint64_t decision);
void run_trouble_begin(run_world *world);
void run_trouble_event(run_world *world); /* after each event */
void run_trouble_end(run_world *world);
extern const kvr_allocator run_trouble_allocator; /* ctx: the world */

/* ------------------------------------------------------------------ a run, and many */

void run_phases(run_world *world);
void run_seed(const run_spec *spec, const run_listener *listener, run_verdict *out_verdict);

/* In a process of its own. False: it could not be started. */
bool run_apart(const run_spec *spec, run_verdict *out_verdict);
/* Reduces a run that fails; prints what it does to `out`. */
void run_shrink(run_spec *spec, FILE *out);

#endif
