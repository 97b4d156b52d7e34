/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory of a snapshot file as an image (mem/image.h), and an image as the memory of one; for
 * each kind of snapshot that keeps its memory in an image.
 *
 * Raw pages stay in the file, as a store of the image: they are read when they are touched. What is
 * compressed is decompressed, on all processors, into a sealed memfd. What is the same as in the
 * parent lies where it lies in the parent's image, so that the two images can be compared by place.
 */
#ifndef VMK_VM_SNAPSHOT_MEMORY_H
#define VMK_VM_SNAPSHOT_MEMORY_H

#include "archive/archive.h"
#include "mem/image.h"

/* Add what the image has below `size`, or, with a parent, what lies in another place than there. It
 * is needed no longer when this returns. */
int
vmk_snapshot_memory_save(struct vmk_image *image, const struct vmk_image *parent, uint64_t size,
                         struct vmk_archive_writer *writer, vmkit_error **ret_error);

/* What an image is wanted for. */
struct vmk_snapshot_memory_use {
    uint64_t size; /* what lies above is left out */
    bool in_place; /* what is decompressed is to be one mapping, with what is zero in between */
    size_t raw_mappings; /* a file whose raw pages lie in more places than these is read at once, */
    uint64_t read_limit; /* which is -E2BIG above this */
};

/* `parent` is the image of the file that this one names; NULL for a full file. */
int
vmk_snapshot_memory_open(struct vmk_archive *archive, struct vmk_image *parent,
                         const struct vmk_snapshot_memory_use *use,
                         const struct vmk_archive_settings *settings, struct vmk_image **ret_image,
                         vmkit_error **ret_error);

#endif
