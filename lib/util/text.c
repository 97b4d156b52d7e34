/* SPDX-License-Identifier: Apache-2.0 */
#include "util/text.h"

#include "util/checked.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Make room for `size` more bytes and the NUL. */
static bool
reserve(struct vmk_text *text, size_t size)
{
    uint64_t needed;
    if (text->failed || !vmk_add_u64(text->size, size, &needed) || needed > SIZE_MAX / 2 - 1) {
        text->failed = true;
        return false;
    }
    if (needed < text->capacity)
        return true;
    size_t capacity = needed < 128 ? 128 : (size_t)needed * 2;
    char *data = realloc(text->data, capacity);
    if (data == NULL) {
        text->failed = true;
        return false;
    }
    text->data = data;
    text->capacity = capacity;
    return true;
}

void
vmk_text_append_bytes(struct vmk_text *text, const void *data, size_t size)
{
    if (size == 0 || !reserve(text, size))
        return;
    memcpy(text->data + text->size, data, size);
    text->size += size;
    text->data[text->size] = '\0';
}

void
vmk_text_append(struct vmk_text *text, const char *string)
{
    vmk_text_append_bytes(text, string, strlen(string));
}

void
vmk_text_printf(struct vmk_text *text, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    int length = vsnprintf(NULL, 0, format, list);
    va_end(list);
    if (length < 0)
        text->failed = true;
    if (length <= 0 || !reserve(text, (size_t)length))
        return;
    va_start(list, format);
    vsnprintf(text->data + text->size, (size_t)length + 1, format, list);
    va_end(list);
    text->size += (size_t)length;
}

void
vmk_text_clear(struct vmk_text *text)
{
    free(text->data);
    *text = (struct vmk_text){0};
}
