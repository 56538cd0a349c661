/* SPDX-License-Identifier: Apache-2.0 */
/* kvraft/sim.h: simulated hosts. A whole cluster in one process and one thread, with a network that
 * loses, repeats, delays and reorders, disks that lose and tear what was not synced, members that
 * crash and come back, and a clock of its own: all from one seed, so that every run can be repeated
 * bit for bit. The library's own tests run on it, and an embedder can test a program with it:
 *
 *   1. kvr_sim_config_init, choose members, seed and rates; kvr_sim_new
 *   2. give it work: kvr_sim_node(sim, i) and the calls of node.h; kvr_sim_after for timers of your
 *      own
 *   3. kvr_sim_step until what you wait for has happened, or kvr_sim_run for a span of simulated
 *      time. Check your own invariants after each step; completions and watch batches come through
 *      the sink
 *   4. make trouble: kvr_sim_crash, _restart, _cut, _heal, _set_network, _set_disk; or let the
 *      rates do it
 *   5. the same seed and the same calls give the same kvr_sim_trace_hash: print the seed when a
 *      check fails
 *   6. kvr_sim_free
 *
 * Members are real kvr_node handles; their storage is the real kvr_wal over a kvr_sim_disk, so the
 * log and recovery code that real disks get is the code under test. A member's crash drops the node
 * as it is and applies the crash to its disk; messages that arrive while it is down are lost, later
 * ones meet its next life. Each life of a member has a clock of its own, from another start and
 * (drift_ppm) of another rate.
 *
 * A kvr_sim_disk is also usable alone, below a kvr_wal of your own.
 *
 * One handle, one thread. Rates are parts per million. Times are simulated nanoseconds from 0,
 * without a member named: of the simulation, not of a member's clock. */
#ifndef KVRAFT_SIM_H
#define KVRAFT_SIM_H

#include <kvraft/base.h>
#include <kvraft/host.h>
#include <kvraft/node.h>
#include <kvraft/wal.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ------------------------------------------------------------------ a disk alone */

typedef struct kvr_sim_disk kvr_sim_disk;

/* What a simulated disk does beyond working. Zero: never. The first group is what every real disk
 * may do in a crash; the others are failures. */
typedef struct kvr_sim_disk_faults {
    uint32_t size;
    uint32_t crash_lose_ppm; /* an unsynced write is lost; default 400,000 */
    /* of the others: each of its sectors is kept or lost; default 300,000 */
    uint32_t crash_tear_ppm;
    /* a create, rename or unlink without directory sync is undone; default 500,000 */
    uint32_t crash_names_ppm;
    uint32_t write_error_ppm; /* pwrite fails with KVR_EIO */
    /* fdatasync fails with KVR_EIO, and what it covered is as after a crash */
    uint32_t sync_error_ppm;
    uint32_t read_error_ppm;
    uint32_t short_ppm;      /* pwrite and pread do less than asked */
    uint32_t rot_flip_ppm;   /* a sector read back has one bit flipped, for good */
    uint32_t rot_zero_ppm;   /* a sector read back is zero, for good */
    uint32_t rot_stale_ppm;  /* a synced write did not reach the disk: the old sector stays */
    uint32_t misdirect_ppm;  /* a synced write went to another sector of the same file as well */
    uint64_t capacity_bytes; /* 0: endless; else KVR_ENOSPACE beyond it */
} kvr_sim_disk_faults;

/* Defaults: the crash behaviour above, no failures. KVR_EINVAL (size). */
KVR_API kvr_status kvr_sim_disk_faults_init(kvr_sim_disk_faults *faults,
                                            uint32_t size) KVR_MUST_USE;

/* An empty disk. Gives *out_disk. KVR_EINVAL, KVR_ENOMEM. */
KVR_API kvr_status kvr_sim_disk_new(uint64_t seed, const kvr_allocator *allocator,
                                    void *allocator_ctx, kvr_sim_disk **out_disk) KVR_MUST_USE;
KVR_API void kvr_sim_disk_free(kvr_sim_disk *disk); /* NULL is ignored */

/* The file calls of wal.h; their ctx is the disk. */
KVR_API const kvr_file_ops *kvr_sim_disk_ops(void);

/* Borrowed. */
KVR_API void kvr_sim_disk_set_faults(kvr_sim_disk *disk, const kvr_sim_disk_faults *faults);

/* Power fails: open files are gone; what was not synced is kept, lost or torn, sector by sector, as
 * the seed decides; names that no directory sync covers are kept or undone. Then there is power
 * again. */
KVR_API void kvr_sim_disk_crash(kvr_sim_disk *disk);

/* The next `calls` file calls are done, all later ones answer KVR_EIO and do nothing, until
 * kvr_sim_disk_crash: for crashes at each call of a scenario. */
KVR_API void kvr_sim_disk_crash_after(kvr_sim_disk *disk, uint64_t calls);

/* Flips bit `bit` of the byte at `offset` of file `name`, synced or not. KVR_OK, KVR_ENOTFOUND. */
KVR_API kvr_status kvr_sim_disk_flip(kvr_sim_disk *disk, const char *name, uint64_t offset,
                                     uint32_t bit) KVR_MUST_USE;

/* Bytes of a sector, the unit of damage: 512. */
KVR_API uint32_t kvr_sim_disk_sector_size(void);

/* Name of file number `i`, in order of creation; NULL: no such i. Lends until the next file
 * call. */
KVR_API const char *kvr_sim_disk_file(const kvr_sim_disk *disk, uint32_t i, uint64_t *out_bytes);

/* The sector that holds `offset` of file `name`, as a reader sees it, zero beyond the file's end;
 * and how many flushes of the file there were since it was written: 0, it is not durable; 2, others
 * were written after it. out_bytes has room for a sector. KVR_OK, KVR_ENOTFOUND. */
KVR_API kvr_status kvr_sim_disk_get_sector(const kvr_sim_disk *disk, const char *name,
                                           uint64_t offset, uint8_t *out_bytes,
                                           uint64_t *out_flushes) KVR_MUST_USE;

/* Damage by hand: the sector holds these bytes now, as far as the file reaches; nothing is written
 * or flushed. KVR_OK, KVR_ENOTFOUND. */
KVR_API kvr_status kvr_sim_disk_set_sector(kvr_sim_disk *disk, const char *name, uint64_t offset,
                                           const uint8_t *bytes) KVR_MUST_USE;

/* Counts since the disk was made. */
typedef struct kvr_sim_disk_status {
    uint32_t size;
    uint32_t files;
    uint64_t bytes;
    uint64_t writes;
    uint64_t syncs;
    uint64_t faults; /* failures and damage done */
} kvr_sim_disk_status;
KVR_API void kvr_sim_disk_get_status(const kvr_sim_disk *disk, kvr_sim_disk_status *out_status);

/* ------------------------------------------------------------------ a cluster */

typedef struct kvr_sim kvr_sim;

/* The network between members. Delay is minimum plus an exponential with the given mean. */
typedef struct kvr_sim_network {
    uint32_t size;
    uint32_t loss_ppm;
    uint32_t repeat_ppm;    /* delivered once more, later; one in eight of these much later */
    uint32_t corrupt_ppm;   /* one byte changed on the way */
    uint64_t delay_ns_min;  /* default 200 us */
    uint64_t delay_ns_mean; /* default 300 us: reordering comes from it */
    /* a message finds its link clogged: this one and later ones arrive when that is over */
    uint32_t clog_ppm;
    /* under way from one member to another, more are lost; 0: endless */
    uint32_t link_messages_max;
    uint64_t clog_ns_mean; /* default 1 s */
} kvr_sim_network;
KVR_API kvr_status kvr_sim_network_init(kvr_sim_network *network, uint32_t size) KVR_MUST_USE;

enum {
    KVR_SIM_MESSAGE = 1,  /* member received a message from `peer` */
    KVR_SIM_STORAGE = 2,  /* member's disk completed a batch of requests */
    KVR_SIM_TIMER = 3,    /* member's deadline came, or calls wait to be worked on */
    KVR_SIM_CALL = 4,     /* a timer of the caller fired */
    KVR_SIM_CRASH = 5,    /* member lost power, maybe within a batch, or while it started */
    KVR_SIM_RESTART = 6,  /* member started */
    KVR_SIM_CUT = 7,      /* links were cut; member and peer name one of them */
    KVR_SIM_MEND = 8,     /* these pass again */
    KVR_SIM_UPKEEP = 9,   /* member's disk did what can wait: kvr_wal_maintain, kvr_wal_idle */
    KVR_SIM_FAILURE = 10, /* member failed for good: kvr_sim_get_member_status says how */
    KVR_SIM_PAUSE = 11,   /* member stands still for span_ns, as a stopped process does */
    KVR_SIM_STALL = 12,   /* member's disk answers nothing for span_ns */
    KVR_SIM_JUMP = 13     /* member's clock went ahead by span_ns at once */
};

/* What one step did. */
typedef struct kvr_sim_event {
    uint64_t time_ns;
    uint32_t kind;         /* KVR_SIM_* */
    uint32_t member;       /* 0-based; UINT32_MAX: none */
    uint32_t peer;         /* 0-based; UINT32_MAX: none */
    uint32_t message_type; /* of raft.h's envelope */
    uint64_t term;
    uint64_t span_ns; /* PAUSE, STALL, JUMP; MESSAGE: how long it was under way */
} kvr_sim_event;

/* What chance does, by kind. */
enum {
    KVR_SIM_FAULT_LOSS = 1,
    KVR_SIM_FAULT_REPEAT = 2,
    KVR_SIM_FAULT_CORRUPT = 3,
    KVR_SIM_FAULT_CLOG = 4,
    KVR_SIM_FAULT_CRASH = 5,
    KVR_SIM_FAULT_CUT = 6,
    KVR_SIM_FAULT_PAUSE = 7,
    KVR_SIM_FAULT_STALL = 8,
    KVR_SIM_FAULT_JUMP = 9,
    KVR_SIM_FAULT_DISK = 10,   /* a call fails or is short; a sector rots */
    KVR_SIM_FAULT_BUGGIFY = 64 /* + its number: a site of the library takes its rare way */
};

/* How the caller hears from members; any may be NULL. Called from inside step and run; may make
 * calls on the nodes, and kvr_sim_after, nothing else of the simulator. `member` is 0-based. */
typedef struct kvr_sim_sink {
    uint32_t size;
    uint32_t reserved;
    void (*completed)(void *ctx, uint32_t member, const kvr_completion *completion);
    void (*watched)(void *ctx, uint32_t member, const kvr_watch_batch *batch);
    void (*timer)(void *ctx, void *user); /* of kvr_sim_after */
    /* after each event, with the cluster at rest: check here */
    void (*event)(void *ctx, const kvr_sim_event *event);
    void (*log)(void *ctx, uint32_t member, const char *line); /* what --verbose shows */
    /* each message that a member sends */
    void (*sent)(void *ctx, uint32_t member, const kvr_message *message);
    /* in the order of execution */
    void (*submitted)(void *ctx, uint32_t member, const kvr_store_request *request);
    void (*stored)(void *ctx, uint32_t member, const kvr_store_request *request,
                   const kvr_store_result *result); /* before the member hears of it */
    /* Chance wants a fault (KVR_SIM_FAULT_*) on `member`: 0, it does not happen. `decision` names
     * it in this seed: it stays the same when other faults are left out, so that a failing run can
     * be reduced. Calls nothing. */
    uint8_t (*fault)(void *ctx, uint32_t member, uint32_t kind, uint64_t decision);
} kvr_sim_sink;

/* Zero means default. Fill with kvr_sim_config_init. */
typedef struct kvr_sim_config {
    uint32_t size;
    uint32_t member_count; /* default 3, 1..9; ids are 1.. in order */
    uint64_t seed;
    /* NULL, or the pattern for each member (ids, seed and tables are the simulator's): timeouts,
     * thresholds; borrowed */
    const kvr_node_config *node;
    uint32_t run_budget;    /* of each kvr_node_ready_get, default 10,000 */
    uint32_t batch_bytes;   /* of the wal, default 64 KiB */
    uint64_t segment_bytes; /* of the wal, default 64 KiB */
    uint64_t disk_ns_min;   /* one batch of storage requests takes this ... default 50 us */
    uint64_t disk_ns_mean;  /* ... plus an exponential with this mean; default 100 us */
    /* A member crashes at an event: half of the crashes are within a disk's batch, one in 16 hits
     * everybody; one in 5 restarts crashes again while it reads. */
    uint32_t crash_ppm;
    /* A partition begins at an event: one member (or the leader), a half, one way, some links of
     * one member; a quarter of these come and go; or members one by one, which come back in another
     * order. */
    uint32_t cut_ppm;
    /* a member's clock is fast or slow by up to this, default 0, at most 100,000 */
    uint32_t drift_ppm;
    uint32_t pause_ppm; /* at an event a member stands still */
    uint32_t stall_ppm; /* at an event a disk does */
    uint32_t jump_ppm;  /* at an event a member's clock jumps ahead */
    /* 1: the library now and then takes a rare way by itself (lib/base/buggify.h). Only builds with
     * -DKVR_CHECK can: others refuse it. */
    uint32_t buggify;
    uint32_t reserved;
    uint64_t down_ns_mean;           /* then it is down for about so long; default 2 s */
    uint64_t cut_ns_mean;            /* default 3 s */
    uint64_t pause_ns_mean;          /* default 1 s */
    uint64_t stall_ns_mean;          /* default 2 s */
    uint64_t jump_ns_max;            /* default one hour */
    const kvr_sim_network *network;  /* NULL: defaults; borrowed */
    const kvr_sim_disk_faults *disk; /* NULL: defaults; borrowed */
    const kvr_sim_sink *sink;        /* lent for the simulator's life */
    void *sink_ctx;
    const kvr_allocator *allocator;
    void *allocator_ctx;
} kvr_sim_config;
KVR_API kvr_status kvr_sim_config_init(kvr_sim_config *config, uint32_t size) KVR_MUST_USE;

/* A cluster whose members start at time 0 on empty disks. Gives *out_sim. KVR_EINVAL,
 * KVR_ENOMEM. */
KVR_API kvr_status kvr_sim_new(const kvr_sim_config *config, kvr_sim **out_sim) KVR_MUST_USE;
KVR_API void kvr_sim_free(kvr_sim *sim); /* NULL is ignored */

/* The next event. KVR_OK (fills *out_event unless NULL), KVR_END (nothing will ever happen),
 * KVR_ENOMEM (a message was lost, or the member that needed memory was stopped as if it had
 * crashed). A member that fails for good is not an error: KVR_SIM_FAILURE tells it. */
KVR_API kvr_status kvr_sim_step(kvr_sim *sim, kvr_sim_event *out_event) KVR_MUST_USE;

/* Steps until `span_ns` of simulated time has passed. */
KVR_API kvr_status kvr_sim_run(kvr_sim *sim, uint64_t span_ns) KVR_MUST_USE;

KVR_API uint64_t kvr_sim_now(const kvr_sim *sim);
/* of kinds MESSAGE, STORAGE, TIMER and CALL */
KVR_API uint64_t kvr_sim_event_count(const kvr_sim *sim);

/* A hash over all events so far and over what each member told the host. */
KVR_API uint64_t kvr_sim_trace_hash(const kvr_sim *sim);

/* The member's handle, for calls; NULL while it is down. Ask anew each time: it is how the
 * simulator learns that the member may have work. Nothing happens until step. */
KVR_API kvr_node *kvr_sim_node(kvr_sim *sim, uint32_t member);

/* The same, for questions only; a member that failed can still be asked for its status. NULL while
 * it is down. */
KVR_API const kvr_node *kvr_sim_look(const kvr_sim *sim, uint32_t member);
KVR_API kvr_sim_disk *kvr_sim_member_disk(kvr_sim *sim, uint32_t member);

enum {
    KVR_SIM_DOWN = 0,
    KVR_SIM_UP = 1,
    KVR_SIM_FAILED = 2 /* the wal refused to open, or the node has a fatal status */
};

typedef struct kvr_sim_member_status {
    uint32_t size;
    uint32_t state;     /* KVR_SIM_DOWN.. */
    kvr_status failure; /* KVR_OK, or why it failed */
    uint32_t reserved;
    uint64_t starts;
    uint64_t clock_ns; /* of its present life, now */
    const char *error; /* one line, "" if it did not fail; lends until the next step */
} kvr_sim_member_status;
KVR_API void kvr_sim_get_member_status(const kvr_sim *sim, uint32_t member,
                                       kvr_sim_member_status *out_status);

/* The 0-based member that leads in the highest term and is up; UINT32_MAX: none. */
KVR_API uint32_t kvr_sim_leader(const kvr_sim *sim);

/* Calls sink.timer with `user` after `delay_ns`. */
KVR_API kvr_status kvr_sim_after(kvr_sim *sim, uint64_t delay_ns, void *user) KVR_MUST_USE;

/* A random number below `limit` from the caller's own stream: drawing one more shifts no fault. */
KVR_API uint64_t kvr_sim_random(kvr_sim *sim, uint64_t limit);

/* Trouble by hand, not from inside the sink. Crash of a member that is down, and restart of one
 * that is up, do nothing; one that failed can be restarted. A restart makes a new node on the disk
 * that the crash left. KVR_ENOMEM: it is down, as before. */
KVR_API void kvr_sim_crash(kvr_sim *sim, uint32_t member);
KVR_API kvr_status kvr_sim_restart(kvr_sim *sim, uint32_t member) KVR_MUST_USE;

/* Messages from one member to another are lost from now on, or (`cut` false) pass again. */
KVR_API void kvr_sim_cut(kvr_sim *sim, uint32_t from, uint32_t to, uint8_t cut);

/* True if a message from one member to another would be lost now: by hand or by chance. */
KVR_API bool kvr_sim_is_cut(const kvr_sim *sim, uint32_t from, uint32_t to);

/* All links pass, nobody stands still, rates of the configuration are zero, everybody who is down
 * or failed comes back: the beginning of a liveness phase. Network and disks stay as they are set.
 * KVR_ENOMEM: some are still down. */
KVR_API kvr_status kvr_sim_heal(kvr_sim *sim) KVR_MUST_USE;

KVR_API void kvr_sim_set_network(kvr_sim *sim, const kvr_sim_network *network);
KVR_API void kvr_sim_set_disk(kvr_sim *sim, uint32_t member, const kvr_sim_disk_faults *faults);

#ifdef __cplusplus
}
#endif
#endif
