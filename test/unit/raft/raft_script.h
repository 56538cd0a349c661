/* SPDX-License-Identifier: Apache-2.0 */
/* raft_script.h: a test as a text file (after etcd-io/raft's testdata): blocks of commands, a line
 * `----`, the expected output, an empty line. Lines that begin with # are comments. The commands
 * stand in the table at the end of raft_script.c; testdata/README explains them. */
#ifndef KVRAFT_TEST_UNIT_RAFT_SCRIPT_H
#define KVRAFT_TEST_UNIT_RAFT_SCRIPT_H

#include <stdbool.h>

/* Runs one script. True if its output is what it expects; otherwise says on stderr where it
 * differs. With `accept` the file is rewritten with what was said. */
bool raft_script_run(const char *path, bool accept);

#endif
