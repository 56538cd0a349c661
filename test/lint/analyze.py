#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""analyze.py: clang-analyzer and gcc -fanalyzer over lib/ and examples/. They follow paths through
whole functions, take minutes and are sometimes wrong, so they are no part of a tier: read what they
say. Exit 1 if they said anything."""

import concurrent.futures
import os
import subprocess
import sys

import source

FLAGS = ["-std=c11", "-Iinclude", "-Ilib", "-D_POSIX_C_SOURCE=200809L", "-DKVR_CHECK"]


def run(command):
    result = subprocess.run(command, cwd=source.ROOT, check=False, capture_output=True, text=True)
    return result.stdout + (result.stderr if command[0] == "gcc" else "")


def main():
    paths = [
        path
        for path in source.c_paths()
        if path.endswith(".c") and path.startswith(("lib/", "examples/"))
    ]
    commands = [
        ["clang-tidy", "--quiet", "--checks=-*,clang-analyzer-*", path, "--"] + FLAGS
        for path in paths
    ]
    commands += [
        ["gcc", "-fanalyzer", "-O1", "-c", "-o", os.devnull, path] + FLAGS for path in paths
    ]
    said = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for output in pool.map(run, commands):
            if output.strip():
                said += 1
                print(output, flush=True)
    print("analyze: %d files, %d reports" % (len(paths), said))
    sys.exit(1 if said else 0)


if __name__ == "__main__":
    main()
