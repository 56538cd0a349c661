/* SPDX-License-Identifier: Apache-2.0 */
/* test_mvcc_hash.c: the two hashes are what members compare, so they are part of the format: the
 * same operations give these very numbers on every machine, with every compiler and option, in
 * slices or not. */
#include "mvcc_fixture.h"

#include "base/random.h"

MVCC_SUITE(mvcc_hash);

static kvr__random generator;

static uint32_t below(uint32_t limit)
{
    return (uint32_t)kvr__random_below(&generator, limit);
}

/* One of many operations, made from the generator alone. */
static kvr_status apply_next(bool sliced)
{
    static char keys[4][16];
    static uint8_t value[5000];
    kvr_op ops[3];
    for (uint32_t i = 0; i < 3; i++) {
        (void)snprintf(keys[i], sizeof keys[i], "key/%u/%u", i, below(200));
        ops[i] = op_put(keys[i], "");
        ops[i].value = (kvr_slice){value, below(20) == 0 ? below(sizeof value) : below(100)};
        ops[i].lease = (int64_t)below(5) - 2;
    }
    memset(value, (int)below(256), sizeof value);
    (void)snprintf(keys[3], sizeof keys[3], "key/2/%u", below(20));
    if (below(4) == 0) {
        ops[2] = op_delete(text("key/2/1"), text(keys[3]));
    }
    kvr_txn txn = TXN(.then_count = 1 + below(3), .then_ops = ops);
    kvr_op op = op_txn(&txn);
    if (!sliced) {
        return kvr_mvcc_apply(store, &op, NULL);
    }
    MUST(kvr_mvcc_apply_begin(store, &op, 0));
    while (kvr_mvcc_apply_step(store, 1) == KVR_AGAIN) {
    }
    return kvr_mvcc_apply_finish(store, NULL);
}

static void run(bool sliced)
{
    kvr__random_init(&generator, 42);
    for (uint32_t i = 0; i < 3000; i++) {
        MUST(apply_next(sliced));
        if (i % 500 == 499) {
            MUST(kvr_mvcc_compact(store, head_now() - 100));
        }
        if (sliced) {
            kvr_status status = kvr_mvcc_compact_step(store, 3);
            cr_assert(status == KVR_OK || status == KVR_AGAIN);
        }
    }
}

/* If these change, members of two versions would accuse each other. */
static const uint64_t live_of_all_versions = UINT64_C(0xa132b4ce3f9614de);
static const uint64_t chain_of_all_versions = UINT64_C(0x25a41f16b201679b);

Test(mvcc_hash, the_hashes_of_a_known_run_are_these)
{
    run(false);
    cr_assert_eq(status_now().hash_live, live_of_all_versions, "%#llx",
                 (unsigned long long)status_now().hash_live);
    cr_assert_eq(status_now().hash_chain, chain_of_all_versions, "%#llx",
                 (unsigned long long)status_now().hash_chain);
}

Test(mvcc_hash, slices_and_sweeps_leave_no_mark)
{
    run(true);
    cr_assert_eq(status_now().hash_live, live_of_all_versions);
    cr_assert_eq(status_now().hash_chain, chain_of_all_versions);
}

/* hash_live is of what lives, however it came to it: so two ways to one content agree, their chains
 * do not. */
Test(mvcc_hash, the_live_hash_is_of_the_content_and_the_chain_of_the_way)
{
    kvr_op op = op_put("a", "1");
    kvr_mvcc *first = store, *second = new_store();
    MUST(kvr_mvcc_apply(first, &op, NULL));
    MUST(kvr_mvcc_apply(second, &op, NULL));
    MUST(kvr_mvcc_compact(second, 2));
    kvr_mvcc_status status = {.size = sizeof status};
    kvr_mvcc_get_status(second, &status);

    cr_assert_eq(status.hash_live, status_now().hash_live);
    cr_assert_neq(status.hash_chain, status_now().hash_chain);
    kvr_mvcc_free(second);
}
