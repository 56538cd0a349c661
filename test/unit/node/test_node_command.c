/* SPDX-License-Identifier: Apache-2.0 */
/* test_node_command.c: commands as bytes: what is written is read back, and no bytes whatsoever do
 * harm. */
#include "../../../lib/node/node_command.h"

#include "base/random.h"
#include "support/fault_sweep.h"
#include "support/test_alloc.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static test_alloc alloc;
static kvr__mem mem;

static void start(void)
{
    test_alloc_init(&alloc);
    cr_assert_eq(kvr__mem_init(&mem, &test_alloc_table, &alloc), KVR_OK);
}

static void stop(void)
{
    TEST_ALLOC_ASSERT_EMPTY(&alloc);
}

TestSuite(node_command, .init = start, .fini = stop);

static kvr_slice text(const char *s)
{
    return (kvr_slice){(const uint8_t *)s, strlen(s)};
}

static bool same(kvr_slice a, kvr_slice b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

Test(node_command, a_head_is_as_the_page_says)
{
    uint8_t bytes[KVR__COMMAND_HEAD + 3];
    kvr__origin_id origin = {0x1111, 0x2222, 0x3333};
    kvr__command_write_head(bytes, KVR__COMMAND_COMPACT, 3);
    kvr__command_stamp(bytes, &origin);
    memcpy(bytes + KVR__COMMAND_HEAD, "xyz", 3);

    static const uint8_t expected[KVR__COMMAND_HEAD + 3] = {
        64, 0,    1,    2, 0, 0, 0, 0, 0x11, 0x11, 0, 0, 0, 0, 0, 0, 0x22, 0x22, 0,   0,   0,  0, 0,
        0,  0x33, 0x33, 0, 0, 0, 0, 0, 0,    0,    0, 0, 0, 0, 0, 0, 0,    0,    0,   0,   0,  0, 0,
        0,  0,    0,    0, 0, 0, 0, 0, 0,    0,    0, 0, 0, 0, 3, 0, 0,    0,    'x', 'y', 'z'};
    cr_assert_eq(memcmp(bytes, expected, sizeof bytes), 0);
    kvr__command command;
    cr_assert_eq(kvr__command_read((kvr_slice){bytes, sizeof bytes}, &command), KVR_OK);
    cr_assert_eq(command.kind, KVR__COMMAND_COMPACT);
    cr_assert_eq(command.origin.sequence, 0x3333);
    cr_assert(same(command.payload, text("xyz")));
    cr_assert_eq(command.user.size, 0);
}

/* A newer version may make the head longer; what it flags or numbers above ours is not guessed
 * at. */
Test(node_command, a_longer_head_is_skipped_and_a_newer_version_is_refused)
{
    uint8_t bytes[KVR__COMMAND_HEAD + 8 + 2] = {0};
    kvr__command command;
    kvr__command_write_head(bytes, KVR__COMMAND_COMPACT, 2);
    kvr__store_u16(bytes, KVR__COMMAND_HEAD + 8);
    memcpy(bytes + KVR__COMMAND_HEAD + 8, "ab", 2);
    kvr_slice whole = {bytes, sizeof bytes};
    cr_assert_eq(kvr__command_read(whole, &command), KVR_OK);
    cr_assert(same(command.payload, text("ab")));
    bytes[4] = 1;
    cr_assert_eq(kvr__command_read(whole, &command), KVR_EVERSION);
    bytes[4] = 0;
    bytes[2] = 2;
    cr_assert_eq(kvr__command_read(whole, &command), KVR_EVERSION);
    bytes[2] = 0;
    cr_assert_eq(kvr__command_read(whole, &command), KVR_ECORRUPT);
}

/* ------------------------------------------------------------------ operations */

static uint8_t *encode(const kvr_op *op, size_t *out_size)
{
    *out_size = kvr__op_size(op);
    uint8_t *bytes = malloc(*out_size);
    cr_assert_not_null(bytes);
    kvr__writer writer = kvr__writer_of(bytes, *out_size);
    kvr__op_write(&writer, op);
    cr_assert(!writer.failed && writer.at == writer.end);
    return bytes;
}

static void expect_same_op(const kvr_op *a, const kvr_op *b)
{
    cr_assert_eq(a->kind, b->kind);
    cr_assert_eq(a->flags, b->flags);
    cr_assert_eq(a->lease, b->lease);
    cr_assert_eq(a->revision, b->revision);
    cr_assert_eq(a->limit, b->limit);
    cr_assert(same(a->key, b->key));
    cr_assert(same(a->range_end, b->range_end));
    cr_assert(same(a->value, b->value));
    cr_assert_eq(a->txn == NULL, b->txn == NULL);
    if (a->txn == NULL) {
        return;
    }
    cr_assert_eq(a->txn->compare_count, b->txn->compare_count);
    cr_assert_eq(a->txn->then_count, b->txn->then_count);
    cr_assert_eq(a->txn->else_count, b->txn->else_count);
    for (uint32_t i = 0; i < a->txn->compare_count; i++) {
        const kvr_compare *x = &a->txn->compares[i];
        const kvr_compare *y = &b->txn->compares[i];
        cr_assert(x->target == y->target && x->result == y->result && x->number == y->number);
        cr_assert(same(x->key, y->key) && same(x->range_end, y->range_end) &&
                  same(x->value, y->value));
    }
    for (uint32_t i = 0; i < a->txn->then_count; i++) {
        expect_same_op(&a->txn->then_ops[i], &b->txn->then_ops[i]);
    }
    for (uint32_t i = 0; i < a->txn->else_count; i++) {
        expect_same_op(&a->txn->else_ops[i], &b->txn->else_ops[i]);
    }
}

/* One operation of every shape, nested as deep as it may. */
static struct {
    kvr_compare compares[2];
    kvr_op inner[3], middle[2], outer[3];
    kvr_txn txns[3];
    kvr_op root;
} sample;

static const kvr_op *make_sample(void)
{
    sample.compares[0] = (kvr_compare){.size = sizeof(kvr_compare),
                                       .target = KVR_COMPARE_VALUE,
                                       .result = KVR_COMPARE_LESS,
                                       .key = text("key"),
                                       .value = text("value")};
    sample.compares[1] = (kvr_compare){.size = sizeof(kvr_compare),
                                       .target = KVR_COMPARE_MOD,
                                       .key = text("k"),
                                       .range_end = text("l"),
                                       .number = -5};
    sample.inner[0] = (kvr_op){.size = sizeof(kvr_op),
                               .kind = KVR_OP_PUT,
                               .flags = KVR_OP_PREV_KV,
                               .key = text("a"),
                               .value = text("some value"),
                               .lease = -77};
    sample.inner[1] = (kvr_op){.size = sizeof(kvr_op),
                               .kind = KVR_OP_RANGE,
                               .flags = KVR_OP_KEYS_ONLY,
                               .key = text("b"),
                               .range_end = text("c"),
                               .revision = 9,
                               .limit = 3};
    sample.inner[2] = (kvr_op){
        .size = sizeof(kvr_op), .kind = KVR_OP_DELETE, .key = text("d"), .range_end = text("e")};
    sample.txns[0] = (kvr_txn){.size = sizeof(kvr_txn),
                               .compare_count = 2,
                               .then_count = 3,
                               .else_count = 1,
                               .compares = sample.compares,
                               .then_ops = sample.inner,
                               .else_ops = sample.inner};
    sample.middle[0] = (kvr_op){.size = sizeof(kvr_op), .kind = KVR_OP_TXN, .txn = &sample.txns[0]};
    sample.middle[1] = sample.inner[2];
    sample.txns[1] = (kvr_txn){.size = sizeof(kvr_txn),
                               .then_count = 1,
                               .else_count = 2,
                               .then_ops = sample.inner,
                               .else_ops = sample.middle};
    sample.outer[0] = (kvr_op){.size = sizeof(kvr_op), .kind = KVR_OP_TXN, .txn = &sample.txns[1]};
    sample.outer[1] = sample.inner[0];
    sample.txns[2] = (kvr_txn){.size = sizeof(kvr_txn),
                               .compare_count = 1,
                               .then_count = 2,
                               .compares = sample.compares,
                               .then_ops = sample.outer};
    sample.root = (kvr_op){.size = sizeof(kvr_op), .kind = KVR_OP_TXN, .txn = &sample.txns[2]};
    return &sample.root;
}

Test(node_command, what_is_written_is_read_back)
{
    const kvr_op *op = make_sample();
    const kvr_op *ops[5] = {op, &sample.inner[0], &sample.inner[1], &sample.inner[2],
                            &sample.middle[0]};
    for (uint32_t i = 0; i < 5; i++) {
        size_t size;
        uint8_t *bytes = encode(ops[i], &size);
        kvr__op_tree tree;
        cr_assert_eq(kvr__op_read(&mem, (kvr_slice){bytes, size}, NULL, SIZE_MAX, &tree), KVR_OK);
        expect_same_op(&tree.root, ops[i]);
        kvr__op_release(&mem, &tree);
        free(bytes);
    }
}

Test(node_command, only_large_values_carry_their_buffer_and_no_flag_of_the_node_is_believed)
{
    kvr_buf *owner = (kvr_buf *)&alloc; /* only its address is used */
    (void)make_sample();
    sample.inner[0].flags |= KVR_OP_NO_LEASE;
    size_t size;
    uint8_t *bytes = encode(&sample.inner[0], &size);
    kvr__op_tree tree;
    cr_assert_eq(kvr__op_read(&mem, (kvr_slice){bytes, size}, owner, 10, &tree), KVR_OK);
    cr_assert_eq(tree.root.owner, owner);
    cr_assert_eq(tree.root.flags, KVR_OP_PREV_KV);
    cr_assert_eq(kvr__op_read(&mem, (kvr_slice){bytes, size}, owner, 11, &tree), KVR_OK);
    cr_assert_null(tree.root.owner);
    free(bytes);
}

/* FAULTS 107: depth is bounded before anything is followed down. */
Test(node_command, nesting_beyond_the_limit_is_refused)
{
    kvr_op ops[8];
    kvr_txn txns[8];
    kvr_op leaf = {.size = sizeof leaf, .kind = KVR_OP_DELETE, .key = text("a")};
    for (uint32_t depth = 1; depth < 8; depth++) {
        for (uint32_t i = 0; i < depth; i++) {
            txns[i] = (kvr_txn){.size = sizeof(kvr_txn),
                                .then_count = 1,
                                .then_ops = i + 1 < depth ? &ops[i + 1] : &leaf};
            ops[i] = (kvr_op){.size = sizeof(kvr_op), .kind = KVR_OP_TXN, .txn = &txns[i]};
        }
        size_t size;
        uint8_t *bytes = encode(&ops[0], &size);
        kvr__op_tree tree;
        kvr_status status = kvr__op_read(&mem, (kvr_slice){bytes, size}, NULL, 1, &tree);
        cr_assert_eq(status, depth <= KVR_TXN_DEPTH_MAX ? KVR_OK : KVR_ETOOBIG);
        if (status == KVR_OK) {
            kvr__op_release(&mem, &tree);
        }
        free(bytes);
    }
}

/* Fields that a newer version adds at the end of an item are skipped. */
Test(node_command, what_a_newer_version_adds_is_skipped)
{
    (void)make_sample();
    size_t size;
    uint8_t *bytes = encode(&sample.inner[0], &size);
    uint8_t *longer = calloc(1, size + 8);
    cr_assert_not_null(longer);
    memcpy(longer, bytes, size);
    memset(longer + size, 0xEE, 8);
    kvr__store_u32(longer, (uint32_t)size + 8);
    kvr__op_tree tree;
    cr_assert_eq(kvr__op_read(&mem, (kvr_slice){longer, size + 8}, NULL, SIZE_MAX, &tree), KVR_OK);
    expect_same_op(&tree.root, &sample.inner[0]);
    free(longer);
    free(bytes);
}

static void try_bytes(const uint8_t *bytes, size_t size)
{
    uint8_t *exact = malloc(size == 0 ? 1 : size); /* so that a sanitizer sees each byte beyond */
    cr_assert_not_null(exact);
    memcpy(exact, bytes, size);
    kvr__op_tree tree;
    if (kvr__op_read(&mem, (kvr_slice){exact, size}, NULL, 1, &tree) == KVR_OK) {
        (void)!kvr_mvcc_op_check(&tree.root);
        kvr__op_release(&mem, &tree);
    }
    kvr__command command;
    (void)!kvr__command_read((kvr_slice){exact, size}, &command);
    free(exact);
}

Test(node_command, no_truncation_and_no_flipped_bit_does_harm)
{
    size_t size;
    uint8_t *bytes = encode(make_sample(), &size);
    for (size_t cut = 0; cut < size; cut++) {
        try_bytes(bytes, cut);
    }
    for (size_t bit = 0; bit < size * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        try_bytes(bytes, size);
        bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
    free(bytes);
}

Test(node_command, no_random_bytes_do_harm)
{
    uint64_t seed = 7;
    kvr__random random;
    kvr__random_init(&random, seed);
    size_t size;
    uint8_t *bytes = encode(make_sample(), &size);
    for (uint32_t round = 0; round < 50000; round++) {
        uint8_t copy[1024];
        cr_assert_leq(size, sizeof copy);
        memcpy(copy, bytes, size);
        uint64_t changes = kvr__random_below(&random, 6);
        for (uint64_t i = 0; i <= changes; i++) {
            copy[kvr__random_below(&random, size)] = (uint8_t)kvr__random_next(&random);
        }
        try_bytes(copy, size);
    }
    free(bytes);
}

Test(node_command, reading_survives_a_lack_of_memory)
{
    size_t size;
    uint8_t *bytes = encode(make_sample(), &size);
    kvr__op_tree tree;
    kvr_status status = KVR_OK;
    FAULT_SWEEP((void)0, status = kvr__op_read(&mem, ((kvr_slice){bytes, size}), NULL, 1, &tree), {
        cr_assert_eq(status, fault_fired() > 0 ? KVR_ENOMEM : KVR_OK);
        if (status == KVR_OK) {
            kvr__op_release(&mem, &tree);
        }
    });
    free(bytes);
}
