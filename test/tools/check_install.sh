#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# make install into an empty DESTDIR; a program built by what the installed kvraft.pc says, against
# the shared and against the static library; make uninstall leaves nothing.
set -eu
root=$PWD/$BUILD/install
case $BUILD in /*) root=$BUILD/install ;; esac
rm -rf "$root"
mkdir -p "$root/run"
quiet() { "$@" >"$root/run/out" 2>&1 || { cat "$root/run/out"; echo "failed: $*"; exit 1; }; }

quiet make --no-print-directory install DESTDIR="$root/dest" PREFIX=/opt/kvr
export PKG_CONFIG_PATH="$root/dest/opt/kvr/lib/pkgconfig" PKG_CONFIG_SYSROOT_DIR="$root/dest"
for header in include/kvraft/*.h; do
    cmp "$header" "$root/dest/opt/kvr/$header"
done

cat >"$root/run/user.c" <<'PROGRAM'
#include <kvraft/kvraft.h>
#include <stdio.h>
int main(void)
{
    return printf("%s\n", kvr_version_text()) < 0 || kvr_version() == 0;
}
PROGRAM
version=$(pkg-config --modversion kvraft)
cd "$root/run"
# shellcheck disable=SC2046
$CC -std=c11 $(pkg-config --cflags kvraft) -o shared user.c $(pkg-config --libs kvraft)
objdump -p shared | grep -q 'NEEDED *libkvraft.so.0$' || {
    echo "not linked to libkvraft.so.0"
    exit 1
}
said=$(LD_LIBRARY_PATH="$root/dest/opt/kvr/lib" ./shared)
[ "$said" = "$version" ] || { echo "shared says $said, kvraft.pc says $version"; exit 1; }
# shellcheck disable=SC2046
$CC -std=c11 $(pkg-config --cflags kvraft) -o static user.c "$root/dest/opt/kvr/lib/libkvraft.a"
said=$(./static)
[ "$said" = "$version" ] || { echo "static says $said, kvraft.pc says $version"; exit 1; }
cd - >/dev/null

quiet make --no-print-directory uninstall DESTDIR="$root/dest" PREFIX=/opt/kvr
left=$(find "$root/dest" ! -type d)
[ -z "$left" ] || { echo "left behind by make uninstall:"; echo "$left"; exit 1; }
echo "installed, used by kvraft.pc as shared and static, uninstalled: version $version"
