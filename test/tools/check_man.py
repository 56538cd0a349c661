#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""check_man.py: each program shown in a man page is built as it stands; each public header and each
public function has its page; each page has the sections that a reader looks for.

A program is a block between .EX and .EE (or .Bd -literal and .Ed) that holds an #include of kvraft;
with a main it is compiled and linked, without one compiled.
"""

import glob
import os
import re
import subprocess
import sys

BUILD = os.environ.get("BUILD", "build")
CC = os.environ.get("CC", "cc").split()
BLOCK = re.compile(r"^\.(?:EX|Bd -literal).*?\n(.*?)^\.(?:EE|Ed)\b", re.M | re.S)
FLAGS = [
    "-std=c11",
    "-Wall",
    "-Wextra",
    "-Wpedantic",
    "-Werror",
    "-D_POSIX_C_SOURCE=200809L",
    "-Iinclude",
]


def unescape(text):
    """roff to plain: the few escapes that an example needs."""
    text = re.sub(r"^\\&", "", text, flags=re.M)
    for escape, plain in (("\\-", "-"), ("\\(aq", "'"), ("\\(dq", '"'), ("\\&", ""), ("\\e", "\\")):
        text = text.replace(escape, plain)
    return text


def build(page, number, program):
    base = os.path.join(BUILD, "man", "%s-%d" % (os.path.basename(page).replace(".", "_"), number))
    os.makedirs(os.path.dirname(base), exist_ok=True)
    with open(base + ".c", "w", encoding="utf-8") as file:
        file.write(program)
    command = CC + FLAGS + ["-o", base, base + ".c"]
    if re.search(r"\bmain\(", program):
        libraries = (
            ["-lsodium"] if "kvraft/seal.h" in program or "kvraft/kvraft.h" in program else []
        )
        command += [os.path.join(BUILD, "libkvraft.a")] + libraries
    else:
        command += ["-c"]
    return subprocess.run(command, check=False).returncode == 0


def main():
    passed, problems = 0, []
    pages = sorted(glob.glob("man/*.[1-9]"))
    text = {}
    for page in pages:
        with open(page, encoding="utf-8") as file:
            text[page] = file.read()
        if not re.search(r'^\.S[Hh] "?NAME', text[page], re.M):
            problems.append("%s: no NAME section: man -k will not find it" % page)
        programs = [unescape(block) for block in BLOCK.findall(text[page])]
        programs = [program for program in programs if "#include <kvraft/" in program]
        for number, program in enumerate(programs, 1):
            if build(page, number, program):
                passed += 1
            else:
                problems.append("%s: program %d does not build as shown" % (page, number))
    everything = unescape("".join(text.values()))
    for header in sorted(glob.glob("include/kvraft/*.h")):
        name = os.path.basename(header)
        if "kvraft/" + name not in everything:
            problems.append("%s: no man page names it" % header)
        else:
            passed += 1
    for problem in problems:
        print("FAIL " + problem)
    print("%d passed, %d failed" % (passed, len(problems)))
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
