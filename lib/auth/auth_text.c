/* SPDX-License-Identifier: Apache-2.0 */
/* auth_text.c: bytes that the tables own, how they are ordered, and which intervals make sense. */
#include "auth_internal.h"

#include <string.h>

const kvr_slice kvr__auth_root = {(const uint8_t *)"root", 4};

int kvr__auth_compare(kvr_slice a, kvr_slice b)
{
    size_t common = a.size < b.size ? a.size : b.size;
    int order = common == 0 ? 0 : memcmp(a.data, b.data, common);
    if (order != 0) {
        return order;
    }
    return a.size < b.size ? -1 : a.size > b.size;
}

bool kvr__auth_is_upright(kvr_slice key, kvr_slice range_end)
{
    bool endless = range_end.size == 1 && range_end.data[0] == 0;
    return key.size > 0 &&
           (range_end.size == 0 || endless || kvr__auth_compare(key, range_end) < 0);
}

kvr_status kvr__auth_text_copy(kvr__mem *mem, kvr_slice from, kvr__auth_text *out_text)
{
    *out_text = (kvr__auth_text){.data = NULL, .size = (uint32_t)from.size};
    if (from.size > 0) {
        out_text->data = kvr__mem_alloc(mem, KVR__MEM_RECORD, from.size);
        if (out_text->data == NULL) {
            return KVR_ENOMEM;
        }
        memcpy(out_text->data, from.data, from.size);
    }
    return KVR_OK;
}

void kvr__auth_text_free(kvr__mem *mem, kvr__auth_text *text)
{
    kvr__mem_free(mem, KVR__MEM_RECORD, text->data, text->size);
    *text = (kvr__auth_text){.data = NULL};
}

kvr_slice kvr__auth_slice(const kvr__auth_text *text)
{
    return (kvr_slice){text->data, text->size};
}
