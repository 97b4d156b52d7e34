/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes that are written, and read back, field by field in little-endian order. A buffer that finds
 * no memory, and a cursor that comes to the end, take or give no more and say so when they are
 * asked, so that the fields need no checks of their own: what a cursor gives then is zeros.
 */
#ifndef VMK_UTIL_BYTES_H
#define VMK_UTIL_BYTES_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* All zero: empty. */
struct vmk_bytes {
    uint8_t *data;
    size_t size;
    size_t capacity;
    bool failed; /* there was no memory for a piece */
};

/* Make room for `size` more bytes. False without memory. */
bool
vmk_bytes_reserve(struct vmk_bytes *bytes, size_t size);

/* Free what it holds; it is empty then. */
void
vmk_bytes_clear(struct vmk_bytes *bytes);

/* Append room for `size` bytes, which the caller fills before it appends more. NULL without memory.
 */
static inline uint8_t *
vmk_bytes_append(struct vmk_bytes *bytes, size_t size)
{
    if (bytes->capacity - bytes->size < size && !vmk_bytes_reserve(bytes, size))
        return NULL;
    uint8_t *at = bytes->data + bytes->size;
    bytes->size += size;
    return at;
}

static inline void
vmk_bytes_put(struct vmk_bytes *bytes, const void *data, size_t size)
{
    uint8_t *at = size == 0 ? NULL : vmk_bytes_append(bytes, size);
    if (at != NULL)
        memcpy(at, data, size);
}

static inline void
vmk_bytes_put_u8(struct vmk_bytes *bytes, uint8_t value)
{
    vmk_bytes_put(bytes, &value, sizeof value);
}

static inline void
vmk_bytes_put_u32(struct vmk_bytes *bytes, uint32_t value)
{
    value = htole32(value);
    vmk_bytes_put(bytes, &value, sizeof value);
}

static inline void
vmk_bytes_put_u64(struct vmk_bytes *bytes, uint64_t value)
{
    value = htole64(value);
    vmk_bytes_put(bytes, &value, sizeof value);
}

/* Append a 64-bit length that is not known yet: where it stands, for vmk_bytes_end(), which fills
 * in how much came behind it. */
size_t
vmk_bytes_begin(struct vmk_bytes *bytes);

void
vmk_bytes_end(struct vmk_bytes *bytes, size_t at);

/* A cursor over bytes that somebody else holds. */
struct vmk_byte_cursor {
    const uint8_t *data; /* what is left */
    size_t left;
    bool failed; /* more was asked for than was left */
};

/* The next `size` bytes, lent; NULL, and the cursor failed, when there are fewer. */
static inline const uint8_t *
vmk_cursor_get(struct vmk_byte_cursor *cursor, uint64_t size)
{
    if (size > cursor->left) {
        cursor->left = 0;
        cursor->failed = true;
        return NULL;
    }
    const uint8_t *at = cursor->data;
    cursor->data += size;
    cursor->left -= (size_t)size;
    return at;
}

static inline uint8_t
vmk_cursor_get_u8(struct vmk_byte_cursor *cursor)
{
    const uint8_t *at = vmk_cursor_get(cursor, 1);
    return at == NULL ? 0 : *at;
}

static inline uint32_t
vmk_cursor_get_u32(struct vmk_byte_cursor *cursor)
{
    uint32_t value = 0;
    const uint8_t *at = vmk_cursor_get(cursor, sizeof value);
    if (at != NULL)
        memcpy(&value, at, sizeof value);
    return le32toh(value);
}

static inline uint64_t
vmk_cursor_get_u64(struct vmk_byte_cursor *cursor)
{
    uint64_t value = 0;
    const uint8_t *at = vmk_cursor_get(cursor, sizeof value);
    if (at != NULL)
        memcpy(&value, at, sizeof value);
    return le64toh(value);
}

#endif
