/* SPDX-License-Identifier: Apache-2.0 */
/* seal_session.c: one sealed connection. Each side sends one hello in the clear; then both derive,
 * for each direction, a key and a starting nonce:
 *
 *   BLAKE2b-512, keyed with the cluster key, over
 *     label, direction, initiator's hello, responder's hello, X25519 shared secret
 *
 * The hellos hold ids, cluster, key id, fresh nonces and ephemeral public keys, so the keys are
 * bound to all of them: another cluster, member, key or an older connection gives other keys, and
 * nothing opens. Each direction is one crypto_secretstream, whose order makes loss, repetition and
 * reordering visible. */
#include "seal_internal.h"

#include "base/assertion.h"
#include "base/codec.h"
#include "base/sized.h"

#include <sodium.h>
#include <string.h>

/* The hello, little-endian:
 *   0 8 magic and version   8 8 cluster   16 8 sender   24 8 receiver, 0: any   32 8 key id
 *   40 32 nonce   72 32 X25519 public key   104 1 initiator   105 7 reserved (0) */
enum {
    AT_CLUSTER = 8,
    AT_SENDER = 16,
    AT_RECEIVER = 24,
    AT_KEY = 32,
    AT_NONCE = 40,
    AT_PUBLIC = 72
};
enum { AT_INITIATOR = 104, NONCE_BYTES = 32, SECRET_BYTES = 32 };
enum { TAG_BYTES = crypto_secretstream_xchacha20poly1305_ABYTES, AD_BYTES = 16 };

static const uint8_t magic[8] = {'k', 'v', 'r', 's', 'e', 'a', 'l', '1'};

typedef struct direction {
    crypto_secretstream_xchacha20poly1305_state stream;
    uint64_t frames; /* so far */
    uint8_t name;    /* 'I': initiator to responder; 'R': back */
} direction;

struct kvr_seal_session {
    kvr__mem mem;
    kvr_seal_config config;
    uint64_t key_id;
    uint64_t peer_id;
    uint8_t secret[SECRET_BYTES];           /* ephemeral; wiped once the keys are made */
    uint8_t hello[2][KVR_SEAL_HELLO_BYTES]; /* ours, the peer's */
    bool sent;
    bool taken;
    bool ready;
    bool confirmed;
    bool dead;
    direction out;
    direction in;
};

_Static_assert(sizeof magic + 32 + NONCE_BYTES + 32 + 8 == KVR_SEAL_HELLO_BYTES,
               "the hello is what its table says");

/* ------------------------------------------------------------------ life */

enum { REKEY_FRAMES = 1 << 20 };

kvr_status kvr_seal_config_init(kvr_seal_config *config, uint32_t size)
{
    if (size < sizeof *config) {
        return KVR_EINVAL;
    }
    memset(config, 0, size);
    config->size = size;
    config->rekey_frames = REKEY_FRAMES;
    return KVR_OK;
}

kvr_status kvr_seal_session_new(const kvr_seal_config *config, kvr_seal_session **out_session)
{
    kvr_seal_config copy;
    void *handle = NULL;
    if (!kvr__sized_read(&copy, sizeof copy, config, sizeof copy) || copy.ring == NULL ||
        copy.entropy == NULL || copy.cluster_id == 0 || copy.self_id == 0 || copy.initiator > 1) {
        return KVR_EINVAL;
    }
    kvr_status status =
        kvr__mem_new_handle(copy.allocator, copy.allocator_ctx, sizeof **out_session,
                            offsetof(kvr_seal_session, mem), &handle);
    if (status != KVR_OK) {
        return status;
    }
    kvr_seal_session *session = handle;
    session->config = copy;
    if (copy.rekey_frames == 0) {
        session->config.rekey_frames = REKEY_FRAMES;
    }
    session->out.name = copy.initiator != 0 ? 'I' : 'R';
    session->in.name = copy.initiator != 0 ? 'R' : 'I';
    *out_session = session;
    return KVR_OK;
}

static void wipe(kvr_seal_session *session)
{
    sodium_memzero(session->secret, sizeof session->secret);
    sodium_memzero(&session->out.stream, sizeof session->out.stream);
    sodium_memzero(&session->in.stream, sizeof session->in.stream);
}

void kvr_seal_session_free(kvr_seal_session *session)
{
    if (session != NULL) {
        wipe(session);
        kvr__mem_free_handle(session, sizeof *session, offsetof(kvr_seal_session, mem));
    }
}

/* Whatever was wrong, the peer learns the same: nothing. */
static kvr_status deny(kvr_seal_session *session)
{
    session->dead = true;
    session->ready = false;
    wipe(session);
    return KVR_EDENIED;
}

/* ------------------------------------------------------------------ keys of a connection */

/* init_pull makes a stream's state from a key and a given header, where init_push would draw a
 * random header: the state is the same. Ours is derived, so it need not be sent, and a run can be
 * repeated. */
static void derive(const kvr_seal_session *session, const uint8_t *key, const uint8_t *shared,
                   direction *to)
{
    static const uint8_t label[16] = "kvraft seal v1\n";
    bool first = session->config.initiator != 0;
    uint8_t made[64];
    crypto_generichash_state hash;
    crypto_generichash_init(&hash, key, KVR_SEAL_KEY_BYTES, sizeof made);
    crypto_generichash_update(&hash, label, sizeof label);
    crypto_generichash_update(&hash, &to->name, 1);
    crypto_generichash_update(&hash, session->hello[first ? 0 : 1], KVR_SEAL_HELLO_BYTES);
    crypto_generichash_update(&hash, session->hello[first ? 1 : 0], KVR_SEAL_HELLO_BYTES);
    crypto_generichash_update(&hash, shared, crypto_scalarmult_BYTES);
    crypto_generichash_final(&hash, made, sizeof made);
    int result = crypto_secretstream_xchacha20poly1305_init_pull(&to->stream, made + 32, made);
    KVR_ASSERT(result == 0);
    sodium_memzero(made, sizeof made);
    sodium_memzero(&hash, sizeof hash);
}

_Static_assert(crypto_secretstream_xchacha20poly1305_KEYBYTES == 32 &&
                   crypto_secretstream_xchacha20poly1305_HEADERBYTES <= 32,
               "derive splits 64 bytes into a key and a header");

static kvr_status make_keys(kvr_seal_session *session)
{
    uint8_t shared[crypto_scalarmult_BYTES];
    const uint8_t *key = kvr__seal_keyring_find(session->config.ring, session->key_id);
    if (key == NULL ||
        crypto_scalarmult(shared, session->secret, session->hello[1] + AT_PUBLIC) != 0) {
        return deny(session); /* the key was removed meanwhile, or a point of small order */
    }
    derive(session, key, shared, &session->out);
    derive(session, key, shared, &session->in);
    sodium_memzero(shared, sizeof shared);
    sodium_memzero(session->secret, sizeof session->secret);
    session->ready = true;
    return KVR_OK;
}

/* ------------------------------------------------------------------ hellos */

kvr_status kvr_seal_hello(kvr_seal_session *session, uint8_t out_hello[KVR_SEAL_HELLO_BYTES])
{
    const kvr_seal_config *config = &session->config;
    if (session->dead || session->sent || (config->initiator == 0 && !session->taken)) {
        return KVR_ESTATE;
    }
    uint64_t key_id =
        config->initiator != 0 ? kvr__seal_keyring_used(config->ring) : session->key_id;
    if (key_id == 0) {
        return KVR_ENOTFOUND;
    }
    uint8_t fresh[NONCE_BYTES + SECRET_BYTES];
    kvr_status status = config->entropy->fill(config->entropy_ctx, fresh, sizeof fresh);
    if (status != KVR_OK) {
        return KVR_EIO;
    }
    uint8_t *hello = session->hello[0];
    memset(hello, 0, KVR_SEAL_HELLO_BYTES);
    memcpy(hello, magic, sizeof magic);
    kvr__store_u64(hello + AT_CLUSTER, config->cluster_id);
    kvr__store_u64(hello + AT_SENDER, config->self_id);
    kvr__store_u64(hello + AT_RECEIVER, session->taken ? session->peer_id : config->peer_id);
    kvr__store_u64(hello + AT_KEY, key_id);
    hello[AT_INITIATOR] = config->initiator;
    memcpy(hello + AT_NONCE, fresh, NONCE_BYTES);
    memcpy(session->secret, fresh + NONCE_BYTES, SECRET_BYTES);
    int result = crypto_scalarmult_base(hello + AT_PUBLIC, session->secret);
    KVR_ASSERT(result == 0);
    sodium_memzero(fresh, sizeof fresh);
    session->key_id = key_id;
    session->sent = true;
    if (session->taken && make_keys(session) != KVR_OK) {
        return KVR_ENOTFOUND;
    }
    memcpy(out_hello, hello, KVR_SEAL_HELLO_BYTES);
    return KVR_OK;
}

/* Every field but nonce and public key must be what we expect; those two are proved by the first
 * frame. */
static bool is_expected(const kvr_seal_session *session, const uint8_t *hello)
{
    const kvr_seal_config *config = &session->config;
    static const uint8_t zero[KVR_SEAL_HELLO_BYTES - AT_INITIATOR - 1];
    uint64_t sender = kvr__load_u64(hello + AT_SENDER);
    uint64_t receiver = kvr__load_u64(hello + AT_RECEIVER);
    uint64_t key_id = kvr__load_u64(hello + AT_KEY);
    return kvr__load_u64(hello + AT_CLUSTER) == config->cluster_id && sender != 0 &&
           sender != config->self_id && (config->peer_id == 0 || sender == config->peer_id) &&
           (receiver == config->self_id || (receiver == 0 && config->initiator == 0)) &&
           (config->initiator == 0 || !session->sent || key_id == session->key_id) &&
           kvr__seal_keyring_find(config->ring, key_id) != NULL &&
           hello[AT_INITIATOR] == (config->initiator ^ 1) &&
           memcmp(hello + AT_INITIATOR + 1, zero, sizeof zero) == 0;
}

kvr_status kvr_seal_take_hello(kvr_seal_session *session, const kvr_slice *hello)
{
    if (session->dead || session->taken || (session->config.initiator != 0 && !session->sent)) {
        return KVR_ESTATE;
    }
    if (hello == NULL || hello->size != KVR_SEAL_HELLO_BYTES ||
        memcmp(hello->data, magic, sizeof magic - 1) != 0) {
        return deny(session);
    }
    if (hello->data[sizeof magic - 1] != magic[sizeof magic - 1]) {
        return KVR_EVERSION;
    }
    if (!is_expected(session, hello->data)) {
        return deny(session);
    }
    memcpy(session->hello[1], hello->data, KVR_SEAL_HELLO_BYTES);
    session->peer_id = kvr__load_u64(hello->data + AT_SENDER);
    session->key_id = kvr__load_u64(hello->data + AT_KEY);
    session->taken = true;
    return session->sent ? make_keys(session) : KVR_OK;
}

bool kvr_seal_is_ready(const kvr_seal_session *session)
{
    return session->ready;
}

bool kvr_seal_is_confirmed(const kvr_seal_session *session)
{
    return session->confirmed;
}

uint64_t kvr_seal_peer(const kvr_seal_session *session)
{
    return session->peer_id;
}

/* ------------------------------------------------------------------ frames */

/* What a frame is bound to beyond its place in the stream. */
static void associate(const kvr_seal_session *session, const direction *way, uint8_t ad[AD_BYTES])
{
    memset(ad, 0, AD_BYTES);
    kvr__store_u64(ad, way->frames);
    kvr__store_u32(ad + 8, (uint32_t)session->key_id);
    ad[12] = way->name;
    ad[13] = magic[sizeof magic - 1];
}

size_t kvr_seal_write_bytes(const kvr_seal_session *session, size_t size)
{
    (void)session;
    return size > SIZE_MAX - KVR_SEAL_HEAD_BYTES - TAG_BYTES
               ? SIZE_MAX
               : size + KVR_SEAL_HEAD_BYTES + TAG_BYTES;
}

kvr_status kvr_seal_write(kvr_seal_session *session, const kvr_slice *plain, uint8_t *room,
                          size_t room_size, size_t *out_size)
{
    if (!session->ready) {
        return KVR_ESTATE;
    }
    size_t size = kvr_seal_write_bytes(session, plain->size);
    if (size > room_size || size > KVR_SEAL_FRAME_MAX) {
        return KVR_ETOOBIG;
    }
    direction *way = &session->out;
    uint8_t ad[AD_BYTES];
    associate(session, way, ad);
    bool rekey = (way->frames + 1) % session->config.rekey_frames == 0;
    uint8_t tag = rekey ? crypto_secretstream_xchacha20poly1305_TAG_REKEY
                        : crypto_secretstream_xchacha20poly1305_TAG_MESSAGE;
    unsigned long long sealed = 0;
    int result = crypto_secretstream_xchacha20poly1305_push(
        &way->stream, room + KVR_SEAL_HEAD_BYTES, &sealed, plain->data, plain->size, ad, sizeof ad,
        tag);
    KVR_ASSERT(result == 0);
    KVR_ASSERT(sealed + KVR_SEAL_HEAD_BYTES == size);
    kvr__store_u32(room, (uint32_t)sealed);
    way->frames++;
    *out_size = size;
    return KVR_OK;
}

kvr_status kvr_seal_frame_size(const kvr_slice *bytes, size_t *out_size)
{
    if (bytes->size < KVR_SEAL_HEAD_BYTES) {
        return KVR_END;
    }
    uint32_t sealed = kvr__load_u32(bytes->data);
    if (sealed < TAG_BYTES || sealed > KVR_SEAL_FRAME_MAX - KVR_SEAL_HEAD_BYTES) {
        return KVR_EDENIED;
    }
    *out_size = (size_t)sealed + KVR_SEAL_HEAD_BYTES;
    return KVR_OK;
}

kvr_status kvr_seal_read(kvr_seal_session *session, const kvr_slice *frame, uint8_t *room,
                         size_t room_size, size_t *out_size)
{
    size_t size = 0;
    if (!session->ready) {
        return session->dead ? KVR_EDENIED : KVR_ESTATE;
    }
    if (kvr_seal_frame_size(frame, &size) != KVR_OK || size != frame->size) {
        return deny(session);
    }
    size_t sealed = size - KVR_SEAL_HEAD_BYTES;
    if (sealed - TAG_BYTES > room_size) {
        return KVR_ETOOBIG;
    }
    direction *way = &session->in;
    uint8_t ad[AD_BYTES];
    uint8_t tag = 0;
    unsigned long long opened = 0;
    associate(session, way, ad);
    if (crypto_secretstream_xchacha20poly1305_pull(&way->stream, room, &opened, &tag,
                                                   frame->data + KVR_SEAL_HEAD_BYTES, sealed, ad,
                                                   sizeof ad) != 0) {
        return deny(session);
    }
    way->frames++;
    session->confirmed = true;
    *out_size = (size_t)opened;
    return KVR_OK;
}
