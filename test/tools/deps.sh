#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# deps.sh GOAL: finds out what GOAL needs and this machine lacks, and installs it with apt-get.
# With DEPS=no it only reports, and fails if something is missing. Quick when all is there.
set -eu

goal=${1:?usage: deps.sh library|check|check-full|bench}
missing=

need() { # need PACKAGE PROBE...: remembers the Debian package unless the probe succeeds
    package=$1
    shift
    "$@" >/dev/null 2>&1 || missing="$missing $package"
}
command_is_there() { command -v "$1"; }
module_is_there() { pkg-config --exists "$1"; }
header_is_there() { printf '#include <%s>\n' "$1" | "${CC:-cc}" -E -x c -; }

need_library() {
    need pkg-config command_is_there pkg-config
    need libsodium-dev module_is_there libsodium
    need libxxhash-dev module_is_there libxxhash
}
need_check() {
    need_library
    need libcriterion-dev module_is_there criterion
    need python3 command_is_there python3
    need g++ command_is_there g++
}
need_bench() {
    need_library
    need libraft-dev module_is_there raft
    need liblmdb-dev module_is_there lmdb
    need libjudy-dev header_is_there Judy.h
}
need_check_full() {
    need_check
    need_bench
    need clang command_is_there clang
    need clang-tidy command_is_there clang-tidy
    need clang-format command_is_there clang-format
    need cppcheck command_is_there cppcheck
}

find_missing() {
    missing=
    case $goal in
    library) need_library ;;
    check) need_check ;;
    check-full) need_check_full ;;
    bench) need_bench ;;
    *) echo "deps: unknown goal '$goal'; one of library, check, check-full, bench" >&2; exit 2 ;;
    esac
    missing=$(printf '%s\n' $missing | sort -u | tr '\n' ' ')
    missing=${missing% }
}

find_missing
[ -n "$missing" ] || exit 0
if [ "${DEPS:-yes}" = no ]; then
    echo "deps: missing for '$goal': $missing. Install them, or leave DEPS=no away." >&2
    exit 1
fi
if ! command -v apt-get >/dev/null; then
    echo "deps: no apt-get here; install what these Debian packages hold: $missing" >&2
    exit 1
fi
as_root=
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null; then
        echo "deps: neither root nor sudo; ask for: apt-get install $missing" >&2
        exit 1
    fi
    as_root=sudo
fi

echo "deps: installing with apt-get: $missing"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
install() {
    # shellcheck disable=SC2086
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends \
        $missing >"$log" 2>&1 </dev/null
}
# The lists of a fresh machine are empty or old: fetch them only if the first try fails.
if ! install; then
    $as_root apt-get update -q >"$log" 2>&1 </dev/null || true
    if ! install; then
        cat "$log" >&2
        echo "deps: apt-get install failed: $missing" >&2
        exit 1
    fi
fi
installed=$missing
find_missing
if [ -n "$missing" ]; then
    echo "deps: installed $installed, but still not found: $missing" >&2
    exit 1
fi
