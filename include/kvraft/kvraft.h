/* SPDX-License-Identifier: Apache-2.0 */
/* kvraft/kvraft.h: includes every public header of libkvraft. A program that embeds the replicated
 * store needs node.h and host.h; start reading there. */
#ifndef KVRAFT_KVRAFT_H
#define KVRAFT_KVRAFT_H

#include <kvraft/auth.h>
#include <kvraft/base.h>
#include <kvraft/host.h>
#include <kvraft/lease.h>
#include <kvraft/mvcc.h>
#include <kvraft/node.h>
#include <kvraft/posix.h>
#include <kvraft/raft.h>
#include <kvraft/seal.h>
#include <kvraft/sim.h>
#include <kvraft/wal.h>
#include <kvraft/watch.h>

#endif
