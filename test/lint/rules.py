# SPDX-License-Identifier: Apache-2.0
"""rules.py: the house rules that a text can be held against. Each rule is a generator of findings;
every function below with a name that begins with `rule_` is run, so a new rule is a new function.

A finding says where, what is wrong, why that is a rule, and what to do instead."""

import collections
import glob
import os
import re

from source import ROOT

Finding = collections.namedtuple("Finding", "path line what why remedy")

TOP_LEVEL = {
    "Makefile",
    "lib",
    "include",
    "examples",
    "test",
    "bench",
    "man",
    "README.md",
    "COPYING",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "SECURITY.md",
    ".ci",
    ".clang-format",
    ".gitignore",
    ".git",
}

# The arrows of ARCHITECTURE.md: which public headers a room may know, beside its own and base.h.
# (Rooms reach each other only through public headers, so this is all there is.)
HEADERS_OF_ROOM = {
    "base": {"host"},
    "raft": {"host"},
    "mvcc": {"host"},
    "watch": {"mvcc"},
    "lease": {"host"},
    "auth": {"host"},
    "wal": {"host"},
    "posix": {"host", "wal"},
    "seal": {"host"},
    "node": {"host", "raft", "mvcc", "watch", "lease", "auth"},
    "sim": {"host", "raft", "mvcc", "watch", "lease", "auth", "node", "wal"},
}
C_HEADERS = {
    "inttypes.h",
    "limits.h",
    "stdalign.h",
    "stdatomic.h",
    "stdbool.h",
    "stddef.h",
    "stdint.h",
    "string.h",
}
EXTRA_C_HEADERS = {  # the few files that may touch the machine, and why their room is theirs
    "lib/base/memory.c": {"stdlib.h"},
    "lib/base/panic.c": {"stdio.h", "stdlib.h"},
    "lib/base/checksum.h": {"xxhash.h"},
    "lib/base/slab.c": {"sanitizer/asan_interface.h"},
}
MACHINE_ROOMS = {"posix"}
EXTRA_ROOM_HEADERS = {"seal": {"sodium.h"}}

BANNED = [  # areas, pattern of the call, what to use instead
    (
        "lib",
        r"(?<!->)(?<!\.)\b(?:malloc|calloc|realloc|free|strdup|strndup)\s*\(",
        "kvr__mem_alloc and its kin of lib/base/memory.h",
    ),
    ("lib", r"\bassert\s*\(", "KVR_ASSERT of lib/base/assertion.h"),
    (
        "lib",
        r"\b(?:v?f?printf|puts|fputs|putchar|perror)\s*\(",
        "a status and the handle's detail string",
    ),
    (
        "lib",
        r"\b(?:time|clock|gettimeofday|localtime|gmtime)\s*\(",
        "the host's clock, as an argument",
    ),
    (
        "lib examples test bench",
        r"\b(?:rand|srand|random|srandom|drand48)\s*\(",
        "kvr__random, seeded, or the host's entropy",
    ),
    (
        "lib examples test bench",
        r"\b(?:strcpy|strcat|sprintf|vsprintf|gets|strtok|atoi|atol|atof)\s*\(",
        "snprintf, memcpy with a checked size, strtoull with its end checked",
    ),
    (
        "lib",
        r"\b(?:exit|_exit|abort|signal|getenv|longjmp|setjmp)\s*\(",
        "a status for what the world does, KVR_ASSERT for our own bugs",
    ),
    ("lib examples bench", r"\b(?:alloca)\s*\(", "a fixed array with a checked bound"),
    (
        "test/unit test/thread",
        r"\b(?:sleep|usleep|nanosleep|clock_nanosleep)\s*\(",
        "wait for the event itself; a test has no clock",
    ),
    (
        "test/unit",
        r"\b(?:time|gettimeofday|clock_gettime)\s*\(",
        "a made-up time; a test has no clock",
    ),
    ("test/unit", r"\.timeout\s*=", "nothing: the tier stops what hangs; a loaded machine is slow"),
    (
        "test/unit",
        r"\bcr_(?:assert|expect)\s*\(\s*(?:eq|ne|lt|gt|le|ge|zero|not|all|any)\s*\(",
        "the classic cr_assert_eq and its kin (new-style asserts read memory that is gone)",
    ),
]
BANNED_EXEMPT = {"lib/base/memory.c", "lib/base/panic.c"}
LIMITS = {  # area: function lines, file lines, internal header lines
    "lib": (70, 900, 400),
    "include": (70, 900, 900),
    "examples": (70, 900, 400),
    "test": (100, 1200, 1200),
    "bench": (100, 1200, 1200),
}
# Built from pieces so that this file does not break its own rule.
PLACES = re.compile(r"(?<![\w.])/(?:work|root|home/\w+)/|/tmp/" + "brief")
WORKPLACE = re.compile(
    r"\b(?:" + "|".join(("LL" + "M", "Clau" + "de", "Chat" + "GPT", "Open" + "AI")) + r")\b"
)
REGISTRIES = re.compile(
    "|".join(
        (
            "pypi" + r"\.org",
            "crates" + r"\.io",
            "proxy" + r"\.golang",
            "registry" + r"\.npm",
            "deb" + r"\.debian",
        )
    )
)


def rule_top_level(_sources):
    for name in sorted(os.listdir(ROOT)):
        if name not in TOP_LEVEL and name not in ("build", "core"):  # those git ignores
            yield Finding(
                name,
                0,
                "a new entry at the top level",
                "a newcomer reads that list first",
                "put it in the folder of what it belongs to",
            )


def rule_unique_names(sources):
    seen = {}
    for source in sources:
        name = os.path.basename(source.path)
        public = source.path.startswith("include/")
        if not public and name in seen:
            yield Finding(
                source.path,
                0,
                "the same name as " + seen[name],
                "`ar r` silently keeps one of two members of a name",
                "prefix it with its room",
            )
        if not public:
            seen[name] = source.path


def rule_head(sources):
    for source in sources:
        lines = source.lines
        if not lines or lines[0] != "/* SPDX-License-Identifier: Apache-2.0 */":
            yield Finding(
                source.path,
                1,
                "no SPDX line",
                "each file says its licence itself",
                "/* SPDX-License-Identifier: Apache-2.0 */",
            )
            continue
        if len(lines) < 2 or not lines[1].startswith("/* "):
            yield Finding(
                source.path,
                2,
                "no head comment",
                "the first 12 lines tell the idea",
                "say what this file is, its one idea, its invariant, where to start",
            )
            continue
        end = next((i for i, line in enumerate(lines[1:], 1) if "*/" in line), len(lines))
        if end > 12 and source.area != "include":
            yield Finding(
                source.path,
                2,
                "a head comment of %d lines" % end,
                "at most 12, so that it is read",
                "move the rest to the room's README.md",
            )


def rule_lines(sources):
    for source in sources:
        for number, line in enumerate(source.lines, 1):
            if len(line) > 100:
                yield Finding(
                    source.path,
                    number,
                    "%d columns" % len(line),
                    "two files side by side fit a screen at 100",
                    "break the line",
                )
            if "\t" in line or line.rstrip() != line:
                yield Finding(
                    source.path,
                    number,
                    "a tab or trailing blank",
                    "diffs show only changes",
                    "make format",
                )


def rule_guards(sources):
    for source in sources:
        if not source.path.endswith(".h"):
            continue
        parts = re.sub(r"\.h$", "", source.path).split("/")
        base = parts[2:] if parts[0] == "include" else parts
        guards = [guard_of(base)]
        if len(base) > 1 and (base[-1] + "_").startswith(base[-2] + "_"):
            guards.append(guard_of(base[:-2] + base[-1:]))  # lib/raft/raft_log.h may say raft once
        found = re.search(r"^#ifndef (\w+)\n#define (\w+)$", source.text, re.M)
        if not found or found.group(1) != found.group(2):
            yield Finding(
                source.path,
                1,
                "no include guard",
                "a header is included twice sooner or later",
                "#ifndef %s" % guards[-1],
            )
        elif found.group(1) not in guards:
            yield Finding(
                source.path,
                source.line_of(found.start()),
                "guard " + found.group(1),
                "a guard that follows the path can clash with none",
                guards[-1],
            )


def guard_of(parts):
    return "KVRAFT_" + re.sub(r"\W", "_", "_".join(parts)).upper() + "_H"


def rule_arrows(sources):
    for source in sources:
        for number, kind, name in source.includes:
            reason = forbidden_include(source, kind, name)
            if reason:
                yield Finding(
                    source.path, number, "includes " + name, reason, "the arrows of ARCHITECTURE.md"
                )


def forbidden_include(source, kind, name):
    public = re.fullmatch(r"kvraft/(\w+)\.h", name)
    if source.area == "lib":
        if source.room not in HEADERS_OF_ROOM:
            return "room %s has no arrows yet" % source.room
        allowed = HEADERS_OF_ROOM[source.room] | {source.room, "base"}
        if public:
            return None if public.group(1) in allowed else "no arrow goes there from " + source.room
        if kind == '"':
            folder = os.path.dirname(name) or source.room
            return None if folder in (source.room, "base") else "the inside of another room"
        if (
            source.room in MACHINE_ROOMS
            or name in C_HEADERS
            or name in EXTRA_ROOM_HEADERS.get(source.room, ())
        ):
            return None
        if name in EXTRA_C_HEADERS.get(source.path, ()):
            return None
        return "the core has no threads, files, clock or output of its own"
    if source.area == "include":
        if public:
            room = os.path.basename(source.path)[:-2]
            allowed = HEADERS_OF_ROOM.get(room, set()) | {"base"}
            if room == "kvraft" or public.group(1) in allowed:
                return None
            return "no arrow goes there from " + room
        return (
            None
            if name in ("stdbool.h", "stddef.h", "stdint.h")
            else "bindings parse these headers"
        )
    if source.area in ("examples", "bench") and kind == '"':
        if os.path.exists(os.path.join(ROOT, "lib", name)):
            return "what is outside lib/ knows public headers only"
    return None


def rule_banned(sources):
    for source in sources:
        for areas, pattern, remedy in BANNED:
            if not any(source.path.startswith(area + "/") for area in areas.split()):
                continue
            if (
                source.path in BANNED_EXEMPT
                or source.room in MACHINE_ROOMS
                and "exit" not in pattern
            ):
                continue
            for match in re.finditer(pattern, source.logic):
                yield Finding(
                    source.path,
                    source.line_of(match.start()),
                    match.group(0).rstrip("( ") + " is not used here",
                    "it hides a resource, a bound or a clock",
                    remedy,
                )


def rule_sizes(sources):
    for source in sources:
        function_max, file_max, header_max = LIMITS[source.area]
        limit = header_max if source.path.endswith(".h") else file_max
        if len(source.lines) > limit:
            yield Finding(
                source.path,
                0,
                "%d lines, at most %d" % (len(source.lines), limit),
                "nobody reads further from top to bottom",
                "split it by subject",
            )
        for function in source.functions:
            if function.lines > function_max:
                yield Finding(
                    source.path,
                    function.line,
                    "%s has %d lines, at most %d" % (function.name, function.lines, function_max),
                    "the long tail is where bugs live",
                    "push ifs up and loops down",
                )
            if function.parameters > 6 and not source.path.startswith("bench/peers/"):
                yield Finding(
                    source.path,
                    function.line,
                    "%s has %d parameters, at most 6" % (function.name, function.parameters),
                    "two of them will be swapped",
                    "a request struct",
                )
            if function.nesting > 4:
                yield Finding(
                    source.path,
                    function.line,
                    "%s nests %d deep, at most 4" % (function.name, function.nesting),
                    "who reads must hold each condition",
                    "return early, or a function",
                )


def rule_braces(sources):
    for source in sources:
        code = source.logic
        for match in re.finditer(r"\b(if|for|while|else)\b\s*", code):
            end = match.end()
            if match.group(1) != "else":
                if code[end : end + 1] != "(":
                    continue
                depth = 0
                for end in range(end, len(code)):
                    depth += (code[end] == "(") - (code[end] == ")")
                    if depth == 0:
                        break
                end += 1
            rest = code[end:].lstrip()
            do_while = match.group(1) == "while" and code[: match.start()].rstrip().endswith("}")
            if (
                not rest.startswith("{")
                and not do_while
                and not (match.group(1) == "else" and rest.startswith("if"))
            ):
                yield Finding(
                    source.path,
                    source.line_of(match.start()),
                    match.group(1) + " without braces",
                    "the next line to be added is the bug",
                    "braces, always",
                )


def rule_comments(sources):
    for source in sources:
        for match in re.finditer(r"/\*[\s*]*\*/", source.text):
            yield Finding(
                source.path,
                source.line_of(match.start()),
                "an empty comment",
                "it says nothing and takes a line",
                "say why, or remove it",
            )
        for number, line in enumerate(source.lines, 1):
            if re.search(r"\b(?:TODO|FIXME|XXX)\b(?!\(#\d+\))", line):
                yield Finding(
                    source.path,
                    number,
                    "a TODO without an issue",
                    "it would stay for ever",
                    "TODO(#12), or do it now",
                )


def text_files():
    patterns = (
        "Makefile",
        "*.md",
        ".ci/run",
        "man/*",
        "lib/*/README.md",
        "bench/README.md",
        "test/*.*",
        "test/*/*.*",
        "test/*/*/*.*",
        "test/*/*/*/*.*",
        "lib/*.*",
        "lib/*/*.[ch]",
        "include/*/*",
        "examples/*/*",
        "bench/*.[ch]",
        "bench/*/*",
    )
    paths = {
        os.path.relpath(path, ROOT)
        for pattern in patterns
        for path in glob.glob(os.path.join(ROOT, pattern))
        if os.path.isfile(path)
    }
    return sorted(path for path in paths if not path.endswith(".pyc"))


def rule_words(_sources):
    for path in text_files():
        with open(os.path.join(ROOT, path), encoding="utf-8", errors="replace") as file:
            for number, line in enumerate(file, 1):
                for pattern, what in (
                    (PLACES, "a path of one machine"),
                    (WORKPLACE, "a word of a workplace"),
                    (REGISTRIES, "the host of a package registry"),
                ):
                    if match := pattern.search(line):
                        yield Finding(
                            path,
                            number,
                            "%s: %s" % (what, match.group(0)),
                            "it means nothing to who clones this",
                            "a relative path, or nothing",
                        )


def rule_public_types(sources):
    banned = (
        (r"\benum\s+\w+", "an enum type has no fixed size", "uint8_t and an anonymous enum"),
        (r"\bunion\b", "bindings cannot see which member counts", "a struct with a kind"),
        (r"\.\.\.", "varargs cannot be bound", "an array and a count"),
        (r"\b\w+\s+\w+\s*:\s*\d+\s*;", "the layout of bit-fields is the compiler's", "flags"),
        (r"\b(?:static|inline)\b", "bindings cannot call it", "a function in lib/"),
        (
            r"\b(?:int|long|short|unsigned|signed|off_t|ssize_t|time_t|FILE)\b",
            "its size depends",
            "uint8_t to uint64_t, int32_t, int64_t; size_t for memory",
        ),
        (r"(?:\(|,)\s*(?:const\s+)?bool\b", "bool is only a return value", "uint8_t 0 or 1"),
        (r"^\s+bool\s+\w+;", "bool is only a return value", "uint8_t 0 or 1"),
    )
    for source in sources:
        if source.area != "include":
            continue
        for pattern, why, remedy in banned:
            for match in re.finditer(pattern, source.logic, re.M):
                yield Finding(
                    source.path,
                    source.line_of(match.start() + 1),
                    "'%s' in a public header" % " ".join(match.group(0).split()),
                    why,
                    remedy,
                )
        for match in re.finditer(r"KVR_API\s+kvr_status\s+(\w+)\s*\(([^;]*);", source.logic):
            if "KVR_MUST_USE" not in match.group(2) and not match.group(1).endswith("_free"):
                yield Finding(
                    source.path,
                    source.line_of(match.start()),
                    match.group(1) + " without KVR_MUST_USE",
                    "an ignored status is a lost failure",
                    "KVR_MUST_USE before the semicolon",
                )
        for match in re.finditer(
            r"^(?!KVR_API|typedef)[a-z][\w \t*]*\bkvr_\w+\s*\(", source.logic, re.M
        ):
            yield Finding(
                source.path,
                source.line_of(match.start()),
                "a function without KVR_API",
                "it is hidden in the shared library",
                "KVR_API before it",
            )


def rule_dead(sources):
    library = [source for source in sources if source.area == "lib"]
    count = collections.Counter()
    included = set()
    for source in sources:
        included.update(os.path.basename(name) for _, _, name in source.includes)
    for source in library:
        count.update(re.findall(r"\bkvr__\w+", source.code))
    for source in library:
        if source.path.endswith(".h") and os.path.basename(source.path) not in included:
            yield Finding(
                source.path,
                0,
                "no file includes it",
                "dead files are read all the same",
                "remove it",
            )
        if not source.path.endswith(".h"):
            continue
        for match in re.finditer(
            r"^(static inline )?[a-z][\w \t*]*?\b(kvr__\w+)\s*\(", source.logic, re.M
        ):
            if count[match.group(2)] <= (1 if match.group(1) else 2):
                yield Finding(
                    source.path,
                    source.line_of(match.start()),
                    match.group(2) + " is not used in lib/",
                    "code that nothing calls is only tested",
                    "remove it, and its tests",
                )


def rule_rooms(_sources):
    headings = [
        "What it does",
        "The algorithm and its source",
        "Where we differ and why",
        "Invariants",
        "What to read first",
    ]
    for folder in sorted(glob.glob(os.path.join(ROOT, "lib", "*", ""))):
        room = os.path.basename(folder[:-1])
        if not glob.glob(folder + "*.c"):
            continue
        path = "lib/%s/README.md" % room
        if not os.path.exists(os.path.join(ROOT, path)):
            yield Finding(
                path, 0, "is missing", "each room explains itself", "five headings, 100 lines"
            )
            continue
        with open(os.path.join(ROOT, path), encoding="utf-8") as file:
            lines = file.read().splitlines()
        found = [line.lstrip("#").strip() for line in lines if line.startswith("##")]
        if [heading for heading in found if heading in headings] != headings:
            yield Finding(
                path,
                0,
                "its headings are not the five",
                "who knows one room knows all",
                ", ".join(headings),
            )
        if len(lines) > 100:
            yield Finding(
                path,
                0,
                "%d lines, at most 100" % len(lines),
                "it is read in one sitting",
                "shorten",
            )
        if not os.path.exists(folder + room + "_check.c"):
            yield Finding(
                "lib/%s/%s_check.c" % (room, room),
                0,
                "is missing",
                "the invariants of the README are code there",
                "kvr__%s_check" % room,
            )


def rule_readme(_sources):
    path = os.path.join(ROOT, "README.md")
    if not os.path.exists(path):
        return
    with open(path, encoding="utf-8") as file:
        found = re.search(r"^```c\n(.*?)^```", file.read(), re.M | re.S)
    if not found:
        yield Finding(
            "README.md", 0, "shows no C program", "the first thing that a reader copies", "```c"
        )
        return
    for example in glob.glob(os.path.join(ROOT, "examples", "*", "*.c")):
        with open(example, encoding="utf-8") as file:
            if found.group(1).strip() in file.read():
                return
    yield Finding(
        "README.md",
        0,
        "its program is no file of examples/",
        "the two would drift apart",
        "show a file of examples/ as it stands",
    )


def rule_budgets(_sources):
    """Lines of the two lists that the tiers read."""
    for path, pattern in (
        ("test/budget.txt", r"(check|check-full|check-hostile) \S+ \d+"),
        ("test/skips.txt", r"\S+ \S.*"),
    ):
        with open(os.path.join(ROOT, path), encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if line.split("#")[0].strip() and not re.fullmatch(
                    pattern, line.split("#")[0].strip()
                ):
                    yield Finding(
                        path, number, "not understood", "tier.py reads it", "see its first lines"
                    )


RULES = [rule for name, rule in sorted(globals().items()) if name.startswith("rule_")]
