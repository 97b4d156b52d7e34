/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A text that is put together piece by piece. Without memory it takes no more and says so at the
 * end, so that the pieces need no checks: a guest decides how long some texts become, and the host
 * process has to survive that.
 */
#ifndef VMK_UTIL_TEXT_H
#define VMK_UTIL_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* All zero: empty. */
struct vmk_text {
    char *data; /* ended by a NUL, which `size` does not count; NULL while empty */
    size_t size;
    size_t capacity;
    bool failed; /* there was no memory for a piece */
};

void
vmk_text_append_bytes(struct vmk_text *text, const void *data, size_t size);

void
vmk_text_append(struct vmk_text *text, const char *string);

void
vmk_text_printf(struct vmk_text *text, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

void
vmk_text_clear(struct vmk_text *text);

#endif
