/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/snapshot.h"

#include "api/check.h"
#include "api/export.h"
#include "api/record.h"
#include "api/uncancelled.h"
#include "vm/snapshot_archive.h"
#include "vm/vm_snapshot.h"

VMKIT_EXPORT int
vmkit_sandbox_snapshot(vmkit_sandbox *sandbox, vmkit_snapshot **ret_snapshot,
                       vmkit_error **ret_error)
{
    VMK_API_UNCANCELLED;
    VMK_API_CHECK_POINTER(sandbox);
    VMK_API_CHECK_POINTER(ret_snapshot);
    return vmk_sandbox_snapshot(sandbox, ret_snapshot, ret_error);
}

VMKIT_EXPORT vmkit_snapshot *
vmkit_snapshot_ref(vmkit_snapshot *snapshot)
{
    return vmk_snapshot_ref(snapshot);
}

VMKIT_EXPORT void
vmkit_snapshot_unref(vmkit_snapshot *snapshot)
{
    VMK_API_UNCANCELLED;
    vmk_snapshot_unref(snapshot);
}

VMKIT_EXPORT int
vmkit_snapshot_get_info(vmkit_snapshot *snapshot, struct vmkit_snapshot_info *info,
                        vmkit_error **ret_error)
{
    VMK_API_CHECK_POINTER(snapshot);
    VMK_API_CHECK_RECORD(info, instruction_pointer);
    struct vmkit_snapshot_info full = {.size = sizeof full};
    snapshot->kind->get_info(snapshot, &full);
    vmk_record_store(info, info->size, &full, sizeof full);
    return 0;
}

VMKIT_EXPORT int
vmkit_snapshot_fork(vmkit_snapshot *snapshot, const vmkit_sandbox_config *config,
                    vmkit_sandbox **ret_sandbox, vmkit_error **ret_error)
{
    VMK_API_UNCANCELLED;
    VMK_API_CHECK_POINTER(snapshot);
    VMK_API_CHECK_POINTER(ret_sandbox);
    return vmk_snapshot_fork(snapshot, config, NULL, ret_sandbox, ret_error);
}

VMKIT_EXPORT int
vmkit_sandbox_reset(vmkit_sandbox *sandbox, vmkit_error **ret_error)
{
    VMK_API_UNCANCELLED;
    VMK_API_CHECK_POINTER(sandbox);
    return vmk_sandbox_reset(sandbox, ret_error);
}

VMKIT_EXPORT int
vmkit_vm_snapshot(vmkit_vm *vm, vmkit_snapshot *parent, uint64_t flags,
                  vmkit_snapshot **ret_snapshot, vmkit_error **ret_error)
{
    VMK_API_UNCANCELLED;
    VMK_API_CHECK_POINTER(vm);
    VMK_API_CHECK_FLAGS(flags, VMKIT_VM_SNAPSHOT_TRACK);
    VMK_API_CHECK_POINTER(ret_snapshot);
    return vmk_vm_snapshot(vm, parent, (flags & VMKIT_VM_SNAPSHOT_TRACK) != 0, ret_snapshot,
                           ret_error);
}

VMKIT_EXPORT int
vmkit_vm_new_from_snapshot(vmkit_snapshot *snapshot, const vmkit_vm_config *config, uint64_t flags,
                           vmkit_vcpu **ret_vcpus, uint32_t capacity, uint32_t *ret_count,
                           vmkit_vm **ret_vm, vmkit_error **ret_error)
{
    VMK_API_UNCANCELLED;
    VMK_API_CHECK_POINTER(snapshot);
    VMK_API_CHECK_FLAGS(flags, VMKIT_VM_SNAPSHOT_TRACK);
    if (capacity != 0)
        VMK_API_CHECK_POINTER(ret_vcpus);
    VMK_API_CHECK_POINTER(ret_vm);
    const struct vmk_vm_room room = {ret_vcpus, capacity, ret_count};
    return vmk_vm_new_from_snapshot_configured(
        snapshot, config, (flags & VMKIT_VM_SNAPSHOT_TRACK) != 0, &room, ret_vm, ret_error);
}

static const struct vmk_snapshot_kind *const kinds[] = {&vmk_snapshot_of_vm,
                                                        &vmk_snapshot_of_sandbox};

static int
open_place(const struct vmk_snapshot_place *place, uint64_t flags,
           const vmkit_snapshot_options *options, vmkit_snapshot **ret_snapshot,
           vmkit_error **ret_error)
{
    return vmk_snapshot_open(place, (flags & VMKIT_SNAPSHOT_FILE_COPY) != 0, options, kinds,
                             sizeof kinds / sizeof kinds[0], ret_snapshot, ret_error);
}

VMKIT_EXPORT int
vmkit_snapshot_open_path(const char *path, uint64_t flags, vmkit_snapshot_options *options,
                         vmkit_snapshot **ret_snapshot, vmkit_error **ret_error)
{
    VMK_API_UNCANCELLED;
    VMK_API_CHECK_POINTER(path);
    VMK_API_CHECK_FLAGS(flags, VMKIT_SNAPSHOT_FILE_COPY);
    VMK_API_CHECK_POINTER(ret_snapshot);
    const struct vmk_snapshot_place place = {.path = path, .fd = -1};
    return open_place(&place, flags, options, ret_snapshot, ret_error);
}

VMKIT_EXPORT int
vmkit_snapshot_open_fd(int fd, uint64_t flags, vmkit_snapshot_options *options,
                       vmkit_snapshot **ret_snapshot, vmkit_error **ret_error)
{
    VMK_API_UNCANCELLED;
    VMK_API_CHECK_FLAGS(flags, VMKIT_SNAPSHOT_FILE_COPY);
    VMK_API_CHECK_POINTER(ret_snapshot);
    const struct vmk_snapshot_place place = {.fd = fd};
    return open_place(&place, flags, options, ret_snapshot, ret_error);
}

VMKIT_EXPORT int
vmkit_snapshot_save_path(vmkit_snapshot *snapshot, const char *path,
                         vmkit_snapshot_options *options, vmkit_error **ret_error)
{
    VMK_API_UNCANCELLED;
    VMK_API_CHECK_POINTER(snapshot);
    VMK_API_CHECK_POINTER(path);
    const struct vmk_snapshot_place place = {.path = path, .fd = -1};
    return vmk_snapshot_save(snapshot, &place, options, ret_error);
}

VMKIT_EXPORT int
vmkit_snapshot_save_fd(vmkit_snapshot *snapshot, int fd, vmkit_snapshot_options *options,
                       vmkit_error **ret_error)
{
    VMK_API_UNCANCELLED;
    VMK_API_CHECK_POINTER(snapshot);
    const struct vmk_snapshot_place place = {.fd = fd};
    return vmk_snapshot_save(snapshot, &place, options, ret_error);
}

VMKIT_EXPORT int
vmkit_vm_reset(vmkit_vm *vm, vmkit_error **ret_error)
{
    VMK_API_UNCANCELLED;
    VMK_API_CHECK_POINTER(vm);
    return vmk_vm_reset(vm, ret_error);
}

VMKIT_EXPORT int
vmkit_vm_note_write(vmkit_vm *vm, uint64_t gpa, uint64_t size, vmkit_error **ret_error)
{
    VMK_API_CHECK_POINTER(vm);
    return vmk_vm_note_write(vm, gpa, size, ret_error);
}
