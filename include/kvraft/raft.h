/* SPDX-License-Identifier: Apache-2.0 */
/* kvraft/raft.h: one member of one Raft consensus group, under any state machine. It takes
 * messages, storage completions and time in, and says in a kvr_raft_ready what the host must do; it
 * does nothing itself. Source: "In Search of an Understandable Consensus Algorithm (Extended
 * Version)" (below "Raft", by section) and Ongaro's dissertation ("thesis"). A program that wants
 * etcd's store uses node.h.
 *
 *   1. kvr_raft_new. The first ready asks for LOAD, the next for VOTE (a new incarnation) and READ.
 *   2. feed:   kvr_raft_receive, _storage_done, _propose, _read_index, _applied: they only take
 *              work in
 *   3. look:   kvr_raft_ready_get(raft, now, &ready). Then, in any order or in parallel:
 *              - submit each storage request; each is answered by kvr_raft_storage_done
 *              - send each message (everything that had to be durable first already is)
 *              - if `install` is set: make the state machine that snapshot, now or chunk by chunk
 *                (kvraft-statemachine(7) shows it), then kvr_raft_applied
 *              - apply `committed` in order, now or later, then kvr_raft_applied
 *              - answer `reads`, take `posts`
 *   4. kvr_raft_advance: the ready's arrays are over. Back to 2.
 *   5. wait no longer than kvr_raft_deadline, then 3 again.
 *   6. kvr_raft_free.
 *
 * One handle, one thread at a time. Times are nanoseconds of the host's monotonic clock; the clock
 * is read only through the `now_ns` of kvr_raft_ready_get. Nothing in this header calls back.
 * Statuses at or below KVR_FATAL mean that this member takes no further part (kvr_raft_error says
 * why). */
#ifndef KVRAFT_RAFT_H
#define KVRAFT_RAFT_H

#include <kvraft/base.h>
#include <kvraft/host.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct kvr_raft kvr_raft;

/* ------------------------------------------------------------------ members */

enum {
    KVR_MEMBER_VOTER = 0,   /* holds all data, votes, may lead */
    KVR_MEMBER_LEARNER = 1, /* holds all data, neither votes nor is counted */
    KVR_MEMBER_WITNESS = 2, /* votes, is counted, never leads; holds entry headers only, so it is no
                               copy of the data: see data_copies_min */
    KVR_MEMBER_NONE = 255   /* in a joint configuration: it is leaving */
};

enum {
    KVR_MEMBER_PROMOTE = 1 /* flags: a learner that becomes a voter by itself once it caught up */
};

/* One member of a configuration. `attributes` is the upper layer's (name, addresses); replicated,
 * opaque. */
typedef struct kvr_member {
    uint64_t id; /* never 0 */
    uint8_t role;
    uint8_t flags; /* KVR_MEMBER_PROMOTE */
    uint8_t reserved[6];
    kvr_slice attributes;
} kvr_member;

/* ------------------------------------------------------------------ counters */

/* What happened, added up in a struct of the host's: one for each handle, or one for all groups of
 * a process. Each number only grows. */
typedef struct kvr_raft_counters {
    uint32_t size;
    uint32_t reserved;
    uint64_t campaigns;     /* pre-votes begun */
    uint64_t elections;     /* terms in which this member asked for votes */
    uint64_t elections_won; /* terms that it led */
    uint64_t votes_granted; /* to others */
    uint64_t terms;         /* changes of term */
    uint64_t quorums_lost;  /* leaderships given up for hearing no majority */
    uint64_t transfers;     /* begun by this leader, by itself or asked for ... */
    uint64_t transfers_done;
    uint64_t transfers_given_up;
    uint64_t proposals; /* appended by this leader */
    uint64_t proposals_refused;
    uint64_t proposals_forwarded;
    uint64_t entries_appended; /* as leader or follower */
    uint64_t entries_truncated;
    uint64_t flushes;        /* appends that storage completed */
    uint64_t reads;          /* answered, here or for another member */
    uint64_t reads_by_lease; /* of these: without a round */
    uint64_t reads_refused;
    uint64_t read_rounds;    /* of heartbeats begun for reads */
    uint64_t snapshots_sent; /* begun */
    uint64_t snapshots_installed;
    uint64_t messages_bad;     /* received: garbage or of strangers, dropped */
    uint64_t messages_dropped; /* not sent: no memory, or too many wait */
    uint64_t bytes_sent;
    uint64_t bytes_received;
    uint64_t messages_sent[20]; /* by type, see kvr_raft_message_name */
    uint64_t messages_received[20];
    uint64_t reserved2[16]; /* room for more */
} kvr_raft_counters;

/* ------------------------------------------------------------------ config */

/* Zero means default. Fill with kvr_raft_config_init, then set what you need. */
typedef struct kvr_raft_config {
    uint32_t size;
    uint32_t member_count;
    uint64_t cluster_id; /* messages and storage of another cluster are refused; never 0 */
    uint64_t group_id;   /* any */
    uint64_t member_id;  /* this member; never 0 */
    /* of election timeouts; the member id is mixed in, so members may share it */
    uint64_t seed;
    /* What the state machine already holds at start. It must not make an index durable by itself
     * before status.durable_index has reached it: a leader may commit by the others' disks. */
    uint64_t applied_index;

    /* The configuration of a new group, at most 64 members in ascending order of id. In force until
     * the first snapshot or configuration entry, so the same must be given to every member, and at
     * each start until then. A member that will join an existing group is given none. Borrowed. */
    const kvr_member *members;

    uint64_t election_ns;  /* shortest election timeout, default 1 s; the longest is twice that */
    uint64_t heartbeat_ns; /* default 100 ms; must be less than half of election_ns */
    /* a flush that takes longer makes a leader look for a better disk to lead; default
     * election_ns */
    uint64_t stall_ns;
    /* of a new group, as `members`: lease reads, see kvr_raft_read_lease. 0: none; else at least
     * 3 x heartbeat_ns; usual: election_ns */
    uint64_t lease_ns;

    /* soft limit of entries in one message, default 1 MiB (one entry always fits) */
    uint64_t message_bytes_max;
    uint64_t command_bytes_max; /* default 1.5 MiB + 64 KiB; larger proposals are KVR_ETOOBIG */
    /* leader: appended but not committed, default 64 MiB; beyond it KVR_EBUSY */
    uint64_t uncommitted_bytes_max;
    /* leader, a follower: sent but not acknowledged, default 8 MiB */
    uint64_t inflight_bytes_max;
    uint32_t inflight_messages_max; /* the same in messages, default 256 */
    uint32_t snapshot_chunk_bytes;  /* default 256 KiB */
    /* committed entries handed out but not applied, default 16 MiB */
    uint64_t apply_bytes_max;
    /* entries that stay in memory though all members in step have them, default 64 KiB; a
     * follower that needs older ones gets them from storage (READ) */
    uint64_t log_memory_bytes;
    /* A group in which nothing happened for so long and whose members are all level goes quiet: no
     * heartbeats, no timeouts, until anybody has something to say. A leader that dies meanwhile is
     * missed when it is needed: see kvr_raft_wake. 0, the default: never; else at least
     * election_ns, the same on all members. */
    uint64_t quiet_ns;
    uint32_t trace; /* 1: ready.traces tells each change of state; 2: and each message */
    /* a leader hands over to a member in step whose priority is higher; elections ignore it, so it
     * never costs availability. Default 0 */
    uint32_t priority;
    /* of a new group: a commit waits until so many members that hold data (no witnesses) have the
     * entry, default 0: as many as the majority brings; replicated, see kvr_raft_change */
    uint32_t data_copies_min;
    /* 1: this member is a witness: it keeps entry headers only and has no state machine: readies
     * show no entries and no snapshots, the log is compacted by itself. Not needed for one that
     * `members` or its storage say is one; a witness that joins must say so. */
    uint32_t witness;
    /* 1: to recover from a lost majority: takes the whole log in storage for committed, hands it
     * out, writes nothing but what the caller asks for, and takes no part in any group */
    uint32_t recover;
    /* what the layer above can apply, as a number that it counts up: told to the others with each
     * message, see kvr_raft_level. At most 255, default 0 */
    uint32_t level;

    kvr_raft_counters *counters; /* NULL: none; else its size is set, and it outlives the handle */
    const kvr_allocator *allocator; /* NULL: malloc */
    void *allocator_ctx;
} kvr_raft_config;

/* Fills defaults for a struct of `size` bytes as the caller knows it. KVR_EINVAL if size is smaller
 * than that of the first version. */
KVR_API kvr_status kvr_raft_config_init(kvr_raft_config *config, uint32_t size) KVR_MUST_USE;

/* Makes a member that has loaded nothing yet. `config` is borrowed, except the allocator table.
 * KVR_OK gives *out_raft, freed by kvr_raft_free. KVR_EINVAL (what is wrong:
 * kvr_raft_config_check), KVR_ENOMEM. */
KVR_API kvr_status kvr_raft_new(const kvr_raft_config *config, kvr_raft **out_raft) KVR_MUST_USE;

/* NULL if the config is acceptable, else one sentence that names the field, the value's fault and
 * the range. Lends for ever. */
KVR_API const char *kvr_raft_config_check(const kvr_raft_config *config);

/* Frees the handle. Requests under way are forgotten; their memory must no longer be read. Buffers
 * of entries that were retained must have been released before. NULL is ignored. */
KVR_API void kvr_raft_free(kvr_raft *raft);

/* ------------------------------------------------------------------ intake */

/* Takes one message, borrowed. Garbage and messages of another cluster, group or receiver are
 * counted and dropped (KVR_ECORRUPT, KVR_EMISMATCH, KVR_EVERSION): drop the connection if you like.
 * KVR_OK, KVR_EBUSY (not loaded yet, or an input bound is reached; as if it were lost), KVR_ENOMEM
 * (as if it were lost). */
KVR_API kvr_status kvr_raft_receive(kvr_raft *raft, const kvr_slice *message) KVR_MUST_USE;

/* Takes the answer to a storage request, borrowed. Tokens are below 2^63: a layer above that shares
 * the storage may use the others. KVR_OK; KVR_EINVAL (a token that is not under way); KVR_ENOMEM
 * (what could not be taken is asked for again). A final failure makes the handle fatal:
 * KVR_FSTORAGE or KVR_FCORRUPT. */
KVR_API kvr_status kvr_raft_storage_done(kvr_raft *raft,
                                         const kvr_store_result *result) KVR_MUST_USE;

/* Where a proposal went. */
typedef struct kvr_raft_proposal {
    uint64_t index; /* of the entry if this member leads; 0: forwarded to the leader */
    uint64_t term;
} kvr_raft_proposal;

/* Proposes `command`, borrowed and copied once. A leader appends it; any other member forwards the
 * bare command to the leader it knows, which tells nobody if it refuses or loses it: the state
 * machine sees at apply what became of it, and must tolerate repetition if the proposer repeats.
 * KVR_OK, KVR_ENOLEADER (none known), KVR_EBUSY (uncommitted_bytes_max), KVR_ETOOBIG, KVR_ENOMEM,
 * KVR_ENOSPACE (storage of a quorum is full): refused, it never was. Raft 5.3, thesis 6.2. */
KVR_API kvr_status kvr_raft_propose(kvr_raft *raft, const kvr_slice *command,
                                    kvr_raft_proposal *out_proposal) KVR_MUST_USE;

/* Asks for an index such that a state machine that has applied it may answer a linearizable read
 * that began now. The answer stands in a later ready with the same `context` (the caller's, unique
 * among those under way). One round of heartbeats serves all reads that wait for it; a follower
 * asks its leader. KVR_OK, KVR_ENOLEADER, KVR_EBUSY (65,536 wait), KVR_ENOMEM. Thesis 6.4. */
KVR_API kvr_status kvr_raft_read_index(kvr_raft *raft, uint64_t context) KVR_MUST_USE;

/* The same for less: while the leader holds its lease it is answered without a round of messages,
 * at a follower after one question to the leader; else it is as kvr_raft_read_index.
 *
 * The lease is a setting of the group (lease_ns of its first config, then KVR_CHANGES_LEASE; 0:
 * off): whoever heard a leader votes for nobody else for lease_ns, after its own start neither; the
 * leader answers for nine tenths of that after it sent a round that a quorum heard, and not at all
 * from the moment on when it hands over. So it is linearizable IF the clocks of any two members run
 * at rates that differ by less than a tenth, count the time that a machine sleeps (CLOCK_BOOTTIME,
 * not CLOCK_MONOTONIC), do not jump back, and if `now_ns` of each ready was read after the calls
 * and messages before it were taken in. A process that is paused anywhere, or lags, answers late
 * and nothing else. Thesis 6.4.1. */
KVR_API kvr_status kvr_raft_read_lease(kvr_raft *raft, uint64_t context) KVR_MUST_USE;

/* The state machine holds everything up to `index` (an index of a ready's committed entries, or of
 * the snapshot it was told to install). KVR_OK; KVR_EINVAL (it was never handed out, or goes back);
 * fatal statuses. */
KVR_API kvr_status kvr_raft_applied(kvr_raft *raft, uint64_t index) KVR_MUST_USE;

/* The state machine has seen this lease clock, ns, in an entry that may be gone from the log: a
 * snapshot tells it. The clock goes on from the highest that was seen. */
KVR_API void kvr_raft_lease_clock_raise(kvr_raft *raft, uint64_t lease_clock);

/* A local snapshot (SNAPSHOT_WRITE, done) is durable: entries up to meta->index minus
 * `keep_entries` may be discarded from memory and storage. `meta` is borrowed. KVR_OK, KVR_EINVAL
 * (not applied yet, or older than the one before), KVR_ENOMEM. Raft 7. */
KVR_API kvr_status kvr_raft_snapshotted(kvr_raft *raft, const kvr_snapshot_meta *meta,
                                        uint64_t keep_entries) KVR_MUST_USE;

/* Starts an election at the next ready, as if the timeout had passed. KVR_OK, KVR_ESTATE (not a
 * voter, or not loaded). */
KVR_API kvr_status kvr_raft_campaign(kvr_raft *raft) KVR_MUST_USE;

/* Hands leadership to voter `to`; 0: to the best one that was heard within an election timeout (a
 * good disk first, then priority, then the longest log). From now on proposals are refused with
 * KVR_EBUSY; when `to` has the whole log it is told to campaign at once. It is over when this
 * member no longer leads, or given up after election_ns (status.transfer_to is 0 again): then this
 * member leads on. Legal before kvr_raft_stop, which does less. KVR_OK: begun, under way, or `to`
 * is this member; KVR_ENOLEADER: this member does not lead; KVR_ENOTFOUND: no such voter;
 * KVR_EBUSY: one to another member is under way. Thesis 3.10. */
KVR_API kvr_status kvr_raft_transfer_leader(kvr_raft *raft, uint64_t to) KVR_MUST_USE;

/* Changes config.priority. */
KVR_API void kvr_raft_set_priority(kvr_raft *raft, uint32_t priority);

/* Ends this member's part: every call says KVR_ESTOPPED from now on. Only if it led, one more ready
 * shows one message: the best member need not wait for an election timeout. The same is shown after
 * a fatal status. */
KVR_API void kvr_raft_stop(kvr_raft *raft);

/* ------------------------------------------------------------------ changes of the members
 *
 * A configuration is in force from the append of its entry (thesis 4.1). One change is under way at
 * a time, none before an entry of the leader's own term is committed (Ongaro, raft-dev 2015). If at
 * most one vote comes, goes or moves, one step does it; else the group passes through a joint
 * configuration, in which both majorities decide, and leaves it by itself (thesis 4.3). A new voter
 * is a learner first. An id is never used twice: a member that lost its disk comes back as another
 * one. */

enum {
    /* `member`: id (above every id that ever was; 0: the next one), role, flags, attributes. A
     * VOTER becomes a learner with KVR_MEMBER_PROMOTE: it votes once it caught up. A WITNESS votes
     * at once. KVR_EEXIST. */
    KVR_CHANGE_ADD = 1,
    /* a learner becomes a voter. KVR_EBEHIND until it holds what the leader held an election
     * timeout ago and was heard of since */
    KVR_CHANGE_PROMOTE = 2,
    KVR_CHANGE_DEMOTE = 3, /* a voter becomes a learner (without KVR_MEMBER_PROMOTE) */
    KVR_CHANGE_UPDATE = 4, /* its attributes; role and flags stay */
    KVR_CHANGE_REMOVE = 5  /* also the leader itself: it steps down once that is committed */
};

typedef struct kvr_member_change {
    uint8_t kind; /* KVR_CHANGE_* */
    uint8_t reserved[7];
    kvr_member member; /* what the kind does not name is ignored */
} kvr_member_change;

enum {
    KVR_CHANGES_JOINT = 1, /* through a joint configuration, though one step would do */
    KVR_CHANGES_STAY = 2,  /* and stay in it until KVR_CHANGES_LEAVE */
    KVR_CHANGES_LEAVE = 4, /* no changes, but this */
    /* without the strict check, which refuses what would leave fewer voters heard of lately than a
     * majority, or fewer copies than data_copies_min: KVR_EQUORUM */
    KVR_CHANGES_UNCHECKED = 8,
    KVR_CHANGES_COPIES = 16, /* data_copies_min is set too */
    KVR_CHANGES_LEASE = 32   /* lease_ns is set too: see kvr_raft_read_lease */
};

/* One change, all or nothing. Borrowed. */
typedef struct kvr_raft_changes {
    uint32_t size;
    uint32_t flags; /* KVR_CHANGES_* */
    uint32_t change_count;
    uint32_t data_copies_min; /* with KVR_CHANGES_COPIES; at most the members that hold data */
    const kvr_member_change *changes;
    uint64_t lease_ns;   /* with KVR_CHANGES_LEASE: 0, or at least 3 x heartbeat_ns */
    uint64_t context[3]; /* the caller's: kvr_configuration_context tells it of the entry */
} kvr_raft_changes;

/* Changes the members; only the leader can. It is done when the entry at *out_proposal is
 * committed (a joint one: when the configuration that follows it is). Refused, it never was:
 * KVR_ENOLEADER (this member does not lead), KVR_EBUSY (another change is not applied here yet, or
 * nothing of this term is committed), KVR_EEXIST, KVR_ENOTFOUND (no such member), KVR_EBEHIND,
 * KVR_EQUORUM, KVR_ESTATE (the member's role, or no joint configuration, does not allow it),
 * KVR_ETOOBIG (64 members, attributes), KVR_EINVAL, KVR_ENOMEM. Thesis 4. */
KVR_API kvr_status kvr_raft_change(kvr_raft *raft, const kvr_raft_changes *changes,
                                   kvr_raft_proposal *out_proposal) KVR_MUST_USE;

/* Sends `body` (borrowed, at most 64 KiB) to one member, for the layer above; `type` is its own,
 * 0..127. It arrives in that member's ready.posts, or not at all. KVR_OK, KVR_ETOOBIG, KVR_EBUSY,
 * KVR_ENOMEM. */
KVR_API kvr_status kvr_raft_post(kvr_raft *raft, uint64_t to, uint8_t type,
                                 const kvr_slice *body) KVR_MUST_USE;

/* A quiet member speaks and listens again. Call it when a connection to a member of the group
 * breaks, so that a dead leader is replaced though nobody asks for it. O(1), changes nothing of one
 * that is awake. */
KVR_API void kvr_raft_wake(kvr_raft *raft);

/* 1: the layer above needs the leader's heartbeats (for clocks of its own, say): the group does not
 * go quiet while this member says so. 0, at first: it does not. */
KVR_API void kvr_raft_keep_awake(kvr_raft *raft, uint8_t awake);

/* ------------------------------------------------------------------ ready */

typedef struct kvr_raft_read {
    uint64_t context;
    uint64_t index;    /* answer once this is applied */
    kvr_status status; /* KVR_OK; KVR_ENOLEADER: leadership changed, ask again */
    uint32_t reserved;
} kvr_raft_read;

typedef struct kvr_raft_post_in {
    uint64_t from;
    uint64_t term;
    uint8_t type;
    uint8_t reserved[7];
    kvr_slice body;
} kvr_raft_post_in;

enum {
    KVR_RAFT_ROLE_CHANGED = 1, /* role, leader or term changed: see kvr_raft_get_status */
    KVR_RAFT_LOADED = 2        /* the start is over: the member takes part from now on */
};

/* All arrays lend until kvr_raft_advance, except: bytes of a storage request until it is answered;
 * bytes of a committed entry until its buffer is released (retain it to keep it beyond advance). */
typedef struct kvr_raft_ready {
    uint32_t flags;
    uint32_t request_count;
    uint32_t message_count;
    uint32_t committed_count;
    uint32_t read_count;
    uint32_t post_count;
    uint32_t trace_count;
    uint32_t traces_lost; /* since the start: more than 4,096 in one ready, or no memory */
    const kvr_store_request *requests;
    const kvr_message *messages;
    const kvr_entry *committed; /* dense: each index once, in order, never again */
    const kvr_raft_read *reads;
    const kvr_raft_post_in *posts;
    const kvr_trace_event *traces; /* what happened since the last ready, in order; config.trace */
    /* NULL, or replace the state machine by this snapshot; no committed entry above it is handed
     * out before it is applied */
    const kvr_snapshot_meta *install;
} kvr_raft_ready;

/* Does what time and intake made due and shows what there is to do; empty arrays mean nothing. Call
 * advance before the next one (KVR_ESTATE otherwise). KVR_OK; KVR_ENOMEM (nothing lost; try again);
 * fatal statuses. */
KVR_API kvr_status kvr_raft_ready_get(kvr_raft *raft, uint64_t now_ns,
                                      const kvr_raft_ready **out_ready) KVR_MUST_USE;

/* Ends the ready shown last. */
KVR_API void kvr_raft_advance(kvr_raft *raft);

/* True if a ready now may show something though no time passes; false: it would show nothing. */
KVR_API bool kvr_raft_has_ready(const kvr_raft *raft);

/* The time at which ready must be called though nothing arrived; UINT64_MAX: never. */
KVR_API uint64_t kvr_raft_deadline(const kvr_raft *raft);

/* ------------------------------------------------------------------ questions */

enum {
    KVR_ROLE_LOADING = 0,
    KVR_ROLE_FOLLOWER = 1,
    KVR_ROLE_PRECANDIDATE = 2,
    KVR_ROLE_CANDIDATE = 3,
    KVR_ROLE_LEADER = 4,
    KVR_ROLE_FAILED = 5 /* or stopped */
};

typedef struct kvr_raft_status {
    uint32_t size;
    uint8_t role;
    uint8_t member_role; /* KVR_MEMBER_*; 255: not in the configuration */
    uint8_t joint;       /* 1: the configuration in force is joint */
    uint8_t removed;     /* 1: this member was removed, for good; free it and its disk */
    uint64_t term;
    uint64_t voted_for;
    uint64_t leader; /* 0: none known */
    uint64_t incarnation;
    uint64_t first_index; /* of the log, in storage or memory; first - 1 is in the snapshot */
    uint64_t last_index;
    uint64_t last_term;
    uint64_t durable_index;
    uint64_t commit_index;
    uint64_t applied_index;
    uint64_t snapshot_index;
    uint64_t lease_clock;        /* ns of leadership, as of the last ready */
    uint64_t own_term_committed; /* 1: this leader has committed an entry of its own term */
    uint64_t bad_messages;       /* dropped as garbage or of strangers */
    uint64_t memory_bytes;
    /* 1: this storage is full, or a needed one was when the last proposal was refused */
    uint64_t no_space;
    uint64_t flush_age_ns; /* of the oldest flush under way, as of the last ready; 0: none */
    uint64_t transfer_to;  /* leader: whom it hands over to; 0: nobody */
    uint64_t lease_ns;     /* of the configuration in force: see kvr_raft_read_lease; 0: off */
    uint64_t lease_end_ns; /* leader: until when it holds its lease; 0: it holds none now */
    /* all that was acknowledged anywhere before fresh_ns, of this host's clock, is in a state
     * machine that has applied fresh_index; 0: not known yet */
    uint64_t fresh_ns;
    uint64_t fresh_index;
    uint64_t configuration_index; /* of the configuration in force; above commit_index: not final */
    uint32_t data_copies_min;
    uint32_t data_copies; /* leader: members that hold data and have the last commit */
    uint64_t quiet;       /* 1: see config.quiet_ns */
} kvr_raft_status;

/* What the leader knows of one follower. Times are of the leader's clock. */
typedef struct kvr_raft_progress {
    uint32_t size;
    uint8_t state; /* 0 probe, 1 replicate, 2 snapshot */
    uint8_t role;
    uint8_t is_active; /* 1: heard within an election timeout */
    uint8_t level;     /* its config.level; 0: it was not heard since this member started */
    uint64_t id;
    uint64_t match; /* highest index known to be durable there */
    uint64_t next;  /* next index to send */
    uint64_t last_heard_ns;
    uint64_t inflight_bytes;    /* sent and not acknowledged */
    uint32_t inflight_messages; /* the same in messages */
    uint32_t priority;
    uint64_t free_bytes;     /* its storage's; UINT64_MAX: not known */
    uint64_t flush_age_ns;   /* of its oldest flush under way; 0: none */
    uint64_t snapshot_index; /* SNAPSHOT: the one that is sent, and how far */
    uint64_t snapshot_offset;
    uint32_t flags;     /* KVR_MEMBER_PROMOTE */
    uint32_t caught_up; /* 1: as a learner it could be promoted now */
} kvr_raft_progress;

/* Fills *out_status, whose size the caller has set. Legal in every state. */
KVR_API void kvr_raft_get_status(const kvr_raft *raft, kvr_raft_status *out_status);

/* What messages of a type are called: "append", "vote-reply" ...; "?" for a number that is none.
 * Lends for ever. */
KVR_API const char *kvr_raft_message_name(uint8_t type);

/* Progress of member number `i` of the configuration, in id order; *out_progress has its size set
 * by the caller. KVR_OK, KVR_END (no such i; nothing but id and role is known unless this member
 * leads). */
KVR_API kvr_status kvr_raft_get_progress(const kvr_raft *raft, uint32_t i,
                                         kvr_raft_progress *out_progress) KVR_MUST_USE;

/* The lowest config.level of all members of the configuration, as they told it since this member
 * started; 0: one of them did not. A layer above writes nothing new before all can read it. */
KVR_API uint32_t kvr_raft_level(const kvr_raft *raft);

/* One line: what failed, where, the remedy; "" if nothing did. Lends until the next call on the
 * handle. */
KVR_API const char *kvr_raft_error(const kvr_raft *raft);

/* The encoded configuration in force at `index` (applied..last), for a snapshot's meta. Lends until
 * the next call that takes work in. KVR_OK, KVR_ENOTFOUND. */
KVR_API kvr_status kvr_raft_configuration(const kvr_raft *raft, uint64_t index,
                                          kvr_slice *out_encoded) KVR_MUST_USE;

/* Decodes member number `i` of an encoded configuration (borrowed; attributes lend from it).
 * KVR_OK, KVR_END, KVR_ECORRUPT. */
KVR_API kvr_status kvr_configuration_member(const kvr_slice *encoded, uint32_t i,
                                            kvr_member *out_member) KVR_MUST_USE;

/* The highest id that any member of an encoded configuration (borrowed), or of one before it, ever
 * had. */
KVR_API uint64_t kvr_configuration_highest_id(const kvr_slice *encoded);

/* Encodes a configuration of `count` members in ascending order of id (borrowed); highest_id is 0
 * or at least theirs. KVR_OK, KVR_EINVAL, KVR_ETOOBIG (does not fit). */
KVR_API kvr_status kvr_configuration_write(const kvr_member *members, uint32_t count,
                                           uint64_t highest_id, uint8_t *out, size_t capacity,
                                           size_t *out_size) KVR_MUST_USE;

/* The context that was given with the change which this encoded configuration (borrowed) completes;
 * all 0: none, or it is a joint one, and the one that follows completes the change. */
KVR_API void kvr_configuration_context(const kvr_slice *encoded, uint64_t out_context[3]);

/* ------------------------------------------------------------------ messages at the border */

typedef struct kvr_message_info {
    uint64_t cluster_id;
    uint64_t group_id;
    uint64_t from;
    uint64_t to;
    uint64_t term;
    uint32_t length; /* of the whole message */
    uint8_t version;
    uint8_t type;
    uint8_t level; /* the sender's config.level */
    uint8_t reserved;
} kvr_message_info;

/* Reads the head of the first message of `frame` (borrowed), to route it. Only the head is looked
 * at: its checksum is verified by receive. KVR_OK; KVR_END (fewer bytes than the head or the
 * message needs: out_info->length is filled as soon as 16 bytes are there, else 0); KVR_ECORRUPT;
 * KVR_ETOOBIG (length above `length_max`); KVR_EVERSION. */
KVR_API kvr_status kvr_message_peek(const kvr_slice *frame, uint32_t length_max,
                                    kvr_message_info *out_info) KVR_MUST_USE;

/* Bytes of a message's head: 64. */
KVR_API uint32_t kvr_message_head_size(void);

/* ------------------------------------------------------------------ messages of many groups
 *
 * A bundle is one message that holds others, of any groups, from one member to another: heartbeats
 * and their replies in about 20 bytes each, all else as it is. Leaders' heartbeats are due at whole
 * multiples of heartbeat_ns of the host's clock, so those of a process's groups fall together: a
 * beat of a thousand groups is one message a peer.
 *
 *   sender     for each member it sends to: kvr_bundle_add each message of each group's ready, then
 *              kvr_bundle_take and send
 *   receiver   kvr_message_peek: kvr_message_is_bundle? Then kvr_bundle_open and kvr_bundle_next
 *              until KVR_END, and each message to its group as if it had come alone
 *
 * A bundle is no more than its messages: it may be lost, repeated and reordered. */
typedef struct kvr_bundle kvr_bundle;

/* Makes an empty one. `bytes_max`: of the messages in it, 4 KiB to 64 MiB, 0: 1 MiB; one message
 * always fits. NULL table: malloc. KVR_OK gives *out_bundle, freed by kvr_bundle_free. KVR_EINVAL,
 * KVR_ENOMEM. */
KVR_API kvr_status kvr_bundle_new(const kvr_allocator *table, void *ctx, uint32_t bytes_max,
                                  kvr_bundle **out_bundle) KVR_MUST_USE;
KVR_API void kvr_bundle_free(kvr_bundle *bundle); /* NULL is ignored */

/* Adds a whole message, borrowed and copied. KVR_OK; KVR_EBUSY: it does not fit, or is of another
 * cluster or between other members than those that are in it: take these first; KVR_EINVAL (no
 * message); KVR_ENOMEM (as if it were lost). */
KVR_API kvr_status kvr_bundle_add(kvr_bundle *bundle, const kvr_slice *message) KVR_MUST_USE;

/* What was added, as one message, and begins anew: *out_message lends until the next call on the
 * bundle. KVR_OK; KVR_END: nothing was added. */
KVR_API kvr_status kvr_bundle_take(kvr_bundle *bundle, kvr_slice *out_message) KVR_MUST_USE;

/* True for the `type` of a bundle, as kvr_message_peek tells it. */
KVR_API bool kvr_message_is_bundle(uint8_t type);

/* A bundle that is being read; in the caller's memory. */
typedef struct kvr_bundle_reader {
    uint64_t opaque[32];
} kvr_bundle_reader;

/* Verifies `message`, one bundle, which must stay until it was read. KVR_OK; KVR_ECORRUPT;
 * KVR_EINVAL (no bundle); KVR_EVERSION. */
KVR_API kvr_status kvr_bundle_open(kvr_bundle_reader *reader,
                                   const kvr_slice *message) KVR_MUST_USE;

/* The next message in it, byte for byte as it was added: lends until the next call. KVR_OK;
 * KVR_END; KVR_ECORRUPT (a sender's bug). */
KVR_API kvr_status kvr_bundle_next(kvr_bundle_reader *reader, kvr_slice *out_message) KVR_MUST_USE;

#ifdef __cplusplus
}
#endif
#endif
