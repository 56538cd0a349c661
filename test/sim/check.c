/* SPDX-License-Identifier: Apache-2.0 */
/* check.c: see check.h. */
#include "check.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void check_fail(check_report *report, const char *invariant, const char *format, ...)
{
    if (report->failed) {
        return;
    }
    report->failed = true;
    (void)snprintf(report->invariant, sizeof report->invariant, "%s", invariant);
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(report->text, sizeof report->text, format, arguments);
    va_end(arguments);
}

void *check_alloc(size_t size)
{
    void *ptr = calloc(1, size == 0 ? 1 : size);
    if (ptr == NULL) {
        abort();
    }
    return ptr;
}

void check_grow(void **items, uint32_t *capacity, uint32_t count, size_t item_size)
{
    if (count <= *capacity) {
        return;
    }
    uint32_t bigger = *capacity < 8 ? 16 : 2 * *capacity;
    bigger = bigger < count ? count : bigger;
    void *moved = realloc(*items, bigger * item_size);
    if (moved == NULL) {
        abort();
    }
    memset((uint8_t *)moved + *capacity * item_size, 0, (bigger - *capacity) * item_size);
    *items = moved;
    *capacity = bigger;
}

uint64_t check_mix(uint64_t hash, uint64_t value)
{
    hash = (hash ^ value) * 0x9fb21c651e98df25U;
    return hash ^ hash >> 32;
}

uint64_t check_hash(uint64_t hash, const void *data, size_t size)
{
    const uint8_t *p = data;
    hash = check_mix(hash, size);
    for (; size >= 8; size -= 8, p += 8) {
        uint64_t word = 0;
        for (uint32_t i = 0; i < 8; i++) {
            word |= (uint64_t)p[i] << 8 * i;
        }
        hash = check_mix(hash, word);
    }
    for (; size > 0; size--, p++) {
        hash = check_mix(hash, *p);
    }
    return hash;
}
