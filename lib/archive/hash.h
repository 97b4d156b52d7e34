/* SPDX-License-Identifier: Apache-2.0 */
/*
 * XXH64, the checksum of archives (github.com/Cyan4973/xxHash, doc/xxhash_spec.md). It is as fast
 * as memory in plain C on every architecture, several times faster than zlib's CRC-32, and a
 * change within eight aligned bytes always changes it. It finds damage; it does not keep a forger
 * out.
 */
#ifndef VMK_ARCHIVE_HASH_H
#define VMK_ARCHIVE_HASH_H

#include <stddef.h>
#include <stdint.h>

struct vmk_archive_hash {
    uint64_t lanes[4];
    uint64_t seed;
    uint64_t size;
};

uint64_t
vmk_archive_hash(const void *data, size_t size, uint64_t seed);

/* The same piece by piece: all pieces but the last one have a multiple of 32 bytes. */
void
vmk_archive_hash_begin(struct vmk_archive_hash *hash, uint64_t seed);

void
vmk_archive_hash_add(struct vmk_archive_hash *hash, const void *data, size_t size);

/* Add the last piece, which may be empty. */
uint64_t
vmk_archive_hash_end(struct vmk_archive_hash *hash, const void *data, size_t size);

#endif
