/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest-physical memory of one VM: which range of guest addresses is which part of which
 * backing memory. Sorted, without overlaps; adjacent regions read and write as one. Not locked; the
 * VM that owns it serialises.
 */
#ifndef VMK_MEM_REGIONS_H
#define VMK_MEM_REGIONS_H

#include "mem/memory.h"
#include "mem/rollback.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vmk_region {
    uint64_t gpa;
    uint64_t size;
    uint8_t *hva;
    uint64_t offset; /* of `hva` in the memory */
    struct vmkit_memory *memory;
    bool read_only; /* for the guest */
    bool logged;    /* writes of the guest are noted in the dirty log */
    uint32_t slot;  /* the owner's number for it */
    /* One bit a page of VMK_REGION_PAGE: what was written since vmk_region_track(). NULL when that
     * is not known. */
    uint64_t *written;
    /* Of a VM that can be reset (vm/reset_memory.h). */
    bool is_home;                 /* it is one of the regions that the VM was made with */
    uint64_t *changed;            /* as `written`, since the VM was made or reset */
    struct vmk_rollback rollback; /* of the memory, which begins where the region does */
    /* What pointers were handed out to, from the first byte to the last; empty without any. */
    uint64_t exposed_start;
    uint64_t exposed_end;
};

struct vmk_regions {
    struct vmk_region *entries;
    uint32_t count;
    uint32_t capacity;
};

#define VMK_REGION_PAGE 4096

void
vmk_regions_clear(struct vmk_regions *regions);

/* Add [gpa, gpa + size) with a reference to its memory. -EEXIST when it overlaps another region,
 * -ERANGE when it is not inside of the memory or of the guest's addresses, -EINVAL for unaligned
 * numbers, -ENOMEM. The pointer holds until the next addition or removal. */
int
vmk_regions_add(struct vmk_regions *regions, const struct vmk_region *region,
                vmkit_error **ret_error);

/* Take away the region that begins at `gpa`; its memory loses the reference. */
void
vmk_regions_remove(struct vmk_regions *regions, uint64_t gpa);

/* The region that holds `gpa`, or NULL. */
const struct vmk_region *
vmk_regions_find(const struct vmk_regions *regions, uint64_t gpa);

/* How many words `written` has. */
size_t
vmk_region_count_words(const struct vmk_region *region);

/* Note from now on what is written to the region; what was noted is forgotten. -ENOMEM, and then
 * nothing changed. */
int
vmk_region_track(struct vmk_region *region, vmkit_error **ret_error);

/* The same of `changed`. */
int
vmk_region_follow(struct vmk_region *region, vmkit_error **ret_error);

/* [gpa, gpa + size), which does not go round the end, was written to, as far as it has memory. */
void
vmk_regions_note_write(struct vmk_regions *regions, uint64_t gpa, uint64_t size);

/* Copy across as many regions as it takes. -EFAULT when an address has no memory, in which case
 * bytes before it may have been copied; -EROFS when the library has no right to write there. */
int
vmk_regions_read(const struct vmk_regions *regions, uint64_t gpa, void *destination, uint64_t size,
                 vmkit_error **ret_error);

int
vmk_regions_write(const struct vmk_regions *regions, uint64_t gpa, const void *source,
                  uint64_t size, vmkit_error **ret_error);

/* Where [gpa, gpa + size), which must lie in one region, is in this process, and note that it was
 * handed out. -EFAULT. */
int
vmk_regions_get_pointer(struct vmk_regions *regions, uint64_t gpa, uint64_t size,
                        void **ret_pointer, vmkit_error **ret_error);

#endif
