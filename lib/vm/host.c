/* SPDX-License-Identifier: Apache-2.0 */
#include "vm/host.h"

#include <errno.h>
#include <grp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A native instruction takes well under a nanosecond, and some tens of them where the whole host is
 * emulated; an interpreted one takes several hundred or more. */
#define INTERPRETED_PS (150 * 1000)

struct vmkit_host {
    atomic_uint references;
    enum vmkit_host_status status;
    int api_version;
    uint64_t capabilities;
    uint32_t max_vcpus;
    uint32_t max_slots;
    enum vmkit_supervisor_mode mode;
    uint64_t instruction_ps;
    struct vmk_host_surroundings around;
    char advice[512];
    char reason[256];
};

static const char *const status_names[] = {
    [VMKIT_HOST_USABLE] = "usable",
    [VMKIT_HOST_NO_DEVICE] = "no-device",
    [VMKIT_HOST_NO_PERMISSION] = "no-permission",
    [VMKIT_HOST_WRONG_VERSION] = "wrong-version",
    [VMKIT_HOST_MISSING_CAPABILITY] = "missing-capability",
    [VMKIT_HOST_BROKEN] = "broken",
    [VMKIT_HOST_UNSUPPORTED_ARCHITECTURE] = "unsupported-architecture",
};

static const char *const mode_names[] = {
    [VMKIT_SUPERVISOR_UNKNOWN] = "unknown",
    [VMKIT_SUPERVISOR_NATIVE] = "native",
    [VMKIT_SUPERVISOR_INTERPRETED] = "interpreted",
};

static bool
in_container(void)
{
    return access("/.dockerenv", F_OK) == 0 || access("/run/.containerenv", F_OK) == 0 ||
           access("/run/systemd/container", F_OK) == 0;
}

static void
look_around(struct vmk_host_surroundings *around, const char *path)
{
    struct stat st;
    struct group group;
    struct group *found = NULL;
    char buffer[1024];
    vmk_arch_get_cpu(&around->cpu);
    around->in_container = in_container();
    if (stat(path, &st) == 0 && (st.st_mode & 0060) == 0060 && st.st_gid != 0 &&
        getgrgid_r(st.st_gid, &group, buffer, sizeof buffer, &found) == 0 && found != NULL)
        snprintf(around->device_group, sizeof around->device_group, "%s", found->gr_name);
}

static const char *
advise_no_device(const struct vmk_host_surroundings *around)
{
    if (around->in_container)
        return "this is a container that does not show the device: start it with it (docker run "
               "--device /dev/kvm), or ask whoever runs the container";
    if (around->cpu.has_virtualization)
        return "the processor can do it: load the kernel's module (modprobe kvm_intel or modprobe "
               "kvm_amd)";
    if (around->cpu.is_virtual)
        return "this host is itself a virtual machine: turn on nested virtualisation for it, or "
               "use "
               "a host of another kind";
    return "turn on virtualisation (Intel VT-x, AMD SVM) in the firmware's set-up, and load the "
           "kernel's module (modprobe kvm_intel or modprobe kvm_amd)";
}

static void
advise_no_permission(char *text, size_t size, const struct vmk_host_surroundings *around,
                     const char *path)
{
    if (around->device_group[0] != '\0')
        snprintf(
            text, size,
            "%s belongs to the group \"%s\", in which this user is not: run \"sudo usermod -aG "
            "%s $USER\" and log in again",
            path, around->device_group, around->device_group);
    else
        snprintf(text, size,
                 "%s may not be opened by this user: let a group use it (chgrp kvm %s; chmod 660 "
                 "%s), or run as root",
                 path, path, path);
}

void
vmk_host_advise(char *text, size_t size, enum vmkit_host_status status,
                enum vmkit_supervisor_mode mode, const struct vmk_host_surroundings *around,
                const char *path, const char *reason)
{
    switch (status) {
    case VMKIT_HOST_USABLE:
        snprintf(
            text, size, "%s",
            mode == VMKIT_SUPERVISOR_INTERPRETED
                ? "KVM can be used; programs in sandboxes run natively, but guests with a "
                  "kernel are interpreted, thousands of times slower: run those on a host with "
                  "VT-x, SVM or nested virtualisation"
                : "KVM can be used; nothing has to be done");
        return;
    case VMKIT_HOST_NO_DEVICE:
        snprintf(text, size, "%s is not there; %s", path, advise_no_device(around));
        return;
    case VMKIT_HOST_NO_PERMISSION:
        advise_no_permission(text, size, around, path);
        return;
    case VMKIT_HOST_WRONG_VERSION:
    case VMKIT_HOST_MISSING_CAPABILITY:
        snprintf(text, size, "%s: use a newer kernel, 5.10 at least", reason);
        return;
    case VMKIT_HOST_UNSUPPORTED_ARCHITECTURE:
        snprintf(text, size, "%s: use an x86-64 host", reason);
        return;
    case VMKIT_HOST_BROKEN:
        break;
    }
    if (around->is_no_kvm) {
        snprintf(text, size, "%s is something else than KVM: name its device, which is %s", path,
                 VMK_KVM_DEFAULT_PATH);
        return;
    }
    snprintf(text, size, "%s is there and does not work (%s): look at the kernel's log (dmesg)",
             path, reason);
}

static enum vmkit_host_status
status_from_error(const vmkit_error *error, int api_version)
{
    switch (vmk_error_get_kind(error)) {
    case VMKIT_ERROR_KVM_MISSING:
        return VMKIT_HOST_NO_DEVICE;
    case VMKIT_ERROR_KVM_PERMISSION:
        return VMKIT_HOST_NO_PERMISSION;
    case VMKIT_ERROR_KVM_INCAPABLE:
        return api_version >= 0 && api_version != VMK_KVM_API_VERSION
                   ? VMKIT_HOST_WRONG_VERSION
                   : VMKIT_HOST_MISSING_CAPABILITY;
    default:
        return VMKIT_HOST_BROKEN;
    }
}

static void
take_error(struct vmkit_host *host, const vmkit_error *error, int api_version)
{
    host->status = status_from_error(error, api_version);
    host->around.is_no_kvm = api_version == -EISDIR || api_version == -ENOTTY;
}

static int
take_facts(struct vmkit_host *host, struct vmk_kvm_system *system, bool measure,
           vmkit_error **ret_error)
{
    host->api_version = vmk_kvm_system_get_api_version(system);
    host->capabilities = vmk_kvm_system_get_capabilities(system);
    host->max_vcpus = vmk_kvm_system_get_max_vcpus(system);
    host->max_slots = vmk_kvm_system_get_max_slots(system);
    if (!measure)
        return 0;
    int result = vmk_arch_measure_supervisor(system, &host->instruction_ps, ret_error);
    if (result == 0)
        host->mode = host->instruction_ps >= INTERPRETED_PS ? VMKIT_SUPERVISOR_INTERPRETED
                                                            : VMKIT_SUPERVISOR_NATIVE;
    return result;
}

/* What fails is what is found out, but for a lack of memory, which says nothing of KVM. */
static int
probe(struct vmkit_host *host, const struct vmk_kvm_ops *ops, const char *path, bool measure,
      vmkit_error **ret_error)
{
    struct vmk_kvm_system *system = NULL;
    vmkit_error *error = NULL;
    host->status = VMKIT_HOST_USABLE;
    if (vmk_arch_check(&error) < 0)
        host->status = VMKIT_HOST_UNSUPPORTED_ARCHITECTURE;
    else if (vmk_kvm_system_open(ops, path, &system, &error) < 0)
        take_error(host, error, vmk_kvm_probe_api_version(ops, path));
    else if (take_facts(host, system, measure, &error) < 0)
        host->status = VMKIT_HOST_BROKEN;
    if (host->status == VMKIT_HOST_WRONG_VERSION)
        host->api_version = vmk_kvm_probe_api_version(ops, path);
    vmk_kvm_system_unref(system);
    if (error != NULL && vmk_error_get_kind(error) == VMKIT_ERROR_OUT_OF_MEMORY)
        return vmk_error_hand_over(error, ret_error);
    if (error != NULL)
        snprintf(host->reason, sizeof host->reason, "%s", vmk_error_get_message(error));
    vmk_error_unref(error);
    return 0;
}

int
vmk_host_probe(const struct vmk_kvm_ops *ops, const char *path, bool measure,
               struct vmkit_host **ret_host, vmkit_error **ret_error)
{
    const char *name = path == NULL ? VMK_KVM_DEFAULT_PATH : path;
    struct vmkit_host *host = calloc(1, sizeof *host);
    if (host == NULL)
        return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                             "no memory for a host probe");
    atomic_init(&host->references, 1);
    look_around(&host->around, name);
    int result = probe(host, ops, path, measure, ret_error);
    if (result < 0) {
        free(host);
        return result;
    }
    vmk_host_advise(host->advice, sizeof host->advice, host->status, host->mode, &host->around,
                    name, host->reason);
    *ret_host = host;
    return 0;
}

struct vmkit_host *
vmk_host_ref(struct vmkit_host *host)
{
    if (host != NULL)
        atomic_fetch_add_explicit(&host->references, 1, memory_order_relaxed);
    return host;
}

void
vmk_host_unref(struct vmkit_host *host)
{
    if (host != NULL && atomic_fetch_sub_explicit(&host->references, 1, memory_order_acq_rel) == 1)
        free(host);
}

enum vmkit_host_status
vmk_host_get_status(const struct vmkit_host *host)
{
    return host->status;
}

int
vmk_host_get_api_version(const struct vmkit_host *host)
{
    return host->api_version;
}

uint64_t
vmk_host_get_capabilities(const struct vmkit_host *host)
{
    return host->capabilities;
}

uint32_t
vmk_host_get_max_vcpus(const struct vmkit_host *host)
{
    return host->max_vcpus;
}

uint32_t
vmk_host_get_max_slots(const struct vmkit_host *host)
{
    return host->max_slots;
}

const struct vmk_arch_cpu *
vmk_host_get_cpu(const struct vmkit_host *host)
{
    return &host->around.cpu;
}

enum vmkit_supervisor_mode
vmk_host_get_supervisor_mode(const struct vmkit_host *host)
{
    return host->mode;
}

uint64_t
vmk_host_get_instruction_time_ps(const struct vmkit_host *host)
{
    return host->instruction_ps;
}

const char *
vmk_host_get_advice(const struct vmkit_host *host)
{
    return host->advice;
}

const char *
vmk_host_get_reason(const struct vmkit_host *host)
{
    return host->reason;
}

const char *
vmk_host_status_get_name(uint32_t status)
{
    return status < sizeof status_names / sizeof status_names[0] ? status_names[status] : NULL;
}

const char *
vmk_host_supervisor_mode_get_name(uint32_t mode)
{
    return mode < sizeof mode_names / sizeof mode_names[0] ? mode_names[mode] : NULL;
}
