/* SPDX-License-Identifier: Apache-2.0 */
/* test_base_buffer.c: FAULTS 39: who holds a count of a buffer, and who frees it. */
#include <criterion/criterion.h>

#include "base/buffer.h"
#include "support/fault_sweep.h"
#include "support/test_alloc.h"

static test_alloc alloc;

static void setup(void)
{
    test_alloc_init(&alloc);
}

static void teardown(void)
{
    TEST_ALLOC_ASSERT_EMPTY(&alloc);
}

TestSuite(base_buffer, .init = setup, .fini = teardown);

static kvr_slice slice_of(const char *text)
{
    return (kvr_slice){(const uint8_t *)text, strlen(text)};
}

Test(base_buffer, holds_a_copy)
{
    char text[] = "abc";
    kvr_slice slice = slice_of(text);
    kvr_buf *buf = NULL;
    cr_assert_eq(kvr_buf_new(&test_alloc_table, &alloc, &slice, &buf), KVR_OK);
    text[0] = 'x';

    kvr_slice bytes;
    kvr_buf_bytes(buf, &bytes);
    cr_assert_eq(bytes.size, 3);
    cr_assert_arr_eq(bytes.data, "abc", 3);

    kvr_buf_release(buf);
}

Test(base_buffer, lives_until_its_last_count_is_released)
{
    kvr_slice slice = slice_of("abc");
    kvr_buf *buf = NULL;
    cr_assert_eq(kvr_buf_new(&test_alloc_table, &alloc, &slice, &buf), KVR_OK);

    cr_assert_eq(kvr_buf_retain(buf), buf);
    cr_assert_eq(kvr_buf_retain(buf), buf);
    kvr_buf_release(buf);
    kvr_buf_release(buf);

    cr_assert_eq(alloc.live_count, 1);
    kvr_buf_bytes(buf, &slice);
    cr_assert_arr_eq(slice.data, "abc", 3);
    kvr_buf_release(buf);
    cr_assert_eq(alloc.live_count, 0);
    kvr_buf_release(NULL);
}

Test(base_buffer, may_be_empty)
{
    kvr_slice slice = {NULL, 0};
    kvr_buf *buf = NULL;
    cr_assert_eq(kvr_buf_new(&test_alloc_table, &alloc, &slice, &buf), KVR_OK);

    kvr_buf_bytes(buf, &slice);
    cr_assert_eq(slice.size, 0);

    kvr_buf_release(buf);
}

Test(base_buffer, with_room_is_charged_to_its_mem)
{
    kvr__mem mem;
    cr_assert_eq(kvr__mem_init(&mem, &test_alloc_table, &alloc), KVR_OK);

    kvr_buf *buf = kvr__buf_new_room(&mem, KVR__MEM_LOG, 1000);

    cr_assert_not_null(buf);
    cr_assert_eq(buf->size, 0);
    cr_assert_eq(buf->capacity, 1000);
    cr_assert_eq(mem.bytes_by_kind[KVR__MEM_LOG], sizeof *buf + 1000);
    memset(buf->data, 1, 1000);
    buf->size = 1000;
    kvr_buf_release(kvr_buf_retain(buf));
    kvr_buf_release(buf);
    cr_assert_eq(mem.blocks, 0);
}

Test(base_buffer, without_a_table_comes_from_malloc)
{
    kvr_slice slice = slice_of("abc");
    kvr_buf *buf = NULL;
    cr_assert_eq(kvr_buf_new(NULL, NULL, &slice, &buf), KVR_OK);

    kvr_buf_release(buf);
    cr_assert_eq(alloc.call_count, 0);
}

/* FAULTS 89: the size of the block is a sum. */
Test(base_buffer, arguments_out_of_range_are_refused)
{
    kvr_slice slice = slice_of("abc");
    kvr_buf *const untouched = (kvr_buf *)(void *)&alloc;
    kvr_buf *buf = untouched;
    kvr_allocator table = test_alloc_table;
    table.alloc = NULL;

    cr_assert_eq(kvr_buf_new(&table, &alloc, &slice, &buf), KVR_EINVAL);
    cr_assert_eq(kvr_buf_new(&test_alloc_table, &alloc, NULL, &buf), KVR_EINVAL);
    cr_assert_eq(kvr_buf_new(&test_alloc_table, &alloc, &slice, NULL), KVR_EINVAL);
    slice.data = NULL;
    cr_assert_eq(kvr_buf_new(&test_alloc_table, &alloc, &slice, &buf), KVR_EINVAL);
    slice = (kvr_slice){(const uint8_t *)"", KVR__BUF_SIZE_MAX + 1};
    cr_assert_eq(kvr_buf_new(&test_alloc_table, &alloc, &slice, &buf), KVR_ETOOBIG);
    slice.size = SIZE_MAX;
    cr_assert_eq(kvr_buf_new(&test_alloc_table, &alloc, &slice, &buf), KVR_ETOOBIG);
    cr_assert_eq(buf, untouched);

    kvr__mem mem;
    cr_assert_eq(kvr__mem_init(&mem, &test_alloc_table, &alloc), KVR_OK);
    cr_assert_null(kvr__buf_new_room(&mem, KVR__MEM_LOG, KVR__BUF_SIZE_MAX + 1));
    cr_assert_null(kvr__buf_new_room(&mem, KVR__MEM_LOG, SIZE_MAX));
    cr_assert_eq(alloc.call_count, 0);
}

Test(base_buffer, without_memory_nothing_is_made)
{
    kvr_slice slice = slice_of("abc");
    kvr_buf *buf = NULL;
    kvr_status status = KVR_OK;

    FAULT_SWEEP(buf = NULL, status = kvr_buf_new(&test_alloc_table, &alloc, &slice, &buf), {
        cr_assert_eq(status, fault_fired() > 0 ? KVR_ENOMEM : KVR_OK, "%s", fault_text());
        cr_assert_eq(buf == NULL, fault_fired() > 0);
        kvr_buf_release(buf);
        TEST_ALLOC_ASSERT_EMPTY(&alloc);
    });
}
