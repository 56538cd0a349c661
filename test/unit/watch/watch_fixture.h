/* SPDX-License-Identifier: Apache-2.0 */
/* watch_fixture.h: a store with a hub from the counting allocator, and what watchers heard as text,
 * so that a test reads as the story that it tells. */
#ifndef KVRAFT_TEST_UNIT_WATCH_FIXTURE_H
#define KVRAFT_TEST_UNIT_WATCH_FIXTURE_H

#include <kvraft/watch.h>

#include "support/fault_sweep.h"
#include "support/test_alloc.h"

#include <criterion/criterion.h>

extern test_alloc watch_alloc;
extern kvr_mvcc *store;
extern kvr_watch_hub *hub;

void watch_setup(void); /* a store at revision 1 and a hub with batches of 1,024 */
void watch_setup_batches(uint32_t batch_events_max);
void watch_teardown(void); /* also asserts that nothing is held */
#define WATCH_SUITE(name) TestSuite(name, .init = watch_setup, .fini = watch_teardown)

#define MUST(call) cr_assert_eq((call), KVR_OK, "%s", #call)
#define assert_text(actual, expected) cr_assert_str_eq((actual), (expected))

kvr_slice text(const char *string); /* its bytes without the zero */
extern const kvr_slice ALL;         /* one zero byte: no end, or as a key the lowest of all */

uint64_t put(const char *key, const char *value); /* the head after it */
uint64_t del(const char *key);
/* all keys from `key` on, in one revision */
uint64_t del_from(const char *key);
uint64_t put_all(const char *const *keys, uint32_t count); /* in one revision */
void compact(uint64_t revision);                           /* all of its steps too */
uint64_t head(void);

/* A watcher of one key (range_end NULL), of [key, range_end), or of all from `key` on ("*"). */
kvr_watch_request watching(const char *key, const char *range_end);
uint64_t watch(const char *key, const char *range_end, uint64_t start_revision, uint32_t flags);
kvr_status opened(const kvr_watch_request *request); /* the status of opening it */
uint64_t delivered(uint64_t id);

/* The next batch: "1,2: 5+a=x 5-b | 5": targets; events with revision, + or -, key, value and,
 * after "was", the value before; "..." if more parts follow; then the revision up to which all is
 * delivered. "1: compacted 7" for one that was overtaken; "end", "again" or "no memory". Valid
 * until the next call. */
const char *next(void);
const char *next_of(uint32_t budget);
void drain(void); /* until the end, whatever comes */

#endif
