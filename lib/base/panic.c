/* SPDX-License-Identifier: Apache-2.0 */
/* panic.c: what happens when the library finds a bug of its own. Nothing else may stand in this
 * file: a host that defines kvr_panic keeps the linker from taking this archive member at all. */
#include <kvraft/base.h>
#include <stdio.h>
#include <stdlib.h>

void kvr_panic(const char *file, int32_t line, const char *condition)
{
    (void)fprintf(stderr, "%s:%ld: libkvraft has a bug, this must hold: %s\n", file, (long)line,
                  condition);
    abort();
}
