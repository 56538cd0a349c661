/* SPDX-License-Identifier: Apache-2.0 */
/* sized.c: structs of callers that were compiled against another release. */
#include "base/sized.h"

#include <stdint.h>
#include <string.h>

bool kvr__sized_read(void *to, size_t known, const void *from, size_t oldest)
{
    uint32_t size;
    memcpy(&size, from, sizeof size);
    if (size < oldest) {
        return false;
    }
    for (size_t i = known; i < size; i++) {
        if (((const uint8_t *)from)[i] != 0) {
            return false;
        }
    }
    memset(to, 0, known);
    memcpy(to, from, size < known ? size : known);
    size = (uint32_t)known;
    memcpy(to, &size, sizeof size);
    return true;
}
