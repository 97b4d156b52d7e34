/* SPDX-License-Identifier: Apache-2.0 */
#include "bus/bus.h"
#include "util/checked.h"

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct vmk_bus_entry {
    atomic_uint references;
    struct vmk_bus_handler handler;
};

struct table {
    uint32_t count;
    struct vmk_bus_range *ranges; /* sorted, apart from each other */
};

struct vmk_bus {
    atomic_uint references;
    struct table tables[2];
};

static const char *const space_names[] = {
    [VMKIT_SPACE_PIO] = "ports",
    [VMKIT_SPACE_MMIO] = "addresses",
};

static const uint64_t space_last[] = {
    [VMKIT_SPACE_PIO] = 0xffff,
    [VMKIT_SPACE_MMIO] = UINT64_MAX - 1,
};

static const struct table *
get_table(const struct vmk_bus *bus, enum vmkit_space space)
{
    static const struct table empty;
    return bus == NULL ? &empty : &bus->tables[space - VMKIT_SPACE_PIO];
}

static void
entry_unref(struct vmk_bus_entry *entry)
{
    if (entry == NULL ||
        atomic_fetch_sub_explicit(&entry->references, 1, memory_order_acq_rel) != 1)
        return;
    if (entry->handler.release != NULL)
        entry->handler.release(entry->handler.user_data);
    free(entry);
}

struct vmk_bus *
vmk_bus_ref(struct vmk_bus *bus)
{
    if (bus != NULL)
        atomic_fetch_add_explicit(&bus->references, 1, memory_order_relaxed);
    return bus;
}

void
vmk_bus_unref(struct vmk_bus *bus)
{
    if (bus == NULL || atomic_fetch_sub_explicit(&bus->references, 1, memory_order_acq_rel) != 1)
        return;
    for (int t = 0; t < 2; t++) {
        for (uint32_t i = 0; i < bus->tables[t].count; i++)
            entry_unref(bus->tables[t].ranges[i].entry);
        free(bus->tables[t].ranges);
    }
    free(bus);
}

/* A copy with its own references, and room for one range more in each table. */
static struct vmk_bus *
bus_copy(const struct vmk_bus *old)
{
    struct vmk_bus *bus = calloc(1, sizeof *bus);
    if (bus == NULL)
        return NULL;
    atomic_init(&bus->references, 1);
    for (int t = 0; t < 2; t++) {
        const struct table *from = get_table(old, (enum vmkit_space)(VMKIT_SPACE_PIO + t));
        struct table *to = &bus->tables[t];
        to->ranges = calloc((size_t)from->count + 1, sizeof *to->ranges);
        if (to->ranges == NULL) {
            vmk_bus_unref(bus);
            return NULL;
        }
        for (; to->count < from->count; to->count++) {
            to->ranges[to->count] = from->ranges[to->count];
            atomic_fetch_add_explicit(&to->ranges[to->count].entry->references, 1,
                                      memory_order_relaxed);
        }
    }
    return bus;
}

static int
fail_memory(vmkit_error **ret_error)
{
    return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                         "no memory for a table of handlers");
}

/* How many ranges begin at or before `address`. */
static uint32_t
upper_bound(const struct table *table, uint64_t address)
{
    uint32_t low = 0;
    uint32_t high = table->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (table->ranges[middle].start <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static int
check_space(enum vmkit_space space, vmkit_error **ret_error)
{
    if (space == VMKIT_SPACE_PIO || space == VMKIT_SPACE_MMIO)
        return 0;
    return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT,
                         "address space %d is not known", (int)space);
}

static int
check_range(const struct table *table, enum vmkit_space space, uint64_t start, uint64_t size,
            vmkit_error **ret_error)
{
    uint64_t end;
    if (size == 0)
        return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT,
                             "the handler at 0x%" PRIx64 " has no %s", start, space_names[space]);
    if (!vmk_add_u64(start, size, &end) || end - 1 > space_last[space])
        return vmk_error_set(ret_error, ERANGE, VMKIT_ERROR_OUT_OF_RANGE,
                             "%s [0x%" PRIx64 ", +0x%" PRIx64
                             ") go beyond the last one, 0x%" PRIx64,
                             space_names[space], start, size, space_last[space]);

    uint32_t index = upper_bound(table, start);
    const struct vmk_bus_range *other = NULL;
    if (index > 0 && table->ranges[index - 1].last >= start)
        other = &table->ranges[index - 1];
    else if (index < table->count && table->ranges[index].start < end)
        other = &table->ranges[index];
    if (other == NULL)
        return 0;
    return vmk_error_set(ret_error, EEXIST, VMKIT_ERROR_OVERLAP,
                         "%s [0x%" PRIx64 ", 0x%" PRIx64
                         ") overlap those of the handler of [0x%" PRIx64 ", 0x%" PRIx64 ")",
                         space_names[space], start, end, other->start, other->last + 1);
}

int
vmk_bus_new_with(const struct vmk_bus *old, enum vmkit_space space, uint64_t start, uint64_t size,
                 const struct vmk_bus_handler *handler, struct vmk_bus **ret_bus,
                 vmkit_error **ret_error)
{
    int result = check_space(space, ret_error);
    if (result == 0)
        result = check_range(get_table(old, space), space, start, size, ret_error);
    if (result < 0)
        return result;

    struct vmk_bus *bus = bus_copy(old);
    struct vmk_bus_entry *entry = calloc(1, sizeof *entry);
    if (bus == NULL || entry == NULL) {
        vmk_bus_unref(bus);
        free(entry);
        return fail_memory(ret_error);
    }
    atomic_init(&entry->references, 1);
    entry->handler = *handler;

    struct table *table = &bus->tables[space - VMKIT_SPACE_PIO];
    uint32_t index = upper_bound(table, start);
    struct vmk_bus_range *range = &table->ranges[index];
    memmove(range + 1, range, (table->count - index) * sizeof *range);
    *range = (struct vmk_bus_range){.start = start, .last = start + (size - 1), .entry = entry};
    table->count++;
    *ret_bus = bus;
    return 0;
}

int
vmk_bus_new_without(const struct vmk_bus *old, enum vmkit_space space, uint64_t start,
                    struct vmk_bus **ret_bus, vmkit_error **ret_error)
{
    int result = check_space(space, ret_error);
    if (result < 0)
        return result;
    uint32_t index = upper_bound(get_table(old, space), start);
    if (index == 0 || get_table(old, space)->ranges[index - 1].start != start)
        return vmk_error_set(ret_error, ENOENT, VMKIT_ERROR_NOT_FOUND,
                             "no handler of %s begins at 0x%" PRIx64, space_names[space], start);

    struct vmk_bus *bus = bus_copy(old);
    if (bus == NULL)
        return fail_memory(ret_error);
    struct table *table = &bus->tables[space - VMKIT_SPACE_PIO];
    struct vmk_bus_range *range = &table->ranges[index - 1];
    /* The old bus has a reference of its own, so that nothing is released here. */
    entry_unref(range->entry);
    memmove(range, range + 1, (table->count - index) * sizeof *range);
    table->count--;
    *ret_bus = bus;
    return 0;
}

const struct vmk_bus_handler *
vmk_bus_find(const struct vmk_bus *bus, enum vmkit_space space, uint64_t address, uint32_t length,
             uint64_t *ret_start)
{
    const struct table *table = get_table(bus, space);
    uint32_t index = upper_bound(table, address);
    if (index == 0)
        return NULL;
    const struct vmk_bus_range *range = &table->ranges[index - 1];
    if (address > range->last || length - 1 > range->last - address)
        return NULL;
    *ret_start = range->start;
    return &range->entry->handler;
}
