#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tier.py TIER PART...: runs each part as `make part-PART`, its output into
BUILD/log/TIER/PART.log, and ends with a table of parts, seconds and budgets, and one line that
counts the tests.

A test counts by Criterion's synthesis, by a program's own line `N passed, N failed`, or the part
counts as one. `SKIP name: why` is a test that could not run; with CI=true a skip that
test/skips.txt does not name fails the tier. A part past its budget (test/budget.txt) is named: it
belongs a tier up.
"""

import fnmatch
import os
import re
import resource
import signal
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
ANSI = re.compile(r"\x1b\[[0-9;]*m")
SYNTHESIS = re.compile(
    r"Synthesis: Tested: (\d+) \| Passing: (\d+) \| Failing: (\d+) \| Crashing: (\d+)"
)
CLOSING = re.compile(r"^(?:\w+: )?(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$", re.M)
SKIP = re.compile(r"^(?:SKIP|\[SKIP\]) ([^\s:]+(?:::[^\s:]+)?):? ?(.*)$", re.M)
TAIL_LINES = 30


def read_lines(path):
    """The lines of a list file, without comments and blanks."""
    try:
        with open(os.path.join(ROOT, path), encoding="utf-8") as file:
            lines = [line.split("#")[0].strip() for line in file]
    except FileNotFoundError:
        return []
    return [line for line in lines if line]


class Budgets:
    """test/budget.txt: `tier part seconds`, the part a shell pattern; the first match counts."""

    def __init__(self, tier):
        self.rows = []
        for line in read_lines("test/budget.txt"):
            row_tier, part, seconds = line.split()
            if row_tier == tier:
                self.rows.append((part, float(seconds)))

    def of(self, part):
        for pattern, seconds in self.rows:
            if fnmatch.fnmatchcase(part, pattern):
                return seconds
        return None


class Part:
    def __init__(self, name):
        self.name = name
        self.ok = False
        self.seconds = 0.0
        self.passed = 0
        self.failed = 0
        self.skips = []

    def run(self, log_path, env, timeout):
        start = time.monotonic()
        with open(log_path, "wb") as log:
            process = subprocess.Popen(
                ["make", "--no-print-directory", "part-" + self.name],
                cwd=ROOT,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                self.ok = process.wait(timeout) == 0
            except subprocess.TimeoutExpired:
                log.write(b"\ntier: stopped after %d s\n" % timeout)
            finally:
                # Whatever the part left running is ours to end, in its own session only.
                try:
                    os.killpg(process.pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
                process.wait()
        self.seconds = time.monotonic() - start
        self.count(log_path)

    def count(self, log_path):
        with open(log_path, encoding="utf-8", errors="replace") as log:
            text = ANSI.sub("", log.read())
        for _, passing, failing, crashing in SYNTHESIS.findall(text):
            self.passed += int(passing)
            self.failed += int(failing) + int(crashing)
        said = 0
        for passed, failed, skipped in CLOSING.findall(text):
            self.passed += int(passed)
            self.failed += int(failed)
            said += int(skipped or 0)
        self.skips = SKIP.findall(text)
        self.skips += [(self.name, "skipped without a name")] * (said - len(self.skips))
        if self.passed + self.failed == 0 and not (self.ok and self.skips):
            self.passed, self.failed = (1, 0) if self.ok else (0, 1)
        if not self.ok and self.failed == 0:
            self.failed = 1
        if self.failed > 0:
            self.ok = False


def child_environment():
    """Parts must not look for the job server of the make that called us, but keep its variables."""
    env = dict(os.environ)
    flags = env.pop("MAKEFLAGS", "")
    env.pop("MFLAGS", None)
    env.pop("MAKELEVEL", None)
    variables = flags.split(" -- ", 1)[1] if " -- " in flags else ""
    env["MAKEFLAGS"] = "j%d -- %s" % (os.cpu_count() or 1, variables)
    return env


def tail(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        lines = file.read().splitlines()
    return "\n".join("      | " + line for line in lines[-TAIL_LINES:])


def run_parts(tier, names, budgets, log_dir):
    env = child_environment()
    env["KVR_TIER"] = tier
    parts = []
    for number, name in enumerate(names, 1):
        part = Part(name)
        parts.append(part)
        print("[%2d/%d] %-24s" % (number, len(names), name), end="", flush=True)
        log_path = os.path.join(log_dir, name + ".log")
        part.run(log_path, env, max(240.0, 3 * (budgets.of(name) or 0.0)))
        skipped = ", %d skipped" % len(part.skips) if part.skips else ""
        print(
            "%-6s %7.1f s  %d passed, %d failed%s"
            % ("ok" if part.ok else "FAILED", part.seconds, part.passed, part.failed, skipped)
        )
        if not part.ok:
            print(tail(log_path))
            build = os.environ.get("BUILD", "build")
            again = "" if build == "build" else "BUILD=%s " % build
            print(
                "      log: %s   again: make %spart-%s" % (os.path.relpath(log_path), again, name)
            )
        sys.stdout.flush()
    return parts


def print_table(tier, parts, budgets):
    print("\n%-26s %-7s %8s %8s" % ("part", "result", "seconds", "budget"))
    late = []
    for part in parts:
        budget = budgets.of(part.name)
        over = budget is not None and part.seconds > budget
        if over:
            late.append(part.name)
        result = "FAILED" if not part.ok else "late" if over else "ok"
        budget_text = "-" if budget is None else "%.0f" % budget
        print("%-26s %-7s %8.1f %8s" % (part.name, result, part.seconds, budget_text))
    total = sum(part.seconds for part in parts)
    budget = budgets.of("total")
    print("%-26s %-7s %8.1f %8s" % (tier, "", total, "-" if budget is None else "%.0f" % budget))
    if late:
        print("past their budget, to be moved a tier up: " + ", ".join(late))
    if budget is not None and total > budget:
        print("%s took longer than its budget: a part must move a tier up" % tier)


def unknown_skips(parts):
    known = [line.split()[0] for line in read_lines("test/skips.txt")]
    unknown = []
    for part in parts:
        for name, why in part.skips:
            print("SKIP %s: %s" % (name, why))
            if not any(fnmatch.fnmatchcase(name, pattern) for pattern in known):
                unknown.append(name)
    return unknown


def main():
    if len(sys.argv) < 3:
        sys.exit("usage: tier.py TIER PART...")
    tier, names = sys.argv[1], sys.argv[2:]
    budgets = Budgets(tier)
    log_dir = os.path.join(ROOT, os.environ.get("BUILD", "build"), "log", tier)
    os.makedirs(log_dir, exist_ok=True)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # tests abort on purpose
    parts = run_parts(tier, names, budgets, log_dir)
    print_table(tier, parts, budgets)
    failed = [part.name for part in parts if not part.ok]
    if failed:
        print("failed: " + ", ".join(failed))
    unknown = unknown_skips(parts)
    if unknown and os.environ.get("CI") == "true":
        print("skipped, and not named in test/skips.txt: " + ", ".join(unknown))
        failed.append("skips")
    print(
        "%d passed, %d failed, %d skipped"
        % (
            sum(part.passed for part in parts),
            sum(part.failed for part in parts),
            sum(len(part.skips) for part in parts),
        )
    )
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
