/* SPDX-License-Identifier: Apache-2.0 */
/* raft_cluster.h: members of one group in one test, with disks, a network and a clock that do only
 * what the test says. Each member's state machine is the list of its commands as text; its disk
 * tells what a crash would leave. Nothing moves by itself: cluster_run makes one member act,
 * cluster_deliver moves messages, cluster_disk completes requests; cluster_stabilize does all that
 * until nothing is left to do. */
#ifndef KVRAFT_TEST_UNIT_RAFT_CLUSTER_H
#define KVRAFT_TEST_UNIT_RAFT_CLUSTER_H

#include <kvraft/raft.h>

#include "support/test_alloc.h"

enum {
    CLUSTER_MEMBERS_MAX = 9,
    CLUSTER_GROUP = 7,
    CLUSTER_ID = 77,
    CLUSTER_TEXT_MAX = 1 << 16,
    CLUSTER_MS = 1000000
};

typedef struct cluster_entry { /* one entry as a disk holds it */
    uint8_t *bytes;
    size_t size;
} cluster_entry;

typedef struct cluster_snapshot {
    kvr_snapshot_meta meta; /* configuration points to `configuration` */
    uint8_t *bytes;
    uint8_t *configuration;
} cluster_snapshot;

/* A request that was submitted and not answered. Its bytes are still lent, as by contract. */
typedef struct cluster_request {
    kvr_store_request request;
} cluster_request;

typedef struct cluster_disk {
    uint64_t term;
    uint64_t vote;
    uint64_t incarnation;
    uint64_t first_index;
    cluster_entry *entries; /* first_index.. */
    uint32_t entry_count;
    uint32_t entry_capacity;
    cluster_snapshot snapshot;
    cluster_snapshot partial;     /* being received */
    cluster_request requests[64]; /* in order of submission */
    uint32_t request_count;
    uint64_t free_bytes;
    bool manual;      /* requests wait for cluster_disk */
    bool full;        /* writes are KVR_ENOSPACE */
    kvr_status fault; /* not KVR_OK: what the next write answers */
} cluster_disk;

typedef struct cluster_message {
    uint64_t from;
    uint64_t to;
    uint8_t *bytes;
    size_t size;
} cluster_message;

typedef struct cluster_read {
    uint64_t context;
    uint64_t index;
    kvr_status status;
} cluster_read;

typedef struct cluster_member {
    uint64_t id;
    kvr_raft *raft; /* NULL: crashed */
    kvr_raft_config config;
    cluster_disk disk;
    char *text; /* the state machine: its commands, a space after each */
    size_t text_size;
    uint64_t applied;
    uint64_t applied_term;
    bool applies_later; /* entries are applied, but the member is not told */
    bool is_loaded;
    cluster_read reads[256];
    uint32_t read_count;
    uint32_t posts;
    kvr_status last_status; /* of the last ready */
    uint64_t clock_rate;    /* ns of its clock in 1000 of ours; 0: 1000 */
    uint64_t clock_offset;
    kvr_raft_counters counters;
} cluster_member;

typedef struct cluster {
    test_alloc alloc;
    uint64_t now;
    uint32_t member_count;
    cluster_member members[CLUSTER_MEMBERS_MAX];
    kvr_member configuration[CLUSTER_MEMBERS_MAX];
    bool cut[CLUSTER_MEMBERS_MAX + 1][CLUSTER_MEMBERS_MAX + 1]; /* [from][to]: dropped */
    cluster_message *messages;
    uint32_t message_count;
    uint32_t message_capacity;
    uint64_t sent; /* messages so far */
    char *story;   /* trace events in words */
    size_t story_size;
    bool tells;
    void (*on_trace)(const kvr_trace_event *event); /* NULL: nobody listens */
    /* Ghosts: what has ever been true. */
    struct cluster_ghost *ghost;
} cluster;

/* Which messages: 0 means any. */
typedef struct cluster_filter {
    uint64_t from;
    uint64_t to;
    uint8_t type;
    uint32_t count;
} cluster_filter;

void cluster_init(cluster *c);
void cluster_release(cluster *c);

/* `count` members with ids 1.. (roles may be NULL: voters), booted and loaded. `tune` may be
 * NULL. */
void cluster_add(cluster *c, uint32_t count, const uint8_t *roles, void (*tune)(kvr_raft_config *));
cluster_member *cluster_at(cluster *c, uint64_t id);
uint64_t cluster_now(const cluster *c, const cluster_member *m); /* what its clock says */
/* One more member, of the next id, that was given no configuration: it will join. Returns its
 * id. */
uint64_t cluster_join(cluster *c, void (*tune)(kvr_raft_config *));

void cluster_boot(cluster *c, uint64_t id);  /* makes the handle; it has loaded nothing */
void cluster_start(cluster *c, uint64_t id); /* the same, and runs until it is loaded */
void cluster_crash(cluster *c, uint64_t id); /* requests that were not answered never happened */

/* One ready of a member: messages are queued, requests go to its disk, entries are applied. True if
 * it showed anything. */
bool cluster_run(cluster *c, uint64_t id);
bool cluster_run_all(cluster *c);

/* Completes up to `count` requests of a member's disk, in order. Returns how many. */
uint32_t cluster_disk_complete(cluster *c, uint64_t id, uint32_t count);
bool cluster_answer(cluster *c, uint64_t id, uint32_t number); /* one out of order */
bool cluster_disk_vote(cluster *c, uint64_t id); /* the term-and-vote request, if one waits */

uint32_t cluster_deliver(cluster *c, cluster_filter filter); /* those queued now */
uint32_t cluster_drop(cluster *c, cluster_filter filter);
uint32_t cluster_repeat(cluster *c, cluster_filter filter); /* puts copies at the end */
void cluster_deliver_number(cluster *c, uint32_t number, bool keep);
uint32_t cluster_count(const cluster *c, cluster_filter filter);

void cluster_stabilize(cluster *c);
void cluster_tick(cluster *c, uint64_t ns); /* time passes; everyone runs once */

void cluster_isolate(cluster *c, uint64_t id, bool cut);
void cluster_cut(cluster *c, uint64_t from, uint64_t to, bool cut);

kvr_status cluster_propose(cluster *c, uint64_t id, const char *command);
/* Asks member `id` to change the members. */
kvr_status cluster_change(cluster *c, uint64_t id, uint32_t flags, const kvr_member_change *changes,
                          uint32_t count);
/* The same for one change without attributes. */
kvr_status cluster_change_one(cluster *c, uint64_t id, uint8_t kind, uint64_t member, uint8_t role);
void cluster_elect(cluster *c, uint64_t id); /* campaigns and stabilizes; asserts that it leads */
/* Takes a snapshot of the state machine, stores it, discards entries below it but `keep`. */
kvr_status cluster_compact(cluster *c, uint64_t id, uint64_t keep);

kvr_raft_status cluster_status(cluster *c, uint64_t id);
uint64_t cluster_leader(cluster *c); /* the member that leads in the highest term; 0: none */
kvr_raft_progress cluster_progress(cluster *c, uint64_t leader, uint64_t id);
const cluster_read *cluster_find_read(cluster *c, uint64_t id, uint64_t context);

typedef struct cluster_forged {
    uint64_t from;
    uint64_t to;
    uint64_t term;
    uint8_t type;
    kvr_slice body;
    kvr_slice tail;
} cluster_forged;

/* A sealed message of this cluster. Lends until the next call. */
kvr_slice cluster_forge(const cluster_forged *forged);
/* An entry as bytes, appended at out[*size]. */
void cluster_forge_entry(uint8_t *out, size_t *size, uint64_t index, uint64_t term,
                         const char *command);
/* A configuration entry at `out`; returns its size. */
size_t cluster_forge_configuration(uint8_t *out, uint64_t index, uint64_t term,
                                   const kvr_member *members, uint32_t count);

/* Renews the checksums of an entry whose command was changed in place. */
void cluster_forge_again(uint8_t *entry);

/* One more entry at the end of a crashed member's disk, as it is. */
void cluster_disk_put(cluster_disk *disk, const uint8_t *entry, size_t size);
/* drops the entries from the `count`-th on */
void cluster_disk_keep(cluster_disk *disk, uint32_t count);
void cluster_wipe(cluster *c, uint64_t id); /* an empty disk for a crashed member */

/* Asserts FAULTS.md 3.1 as far as it can be seen from outside: R1, R3, R4, R5, R7, R8, R9. */
void cluster_check(cluster *c);

#endif
