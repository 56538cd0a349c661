#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A host that defines kvr_panic replaces the library's, in a static and in a shared link; one that
# does not gets a line that names the place, and an abort. The bug is a count of a buffer released
# twice.
set -eu
dir=$BUILD/panic
mkdir -p "$dir"
cat >"$dir/bug.c" <<'PROGRAM'
#include <kvraft/base.h>
#include <stdio.h>
#include <stdlib.h>

static uint64_t block[64]; /* stays readable after it was freed */

static void *give(void *ctx, size_t size)
{
    return size <= sizeof block ? ctx : NULL;
}

static void *move(void *ctx, void *ptr, size_t old_size, size_t new_size)
{
    (void)ptr, (void)old_size;
    return give(ctx, new_size);
}

static void take(void *ctx, void *ptr, size_t size)
{
    (void)ctx, (void)ptr, (void)size;
}

#ifdef REPLACED
void kvr_panic(const char *file, int32_t line, const char *condition)
{
    exit(file != NULL && line > 0 && condition != NULL && puts("replaced") >= 0 ? 0 : 1);
}
#endif

int main(void)
{
    static const kvr_allocator table = {sizeof table, 0, give, move, take};
    const kvr_slice bytes = {(const uint8_t *)"abc", 3};
    kvr_buf *buf = NULL;
    if (kvr_buf_new(&table, block, &bytes, &buf) != KVR_OK) {
        return 2;
    }
    kvr_buf_release(buf);
    kvr_buf_release(buf);
    return 3;
}
PROGRAM
ulimit -c 0
for link in "$BUILD/libkvraft.a" "$BUILD/libkvraft.so.0"; do
    $CC -std=c11 -Iinclude -DREPLACED -o "$dir/replaced" "$dir/bug.c" "$link"
    said=$(LD_LIBRARY_PATH=$BUILD "$dir/replaced")
    [ "$said" = replaced ] || { echo "$link: not replaced"; exit 1; }
    $CC -std=c11 -Iinclude -o "$dir/default" "$dir/bug.c" "$link"
    status=0
    LD_LIBRARY_PATH=$BUILD "$dir/default" 2>"$dir/said" || status=$?
    [ "$status" -eq 134 ] || { echo "$link: ended with $status, not by SIGABRT"; exit 1; }
    grep -q 'buffer\.[ch]:[0-9]*: .*buf->count > 0' "$dir/said" || { cat "$dir/said"; exit 1; }
done
echo "a host's kvr_panic replaces the library's, static and shared"
