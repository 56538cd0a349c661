/* SPDX-License-Identifier: Apache-2.0 */
/* assertion.h: what only our own bug can break. On in release builds: a member that knows it is
 * wrong stops before it tells others. Never on what a peer, a disk, a user or an allocator can
 * cause: that is a kvr_status. One condition each; implications as `if (a) { KVR_ASSERT(b); }`. */
#ifndef KVRAFT_LIB_BASE_ASSERTION_H
#define KVRAFT_LIB_BASE_ASSERTION_H

#include <kvraft/base.h>

#define KVR_ASSERT(condition)                          \
    do {                                               \
        if (__builtin_expect(!(condition), 0)) {       \
            kvr_panic(__FILE__, __LINE__, #condition); \
        }                                              \
    } while (0)

#define KVR_UNREACHABLE() kvr_panic(__FILE__, __LINE__, "unreachable")

/* The whole-room checks (`kvr__<room>_check`) walk data structures, so they run only in test and
 * simulator builds, which define KVR_CHECK. The call is always compiled, so that it cannot rot. */
#ifdef KVR_CHECK
#define KVR_CHECKED(call) (call)
#else
#define KVR_CHECKED(call) \
    do {                  \
        if (0) {          \
            (void)(call); \
        }                 \
    } while (0)
#endif

#endif
