/* SPDX-License-Identifier: Apache-2.0 */
/* sim_internal.h: what the files of a simulated cluster share. One heap of events ordered by (time,
 * sequence) is the whole world; each step takes the first one:
 *
 *   MESSAGE            sim_network.c   arrives at a member that is up
 *   STORAGE, UPKEEP    sim_storage.c   the member's disk has done what it was asked
 *   TIMER, RESTART     sim_member.c    a member's deadline, a member's start
 *   CRASH, PAUSE, STALL, JUMP   sim_trouble.c     chance strikes a member
 *   CUT, MEND          sim_partition.c ... or links
 *   CALL, FAILURE      sim.c           news for the caller
 *
 * What a member then wants (storage requests, messages, completions) goes from its ready back into
 * the heap [kvr__sim_member_run]. The disk below is sim_disk_internal.h's. */
#ifndef KVRAFT_LIB_SIM_INTERNAL_H
#define KVRAFT_LIB_SIM_INTERNAL_H

#include <kvraft/sim.h>

#include "base/buggify.h"
#include "base/heap.h"
#include "base/memory.h"
#include "base/ring.h"
#include "base/slab.h"
#include "sim_disk_internal.h"
#include "sim_stream.h"

enum {
    KVR__SIM_MEMBERS_MAX = 9,
    KVR__SIM_NONE = -1, /* as uint32_t: no member */
    KVR__SIM_BATCH_MAX = 64,
    KVR__SIM_CUTS_MAX = 4, /* partitions at a time, of those that chance makes */
    KVR__SIM_STAGES_MAX = 2 * KVR__SIM_MEMBERS_MAX,
    KVR__SIM_TROUBLES = 3, /* PAUSE, STALL, JUMP */
    KVR__SIM_ERROR_SIZE = 512,
    KVR__SIM_IDLE_NS = 100 * 1000 * 1000 /* wal.h: then vouch */
};

/* Something that will happen. Messages and the caller's timers own their item; all others are part
 * of a member or a cut, and in the heap at most once. */
typedef struct kvr__sim_item {
    kvr__heap_item due; /* key: time; id: sequence */
    uint32_t kind;      /* KVR_SIM_* */
    uint32_t member;
    uint32_t peer;
    uint32_t size; /* of the bytes behind it */
    void *user;
    uint64_t since_ns; /* a message: when it was sent */
} kvr__sim_item;

/* What a member's disk does at its next event. */
enum {
    KVR__SIM_IDLE = 0,
    KVR__SIM_BATCH = 1,    /* the first `batch_count` requests of the queue */
    KVR__SIM_MAINTAIN = 2, /* kvr_wal_maintain */
    KVR__SIM_VOUCH = 3     /* kvr_wal_idle */
};

typedef struct kvr__sim_member {
    kvr_sim *sim;
    uint32_t number; /* 0-based; its id is one more */
    uint32_t state;  /* KVR_SIM_DOWN.. */
    kvr_node *node;  /* NULL: down, or its wal refused */
    kvr_wal *wal;
    kvr_sim_disk *disk;

    kvr__sim_item timer;
    kvr__sim_item work; /* the disk's */
    kvr__sim_item crash;
    kvr__sim_item restart;
    kvr__sim_item failure;
    kvr__sim_item trouble[KVR__SIM_TROUBLES]; /* PAUSE, STALL, JUMP: for the spans beside them */
    uint64_t trouble_ns[KVR__SIM_TROUBLES];
    uint64_t paused_until;  /* all that is for it waits so long */
    uint64_t stalled_until; /* its disk answers nothing before */
    kvr__sim_stream sites[KVR__BUGGIFY_COUNT];
    uint64_t enabled_sites; /* a bit each */

    kvr__ring queue; /* kvr_store_request, submitted and not answered */
    uint32_t task;   /* KVR__SIM_IDLE.. */
    uint32_t batch_count;
    bool crash_in_batch;
    uint8_t reserved[3];
    kvr_status failed_by; /* KVR_OK, or why it failed */

    kvr__sim_stream latency;
    kvr__sim_stream order;
    kvr__sim_stream network;
    kvr__sim_stream entropy;
    kvr__sim_stream lives;
    uint64_t starts;

    /* Its clock: clock_begin + (t - start) * (1,000,000 + drift) / 1,000,000. */
    uint64_t clock_begin;
    uint64_t clock_start;
    int64_t drift_ppm;
    char error[KVR__SIM_ERROR_SIZE];
} kvr__sim_member;

/* A partition that chance made: a row of stages, each of which cuts some links; it is over when it
 * has no more. */
typedef struct kvr__sim_cut {
    kvr__sim_item next;                                     /* its next stage, or its end */
    bool links[KVR__SIM_MEMBERS_MAX][KVR__SIM_MEMBERS_MAX]; /* cut now: from, to */
    bool pattern[KVR__SIM_MEMBERS_MAX][KVR__SIM_MEMBERS_MAX];
    uint32_t stage;
    uint32_t stage_count;
    /* Members that are cut off in a stage; none: the pattern in even stages, nothing in odd
     * ones. */
    uint32_t off[KVR__SIM_STAGES_MAX];
} kvr__sim_cut;

struct kvr_sim {
    kvr__mem mem;
    kvr_sim_config config; /* its pointers are resolved below */
    kvr_node_config node;
    kvr_sim_network network;
    kvr_sim_disk_faults disk;
    kvr_sim_sink sink;
    kvr_member configuration[KVR__SIM_MEMBERS_MAX];

    kvr__heap heap;
    kvr__slab *items;
    uint64_t now_ns;
    uint64_t sequence;
    uint64_t event_count;
    uint64_t trace_hash;
    uint32_t touched;   /* a bit a member: its deadline may have moved */
    kvr_status trouble; /* KVR_ENOMEM of this step */
    uint32_t crash_ppm; /* of the configuration, until it is healed */
    uint32_t cut_ppm;
    uint32_t trouble_ppm[KVR__SIM_TROUBLES];
    bool healed; /* nothing happens by chance any more, but on network and disks as they are set */
    uint8_t reserved[3];

    kvr__sim_stream crashes;
    kvr__sim_stream cuts;
    kvr__sim_stream troubles[KVR__SIM_TROUBLES];
    kvr__sim_stream caller;
    kvr__sim_cut cut[KVR__SIM_CUTS_MAX];
    uint64_t link_clogged_until[KVR__SIM_MEMBERS_MAX][KVR__SIM_MEMBERS_MAX]; /* from, to */
    uint32_t link_messages[KVR__SIM_MEMBERS_MAX][KVR__SIM_MEMBERS_MAX];      /* under way */
    uint8_t cut_count[KVR__SIM_MEMBERS_MAX][KVR__SIM_MEMBERS_MAX];           /* by chance */
    bool cut_by_hand[KVR__SIM_MEMBERS_MAX][KVR__SIM_MEMBERS_MAX];

    kvr_store_request batch[KVR__SIM_BATCH_MAX];
    kvr_store_result results[KVR__SIM_BATCH_MAX];
    kvr__sim_member members[KVR__SIM_MEMBERS_MAX];
};

/* ------------------------------------------------------------------ sim_event.c */

/* `item` happens at `at` (or now, if that is past); it moves if it is in the heap already. Never
 * fails: room is made by _new and _reserve. */
void kvr__sim_event_set(kvr_sim *sim, kvr__sim_item *item, uint64_t at);
void kvr__sim_event_cancel(kvr_sim *sim, kvr__sim_item *item);
kvr__sim_item *kvr__sim_event_top(kvr_sim *sim); /* NULL: none */
kvr__sim_item *kvr__sim_event_pop(kvr_sim *sim); /* NULL: none */

/* An item with `size` bytes behind it, to be set before the next one is made. NULL: no memory. */
kvr__sim_item *kvr__sim_event_new(kvr_sim *sim, uint32_t kind, uint32_t size);
void kvr__sim_event_free(kvr_sim *sim, kvr__sim_item *item); /* only of _new */
uint8_t *kvr__sim_event_bytes(kvr__sim_item *item);

/* Room for `more` items beside all those that belong to members and cuts. */
kvr_status kvr__sim_event_reserve(kvr_sim *sim, uint32_t more);

/* ------------------------------------------------------------------ sim_network.c */

/* A message leaves `from`; its bytes are borrowed. */
void kvr__sim_network_send(kvr_sim *sim, kvr__sim_member *from, const kvr_message *message);
/* False: the receiver is down, and it was lost. */
bool kvr__sim_network_arrive(kvr_sim *sim, kvr__sim_item *item);

/* ------------------------------------------------------------------ sim_member.c */

kvr_status kvr__sim_member_new(kvr_sim *sim, uint32_t number);
void kvr__sim_member_release(kvr__sim_member *member);

/* A new life on the disk as it is. A wal that refuses, or a node that fails, is no error of this
 * call: its state is KVR_SIM_FAILED then. KVR_ENOMEM: it is down. */
kvr_status kvr__sim_member_start(kvr__sim_member *member);

/* Its node and its open files are gone. The disk is not told: kvr_sim_disk_crash. */
void kvr__sim_member_stop(kvr__sim_member *member);
void kvr__sim_member_run(kvr__sim_member *member);
void kvr__sim_member_refresh(kvr__sim_member *member); /* its timer follows its deadline */
void kvr__sim_member_fail(kvr__sim_member *member, kvr_status status, const char *error);
uint64_t kvr__sim_member_clock(const kvr__sim_member *member);

/* ------------------------------------------------------------------ sim_storage.c */

/* Takes the requests of a ready. KVR_ENOMEM. */
kvr_status kvr__sim_storage_submit(kvr__sim_member *member, const kvr_store_request *requests,
                                   uint32_t count);
void kvr__sim_storage_work(kvr__sim_member *member);       /* its event */
kvr_status kvr__sim_storage_open(kvr__sim_member *member); /* a wal on the disk */
void kvr__sim_storage_close(kvr__sim_member *member);      /* as in a crash */

/* ------------------------------------------------------------------ sim_trouble.c */

/* True if chance, `ppm` times in a million, and the caller's sink want a fault of `kind` on
 * `member`. */
bool kvr__sim_trouble_chance(kvr_sim *sim, kvr__sim_stream *stream, uint32_t member, uint32_t kind,
                             uint32_t ppm);
void kvr__sim_trouble_begin(kvr_sim *sim);
void kvr__sim_trouble_draw(kvr_sim *sim);             /* after an event */
void kvr__sim_trouble_crash(kvr__sim_member *member); /* by chance: it comes back */
/* it does, or crashes again while it starts */
void kvr__sim_trouble_restart(kvr__sim_member *member);
void kvr__sim_trouble_end(kvr_sim *sim); /* no more of it, and no partition */
/* The event of `item`, one of member->trouble, happens. */
void kvr__sim_trouble_strike(kvr__sim_member *member, const kvr__sim_item *item,
                             kvr_sim_event *event);

/* ------------------------------------------------------------------ sim_partition.c */

void kvr__sim_partition_plan(kvr_sim *sim); /* a new one, if there is room */
void kvr__sim_partition_go(kvr_sim *sim, kvr__sim_cut *cut);
void kvr__sim_partition_end(kvr_sim *sim, kvr__sim_cut *cut);

/* ------------------------------------------------------------------ sim_sites.c */

/* The allocator of a member's node and wal, through which they ask whether a site of
 * lib/base/buggify.h fires. */
const kvr_allocator *kvr__sim_sites_allocator(kvr__sim_member *member, void **out_ctx);

/* ------------------------------------------------------------------ sim_trace.c */

/* The trace hash, and the lines of sink.log, of which each tells what the hash takes in. */
void kvr__sim_trace_event(kvr_sim *sim, const kvr_sim_event *event);
void kvr__sim_trace_send(kvr_sim *sim, uint32_t member, const kvr_message *message);
void kvr__sim_trace_request(kvr_sim *sim, uint32_t member, const kvr_store_request *request);
void kvr__sim_trace_result(kvr_sim *sim, uint32_t member, const kvr_store_request *request,
                           const kvr_store_result *result);
void kvr__sim_trace_completion(kvr_sim *sim, uint32_t member, const kvr_completion *completion);
void kvr__sim_trace_batch(kvr_sim *sim, uint32_t member, const kvr_watch_batch *batch);
void kvr__sim_trace_say(kvr_sim *sim, uint32_t member, const char *line); /* the node's own log */

/* ------------------------------------------------------------------ sim_check.c */

void kvr__sim_check(const kvr_sim *sim);
void kvr__sim_check_cuts(const kvr_sim *sim); /* when links were cut or mended */

#endif
