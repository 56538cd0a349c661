/* SPDX-License-Identifier: Apache-2.0 */
/* seal_crypto.c: a kvr_crypto: passwords with Argon2id, signatures with Ed25519. The work itself
 * (kvr_seal_crypto_perform) reads nothing of the handle that changes, so another thread may do it;
 * at most four requests are queued, under way or not reaped, since each may take 64 MiB. */
#include "seal_internal.h"

#include "base/assertion.h"
#include "base/sized.h"

#include <sodium.h>
#include <string.h>

enum {
    WAITING_MAX = 4,
    PASSES = 3,
    MEMORY_KIB = 65536,
    PASSWORD_BYTES_MAX = 1024,
    HASH_BYTES = 32
};
enum { PASSES_MIN = 2, PASSES_MAX = 64, MEMORY_KIB_MIN = 19456, MEMORY_KIB_MAX = 1048576 };

struct kvr_seal_crypto {
    kvr__mem mem;
    kvr_seal_crypto_config config;
    bool signs;
    uint8_t public_key[crypto_sign_PUBLICKEYBYTES];
    uint8_t secret_key[crypto_sign_SECRETKEYBYTES];
    kvr_crypto_request requests[WAITING_MAX]; /* oldest first */
    kvr_crypto_result results[WAITING_MAX];
    uint32_t request_count;
    uint32_t taken_count;
    uint32_t result_count;
};

/* ------------------------------------------------------------------ life */

kvr_status kvr_seal_crypto_config_init(kvr_seal_crypto_config *config, uint32_t size)
{
    if (size < sizeof *config) {
        return KVR_EINVAL;
    }
    memset(config, 0, size);
    config->size = size;
    config->passes = PASSES;
    config->memory_kib = MEMORY_KIB;
    return KVR_OK;
}

static bool read_config(const kvr_seal_crypto_config *from, kvr_seal_crypto_config *to)
{
    if (!kvr__sized_read(to, sizeof *to, from, sizeof *to)) {
        return false;
    }
    to->passes = to->passes == 0 ? PASSES : to->passes;
    to->memory_kib = to->memory_kib == 0 ? MEMORY_KIB : to->memory_kib;
    return to->passes >= PASSES_MIN && to->passes <= PASSES_MAX &&
           to->memory_kib >= MEMORY_KIB_MIN && to->memory_kib <= MEMORY_KIB_MAX &&
           to->deferred <= 1 &&
           (to->sign_seed.size == 0 || to->sign_seed.size == crypto_sign_SEEDBYTES);
}

kvr_status kvr_seal_crypto_new(const kvr_seal_crypto_config *config, kvr_seal_crypto **out_crypto)
{
    kvr_seal_crypto_config copy;
    void *handle = NULL;
    if (!read_config(config, &copy)) {
        return KVR_EINVAL;
    }
    kvr_status status = kvr__seal_start();
    if (status == KVR_OK) {
        status = kvr__mem_new_handle(copy.allocator, copy.allocator_ctx, sizeof **out_crypto,
                                     offsetof(kvr_seal_crypto, mem), &handle);
    }
    if (status != KVR_OK) {
        return status;
    }
    kvr_seal_crypto *crypto = handle;
    crypto->config = copy;
    crypto->signs = copy.sign_seed.size > 0;
    if (crypto->signs) {
        int result =
            crypto_sign_seed_keypair(crypto->public_key, crypto->secret_key, copy.sign_seed.data);
        KVR_ASSERT(result == 0);
    }
    crypto->config.sign_seed = (kvr_slice){NULL, 0}; /* borrowed for this call only */
    *out_crypto = crypto;
    return KVR_OK;
}

void kvr_seal_crypto_free(kvr_seal_crypto *crypto)
{
    if (crypto != NULL) {
        sodium_memzero(crypto->secret_key, sizeof crypto->secret_key);
        sodium_memzero(crypto->results, sizeof crypto->results);
        kvr__mem_free_handle(crypto, sizeof *crypto, offsetof(kvr_seal_crypto, mem));
    }
}

/* ------------------------------------------------------------------ the work */

/* Decimal, without printf. */
static char *add_number(char *at, uint32_t value)
{
    char digits[10];
    uint32_t count = 0;
    do {
        digits[count++] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    while (count > 0) {
        *at++ = digits[--count];
    }
    return at;
}

static char *add_text(char *at, const char *text)
{
    size_t size = strlen(text);
    memcpy(at, text, size);
    return at + size;
}

/* The PHC string that crypto_pwhash_str_verify reads. libsodium's own maker of it draws the salt
 * itself; ours comes from the host. */
static kvr_status hash_password(const kvr_seal_crypto *crypto, const kvr_crypto_request *request,
                                kvr_crypto_result *result)
{
    uint8_t hash[HASH_BYTES];
    char base64[64];
    if (request->input.size > PASSWORD_BYTES_MAX) {
        return KVR_ETOOBIG;
    }
    if (crypto_pwhash(hash, sizeof hash, (const char *)request->input.data, request->input.size,
                      request->salt, crypto->config.passes,
                      (size_t)crypto->config.memory_kib * 1024,
                      crypto_pwhash_ALG_ARGON2ID13) != 0) {
        return KVR_ENOMEM;
    }
    char *start = (char *)result->output;
    char *at = add_text(start, "$argon2id$v=19$m=");
    at = add_number(at, crypto->config.memory_kib);
    at = add_number(add_text(at, ",t="), crypto->config.passes);
    at = add_text(at, ",p=1$");
    at = add_text(at, sodium_bin2base64(base64, sizeof base64, request->salt, sizeof request->salt,
                                        sodium_base64_VARIANT_ORIGINAL_NO_PADDING));
    at = add_text(at, "$");
    at = add_text(at, sodium_bin2base64(base64, sizeof base64, hash, sizeof hash,
                                        sodium_base64_VARIANT_ORIGINAL_NO_PADDING));
    *at = '\0';
    result->output_size = (uint32_t)(at - start) + 1;
    KVR_ASSERT(result->output_size <= sizeof result->output);
    sodium_memzero(hash, sizeof hash);
    sodium_memzero(base64, sizeof base64);
    return KVR_OK;
}

static kvr_status verify_password(const kvr_crypto_request *request)
{
    char string[crypto_pwhash_STRBYTES];
    if (request->extra.size == 0 || request->extra.size > sizeof string ||
        request->input.size > PASSWORD_BYTES_MAX) {
        return KVR_EAUTHFAILED;
    }
    memset(string, 0, sizeof string);
    memcpy(string, request->extra.data, request->extra.size);
    if (memchr(string, '\0', sizeof string) == NULL) {
        return KVR_EAUTHFAILED;
    }
    const char *password = request->input.size == 0 ? "" : (const char *)request->input.data;
    bool good = crypto_pwhash_str_verify(string, password, request->input.size) == 0;
    return good ? KVR_OK : KVR_EAUTHFAILED;
}

static kvr_status sign(const kvr_seal_crypto *crypto, const kvr_crypto_request *request,
                       kvr_crypto_result *result)
{
    if (!crypto->signs) {
        return KVR_EINVAL;
    }
    int failed = crypto_sign_detached(result->output, NULL, request->input.data,
                                      request->input.size, crypto->secret_key);
    KVR_ASSERT(failed == 0);
    result->output_size = crypto_sign_BYTES;
    return KVR_OK;
}

static kvr_status verify(const kvr_seal_crypto *crypto, const kvr_crypto_request *request)
{
    if (!crypto->signs) {
        return KVR_EINVAL;
    }
    bool good = request->extra.size == crypto_sign_BYTES &&
                crypto_sign_verify_detached(request->extra.data, request->input.data,
                                            request->input.size, crypto->public_key) == 0;
    return good ? KVR_OK : KVR_EAUTHFAILED;
}

void kvr_seal_crypto_perform(const kvr_seal_crypto *crypto, const kvr_crypto_request *request,
                             kvr_crypto_result *out_result)
{
    *out_result = (kvr_crypto_result){.size = sizeof *out_result, .token = request->token};
    switch (request->kind) {
    case KVR_CRYPTO_PASSWORD_HASH:
        out_result->status = hash_password(crypto, request, out_result);
        break;
    case KVR_CRYPTO_PASSWORD_VERIFY:
        out_result->status = verify_password(request);
        break;
    case KVR_CRYPTO_SIGN:
        out_result->status = sign(crypto, request, out_result);
        break;
    case KVR_CRYPTO_VERIFY:
        out_result->status = verify(crypto, request);
        break;
    default:
        out_result->status = KVR_EINVAL;
        break;
    }
}

/* ------------------------------------------------------------------ the queue */

static kvr_status submit(void *ctx, const kvr_crypto_request *request,
                         kvr_crypto_result *out_result)
{
    kvr_seal_crypto *crypto = ctx;
    if (crypto->config.deferred == 0) {
        kvr_seal_crypto_perform(crypto, request, out_result);
        return KVR_DONE;
    }
    if (crypto->request_count + crypto->taken_count + crypto->result_count == WAITING_MAX) {
        return KVR_EBUSY;
    }
    crypto->requests[crypto->request_count++] = *request;
    return KVR_OK;
}

const kvr_crypto *kvr_seal_crypto_table(void)
{
    static const kvr_crypto table = {.size = sizeof table, .submit = submit};
    return &table;
}

kvr_status kvr_seal_crypto_take(kvr_seal_crypto *crypto, kvr_crypto_request *out_request)
{
    if (crypto->request_count == 0) {
        return KVR_END;
    }
    *out_request = crypto->requests[0];
    crypto->request_count--;
    crypto->taken_count++;
    memmove(crypto->requests, crypto->requests + 1, crypto->request_count * sizeof *out_request);
    return KVR_OK;
}

void kvr_seal_crypto_give(kvr_seal_crypto *crypto, const kvr_crypto_result *result)
{
    KVR_ASSERT(crypto->taken_count > 0);
    KVR_ASSERT(crypto->result_count < WAITING_MAX);
    crypto->taken_count--;
    crypto->results[crypto->result_count++] = *result;
}

kvr_status kvr_seal_crypto_reap(kvr_seal_crypto *crypto, kvr_crypto_result *out_result)
{
    if (crypto->result_count == 0) {
        return KVR_END;
    }
    *out_result = crypto->results[0];
    crypto->result_count--;
    memmove(crypto->results, crypto->results + 1, crypto->result_count * sizeof *out_result);
    sodium_memzero(&crypto->results[crypto->result_count], sizeof *out_result);
    return KVR_OK;
}
