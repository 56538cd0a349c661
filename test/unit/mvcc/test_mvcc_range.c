/* SPDX-License-Identifier: Apache-2.0 */
/* test_mvcc_range.c: intervals and ranges, a rule of the etcd contract (3.3 "Key intervals", 3.4
 * "Range") a test. Sorting and filters by revision belong to those who read the cursor. */
#include "mvcc_fixture.h"

static void setup(void)
{
    mvcc_setup();
    put("a", "1");
    put("b", "2");
    put("b\x01", "3");
    put("ba", "4");
    put("c", "5");
    put("\xff\xff", "6");
}

TestSuite(mvcc_range, .init = setup, .fini = mvcc_teardown);

/* 3.3: "absent or zero length: the single key" */
Test(mvcc_range, without_an_end_it_is_the_single_key)
{
    assert_text(range_now(text("b"), ONE), "b=2");
    assert_text(range_now(text("bb"), ONE), "");
}

/* 3.3: "one zero byte: all keys >= key"; "All keys is key=\0, range_end=\0" */
Test(mvcc_range, a_zero_byte_as_end_is_every_key_from_there_on)
{
    assert_text(range_now(text("ba"), ALL), "ba=4 c=5 \xff\xff=6");
    assert_text(range_now(ALL, ALL), "a=1 b=2 b\x01=3 ba=4 c=5 \xff\xff=6");
}

/* 3.3: "half-open interval [key, range_end), bytewise unsigned comparison" */
Test(mvcc_range, an_interval_is_half_open_and_compares_unsigned_bytes)
{
    assert_text(range_now(text("a"), text("c")), "a=1 b=2 b\x01=3 ba=4");
    assert_text(range_now(text("b"), text("b\x01")), "b=2");
    assert_text(range_now(text("c"), text("\xff")), "c=5");
    assert_text(range_now(text("\xff"), text("\xff\xff\xff")), "\xff\xff=6");
}

/* 3.3: "range_end <= key: Range and DeleteRange treat it as an empty interval without error" */
Test(mvcc_range, an_interval_that_is_not_upright_is_empty)
{
    kvr_mvcc_view *view = view_now();

    assert_text(range_text(view, text("c"), text("a"), 0), "");
    assert_text(range_text(view, text("b"), text("b"), 0), "");
    cr_assert_eq(count_of(view, text("c"), text("a"), 0), 0);
    cr_assert_eq(count_of(view, text("c"), text("a"), 2), 0);
    cr_assert_eq(del_range(text("c"), text("a")), 0);

    kvr_mvcc_view_free(view);
}

/* 3.3: "incrementing the last byte of the prefix that is below 0xff and cutting after it; a prefix
 * made only of 0xff bytes (or empty) becomes \0" */
Test(mvcc_range, the_end_of_a_prefix_is_its_raised_and_cut)
{
    static const char *const cases[][2] = {
        {"b", "c"}, {"b\xff", "c"}, {"a\xff\xff", "b"}, {"ab", "ac"}, {"a\xfe", "a\xff"}};
    uint8_t room[8];
    kvr_slice end;

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        kvr_slice prefix = text(cases[i][0]);
        kvr_prefix_end(&prefix, room, &end);
        cr_assert_eq(end.size, strlen(cases[i][1]));
        cr_assert_eq(memcmp(end.data, cases[i][1], end.size), 0);
    }
    kvr_slice high = text("\xff\xff"), none = ONE;
    kvr_prefix_end(&high, room, &end);
    assert_text(range_now(text("\xff\xff"), end), "\xff\xff=6");
    kvr_prefix_end(&none, room, &end);
    cr_assert(end.size == 1 && end.data[0] == 0);
}

/* 3.3: "Keys are arbitrary non-empty byte strings. Values may be empty." */
Test(mvcc_range, keys_are_any_bytes_but_not_none)
{
    kvr_slice zeros = {(const uint8_t *)"\0\0\0", 3};
    kvr_op op = op_put("x", "");
    op.key = zeros;
    kvr_mvcc_result_free(apply(&op));
    kvr_kv kv;
    cr_assert(kvr_mvcc_get(store, &zeros, &kv));
    cr_assert_eq(kv.value.size, 0);

    kvr_mvcc_view *view = view_now();
    kvr_mvcc_cursor cursor;
    uint64_t count;
    kvr_range range = {.size = sizeof range, .range_end = ALL};
    cr_assert_eq(kvr_mvcc_cursor_init(&cursor, view, &range), KVR_EINVAL);
    cr_assert_eq(kvr_mvcc_count(view, &range, &count), KVR_EINVAL);
    op = op_range(ONE, ALL);
    cr_assert_eq(kvr_mvcc_apply(store, &op, NULL), KVR_EINVAL);
    kvr_mvcc_view_free(view);
}

/* 3.4 revision: "<= 0 means current. > current: future. < compacted: compacted. Equal to the
 * compacted revision is still readable." */
Test(mvcc_range, a_revision_must_lie_between_compacted_and_head)
{
    put("b", "20");
    compact_all(4);
    kvr_mvcc_view *view = view_now();

    assert_text(range_text(view, ALL, ALL, 3), "KVR_ECOMPACTED");
    assert_text(range_text(view, ALL, ALL, 4), "a=1 b=2 b\x01=3");
    assert_text(range_text(view, ALL, text("c"), 7), "a=1 b=2 b\x01=3 ba=4");
    assert_text(range_text(view, ALL, text("c"), 0), "a=1 b=20 b\x01=3 ba=4");
    assert_text(range_text(view, ALL, ALL, 9), "KVR_EFUTURE");

    kvr_op op = op_range(ALL, ALL);
    op.revision = 3;
    cr_assert_eq(kvr_mvcc_apply(store, &op, NULL), KVR_ECOMPACTED);
    op.revision = 9;
    cr_assert_eq(kvr_mvcc_apply(store, &op, NULL), KVR_EFUTURE);
    kvr_mvcc_view_free(view);
}

/* 3.4 limit and count, FAULTS 101: "at most limit entries; more=true iff entries were cut"; "count:
 * number of keys in the interval, before filters and limit"; "count_only: kvs empty, more=false" */
Test(mvcc_range, count_is_before_the_limit_and_more_says_that_it_cut)
{
    static const struct {
        uint32_t flags;
        uint64_t limit;
        const char *pairs;
        uint32_t more;
    } cases[] = {
        {0, 0, "a=1 b=2 b\x01=3 ba=4 c=5", 0},
        {0, 2, "a=1 b=2", 1},
        {0, 5, "a=1 b=2 b\x01=3 ba=4 c=5", 0},
        {0, 6, "a=1 b=2 b\x01=3 ba=4 c=5", 0},
        {KVR_OP_KEYS_ONLY, 0, "a= b= b\x01= ba= c=", 0},
        {KVR_OP_KEYS_ONLY, 1, "a=", 1},
        {KVR_OP_COUNT_ONLY, 0, "", 0},
        {KVR_OP_COUNT_ONLY, 2, "", 0},
        {KVR_OP_COUNT_ONLY | KVR_OP_KEYS_ONLY, 2, "", 0},
    };

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        kvr_op op = op_range(text("a"), text("d"));
        op.flags = cases[i].flags;
        op.limit = cases[i].limit;
        kvr_mvcc_result *result = apply(&op);
        const kvr_op_result *root = kvr_mvcc_result_root(result);
        cr_assert_eq(root->count, 5);
        cr_assert_eq(root->more, cases[i].more);
        assert_text(kvs_text(root->kvs, root->kv_count), cases[i].pairs);
        kvr_mvcc_result_free(result);
    }
}

/* 3.4: "keys_only: values are dropped ... the returned entries keep their lease", "a key's lease
 * field: lease id stored with the put" */
Test(mvcc_range, keys_only_keeps_the_lease)
{
    kvr_op write = op_put("b", "v");
    write.lease = 42;
    kvr_mvcc_result_free(apply(&write));
    kvr_op op = op_range(text("b"), ONE);
    op.flags = KVR_OP_KEYS_ONLY;

    kvr_mvcc_result *result = apply(&op);

    cr_assert_eq(kvr_mvcc_result_root(result)->kvs[0].lease, 42);
    cr_assert_eq(kvr_mvcc_result_root(result)->kvs[0].value.size, 0);
    kvr_mvcc_result_free(result);
}

/* An answer of more than 1,024 pairs is a view, not an allocation of its size. */
Test(mvcc_range, a_large_answer_is_a_view)
{
    char key[16];
    for (int i = 0; i < 1030; i++) {
        (void)snprintf(key, sizeof key, "n%04d", i);
        put(key, "");
    }
    kvr_op op = op_range(text("n"), text("o"));
    kvr_mvcc_result *result = apply(&op);
    const kvr_op_result *root = kvr_mvcc_result_root(result);

    cr_assert_eq(root->count, 1030);
    cr_assert_null(root->kvs);
    cr_assert_not_null(root->view);
    del_range(ALL, ALL);
    cr_assert_eq(count_of(root->view, text("n"), text("o"), 0), 1030);
    cr_assert_eq(kvr_mvcc_view_revision(root->view), kvr_mvcc_result_revision(result));
    kvr_mvcc_result_free(result);

    op.limit = 1024;
    op.revision = head_now() - 1;
    result = apply(&op);
    root = kvr_mvcc_result_root(result);
    cr_assert_eq(root->kv_count, 1024);
    cr_assert_eq(root->more, 1);
    cr_assert_null(root->view);
    kvr_mvcc_result_free(result);
}

/* A count at an old revision is right whichever way it is found: by few changes since, or by few
 * keys. */
Test(mvcc_range, an_old_count_is_right_by_changes_and_by_keys)
{
    char key[16];
    for (int i = 0; i < 300; i++) {
        (void)snprintf(key, sizeof key, "n%04d", i);
        put(key, "");
    }
    uint64_t full = head_now();
    for (int i = 0; i < 300; i += 2) {
        (void)snprintf(key, sizeof key, "n%04d", i);
        del(key);
    }
    for (int i = 0; i < 2000; i++) {
        put("z", "again");
    }
    kvr_mvcc_view *view = view_now();

    cr_assert_eq(count_of(view, text("n"), text("o"), 0), 150);
    cr_assert_eq(count_of(view, text("n"), text("o"), full), 300);
    cr_assert_eq(count_of(view, text("n0010"), text("n0020"), full + 8), 7);
    cr_assert_eq(count_of(view, ALL, ALL, head_now() - 1), 157);
    cr_assert_eq(count_of(view, ALL, ALL, 1), 0);

    kvr_mvcc_view_free(view);
}
