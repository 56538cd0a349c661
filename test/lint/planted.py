#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""planted.py: one small offence for each rule that lint must find, and clean text that it must
pass.
A rule that finds nothing is otherwise indistinguishable from a clean tree."""

import sys

import rules
import source

HEAD = "/* SPDX-License-Identifier: Apache-2.0 */\n/* x: a planted file. */\n"
BODY = "int f(int a)\n{\n%s}\n"

# path, text behind HEAD, words of the finding that must come (None: no finding at all)
PLANTED = [
    ("lib/raft/raft_x.c", BODY % "    return a;\n", None),
    ("lib/raft/raft_x.c", '#include "mvcc/mvcc_tree.h"\n', "includes mvcc/mvcc_tree.h"),
    ("lib/raft/raft_x.c", "#include <kvraft/mvcc.h>\n", "includes kvraft/mvcc.h"),
    ("lib/raft/raft_x.c", "#include <pthread.h>\n", "includes pthread.h"),
    ("lib/raft/raft_x.c", "#include <sodium.h>\n", "includes sodium.h"),
    ("lib/seal/seal_x.c", "#include <sodium.h>\n", None),
    ("lib/posix/posix_x.c", "#include <fcntl.h>\n#include <kvraft/wal.h>\n", None),
    ("lib/watch/watch_x.c", "#include <kvraft/mvcc.h>\n", None),
    ("include/kvraft/lease.h", "#include <kvraft/node.h>\n", "includes kvraft/node.h"),
    ("lib/raft/raft_x.c", BODY % "    return malloc(a) != 0;\n", "malloc is not used here"),
    ("lib/raft/raft_x.c", BODY % '    /* malloc(1) */ return a + *"printf(1)";\n', None),
    ("lib/raft/raft_x.c", BODY % "    alloc->free(a);\n    return a;\n", None),
    ("lib/raft/raft_x.c", BODY % "    assert(a);\n    return a;\n", "assert is not used here"),
    ("lib/wal/wal_x.c", BODY % "    return time(0) + a;\n", "time is not used here"),
    (
        "examples/demo/demo_x.c",
        BODY % "    strcpy(b, c);\n    return a;\n",
        "strcpy is not used here",
    ),
    (
        "test/unit/raft/test_x.c",
        BODY % "    usleep(1);\n    return a;\n",
        "usleep is not used here",
    ),
    (
        "test/unit/raft/test_x.c",
        BODY % "    cr_assert(eq(int, a, 1));\n    return a;\n",
        "cr_assert",
    ),
    ("test/unit/raft/test_x.c", "Test(a, b, .timeout = 9)\n{\n}\n", ".timeout ="),
    ("lib/raft/raft_x.c", BODY % ("    a++;\n" * 70), "f has 73 lines"),
    ("test/unit/raft/test_x.c", BODY % ("    a++;\n" * 70), None),
    ("lib/raft/raft_x.c", "int a;\n" * 900, "902 lines, at most 900"),
    (
        "lib/raft/raft_x.c",
        "int g(int a, int b, int c, int d, int e, int f, int h)\n{\n}\n",
        "7 parameters",
    ),
    (
        "lib/raft/raft_x.c",
        BODY % "if (a) {\nif (a) {\nif (a) {\nif (a) {\nif (a) {\n}\n}\n}\n}\n}\n",
        "nests 5 deep",
    ),
    ("lib/raft/raft_x.c", BODY % "int b[] = {{{{{1}}}}};\nreturn (struct s){{{a}}}.a.b;\n", None),
    (
        "lib/raft/raft_x.c",
        BODY % "    if (a)\n        return 1;\n    return a;\n",
        "if without braces",
    ),
    (
        "lib/raft/raft_x.c",
        BODY % "    do {\n        a++;\n    } while (a < 9);\n    return a;\n",
        None,
    ),
    ("lib/raft/raft_x.c", "/* %s */\n" % ("x" * 100), "106 columns"),
    ("lib/raft/raft_x.c", "/**\n *\n */\n", "an empty comment"),
    ("lib/raft/raft_x.c", "/* TO" + "DO: later */\n", "without an issue"),
    ("lib/raft/raft_x.h", "#ifndef RAFT_X_H\n#define RAFT_X_H\n#endif\n", "guard RAFT_X_H"),
    ("lib/raft/raft_x.h", "int a;\n", "no include guard"),
    ("include/kvraft/lease.h", "enum color { RED };\n", "'enum color'"),
    ("include/kvraft/lease.h", "struct s {\n    uint8_t a : 3;\n};\n", "'uint8_t a : 3;'"),
    ("include/kvraft/lease.h", "KVR_API void kvr_a(unsigned b);\n", "'unsigned'"),
    ("include/kvraft/lease.h", "KVR_API void kvr_a(uint64_t b, bool c);\n", "', bool'"),
    ("include/kvraft/lease.h", "KVR_API kvr_status kvr_a(uint64_t b);\n", "without KVR_MUST_USE"),
    ("include/kvraft/lease.h", "KVR_API kvr_status kvr_a(uint64_t b) KVR_MUST_USE;\n", None),
    ("include/kvraft/lease.h", "void kvr_a(uint64_t b);\n", "without KVR_API"),
    ("lib/raft/raft_x.h", "void kvr__raft_x(void);\n", "kvr__raft_x is not used"),
]
TEXT_RULES = [
    rule
    for rule in rules.RULES
    if rule.__name__
    not in ("rule_top_level", "rule_words", "rule_rooms", "rule_readme", "rule_budgets")
]
USUAL = {"no include guard", "no file includes it"}  # of fragments; unless they are what is planted


def findings(path, text):
    return [
        finding.what for rule in TEXT_RULES for finding in rule([source.Source(path, HEAD + text)])
    ]


def main():
    failed = 0
    for path, text, expected in PLANTED:
        found = findings(path, text)
        if expected is None:
            wrong = [what for what in found if what not in USUAL]
        else:
            wrong = [] if any(expected in what for what in found) else ["not found: " + expected]
        for what in wrong:
            failed += 1
            print("FAIL %s %r: %s" % (path, text[:60], what))
    print("%d passed, %d failed" % (len(PLANTED) - min(failed, len(PLANTED)), failed))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
