#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# run_thread.sh PROGRAM ARG...: runs a program of the thread build; a race makes it exit 66. The
# sanitizer needs the address layout that kernels with many random bits do not give it: hence
# setarch.
set -eu
export TSAN_OPTIONS="halt_on_error=1:exitcode=66:second_deadlock_stack=1"
if command -v setarch >/dev/null && setarch -R true 2>/dev/null; then
    exec setarch -R "$@"
fi
exec "$@"
