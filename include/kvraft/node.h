/* SPDX-License-Identifier: Apache-2.0 */
/* kvraft/node.h: one member of a replicated store: Raft, the multi-version store, watchers and
 * leases joined. This is the header that most programs need, with host.h for what they must supply.
 *
 *   1. kvr_node_new; serve its storage requests: it loads what is durable
 *   2. feed:  kvr_node_receive (a peer's message), _storage_done, _sent, and calls: _write,
 *             _read_linear, _lease_*, _watch ...: these only take work in and are legal anywhere,
 *             in callbacks too
 *   3. work:  kvr_node_run(node, budget): does it, and is the only function that calls back. Hosts
 *             that want no callbacks use kvr_node_ready_get and kvr_node_advance, of which run is
 *             made and nothing else
 *   4. wait:  for sockets, disk completions or kvr_node_deadline, whatever is first; back to 2
 *   5. kvr_node_close completes everything outstanding; kvr_node_free
 *
 * Every call ends in exactly one completion that says one of three: done (with its status and
 * answer); refused (it never was and never will be executed); unknown (KVR_EUNKNOWN: it may still
 * happen). A write is executed at most once, however often the network repeats it.
 *
 * One handle, one thread at a time; two handles share nothing. All times are nanoseconds; the clock
 * is read once a run. Kept bounds: every queue refuses with KVR_EBUSY when full, nothing is dropped
 * in silence. After a status at or below KVR_FATAL the member takes no further part; kvr_node_error
 * says what, where and the remedy. Contract for keys, leases and watches: etcd v3. */
#ifndef KVRAFT_NODE_H
#define KVRAFT_NODE_H

#include <kvraft/base.h>
#include <kvraft/host.h>
#include <kvraft/lease.h>
#include <kvraft/mvcc.h>
#include <kvraft/raft.h>
#include <kvraft/watch.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct kvr_node kvr_node;

/* ------------------------------------------------------------------ completions */

enum { KVR_OUTCOME_DONE = 0, KVR_OUTCOME_REFUSED = 1, KVR_OUTCOME_UNKNOWN = 2 };

enum {
    KVR_CALL_WRITE = 1,
    KVR_CALL_COMPACT = 2,
    KVR_CALL_READ_LINEAR = 3,
    KVR_CALL_LEASE_GRANT = 4,
    KVR_CALL_LEASE_REVOKE = 5,
    KVR_CALL_LEASE_KEEP_ALIVE = 6,
    KVR_CALL_LEASE_TIME_TO_LIVE = 7,
    KVR_CALL_TRANSFER_LEADER = 8,
    KVR_CALL_READ_LEASE = 9,
    KVR_CALL_READ_STALE = 10,
    KVR_CALL_MEMBER_CHANGE = 11
};

/* The end of one call. With outcome DONE, `status` is the result of its execution (KVR_OK, or what
 * the operation says: KVR_ENOLEASE, KVR_ECOMPACTED ...; a failed execution changed nothing). With
 * REFUSED it is the reason. Lends until the callback returns, or kvr_node_advance. */
typedef struct kvr_completion {
    uint32_t size;
    uint8_t kind;    /* KVR_CALL_* */
    uint8_t outcome; /* KVR_OUTCOME_* */
    uint8_t reserved[2];
    kvr_status status;
    uint32_t reserved2;
    void *user;        /* as given with the call */
    uint64_t revision; /* of the store after it (for read_*: now) */
    uint64_t index;    /* entry that did it; 0: none */
    uint64_t term;
    const kvr_op_result *result; /* WRITE, done with KVR_OK: the typed answer; else NULL */
    int64_t lease;               /* LEASE_*: id */
    uint64_t ttl_ns;             /* granted TTL */
    uint64_t remaining_ns;       /* KEEP_ALIVE, TIME_TO_LIVE */
    /* READ_*: everything acknowledged so long before the call is in this copy, and perhaps more;
     * UINT64_MAX: not known */
    uint64_t stale_ns;
    uint64_t member; /* MEMBER_CHANGE: id of the first change's member */
} kvr_completion;

/* Called by kvr_node_run. Both may call intake functions of the node. Either may be NULL. */
typedef struct kvr_node_sink {
    uint32_t size;
    uint32_t reserved;
    void (*completed)(void *ctx, const kvr_completion *completion);
    void (*watched)(void *ctx, const kvr_watch_batch *batch); /* lends until it returns */
} kvr_node_sink;

/* ------------------------------------------------------------------ config */

/* Zero means default. Fill with kvr_node_config_init, then set what you need. Tables are borrowed
 * for the node's whole life; those that only kvr_node_run needs (storage, transport, clock, sink)
 * may be NULL for users of ready/advance. Without a transport kvr_node_run drops what it would
 * send: enough for a member of one. */
typedef struct kvr_node_config {
    uint32_t size;
    uint32_t member_count;
    uint64_t cluster_id; /* never 0; messages and disks of another cluster are refused */
    uint64_t group_id;
    uint64_t member_id; /* never 0 */
    uint64_t seed;
    /* of a new cluster, the same on all members; ignored once storage knows better */
    const kvr_member *members;

    uint64_t election_ns;  /* default 1 s */
    uint64_t heartbeat_ns; /* default 100 ms */
    uint64_t quiet_ns;     /* default 0: never; see raft.h. A group with leases never is */
    uint64_t stall_ns;     /* as in kvr_raft_config: default election_ns */
    uint64_t lease_ns;     /* of a new cluster, as `members`: lease reads; 0: none */
    /* default 5 s + 2 x election_ns: then a call ends unknown (reads: refused) */
    uint64_t call_timeout_ns;
    uint64_t snapshot_entries; /* take one after at least so many entries ... default 10,000 */
    /* ... and log bytes of at least this and the last one's size; default 4 MiB */
    uint64_t snapshot_bytes_min;
    /* log kept behind a snapshot for slow followers; init sets 5,000, 0: none */
    uint64_t keep_entries;
    uint64_t message_bytes_max;     /* default 1 MiB */
    uint64_t uncommitted_bytes_max; /* default 64 MiB */
    uint32_t calls_max;             /* writes under way from this member, default and most 2,048 */
    uint32_t snapshot_chunk_bytes;  /* 4 KiB to 16 MiB, default 256 KiB */
    uint32_t priority;              /* as in kvr_raft_config: who leads if it can; default 0 */
    uint32_t data_copies_min;       /* of a new cluster, as that of kvr_raft_config */
    uint32_t witness;               /* 1: it is one, as that of kvr_raft_config; takes no calls */
    /* the highest cluster level that this member takes part in: default and most
     * kvr_node_level_max(); a lower one holds the cluster back, and so the way to an older release
     * open, until a restart without it */
    uint32_t level_max;

    const kvr_storage *storage;
    void *storage_ctx;
    const kvr_transport *transport;
    void *transport_ctx;
    const kvr_clock *clock;
    void *clock_ctx;
    const kvr_node_sink *sink;
    void *sink_ctx;
    const kvr_log *log; /* NULL: silent */
    void *log_ctx;
    const kvr_trace *trace; /* NULL: none */
    void *trace_ctx;
    kvr_raft_counters *counters;    /* as in kvr_raft_config; NULL: none */
    const kvr_allocator *allocator; /* NULL: malloc */
    void *allocator_ctx;
} kvr_node_config;

/* Fills defaults for a struct of `size` bytes as the caller knows it. KVR_EINVAL. */
KVR_API kvr_status kvr_node_config_init(kvr_node_config *config, uint32_t size) KVR_MUST_USE;

/* Presets on top of the defaults: members in one building (heartbeat 100 ms, election 1 s), in one
 * process or rack (10, 100 ms), across a continent (500 ms, 5 s). */
KVR_API void kvr_node_config_set_lan(kvr_node_config *config);
KVR_API void kvr_node_config_set_local(kvr_node_config *config);
KVR_API void kvr_node_config_set_wan(kvr_node_config *config);

/* The highest cluster level that this release can apply. A new cluster is at level 1; it is raised
 * by an entry once all its members have told that they can apply more, and never falls. What a
 * level brought is not written before. A member that cannot apply its cluster's level stops with
 * KVR_FVERSION, and says so. */
KVR_API uint32_t kvr_node_level_max(void);

/* NULL if acceptable, else one sentence that names the field, its fault and its range. Lends for
 * ever. */
KVR_API const char *kvr_node_config_check(const kvr_node_config *config);

/* ------------------------------------------------------------------ life */

/* Makes a member; it does nothing until run or ready. `config` is borrowed, except the tables.
 * Gives *out_node. KVR_EINVAL, KVR_ENOMEM. */
KVR_API kvr_status kvr_node_new(const kvr_node_config *config, kvr_node **out_node) KVR_MUST_USE;

/* Ends every outstanding call (refused with KVR_ESTOPPED if it was never proposed, else unknown)
 * and every watch; calls back from inside (through the sink), and never again. Without a sink the
 * completions stand in the readies that follow, until kvr_node_ready_get says KVR_ESTOPPED. Legal
 * after a failure too. A leader sends one message more: the best member campaigns at once, so that
 * nobody waits for an election timeout; what is under way is safer and shorter still after
 * kvr_node_transfer_leader. Afterwards only status, error and free. KVR_OK; KVR_EREENTRANT. Storage
 * requests under way still need their memory until the host has stopped them. */
KVR_API kvr_status kvr_node_close(kvr_node *node) KVR_MUST_USE;

/* Frees it; closes it without callbacks if that was not done. Views must have been freed, and no
 * storage request may be under way in another thread. KVR_OK (also for NULL), KVR_EREENTRANT. */
KVR_API kvr_status kvr_node_free(kvr_node *node);

/* ------------------------------------------------------------------ intake from the host */

/* One message from a peer, borrowed. As kvr_raft_receive: garbage is counted and dropped. */
KVR_API kvr_status kvr_node_receive(kvr_node *node, const kvr_slice *message) KVR_MUST_USE;

/* The answer to a storage request that was pending. KVR_OK, KVR_EINVAL (no such token). */
KVR_API kvr_status kvr_node_storage_done(kvr_node *node,
                                         const kvr_store_result *result) KVR_MUST_USE;

/* Only for transports that send later: the message's bytes are no longer needed. */
KVR_API void kvr_node_sent(kvr_node *node, uint64_t token);

/* ------------------------------------------------------------------ calls */

/* What all calls have in common. Borrowed; may be NULL for defaults. */
typedef struct kvr_node_call {
    uint32_t size;
    uint32_t reserved;
    void *user;          /* comes back in the completion */
    uint64_t timeout_ns; /* 0: config's */
} kvr_node_call;

/* Each of these takes a call in and returns KVR_OK: exactly one completion follows; or an error:
 * there is no completion and it never happens. Arguments are borrowed and encoded at once. Common
 * errors: KVR_EINVAL, KVR_ETOOBIG, KVR_EBUSY (calls_max), KVR_ENOMEM, KVR_ESTOPPED, KVR_ESTATE (a
 * witness), KVR_EREMOVED (this member was removed: ask another), fatal statuses.
 * A member that knows no leader takes the call and waits for one until its timeout; then it is
 * refused with KVR_ENOLEADER. */

/* A put, delete or transaction (KVR_OP_RANGE only inside a transaction), as kvr_mvcc_apply does it,
 * on every member. KVR_EDUPKEY. Completion: result; KVR_ENOLEASE, KVR_ENOTFOUND, KVR_ECOMPACTED,
 * KVR_EFUTURE. Refused with KVR_EREADONLY while the cluster takes no writes. etcd contract: Put,
 * DeleteRange, Txn. */
KVR_API kvr_status kvr_node_write(kvr_node *node, const kvr_node_call *call,
                                  const kvr_op *op) KVR_MUST_USE;

/* The common put, without a struct. */
KVR_API kvr_status kvr_node_put(kvr_node *node, const kvr_node_call *call, const kvr_slice *key,
                                const kvr_slice *value, int64_t lease) KVR_MUST_USE;

/* The common delete: range_end as in kvr_range; NULL: the one key. */
KVR_API kvr_status kvr_node_delete(kvr_node *node, const kvr_node_call *call, const kvr_slice *key,
                                   const kvr_slice *range_end) KVR_MUST_USE;

/* Compacts history below `revision`. Completion: KVR_ECOMPACTED, KVR_EFUTURE. etcd contract:
 * Compact. */
KVR_API kvr_status kvr_node_compact(kvr_node *node, const kvr_node_call *call,
                                    uint64_t revision) KVR_MUST_USE;

/* Completes when this member's store holds everything that was acknowledged anywhere before this
 * call: then read it, in the callback or later, with kvr_node_get or a view. Works on every member
 * that can reach the leader. Refused with KVR_ENOLEADER or KVR_ETIMEDOUT. Thesis 6.4. */
KVR_API kvr_status kvr_node_read_linear(kvr_node *node, const kvr_node_call *call) KVR_MUST_USE;

/* The same for less, if the group's setting lease_ns is on (kvr_node_member_change): answered
 * without a round of messages while the leader holds its lease, at other members after one question
 * to it. Linearizable if clocks keep to the bound that kvr_raft_read_lease states; then also in a
 * process that is paused. Without a lease it is as read_linear. Thesis 6.4.1. */
KVR_API kvr_status kvr_node_read_lease(kvr_node *node, const kvr_node_call *call) KVR_MUST_USE;

/* Completes as soon as this member's own copy is known to be at most `stale_ns_max` old
 * (UINT64_MAX: at once) and says in `stale_ns` how old: a bound that follows from messages alone,
 * by no other clock than this member's. Asks nobody: an idle follower knows a bound of three to
 * four heartbeat intervals, with lease_ns on of one to two, the leader less. Refused with
 * KVR_ENOLEADER or KVR_ETIMEDOUT. Serializable: an old state, but a whole one. */
KVR_API kvr_status kvr_node_read_stale(kvr_node *node, const kvr_node_call *call,
                                       uint64_t stale_ns_max) KVR_MUST_USE;

/* Grants a lease. id 0: chosen here (in the completion). Completion: KVR_EEXIST. etcd contract:
 * LeaseGrant. */
KVR_API kvr_status kvr_node_lease_grant(kvr_node *node, const kvr_node_call *call, int64_t id,
                                        uint64_t ttl_ns) KVR_MUST_USE;

/* Ends a lease and deletes its keys, under one revision. Completion: KVR_ENOLEASE. */
KVR_API kvr_status kvr_node_lease_revoke(kvr_node *node, const kvr_node_call *call,
                                         int64_t id) KVR_MUST_USE;

/* Renews it at the leader, without the log unless the lease is recorded. Completion: remaining_ns;
 * KVR_ENOLEASE. */
KVR_API kvr_status kvr_node_lease_keep_alive(kvr_node *node, const kvr_node_call *call,
                                             int64_t id) KVR_MUST_USE;

/* Asks the leader for what is left. Completion: ttl_ns, remaining_ns; KVR_ENOLEASE. Its keys:
 * kvr_node_lease_keys. */
KVR_API kvr_status kvr_node_lease_time_to_live(kvr_node *node, const kvr_node_call *call,
                                               int64_t id) KVR_MUST_USE;

/* ------------------------------------------------------------------ members
 *
 * What kvr_raft_change (raft.h) says of changes, for calls on any member: the leader decides, the
 * call completes when the configuration that it asked for is committed and applied here. To join, a
 * new member is added first (kvr_node_member_add), then started with that id, no members in its
 * config and an empty disk. Refused with KVR_EEXIST, KVR_ENOTFOUND, KVR_EBEHIND, KVR_EQUORUM,
 * KVR_ESTATE, KVR_ETOOBIG. While another change is under way a call waits. etcd contract:
 * Cluster. */

enum { KVR_MEMBER_TEXT_MAX = 8192 }; /* bytes of a name, or of one list of addresses */

/* What the attributes of a member say, as this library's own programs write them; several addresses
 * are separated by commas. Lends from the bytes. */
typedef struct kvr_member_attributes {
    kvr_slice name;
    kvr_slice peer_addresses;
    kvr_slice client_addresses;
} kvr_member_attributes;

/* Attributes as bytes and back; borrowed. KVR_OK, KVR_EINVAL; write: KVR_ETOOBIG (a text, or all of
 * it, does not fit); read: KVR_ECORRUPT, KVR_EVERSION; no bytes at all read as empty texts. */
KVR_API kvr_status kvr_member_attributes_write(const kvr_member_attributes *attributes,
                                               uint8_t *out, size_t capacity,
                                               size_t *out_size) KVR_MUST_USE;
KVR_API kvr_status kvr_member_attributes_read(const kvr_slice *bytes,
                                              kvr_member_attributes *out_attributes) KVR_MUST_USE;

/* Any change, or several in one. `changes` is borrowed, its context ignored. */
KVR_API kvr_status kvr_node_member_change(kvr_node *node, const kvr_node_call *call,
                                          const kvr_raft_changes *changes) KVR_MUST_USE;

/* The common ones: KVR_CHANGE_ADD (id 0: chosen, in the completion), _PROMOTE, _DEMOTE, _UPDATE,
 * _REMOVE. */
KVR_API kvr_status kvr_node_member_add(kvr_node *node, const kvr_node_call *call,
                                       const kvr_member *member) KVR_MUST_USE;
KVR_API kvr_status kvr_node_member_promote(kvr_node *node, const kvr_node_call *call,
                                           uint64_t id) KVR_MUST_USE;
KVR_API kvr_status kvr_node_member_demote(kvr_node *node, const kvr_node_call *call,
                                          uint64_t id) KVR_MUST_USE;
KVR_API kvr_status kvr_node_member_update(kvr_node *node, const kvr_node_call *call, uint64_t id,
                                          const kvr_slice *attributes) KVR_MUST_USE;
KVR_API kvr_status kvr_node_member_remove(kvr_node *node, const kvr_node_call *call,
                                          uint64_t id) KVR_MUST_USE;

/* Member number `i`, in order of id, of the configuration that is applied here; after a completed
 * kvr_node_read_linear it is the cluster's. Lends until the next intake or run. KVR_OK, KVR_END. */
KVR_API kvr_status kvr_node_member_get(const kvr_node *node, uint32_t i,
                                       kvr_member *out_member) KVR_MUST_USE;

/* What kvr_node_recover needs. Borrowed. Both storages must answer at once (KVR_DONE). */
typedef struct kvr_node_recovery {
    uint32_t size;
    uint32_t reserved;
    uint64_t cluster_id;           /* of the new cluster: another random number */
    const kvr_node_config *config; /* the survivor's, as it was started; no tables are used */
    const kvr_storage *from;       /* the survivor's: only read */
    void *from_ctx;
    const kvr_storage *to; /* an empty one, of the new cluster and the same member */
    void *to_ctx;
} kvr_node_recovery;

/* When a majority is lost for good: makes a new cluster of one survivor's disk, with this member
 * alone. Start it on `to` with the new cluster_id and add others; those left behind refuse it, and
 * it them, by the cluster id. Everything in the survivor's log counts as committed: it may hold
 * writes that nobody was told of, and it lacks what only the others had. Choose the survivor with
 * the highest last term, then last index. Does not use the clock; calls back the two storages only.
 *
 * KVR_OK; KVR_EINVAL (a storage that answers later, the old cluster_id); KVR_EEXIST (`to` is not
 * empty); KVR_ENOTFOUND (`from` holds nothing); KVR_ESTATE (a witness, or no member); KVR_ENOSPACE,
 * KVR_ENOMEM, fatal statuses: `to` is to be emptied before it is tried again. */
KVR_API kvr_status kvr_node_recover(const kvr_node_recovery *recovery) KVR_MUST_USE;

/* ------------------------------------------------------------------ this member's own copy
 *
 * Legal anywhere on the handle's thread, callbacks included. What they show may be behind the
 * leader; after the completion of kvr_node_read_linear or _lease it is not, of _stale by no more
 * than that says. */

/* The key at the head of the published store. False: not there. Lends until the next intake or
 * run. */
KVR_API bool kvr_node_get(const kvr_node *node, const kvr_slice *key, kvr_kv *out_kv);

/* As kvr_mvcc_view_open; free it with kvr_mvcc_view_free before kvr_node_free. */
KVR_API kvr_status kvr_node_view_open(kvr_node *node, kvr_mvcc_view **out_view) KVR_MUST_USE;

/* Up to `capacity` keys attached to a lease, in ascending order, above *after (NULL: from the
 * first). Lends until the next intake or run. *out_count 0: no more, or no such lease. */
KVR_API kvr_status kvr_node_lease_keys(const kvr_node *node, int64_t id, const kvr_slice *after,
                                       kvr_slice *out_keys, uint32_t capacity,
                                       uint32_t *out_count) KVR_MUST_USE;

/* The leases known here, by id: see kvr_lease_list. */
KVR_API uint32_t kvr_node_leases(const kvr_node *node, int64_t after, uint8_t from_start,
                                 int64_t *out_ids, uint32_t capacity);

/* ------------------------------------------------------------------ watches */

/* As kvr_watch_open, on this member: batches come through the sink's `watched` or ready.
 * KVR_EINVAL, KVR_EEXIST, KVR_ETOOBIG, KVR_ENOMEM, KVR_ESTOPPED. */
KVR_API kvr_status kvr_node_watch(kvr_node *node, const kvr_watch_request *request,
                                  uint64_t *out_id) KVR_MUST_USE;

/* As those of watch.h. While a batch is lent (inside `watched`, or until kvr_node_advance) they
 * take effect when it is over. KVR_OK, KVR_ENOTFOUND, KVR_ENOMEM, KVR_EBUSY (65,536 wait). */
KVR_API kvr_status kvr_node_watch_cancel(kvr_node *node, uint64_t id) KVR_MUST_USE;
KVR_API kvr_status kvr_node_watch_pause(kvr_node *node, uint64_t id) KVR_MUST_USE;
KVR_API kvr_status kvr_node_watch_resume(kvr_node *node, uint64_t id) KVR_MUST_USE;

/* ------------------------------------------------------------------ work */

/* Everything that is due now, as arrays that lend until kvr_node_advance (bytes of a storage
 * request until it is answered). Any order or parallel: what must wait for a flush is not in it
 * yet. */
typedef struct kvr_node_ready {
    uint32_t request_count;
    uint32_t message_count;
    uint32_t completion_count;
    uint32_t batch_count;
    uint32_t trace_count;
    uint32_t reserved;
    const kvr_store_request *requests;
    const kvr_message *messages;
    const kvr_completion *completions;
    const kvr_watch_batch *batches; /* at most one: a batch lends until the next */
    const kvr_trace_event *traces;  /* if the config has a trace table */
} kvr_node_ready;

/* Does about `budget` units of work (an entry, a message, a KiB each; 0: 10,000) as of `now_ns` and
 * shows what came of it. KVR_OK: nothing more is due; KVR_AGAIN: there is more to do or to show.
 * `now_ns` must be read after what it serves was taken in: lease and stale reads count on it.
 * KVR_ENOMEM: an allocation failed, nothing was lost and nothing is shown, call again later.
 * KVR_EREENTRANT inside a callback; KVR_ESTATE before the last one was advanced; KVR_ESTOPPED;
 * fatal statuses. */
KVR_API kvr_status kvr_node_ready_get(kvr_node *node, uint64_t now_ns, uint32_t budget,
                                      const kvr_node_ready **out_ready) KVR_MUST_USE;
KVR_API void kvr_node_advance(kvr_node *node);

/* Reads the clock once, then ready and advance until nothing is due or `budget` (0: 10,000) is used
 * up, serving the tables of the config. Calls back: storage.submit, transport.send, sink, log,
 * trace. Statuses as kvr_node_ready_get; KVR_EINVAL if storage, transport or clock is missing. */
KVR_API kvr_status kvr_node_run(kvr_node *node, uint32_t budget) KVR_MUST_USE;

/* A quiet group speaks again: call it for each of a process's groups that share a member whose
 * connection broke. See kvr_raft_wake. */
KVR_API void kvr_node_wake(kvr_node *node);

/* When run must be called though nothing arrived: ns of the host's clock; 0: at once; UINT64_MAX:
 * never. */
KVR_API uint64_t kvr_node_deadline(const kvr_node *node);

/* ------------------------------------------------------------------ operation */

/* Starts an election at the next run. KVR_ESTATE: not a voter, or not loaded. */
KVR_API kvr_status kvr_node_campaign(kvr_node *node) KVR_MUST_USE;

/* Hands leadership to voter `to`, or to the best one (0): see kvr_raft_transfer_leader. Writes wait
 * meanwhile. Completion: KVR_OK (`to` leads); refused with KVR_ENOLEADER (this member does not
 * lead), KVR_ENOTFOUND (no such voter), KVR_EBUSY (to another one is under way), KVR_ECANCELED (a
 * third leads now); unknown: given up after election_ns, because `to` lags or does not answer. */
KVR_API kvr_status kvr_node_transfer_leader(kvr_node *node, const kvr_node_call *call,
                                            uint64_t to) KVR_MUST_USE;

/* Changes config.priority. */
KVR_API kvr_status kvr_node_set_priority(kvr_node *node, uint32_t priority) KVR_MUST_USE;

/* Takes a snapshot as soon as possible, whatever the thresholds. KVR_ESTATE: not loaded. */
KVR_API kvr_status kvr_node_snapshot(kvr_node *node) KVR_MUST_USE;

typedef struct kvr_node_status {
    uint32_t size;
    uint32_t cluster_level;
    kvr_status failure; /* KVR_OK, or the fatal status */
    uint8_t corrupt;    /* 1: members' state hashes differ without a majority; writes are refused */
    uint8_t loading;    /* 1: the start is not over, or a snapshot is being installed */
    uint8_t no_space;   /* 1: storage is full; writes are refused until room returns */
    uint8_t reserved;
    uint64_t calls_waiting;
    uint64_t hash_index; /* applied index that the two hashes belong to */
    uint64_t hash_chain; /* over the outcome of each applied entry */
    uint64_t hash_live;  /* over the live state: keys, leases, origins */
    uint64_t snapshots_taken;
    uint64_t snapshots_installed;
    uint64_t memory_bytes;
    kvr_raft_status raft; /* its size is set by the library */
    kvr_mvcc_status store;
    kvr_watch_status watch;
    kvr_lease_status lease;
} kvr_node_status;

/* Fills *out_status, whose size the caller has set. Legal in every state. */
KVR_API void kvr_node_get_status(const kvr_node *node, kvr_node_status *out_status);

/* As kvr_raft_get_progress. */
KVR_API kvr_status kvr_node_get_progress(const kvr_node *node, uint32_t i,
                                         kvr_raft_progress *out_progress) KVR_MUST_USE;

/* One line: what failed, where, the remedy; "" if nothing did. Lends until the next call on the
 * handle. */
KVR_API const char *kvr_node_error(const kvr_node *node);

#ifdef __cplusplus
}
#endif
#endif
