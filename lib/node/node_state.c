/* SPDX-License-Identifier: Apache-2.0 */
/* node_state.c: the section "node" of a snapshot: origins and hash points, each behind its size, so
 * that parts added later are skipped by those who do not know them. What else this room replicates
 * stands in the header of the stream. */
#include "node_internal.h"
#include "node_snapshot.h"

#include "base/checksum.h"

uint64_t kvr__state_hash_live(const kvr_node *node)
{
    kvr_mvcc_status store = {.size = sizeof store};
    kvr_lease_status leases = {.size = sizeof leases};
    kvr_mvcc_get_status(node->store, &store);
    kvr_lease_get_status(node->book, &leases);
    return store.hash_live + leases.hash + kvr__origins_hash(&node->origins);
}

size_t kvr__state_size(const kvr_node *node)
{
    return 8 + kvr__origins_size(&node->origins) + kvr__hashes_size(&node->hashes);
}

void kvr__state_write(const kvr_node *node, kvr__writer *writer)
{
    kvr__write_u32(writer, (uint32_t)kvr__origins_size(&node->origins));
    kvr__origins_write(&node->origins, writer);
    kvr__write_u32(writer, (uint32_t)kvr__hashes_size(&node->hashes));
    kvr__hashes_write(&node->hashes, writer);
}

kvr_status kvr__state_read(kvr_slice bytes, kvr__origins *origins, kvr__hashes *hashes)
{
    kvr__reader reader = kvr__reader_of(bytes.data, bytes.size);
    kvr_slice part = kvr__read_slice(&reader);
    kvr__reader in = kvr__reader_of(part.data, part.size);
    kvr_status status = kvr__origins_read(origins, &in);
    if (status != KVR_OK) {
        return status;
    }
    part = kvr__read_slice(&reader);
    in = kvr__reader_of(part.data, part.size);
    status = kvr__hashes_read(hashes, &in);
    return status == KVR_OK && reader.failed ? KVR_ECORRUPT : status;
}
