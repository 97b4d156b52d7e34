/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the guest does to a file is seen through its mappings of that file (mmap(2)). The pages of a
 * mapping are copies, so those that show other bytes than the file from now on are dropped, and
 * read anew when they are touched. Pages behind the file's end are then a SIGBUS.
 *
 * A private mapping that may have been written to keeps its pages, as the guest's own, but those
 * that are cut off.
 */
#ifndef VMK_SANDBOX_MAPPED_H
#define VMK_SANDBOX_MAPPED_H

#include <stdint.h>

struct vmk_file;
struct vmk_process;

/* The bytes of [offset, offset + size) are others than before. Costs nothing as long as no file is
 * mapped. */
void
vmk_mapped_change(struct vmk_process *process, struct vmk_file *file, uint64_t offset,
                  uint64_t size);

/* The file ends at `size`. */
void
vmk_mapped_cut(struct vmk_process *process, struct vmk_file *file, uint64_t size);

/* Drop what is mapped of files as shared in [start, end), as pages of any file. */
void
vmk_mapped_refresh(struct vmk_process *process, uint64_t start, uint64_t end);

#endif
