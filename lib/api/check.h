/* SPDX-License-Identifier: Apache-2.0 */
/* Checks that every exported function begins with. The function's last parameter is `ret_error`. */
#ifndef VMK_API_CHECK_H
#define VMK_API_CHECK_H

#include "util/error.h"

#include <errno.h>

/* Return -EINVAL from the calling function when a pointer that it needs is NULL. */
#define VMK_API_CHECK_POINTER(name)                                                             \
    do {                                                                                        \
        if ((name) == NULL)                                                                     \
            return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT, "%s is NULL", \
                                 #name);                                                        \
    } while (0)

/* Return -EINVAL for flags outside of `known`. */
#define VMK_API_CHECK_FLAGS(flags, known)                                             \
    do {                                                                              \
        if (((flags) & ~(uint64_t)(known)) != 0)                                      \
            return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT,     \
                                 "%s 0x%llx are not known", #flags,                   \
                                 (unsigned long long)((flags) & ~(uint64_t)(known))); \
    } while (0)

#endif
