/* SPDX-License-Identifier: Apache-2.0 */
/* raft_cluster_internal.h: what raft_cluster.c, raft_disk.c and raft_ghost.c share. */
#ifndef KVRAFT_TEST_UNIT_RAFT_CLUSTER_INTERNAL_H
#define KVRAFT_TEST_UNIT_RAFT_CLUSTER_INTERNAL_H

#include "raft_cluster.h"

/* raft_disk.c */
void cluster_disk_submit(cluster_disk *disk, const kvr_store_request *request);
void cluster_disk_release(cluster_disk *disk);

/* raft_ghost.c */
struct cluster_ghost *cluster_ghost_new(void);
void cluster_ghost_free(struct cluster_ghost *ghost);
void cluster_ghost_applied(cluster *c, cluster_member *m, const kvr_entry *entry);
void cluster_ghost_installed(cluster *c, cluster_member *m);
void cluster_ghost_before_messages(cluster *c, cluster_member *m);
void cluster_ghost_crashed(cluster *c, cluster_member *m);

#endif
