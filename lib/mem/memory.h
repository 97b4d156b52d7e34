/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Backing memory: where the bytes of a guest's memory come from (include/vmkit/memory.h). Immutable
 * once made, and reference-counted.
 */
#ifndef VMK_MEM_MEMORY_H
#define VMK_MEM_MEMORY_H

#include "util/error.h"

#include <vmkit/memory.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

int
vmk_memory_new_anonymous(uint64_t size, uint64_t flags, struct vmkit_memory **ret_memory,
                         vmkit_error **ret_error);

int
vmk_memory_new_memfd(const char *name, uint64_t size, uint64_t flags,
                     struct vmkit_memory **ret_memory, vmkit_error **ret_error);

int
vmk_memory_new_fd(int fd, uint64_t offset, uint64_t size, uint64_t flags,
                  struct vmkit_memory **ret_memory, vmkit_error **ret_error);

int
vmk_memory_new_user(void *address, uint64_t size, vmkit_memory_release_callback release,
                    void *user_data, struct vmkit_memory **ret_memory, vmkit_error **ret_error);

struct vmkit_memory *
vmk_memory_ref(struct vmkit_memory *memory);

void
vmk_memory_unref(struct vmkit_memory *memory);

void *
vmk_memory_get_pointer(const struct vmkit_memory *memory);

uint64_t
vmk_memory_get_size(const struct vmkit_memory *memory);

int
vmk_memory_get_fd(const struct vmkit_memory *memory);

/* Whether the library itself may not write to it. */
bool
vmk_memory_is_read_only(const struct vmkit_memory *memory);

/* Copy out of or into [offset, offset + size), which lies inside. -EFAULT when a fragile memory has
 * no bytes there. */
int
vmk_memory_read(const struct vmkit_memory *memory, uint64_t offset, void *destination, size_t size);

int
vmk_memory_write(struct vmkit_memory *memory, uint64_t offset, const void *source, size_t size);

#endif
