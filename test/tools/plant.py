#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""plant.py proof|mutants [NAME...]: plants the bugs of test/faults.txt, one at a time, in scratch
copies of the tree, and expects each to be found.

  proof    the test that the bug stands behind must fail with it, and pass without
  mutants  the simulator must find it within its seeds; without it the same seeds must pass

NAME is a row or a mutant; without names all are planted. Objects of BUILD are copied, so that a
bug costs one compilation and one link. Two scratch copies work side by side."""

import concurrent.futures
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import faults

BUILD = os.path.join(faults.ROOT, os.environ.get("BUILD", "build"))
JOBS = 2
SECONDS_A_TEST = 60
SECONDS_A_MUTANT = 600
FAILED_SEED = re.compile(r"^seed (\d+): (\w+) at [\d.]+ s: (.*?); replay:", re.M)


def environment():
    """The variables that make was called with, but not its job server; tests accept nothing."""
    env = dict(os.environ)
    for name in ("KVR_ACCEPT", "MAKELEVEL"):
        env.pop(name, None)
    flags = env.pop("MAKEFLAGS", "")
    if " -- " in flags:
        env["MAKEFLAGS"] = " -- " + flags.split(" -- ", 1)[1]
    return env


def run(command, cwd, seconds, stop_at=None, **more):
    """(status, output); status None: it took too long, or said what it should stop at."""
    env = dict(environment(), **more)
    lines = []
    status = None
    with subprocess.Popen(
        command,
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as process:
        timer = concurrent.futures.ThreadPoolExecutor(1)
        waiting = timer.submit(end_after, process, seconds)
        try:
            for line in process.stdout:
                lines.append(line)
                if stop_at is not None and stop_at(line):
                    break
            else:
                status = process.wait()
        finally:
            end(process)
            waiting.result()
            timer.shutdown()
    if status is not None and status == -signal.SIGKILL:
        status = None
    return status, "".join(lines)


def end(process):
    """Ends what we started: its own session."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


def end_after(process, seconds):
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        end(process)


# ---------------------------------------------------------------------- scratch trees


class Scratch:
    """A copy of the tree and of its objects, in which one file at a time is changed."""

    def __init__(self, root):
        self.root = root
        os.makedirs(self.root)
        for name in ("Makefile", "include", "lib", "test"):
            self.copy(os.path.join(faults.ROOT, name), name)
        self.copy(os.path.join(BUILD, "check"), "build/check")
        self.copy(os.path.join(BUILD, "test"), "build/test")
        self.name_objects()

    def copy(self, origin, name):
        target = os.path.join(self.root, name)
        if not os.path.exists(origin):
            return
        if os.path.isdir(origin):
            shutil.copytree(origin, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(origin, target)

    def name_objects(self):
        """Dependency files name objects by where they were built."""
        prefix = os.environ.get("BUILD", "build")
        for folder, _, names in os.walk(os.path.join(self.root, "build")):
            for name in names:
                if name.endswith(".d"):
                    path = os.path.join(folder, name)
                    with open(path, encoding="utf-8") as file:
                        text = file.read()
                    with open(path, "w", encoding="utf-8") as file:
                        file.write(text.replace(prefix + "/check/", "build/check/"))

    def make(self, target):
        return run(["make", "BUILD=build", "CFLAGS=-w", "build/" + target], self.root, 300)

    def plant(self, plant):
        """Changes the file; the function that is returned puts it and its object back."""
        path = os.path.join(self.root, plant.path)
        stamp = os.stat(path)
        with open(path, encoding="utf-8") as file:
            text = file.read()
        with open(path, "w", encoding="utf-8") as file:
            file.write(plant.apply(text))

        def restore():
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
            made = os.path.join("check", os.path.splitext(plant.path)[0] + ".o")
            if path.endswith(".c") and os.path.exists(os.path.join(BUILD, made)):
                shutil.copy2(os.path.join(BUILD, made), os.path.join(self.root, "build", made))
                os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))

        return restore


def in_scratches(work, plants):
    """work(scratch, plant) for each, two at a time; yields (plant, result, seconds) as they end."""
    free = queue.Queue()
    folder = tempfile.mkdtemp(prefix="planted-", dir=BUILD)
    for number in range(min(JOBS, len(plants))):
        free.put(Scratch(os.path.join(folder, str(number))))

    def one(plant):
        scratch = free.get()
        start = time.monotonic()
        restore = scratch.plant(plant)
        try:
            return plant, work(scratch, plant), time.monotonic() - start
        finally:
            restore()
            free.put(scratch)

    try:
        with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
            for future in [pool.submit(one, plant) for plant in plants]:
                yield future.result()
    finally:
        shutil.rmtree(folder)


def chosen(names, only_mutants):
    plants = [plant for row in faults.read() for plant in row.plants]
    plants = [
        plant for plant in plants if (plant.mutant if only_mutants else plant.test[0] != "sim")
    ]
    known = {name for plant in plants for name in (plant.mutant, str(plant.row.number))}
    for name in set(names) - known:
        sys.exit("no such planted bug: " + name)
    return [
        plant
        for plant in plants
        if not names or plant.mutant in names or str(plant.row.number) in names
    ]


def what_is_wrong(output):
    lines = [line for line in output.splitlines() if line.strip()]
    return "".join("\n      | " + line for line in lines[-12:])


# ---------------------------------------------------------------------- tests must find it


def run_test(tree, cwd, build, test):
    """(status, output) of one test alone; the status is 0 if it passed."""
    kind, name = test
    program = os.path.join(build, "test", "unit-" + tree.room_of(kind, name))
    pattern = name if kind == "test" else "raft_scripts/*"
    script = name if kind == "script" else ""
    status, output = run(
        [program, "--filter", pattern], cwd, SECONDS_A_TEST, KVR_SCRIPT=script
    )
    if status == 0 and not re.search(r"Tested: .*?[1-9]", output):
        return 0, output + "\nno test ran"
    return status, output


def passes_without(tree, plants):
    wrong = 0
    tests = sorted({plant.test for plant in plants})
    for test in tests:
        status, output = run_test(tree, faults.ROOT, BUILD, test)
        if status != 0 or "no test ran" in output:
            wrong += 1
            print("FAIL %s %s without any bug:%s" % (*test, what_is_wrong(output)))
    print("%d of %d tests pass without a bug" % (len(tests) - wrong, len(tests)))
    return wrong


def proof(names):
    tree = faults.Tree()
    plants = sorted(chosen(names, False), key=lambda plant: tree.room_of(*plant.test))
    wrong = passes_without(tree, plants)

    def work(scratch, plant):
        status, output = scratch.make("test/unit-" + tree.room_of(*plant.test))
        if status != 0:
            return "does not compile" + what_is_wrong(output)
        status, output = run_test(tree, scratch.root, "build", plant.test)
        return "survives" + what_is_wrong(output) if status == 0 else None

    for done, (plant, trouble, seconds) in enumerate(in_scratches(work, plants), 1):
        wrong += trouble is not None
        print(
            "[%2d/%d] %-10s %-34s %4.1f s  %s %s %s"
            % (
                done,
                len(plants),
                plant.name(),
                plant.path,
                seconds,
                *plant.test,
                trouble or "fails",
            ),
            flush=True,
        )
    print("%d passed, %d failed" % (len(plants) - min(wrong, len(plants)), wrong))
    return wrong


# ---------------------------------------------------------------------- the simulator must find it


def mutants(names):
    plants = chosen(names, True)
    last = max(plant.seeds for plant in plants)
    print("without a bug: seeds 1..%d" % last, flush=True)
    status, output = run(
        [os.path.join(BUILD, "kvr-sim"), "--seeds", "1..%d" % last, "--jobs", str(JOBS)],
        faults.ROOT,
        3600,
    )
    print(output, end="", flush=True)
    wrong = int(status != 0)
    without = {match.group(1) for match in FAILED_SEED.finditer(output)}

    def is_found(line):
        match = FAILED_SEED.match(line)
        return match is not None and match.group(1) not in without

    def work(scratch, plant):
        status, output = scratch.make("kvr-sim")
        if status != 0:
            return "does not compile" + what_is_wrong(output), "", 0
        _, output = run(
            ["build/kvr-sim", "--seeds", "1..%d" % plant.seeds],
            scratch.root,
            SECONDS_A_MUTANT,
            stop_at=is_found,
        )
        last = output.splitlines()[-1] if output else ""
        if not is_found(last):
            return "survives" + what_is_wrong(output), "", plant.seeds
        found = FAILED_SEED.match(last)
        return None, found.group(2) + ": " + found.group(3), int(found.group(1))

    for done, (plant, result, seconds) in enumerate(in_scratches(work, plants), 1):
        trouble, check, seed = result
        wrong += trouble is not None
        print(
            "[%2d/%d] %-4s %-62s %5d of %5d seeds %5.1f s  %s"
            % (
                done,
                len(plants),
                plant.mutant,
                plant.row.title[:62],
                seed,
                plant.seeds,
                seconds,
                trouble or check[:110],
            ),
            flush=True,
        )
    print("%d passed, %d failed" % (len(plants) - min(wrong, len(plants)), wrong))
    return wrong


def main():
    command = {"proof": proof, "mutants": mutants}.get(sys.argv[1] if len(sys.argv) > 1 else "")
    if command is None:
        sys.exit(__doc__)
    try:
        sys.exit(1 if command(sys.argv[2:]) else 0)
    except faults.Wrong as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
