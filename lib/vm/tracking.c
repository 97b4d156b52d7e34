/* SPDX-License-Identifier: Apache-2.0 */
#include "vm/tracking.h"
#include "util/checked.h"
#include "vm/private.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

static void
stop(struct vmkit_vm *vm)
{
    for (uint32_t i = 0; i < vm->regions.count; i++) {
        free(vm->regions.entries[i].written);
        vm->regions.entries[i].written = NULL;
    }
    vmk_image_unref(vm->tracked);
    vm->tracked = NULL;
}

/* The guest cannot write to a read-only region, and some kernels keep no log of one. */
int
vmk_vm_log_region(struct vmkit_vm *vm, struct vmk_region *region, vmkit_error **ret_error)
{
    if (region->read_only || region->logged)
        return 0;
    region->logged = true;
    int result = vmk_vm_set_slot(vm, region, ret_error);
    if (result < 0)
        region->logged = false;
    return result;
}

static void
add_bits(uint64_t *bits, const uint64_t *more, size_t words)
{
    for (size_t word = 0; bits != NULL && word < words; word++)
        bits[word] |= more[word];
}

/* What was taken over from a log that is kept goes out of it. */
static int
clear_logs(struct vmkit_vm *vm, vmkit_error **ret_error)
{
    int result = 0;
    for (uint32_t i = 0; vm->log_is_kept && result == 0 && i < vm->regions.count; i++) {
        const struct vmk_region *region = &vm->regions.entries[i];
        if (region->logged && region->written != NULL)
            result = vmk_kvm_vm_clear_dirty_log(
                vm->kvm, region->slot, region->size / VMK_REGION_PAGE, region->written, ret_error);
    }
    return result;
}

int
vmk_vm_harvest(struct vmkit_vm *vm, vmkit_error **ret_error)
{
    for (uint32_t i = 0; i < vm->regions.count; i++) {
        struct vmk_region *region = &vm->regions.entries[i];
        size_t words = vmk_region_count_words(region);
        if (!region->logged || (region->written == NULL && region->changed == NULL))
            continue;
        uint64_t *log = calloc(words, sizeof *log);
        if (log == NULL)
            return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                                 "no memory for the dirty log of %" PRIu64 " bytes", region->size);
        int result = vmk_kvm_vm_get_dirty_log(vm->kvm, region->slot, log, ret_error);
        if (result == 0) {
            add_bits(region->written, log, words);
            add_bits(region->changed, log, words);
        }
        free(log);
        if (result < 0)
            return result;
    }
    return 0;
}

int
vmk_vm_note_write(struct vmkit_vm *vm, uint64_t gpa, uint64_t size, vmkit_error **ret_error)
{
    uint64_t end;
    int result = vmk_vm_check(vm, ret_error);
    if (result < 0)
        return result;
    if (!vmk_add_u64(gpa, size, &end))
        return vmk_error_set(ret_error, ERANGE, VMKIT_ERROR_OUT_OF_RANGE,
                             "guest addresses [0x%" PRIx64 ", +0x%" PRIx64
                             ") go round the end of the addresses",
                             gpa, size);
    pthread_mutex_lock(&vm->lock);
    vmk_regions_note_write(&vm->regions, gpa, size);
    pthread_mutex_unlock(&vm->lock);
    return 0;
}

int
vmk_vm_track(struct vmkit_vm *vm, struct vmk_image *image, vmkit_error **ret_error)
{
    int result = 0;
    for (uint32_t i = 0; result == 0 && i < vm->regions.count; i++)
        result = vmk_vm_log_region(vm, &vm->regions.entries[i], ret_error);
    /* What KVM noted before belongs to the image. */
    for (uint32_t i = 0; result == 0 && i < vm->regions.count; i++)
        result = vmk_region_track(&vm->regions.entries[i], ret_error);
    if (result == 0)
        result = vmk_vm_harvest(vm, ret_error);
    if (result == 0)
        result = clear_logs(vm, ret_error);
    for (uint32_t i = 0; result == 0 && i < vm->regions.count; i++)
        result = vmk_region_track(&vm->regions.entries[i], ret_error);
    if (result < 0) {
        stop(vm);
        return result;
    }
    vmk_image_unref(vm->tracked);
    vm->tracked = vmk_image_ref(image);
    return 0;
}
