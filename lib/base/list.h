/* SPDX-License-Identifier: Apache-2.0 */
/* list.h: an intrusive doubly linked ring with a head node; a node alone points at itself. */
#ifndef KVRAFT_LIB_BASE_LIST_H
#define KVRAFT_LIB_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

typedef struct kvr__list {
    struct kvr__list *prev;
    struct kvr__list *next;
} kvr__list;

#define KVR__CONTAINER_OF(ptr, type, member) \
    ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

static inline void kvr__list_init(kvr__list *node)
{
    node->prev = node;
    node->next = node;
}

static inline bool kvr__list_is_empty(const kvr__list *head)
{
    return head->next == head;
}

static inline void kvr__list_push_back(kvr__list *head, kvr__list *node)
{
    node->prev = head->prev;
    node->next = head;
    head->prev->next = node;
    head->prev = node;
}

static inline void kvr__list_remove(kvr__list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    kvr__list_init(node);
}

#endif
