/* SPDX-License-Identifier: Apache-2.0 */
/* test_seal_session.c: sealed connections: who may speak, and what cannot be done to what is said
 * (FAULTS.md 5.3). */
#include <criterion/criterion.h>

#include <kvraft/seal.h>
#include <sodium.h>
#include <string.h>

#include "support/fault_sweep.h"
#include "support/test_alloc.h"

static test_alloc alloc;
static kvr_seal_keyring *ring;
static kvr_seal_keyring *other_ring;
static uint8_t next_byte; /* of the entropy: a test repeats bit for bit */
static kvr_status entropy_status;

static kvr_status fill(void *ctx, uint8_t *out_bytes, size_t size)
{
    (void)ctx;
    for (size_t i = 0; i < size; i++) {
        out_bytes[i] = next_byte++;
    }
    return entropy_status;
}

static const kvr_entropy entropy = {.size = sizeof entropy, .fill = fill};

static const uint8_t key_a[32] = "first cluster key, 32 bytes long";
static const uint8_t key_b[32] = "next cluster key, also 32 bytes.";

static kvr_status add(kvr_seal_keyring *to, uint64_t id, const uint8_t *key)
{
    kvr_slice bytes = {key, 32};
    return kvr_seal_keyring_add(to, id, &bytes);
}

static void setup(void)
{
    test_alloc_init(&alloc);
    next_byte = 1;
    entropy_status = KVR_OK;
    cr_assert_eq(kvr_seal_keyring_new(&test_alloc_table, &alloc, &ring), KVR_OK);
    cr_assert_eq(kvr_seal_keyring_new(&test_alloc_table, &alloc, &other_ring), KVR_OK);
    cr_assert_eq(add(ring, 1, key_a), KVR_OK);
}

static void teardown(void)
{
    kvr_seal_keyring_free(ring);
    kvr_seal_keyring_free(other_ring);
    TEST_ALLOC_ASSERT_EMPTY(&alloc);
}

TestSuite(seal, .init = setup, .fini = teardown);

/* ------------------------------------------------------------------ pairs of sessions */

typedef struct pair {
    kvr_seal_session *first;  /* initiator, member 1 */
    kvr_seal_session *second; /* member 2 */
    uint8_t hello[2][KVR_SEAL_HELLO_BYTES];
} pair;

static kvr_seal_config config_of(bool initiator, kvr_seal_keyring *keys)
{
    kvr_seal_config config;
    cr_assert_eq(kvr_seal_config_init(&config, sizeof config), KVR_OK);
    config.initiator = initiator;
    config.cluster_id = 7;
    config.self_id = initiator ? 1 : 2;
    config.peer_id = initiator ? 2 : 0;
    config.ring = keys;
    config.entropy = &entropy;
    config.allocator = &test_alloc_table;
    config.allocator_ctx = &alloc;
    return config;
}

static kvr_seal_session *open_session(const kvr_seal_config *config)
{
    kvr_seal_session *made = NULL;
    cr_assert_eq(kvr_seal_session_new(config, &made), KVR_OK);
    return made;
}

static kvr_status take(kvr_seal_session *by, const uint8_t *hello)
{
    kvr_slice bytes = {hello, KVR_SEAL_HELLO_BYTES};
    return kvr_seal_take_hello(by, &bytes);
}

static pair open_pair_of(const kvr_seal_config *first, const kvr_seal_config *second)
{
    pair made = {.first = open_session(first), .second = open_session(second)};
    cr_assert_eq(kvr_seal_hello(made.first, made.hello[0]), KVR_OK);
    cr_assert_eq(take(made.second, made.hello[0]), KVR_OK);
    cr_assert_eq(kvr_seal_hello(made.second, made.hello[1]), KVR_OK);
    cr_assert_eq(take(made.first, made.hello[1]), KVR_OK);
    cr_assert(kvr_seal_is_ready(made.first));
    cr_assert(kvr_seal_is_ready(made.second));
    return made;
}

static pair open_pair(void)
{
    kvr_seal_config first = config_of(true, ring);
    kvr_seal_config second = config_of(false, ring);
    return open_pair_of(&first, &second);
}

static void close_pair(pair *gone)
{
    kvr_seal_session_free(gone->first);
    kvr_seal_session_free(gone->second);
}

typedef struct frame {
    uint8_t bytes[256];
    size_t size;
} frame;

static frame seal(kvr_seal_session *by, const char *text)
{
    frame made;
    kvr_slice plain = {(const uint8_t *)text, strlen(text)};
    cr_assert_eq(kvr_seal_write(by, &plain, made.bytes, sizeof made.bytes, &made.size), KVR_OK);
    cr_assert_eq(made.size, kvr_seal_write_bytes(by, plain.size));
    return made;
}

static kvr_status open_frame(kvr_seal_session *by, const frame *from, char room[256])
{
    size_t size = 0;
    kvr_slice bytes = {from->bytes, from->size};
    kvr_status status = kvr_seal_read(by, &bytes, (uint8_t *)room, 255, &size);
    room[status == KVR_OK ? size : 0] = '\0';
    return status;
}

/* ------------------------------------------------------------------ what works */

Test(seal, what_is_said_arrives_in_both_directions)
{
    pair p = open_pair();
    char room[256];
    cr_assert_eq(kvr_seal_peer(p.first), 2);
    cr_assert_eq(kvr_seal_peer(p.second), 1);
    cr_assert_not(kvr_seal_is_confirmed(p.second));
    const char *const texts[] = {"append entries", "", "vote"};
    for (size_t i = 0; i < 3; i++) {
        frame there = seal(p.first, texts[i]);
        frame back = seal(p.second, texts[i]);
        cr_assert_eq(open_frame(p.second, &there, room), KVR_OK);
        cr_assert_str_eq(room, texts[i]);
        cr_assert_eq(open_frame(p.first, &back, room), KVR_OK);
        cr_assert_str_eq(room, texts[i]);
    }
    cr_assert(kvr_seal_is_confirmed(p.first));
    cr_assert(kvr_seal_is_confirmed(p.second));
    close_pair(&p);
}

Test(seal, the_same_entropy_makes_the_same_bytes)
{
    pair p = open_pair();
    frame one = seal(p.first, "text");
    close_pair(&p);
    next_byte = 1;
    p = open_pair();
    frame two = seal(p.first, "text");
    cr_assert_eq(one.size, two.size);
    cr_assert_arr_eq(one.bytes, two.bytes, one.size);
    close_pair(&p);
}

Test(seal, keys_are_drawn_anew_while_it_runs)
{
    kvr_seal_config first = config_of(true, ring);
    kvr_seal_config second = config_of(false, ring);
    char room[256];
    first.rekey_frames = 3;
    second.rekey_frames = 3;
    pair p = open_pair_of(&first, &second);
    for (int i = 0; i < 20; i++) {
        frame there = seal(p.first, "again");
        cr_assert_eq(open_frame(p.second, &there, room), KVR_OK);
    }
    close_pair(&p);
}

/* FAULTS.md 5.3, test vectors: the construction made a second time, from the manual page and with
 * libsodium alone. The responder's secret is known since the test is its entropy. The tags show
 * that the stream's key is drawn anew after the second frame. */
Test(seal, keys_and_frames_are_what_the_page_says)
{
    enum { NONCE = 32 };
    static const uint8_t label[16] = "kvraft seal v1\n";
    kvr_seal_config first = config_of(true, ring);
    kvr_seal_config second = config_of(false, ring);
    first.rekey_frames = 2;
    pair p = open_pair_of(&first, &second);
    uint8_t secret[32], public[32], shared[32], keys[64];
    for (uint8_t i = 0; i < 32; i++) {
        /* behind the initiator's 64 bytes, and a nonce */
        secret[i] = (uint8_t)(1 + 64 + NONCE + i);
    }

    crypto_generichash_state hash;
    cr_assert_eq(crypto_scalarmult_base(public, secret), 0);
    cr_assert_arr_eq(public, p.hello[1] + 72, 32);
    cr_assert_eq(crypto_scalarmult(shared, secret, p.hello[0] + 72), 0);
    crypto_generichash_init(&hash, key_a, 32, 64);
    crypto_generichash_update(&hash, label, sizeof label);
    crypto_generichash_update(&hash, (const uint8_t *)"I", 1);
    crypto_generichash_update(&hash, p.hello[0], KVR_SEAL_HELLO_BYTES);
    crypto_generichash_update(&hash, p.hello[1], KVR_SEAL_HELLO_BYTES);
    crypto_generichash_update(&hash, shared, 32);
    crypto_generichash_final(&hash, keys, 64);
    crypto_secretstream_xchacha20poly1305_state stream;
    crypto_secretstream_xchacha20poly1305_init_pull(&stream, keys + 32, keys);

    for (uint8_t i = 0; i < 4; i++) {
        frame there = seal(p.first, "text");
        const uint8_t ad[16] = {i, [8] = 1, [12] = 'I', [13] = '1'};
        uint8_t plain[8], tag = 0xFF;
        cr_assert_eq(crypto_secretstream_xchacha20poly1305_pull(&stream, plain, NULL, &tag,
                                                                there.bytes + 4, there.size - 4, ad,
                                                                sizeof ad),
                     0, "frame %u", i);
        cr_assert_arr_eq(plain, "text", 4);
        cr_assert_eq(tag, i % 2 == 1 ? crypto_secretstream_xchacha20poly1305_TAG_REKEY
                                     : crypto_secretstream_xchacha20poly1305_TAG_MESSAGE);
    }
    close_pair(&p);
}

Test(seal, keys_rotate_without_a_stop)
{
    char room[256];
    cr_assert_eq(add(other_ring, 1, key_a), KVR_OK);
    cr_assert_eq(add(ring, 2, key_b), KVR_OK);
    kvr_seal_config first = config_of(true, ring);
    kvr_seal_config second = config_of(false, other_ring);
    pair old = open_pair_of(&first, &second); /* both use 1, one knows 2 */
    cr_assert_eq(add(other_ring, 2, key_b), KVR_OK);
    cr_assert_eq(kvr_seal_keyring_use(ring, 2), KVR_OK);
    pair fresh = open_pair_of(&first, &second); /* opened with 2, the other side still uses 1 */
    cr_assert_eq(kvr_seal_keyring_use(other_ring, 2), KVR_OK);
    cr_assert_eq(kvr_seal_keyring_remove(ring, 1), KVR_OK);
    cr_assert_eq(kvr_seal_keyring_remove(other_ring, 1), KVR_OK);
    frame through_old = seal(old.first, "old");
    frame through_fresh = seal(fresh.second, "fresh");
    cr_assert_eq(open_frame(old.second, &through_old, room), KVR_OK, "sessions that stand go on");
    cr_assert_eq(open_frame(fresh.first, &through_fresh, room), KVR_OK);
    close_pair(&old);
    close_pair(&fresh);
}

/* ------------------------------------------------------------------ who may not speak */

Test(seal, another_key_of_the_same_id_opens_nothing)
{
    char room[256];
    cr_assert_eq(add(other_ring, 1, key_b), KVR_OK);
    kvr_seal_config first = config_of(true, ring);
    kvr_seal_config second = config_of(false, other_ring);
    pair p = open_pair_of(&first, &second);
    frame there = seal(p.first, "secret");
    cr_assert_eq(open_frame(p.second, &there, room), KVR_EDENIED);
    cr_assert_not(kvr_seal_is_confirmed(p.second));
    cr_assert_eq(open_frame(p.second, &there, room), KVR_EDENIED, "the session is dead");
    close_pair(&p);
}

Test(seal, hellos_of_strangers_are_denied)
{
    uint8_t hello[KVR_SEAL_HELLO_BYTES];
    kvr_seal_config strange = config_of(true, ring);
    const struct {
        const char *what;
        uint64_t cluster, self, peer;
    } cases[] = {
        {"another cluster", 8, 1, 2}, {"our own id", 7, 2, 9}, {"meant for another", 7, 1, 3}};
    for (size_t i = 0; i < 3; i++) {
        strange.cluster_id = cases[i].cluster;
        strange.self_id = cases[i].self;
        strange.peer_id = cases[i].peer;
        kvr_seal_config second = config_of(false, ring);
        kvr_seal_session *from = open_session(&strange);
        kvr_seal_session *to = open_session(&second);
        cr_assert_eq(kvr_seal_hello(from, hello), KVR_OK);
        cr_assert_eq(take(to, hello), KVR_EDENIED, "%s", cases[i].what);
        cr_assert_neq(kvr_seal_hello(to, hello), KVR_OK, "a denied session says nothing");
        kvr_seal_session_free(from);
        kvr_seal_session_free(to);
    }
}

/* Who holds no key cannot name one; and a key that went while hands were shaken opens nothing. */
Test(seal, a_key_that_is_not_in_the_ring_is_denied)
{
    uint8_t hello[KVR_SEAL_HELLO_BYTES], answer[KVR_SEAL_HELLO_BYTES];
    cr_assert_eq(add(other_ring, 2, key_b), KVR_OK);
    kvr_seal_config first = config_of(true, ring);
    kvr_seal_config second = config_of(false, other_ring);
    kvr_seal_session *from = open_session(&first);
    kvr_seal_session *to = open_session(&second);
    cr_assert_eq(kvr_seal_hello(from, hello), KVR_OK);
    cr_assert_eq(kvr_seal_hello(to, answer), KVR_ESTATE, "the initiator's key is not known yet");
    cr_assert_eq(take(to, hello), KVR_EDENIED);
    kvr_seal_session_free(to);

    cr_assert_eq(add(other_ring, 1, key_a), KVR_OK);
    to = open_session(&second);
    cr_assert_eq(take(to, hello), KVR_OK);
    cr_assert_eq(kvr_seal_keyring_remove(other_ring, 1), KVR_OK);
    cr_assert_eq(kvr_seal_hello(to, answer), KVR_ENOTFOUND);
    cr_assert_not(kvr_seal_is_ready(to));
    kvr_seal_session_free(from);
    kvr_seal_session_free(to);
}

/* All that one side ever said is said again to a fresh session of the other: its nonce is new. */
Test(seal, a_recorded_connection_says_nothing_to_the_next)
{
    char room[256];
    uint8_t answer[KVR_SEAL_HELLO_BYTES];
    pair p = open_pair();
    frame one = seal(p.first, "one");
    frame back = seal(p.second, "back");
    kvr_seal_config second = config_of(false, ring);
    kvr_seal_session *fresh = open_session(&second);
    cr_assert_eq(take(fresh, p.hello[0]), KVR_OK);
    cr_assert_eq(kvr_seal_hello(fresh, answer), KVR_OK);
    cr_assert_eq(open_frame(fresh, &one, room), KVR_EDENIED);
    cr_assert_not(kvr_seal_is_confirmed(fresh));
    kvr_seal_session_free(fresh);

    kvr_seal_config first = config_of(true, ring);
    fresh = open_session(&first);
    cr_assert_eq(kvr_seal_hello(fresh, answer), KVR_OK);
    cr_assert_eq(take(fresh, p.hello[1]), KVR_OK);
    cr_assert_eq(open_frame(fresh, &back, room), KVR_EDENIED);
    kvr_seal_session_free(fresh);
    close_pair(&p);
}

Test(seal, a_reflected_hello_is_denied)
{
    pair p = open_pair();
    kvr_seal_config first = config_of(true, ring);
    first.peer_id = 0;
    kvr_seal_session *lone = open_session(&first);
    uint8_t hello[KVR_SEAL_HELLO_BYTES];
    cr_assert_eq(kvr_seal_hello(lone, hello), KVR_OK);
    cr_assert_eq(take(lone, hello), KVR_EDENIED);
    kvr_seal_session_free(lone);
    close_pair(&p);
}

Test(seal, every_changed_bit_of_a_hello_is_noticed)
{
    char room[256];
    for (uint32_t bit = 0; bit < KVR_SEAL_HELLO_BYTES * 8; bit++) {
        kvr_seal_config first = config_of(true, ring);
        kvr_seal_config second = config_of(false, ring);
        pair p = {.first = open_session(&first), .second = open_session(&second)};
        cr_assert_eq(kvr_seal_hello(p.first, p.hello[0]), KVR_OK);
        p.hello[0][bit / 8] ^= (uint8_t)(1u << (bit % 8));
        kvr_status status = take(p.second, p.hello[0]);
        if (status == KVR_OK) { /* nonce, public key, sender: the keys differ then */
            cr_assert_eq(kvr_seal_hello(p.second, p.hello[1]), KVR_OK);
            status = take(p.first, p.hello[1]);
        }
        if (status == KVR_OK) {
            frame there = seal(p.first, "x");
            status = open_frame(p.second, &there, room);
        }
        cr_assert(status == KVR_EDENIED || status == KVR_EVERSION, "bit %u: %d", bit, status);
        close_pair(&p);
    }
}

Test(seal, a_point_of_small_order_is_denied)
{
    kvr_seal_config first = config_of(true, ring);
    kvr_seal_config second = config_of(false, ring);
    pair p = {.first = open_session(&first), .second = open_session(&second)};
    cr_assert_eq(kvr_seal_hello(p.first, p.hello[0]), KVR_OK);
    memset(p.hello[0] + 72, 0, 32);
    cr_assert_eq(take(p.second, p.hello[0]), KVR_OK);
    cr_assert_neq(kvr_seal_hello(p.second, p.hello[1]), KVR_OK);
    cr_assert_not(kvr_seal_is_ready(p.second));
    close_pair(&p);
}

/* ---------------------------------------------------------------- what cannot be done to frames */

Test(seal, every_changed_bit_of_a_frame_is_noticed)
{
    char room[256];
    pair p = open_pair();
    frame good = seal(p.first, "append");
    close_pair(&p);
    for (uint32_t bit = 0; bit < good.size * 8; bit++) {
        next_byte = 1;
        p = open_pair();
        frame there = seal(p.first, "append");
        there.bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        cr_assert_eq(open_frame(p.second, &there, room), KVR_EDENIED, "bit %u", bit);
        close_pair(&p);
    }
}

Test(seal, frames_cannot_be_repeated_reordered_dropped_cut_or_turned_around)
{
    char room[256];
    for (int trick = 0; trick < 5; trick++) {
        pair p = open_pair();
        frame one = seal(p.first, "one");
        frame two = seal(p.first, "two");
        kvr_status status = KVR_OK;
        if (trick == 0) {
            cr_assert_eq(open_frame(p.second, &one, room), KVR_OK);
            status = open_frame(p.second, &one, room);
        } else if (trick == 1) {
            status = open_frame(p.second, &two, room);
        } else if (trick == 2) {
            one.size--;
            status = open_frame(p.second, &one, room);
        } else if (trick == 3) {
            status = open_frame(p.first, &one, room);
        } else {
            pair q = open_pair();
            status = open_frame(q.second, &one, room); /* of another connection */
            close_pair(&q);
        }
        cr_assert_eq(status, KVR_EDENIED, "trick %d", trick);
        close_pair(&p);
    }
}

Test(seal, lengths_are_known_before_a_byte_is_stored)
{
    const uint8_t huge[] = {0xff, 0xff, 0xff, 0xff};
    const uint8_t tiny[] = {1, 0, 0, 0};
    size_t size = 0;
    kvr_slice bytes = {huge, 4};
    cr_assert_eq(kvr_seal_frame_size(&bytes, &size), KVR_EDENIED);
    bytes.data = tiny;
    cr_assert_eq(kvr_seal_frame_size(&bytes, &size), KVR_EDENIED);
    bytes.size = 3;
    cr_assert_eq(kvr_seal_frame_size(&bytes, &size), KVR_END);
}

Test(seal, room_and_state_are_checked)
{
    pair p = open_pair();
    uint8_t room[8];
    size_t size;
    kvr_slice plain = {(const uint8_t *)"text", 4};
    cr_assert_eq(kvr_seal_write(p.first, &plain, room, sizeof room, &size), KVR_ETOOBIG);
    frame there = seal(p.first, "longer than eight");
    kvr_slice bytes = {there.bytes, there.size};
    cr_assert_eq(kvr_seal_read(p.second, &bytes, room, sizeof room, &size), KVR_ETOOBIG);
    char enough[256];
    cr_assert_eq(open_frame(p.second, &there, enough), KVR_OK, "and nothing was lost");
    uint8_t hello[KVR_SEAL_HELLO_BYTES];
    cr_assert_eq(kvr_seal_hello(p.first, hello), KVR_ESTATE);
    cr_assert_eq(take(p.first, p.hello[1]), KVR_ESTATE);
    close_pair(&p);
}

/* ------------------------------------------------------------------ keyrings, entropy, memory */

Test(seal, keyrings_hold_eight_keys_and_know_which_is_used)
{
    kvr_slice short_key = {key_a, 31};
    cr_assert_eq(kvr_seal_keyring_add(ring, 9, &short_key), KVR_EINVAL);
    cr_assert_eq(add(ring, 0, key_a), KVR_EINVAL);
    cr_assert_eq(add(ring, 1, key_b), KVR_EEXIST);
    for (uint64_t id = 2; id <= 8; id++) {
        cr_assert_eq(add(ring, id, key_b), KVR_OK);
    }
    cr_assert_eq(add(ring, 9, key_b), KVR_EBUSY);
    cr_assert_eq(kvr_seal_keyring_use(ring, 9), KVR_ENOTFOUND);
    cr_assert_eq(kvr_seal_keyring_remove(ring, 1), KVR_ESTATE, "it is in use");
    cr_assert_eq(kvr_seal_keyring_use(ring, 5), KVR_OK);
    cr_assert_eq(kvr_seal_keyring_remove(ring, 1), KVR_OK);
    cr_assert_eq(kvr_seal_keyring_remove(ring, 1), KVR_ENOTFOUND);
}

Test(seal, without_a_key_or_entropy_there_is_no_hello)
{
    uint8_t hello[KVR_SEAL_HELLO_BYTES];
    kvr_seal_config first = config_of(true, other_ring);
    kvr_seal_session *session = open_session(&first);
    cr_assert_eq(kvr_seal_hello(session, hello), KVR_ENOTFOUND);
    cr_assert_eq(add(other_ring, 1, key_a), KVR_OK);
    entropy_status = KVR_EIO;
    cr_assert_eq(kvr_seal_hello(session, hello), KVR_EIO);
    entropy_status = KVR_OK;
    cr_assert_eq(kvr_seal_hello(session, hello), KVR_OK);
    kvr_seal_session_free(session);
}

Test(seal, without_memory_there_is_no_handle)
{
    kvr_seal_config first = config_of(true, ring);
    kvr_seal_session *session = NULL;
    kvr_seal_keyring *keys = NULL;
    kvr_status status = KVR_OK;
    FAULT_SWEEP({ session = NULL; }, status = kvr_seal_session_new(&first, &session),
                {
                    cr_assert_eq(status, fault_fired() > 0 ? KVR_ENOMEM : KVR_OK);
                    kvr_seal_session_free(session);
                });
    FAULT_SWEEP({ keys = NULL; }, status = kvr_seal_keyring_new(&test_alloc_table, &alloc, &keys),
                {
                    cr_assert_eq(status, fault_fired() > 0 ? KVR_ENOMEM : KVR_OK);
                    kvr_seal_keyring_free(keys);
                });
}
