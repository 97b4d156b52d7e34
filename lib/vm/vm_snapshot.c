/* SPDX-License-Identifier: Apache-2.0 */
#include "vm/vm_snapshot.h"
#include "vm/private.h"
#include "vm/snapshot_memory.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#define SECTION "vm" /* of a file: the state */

struct vm_snapshot {
    struct vmkit_snapshot base;
    struct vmk_image *image;
    struct vmk_bytes bytes;
    struct vmk_vm_state state; /* lends from the bytes */
    /* Made by the first reset to it. */
    pthread_mutex_t reset_lock;
    _Atomic(struct vmk_vm_reset_parts *) reset_parts;
};

static void
reset_parts_free(struct vmk_vm_reset_parts *parts, const struct vmk_vm_state *state)
{
    if (parts == NULL)
        return;
    for (uint32_t i = 0; parts->views != NULL && i < state->region_count; i++)
        vmk_memory_unref(parts->views[i]);
    for (uint32_t i = 0; parts->vcpus != NULL && i < state->vcpu_count; i++)
        vmk_vcpu_state_free(parts->vcpus[i]);
    free(parts->views);
    free(parts->vcpus);
    free(parts);
}

static void
snapshot_free(struct vmkit_snapshot *base)
{
    struct vm_snapshot *snapshot = (struct vm_snapshot *)base;
    reset_parts_free(atomic_load(&snapshot->reset_parts), &snapshot->state);
    pthread_mutex_destroy(&snapshot->reset_lock);
    vmk_image_unref(snapshot->image);
    vmk_vm_state_clear(&snapshot->state);
    vmk_bytes_clear(&snapshot->bytes);
    free(snapshot);
}

static void
get_info(const struct vmkit_snapshot *base, struct vmkit_snapshot_info *info)
{
    const struct vm_snapshot *snapshot = (const struct vm_snapshot *)base;
    info->kind = VMKIT_SNAPSHOT_OF_VM;
    for (uint32_t i = 0; i < snapshot->state.region_count; i++) {
        const struct vmk_vm_state_region *region = &snapshot->state.regions[i];
        info->memory_bytes += region->image == region->gpa ? region->size : 0;
    }
    info->data_bytes = vmk_image_get_data_size(snapshot->image);
    info->process_bytes = snapshot->bytes.size;
    info->vcpu_count = snapshot->state.vcpu_count;
}

static const struct vm_snapshot *
cast(const struct vmkit_snapshot *snapshot)
{
    return (const struct vm_snapshot *)snapshot;
}

struct vmk_image *
vmk_vm_snapshot_get_image(const struct vmkit_snapshot *snapshot)
{
    return cast(snapshot)->image;
}

const struct vmk_bytes *
vmk_vm_snapshot_get_bytes(const struct vmkit_snapshot *snapshot)
{
    return &cast(snapshot)->bytes;
}

const struct vmk_vm_state *
vmk_vm_snapshot_get_state(const struct vmkit_snapshot *snapshot)
{
    return &cast(snapshot)->state;
}

static uint64_t
get_memory_size(const struct vmkit_snapshot *snapshot)
{
    const struct vmk_vm_state *state = &cast(snapshot)->state;
    uint64_t end = 0;
    for (uint32_t i = 0; i < state->region_count; i++) {
        const struct vmk_vm_state_region *region = &state->regions[i];
        if (region->image == region->gpa)
            end = region->gpa + region->size;
    }
    return end;
}

static bool
lies_in(const struct vmkit_snapshot *snapshot, int fd)
{
    return vmk_image_lies_in(cast(snapshot)->image, fd);
}

static int
save(const struct vmkit_snapshot *snapshot, const struct vmkit_snapshot *parent,
     struct vmk_archive_writer *writer, struct vmk_bytes *bytes, vmkit_error **ret_error)
{
    const struct vmk_bytes *state = &cast(snapshot)->bytes;
    (void)bytes;
    int result =
        vmk_archive_writer_add_section(writer, SECTION, VMK_VM_STATE_VERSION, VMK_ARCHIVE_REQUIRED,
                                       state->data, state->size, ret_error);
    return result < 0 ? result
                      : vmk_snapshot_memory_save(cast(snapshot)->image,
                                                 parent == NULL ? NULL : cast(parent)->image,
                                                 get_memory_size(snapshot), writer, ret_error);
}

/* KVM keeps books on every page of every region, whatever is in it: a word for each. A file says in
 * a few bytes that there are many. */
static int
check_regions(const struct vm_snapshot *snapshot, uint64_t memory_limit, vmkit_error **ret_error)
{
    uint64_t pages = 0;
    for (uint32_t i = 0; i < snapshot->state.region_count; i++)
        pages += snapshot->state.regions[i].size / VMK_REGION_PAGE;
    if (pages <= memory_limit / sizeof(uint64_t))
        return 0;
    return vmk_error_set(ret_error, E2BIG, VMKIT_ERROR_LIMIT,
                         "the snapshot's %u memory regions have %" PRIu64 " pages, for which KVM "
                         "alone needs more than the %" PRIu64 " bytes that opening it may take",
                         snapshot->state.region_count, pages, memory_limit);
}

static int
open_archive(struct vmk_archive *archive, struct vmkit_snapshot *parent, uint64_t memory_limit,
             const struct vmk_archive_settings *settings, struct vmkit_snapshot **ret_snapshot,
             vmkit_error **ret_error)
{
    static const struct vmk_snapshot_memory_use all = {
        .size = UINT64_MAX, .raw_mappings = SIZE_MAX, .read_limit = UINT64_MAX};
    struct vmk_image *image = NULL;
    struct vmk_bytes bytes = {0};
    void *data = NULL;
    uint64_t size = 0;
    int result = vmk_archive_read_section(archive, SECTION, VMK_ARCHIVE_MAX_SECTION, &data, &size,
                                          ret_error);
    if (result < 0)
        return result;
    bytes = (struct vmk_bytes){.data = data, .size = (size_t)size, .capacity = (size_t)size};
    result = vmk_snapshot_memory_open(archive, parent == NULL ? NULL : cast(parent)->image, &all,
                                      settings, &image, ret_error);
    if (result == 0)
        result = vmk_vm_snapshot_new(image, &bytes, ret_snapshot, ret_error);
    if (result < 0)
        vmk_image_unref(image);
    vmk_bytes_clear(&bytes);
    if (result < 0)
        return result;
    result = check_regions(cast(*ret_snapshot), memory_limit, ret_error);
    if (result < 0) {
        vmk_snapshot_unref(*ret_snapshot);
        *ret_snapshot = NULL;
    }
    return result;
}

static const struct vmk_archive_known sections[] = {{SECTION, VMK_VM_STATE_VERSION}};

const struct vmk_snapshot_kind vmk_snapshot_of_vm = {
    .name = "a raw VM",
    .free = snapshot_free,
    .get_info = get_info,
    .sections = sections,
    .section_count = sizeof sections / sizeof sections[0],
    .get_memory_size = get_memory_size,
    .lies_in = lies_in,
    .save = save,
    .open = open_archive,
};

int
vmk_vm_snapshot_new(struct vmk_image *image, struct vmk_bytes *bytes,
                    struct vmkit_snapshot **ret_snapshot, vmkit_error **ret_error)
{
    struct vm_snapshot *snapshot = calloc(1, sizeof *snapshot);
    if (snapshot == NULL)
        return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                             "no memory for a snapshot");
    vmk_snapshot_init(&snapshot->base, &vmk_snapshot_of_vm);
    pthread_mutex_init(&snapshot->reset_lock, NULL);
    atomic_init(&snapshot->reset_parts, NULL);
    int result = vmk_vm_state_decode(&snapshot->state, bytes->data, bytes->size, ret_error);
    if (result < 0) {
        vmk_snapshot_unref(&snapshot->base);
        return result;
    }
    snapshot->image = image;
    snapshot->bytes = *bytes;
    *bytes = (struct vmk_bytes){0};
    *ret_snapshot = &snapshot->base;
    return 0;
}

static int
make_view(struct vmk_vm_reset_parts *parts, const struct vm_snapshot *snapshot, uint32_t index,
          vmkit_error **ret_error)
{
    const struct vmk_vm_state_region *region = &snapshot->state.regions[index];
    if (region->image != region->gpa || !vmk_image_is_steady(snapshot->image))
        return 0;
    return vmk_memory_new_copy(snapshot->image, region->gpa, region->size, &parts->views[index],
                               ret_error);
}

static int
make_parts(const struct vm_snapshot *snapshot, struct vmkit_vcpu *const *vcpus,
           struct vmk_vm_reset_parts **ret_parts, vmkit_error **ret_error)
{
    const struct vmk_vm_state *state = &snapshot->state;
    struct vmk_vm_reset_parts *parts = calloc(1, sizeof *parts);
    int result = 0;
    if (parts != NULL) {
        parts->views = calloc((size_t)state->region_count + 1, sizeof *parts->views);
        parts->vcpus = calloc((size_t)state->vcpu_count + 1, sizeof *parts->vcpus);
    }
    if (parts == NULL || parts->views == NULL || parts->vcpus == NULL)
        result = vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                               "no memory for the reset of a VM");
    for (uint32_t i = 0; result == 0 && i < state->region_count; i++)
        result = make_view(parts, snapshot, i, ret_error);
    for (uint32_t i = 0; result == 0 && i < state->vcpu_count; i++)
        result = vmk_vcpu_state_prepare(vmk_vcpu_get_kvm(vcpus[i]), state->vcpus[i].bytes,
                                        state->vcpus[i].size, &parts->vcpus[i], ret_error);
    if (result < 0)
        reset_parts_free(parts, state);
    else
        *ret_parts = parts;
    return result;
}

int
vmk_vm_snapshot_get_reset_parts(struct vmkit_snapshot *base, struct vmkit_vcpu *const *vcpus,
                                const struct vmk_vm_reset_parts **ret_parts,
                                vmkit_error **ret_error)
{
    struct vm_snapshot *snapshot = (struct vm_snapshot *)base;
    struct vmk_vm_reset_parts *parts = atomic_load(&snapshot->reset_parts);
    int result = 0;
    if (parts == NULL) {
        pthread_mutex_lock(&snapshot->reset_lock);
        parts = atomic_load(&snapshot->reset_parts);
        if (parts == NULL)
            result = make_parts(snapshot, vcpus, &parts, ret_error);
        if (result == 0)
            atomic_store(&snapshot->reset_parts, parts);
        pthread_mutex_unlock(&snapshot->reset_lock);
    }
    if (result == 0)
        *ret_parts = parts;
    return result;
}

enum vmk_arch_controllers
vmk_vm_get_controllers(enum vmk_vm_irqchip irqchip)
{
    static const enum vmk_arch_controllers controllers[] = {
        [VMK_VM_IRQCHIP_NONE] = VMK_ARCH_CONTROLLERS_NONE,
        [VMK_VM_IRQCHIP_SPLIT] = VMK_ARCH_CONTROLLERS_LOCAL,
        [VMK_VM_IRQCHIP_KERNEL] = VMK_ARCH_CONTROLLERS_ALL,
    };
    return controllers[irqchip];
}
