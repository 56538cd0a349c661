/* SPDX-License-Identifier: Apache-2.0 */
/* mvcc_build.h: a tree from keys that come in order, bottom up, with full leaves. */
#ifndef KVRAFT_LIB_MVCC_BUILD_H
#define KVRAFT_LIB_MVCC_BUILD_H

#include "mvcc_tree.h"

/* The right edge of a tree under way. Everything it has made belongs to the content, which is
 * thrown away whole if the build does not end. */
typedef struct kvr__mvcc_builder {
    kvr__mvcc_content *content;
    kvr__mvcc_node *edge[KVR__MVCC_PATH_MAX]; /* by level; NULL: none yet */
    /* lower bound of each of them; NULL: none */
    kvr__mvcc_separator *bound[KVR__MVCC_PATH_MAX];
    const kvr__mvcc_record *last;
} kvr__mvcc_builder;

/* `record`'s key is above all before. KVR_ENOMEM: the build is lost. */
kvr_status kvr__mvcc_build_add(kvr__mvcc_builder *builder, kvr__mvcc_record *record);
kvr_status kvr__mvcc_build_end(kvr__mvcc_builder *builder, kvr__mvcc_node **out_root);

#endif
