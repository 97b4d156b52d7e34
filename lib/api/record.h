/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records: plain structures of the caller that begin with `uint32_t size`, which the caller sets to
 * what it was compiled with. They grow at their end. An older caller's record is shorter: it gets
 * the fields that it has, and what it cannot say is zero. A newer one's is longer: what this
 * library does not know becomes zero, or is not read. A size that no release had is refused.
 */
#ifndef VMK_API_RECORD_H
#define VMK_API_RECORD_H

#include "api/check.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* More than any release will have: a `size` that nobody set. */
#define VMK_RECORD_MAX 65536

/* Return -EINVAL from the calling function when the record is NULL, or its `size` is none that a
 * release had. `last` is the last member that the record had in the release that brought it, and
 * does not change when the record grows. */
#define VMK_API_CHECK_RECORD(name, last)                                                   \
    do {                                                                                   \
        VMK_API_CHECK_POINTER(name);                                                       \
        int check_result = vmk_record_check(                                               \
            (name)->size, offsetof(__typeof__(*(name)), last) + sizeof(name)->last, #name, \
            ret_error);                                                                    \
        if (check_result < 0)                                                              \
            return check_result;                                                           \
    } while (0)

static inline int
vmk_record_check(uint32_t size, size_t first_size, const char *name, vmkit_error **ret_error)
{
    if (size >= first_size && size <= VMK_RECORD_MAX)
        return 0;
    return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT,
                         "%s->size is %u, not %zu to %d: set it to sizeof *%s before the call",
                         name, size, first_size, VMK_RECORD_MAX, name);
}

/* Give the caller what the library filled in. */
static inline void
vmk_record_store(void *record, uint32_t size, const void *full, uint32_t full_size)
{
    uint32_t known = size < full_size ? size : full_size;
    memcpy((uint8_t *)record + sizeof size, (const uint8_t *)full + sizeof size,
           known - sizeof size);
    if (size > known)
        memset((uint8_t *)record + known, 0, size - known);
}

/* Take what the caller says. */
static inline void
vmk_record_load(void *full, uint32_t full_size, const void *record, uint32_t size)
{
    uint32_t known = size < full_size ? size : full_size;
    memset(full, 0, full_size);
    memcpy(full, &full_size, sizeof full_size);
    memcpy((uint8_t *)full + sizeof size, (const uint8_t *)record + sizeof size,
           known - sizeof size);
}

#endif
