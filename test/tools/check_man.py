#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""check_man.py: each program shown in a man page is built as it stands; each public header and each
public function is named by a page, and no page names a function that is none.

A program is a block between .EX and .EE (or .Bd -literal and .Ed) that holds an #include of kvraft;
with a main it is compiled and linked, without one compiled. Those of section 7 are whole stories: they
are run, in an empty directory, and must print what the page says that they print: the block that follows.
"""

import glob
import os
import re
import shutil
import subprocess
import sys

BUILD = os.environ.get("BUILD", "build")
CC = os.environ.get("CC", "cc").split()
BLOCK = re.compile(r"^\.(?:EX|Bd -literal).*?\n(.*?)^\.(?:EE|Ed)\b", re.M | re.S)
DECLARED = re.compile(r"\bKVR_API\s+[^;(]*?\b(kvr_\w+)\(")
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


def run(page, number, expected):
    """None, or what is wrong with what the program does."""
    name = "%s-%d" % (os.path.basename(page).replace(".", "_"), number)
    binary = os.path.abspath(os.path.join(BUILD, "man", name))
    directory = binary + ".run"
    shutil.rmtree(directory, ignore_errors=True)
    os.makedirs(directory)
    done = subprocess.run([binary], cwd=directory, stdout=subprocess.PIPE, check=False, timeout=300)
    if done.returncode != 0:
        return "exits with %d" % done.returncode
    if done.stdout.decode().strip() != expected.strip():
        return "prints something else: %s" % done.stdout.decode()
    return None


def main():
    passed, problems = 0, []
    pages = sorted(glob.glob("man/*.[1-9]"))
    text = {}
    for page in pages:
        with open(page, encoding="utf-8") as file:
            text[page] = file.read()
        if not re.search(r'^\.S[Hh] "?NAME', text[page], re.M):
            problems.append("%s: no NAME section: man -k will not find it" % page)
        blocks = [unescape(block) for block in BLOCK.findall(text[page])] + [""]
        programs = [pair for pair in zip(blocks, blocks[1:]) if "#include <kvraft/" in pair[0]]
        for number, (program, output) in enumerate(programs, 1):
            problem = None
            if not build(page, number, program):
                problem = "does not build as shown"
            elif page.endswith(".7"):
                problem = run(page, number, output)
            if problem is None:
                passed += 1
            else:
                problems.append("%s: program %d %s" % (page, number, problem))
    everything = unescape("".join(text.values()))
    for header in sorted(glob.glob("include/kvraft/*.h")):
        name = os.path.basename(header)
        if "kvraft/" + name not in everything:
            problems.append("%s: no man page names it" % header)
        else:
            passed += 1
    declared = set()
    for header in glob.glob("include/kvraft/*.h"):
        with open(header, encoding="utf-8") as file:
            declared |= set(DECLARED.findall(file.read()))
    named = set(re.findall(r"\bkvr_\w+", everything))
    called = set(re.findall(r"^\.(?:Fn|Fo|It Fn|Pq Fn) (kvr_\w+)", everything, re.M))
    for name in sorted(declared - named):
        problems.append("%s: no man page names it" % name)
    for name in sorted(called - declared):
        problems.append("%s: a man page names it, and no header declares it" % name)
    passed += 1
    for problem in problems:
        print("FAIL " + problem)
    print("%d passed, %d failed" % (passed, len(problems)))
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
