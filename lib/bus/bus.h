/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which callback serves which device address. A bus never changes: a handler is added or removed by
 * making a new bus from the old one, so that a vCPU looks things up without a lock in the one that
 * it holds. Handlers are shared by the buses that have them; the last bus to go releases them.
 */
#ifndef VMK_BUS_BUS_H
#define VMK_BUS_BUS_H

#include "util/error.h"

#include <vmkit/vm.h>

#include <stdint.h>

struct vmk_bus;

struct vmk_bus_handler {
    vmkit_access_callback callback;
    vmkit_handler_release_callback release;
    void *user_data;
};

/* One range of a bus. */
struct vmk_bus_range {
    uint64_t start;
    uint64_t last;
    struct vmk_bus_entry *entry;
};

/* What `old` has (NULL: nothing), and a handler for [start, start + size). -EINVAL, -ERANGE,
 * -EEXIST, -ENOMEM. */
int
vmk_bus_new_with(const struct vmk_bus *old, enum vmkit_space space, uint64_t start, uint64_t size,
                 const struct vmk_bus_handler *handler, struct vmk_bus **ret_bus,
                 vmkit_error **ret_error);

/* What `old` has, without the handler that begins at `start`. -ENOENT, -ENOMEM. */
int
vmk_bus_new_without(const struct vmk_bus *old, enum vmkit_space space, uint64_t start,
                    struct vmk_bus **ret_bus, vmkit_error **ret_error);

struct vmk_bus *
vmk_bus_ref(struct vmk_bus *bus);

/* May call release callbacks: no lock may be held. */
void
vmk_bus_unref(struct vmk_bus *bus);

/* The handler of the range that holds the whole of [address, address + length), and where that
 * range begins; NULL without one. `bus` may be NULL. */
const struct vmk_bus_handler *
vmk_bus_find(const struct vmk_bus *bus, enum vmkit_space space, uint64_t address, uint32_t length,
             uint64_t *ret_start);

#endif
