/* SPDX-License-Identifier: Apache-2.0 */
/* test_base_list.c: intrusive rings. */
#include <criterion/criterion.h>

#include "base/list.h"

typedef struct thing {
    int number;
    kvr__list link;
} thing;

Test(base_list, keeps_the_order_of_pushes_and_forgets_the_removed)
{
    kvr__list head;
    thing things[3] = {{.number = 0}, {.number = 1}, {.number = 2}};
    kvr__list_init(&head);
    cr_assert(kvr__list_is_empty(&head));
    for (int i = 0; i < 3; i++) {
        kvr__list_push_back(&head, &things[i].link);
    }

    kvr__list_remove(&things[1].link);
    kvr__list_remove(&things[1].link); /* alone it points at itself, so this is harmless */

    cr_assert(kvr__list_is_empty(&things[1].link));
    cr_assert_eq(KVR__CONTAINER_OF(head.next, thing, link)->number, 0);
    cr_assert_eq(KVR__CONTAINER_OF(head.prev, thing, link)->number, 2);
    cr_assert_eq(head.next->next, head.prev);
    kvr__list_remove(&things[0].link);
    kvr__list_remove(&things[2].link);
    cr_assert(kvr__list_is_empty(&head));
}
