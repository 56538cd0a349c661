/* SPDX-License-Identifier: Apache-2.0 */
/* posix_place.h: a fresh directory of the machine for one test, and entries to put into it. */
#ifndef KVRAFT_TEST_UNIT_POSIX_PLACE_H
#define KVRAFT_TEST_UNIT_POSIX_PLACE_H

#include <kvraft/host.h>

/* Makes a private directory below $TMPDIR or /tmp and returns its path, which stays until
 * _leave. */
const char *posix_place_enter(void);

/* A path in it. Lends until the next call. */
const char *posix_place_path(const char *name);

/* Removes it and what is in it, one level of folders deep. */
void posix_place_leave(void);

/* Writes entry `index` of `term` with a command of `size` bytes; returns its length. */
size_t posix_place_entry(uint64_t index, uint64_t term, size_t size, uint8_t *out);

#endif
