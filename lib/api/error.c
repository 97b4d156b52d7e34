/* SPDX-License-Identifier: Apache-2.0 */
#include "api/export.h"
#include "util/error.h"

VMKIT_EXPORT int
vmkit_error_get_errno(const vmkit_error *error)
{
    return error == NULL ? 0 : vmk_error_get_errno(error);
}

VMKIT_EXPORT uint32_t
vmkit_error_get_kind(const vmkit_error *error)
{
    return error == NULL ? 0 : (uint32_t)vmk_error_get_kind(error);
}

VMKIT_EXPORT const char *
vmkit_error_get_message(const vmkit_error *error)
{
    return error == NULL ? "no error" : vmk_error_get_message(error);
}

VMKIT_EXPORT const char *
vmkit_error_kind_get_name(uint32_t kind)
{
    return vmk_error_kind_get_name(kind);
}

VMKIT_EXPORT vmkit_error *
vmkit_error_ref(vmkit_error *error)
{
    return vmk_error_ref(error);
}

VMKIT_EXPORT void
vmkit_error_unref(vmkit_error *error)
{
    vmk_error_unref(error);
}
