/* SPDX-License-Identifier: Apache-2.0 */
#include "archive/hash.h"

#include <endian.h>
#include <string.h>

static const uint64_t prime1 = UINT64_C(0x9e3779b185ebca87);
static const uint64_t prime2 = UINT64_C(0xc2b2ae3d27d4eb4f);
static const uint64_t prime3 = UINT64_C(0x165667b19e3779f9);
static const uint64_t prime4 = UINT64_C(0x85ebca77c2b2ae63);
static const uint64_t prime5 = UINT64_C(0x27d4eb2f165667c5);

static inline uint64_t
load64(const uint8_t *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return le64toh(value);
}

static inline uint64_t
load32(const uint8_t *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return le32toh(value);
}

static inline uint64_t
rotate(uint64_t value, int bits)
{
    return value << bits | value >> (64 - bits);
}

static inline uint64_t
round_of(uint64_t lane, uint64_t input)
{
    return rotate(lane + input * prime2, 31) * prime1;
}

static inline uint64_t
merge(uint64_t hash, uint64_t lane)
{
    return (hash ^ round_of(0, lane)) * prime1 + prime4;
}

static uint64_t
hash_rest(uint64_t hash, const uint8_t *at, size_t size)
{
    for (; size >= 8; at += 8, size -= 8)
        hash = rotate(hash ^ round_of(0, load64(at)), 27) * prime1 + prime4;
    if (size >= 4) {
        hash = rotate(hash ^ load32(at) * prime1, 23) * prime2 + prime3;
        at += 4;
        size -= 4;
    }
    for (; size > 0; at++, size--)
        hash = rotate(hash ^ *at * prime5, 11) * prime1;
    hash = (hash ^ hash >> 33) * prime2;
    hash = (hash ^ hash >> 29) * prime3;
    return hash ^ hash >> 32;
}

void
vmk_archive_hash_begin(struct vmk_archive_hash *hash, uint64_t seed)
{
    *hash = (struct vmk_archive_hash){
        .lanes = {seed + prime1 + prime2, seed + prime2, seed, seed - prime1}, .seed = seed};
}

/* Four lanes over stripes of 32 bytes. */
void
vmk_archive_hash_add(struct vmk_archive_hash *hash, const void *data, size_t size)
{
    const uint8_t *at = data;
    uint64_t a = hash->lanes[0], b = hash->lanes[1], c = hash->lanes[2], d = hash->lanes[3];
    for (size_t left = size; left >= 32; left -= 32, at += 32) {
        a = round_of(a, load64(at));
        b = round_of(b, load64(at + 8));
        c = round_of(c, load64(at + 16));
        d = round_of(d, load64(at + 24));
    }
    memcpy(hash->lanes, (uint64_t[]){a, b, c, d}, sizeof hash->lanes);
    hash->size += size;
}

static uint64_t
merge_lanes(const uint64_t *lanes)
{
    uint64_t hash =
        rotate(lanes[0], 1) + rotate(lanes[1], 7) + rotate(lanes[2], 12) + rotate(lanes[3], 18);
    for (size_t i = 0; i < 4; i++)
        hash = merge(hash, lanes[i]);
    return hash;
}

uint64_t
vmk_archive_hash_end(struct vmk_archive_hash *hash, const void *data, size_t size)
{
    size_t striped = size & ~(size_t)31;
    vmk_archive_hash_add(hash, data, size);
    uint64_t value = hash->size >= 32 ? merge_lanes(hash->lanes) : hash->seed + prime5;
    const uint8_t *rest = size == 0 ? NULL : (const uint8_t *)data + striped;
    return hash_rest(value + hash->size, rest, size - striped);
}

uint64_t
vmk_archive_hash(const void *data, size_t size, uint64_t seed)
{
    struct vmk_archive_hash hash;
    vmk_archive_hash_begin(&hash, seed);
    return vmk_archive_hash_end(&hash, data, size);
}
