#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""faults.py: reads test/faults.txt and holds it against the tree: every row of the catalogue is
there, each test it names exists and carries its row in a comment, each planted bug still fits its
file. Prints what is covered, and which rows are open. Takes a second: `make check` runs it.

The format stands at the head of test/faults.txt. A bug is planted by plant.py."""

import glob
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "test", "lint"))
import source  # pylint: disable=wrong-import-position

LIST = "test/faults.txt"
ROWS_REQUIRED = 70  # the catalogue's parts 2.1 to 2.5; later ones as their parts are built
TEST = re.compile(r"^(?:Parameterized)?Test\(([^;{]*?)\b(\w+),\s*(\w+)[,)]", re.M)
CLAIM = re.compile(r"FAULTS((?:[\s*#]+(?:and |to )?\d+\b(?!\.\d),?)+)")
C_TOKEN = re.compile(source.TOKEN.pattern + r"|\w+|[^\s\w]", re.S)
SCRIPTS = "test/unit/raft/testdata/%s.txt"


class Wrong(Exception):
    """Something in the list that does not hold; the text says where and what."""


class Plant:
    """One bug: hunks of old and new text in one file, perhaps only inside one function."""

    def __init__(self, line, path, function, test):
        self.line, self.path, self.function, self.test = line, path, function, test
        self.hunks = []
        self.mutant = None  # name, and the seeds within which the simulator must find it
        self.seeds = 0
        self.row = None

    def add(self, sign, text):
        if sign == "-" and (not self.hunks or self.hunks[-1][1]):
            self.hunks.append(([], []))
        if not self.hunks:
            raise Wrong("%s:%d: a new line with no old one before it" % (LIST, self.line))
        self.hunks[-1]["-+".index(sign)].append(text)

    def apply(self, text):
        """The file's text with the bug in it. Matches token by token: layout and comments may
        change; anything else that changes is told."""
        for old, new in self.hunks:
            begin, end = self.find(text, "\n".join(old))
            text = text[:begin] + "\n".join(new) + text[end:]
        return text

    def find(self, text, old):
        tokens = tokens_of(text)
        wanted = [token for token, _ in tokens_of(old)]
        first, last = 0, len(text)
        if self.function:
            first, last = self.function_span(text)
        places = [
            i
            for i in range(len(tokens) - len(wanted) + 1)
            if tokens[i][0] == wanted[0]
            and first <= tokens[i][1] < last
            and [token for token, _ in tokens[i : i + len(wanted)]] == wanted
        ]
        if len(places) != 1:
            where = " in " + self.function if self.function else ""
            raise Wrong(
                "%s:%d: %s%s holds %d times: %s"
                % (LIST, self.line, self.path, where, len(places), " ".join(old.split()))
            )
        token, offset = tokens[places[0] + len(wanted) - 1]
        return tokens[places[0]][1], offset + len(token)

    def function_span(self, text):
        for function in source.find_functions(source.Source(self.path, text)):
            if function.name == self.function:
                starts = [0] + [match.end() for match in re.finditer("\n", text)] + [len(text)]
                return starts[function.line - 1], starts[function.end]
        raise Wrong("%s:%d: %s has no %s" % (LIST, self.line, self.path, self.function))

    def name(self):
        return "%s row %d" % (self.mutant, self.row.number) if self.mutant else str(self.row.number)


class Row:
    def __init__(self, number, title, line):
        self.number, self.title, self.line = number, title, line
        self.tests = []  # (kind, name)
        self.plants = []
        self.state = "covered"  # or "n/a", "open"
        self.why = ""


def tokens_of(text):
    """(token, offset), without comments."""
    return [
        (match.group(0), match.start())
        for match in C_TOKEN.finditer(text)
        if not match.group(0).startswith(("/*", "//"))
    ]


# ---------------------------------------------------------------------- reading the list


def read_row(line, number):
    match = re.match(r"(\d+) (\S.*)", line)
    if not match:
        raise Wrong("%s:%d: neither a row nor part of one: %s" % (LIST, number, line))
    return Row(int(match.group(1)), match.group(2), number)


def read_part(row, words, line, number):
    kind, rest = words[0], words[1:]
    if kind in ("n/a", "open"):
        row.state, row.why = kind, " ".join(rest)
    elif kind in ("test", "script", "sim", "process", "thread"):
        row.tests += [(kind, name) for name in rest]
    elif kind == "plant":
        if not row.tests:
            raise Wrong("%s:%d: a bug stands behind the test that finds it" % (LIST, number))
        plant = Plant(number, rest[0], rest[1] if len(rest) > 1 else None, row.tests[-1])
        plant.row = row
        row.plants.append(plant)
    elif kind in ("-", "+") and row.plants:
        row.plants[-1].add(kind, line.strip()[1:])
    elif kind == "mutant" and row.plants:
        row.plants[-1].mutant, row.plants[-1].seeds = rest[0], int(rest[1])
    else:
        raise Wrong("%s:%d: unknown: %s" % (LIST, number, line.strip()))


def read():
    rows = []
    with open(os.path.join(ROOT, LIST), encoding="utf-8") as file:
        lines = file.read().splitlines()
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        if line[0] != " ":
            rows.append(read_row(line, number))
        else:
            read_part(rows[-1], line.split(), line, number)
    return rows


# ---------------------------------------------------------------------- the tree


def unit_tests():
    """suite/name -> the file that holds it."""
    tests = {}
    for path in glob.glob(os.path.join(ROOT, "test/unit/*/*.c")):
        with open(path, encoding="utf-8") as file:
            for match in TEST.finditer(file.read()):
                tests[match.group(2) + "/" + match.group(3)] = os.path.relpath(path, ROOT)
    return tests


def sim_checks():
    checks = set()
    for path in glob.glob(os.path.join(ROOT, "test/sim/*.c")):
        with open(path, encoding="utf-8") as file:
            checks.update(re.findall(r'"([A-Z]+\d*)"', file.read()))
    return checks


def claims_of(path):
    """Rows that a file's comments carry."""
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        text = file.read()
    rows = set()
    for match in CLAIM.finditer(text):
        numbers = [int(word) for word in re.findall(r"\d+", match.group(1))]
        for to in re.findall(r"(\d+)[\s*#]+to (\d+)", match.group(1)):
            numbers += range(int(to[0]), int(to[1]))
        rows.update(numbers)
    return rows


class Tree:
    def __init__(self):
        self.tests = unit_tests()
        self.checks = sim_checks()
        self.claims = {}

    def claimed(self, path):
        if path not in self.claims:
            self.claims[path] = claims_of(path)
        return self.claims[path]

    def file_of(self, kind, name):
        """The file of a test; None: there is none."""
        if kind == "test":
            return self.tests.get(name)
        pattern = SCRIPTS % name if kind == "script" else "test/%s/%s.*" % (kind, name)
        found = glob.glob(os.path.join(ROOT, pattern))
        return os.path.relpath(found[0], ROOT) if found else None

    def room_of(self, kind, name):
        return (self.file_of(kind, name) or "///").split("/")[2]


def check_row(row, tree):
    at = "%s:%d: row %d" % (LIST, row.line, row.number)
    if row.state == "covered" and not row.tests:
        yield at + " names no test, and is neither n/a nor open"
    if row.state != "covered" and not row.why:
        yield at + " is %s without a reason" % row.state
    for kind, name in row.tests:
        if kind == "sim":
            if name not in tree.checks:
                yield at + ": no check %s in test/sim" % name
            continue
        path = tree.file_of(kind, name)
        if path is None:
            yield at + ": no %s %s" % (kind, name)
        elif row.number not in tree.claimed(path):
            yield at + ": %s carries no comment FAULTS %d" % (path, row.number)
    for plant in row.plants:
        try:
            with open(os.path.join(ROOT, plant.path), encoding="utf-8") as file:
                plant.apply(file.read())
        except (Wrong, OSError) as error:
            yield str(error)


def check(rows, tree):
    numbers = [row.number for row in rows]
    if numbers != sorted(set(numbers)):
        yield LIST + ": rows are not in order, or stand twice"
    for missing in sorted(set(range(1, ROWS_REQUIRED + 1)) - set(numbers)):
        yield "%s: row %d is not there" % (LIST, missing)
    for row in rows:
        yield from check_row(row, tree)
    known = {row.number: row for row in rows}
    for path in sorted(set(tree.tests.values()) | set(glob.glob(SCRIPTS % "*", root_dir=ROOT))):
        for number in sorted(tree.claimed(path)):
            if number not in known or known[number].state == "n/a":
                yield "%s says FAULTS %d; %s lacks that row, or calls it n/a" % (path, number, LIST)


def main():
    try:
        rows = read()
        wrong = list(check(rows, Tree()))
    except Wrong as error:
        rows, wrong = [], [str(error)]
    for what in wrong:
        print(what)
    for row in rows:
        if row.state == "open":
            print("open: %d %s (%s)" % (row.number, row.title, row.why))
    plants = [plant for row in rows for plant in row.plants]
    count = {state: sum(row.state == state for row in rows) for state in ("covered", "n/a", "open")}
    print(
        "%d rows covered, %d n/a, %d open; %d planted bugs, %d of them mutants"
        % (
            count["covered"],
            count["n/a"],
            count["open"],
            len(plants),
            sum(plant.mutant is not None for plant in plants),
        )
    )
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
