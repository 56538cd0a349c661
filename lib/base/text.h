/* SPDX-License-Identifier: Apache-2.0 */
/* text.h: file names and one-line messages, built in a room of fixed size. What does not fit is
 * cut; the text always ends with a NUL. The core has no printf. */
#ifndef KVRAFT_LIB_BASE_TEXT_H
#define KVRAFT_LIB_BASE_TEXT_H

#include <kvraft/base.h>

typedef struct kvr__text {
    char *at;  /* where the next character goes; holds the NUL */
    char *end; /* the last character of the room, kept for the NUL */
} kvr__text;

/* An empty text in `room` of `size` > 0 bytes. */
kvr__text kvr__text_in(char *room, size_t size);

void kvr__text_add(kvr__text *text, const char *words);
void kvr__text_add_u64(kvr__text *text, uint64_t value); /* decimal */
void kvr__text_add_hex(kvr__text *text, uint64_t value); /* 16 lower-case digits */

/* Reads 16 lower-case hexadecimal digits at `from`; false, and *out_value untouched, if there are
 * others or fewer. */
bool kvr__text_read_hex(const char *from, uint64_t *out_value);

#endif
