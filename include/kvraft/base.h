/* SPDX-License-Identifier: Apache-2.0 */
/* kvraft/base.h: the words that all other headers use: statuses, slices, counted buffers, the
 * allocator, a hash, the version. Everything here is legal at any time, inside callbacks too.
 *
 * Four words say who owns what, in each comment of each header:
 *   borrows       valid for this call only; the library copies what it keeps
 *   shares        the library takes its own count of a kvr_buf; the caller keeps and releases its
 *                 own, on success and on error alike
 *   lends until X a pointer into the library's memory, valid until the named event
 *   gives         the caller owns it and frees it with the named function
 *
 * Every function that can fail returns a kvr_status; an output is written only on KVR_OK. After an
 * error that is not fatal the handle is as it was before the call. Nothing in this header calls
 * back, except the caller's own allocator. */
#ifndef KVRAFT_BASE_H
#define KVRAFT_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define KVR_API __attribute__((visibility("default")))
#define KVR_MUST_USE __attribute__((warn_unused_result))
#else
#define KVR_API
#define KVR_MUST_USE
#endif

/* ------------------------------------------------------------------ statuses */

/* 0 is success, a positive value is a success that says more, a negative value is an error. The
 * numbers are part of the ABI and never change. Each has a name and a sentence: kvr_status_name,
 * kvr_status_text. */
typedef int32_t kvr_status;

enum {
    KVR_OK = 0,
    KVR_DONE = 1,  /* the request is complete at once; no completion will follow */
    KVR_AGAIN = 2, /* the budget ran out before the work did; call again */
    KVR_END = 3,   /* a cursor or stream has no more */

    KVR_EINVAL = -1,       /* an argument is outside what the function accepts */
    KVR_ENOMEM = -2,       /* the allocator returned NULL */
    KVR_EBUSY = -3,        /* a bounded queue is full; ask again later */
    KVR_ETOOBIG = -4,      /* larger than a written limit */
    KVR_ENOSPACE = -5,     /* storage has no room; nothing was written */
    KVR_EIO = -6,          /* storage or network failed */
    KVR_ECORRUPT = -7,     /* damaged bytes: a checksum or structure is wrong */
    KVR_ENOTFOUND = -8,    /* no such thing */
    KVR_EEXIST = -9,       /* there is one already */
    KVR_EREENTRANT = -10,  /* not legal inside a callback */
    KVR_ENOLEADER = -11,   /* no leader is known, or this member does not lead */
    KVR_EUNKNOWN = -12,    /* the outcome is unknown: it may still happen */
    KVR_ECOMPACTED = -13,  /* the revision or index is below the compaction point */
    KVR_EFUTURE = -14,     /* the revision is above the head */
    KVR_ECANCELED = -15,   /* refused or given up; it never happened and never will */
    KVR_ETIMEDOUT = -16,   /* its time was over before it was done; it changes nothing */
    KVR_EVERSION = -17,    /* written by a newer version, or above the cluster level */
    KVR_EMISMATCH = -18,   /* of another cluster, group or member */
    KVR_ELOCKED = -19,     /* in use by another process */
    KVR_EDENIED = -20,     /* permission denied */
    KVR_EREADONLY = -21,   /* the member or store takes no writes now */
    KVR_EDUPKEY = -22,     /* a transaction puts one key twice */
    KVR_ENOLEASE = -23,    /* the lease does not exist */
    KVR_ESTATE = -24,      /* the handle is not in a state that allows this call */
    KVR_EAUTHFAILED = -25, /* wrong user name or password, or a token that is not valid */
    KVR_ESTOPPED = -26,    /* the handle was closed */

    /* Users, roles and permissions: auth.h. */
    KVR_EUSEREMPTY = -27,            /* no user is named */
    KVR_EUSEREXIST = -28,            /* there is a user of that name already */
    KVR_ENOUSER = -29,               /* no user of that name */
    KVR_EROLEEMPTY = -30,            /* no role is named */
    KVR_EROLEEXIST = -31,            /* there is a role of that name already */
    KVR_ENOROLE = -32,               /* no role of that name */
    KVR_EROLENOTGRANTED = -33,       /* the role is not granted to the user */
    KVR_EPERMISSIONNOTGRANTED = -34, /* the permission is not granted to the role */
    KVR_EPERMISSION = -35,           /* the user may not do this */
    KVR_ENOROOTUSER = -36,           /* there is no user root */
    KVR_EROOTROLE = -37,             /* user root does not have role root */
    KVR_EAUTHMANAGE = -38,           /* a change that would lock everybody out, or makes no sense */
    KVR_EAUTHOLD = -39,    /* decided under an auth revision that is not the present one */
    KVR_ENOPASSWORD = -40, /* the user has no password */

    /* Members: raft.h, node.h. */
    KVR_EBEHIND = -41,  /* the member has not caught up with the leader */
    KVR_EQUORUM = -42,  /* the change would leave too few members that are up */
    KVR_EREMOVED = -43, /* this member was removed from the cluster */

    /* At or below KVR_FATAL the handle has failed for good: only its _status, _error and _free
     * functions are legal. */
    KVR_FATAL = -100,
    KVR_FSTORAGE = -101,  /* a write, sync or load failed: the member takes no further part */
    KVR_FCORRUPT = -102,  /* what was durable is damaged, and says where */
    KVR_FDIVERGED = -103, /* this member's state hash differs from the majority's */
    KVR_FVERSION = -104   /* the log or a snapshot holds what only a newer version can apply */
};

/* The name of a status, such as "KVR_EBUSY"; "KVR_E?" for a number that is none. Lends for ever. */
KVR_API const char *kvr_status_name(kvr_status status);

/* One sentence in English without a full stop; "unknown status" for a number that is none. Lends
 * for ever. */
KVR_API const char *kvr_status_text(kvr_status status);

/* True for statuses after which a handle may only be asked for its error and freed. */
KVR_API bool kvr_status_is_fatal(kvr_status status);

/* ------------------------------------------------------------------ bytes */

/* A run of bytes. `data` may be NULL only if `size` is 0. How long the bytes live is said wherever
 * a slice is passed or returned. */
typedef struct kvr_slice {
    const uint8_t *data;
    size_t size;
} kvr_slice;

/* An immutable run of bytes with a plain count. It belongs to one handle and its thread: retain and
 * release it only there. It remembers its allocator, so releasing the last count frees it. */
typedef struct kvr_buf kvr_buf;

/* ------------------------------------------------------------------ a hash of many bytes
 *
 * XXH3-128 of bytes that come in pieces, as kvr_snapshot_meta names a stream: a state machine on
 * raft.h makes it while it writes a snapshot, and compares it while it reads one. It finds
 * accidents, not forgery. In the caller's memory; not to be moved or copied after init. */
typedef struct kvr_hash {
    uint64_t opaque[80];
} kvr_hash;

KVR_API void kvr_hash_init(kvr_hash *hash); /* of no bytes yet; also to begin anew */

/* Adds bytes, borrowed. How they are cut into pieces does not matter. */
KVR_API void kvr_hash_update(kvr_hash *hash, const kvr_slice *bytes);

/* The hash of all bytes so far; more may follow. The low half first, little-endian. */
KVR_API void kvr_hash_digest(const kvr_hash *hash, uint8_t out_digest[16]);

/* ------------------------------------------------------------------ memory */

/* Where a handle's memory comes from. One table and its ctx are given to each _new function, and
 * every allocation of that handle goes through them; NULL for the table means malloc, realloc and
 * free. Sizes are bytes. The table is borrowed for the handle's whole life.
 *
 * alloc    `size` > 0 bytes aligned for any type, or NULL
 * realloc  as realloc(3); on NULL the old block is untouched; `old_size` is what was asked for
 * free     `size` is what was asked for; ptr is never NULL
 * None of them may call into the library. */
typedef struct kvr_allocator {
    uint32_t size; /* sizeof(kvr_allocator) as the caller knows it */
    uint32_t reserved;
    void *(*alloc)(void *ctx, size_t size);
    void *(*realloc)(void *ctx, void *ptr, size_t old_size, size_t new_size);
    void (*free)(void *ctx, void *ptr, size_t size);
} kvr_allocator;

/* Makes a buffer that holds a copy of `bytes` (borrowed). KVR_OK gives *out_buf with count 1, freed
 * by kvr_buf_release. KVR_EINVAL, KVR_ENOMEM, KVR_ETOOBIG (over 4 GiB - 64). */
KVR_API kvr_status kvr_buf_new(const kvr_allocator *allocator, void *allocator_ctx,
                               const kvr_slice *bytes, kvr_buf **out_buf) KVR_MUST_USE;

/* Adds one to the count. Returns its argument. */
KVR_API kvr_buf *kvr_buf_retain(kvr_buf *buf);

/* Takes one from the count and frees the buffer at zero. NULL is ignored. */
KVR_API void kvr_buf_release(kvr_buf *buf);

/* The bytes; lends until the caller's own count is released. */
KVR_API void kvr_buf_bytes(const kvr_buf *buf, kvr_slice *out_bytes);

/* ------------------------------------------------------------------ version and panic */

enum { KVR_VERSION_MAJOR = 0, KVR_VERSION_MINOR = 1, KVR_VERSION_PATCH = 0 };

/* The version of the library that is running: major * 1,000,000 + minor * 1,000 + patch. */
KVR_API uint32_t kvr_version(void);

/* The same as text, such as "0.1.0". Lends for ever. */
KVR_API const char *kvr_version_text(void);

/* Called when the library finds a bug of its own (never for what a peer, a disk, a user or an
 * allocator did). It must not return. The library's own prints the place to standard error and
 * aborts; it stands alone in its archive member, so a host that defines this symbol replaces it.
 * All arguments lend for ever. */
KVR_API void kvr_panic(const char *file, int32_t line, const char *condition)
#if defined(__GNUC__)
    __attribute__((noreturn))
#endif
    ;

#ifdef __cplusplus
}
#endif
#endif
