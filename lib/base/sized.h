/* SPDX-License-Identifier: Apache-2.0 */
/* sized.h: public structs start with the `size` that their caller was compiled with, and only grow.
 * What an older caller does not know reads as 0; what a newer one sets beyond ours is refused. */
#ifndef KVRAFT_LIB_BASE_SIZED_H
#define KVRAFT_LIB_BASE_SIZED_H

#include <stdbool.h>
#include <stddef.h>

/* Reads the caller's struct `from`, whose first field is its uint32_t size, into `to` of `known`
 * bytes. False, and `to` untouched, if it is smaller than `oldest`, the size in the first release,
 * or sets a byte beyond `known`. The size in `to` becomes `known`. */
bool kvr__sized_read(void *to, size_t known, const void *from, size_t oldest);

#endif
