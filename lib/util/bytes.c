/* SPDX-License-Identifier: Apache-2.0 */
#include "util/bytes.h"

#include "util/checked.h"

#include <stdlib.h>

#define FIRST_CAPACITY 1024

bool
vmk_bytes_reserve(struct vmk_bytes *bytes, size_t size)
{
    uint64_t needed;
    if (bytes->failed || !vmk_add_u64(bytes->size, size, &needed) || needed > SIZE_MAX / 2) {
        bytes->failed = true;
        return false;
    }
    if (needed <= bytes->capacity)
        return true;
    size_t capacity = bytes->capacity == 0 ? FIRST_CAPACITY : bytes->capacity * 2;
    if (capacity < needed)
        capacity = (size_t)needed;
    uint8_t *data = realloc(bytes->data, capacity);
    if (data == NULL) {
        bytes->failed = true;
        return false;
    }
    bytes->data = data;
    bytes->capacity = capacity;
    return true;
}

void
vmk_bytes_clear(struct vmk_bytes *bytes)
{
    free(bytes->data);
    *bytes = (struct vmk_bytes){0};
}

size_t
vmk_bytes_begin(struct vmk_bytes *bytes)
{
    vmk_bytes_put_u64(bytes, 0);
    return bytes->size - sizeof(uint64_t);
}

void
vmk_bytes_end(struct vmk_bytes *bytes, size_t at)
{
    if (bytes->failed)
        return;
    uint64_t size = htole64(bytes->size - at - sizeof size);
    memcpy(bytes->data + at, &size, sizeof size);
}
