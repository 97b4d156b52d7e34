/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Chunks of pages through zlib (RFC 1950). A chunk is compressed as a whole and for itself, so that
 * its bytes depend on nothing but its contents, the level and zlib's version. What does not get
 * smaller is stored as it is, and its size says so.
 */
#ifndef VMK_ARCHIVE_DEFLATE_H
#define VMK_ARCHIVE_DEFLATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vmk_deflate;

/* NULL without memory. */
struct vmk_deflate *
vmk_deflate_new(uint32_t level);

/* NULL is fine. */
void
vmk_deflate_free(struct vmk_deflate *state);

/* Compress to at most `size` - 1 bytes, which `to` has room for. How many bytes it became, or 0
 * when it does not get smaller. */
size_t
vmk_deflate_run(struct vmk_deflate *state, const uint8_t *from, size_t size, uint8_t *to);

/* Exactly `to_size` bytes out of exactly `from_size`. 0, -EINVAL when they are not that, or
 * -ENOMEM. Writes at most `to_size` bytes whatever the input is. */
int
vmk_inflate_run(const uint8_t *from, size_t from_size, uint8_t *to, size_t to_size);

#endif
