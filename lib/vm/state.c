/* SPDX-License-Identifier: Apache-2.0 */
#include "vm/state.h"
#include "mem/image.h"
#include "util/checked.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

/* No host has more, and none of these costs much before it is checked. */
#define REGION_LIMIT 32768
#define VCPU_LIMIT 4096
#define PIN_LIMIT 4096

#define ROUTE_BYTES 32
#define REGION_BYTES 25
#define VCPU_BYTES 45

void
vmk_vm_state_clear(struct vmk_vm_state *state)
{
    free(state->routes);
    free(state->regions);
    free(state->vcpus);
    *state = (struct vmk_vm_state){0};
}

static void
put_block(struct vmk_bytes *bytes, const uint8_t *data, size_t size)
{
    vmk_bytes_put_u64(bytes, size);
    vmk_bytes_put(bytes, data, size);
}

static void
encode_routes(const struct vmk_vm_state *state, struct vmk_bytes *bytes)
{
    vmk_bytes_put_u8(bytes, state->has_routes);
    vmk_bytes_put_u32(bytes, state->route_count);
    for (uint32_t i = 0; i < state->route_count; i++) {
        const struct vmk_kvm_route *route = &state->routes[i];
        vmk_bytes_put_u32(bytes, route->gsi);
        vmk_bytes_put_u32(bytes, route->kind);
        vmk_bytes_put_u32(bytes, route->chip);
        vmk_bytes_put_u32(bytes, route->pin);
        vmk_bytes_put_u64(bytes, route->msi_address);
        vmk_bytes_put_u32(bytes, route->msi_data);
        vmk_bytes_put_u32(bytes, 0);
    }
}

static void
encode_regions(const struct vmk_vm_state *state, struct vmk_bytes *bytes)
{
    vmk_bytes_put_u32(bytes, state->region_count);
    for (uint32_t i = 0; i < state->region_count; i++) {
        const struct vmk_vm_state_region *region = &state->regions[i];
        vmk_bytes_put_u64(bytes, region->gpa);
        vmk_bytes_put_u64(bytes, region->size);
        vmk_bytes_put_u8(bytes, region->read_only);
        vmk_bytes_put_u64(bytes, region->image);
    }
}

static void
encode_vcpus(const struct vmk_vm_state *state, struct vmk_bytes *bytes)
{
    vmk_bytes_put_u32(bytes, state->vcpu_count);
    for (uint32_t i = 0; i < state->vcpu_count; i++) {
        const struct vmk_vm_state_vcpu *vcpu = &state->vcpus[i];
        vmk_bytes_put_u32(bytes, vcpu->id);
        vmk_bytes_put_u8(bytes, vcpu->nmi);
        for (size_t k = 0; k < 4; k++)
            vmk_bytes_put_u64(bytes, vcpu->vectors[k]);
        put_block(bytes, vcpu->bytes, vcpu->size);
    }
}

int
vmk_vm_state_encode(const struct vmk_vm_state *state, struct vmk_bytes *bytes,
                    vmkit_error **ret_error)
{
    vmk_bytes_put_u32(bytes, VMK_VM_STATE_VERSION);
    vmk_bytes_put_u32(bytes, state->irqchip);
    vmk_bytes_put_u32(bytes, state->split_pins);
    vmk_bytes_put_u8(bytes, state->real_mode);
    encode_routes(state, bytes);
    encode_regions(state, bytes);
    put_block(bytes, state->bytes, state->size);
    encode_vcpus(state, bytes);
    if (!bytes->failed)
        return 0;
    return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                         "no memory for the saved state of a VM");
}

static int
fail(const char *what, vmkit_error **ret_error)
{
    return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_BAD_SNAPSHOT,
                         "the saved state of a VM is malformed in its %s", what);
}

/* A table of entries that take `least` bytes each: no larger than what is left can fill. */
static int
make_table(struct vmk_byte_cursor *cursor, uint32_t count, uint32_t limit, size_t least,
           size_t entry, const char *what, void **ret_table, vmkit_error **ret_error)
{
    if (cursor->failed || count > limit || cursor->left / least < count)
        return fail(what, ret_error);
    *ret_table = calloc((size_t)count + 1, entry);
    if (*ret_table != NULL)
        return 0;
    return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY, "no memory for %u %s", count,
                         what);
}

static int
get_flag(struct vmk_byte_cursor *cursor, bool *ret_flag)
{
    uint8_t value = vmk_cursor_get_u8(cursor);
    *ret_flag = value != 0;
    return value <= 1 ? 0 : -EINVAL;
}

static const uint8_t *
get_block(struct vmk_byte_cursor *cursor, size_t *ret_size)
{
    uint64_t size = vmk_cursor_get_u64(cursor);
    const uint8_t *data = vmk_cursor_get(cursor, size);
    *ret_size = data == NULL ? 0 : (size_t)size;
    return data;
}

static int
decode_head(struct vmk_vm_state *state, struct vmk_byte_cursor *cursor, vmkit_error **ret_error)
{
    uint32_t version = vmk_cursor_get_u32(cursor);
    uint32_t irqchip = vmk_cursor_get_u32(cursor);
    state->split_pins = vmk_cursor_get_u32(cursor);
    if (!cursor->failed && version > VMK_VM_STATE_VERSION)
        return vmk_error_set(ret_error, ENOTSUP, VMKIT_ERROR_NOT_SUPPORTED,
                             "the saved state of a VM has the form %u of a later release, this one "
                             "knows %u",
                             version, VMK_VM_STATE_VERSION);
    if (get_flag(cursor, &state->real_mode) < 0 || cursor->failed || version == 0 ||
        irqchip > VMK_VM_IRQCHIP_KERNEL || state->split_pins > PIN_LIMIT ||
        (state->split_pins != 0 && irqchip != VMK_VM_IRQCHIP_SPLIT))
        return fail("head", ret_error);
    state->irqchip = (enum vmk_vm_irqchip)irqchip;
    return 0;
}

static int
decode_routes(struct vmk_vm_state *state, struct vmk_byte_cursor *cursor, vmkit_error **ret_error)
{
    int flag = get_flag(cursor, &state->has_routes);
    uint32_t count = vmk_cursor_get_u32(cursor);
    void *table = NULL;
    if (flag < 0 || (count != 0 && !state->has_routes) ||
        (state->has_routes && state->irqchip == VMK_VM_IRQCHIP_NONE))
        return fail("interrupt routes", ret_error);
    int result = make_table(cursor, count, VMK_VM_LINES, ROUTE_BYTES, sizeof *state->routes,
                            "interrupt routes", &table, ret_error);
    if (result < 0)
        return result;
    state->routes = table;
    state->route_count = count;
    for (uint32_t i = 0; i < count; i++) {
        struct vmk_kvm_route *route = &state->routes[i];
        route->gsi = vmk_cursor_get_u32(cursor);
        route->kind = vmk_cursor_get_u32(cursor);
        route->chip = vmk_cursor_get_u32(cursor);
        route->pin = vmk_cursor_get_u32(cursor);
        route->msi_address = vmk_cursor_get_u64(cursor);
        route->msi_data = vmk_cursor_get_u32(cursor);
        vmk_cursor_get_u32(cursor);
        if (route->kind != VMK_KVM_ROUTE_PIN && route->kind != VMK_KVM_ROUTE_MSI)
            return fail("interrupt routes", ret_error);
    }
    return 0;
}

/* A region lies at its own address in the image, or inside of one that does. They are sorted. */
static bool
is_placed(const struct vmk_vm_state *state, const struct vmk_vm_state_region *region)
{
    uint32_t low = 0, high = state->region_count;
    if (region->image == region->gpa)
        return true;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (state->regions[middle].gpa <= region->image)
            low = middle + 1;
        else
            high = middle;
    }
    const struct vmk_vm_state_region *other = low == 0 ? NULL : &state->regions[low - 1];
    return other != NULL && other->image == other->gpa &&
           vmk_range_inside(region->image, region->size, other->gpa, other->size);
}

static bool
is_region(const struct vmk_vm_state_region *region)
{
    return region->size != 0 && region->gpa % VMK_IMAGE_PAGE == 0 &&
           region->size % VMK_IMAGE_PAGE == 0 && region->image % VMK_IMAGE_PAGE == 0 &&
           vmk_range_inside(region->gpa, region->size, 0, VMK_IMAGE_LIMIT) &&
           vmk_range_inside(region->image, region->size, 0, VMK_IMAGE_LIMIT);
}

static int
decode_regions(struct vmk_vm_state *state, struct vmk_byte_cursor *cursor, vmkit_error **ret_error)
{
    uint32_t count = vmk_cursor_get_u32(cursor);
    uint64_t end = 0;
    void *table = NULL;
    int result = make_table(cursor, count, REGION_LIMIT, REGION_BYTES, sizeof *state->regions,
                            "memory regions", &table, ret_error);
    if (result < 0)
        return result;
    state->regions = table;
    state->region_count = count;
    for (uint32_t i = 0; i < count; i++) {
        struct vmk_vm_state_region *region = &state->regions[i];
        region->gpa = vmk_cursor_get_u64(cursor);
        region->size = vmk_cursor_get_u64(cursor);
        int flag = get_flag(cursor, &region->read_only);
        region->image = vmk_cursor_get_u64(cursor);
        if (flag < 0 || !is_region(region) || region->gpa < end)
            return fail("memory regions", ret_error);
        end = region->gpa + region->size;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (!is_placed(state, &state->regions[i]))
            return fail("memory regions", ret_error);
    }
    return 0;
}

static int
decode_vcpus(struct vmk_vm_state *state, struct vmk_byte_cursor *cursor, vmkit_error **ret_error)
{
    uint32_t count = vmk_cursor_get_u32(cursor);
    void *table = NULL;
    int result = make_table(cursor, count, VCPU_LIMIT, VCPU_BYTES, sizeof *state->vcpus, "vCPUs",
                            &table, ret_error);
    if (result < 0)
        return result;
    state->vcpus = table;
    state->vcpu_count = count;
    for (uint32_t i = 0; i < count; i++) {
        struct vmk_vm_state_vcpu *vcpu = &state->vcpus[i];
        vcpu->id = vmk_cursor_get_u32(cursor);
        int flag = get_flag(cursor, &vcpu->nmi);
        for (size_t k = 0; k < 4; k++)
            vcpu->vectors[k] = vmk_cursor_get_u64(cursor);
        vcpu->bytes = get_block(cursor, &vcpu->size);
        if (flag < 0 || vcpu->bytes == NULL || (i > 0 && vcpu->id <= state->vcpus[i - 1].id))
            return fail("vCPUs", ret_error);
    }
    return 0;
}

int
vmk_vm_state_decode(struct vmk_vm_state *state, const void *bytes, size_t size,
                    vmkit_error **ret_error)
{
    struct vmk_byte_cursor cursor = {.data = bytes, .left = size};
    int result = decode_head(state, &cursor, ret_error);
    if (result == 0)
        result = decode_routes(state, &cursor, ret_error);
    if (result == 0)
        result = decode_regions(state, &cursor, ret_error);
    if (result < 0)
        return result;
    state->bytes = get_block(&cursor, &state->size);
    if (state->bytes == NULL)
        return fail("interrupt controllers", ret_error);
    result = decode_vcpus(state, &cursor, ret_error);
    if (result == 0 && (cursor.failed || cursor.left != 0))
        result = fail("end", ret_error);
    return result;
}
