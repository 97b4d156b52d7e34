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

/* Four lanes over stripes of 32 bytes. */
static uint64_t
hash_stripes(const uint8_t *at, const uint8_t *end, uint64_t seed)
{
    uint64_t a = seed + prime1 + prime2, b = seed + prime2, c = seed, d = seed - prime1;
    for (; end - at >= 32; at += 32) {
        a = round_of(a, load64(at));
        b = round_of(b, load64(at + 8));
        c = round_of(c, load64(at + 16));
        d = round_of(d, load64(at + 24));
    }
    uint64_t hash = rotate(a, 1) + rotate(b, 7) + rotate(c, 12) + rotate(d, 18);
    return merge(merge(merge(merge(hash, a), b), c), d);
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

uint64_t
vmk_archive_hash(const void *data, size_t size, uint64_t seed)
{
    const uint8_t *at = data;
    uint64_t hash = size >= 32 ? hash_stripes(at, at + size, seed) : seed + prime5;
    size_t striped = size & ~(size_t)31;
    return hash_rest(hash + size, at == NULL ? NULL : at + striped, size - striped);
}
