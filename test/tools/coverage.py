#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""coverage.py OBJECTS ROOM FLOOR: which branches of lib/ROOM the runs before it took, by gcov's
counts beside the objects in OBJECTS. Prints a line a file, writes what nobody took to
OBJECTS/ROOM-untaken.txt, and fails below FLOOR percent.

A branch is a way out of a condition, as gcc counts them without optimisation. Not counted are the
arms of KVR_ASSERT, of which one is a bug of ours by definition, and ROOM_check.c, which consists of
them.
"""

import glob
import json
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
ASSERT = re.compile(r"\bKVR_ASSERT\(")


def asserted_lines(lines):
    """Numbers of the lines that belong to a KVR_ASSERT, which may go over several."""
    inside, depth = set(), 0
    for number, line in enumerate(lines, 1):
        at = 0
        if depth == 0:
            match = ASSERT.search(line)
            if not match:
                continue
            at = match.start()
        inside.add(number)
        depth += line.count("(", at) - line.count(")", at)
    return inside


def read_counts(objects, room):
    """{file: {(function, line number): [times that each branch was taken]}}"""
    found = {}
    notes = sorted(glob.glob(os.path.join(objects, "lib", room, "*.gcno")))
    for note in notes:
        text = subprocess.run(
            ["gcov", "--json-format", "--stdout", "--branch-probabilities", note],
            check=True, capture_output=True, text=True, cwd=ROOT,
        ).stdout
        for file in json.loads(text)["files"]:
            name = os.path.relpath(os.path.join(ROOT, file["file"]), ROOT)
            if not name.startswith("lib/%s/" % room) or not name.endswith(".c"):
                continue
            for line in file["lines"]:
                if line["branches"]:
                    key = (line.get("function_name", ""), line["line_number"])
                    found.setdefault(name, {})[key] = [b["count"] for b in line["branches"]]
    return found


def judge(counts, room):
    """(rows of the table, {(file, function, line's text): branches that nobody took})"""
    rows, missing = [], {}
    for name in sorted(counts):
        if name.endswith("/%s_check.c" % room):
            continue
        with open(os.path.join(ROOT, name), encoding="utf-8") as file:
            lines = file.read().split("\n")
        skip = asserted_lines(lines)
        taken = total = 0
        for (function, number), branches in sorted(counts[name].items(), key=lambda i: i[0][1]):
            if number in skip:
                continue
            total += len(branches)
            taken += sum(1 for count in branches if count > 0)
            never = sum(1 for count in branches if count == 0)
            if never:
                key = (os.path.basename(name), function, " ".join(lines[number - 1].split()))
                missing[key] = missing.get(key, 0) + never
        rows.append((name, taken, total))
    return rows, missing


def tell(missing, path):
    with open(path, "w", encoding="utf-8") as file:
        for (name, function, text), never in missing.items():
            file.write("%s %s: %d of: %s\n" % (name, function, never, text))
    print("what nobody took: %d lines in %s" % (len(missing), path))


def main():
    objects, room, floor = sys.argv[1], sys.argv[2], float(sys.argv[3])
    rows, missing = judge(read_counts(objects, room), room)
    rows.append(("all", sum(row[1] for row in rows), sum(row[2] for row in rows)))
    for name, taken, total in rows:
        print("%-34s %5d of %5d  %5.1f %%" % (name, taken, total, 100.0 * taken / (total or 1)))
    tell(missing, os.path.join(objects, room + "-untaken.txt"))
    _, taken, total = rows[-1]
    if total == 0 or 100.0 * taken / total < floor:
        print("below %.1f %%" % floor)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
