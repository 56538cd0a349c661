/* SPDX-License-Identifier: Apache-2.0 */
/* posix_check.c: the numbered invariants of README.md. */
#include "posix_internal.h"

#include "base/assertion.h"

void kvr__posix_check(const kvr_posix_disk *disk)
{
    /* 1 */
    KVR_ASSERT(disk->reaped <= disk->performed);
    KVR_ASSERT(disk->performed <= disk->submitted);
    KVR_ASSERT(disk->submitted - disk->reaped <= disk->config.queue_max);
    /* 2 */
    KVR_ASSERT(disk->lent_given <= disk->lent);
    KVR_ASSERT(disk->lent - disk->lent_given <= disk->performed - disk->reaped);
    /* 3 */
    if (disk->performed > disk->reaped && disk->wake[1] >= 0) {
        KVR_ASSERT(disk->is_awake);
    }
}
