/* SPDX-License-Identifier: Apache-2.0 */
/* text.c: words and numbers into a bounded room. */
#include "base/text.h"

#include "base/assertion.h"

#include <string.h>

static const char digits[] = "0123456789abcdef";

enum { HEX_DIGITS = 16, DECIMAL_DIGITS = 20 }; /* of a 64-bit number */

kvr__text kvr__text_in(char *room, size_t size)
{
    KVR_ASSERT(size > 0);
    room[0] = '\0';
    return (kvr__text){room, room + size - 1};
}

void kvr__text_add(kvr__text *text, const char *words)
{
    size_t room = (size_t)(text->end - text->at);
    size_t size = strlen(words);
    if (size > room) {
        size = room;
    }
    memcpy(text->at, words, size);
    text->at += size;
    *text->at = '\0';
}

void kvr__text_add_u64(kvr__text *text, uint64_t value)
{
    char word[DECIMAL_DIGITS + 1];
    char *first = word + DECIMAL_DIGITS;
    *first = '\0';
    do {
        *--first = digits[value % 10];
        value /= 10;
    } while (value > 0);
    kvr__text_add(text, first);
}

void kvr__text_add_hex(kvr__text *text, uint64_t value)
{
    char word[HEX_DIGITS + 1];
    for (uint32_t i = 0; i < HEX_DIGITS; i++) {
        word[i] = digits[value >> (60 - 4 * i) & 15];
    }
    word[HEX_DIGITS] = '\0';
    kvr__text_add(text, word);
}

bool kvr__text_read_hex(const char *from, uint64_t *out_value)
{
    uint64_t value = 0;
    for (uint32_t i = 0; i < HEX_DIGITS; i++) {
        const char *digit = from[i] == '\0' ? NULL : strchr(digits, from[i]);
        if (digit == NULL) {
            return false;
        }
        value = value << 4 | (uint64_t)(digit - digits);
    }
    *out_value = value;
    return true;
}
