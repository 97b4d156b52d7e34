/* SPDX-License-Identifier: Apache-2.0 */
#include "kvm/capability.h"
#include "util/descriptor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

_Static_assert(VMK_KVM_API_VERSION == KVM_API_VERSION, "the kernel's header has another version");

#define NO_DESCRIPTOR (VMK_ERRNO(EMFILE) | VMK_ERRNO(ENFILE) | VMK_ERRNO(ENOMEM))

/* The facts of the kernel's own device: empty, then set once and never changed or freed. */
static _Atomic(const struct vmk_kvm_facts *) process_facts;

/* What the errnos tell by which the kernel speaks to the caller, and not of a failure. */
static enum vmkit_error_kind
kind_of(int err, uint64_t known)
{
    if (err < 0 || err >= 64 || (known & VMK_ERRNO(err)) == 0)
        return VMKIT_ERROR_KVM_FAILED;
    switch (err) {
    case EINVAL:
        return VMKIT_ERROR_INVALID_ARGUMENT;
    case EEXIST:
        return VMKIT_ERROR_EXISTS;
    case ENOENT:
        return VMKIT_ERROR_NOT_FOUND;
    case ENOSPC:
        return VMKIT_ERROR_LIMIT;
    case EBUSY:
        return VMKIT_ERROR_BUSY;
    default:
        return VMKIT_ERROR_KVM_FAILED;
    }
}

int
vmk_kvm_fail_known(vmkit_error **ret_error, int result, uint64_t known, const char *call)
{
    if (result == -ENOMEM)
        return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                             "%s: the kernel has no memory left", call);
    return vmk_error_set_known(ret_error, -result, known, kind_of(-result, known), "%s", call);
}

int
vmk_kvm_fail(vmkit_error **ret_error, int result, const char *call)
{
    return vmk_kvm_fail_known(ret_error, result, 0, call);
}

static int
finish_call(int result, unsigned long request, const char *name, vmkit_error **ret_error)
{
    uint64_t known = _IOC_DIR(request) == _IOC_WRITE ? VMK_ERRNO(EINVAL) : 0;
    return result < 0 ? vmk_kvm_fail_known(ret_error, result, known, name) : 0;
}

int
vmk_kvm_vm_call(const struct vmk_kvm_vm *vm, unsigned long request, const void *argument,
                const char *name, vmkit_error **ret_error)
{
    int result = vmk_kvm_vm_ioctl(vm, request, (uintptr_t)argument);
    return finish_call(result, request, name, ret_error);
}

int
vmk_kvm_vcpu_call(const struct vmk_kvm_vcpu *vcpu, unsigned long request, const void *argument,
                  const char *name, vmkit_error **ret_error)
{
    int result = vmk_kvm_vcpu_ioctl(vcpu, request, (uintptr_t)argument);
    return finish_call(result, request, name, ret_error);
}

static void
facts_free(struct vmk_kvm_facts *facts)
{
    if (facts == NULL)
        return;
    vmk_kvm_arch_facts_free(facts);
    free(facts);
}

static int
facts_fill(const struct vmk_kvm_system *system, struct vmk_kvm_facts *facts,
           vmkit_error **ret_error)
{
    facts->api_version = vmk_kvm_system_ioctl(system, KVM_GET_API_VERSION, 0);
    if (facts->api_version < 0)
        return vmk_kvm_fail(ret_error, facts->api_version,
                            "KVM_GET_API_VERSION: this is no KVM device");
    if (facts->api_version != KVM_API_VERSION)
        return vmk_error_set(ret_error, ENOTSUP, VMKIT_ERROR_KVM_INCAPABLE,
                             "this host's KVM speaks API version %d, the library speaks %d",
                             facts->api_version, KVM_API_VERSION);

    int size = vmk_kvm_system_ioctl(system, KVM_GET_VCPU_MMAP_SIZE, 0);
    if (size < 0)
        return vmk_kvm_fail(ret_error, size, "KVM_GET_VCPU_MMAP_SIZE");
    if ((size_t)size < sizeof(struct kvm_run))
        return vmk_error_set(ret_error, ENOTSUP, VMKIT_ERROR_KVM_INCAPABLE,
                             "this host's KVM shares %d bytes with a vCPU, %zu are needed", size,
                             sizeof(struct kvm_run));
    facts->run_size = (size_t)size;

    int result = vmk_kvm_capability_probe(system, facts, ret_error);
    if (result < 0)
        return result;
    return vmk_kvm_arch_facts(system, facts, ret_error);
}

static int
facts_new(const struct vmk_kvm_system *system, struct vmk_kvm_facts **ret_facts,
          vmkit_error **ret_error)
{
    struct vmk_kvm_facts *facts = calloc(1, sizeof *facts);
    if (facts == NULL)
        return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                             "no memory for what the host's KVM can do");
    int result = facts_fill(system, facts, ret_error);
    if (result < 0) {
        facts_free(facts);
        return result;
    }
    *ret_facts = facts;
    return 0;
}

/* Two threads may both ask at first; the one that comes second takes the other's answer. */
static int
load_process_facts(struct vmk_kvm_system *system, vmkit_error **ret_error)
{
    system->facts = atomic_load_explicit(&process_facts, memory_order_acquire);
    if (system->facts != NULL)
        return 0;

    struct vmk_kvm_facts *mine = NULL;
    int result = facts_new(system, &mine, ret_error);
    if (result < 0)
        return result;
    const struct vmk_kvm_facts *none = NULL;
    if (atomic_compare_exchange_strong(&process_facts, &none, mine)) {
        system->facts = mine;
    } else {
        facts_free(mine);
        system->facts = none;
    }
    return 0;
}

static int
load_facts(struct vmk_kvm_system *system, bool of_process, vmkit_error **ret_error)
{
    if (of_process)
        return load_process_facts(system, ret_error);
    int result = facts_new(system, &system->own_facts, ret_error);
    system->facts = system->own_facts;
    return result;
}

static int
fail_open(vmkit_error **ret_error, int err, const char *path)
{
    switch (err) {
    case ENOENT:
    case ENODEV:
    case ENXIO:
    case ENOTDIR:
        return vmk_error_set(ret_error, ENODEV, VMKIT_ERROR_KVM_MISSING,
                             "%s is not there: this host has no KVM, or does not show it here",
                             path);
    case EACCES:
    case EPERM:
        return vmk_error_set(ret_error, EACCES, VMKIT_ERROR_KVM_PERMISSION,
                             "%s may not be opened for reading and writing by this user", path);
    default:
        return vmk_error_set_known(ret_error, err, NO_DESCRIPTOR, VMKIT_ERROR_KVM_FAILED,
                                   "opening %s", path);
    }
}

int
vmk_kvm_system_open(const struct vmk_kvm_ops *ops, const char *path,
                    struct vmk_kvm_system **ret_system, vmkit_error **ret_error)
{
    bool of_process = ops == NULL && path == NULL;
    if (path == NULL)
        path = VMK_KVM_DEFAULT_PATH;
    struct vmk_kvm_system *system = calloc(1, sizeof *system);
    if (system == NULL)
        return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                             "no memory for a handle of %s", path);
    atomic_init(&system->references, 1);
    system->ops = ops == NULL ? vmk_kvm_default_ops : *ops;
    system->fd = system->ops.open(system->ops.context, path);

    int result = system->fd < 0 ? fail_open(ret_error, -system->fd, path)
                                : load_facts(system, of_process, ret_error);
    if (result < 0) {
        vmk_kvm_system_unref(system);
        return result;
    }
    *ret_system = system;
    return 0;
}

int
vmk_kvm_system_open_fd(int fd, struct vmk_kvm_system **ret_system, vmkit_error **ret_error)
{
    int own = fcntl(fd, F_DUPFD_CLOEXEC, VMK_DESCRIPTOR_FIRST);
    if (own < 0 && errno == EBADF)
        return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT,
                             "descriptor %d is not open", fd);
    if (own < 0)
        return vmk_error_set_known(ret_error, errno, NO_DESCRIPTOR, VMKIT_ERROR_IO,
                                   "duplicating descriptor %d", fd);
    struct vmk_kvm_system *system = calloc(1, sizeof *system);
    if (system == NULL) {
        close(own);
        return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                             "no memory for a handle of KVM");
    }
    atomic_init(&system->references, 1);
    system->ops = vmk_kvm_default_ops;
    system->fd = own;

    /* The facts of this process are those of a KVM device, so it has to be one. */
    int result = 0;
    if (vmk_kvm_system_ioctl(system, KVM_GET_API_VERSION, 0) < 0)
        result = vmk_error_set(ret_error, ENODEV, VMKIT_ERROR_KVM_MISSING,
                               "descriptor %d is not of a KVM device", fd);
    if (result == 0)
        result = load_facts(system, true, ret_error);
    if (result < 0)
        vmk_kvm_system_unref(system);
    else
        *ret_system = system;
    return result;
}

int
vmk_kvm_probe_api_version(const struct vmk_kvm_ops *ops, const char *path)
{
    if (ops == NULL)
        ops = &vmk_kvm_default_ops;
    int fd = ops->open(ops->context, path == NULL ? VMK_KVM_DEFAULT_PATH : path);
    if (fd < 0)
        return fd;
    int version = ops->ioctl(ops->context, fd, KVM_GET_API_VERSION, 0);
    ops->close(ops->context, fd);
    return version;
}

struct vmk_kvm_system *
vmk_kvm_system_ref(struct vmk_kvm_system *system)
{
    if (system != NULL)
        atomic_fetch_add_explicit(&system->references, 1, memory_order_relaxed);
    return system;
}

void
vmk_kvm_system_unref(struct vmk_kvm_system *system)
{
    if (system == NULL ||
        atomic_fetch_sub_explicit(&system->references, 1, memory_order_acq_rel) != 1)
        return;
    if (system->fd >= 0)
        system->ops.close(system->ops.context, system->fd);
    facts_free(system->own_facts);
    free(system);
}

int
vmk_kvm_system_get_api_version(const struct vmk_kvm_system *system)
{
    return system->facts->api_version;
}

bool
vmk_kvm_system_has(const struct vmk_kvm_system *system, enum vmkit_capability capability)
{
    return (system->facts->capabilities >> capability & 1) != 0;
}

uint64_t
vmk_kvm_system_get_capabilities(const struct vmk_kvm_system *system)
{
    return system->facts->capabilities;
}

uint32_t
vmk_kvm_system_get_max_vcpus(const struct vmk_kvm_system *system)
{
    return system->facts->max_vcpus;
}

uint32_t
vmk_kvm_system_get_max_slots(const struct vmk_kvm_system *system)
{
    return system->facts->max_slots;
}

size_t
vmk_kvm_system_get_xsave_size(const struct vmk_kvm_system *system)
{
    return system->facts->xsave_size;
}
