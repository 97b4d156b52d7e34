/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/maps.h"

#include "sandbox/files.h"
#include "sandbox/node.h"
#include "sandbox/process.h"
#include "sandbox/space.h"
#include "util/text.h"

#include <inttypes.h>
#include <stdio.h>

/* The name column begins here, as in Linux's own output. */
#define NAME_COLUMN 73
/* Lines that are made between two looks at the limits of time. */
#define LINES_BETWEEN_CHECKS 64

static const char *
name_of(const struct vmk_process *process, const struct vmk_vma *vma)
{
    const struct vmk_space *space = process->space;
    if (vma->file != NULL)
        return vma->file->node != NULL ? vma->file->node->path : process->files->program_path;
    if (vma->flags & VMK_VMA_STACK)
        return "[stack]";
    if (vma->start < space->brk && vma->end > space->brk_start)
        return "[heap]";
    return "";
}

static void
append_vma(struct vmk_text *text, const struct vmk_process *process, const struct vmk_vma *vma)
{
    struct statx status = {0};
    if (vma->file != NULL && vmk_file_statx(vma->file, &status) < 0)
        status = (struct statx){0};

    char line[128];
    snprintf(line, sizeof line,
             "%08" PRIx64 "-%08" PRIx64 " %c%c%c%c %08" PRIx64 " %02x:%02x %" PRIu64 " ",
             vma->start, vma->end, vma->rights & VMK_PAGE_READ ? 'r' : '-',
             vma->rights & VMK_PAGE_WRITE ? 'w' : '-', vma->rights & VMK_PAGE_EXECUTE ? 'x' : '-',
             vma->flags & VMK_VMA_SHARED ? 's' : 'p', vma->file != NULL ? vma->offset : 0,
             status.stx_dev_major, status.stx_dev_minor, (uint64_t)status.stx_ino);
    const char *name = name_of(process, vma);
    vmk_text_printf(text, "%-*s%s\n", *name == '\0' ? 0 : NAME_COLUMN, line, name);
}

void
vmk_maps_format(struct vmk_process *process, struct vmk_text *text)
{
    const struct vmk_vmas *vmas = &process->space->vmas;
    /* No longer than what it can be charged for. */
    uint64_t room = process->memory->limit - process->memory->used;
    for (size_t i = 0; i < vmas->count && !text->failed && text->size <= room; i++) {
        append_vma(text, process, &vmas->items[i]);
        if (i % LINES_BETWEEN_CHECKS == 0 && vmk_process_must_stop(process))
            break;
    }
}
