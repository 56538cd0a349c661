/* SPDX-License-Identifier: Apache-2.0 */
/* raft_state.h: the state of one member. Intake functions change it and set what is due;
 * kvr_raft_ready_get (raft_ready.c) alone turns what is due into messages and requests, so a
 * message, a completion and a proposal cost one ready together. Start at struct kvr_raft, at the
 * end. Its invariants are numbered in README.md and asserted in raft_check.c. */
#ifndef KVRAFT_LIB_RAFT_STATE_H
#define KVRAFT_LIB_RAFT_STATE_H

#include <kvraft/raft.h>
#include <string.h>

#include "base/array.h"
#include "base/assertion.h"
#include "base/buggify.h"
#include "base/memory.h"
#include "base/random.h"
#include "base/ring.h"
#include "raft_configuration.h"
#include "raft_lease.h"
#include "raft_log.h"
#include "raft_message.h"
#include "raft_quorum.h"

/* Limits. Each has its refusal. With KVR_HOSTILE those that only cut work into portions are small,
 * so that tests come across them. */
#ifdef KVR_HOSTILE
enum {
    KVR__RAFT_HANDED_MAX = 3,
    KVR__RAFT_APPEND_BYTES_MAX = 400,
    KVR__RAFT_LOAD_BYTES_MAX = 300,
    KVR__RAFT_WITNESS_ENTRIES = 8
};
#else
enum {
    KVR__RAFT_HANDED_MAX = 1024,                  /* committed entries in one ready */
    KVR__RAFT_APPEND_BYTES_MAX = 4 * 1024 * 1024, /* soft, of one append request */
    KVR__RAFT_LOAD_BYTES_MAX = 4 * 1024 * 1024,   /* of one read at start */
    KVR__RAFT_WITNESS_ENTRIES = 10000             /* a witness lets go of its log beyond so many */
};
#endif
enum {
    KVR__RAFT_READS_MAX = 65536,          /* waiting reads: KVR_EBUSY */
    KVR__RAFT_POSTS_MAX = 1024,           /* received and not shown: KVR_EBUSY */
    KVR__RAFT_POST_BYTES_MAX = 64 * 1024, /* one body: KVR_ETOOBIG */
    KVR__RAFT_OUTBOX_MAX = 4096,          /* messages waiting: dropped, as a network may */
    KVR__RAFT_OUTBOX_BYTES_MAX = 256 * 1024 * 1024,
    KVR__RAFT_TRACES_MAX = 4096, /* in one ready; more are counted */
    KVR__RAFT_ERROR_SIZE = 320
};

#define KVR__RAFT_TERM_JUMP_MAX \
    ((uint64_t)1 << 32) /* a message further ahead is refused and counted */

_Static_assert(KVR__RAFT_TYPES <= 20, "kvr_raft_counters has no place for more");

/* ------------------------------------------------------------------ members */

/* What the leader knows of one follower (its own entry tracks its own disk).
 *
 *   PROBE     -> REPLICATE   an append was accepted        [kvr__raft_progress_accept]
 *   REPLICATE -> PROBE       refused: entries are missing  [kvr__raft_progress_refuse]
 *   any       -> SNAPSHOT    next lies below the log       [kvr__raft_progress_need_snapshot]
 *   SNAPSHOT  -> PROBE       installed, or caught up       [kvr__raft_progress_accept, _installed]
 *
 * match < next always. PROBE: at most one append with at most one entry is under way. REPLICATE:
 * entries match+1 .. next-1 are under way, within the window. SNAPSHOT: no entries are sent. */
enum { KVR__RAFT_PROBE = 0, KVR__RAFT_REPLICATE = 1, KVR__RAFT_SNAPSHOT_STATE = 2 };

typedef struct kvr__raft_progress {
    uint64_t match;
    uint64_t next;
    uint64_t commit_sent;   /* highest commit index that it was told */
    uint64_t commit_held;   /* news held back for one ready: see kvr__raft_replication_send */
    uint64_t round;         /* highest round that it echoed */
    uint64_t lease_round;   /* the same, while its durable log held the promise */
    uint64_t last_heard_ns; /* of its last message in this term */
    uint64_t free_bytes;    /* its storage's; UINT64_MAX: not known */
    uint64_t flush_age_ns;
    uint64_t stamp;          /* of its newest heartbeat reply: brought back to it */
    uint64_t snapshot_index; /* SNAPSHOT: which one is sent */
    uint64_t snapshot_term;
    uint64_t offset; /* SNAPSHOT: the chunk to read, or that waits for its acknowledgement */
    uint64_t chunk_sent_ns;
    uint64_t match_at_tick; /* match when the last heartbeat was due */
    /* the last entry that was read from storage for it: the next one need not be read for its
     * term */
    uint64_t fetched_prev;
    uint64_t fetched_prev_term;
    kvr__ring inflight; /* uint64_t: last index of each append under way */
    uint32_t priority;
    uint8_t state;
    bool probe_sent; /* PROBE: wait for the answer or the next heartbeat */
    bool chunk_sent; /* SNAPSHOT: the same */
    bool heard;      /* since the last ready */
    /* its next entries are no longer in memory: they are read from storage */
    bool fetching;
    bool quiet; /* it agreed to be */
    uint8_t reserved[6];
} kvr__raft_progress;

typedef struct kvr__raft_member {
    uint64_t id;
    uint8_t role;          /* KVR_MEMBER_* or KVR__RAFT_ROLE_NONE (leaving) */
    uint8_t role_outgoing; /* the same in the outgoing half of a joint configuration */
    uint8_t vote;          /* KVR__RAFT_VOTE_*: its answer to the election under way */
    uint8_t flags;         /* KVR_MEMBER_PROMOTE */
    uint8_t level;         /* as its last message told it; 0: none came */
    uint8_t reserved[3];
    kvr__raft_progress progress;
} kvr__raft_member;

/* A configuration and where it stands. `encoded` lies in `buffer`, which this holds a count of. */
typedef struct kvr__raft_configured {
    uint64_t index;
    kvr_buf *buffer;
    kvr_slice encoded;
} kvr__raft_configured;

/* ------------------------------------------------------------------ parts of the state */

typedef struct kvr__raft_outbox {
    uint8_t *bytes;
    kvr_message *messages; /* until shown, `token` is the offset of its bytes */
    size_t size;
    size_t capacity;
    size_t used_max; /* largest size since the last heartbeat */
    uint32_t count;
    uint32_t message_capacity;
    uint32_t idle_ticks; /* heartbeats since it was well used */
    uint32_t reserved;
} kvr__raft_outbox;

/* A snapshot that storage holds. index 0: none. */
typedef struct kvr__raft_snapshot {
    kvr_snapshot_meta meta; /* its configuration lies in `buffer` */
    kvr_buf *buffer;
} kvr__raft_snapshot;

/* A read that waits: local (from 0) with the caller's context, or a follower's. */
typedef struct kvr__raft_pending_read {
    uint64_t from;
    kvr__raft_read_context context; /* local: sequence is the caller's context */
    uint64_t round;                 /* that must be confirmed; follower: sequence of the request */
    uint64_t index;
    uint64_t taken_ns; /* the newest time that was known when it came */
    bool by_lease;
    uint8_t reserved[7];
} kvr__raft_pending_read;

/* Storage requests under way: at most one of each kind. A token of 0: none. */
typedef struct kvr__raft_store {
    kvr_store_request blank; /* what each begins as: a copy is cheaper than clearing this much */
    uint64_t token_last;
    uint64_t free_bytes;
    uint64_t retry_ns; /* after KVR_ENOSPACE: not before */
    uint64_t room_ns;  /* when free_bytes was told */
    bool full;         /* the last write found no room */
    bool refused;      /* the last proposal was, for want of room here or there */
    uint8_t reserved[6];

    uint64_t durable_term; /* what a crash now would leave */
    uint64_t durable_vote;
    uint64_t durable_incarnation;
    uint64_t durable_index; /* log: base..durable survive */
    uint64_t vote_token;
    uint64_t vote_term;
    uint64_t vote_for;
    uint64_t vote_since_ns;

    uint64_t append_token;
    uint64_t append_first;
    uint64_t append_last; /* cut by truncation: what its completion will still count for */
    uint64_t append_since_ns;
    kvr_slice *pieces;
    kvr_buf **pins; /* one count a piece */
    uint32_t piece_count;
    uint32_t piece_capacity;
    uint32_t pin_capacity;
    uint32_t append_entries;

    uint64_t first_index; /* of the log in storage; memory may begin later */
    uint64_t discard_token;
    uint64_t discard_wanted; /* entries up to here may go, once they are durable and applied */
    /* the log was replaced by a snapshot: nothing is appended before this is done */
    bool discard_all_wanted;
    bool discard_all;   /* the request under way is such a one */
    bool discard_again; /* the last one found no room */
    uint8_t reserved2[5];

    uint64_t load_token;
    uint64_t read_token; /* entries at start */
    uint64_t load_next;
    uint64_t load_last;
    uint64_t load_vote;
    uint8_t load_stage; /* KVR__RAFT_LOAD_* */
    uint8_t reserved3[7];

    /* READ for a follower: what follows fetch_prev, in leadership fetch_term */
    uint64_t fetch_token;
    uint64_t fetch_for;
    uint64_t fetch_prev;
    uint64_t fetch_first;
    uint64_t fetch_prev_term;
    uint64_t fetch_term;

    struct kvr__raft_witness_write *witness; /* SNAPSHOT_WRITE of a witness; NULL: none */

    uint64_t chunk_read_token; /* SNAPSHOT_READ for a follower */
    uint64_t chunk_read_for;
    uint64_t chunk_read_index;
    uint64_t chunk_read_offset;
} kvr__raft_store;

enum {
    KVR__RAFT_LOAD_NEW = 0,     /* nothing was asked for */
    KVR__RAFT_LOAD_ASKED = 1,   /* LOAD is under way */
    KVR__RAFT_LOAD_ENTRIES = 2, /* VOTE and READs are */
    KVR__RAFT_LOAD_DONE = 3
};

/* A snapshot that a leader sends to this member. */
typedef struct kvr__raft_incoming {
    kvr_snapshot_meta meta;
    kvr_buf *configuration;
    kvr_buf *chunk;
    uint64_t from;
    uint64_t offset; /* next wanted: all below is written */
    uint64_t token;  /* SNAPSHOT_WRITE under way */
    bool active;
    bool chunk_waits; /* `chunk` is to be written at `offset` */
    bool last;        /* and it is the last */
    bool stale;       /* the write under way belongs to one given up */
    uint8_t reserved[4];
} kvr__raft_incoming;

typedef struct kvr__raft_posts {
    uint8_t *bytes;
    kvr_raft_post_in *items; /* body.data is NULL until shown */
    size_t size;
    size_t capacity;
    uint32_t count;
    uint32_t item_capacity;
} kvr__raft_posts;

/* ------------------------------------------------------------------ the member */

struct kvr_raft {
    kvr__mem mem;
    kvr_raft_config config; /* members and allocator pointers are not used after start */
    kvr__random random;

    /* Raft figure 2. term and vote may be ahead of what is durable: then nothing is sent. */
    uint64_t term;
    uint64_t vote;
    uint64_t incarnation;
    uint64_t leader;  /* 0: none known */
    uint8_t role;     /* KVR_ROLE_* */
    bool loaded_flag; /* KVR_RAFT_LOADED is to be shown */
    bool role_flag;   /* KVR_RAFT_ROLE_CHANGED is to be shown */
    bool campaign;    /* asked for by the host */
    bool joint;       /* the configuration in force is joint */
    bool work;        /* a ready now may show something */
    bool shown;       /* between ready and advance */
    bool hand_more;   /* more committed entries can be handed out at once */
    bool heard_any;   /* some member's progress.heard is set */
    bool witness;     /* keeps headers only, applies nothing */
    bool removed;     /* a committed configuration has no place for this member any more */
    bool abdicates;   /* leader without a vote: it has told that this is committed */
    bool change_due;  /* the last configuration is new: what follows from it is to be done */
    kvr__raft_log log;
    uint64_t commit;
    uint64_t handed; /* last committed index shown in a ready */
    uint64_t applied;
    uint64_t verified; /* follower: the log up to here matches this term's leader's */

    /* Configurations: items[0] is in force at `applied`, the last one now. members is the last
     * one's, in id order; spare_members is where the next one is built. */
    struct {
        kvr__raft_configured *items;
        uint32_t count;
        uint32_t capacity;
    } configurations;
    kvr__raft_member *members;
    kvr__raft_member *spare_members;
    uint32_t member_count;
    uint32_t member_capacity;
    uint32_t spare_capacity;
    uint32_t self; /* this member's place; UINT32_MAX: not a member */
    /* leader: where its log ended when the present span of one election timeout began */
    uint64_t span_index;
    uint64_t span_ns;

    /* Time. */
    uint64_t now;
    uint64_t election_deadline;
    uint64_t election_timeout_ns; /* drawn with each change of role */
    uint64_t heartbeat_deadline;  /* leader: heartbeats; others: repetitions */
    uint64_t busy_ns;             /* of the last ready that showed more than messages */
    uint64_t quiet_since_ns;
    bool quiet;      /* no heartbeats, no timeouts: see raft_idle.c */
    bool quieting;   /* leader: asks the others to be quiet */
    bool wake_due;   /* at the next ready */
    bool keep_awake; /* the layer above asks for it */
    uint8_t reserved9[4];
    uint64_t leader_heard_ns;
    bool leader_heard; /* since the last ready */
    bool clock_started;
    bool heartbeat_reply; /* due */
    bool ack;             /* an append reply is due */
    bool broadcast;       /* leader: heartbeats are due now */
    bool send_due;        /* leader: entries, chunks or commit news may be due */
    bool vote_round_due;  /* candidate: (pre)vote requests are due */
    bool chunk_due;       /* leader: a follower may want a chunk of a snapshot */
    bool fetch_due;       /* leader: or entries that are in storage only */
    uint8_t reserved[7];
    uint64_t acked; /* follower: highest index acknowledged in this term */

    /* Lease clock, thesis of DESIGN: nanoseconds of leadership. */
    uint64_t lease_seen; /* the highest of the leader of lease_term */
    uint64_t lease_term;
    uint64_t lease_base; /* leader: value when it began to lead */
    uint64_t lease_begin_ns;

    /* Reads: a ring of kvr__raft_pending_read, in order of arrival; the first `assigned` have a
     * round. */
    kvr__ring reads;
    kvr__ring lease_reads; /* leader: the same, of those that its lease may answer */
    uint32_t reads_assigned;
    uint32_t read_result_count;
    uint32_t read_result_capacity;
    uint32_t shown_read_capacity;
    kvr_raft_read *read_results;
    kvr_raft_read *shown_reads;
    /* leader: the newest begun; follower: the highest seen in this term */
    uint64_t round;
    uint64_t round_confirmed;
    uint64_t read_round;    /* leader: the newest one begun for reads */
    uint64_t read_sequence; /* follower: of its newest request */
    bool read_request_due;
    uint8_t reserved3[7];

    kvr__raft_handover handover;
    kvr__raft_lease lease;
    bool last_words; /* a leader that failed or stopped: one message is still to be shown */
    uint8_t reserved6[7];

    uint64_t evict_position;    /* when the log's end gets there, its beginning may leave memory */
    uint64_t quorum_free_bytes; /* leader: what the fullest needed disk has left */

    kvr__raft_store store;
    kvr__raft_snapshot snapshot;
    kvr__raft_incoming incoming;
    bool install_due; /* show `snapshot` as ready.install */
    bool installing;  /* shown, not yet applied */
    uint8_t reserved4[6];
    uint64_t install_index;

    kvr__raft_outbox outbox; /* filling */
    kvr__raft_outbox shown_outbox;
    /* 1 + number of the outbox message that takes further commands; 0: none */
    uint32_t forward_message;
    uint32_t traces_lost;
    uint64_t message_token;
    kvr__raft_posts posts;
    kvr__raft_posts shown_posts;

    /* What a ready shows. */
    kvr_raft_ready ready;
    kvr_store_request *requests;
    kvr_entry *committed;
    kvr_buf **committed_pins;
    kvr_trace_event *traces;
    kvr_trace_event *shown_traces;
    kvr_snapshot_meta install_meta;
    kvr_buf *install_pin;
    uint32_t request_capacity;
    uint32_t committed_capacity;
    uint32_t committed_pin_count;
    uint32_t committed_pin_capacity;
    uint32_t trace_count;
    uint32_t trace_capacity;
    uint32_t shown_trace_capacity;
    uint32_t request_count;

    uint64_t bad_messages;
    kvr_status failed;        /* KVR_OK or why the role is FAILED */
    uint32_t data_copies_min; /* of the configuration in force */
    const char *error;        /* "" until it failed */
    char *error_room;         /* NULL, or KVR__RAFT_ERROR_SIZE bytes that it stands in */
#ifdef KVR_CHECK
    struct { /* the state at the last check, for what may only grow */
        uint64_t term, vote, commit, applied, handed, last_index, leader;
        uint8_t role;
    } before;
#endif
};

#endif
