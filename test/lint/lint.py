#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""lint.py [--rules]: holds the tree against the house rules, then lets clang-format, clang-tidy and
cppcheck look. Prints `file:line: what (why; remedy)`; exit 1 if there is anything to print.
--rules leaves the three tools out: a second instead of minutes."""

import concurrent.futures
import os
import re
import subprocess
import sys

import rules
import source

BUILD = os.environ.get("BUILD", "build")
WIDENING = "bugprone-implicit-widening-of-multiplication-result"
LIBRARY = os.path.join(BUILD, "libkvraft.a")
INCLUDES = ["-Iinclude", "-Ilib", "-Itest", "-Ibench", "-D_POSIX_C_SOURCE=200809L", "-DKVR_CHECK"]


def run(command):
    return subprocess.run(command, cwd=source.ROOT, check=False, capture_output=True, text=True)


def check_objects():
    """What no text shows: names and writable data of the archive."""
    if not os.path.exists(os.path.join(source.ROOT, LIBRARY)):
        yield rules.Finding(LIBRARY, 0, "is not there", "its symbols are checked", "make all")
        return
    declared = set()
    for item in source.load():
        if item.path.startswith(("lib/", "include/")) and item.path.endswith(".h"):
            declared.update(re.findall(r"\bkvr_\w+", item.code))
    for line in run(["nm", "-A", "--defined-only", LIBRARY]).stdout.splitlines():
        place, kind, name = line.split()[-3:]
        member = place.split(":")[-2]
        if kind.isupper() and not name.startswith("kvr_"):
            yield rules.Finding(
                member,
                0,
                "global symbol " + name,
                "it shares the host program's names",
                "static, or kvr__ before it",
            )
        elif kind.isupper() and name not in declared:
            yield rules.Finding(
                member, 0, name + " is global and in no header", "nobody else can call it", "static"
            )
    member = ""
    for line in run(["objdump", "-t", LIBRARY]).stdout.splitlines():
        if line.endswith("elf64-x86-64") or ": file format" in line:
            member = line.split(":")[0]
        words = line.split()
        if (
            len(words) > 4
            and " O " in line
            and words[-3] in (".data", ".bss", "*COM*", ".tdata", ".tbss")
        ):
            yield rules.Finding(
                member,
                0,
                "writable global " + words[-1],
                "two handles share nothing, and a process holds thousands",
                "into the handle",
            )


def check_format(paths):
    result = run(["clang-format", "--dry-run", "-Werror", "--ferror-limit=1"] + paths)
    for match in re.finditer(r"^(\S+?):(\d+):\d+: error", result.stderr, re.M):
        yield rules.Finding(
            match.group(1),
            int(match.group(2)),
            "not laid out by .clang-format",
            "layout is no matter of taste here",
            "make format FILES=" + match.group(1),
        )


def check_tidy(path):
    command = ["clang-tidy", "--quiet", "--config-file=test/lint/clang-tidy.yaml"]
    if not path.startswith(("lib/", "examples/")):
        # Tests and benchmarks multiply small constants; only sizes from outside can wrap.
        command.append("--checks=-" + WIDENING)
    result = run(command + [path, "--", "-std=c11"] + INCLUDES)
    for match in re.finditer(r"^(\S+?):(\d+):\d+: (?:error|warning): (.*)$", result.stdout, re.M):
        yield rules.Finding(
            os.path.relpath(match.group(1), source.ROOT),
            int(match.group(2)),
            match.group(3),
            "clang-tidy",
            "see test/lint/clang-tidy.yaml",
        )


def check_cppcheck(_paths):
    result = run(
        [
            "cppcheck",
            "--quiet",
            "--std=c11",
            "--enable=warning,performance,portability",
            "--inline-suppr",
            "--suppressions-list=test/lint/cppcheck.txt",
            "--template={file}:{line}: {message} ({id})",
            "-j2",
            "-D__GNUC__=12",
            "-DKVR_CHECK",
            "-Iinclude",
            "-Ilib",
            "lib",
            "examples",
        ]
    )
    for match in re.finditer(r"^(\S+?):(\d+): (.*)$", result.stderr, re.M):
        yield rules.Finding(
            match.group(1),
            int(match.group(2)),
            match.group(3),
            "cppcheck",
            "see test/lint/cppcheck.txt",
        )


def main():
    os.chdir(source.ROOT)
    sources = source.load()
    findings = [finding for rule in rules.RULES for finding in rule(sources)]
    findings += check_objects()
    if "--rules" not in sys.argv:
        paths = [item.path for item in sources]
        programs = [path for path in paths if path.endswith(".c")]
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            jobs = [
                pool.submit(lambda: list(check_format(paths))),
                pool.submit(lambda: list(check_cppcheck(paths))),
            ]
            jobs += [pool.submit(lambda path=path: list(check_tidy(path))) for path in programs]
            for job in jobs:
                findings += job.result()
    for finding in sorted(set(findings)):
        print("%s:%d: %s (%s; %s)" % finding)
    print("lint: %d files, %d findings" % (len(sources), len(set(findings))))
    sys.exit(1 if findings else 0)


if __name__ == "__main__":
    main()
