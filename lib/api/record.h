/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Result records: plain structures that begin with `uint32_t size`, which the caller sets to what
 * it was compiled with. An older caller's record is shorter and gets the fields that it knows; a
 * newer one's is longer, and what this library does not know becomes zero.
 */
#ifndef VMK_API_RECORD_H
#define VMK_API_RECORD_H

#include "util/error.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

/* The first release's smallest record, and more than any release will have. */
#define VMK_RECORD_MIN 8
#define VMK_RECORD_MAX 65536

static inline int
vmk_record_check(uint32_t size, const char *name, vmkit_error **ret_error)
{
    if (size < VMK_RECORD_MIN || size > VMK_RECORD_MAX)
        return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT,
                             "%s->size is %u; set it to sizeof *%s before the call", name, size,
                             name);
    return 0;
}

static inline void
vmk_record_store(void *record, uint32_t size, const void *full, uint32_t full_size)
{
    uint32_t known = size < full_size ? size : full_size;
    memcpy((uint8_t *)record + sizeof size, (const uint8_t *)full + sizeof size,
           known - sizeof size);
    if (size > known)
        memset((uint8_t *)record + known, 0, size - known);
}

#endif
