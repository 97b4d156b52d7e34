/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Arithmetic on numbers that someone else chose. Each returns false, and leaves the result alone
 * for the caller not to use, when the true value does not fit.
 */
#ifndef VMK_UTIL_CHECKED_H
#define VMK_UTIL_CHECKED_H

#include <stdbool.h>
#include <stdint.h>

static inline bool
vmk_add_u64(uint64_t a, uint64_t b, uint64_t *ret)
{
    return !__builtin_add_overflow(a, b, ret);
}

static inline bool
vmk_mul_u64(uint64_t a, uint64_t b, uint64_t *ret)
{
    return !__builtin_mul_overflow(a, b, ret);
}

/* Round up to a multiple of `unit`, a power of two. */
static inline bool
vmk_round_up_u64(uint64_t value, uint64_t unit, uint64_t *ret)
{
    uint64_t sum;
    if (!vmk_add_u64(value, unit - 1, &sum))
        return false;
    *ret = sum & ~(unit - 1);
    return true;
}

/* Whether [start, start + size) lies inside of [outer, outer + outer_size). */
static inline bool
vmk_range_inside(uint64_t start, uint64_t size, uint64_t outer, uint64_t outer_size)
{
    return start >= outer && size <= outer_size && start - outer <= outer_size - size;
}

/* Whether two ranges, neither of which wraps, share a byte. */
static inline bool
vmk_range_overlaps(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size)
{
    return a_size != 0 && b_size != 0 && a < b + b_size && b < a + a_size;
}

#endif
