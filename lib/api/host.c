/* SPDX-License-Identifier: Apache-2.0 */
#include "api/check.h"
#include "api/export.h"
#include "api/uncancelled.h"
#include "vm/host.h"
#include "vm/vcpu.h"

VMKIT_EXPORT int
vmkit_host_probe(uint64_t flags, vmkit_host **ret_host, vmkit_error **ret_error)
{
    VMK_API_UNCANCELLED;
    VMK_API_CHECK_POINTER(ret_host);
    VMK_API_CHECK_FLAGS(flags, VMKIT_HOST_PROBE_MEASURE);
    return vmk_host_probe(NULL, NULL, (flags & VMKIT_HOST_PROBE_MEASURE) != 0, ret_host, ret_error);
}

VMKIT_EXPORT int
vmkit_host_probe_path(const char *path, uint64_t flags, vmkit_host **ret_host,
                      vmkit_error **ret_error)
{
    VMK_API_UNCANCELLED;
    VMK_API_CHECK_POINTER(path);
    VMK_API_CHECK_POINTER(ret_host);
    VMK_API_CHECK_FLAGS(flags, VMKIT_HOST_PROBE_MEASURE);
    return vmk_host_probe(NULL, path, (flags & VMKIT_HOST_PROBE_MEASURE) != 0, ret_host, ret_error);
}

VMKIT_EXPORT vmkit_host *
vmkit_host_ref(vmkit_host *host)
{
    return vmk_host_ref(host);
}

VMKIT_EXPORT void
vmkit_host_unref(vmkit_host *host)
{
    vmk_host_unref(host);
}

VMKIT_EXPORT uint32_t
vmkit_host_get_status(const vmkit_host *host)
{
    return host == NULL ? 0 : (uint32_t)vmk_host_get_status(host);
}

VMKIT_EXPORT const char *
vmkit_host_get_advice(const vmkit_host *host)
{
    return host == NULL ? "" : vmk_host_get_advice(host);
}

VMKIT_EXPORT const char *
vmkit_host_get_reason(const vmkit_host *host)
{
    return host == NULL ? "" : vmk_host_get_reason(host);
}

VMKIT_EXPORT uint32_t
vmkit_host_get_api_version(const vmkit_host *host)
{
    return host == NULL ? 0 : (uint32_t)vmk_host_get_api_version(host);
}

VMKIT_EXPORT uint32_t
vmkit_host_get_max_vcpus(const vmkit_host *host)
{
    return host == NULL ? 0 : vmk_host_get_max_vcpus(host);
}

VMKIT_EXPORT uint32_t
vmkit_host_get_max_regions(const vmkit_host *host)
{
    return host == NULL ? 0 : vmk_host_get_max_slots(host);
}

VMKIT_EXPORT const char *
vmkit_host_get_cpu_vendor(const vmkit_host *host)
{
    return host == NULL ? "" : vmk_host_get_cpu(host)->vendor;
}

VMKIT_EXPORT const char *
vmkit_host_get_cpu_model(const vmkit_host *host)
{
    return host == NULL ? "" : vmk_host_get_cpu(host)->model;
}

VMKIT_EXPORT uint32_t
vmkit_host_get_supervisor_mode(const vmkit_host *host)
{
    return host == NULL ? VMKIT_SUPERVISOR_UNKNOWN : (uint32_t)vmk_host_get_supervisor_mode(host);
}

VMKIT_EXPORT uint64_t
vmkit_host_get_supervisor_instruction_ps(const vmkit_host *host)
{
    return host == NULL ? 0 : vmk_host_get_instruction_time_ps(host);
}

VMKIT_EXPORT int
vmkit_host_has_capability(const vmkit_host *host, uint32_t capability)
{
    if (host == NULL || capability > 63)
        return 0;
    return (int)(vmk_host_get_capabilities(host) >> capability & 1);
}

VMKIT_EXPORT int
vmkit_host_get_kick_signal(void)
{
    return vmk_vcpu_get_kick_signal();
}

VMKIT_EXPORT const char *
vmkit_host_status_get_name(uint32_t status)
{
    return vmk_host_status_get_name(status);
}

VMKIT_EXPORT const char *
vmkit_supervisor_mode_get_name(uint32_t mode)
{
    return vmk_host_supervisor_mode_get_name(mode);
}

VMKIT_EXPORT const char *
vmkit_capability_get_name(uint32_t capability)
{
    return vmk_kvm_capability_get_name(capability);
}
