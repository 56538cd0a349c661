/* SPDX-License-Identifier: Apache-2.0 */
/* watch_check.c: the numbered invariants of README.md, over the whole hub. */
#include "watch_internal.h"

#include "base/assertion.h"

enum { DOOR_WATCHERS_MAX = 200 };

void kvr__watch_check(const kvr_watch_hub *hub)
{
    kvr__mem_check(&hub->mem);
}

void kvr__watch_check_door(const kvr_watch_hub *hub)
{
    if (hub->watchers.count <= DOOR_WATCHERS_MAX) {
        kvr__watch_check(hub);
    }
}
