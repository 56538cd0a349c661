/* SPDX-License-Identifier: Apache-2.0 */
/* kvraft/seal.h: the part of the library that uses libsodium, and the only one: sealed connections
 * between members, and a ready-made kvr_crypto. A program that names nothing of this header links
 * without libsodium.
 *
 * A sealed connection: only holders of a cluster key can speak, nothing can be read, changed,
 * dropped, repeated or reordered unnoticed, also not by replaying an older connection. It guards
 * against outsiders and mixed-up clusters, not against a member that misbehaves. Bytes in, bytes
 * out; the host owns the stream:
 *
 *   1. kvr_seal_keyring_new, _add the cluster key (and the next one, while keys rotate), _use one
 *   2. a stream is up: kvr_seal_session_new on both sides, one as initiator; send kvr_seal_hello's
 *      bytes
 *   3. the first KVR_SEAL_HELLO_BYTES that arrive go to kvr_seal_take_hello. Both sides now have
 *      keys that last as long as the connection: from the cluster key, both nonces and an ephemeral
 *      X25519 exchange
 *   4. send what kvr_seal_write makes; give what arrives, frame by frame, to kvr_seal_read. The
 *      first frame that opens proves that the peer holds the key
 *   5. any KVR_EDENIED: drop the connection; there is nothing more to learn about why
 *
 * Primitives: BLAKE2b, X25519, XChaCha20-Poly1305 as crypto_secretstream, Argon2id, Ed25519. One
 * handle, one thread at a time; a keyring may be changed while sessions use it, on the same thread.
 * Nothing calls back but the entropy table, during _hello, and the allocator. Secrets are wiped
 * when they are no longer needed. */
#ifndef KVRAFT_SEAL_H
#define KVRAFT_SEAL_H

#include <kvraft/base.h>
#include <kvraft/host.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    KVR_SEAL_KEY_BYTES = 32,
    KVR_SEAL_HELLO_BYTES = 112,
    KVR_SEAL_HEAD_BYTES = 4,      /* of a frame: its length, little-endian, the head not counted */
    KVR_SEAL_FRAME_MAX = 16777216 /* longest frame that is read or written */
};

/* ------------------------------------------------------------------ keys */

typedef struct kvr_seal_keyring kvr_seal_keyring;

/* An empty ring of at most 8 keys. Gives *out_ring. KVR_EINVAL, KVR_ENOMEM, KVR_EIO (libsodium does
 * not start). */
KVR_API kvr_status kvr_seal_keyring_new(const kvr_allocator *allocator, void *allocator_ctx,
                                        kvr_seal_keyring **out_ring) KVR_MUST_USE;
/* wipes; no session may use it; NULL is ignored */
KVR_API void kvr_seal_keyring_free(kvr_seal_keyring *ring);

/* Adds a key under an id that all members know it by. `key` (borrowed, copied): KVR_SEAL_KEY_BYTES
 * unpredictable bytes. The first one is also used. KVR_OK, KVR_EEXIST, KVR_EBUSY (8 keys),
 * KVR_EINVAL (id 0, size). */
KVR_API kvr_status kvr_seal_keyring_add(kvr_seal_keyring *ring, uint64_t id,
                                        const kvr_slice *key) KVR_MUST_USE;

/* New connections that we open are sealed with this key; a peer may choose any of the ring. To
 * rotate without a stop: add the next key everywhere, then use it everywhere, then remove the old
 * one. KVR_ENOTFOUND. */
KVR_API kvr_status kvr_seal_keyring_use(kvr_seal_keyring *ring, uint64_t id) KVR_MUST_USE;

/* Removes and wipes it; sessions that stand go on. KVR_ENOTFOUND, KVR_ESTATE (in use). */
KVR_API kvr_status kvr_seal_keyring_remove(kvr_seal_keyring *ring, uint64_t id) KVR_MUST_USE;

/* ------------------------------------------------------------------ sessions */

typedef struct kvr_seal_session kvr_seal_session;

typedef struct kvr_seal_config {
    uint32_t size;
    uint8_t initiator; /* 1: we opened the connection; the two sides must differ */
    uint8_t reserved[3];
    uint64_t cluster_id;
    uint64_t self_id;
    uint64_t peer_id;           /* 0: whoever it says it is (kvr_seal_peer tells) */
    uint64_t rekey_frames;      /* new keys after so many frames a direction, default 1,048,576 */
    kvr_seal_keyring *ring;     /* lent for the session's life */
    const kvr_entropy *entropy; /* nonces and ephemeral keys; borrowed for the session's life */
    void *entropy_ctx;
    const kvr_allocator *allocator;
    void *allocator_ctx;
} kvr_seal_config;

KVR_API kvr_status kvr_seal_config_init(kvr_seal_config *config, uint32_t size) KVR_MUST_USE;

/* Gives *out_session. KVR_EINVAL, KVR_ENOMEM. */
KVR_API kvr_status kvr_seal_session_new(const kvr_seal_config *config,
                                        kvr_seal_session **out_session) KVR_MUST_USE;
KVR_API void kvr_seal_session_free(kvr_seal_session *session); /* wipes; NULL is ignored */

/* Our hello, once, at any time before the first write. Initiator: with the ring's key in use.
 * Responder: only after _take_hello, since it answers with the initiator's key. KVR_OK (writes all
 * of `out_hello`), KVR_EIO (no entropy), KVR_ENOTFOUND (no key in use), KVR_ESTATE. */
KVR_API kvr_status kvr_seal_hello(kvr_seal_session *session,
                                  uint8_t out_hello[KVR_SEAL_HELLO_BYTES]) KVR_MUST_USE;

/* The peer's hello, borrowed. KVR_OK; KVR_EDENIED (another cluster or member, an unknown key, or no
 * hello at all); KVR_EVERSION; KVR_ESTATE (a second one). */
KVR_API kvr_status kvr_seal_take_hello(kvr_seal_session *session,
                                       const kvr_slice *hello) KVR_MUST_USE;

/* True once both hellos are through: write and read are legal. */
KVR_API bool kvr_seal_is_ready(const kvr_seal_session *session);

/* True once a frame of the peer's has opened: it holds the key. */
KVR_API bool kvr_seal_is_confirmed(const kvr_seal_session *session);
KVR_API uint64_t kvr_seal_peer(const kvr_seal_session *session); /* id in its hello; 0: not yet */

/* Bytes of the next frame that we write around `size` bytes: room for kvr_seal_write. */
KVR_API size_t kvr_seal_write_bytes(const kvr_seal_session *session, size_t size);

/* Seals `plain` (borrowed) into one frame in `room`, which must not overlap it. KVR_OK (*out_size
 * bytes), KVR_ETOOBIG (room or KVR_SEAL_FRAME_MAX), KVR_ESTATE. */
KVR_API kvr_status kvr_seal_write(kvr_seal_session *session, const kvr_slice *plain, uint8_t *room,
                                  size_t room_size, size_t *out_size) KVR_MUST_USE;

/* Length of the frame at the start of `bytes`, head included. KVR_OK; KVR_END (fewer than
 * KVR_SEAL_HEAD_BYTES); KVR_EDENIED (longer than KVR_SEAL_FRAME_MAX, or shorter than any frame):
 * known before a byte of it is stored. */
KVR_API kvr_status kvr_seal_frame_size(const kvr_slice *bytes, size_t *out_size) KVR_MUST_USE;

/* Opens one whole frame (borrowed) into `room`, which must not overlap it and needs no more than
 * the frame's size. KVR_OK (*out_size bytes); KVR_EDENIED (changed, repeated, reordered, of another
 * connection or key: the session is dead); KVR_ETOOBIG (room); KVR_ESTATE. */
KVR_API kvr_status kvr_seal_read(kvr_seal_session *session, const kvr_slice *frame, uint8_t *room,
                                 size_t room_size, size_t *out_size) KVR_MUST_USE;

/* ------------------------------------------------------------------ kvr_crypto, ready made */

typedef struct kvr_seal_crypto kvr_seal_crypto;

typedef struct kvr_seal_crypto_config {
    uint32_t size;
    uint32_t passes;     /* Argon2id, default 3, 2..64 */
    uint32_t memory_kib; /* Argon2id, default 65,536 (64 MiB), 19,456..1,048,576 */
    /* 1: submit queues (at most four), kvr_seal_crypto_perform works; 0: submit works */
    uint8_t deferred;
    uint8_t reserved[3];
    /* 32 secret bytes that make the Ed25519 key pair; empty: SIGN and VERIFY are KVR_EINVAL */
    kvr_slice sign_seed;
    const kvr_allocator *allocator;
    void *allocator_ctx;
} kvr_seal_crypto_config;

KVR_API kvr_status kvr_seal_crypto_config_init(kvr_seal_crypto_config *config,
                                               uint32_t size) KVR_MUST_USE;

/* Gives *out_crypto. KVR_EINVAL, KVR_ENOMEM, KVR_EIO (libsodium does not start). */
KVR_API kvr_status kvr_seal_crypto_new(const kvr_seal_crypto_config *config,
                                       kvr_seal_crypto **out_crypto) KVR_MUST_USE;
KVR_API void kvr_seal_crypto_free(kvr_seal_crypto *crypto); /* wipes; NULL is ignored */

/* The table; its ctx is the handle. Hash strings are libsodium's, "$argon2id$...", with their NUL.
 * Lends for ever. */
KVR_API const kvr_crypto *kvr_seal_crypto_table(void);

/* Deferred: does the oldest request. Touches nothing but that request, so another thread may run it
 * while the owner submits and reaps, if both hold the host's lock around submit, _take and _reap
 * only.
 *
 *   owner:  submit                       worker:  _take (under the lock), _perform (not), _give
 *           (under the lock)
 *   owner:  _reap
 *
 * _take: KVR_OK fills *out_request; KVR_END: none. _reap: KVR_OK fills *out_result; KVR_END:
 * none. */
KVR_API kvr_status kvr_seal_crypto_take(kvr_seal_crypto *crypto,
                                        kvr_crypto_request *out_request) KVR_MUST_USE;
KVR_API void kvr_seal_crypto_perform(const kvr_seal_crypto *crypto,
                                     const kvr_crypto_request *request,
                                     kvr_crypto_result *out_result);
KVR_API void kvr_seal_crypto_give(kvr_seal_crypto *crypto, const kvr_crypto_result *result);
KVR_API kvr_status kvr_seal_crypto_reap(kvr_seal_crypto *crypto,
                                        kvr_crypto_result *out_result) KVR_MUST_USE;

#ifdef __cplusplus
}
#endif
#endif
