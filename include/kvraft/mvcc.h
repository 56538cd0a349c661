/* SPDX-License-Identifier: Apache-2.0 */
/* kvraft/mvcc.h: a multi-version ordered key-value store in memory, with etcd's revisions. It knows
 * no log, no message, no lease but by number, and can be used alone.
 *
 *   1. kvr_mvcc_new
 *   2. write:  kvr_mvcc_apply (or _apply_begin, _step ..., _finish: a large change in slices)
 *   3. read:   kvr_mvcc_get at the head; kvr_mvcc_view_open, then cursors and counts at any
 *              revision that is not compacted; kvr_mvcc_changes for what happened
 *   4. kvr_mvcc_compact, then kvr_mvcc_compact_step until KVR_OK
 *   5. kvr_mvcc_save_* writes a snapshot from a view while writes go on; kvr_mvcc_load_* replaces
 *      the content
 *   6. kvr_mvcc_free, after every view and result was freed
 *
 * The store starts at revision 1. Each transaction that changes something takes the next revision
 * ("main"); its changes are numbered within it ("sub", from 0). The same operations in the same
 * order give the same store, revision by revision and hash by hash, on every machine. Contract:
 * etcd v3 KV.
 *
 * One handle, one thread at a time, except that any one thread may read a view and free it. No
 * clock. Nothing here calls back. */
#ifndef KVRAFT_MVCC_H
#define KVRAFT_MVCC_H

#include <kvraft/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct kvr_mvcc kvr_mvcc;
typedef struct kvr_mvcc_view kvr_mvcc_view;
typedef struct kvr_mvcc_result kvr_mvcc_result;

/* ------------------------------------------------------------------ limits
 *
 * They bind what apply accepts, so they are the same on every member of this version. */
enum {
    KVR_KEY_BYTES_MAX = 65535,
    KVR_VALUE_BYTES_MAX = 1572864, /* 1.5 MiB */
    /* compares, then-operations or else-operations of one transaction, each */
    KVR_TXN_OPS_MAX = 128,
    KVR_TXN_DEPTH_MAX = 4, /* a transaction inside a transaction counts one more */
    /* operations of one transaction and of all inside it, both branches */
    KVR_TXN_ALL_OPS_MAX = 1024,
    /* values up to this size are copied, larger ones share op->owner */
    KVR_MVCC_SHARE_BYTES = 4096
};

/* ------------------------------------------------------------------ types */

/* One version of one key. Slices lend as the giver says. */
typedef struct kvr_kv {
    kvr_slice key;
    kvr_slice value;
    uint64_t create_revision; /* main revision of the put that made the key */
    uint64_t mod_revision;    /* main revision of this version */
    uint64_t mod_sub;         /* its place within the transaction */
    uint64_t version;         /* 1 at creation, one more a put; 0 in a delete */
    int64_t lease;            /* 0: none */
} kvr_kv;

enum { KVR_EVENT_PUT = 0, KVR_EVENT_DELETE = 1 };

/* One change. For a delete only key and mod_revision, mod_sub of `kv` are set. */
typedef struct kvr_event {
    kvr_kv kv;
    kvr_kv prev;      /* the version before; all zero if there was none or it is compacted */
    uint8_t type;     /* KVR_EVENT_* */
    uint8_t has_prev; /* 1: prev is set */
    uint8_t reserved[6];
} kvr_event;

/* Which keys, and as of when. range_end empty: the one key; "\0" (one zero byte): every key from
 * `key` on; else the half-open interval [key, range_end). key "\0" with range_end "\0" is
 * everything; an interval that is not upright holds nothing. Borrowed, except by a cursor, whose
 * user keeps both until its end. etcd contract: "Key intervals". */
typedef struct kvr_range {
    uint32_t size;
    uint32_t reserved;
    kvr_slice key; /* never empty */
    kvr_slice range_end;
    uint64_t revision; /* 0: the view's head */
} kvr_range;

/* Writes into *out_end the end of the interval of all keys that begin with `prefix`: the prefix
 * with its last byte below 255 raised and the rest cut, in `room` (borrowed, prefix->size bytes);
 * "\0" if there is no such byte. */
KVR_API void kvr_prefix_end(const kvr_slice *prefix, uint8_t *room, kvr_slice *out_end);

enum {
    KVR_OP_PUT = 1,
    KVR_OP_RANGE = 2,
    KVR_OP_DELETE = 3,
    KVR_OP_TXN = 4,
    /* Each of `keys` that is there, in their order, under one revision: how a lease ends. Only by
     * itself, never in a transaction; any number of keys; no flags. */
    KVR_OP_DELETE_KEYS = 5
};

enum {
    KVR_OP_PREV_KV = 1,      /* put, delete: the result holds what stood there before */
    KVR_OP_IGNORE_VALUE = 2, /* put: keep the present value; KVR_ENOTFOUND without one */
    KVR_OP_IGNORE_LEASE = 4, /* put: keep the present lease; KVR_ENOTFOUND without a key */
    KVR_OP_KEYS_ONLY = 8,    /* range: no values in the result */
    KVR_OP_COUNT_ONLY = 16,  /* range: only the count */
    /* Put: its lease does not exist, says the caller, who knows leases: if this put lies on the
     * path taken, the whole is refused with KVR_ENOLEASE. */
    KVR_OP_NO_LEASE = 32
};

typedef struct kvr_txn kvr_txn;

/* One operation. Fields that its kind does not name are zero. Everything it points to is borrowed
 * until the apply that got it ends. All operations of one array have the same size. */
typedef struct kvr_op {
    uint32_t size;
    uint8_t kind; /* KVR_OP_* */
    uint8_t reserved[3];
    uint32_t flags;
    uint32_t key_count;
    const kvr_slice *keys; /* delete keys */
    kvr_slice key;
    kvr_slice range_end; /* range, delete */
    kvr_slice value;     /* put */
    /* put: NULL, or the buffer that value lies in; shared if the value is large */
    kvr_buf *owner;
    int64_t lease;     /* put */
    uint64_t revision; /* range: 0 head */
    uint64_t limit;    /* range: 0 none */
    const kvr_txn *txn;
} kvr_op;

enum {
    /* number; a key that is not there has version, create and mod 0, lease 0 */
    KVR_COMPARE_VERSION = 0,
    KVR_COMPARE_CREATE = 1,
    KVR_COMPARE_MOD = 2,
    KVR_COMPARE_VALUE = 3, /* bytes; false whatever the result if the key is not there */
    KVR_COMPARE_LEASE = 4
};
enum {
    KVR_COMPARE_EQUAL = 0,
    KVR_COMPARE_GREATER = 1,
    KVR_COMPARE_LESS = 2,
    KVR_COMPARE_NOT_EQUAL = 3
};

/* One condition on the state before the transaction. With a range_end it must hold for every key in
 * the interval; an empty interval is like a missing key. etcd contract: "Txn". */
typedef struct kvr_compare {
    uint32_t size;
    uint8_t target;
    uint8_t result;
    uint8_t reserved[2];
    kvr_slice key;
    kvr_slice range_end;
    kvr_slice value; /* VALUE */
    int64_t number;  /* the others */
} kvr_compare;

/* If all compares hold, then_ops, else else_ops, one after the other, all or nothing, under one
 * revision. Later operations see what earlier ones did. No key may be put twice, nor put and
 * deleted, on one path. */
struct kvr_txn {
    uint32_t size;
    uint32_t compare_count;
    uint32_t then_count;
    uint32_t else_count;
    const kvr_compare *compares;
    const kvr_op *then_ops;
    const kvr_op *else_ops;
};

/* ------------------------------------------------------------------ life */

typedef struct kvr_mvcc_config {
    uint32_t size;
    uint32_t reserved;
    const kvr_allocator *allocator; /* NULL: malloc */
    void *allocator_ctx;
} kvr_mvcc_config;

KVR_API kvr_status kvr_mvcc_config_init(kvr_mvcc_config *config, uint32_t size) KVR_MUST_USE;

/* An empty store at revision 1. Gives *out_store, freed by kvr_mvcc_free. KVR_EINVAL,
 * KVR_ENOMEM. */
KVR_API kvr_status kvr_mvcc_new(const kvr_mvcc_config *config, kvr_mvcc **out_store) KVR_MUST_USE;

/* Every view and result must have been freed. NULL is ignored. */
KVR_API void kvr_mvcc_free(kvr_mvcc *store);

/* ------------------------------------------------------------------ writing */

/* Looks at an operation alone, without a store: limits, empty keys, flags that contradict, nesting,
 * duplicate keys. KVR_OK, KVR_EINVAL, KVR_ETOOBIG, KVR_EDUPKEY. kvr_mvcc_apply does the same
 * first. */
KVR_API kvr_status kvr_mvcc_op_check(const kvr_op *op) KVR_MUST_USE;

/* What one operation did. Everything lends until kvr_mvcc_result_free. */
typedef struct kvr_op_result {
    uint8_t kind;      /* KVR_OP_* */
    uint8_t succeeded; /* txn: 1 if the compares held */
    uint8_t more;      /* range: limit left some out */
    uint8_t reserved;
    uint32_t kv_count;
    uint64_t count; /* range: keys in the interval, whatever the limit; delete: keys deleted */
    /* Range: the keys; put and delete with PREV_KV: what was there. */
    const kvr_kv *kvs;
    /* Not NULL: too many for an array (over 1,024). Read them with a cursor over this view, over
     * the operation's interval and revision, up to its limit; kvs is NULL then. */
    const kvr_mvcc_view *view;
    const struct kvr_op_result *results; /* txn: one an operation of the path taken */
    uint32_t result_count;
    uint32_t reserved2;
} kvr_op_result;

/* Executes one operation of any kind, whole or not at all, and moves the head if it changed
 * something. out_result may be NULL: the store ends up the same. Else it gives what
 * kvr_mvcc_result_free frees.
 *
 * KVR_OK; those of kvr_mvcc_op_check; KVR_ENOTFOUND (IGNORE_VALUE, IGNORE_LEASE), KVR_ENOLEASE
 * (NO_LEASE), KVR_ECOMPACTED, KVR_EFUTURE (a range at such a revision), KVR_ETOOBIG (four billion
 * keys): refused as a whole, and the store is as it was; KVR_ENOMEM: the same, try again later;
 * KVR_ESTATE: an apply in slices or a load is under way. O(log n) a key. etcd contract: "Put",
 * "DeleteRange", "Txn". */
KVR_API kvr_status kvr_mvcc_apply(kvr_mvcc *store, const kvr_op *op,
                                  kvr_mvcc_result **out_result) KVR_MUST_USE;

/* The same in slices, under a revision that nobody sees until the end. `op` and all below it are
 * borrowed until _finish. Reads, views and saves meanwhile show the store before it; other writes,
 * compactions, their steps and loads are KVR_ESTATE. want_result 0: _finish gives NULL.
 *
 * KVR_OK: begun; whatever is wrong with `op`, _finish says it. KVR_ESTATE: another is under way.
 * KVR_ENOMEM: the first write of a store needs a block for all of them. */
KVR_API kvr_status kvr_mvcc_apply_begin(kvr_mvcc *store, const kvr_op *op,
                                        uint8_t want_result) KVR_MUST_USE;

/* Does about `budget` keys' work; an operation on few keys is never cut. KVR_AGAIN: more to do.
 * KVR_ENOMEM: try again later, from where it stands. KVR_OK: it is done and published, or refused
 * as a whole: _finish says which. KVR_ESTATE: nothing was begun. */
KVR_API kvr_status kvr_mvcc_apply_step(kvr_mvcc *store, uint32_t budget) KVR_MUST_USE;

/* Ends it, after _step said KVR_OK: returns and gives what kvr_mvcc_apply would have. KVR_ESTATE:
 * it has not come to its end. */
KVR_API kvr_status kvr_mvcc_apply_finish(kvr_mvcc *store,
                                         kvr_mvcc_result **out_result) KVR_MUST_USE;

KVR_API const kvr_op_result *kvr_mvcc_result_root(const kvr_mvcc_result *result);
/* head after the operation */
KVR_API uint64_t kvr_mvcc_result_revision(const kvr_mvcc_result *result);
KVR_API void kvr_mvcc_result_free(kvr_mvcc_result *result); /* NULL is ignored */

/* ------------------------------------------------------------------ reading */

/* The key at the head. False if it is not there. Lends until the next call that changes the
 * store. */
KVR_API bool kvr_mvcc_get(const kvr_mvcc *store, const kvr_slice *key, kvr_kv *out_kv);

/* The store as it is now, to be read as long as wanted: O(1); writers copy what it sees (at worst
 * the index once, never keys or values). Gives *out_view, freed by kvr_mvcc_view_free. Views that
 * are opened between the same two writes cost nothing more. KVR_OK, KVR_ENOMEM. */
KVR_API kvr_status kvr_mvcc_view_open(kvr_mvcc *store, kvr_mvcc_view **out_view) KVR_MUST_USE;
KVR_API uint64_t kvr_mvcc_view_revision(const kvr_mvcc_view *view); /* its head */
/* reads below it are KVR_ECOMPACTED */
KVR_API uint64_t kvr_mvcc_view_compacted(const kvr_mvcc_view *view);

/* Legal on the thread that reads the view: only sets a flag; the store takes the memory back at its
 * next write. NULL is ignored. */
KVR_API void kvr_mvcc_view_free(kvr_mvcc_view *view);

/* Lives in the caller's memory, needs no release, never allocates. Valid while its view is. */
typedef struct kvr_mvcc_cursor {
    uint64_t opaque[64];
} kvr_mvcc_cursor;

/* Puts the cursor before the first key of `range` (its key and range_end lend until the cursor's
 * end). KVR_OK, KVR_EINVAL, KVR_ECOMPACTED, KVR_EFUTURE. O(log n). */
KVR_API kvr_status kvr_mvcc_cursor_init(kvr_mvcc_cursor *cursor, const kvr_mvcc_view *view,
                                        const kvr_range *range) KVR_MUST_USE;

/* The next key that lives at the range's revision. KVR_OK (lends until the view is freed),
 * KVR_END. */
KVR_API kvr_status kvr_mvcc_cursor_next(kvr_mvcc_cursor *cursor, kvr_kv *out_kv) KVR_MUST_USE;

/* How many keys of `range` live at its revision: O(log n) at the view's head, O(min(changes since,
 * keys)) before. KVR_OK, KVR_EINVAL, KVR_ECOMPACTED, KVR_EFUTURE. */
KVR_API kvr_status kvr_mvcc_count(const kvr_mvcc_view *view, const kvr_range *range,
                                  uint64_t *out_count) KVR_MUST_USE;

/* ------------------------------------------------------- what happened: for watchers and leases */

/* A place in the log by revision. Valid across writes, compactions and loads (it goes on at the
 * same revision); never allocates. */
typedef struct kvr_mvcc_changes {
    uint64_t opaque[8];
} kvr_mvcc_changes;

/* Puts it before the first change of `revision` (main). KVR_OK; KVR_ECOMPACTED: below the compacted
 * revision (its own changes are all there still, but not what was before them). A revision above
 * the head is legal and yields KVR_END until it is there. O(log n). */
KVR_API kvr_status kvr_mvcc_changes_init(kvr_mvcc_changes *changes, const kvr_mvcc *store,
                                         uint64_t revision) KVR_MUST_USE;

/* The next published change, in order of (main, sub). KVR_OK (lends until the next call that
 * changes the store); KVR_END: none yet; KVR_ECOMPACTED: it was overtaken by a compaction. O(1). */
KVR_API kvr_status kvr_mvcc_changes_next(kvr_mvcc_changes *changes, const kvr_mvcc *store,
                                         kvr_event *out_event) KVR_MUST_USE;

/* The changes of one key with main revision in from..head, oldest first, without looking at other
 * keys: O(log n + capacity). *out_count of them are filled in (lent until the store changes).
 * KVR_OK, KVR_ECOMPACTED; KVR_ETOOBIG (more than `capacity`, none filled in: a history that long is
 * read with kvr_mvcc_changes). */
KVR_API kvr_status kvr_mvcc_key_changes(const kvr_mvcc *store, const kvr_slice *key, uint64_t from,
                                        kvr_event *out_events, uint32_t capacity,
                                        uint32_t *out_count) KVR_MUST_USE;

/* ------------------------------------------------------------------ compaction */

/* Makes revisions below `revision` unreadable at once (also in later views; open ones keep what
 * they see). The newest version of each key at or below it stays unless it is a delete below it; a
 * delete at it stays until the next compaction, so that followers see it. KVR_OK, KVR_ECOMPACTED
 * (already at or above it; 0 is KVR_OK on a store never compacted), KVR_EFUTURE, KVR_ESTATE.
 * O(log n). etcd contract: "Compact". */
KVR_API kvr_status kvr_mvcc_compact(kvr_mvcc *store, uint64_t revision) KVR_MUST_USE;

/* Frees what the last compactions made unreachable, about `budget` changes a call. KVR_AGAIN,
 * KVR_OK (nothing left), KVR_ENOMEM (try later), KVR_ESTATE (an apply in slices or a load is under
 * way). Physical only: no result or hash depends on how far it is. O(changes since the last),
 * whatever the number of keys. */
KVR_API kvr_status kvr_mvcc_compact_step(kvr_mvcc *store, uint32_t budget) KVR_MUST_USE;

/* ------------------------------------------------------------------ state */

typedef struct kvr_mvcc_status {
    uint32_t size;
    uint32_t views_open;
    uint64_t revision;  /* head */
    uint64_t compacted; /* 0: never */
    uint64_t live_keys;
    uint64_t live_bytes;    /* keys and values at the head */
    uint64_t versions;      /* in memory, deletes included */
    uint64_t hash_live;     /* sum, modulo 2^64, of the hashes of all live versions */
    uint64_t hash_chain;    /* over the outcome of each apply that changed something, and compact */
    uint64_t memory_bytes;  /* taken from the allocator */
    uint64_t tree_bytes;    /* of these: index */
    uint64_t record_bytes;  /* keys, values, versions */
    uint64_t history_bytes; /* log by revision */
} kvr_mvcc_status;

/* Fills *out_status, whose size the caller has set. O(1).
 *
 * Hashes are XXH3-64 of little-endian words. Of a version: XXH3-64 of the key, of the value, then
 * mod, create, version, lease, sub, and 1 (0 in a delete). A change adds itself to the chain:
 * (chain, hash of the new version), a transaction at its end (chain, main revision), a compaction
 * (bitwise not of chain, its revision). Reads and what is refused add nothing. */
KVR_API void kvr_mvcc_get_status(const kvr_mvcc *store, kvr_mvcc_status *out_status);

/* ------------------------------------------------------------------ snapshots
 *
 * One stream of bytes in key order, all versions above the compaction point included; format in
 * kvraft-snapshot(5), section "mvcc". Equal stores write equal bytes, however far their compactions
 * have swept. Both directions work in pieces; a save holds one block (64 KiB, or one larger
 * version). */
typedef struct kvr_mvcc_save kvr_mvcc_save;

/* Begins a stream of the view's content. The view must stay open until kvr_mvcc_save_free. The save
 * may live on the thread that reads the view, if the store's allocator serves both threads. Gives
 * *out_save. KVR_OK, KVR_ENOMEM. */
KVR_API kvr_status kvr_mvcc_save_new(const kvr_mvcc_view *view,
                                     kvr_mvcc_save **out_save) KVR_MUST_USE;

/* Fills `room` with the next bytes. KVR_OK and *out_size > 0; KVR_END and *out_size 0; KVR_ENOMEM:
 * nothing was read, try again; KVR_EINVAL: no room. */
KVR_API kvr_status kvr_mvcc_save_read(kvr_mvcc_save *save, uint8_t *room, size_t room_size,
                                      size_t *out_size) KVR_MUST_USE;
KVR_API void kvr_mvcc_save_free(kvr_mvcc_save *save); /* NULL is ignored */

/* Begins to replace the content by a stream, fed in pieces of any size (borrowed). Until
 * kvr_mvcc_load_end the old content stays and may be read; writes are KVR_ESTATE. Open views keep
 * the old data. KVR_ENOMEM, KVR_ESTATE. */
KVR_API kvr_status kvr_mvcc_load_begin(kvr_mvcc *store) KVR_MUST_USE;

/* The next bytes (borrowed). They may be hostile: what no store could have written is refused.
 * KVR_OK, KVR_ECORRUPT, KVR_EVERSION, KVR_ENOMEM: after an error only kvr_mvcc_load_abort is legal,
 * all else is KVR_ESTATE. */
KVR_API kvr_status kvr_mvcc_load_write(kvr_mvcc *store, const kvr_slice *bytes) KVR_MUST_USE;

/* Puts the new content in the place of the old one: O(changes above the compacted revision). The
 * stream must be complete and sound. KVR_OK; KVR_ECORRUPT, KVR_ENOMEM: the old content stays, and
 * kvr_mvcc_load_abort is due. Views and results of the old content remain what they were. */
KVR_API kvr_status kvr_mvcc_load_end(kvr_mvcc *store) KVR_MUST_USE;

/* Throws away what was loaded so far; without a load under way it does nothing. */
KVR_API void kvr_mvcc_load_abort(kvr_mvcc *store);

#ifdef __cplusplus
}
#endif
#endif
