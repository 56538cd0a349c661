/* SPDX-License-Identifier: Apache-2.0 */
/* node_cluster.h: members of one cluster in one process, on disks and a network in memory, with a
 * clock that only the test moves: no thread, no chance, the same run each time. Each call is a
 * ticket whose end the test looks at; events of watches are written down as text.
 *
 *     cluster_start(&c, 3);               // boots and elects
 *     call = cluster_put(&c, 1, "a", "1");
 *     cluster_pass(&c, 1 * SECOND);       // or cluster_settle: until nobody has anything to do
 *     cluster_expect(&c, call, KVR_OUTCOME_DONE, KVR_OK);
 *     cluster_stop(&c);                   // and nothing of the members is left in memory
 *
 * Members are numbered from 0 here, their ids are one higher. */
#ifndef KVRAFT_TEST_UNIT_NODE_CLUSTER_H
#define KVRAFT_TEST_UNIT_NODE_CLUSTER_H

#include <kvraft/node.h>

#include "support/test_alloc.h"

#define SECOND UINT64_C(1000000000)
#define MILLISECOND UINT64_C(1000000)

enum { MEMBERS_MAX = 5, CALLS_MAX = 65536, TEXT_MAX = 1 << 16 };

typedef struct disk_entry {
    uint8_t *bytes;
    size_t size;
} disk_entry;

typedef struct disk_snapshot {
    kvr_snapshot_meta meta;
    uint8_t *bytes;
    uint64_t size;
    uint8_t *configuration;
} disk_snapshot;

/* What one member's storage holds. It answers at once, unless told to hold its answers back. */
typedef struct disk {
    uint64_t term, vote, incarnation;
    uint64_t first, last; /* of the log; entries[i] is index first + i */
    disk_entry *entries;
    size_t capacity;
    disk_snapshot snapshot;
    disk_snapshot incoming[2]; /* by source */
    bool full;                 /* KVR_ENOSPACE to all writes */
    bool busy;                 /* KVR_EBUSY to everything */
    bool broken;               /* KVR_EIO to all writes */
    bool holds;                /* answers wait for disk_release */
    struct held {
        kvr_store_request request;
        struct held *next;
    } * held;
    uint64_t requests;
} disk;

typedef struct message {
    struct message *next;
    uint32_t from, to;
    size_t size;
    uint8_t bytes[];
} message;

typedef struct member {
    struct cluster *cluster;
    kvr_node *node; /* NULL: down */
    disk disk;
    kvr_raft_counters counters;
    bool cut; /* from everybody */
    uint32_t number;
    char watched[TEXT_MAX]; /* "PUT a=1@2 DEL a@3 " */
} member;

typedef struct call_end {
    bool ended;
    uint8_t outcome;
    kvr_status status;
    uint64_t revision;
    uint64_t index;
    int64_t lease;
    uint64_t ttl_ns, remaining_ns;
    uint64_t stale_ns;
    uint64_t member;
    uint8_t succeeded;
    uint64_t count; /* of the root result, or of the first in a transaction */
    char value[64]; /* of the first kv of the root, or of the first result in a transaction */
    void (*then)(struct cluster *c, uint32_t member); /* called inside the callback */
} call_end;

typedef struct cluster {
    member members[MEMBERS_MAX];
    uint32_t count;
    uint32_t founders;  /* the first ones, in the configuration of the new cluster; others join */
    uint32_t witnesses; /* which of these are witnesses, as bits */
    uint64_t now;
    message *first, *last;
    uint64_t delivered;
    uint32_t budget;    /* of each run; 0: the default */
    uint32_t drop_type; /* messages of this type are lost; 0: none */
    uint32_t drop_to;   /* and only those to this member (number + 1); 0: to all */
    call_end *calls;
    uint32_t call_count;
    kvr_node_config config; /* what the next boots get; tables are filled in */
    test_alloc alloc;
    bool started;
} cluster;

void cluster_init(cluster *c, uint32_t count); /* change c->config, then boot */
void cluster_start(cluster *c, uint32_t count);
void cluster_stop(cluster *c); /* frees all members, disks and messages */

kvr_status cluster_try_boot(cluster *c, uint32_t i);
void cluster_boot(cluster *c, uint32_t i);
void cluster_crash(cluster *c, uint32_t i); /* calls under way are forgotten, the disk stays */
void cluster_wipe(cluster *c, uint32_t i);  /* the disk of a member that is down */

void cluster_settle(cluster *c); /* without time, until nobody has anything to do */
void cluster_pass(cluster *c, uint64_t ns);
uint32_t cluster_leader(cluster *c);   /* its number; MEMBERS_MAX: none that is not cut off */
uint32_t cluster_elect(cluster *c);    /* passes time until there is one */
uint32_t cluster_follower(cluster *c); /* some member that is up, not cut off and not the leader */
void cluster_drop_messages(cluster *c);

void disk_release(cluster *c, uint32_t i); /* answers what was held, in order, and holds no more */

/* Calls: the ticket. */
uint32_t cluster_call(cluster *c, kvr_node_call *out_options, uint64_t timeout_ns);
uint32_t cluster_write(cluster *c, uint32_t i, const kvr_op *op);
uint32_t cluster_put(cluster *c, uint32_t i, const char *key, const char *value);
uint32_t cluster_put_lease(cluster *c, uint32_t i, const char *key, const char *value,
                           int64_t lease);
uint32_t cluster_delete(cluster *c, uint32_t i, const char *key, const char *end);
uint32_t cluster_read(cluster *c, uint32_t i);
uint32_t cluster_compact(cluster *c, uint32_t i, uint64_t revision);
uint32_t cluster_grant(cluster *c, uint32_t i, int64_t id, uint64_t ttl_ns);
uint32_t cluster_revoke(cluster *c, uint32_t i, int64_t id);
uint32_t cluster_keep_alive(cluster *c, uint32_t i, int64_t id);
uint32_t cluster_change(cluster *c, uint32_t i, uint8_t kind, uint64_t id, uint8_t role);
uint32_t cluster_time_to_live(cluster *c, uint32_t i, int64_t id);
void cluster_expect(cluster *c, uint32_t call, uint8_t outcome, kvr_status status);
bool cluster_ended(const cluster *c, uint32_t call);

/* The value of a key in member i's own copy as text; "" if it is not there. Lends until the next
 * look. */
const char *cluster_value(cluster *c, uint32_t i, const char *key);
kvr_node_status cluster_status(cluster *c, uint32_t i);
uint64_t cluster_watch(cluster *c, uint32_t i, const char *key, const char *end, uint64_t start);
/* Asserts that all members that are up hold the same. */
void cluster_expect_same(cluster *c);

kvr_slice slice_of(const char *text);

#endif
