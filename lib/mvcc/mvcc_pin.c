/* SPDX-License-Identifier: Apache-2.0 */
/* mvcc_pin.c: when may what was replaced be freed? Epochs tell for nodes: a pin sees what was born
 * up to its epoch and replaced after it opened. Revisions tell the same for records and segments.
 * With no pin open everything is freed at once.
 *
 * What the newest pin can see goes to that pin's dead list. When it closes, each item is handed to
 * the next older open pin that sees it too, or freed: an item costs O(1) a pin that sees it, and a
 * long-lived pin does not keep what was born after it. */
#include "mvcc_internal.h"

enum { SPARE_BLOCKS = 2 }; /* a reservation may fill a block each of two pins */

_Static_assert(sizeof(kvr__mvcc_dead) <= KVR__SLAB_MAX, "blocks come from the slab");
_Static_assert(KVR__MVCC_RETIRE_MAX <= KVR__MVCC_DEAD_ITEMS,
               "a reservation fits one block more a pin");

static kvr__mvcc_pin *pin_at(kvr__list *link)
{
    return KVR__CONTAINER_OF(link, kvr__mvcc_pin, link);
}

/* ------------------------------------------------------------------ opening and closing */

static uint64_t newest_epoch(const kvr__mvcc_content *content)
{
    for (kvr__list *l = content->pins.prev; l != &content->pins; l = l->prev) {
        if (pin_at(l)->refs > 0 && pin_at(l)->epoch != 0) {
            return pin_at(l)->epoch;
        }
    }
    return 0;
}

static uint64_t newest_revision(const kvr__mvcc_content *content)
{
    for (kvr__list *l = content->pins.prev; l != &content->pins; l = l->prev) {
        if (pin_at(l)->refs > 0) {
            return pin_at(l)->revision;
        }
    }
    return 0;
}

kvr__mvcc_pin *kvr__mvcc_pin_new(kvr__mvcc_content *content)
{
    kvr__mvcc_pin *pin = kvr__mem_zalloc(content->mem, KVR__MEM_TREE, sizeof *pin);
    if (pin != NULL) {
        kvr__list_init(&pin->link);
    }
    return pin;
}

void kvr__mvcc_pin_open(kvr__mvcc_content *content, kvr__mvcc_pin *pin, uint64_t revision,
                        bool nodes)
{
    KVR_ASSERT(pin->refs == 0);
    pin->refs = 1;
    pin->revision = revision;
    pin->epoch = nodes ? content->epoch++ : 0;
    kvr__list_push_back(&content->pins, &pin->link);
    content->seen = revision;
    if (nodes) {
        content->frozen = pin->epoch;
    }
}

void kvr__mvcc_pin_close(kvr__mvcc_content *content, kvr__mvcc_pin *pin)
{
    KVR_ASSERT(pin->refs > 0);
    pin->refs--;
    if (pin->refs > 0) {
        return;
    }
    if (content->head_pin == pin) {
        content->head_pin = NULL;
    }
    if (pin->revision == content->seen) {
        content->seen = newest_revision(content);
    }
    if (pin->epoch == content->frozen) {
        content->frozen = newest_epoch(content);
    }
    if (pin->dead != NULL) {
        content->closed_count++;
        return;
    }
    kvr__list_remove(&pin->link);
    kvr__mem_free(content->mem, KVR__MEM_TREE, pin, sizeof *pin);
}

/* ------------------------------------------------------------------ retiring */

static kvr__mvcc_dead *take_spare(kvr__mvcc_content *content)
{
    kvr__mvcc_dead *block = content->spare;
    KVR_ASSERT(block != NULL);
    content->spare = block->next;
    content->spare_count--;
    return block;
}

static void keep_spare(kvr__mvcc_content *content, kvr__mvcc_dead *block)
{
    if (content->spare_count >= SPARE_BLOCKS) {
        kvr__slab_free(content->nodes, block, sizeof *block);
        return;
    }
    block->next = content->spare;
    block->count = 0;
    content->spare = block;
    content->spare_count++;
}

kvr_status kvr__mvcc_pin_reserve(kvr__mvcc_content *content)
{
    if (content->seen == 0) {
        return KVR_OK;
    }
    while (content->spare_count < SPARE_BLOCKS) {
        kvr__mvcc_dead *block = kvr__slab_alloc(content->nodes, sizeof *block);
        if (block == NULL) {
            return KVR_ENOMEM;
        }
        keep_spare(content, block);
    }
    return KVR_OK;
}

static void free_item(kvr__mvcc_content *content, uintptr_t item)
{
    void *ptr = (void *)(item & ~(uintptr_t)3);
    switch (item & 3) {
    case KVR__MVCC_DEAD_NODE:
        kvr__mvcc_node_free(content, ptr);
        return;
    case KVR__MVCC_DEAD_SEPARATOR:
        kvr__mvcc_separator_free(content, ptr);
        return;
    case KVR__MVCC_DEAD_RECORD:
        kvr__mvcc_record_free(content, ptr);
        return;
    default:
        kvr__slab_free(content->segments, ptr, sizeof(kvr__mvcc_segment));
        return;
    }
}

static bool pin_sees(const kvr__mvcc_pin *pin, uintptr_t item)
{
    const void *ptr = (const void *)(item & ~(uintptr_t)3);
    switch (item & 3) {
    case KVR__MVCC_DEAD_NODE:
        return ((const kvr__mvcc_node *)ptr)->birth <= pin->epoch;
    case KVR__MVCC_DEAD_SEPARATOR:
        return ((const kvr__mvcc_separator *)ptr)->birth <= pin->epoch;
    case KVR__MVCC_DEAD_RECORD:
        return ((const kvr__mvcc_record *)ptr)->mod <= pin->revision;
    default:
        return ((const kvr__mvcc_segment *)ptr)->first_main <= pin->revision;
    }
}

/* The newest open pin up to `from` that sees the item. */
static kvr__mvcc_pin *find_seer(const kvr__mvcc_content *content, kvr__list *from, uintptr_t item)
{
    for (kvr__list *l = from; l != &content->pins; l = l->prev) {
        if (pin_at(l)->refs > 0 && pin_sees(pin_at(l), item)) {
            return pin_at(l);
        }
    }
    return NULL;
}

static void bury(kvr__mvcc_content *content, kvr__mvcc_pin *pin, uintptr_t item)
{
    if (pin->dead == NULL || pin->dead->count == KVR__MVCC_DEAD_ITEMS) {
        kvr__mvcc_dead *block = take_spare(content);
        block->next = pin->dead;
        pin->dead = block;
    }
    pin->dead->items[pin->dead->count++] = item;
}

static void retire(kvr__mvcc_content *content, uintptr_t item)
{
    kvr__mvcc_pin *seer = find_seer(content, content->pins.prev, item);
    if (seer == NULL) {
        free_item(content, item);
    } else {
        bury(content, seer, item);
    }
}

void kvr__mvcc_pin_retire_node(kvr__mvcc_content *content, kvr__mvcc_node *node)
{
    if (node->birth > content->frozen) {
        kvr__mvcc_node_free(content, node);
    } else {
        retire(content, (uintptr_t)node | KVR__MVCC_DEAD_NODE);
    }
}

void kvr__mvcc_pin_retire_separator(kvr__mvcc_content *content, kvr__mvcc_separator *separator)
{
    if (separator->birth > content->frozen) {
        kvr__mvcc_separator_free(content, separator);
    } else {
        retire(content, (uintptr_t)separator | KVR__MVCC_DEAD_SEPARATOR);
    }
}

void kvr__mvcc_pin_retire_record(kvr__mvcc_content *content, kvr__mvcc_record *record)
{
    KVR_ASSERT(content->versions > 0);
    content->versions--;
    if (record->mod > content->seen) {
        kvr__mvcc_record_free(content, record);
    } else {
        retire(content, (uintptr_t)record | KVR__MVCC_DEAD_RECORD);
    }
}

void kvr__mvcc_pin_retire_segment(kvr__mvcc_content *content, kvr__mvcc_segment *segment)
{
    retire(content, (uintptr_t)segment | KVR__MVCC_DEAD_SEGMENT);
}

/* ------------------------------------------------------------------ reaping */

/* False: no memory for an older pin's list. Then this pin keeps the rest for another time. */
static bool reap_pin(kvr__mvcc_content *content, kvr__mvcc_pin *pin, uint32_t *budget)
{
    while (pin->dead != NULL && *budget > 0) {
        kvr__mvcc_dead *block = pin->dead;
        for (; block->count > 0 && *budget > 0; (*budget)--) {
            uintptr_t item = block->items[block->count - 1];
            kvr__mvcc_pin *seer = find_seer(content, pin->link.prev, item);
            if (seer == NULL) {
                free_item(content, item);
            } else if (kvr__mvcc_pin_reserve(content) == KVR_OK) {
                bury(content, seer, item);
            } else {
                return false;
            }
            block->count--;
        }
        if (block->count == 0) {
            pin->dead = block->next;
            keep_spare(content, block);
        }
    }
    return true;
}

bool kvr__mvcc_pin_reap(kvr__mvcc_content *content, uint32_t budget)
{
    kvr__list *l = content->pins.prev;
    while (content->closed_count > 0 && l != &content->pins) {
        kvr__mvcc_pin *pin = pin_at(l);
        l = l->prev;
        if (pin->refs > 0) {
            continue;
        }
        if (!reap_pin(content, pin, &budget) || pin->dead != NULL) {
            return false;
        }
        content->closed_count--;
        kvr__list_remove(&pin->link);
        kvr__mem_free(content->mem, KVR__MEM_TREE, pin, sizeof *pin);
    }
    if (content->seen == 0 && content->closed_count == 0) {
        while (content->spare != NULL) {
            kvr__mvcc_dead *block = take_spare(content);
            kvr__slab_free(content->nodes, block, sizeof *block);
        }
    }
    return true;
}
