/* SPDX-License-Identifier: Apache-2.0 */
/* test_node_write.c: writes and their answers on a healthy cluster. */
#include "node_cluster.h"

#include <criterion/criterion.h>

static cluster c;

static void start(void)
{
    cluster_start(&c, 3);
}

static void stop(void)
{
    cluster_stop(&c);
}

TestSuite(node_write, .init = start, .fini = stop);

Test(node_write, a_put_on_any_member_is_seen_by_all)
{
    uint32_t calls[3];
    for (uint32_t i = 0; i < 3; i++) {
        calls[i] = cluster_put(&c, i, i == 0 ? "a" : i == 1 ? "b" : "c", "1");
    }
    cluster_pass(&c, 1 * SECOND);

    for (uint32_t i = 0; i < 3; i++) {
        cluster_expect(&c, calls[i], KVR_OUTCOME_DONE, KVR_OK);
        cr_assert_str_eq(cluster_value(&c, i, "a"), "1");
        cr_assert_str_eq(cluster_value(&c, i, "b"), "1");
        cr_assert_str_eq(cluster_value(&c, i, "c"), "1");
    }
    cluster_expect_same(&c);
}
