/* SPDX-License-Identifier: Apache-2.0 */
/* mvcc_fixture.h: a store from the counting allocator, and short words for what most tests do with
 * it: one line a put, and answers as text, so that a test reads as the table of the contract that
 * it cites. */
#ifndef KVRAFT_TEST_UNIT_MVCC_FIXTURE_H
#define KVRAFT_TEST_UNIT_MVCC_FIXTURE_H

#include <kvraft/mvcc.h>

#include "support/fault_sweep.h"
#include "support/test_alloc.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

extern test_alloc mvcc_alloc;
extern kvr_mvcc *store;

void mvcc_setup(void);
void mvcc_teardown(void); /* also asserts that nothing is held */
#define MVCC_SUITE(name) TestSuite(name, .init = mvcc_setup, .fini = mvcc_teardown)

#define MUST(call) cr_assert_eq((call), KVR_OK, "%s", #call)

kvr_slice text(const char *string); /* its bytes without the zero; "\0" is ALL */
extern const kvr_slice ALL;         /* one zero byte */
extern const kvr_slice ONE;         /* empty: a single key */

/* Operations. They point at their arguments. */
kvr_op op_put(const char *key, const char *value);
kvr_op op_put_flags(const char *key, const char *value, uint32_t flags);
kvr_op op_range(kvr_slice key, kvr_slice range_end);
kvr_op op_delete(kvr_slice key, kvr_slice range_end);
kvr_op op_txn(const kvr_txn *txn);
kvr_compare compare_number(const char *key, uint8_t target, uint8_t result, int64_t number);
kvr_compare compare_value(const char *key, uint8_t result, const char *value);
#define TXN(...) ((kvr_txn){.size = sizeof(kvr_txn), __VA_ARGS__})
#define COUNT_OF(array) ((uint32_t)(sizeof(array) / sizeof *(array)))

/* Applied at once; they must succeed. */
kvr_mvcc_result *apply(const kvr_op *op);         /* result to be freed */
uint64_t put(const char *key, const char *value); /* the head after it */
uint64_t del(const char *key);
uint64_t del_range(kvr_slice key, kvr_slice range_end); /* how many */
void compact_all(uint64_t revision);                    /* and all of its steps */

/* Answers as text, valid until the second next call:
 *   get_text       "value create/mod/version lease", "-" if it is not there
 *   range_text     "a=1 b=2"
 *   kvs_text       the same of an array
 *   changes_text   "2.0 +a=1  3.0 -a (1)": main.sub, put or delete, and the value before in
 *                  brackets */
const char *get_text(const char *key);
const char *range_text(const kvr_mvcc_view *view, kvr_slice key, kvr_slice range_end,
                       uint64_t revision);
const char *range_now(kvr_slice key, kvr_slice range_end);
const char *kvs_text(const kvr_kv *kvs, uint32_t count);
const char *changes_text(uint64_t from); /* or the name of the status */
#define assert_text(actual, expected) cr_assert_str_eq((actual), (expected))

uint64_t count_of(const kvr_mvcc_view *view, kvr_slice key, kvr_slice range_end, uint64_t revision);
kvr_mvcc_view *view_now(void);
kvr_mvcc_status status_now(void);
uint64_t head_now(void);

/* A whole stream into memory from cr-independent malloc; freed by free(). */
uint8_t *save_all(const kvr_mvcc_view *view, size_t piece, size_t *out_size);
kvr_status load_all(kvr_mvcc *into, const uint8_t *bytes, size_t size, size_t piece);
kvr_mvcc *new_store(void); /* another one, to be freed */

#endif
