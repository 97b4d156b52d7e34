/* SPDX-License-Identifier: Apache-2.0 */
#include "api/export.h"

#include <vmkit/version.h>

VMKIT_EXPORT uint32_t
vmkit_get_version(void)
{
    return VMKIT_VERSION;
}
