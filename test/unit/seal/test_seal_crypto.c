/* SPDX-License-Identifier: Apache-2.0 */
/* test_seal_crypto.c: passwords and signatures, against libsodium's own verifier and RFC 8032. */
#include <criterion/criterion.h>

#include <kvraft/seal.h>
#include <sodium.h>
#include <string.h>

#include "support/test_alloc.h"

static test_alloc alloc;
static kvr_seal_crypto *crypto;

static kvr_seal_crypto *new_crypto(uint8_t deferred, const uint8_t *seed)
{
    kvr_seal_crypto_config config;
    kvr_seal_crypto *made = NULL;
    cr_assert_eq(kvr_seal_crypto_config_init(&config, sizeof config), KVR_OK);
    config.passes = 2;
    config.memory_kib = 19456; /* the least allowed: tests run often */
    config.deferred = deferred;
    config.sign_seed = (kvr_slice){seed, seed == NULL ? 0 : 32};
    config.allocator = &test_alloc_table;
    config.allocator_ctx = &alloc;
    cr_assert_eq(kvr_seal_crypto_new(&config, &made), KVR_OK);
    return made;
}

/* RFC 8032, 7.1, test 2. */
static const uint8_t seed[32] = {0x4c, 0xcd, 0x08, 0x9b, 0x28, 0xff, 0x96, 0xda, 0x9d, 0xb6, 0xc3,
                                 0x46, 0xec, 0x11, 0x4e, 0x0f, 0x5b, 0x8a, 0x31, 0x9f, 0x35, 0xab,
                                 0xa6, 0x24, 0xda, 0x8c, 0xf6, 0xed, 0x4f, 0xb8, 0xa6, 0xfb};
static const uint8_t signed_byte[1] = {0x72};
static const uint8_t signature_start[8] = {0x92, 0xa0, 0x09, 0xa9, 0xf0, 0xd4, 0xca, 0xb8};

static void setup(void)
{
    test_alloc_init(&alloc);
    crypto = new_crypto(0, seed);
}

static void teardown(void)
{
    kvr_seal_crypto_free(crypto);
    TEST_ALLOC_ASSERT_EMPTY(&alloc);
}

TestSuite(seal_crypto, .init = setup, .fini = teardown);

static kvr_crypto_result ask(uint8_t kind, kvr_slice input, kvr_slice extra)
{
    kvr_crypto_request request = {.size = sizeof request, .kind = kind, .token = 7};
    kvr_crypto_result result = {.size = sizeof result};
    request.input = input;
    request.extra = extra;
    memset(request.salt, 0x5a, sizeof request.salt);
    cr_assert_eq(kvr_seal_crypto_table()->submit(crypto, &request, &result), KVR_DONE);
    cr_assert_eq(result.token, 7);
    return result;
}

static kvr_slice s(const char *text)
{
    return (kvr_slice){(const uint8_t *)text, strlen(text)};
}

static const kvr_slice none = {NULL, 0};

Test(seal_crypto, a_password_is_known_again_and_no_other)
{
    kvr_crypto_result hash = ask(KVR_CRYPTO_PASSWORD_HASH, s("open sesame"), none);
    cr_assert_eq(hash.status, KVR_OK);
    kvr_slice string = {hash.output, hash.output_size};
    cr_assert_eq(memcmp(hash.output, "$argon2id$v=19$m=19456,t=2,p=1$", 31), 0);
    cr_assert_eq(hash.output[hash.output_size - 1], 0);
    cr_assert_eq(ask(KVR_CRYPTO_PASSWORD_VERIFY, s("open sesame"), string).status, KVR_OK);
    cr_assert_eq(ask(KVR_CRYPTO_PASSWORD_VERIFY, s("open Sesame"), string).status, KVR_EAUTHFAILED);
    cr_assert_eq(ask(KVR_CRYPTO_PASSWORD_VERIFY, none, string).status, KVR_EAUTHFAILED);
    kvr_crypto_result again = ask(KVR_CRYPTO_PASSWORD_HASH, s("open sesame"), none);
    cr_assert_arr_eq(hash.output, again.output, hash.output_size, "the salt is the request's");
}

Test(seal_crypto, strings_that_libsodium_makes_are_read)
{
    char string[crypto_pwhash_STRBYTES];
    cr_assert_eq(
        crypto_pwhash_str_alg(string, "secret", 6, 2, 19456u * 1024, crypto_pwhash_ALG_ARGON2ID13),
        0);
    kvr_slice made = {(const uint8_t *)string, strlen(string) + 1};
    cr_assert_eq(ask(KVR_CRYPTO_PASSWORD_VERIFY, s("secret"), made).status, KVR_OK);
    made.size--;
    cr_assert_eq(ask(KVR_CRYPTO_PASSWORD_VERIFY, s("secret"), made).status, KVR_OK,
                 "without its NUL too");
}

Test(seal_crypto, hostile_strings_and_passwords_are_refused)
{
    static uint8_t junk[2000];
    memset(junk, 'A', sizeof junk);
    cr_assert_eq(ask(KVR_CRYPTO_PASSWORD_VERIFY, s("x"), none).status, KVR_EAUTHFAILED);
    cr_assert_eq(ask(KVR_CRYPTO_PASSWORD_VERIFY, s("x"), (kvr_slice){junk, 128}).status,
                 KVR_EAUTHFAILED);
    cr_assert_eq(ask(KVR_CRYPTO_PASSWORD_VERIFY, s("x"), (kvr_slice){junk, 2000}).status,
                 KVR_EAUTHFAILED);
    cr_assert_eq(ask(KVR_CRYPTO_PASSWORD_VERIFY, s("x"), s("$argon2id$v=19$m=1,t=1,p=1$$")).status,
                 KVR_EAUTHFAILED);
    cr_assert_eq(ask(KVR_CRYPTO_PASSWORD_HASH, (kvr_slice){junk, 1025}, none).status, KVR_ETOOBIG);
    cr_assert_eq(ask(99, s("x"), none).status, KVR_EINVAL);
}

Test(seal_crypto, signatures_are_those_of_rfc_8032)
{
    kvr_slice message = {signed_byte, 1};
    kvr_crypto_result made = ask(KVR_CRYPTO_SIGN, message, none);
    cr_assert_eq(made.status, KVR_OK);
    cr_assert_eq(made.output_size, 64);
    cr_assert_arr_eq(made.output, signature_start, sizeof signature_start);
    kvr_slice signature = {made.output, made.output_size};
    cr_assert_eq(ask(KVR_CRYPTO_VERIFY, message, signature).status, KVR_OK);
    for (uint32_t bit = 0; bit < 512; bit += 17) {
        made.output[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        cr_assert_eq(ask(KVR_CRYPTO_VERIFY, message, signature).status, KVR_EAUTHFAILED, "bit %u",
                     bit);
        made.output[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
    signature.size = 63;
    cr_assert_eq(ask(KVR_CRYPTO_VERIFY, message, signature).status, KVR_EAUTHFAILED);
}

Test(seal_crypto, without_a_seed_nothing_is_signed)
{
    kvr_seal_crypto_free(crypto);
    crypto = new_crypto(0, NULL);
    cr_assert_eq(ask(KVR_CRYPTO_SIGN, s("x"), none).status, KVR_EINVAL);
    cr_assert_eq(ask(KVR_CRYPTO_VERIFY, s("x"), none).status, KVR_EINVAL);
}

Test(seal_crypto, at_most_four_wait)
{
    kvr_crypto_request request = {.size = sizeof request, .kind = KVR_CRYPTO_SIGN};
    kvr_crypto_result result = {.size = sizeof result};
    kvr_seal_crypto_free(crypto);
    crypto = new_crypto(1, seed);
    const kvr_crypto *table = kvr_seal_crypto_table();
    request.input = s("x");
    for (uint64_t token = 1; token <= 4; token++) {
        request.token = token;
        cr_assert_eq(table->submit(crypto, &request, &result), KVR_OK);
    }
    cr_assert_eq(table->submit(crypto, &request, &result), KVR_EBUSY);
    for (uint64_t token = 1; token <= 4; token++) {
        cr_assert_eq(kvr_seal_crypto_take(crypto, &request), KVR_OK);
        cr_assert_eq(request.token, token, "oldest first");
        kvr_seal_crypto_perform(crypto, &request, &result);
        kvr_seal_crypto_give(crypto, &result);
    }
    cr_assert_eq(kvr_seal_crypto_take(crypto, &request), KVR_END);
    cr_assert_eq(table->submit(crypto, &request, &result), KVR_EBUSY, "they are not reaped yet");
    for (uint64_t token = 1; token <= 4; token++) {
        cr_assert_eq(kvr_seal_crypto_reap(crypto, &result), KVR_OK);
        cr_assert_eq(result.token, token);
        cr_assert_eq(result.status, KVR_OK);
    }
    cr_assert_eq(kvr_seal_crypto_reap(crypto, &result), KVR_END);
}

Test(seal_crypto, parameters_have_floors)
{
    kvr_seal_crypto_config config;
    kvr_seal_crypto *made = NULL;
    cr_assert_eq(kvr_seal_crypto_config_init(&config, sizeof config), KVR_OK);
    config.passes = 1;
    cr_assert_eq(kvr_seal_crypto_new(&config, &made), KVR_EINVAL);
    config.passes = 2;
    config.memory_kib = 1024;
    cr_assert_eq(kvr_seal_crypto_new(&config, &made), KVR_EINVAL);
    config.memory_kib = 19456;
    config.sign_seed = s("short");
    cr_assert_eq(kvr_seal_crypto_new(&config, &made), KVR_EINVAL);
}
