/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing an archive, with all of its parents, as one that needs none. The writer decides about
 * every page anew, by its contents alone, so that the result is byte by byte what a full save would
 * have written.
 */
#include "archive/reader.h"

#include "util/descriptor.h"
#include "util/error.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define PAGE VMK_ARCHIVE_PAGE_SIZE
#define WINDOW_PAGES UINT64_C(4096)

struct merge {
    const struct vmk_archive *archive;
    struct vmk_archive_writer *writer;
    struct vmk_archive_settings load_settings;
    uint8_t *window;
    void *sections[VMK_ARCHIVE_MAX_SECTIONS];
};

/* Sections are lent to the writer until it has finished. */
static int
add_sections(struct merge *merge, vmkit_error **ret_error)
{
    int result = 0;
    for (uint32_t i = 0; i < merge->archive->info.section_count && result == 0; i++) {
        const struct vmk_archive_section *section = vmk_archive_get_section(merge->archive, i);
        uint64_t size = 0;
        if (strchr(section->name, '.') != NULL)
            continue;
        result = vmk_archive_read_section(merge->archive, section->name, UINT64_MAX,
                                          &merge->sections[i], &size, ret_error);
        if (result == 0)
            result =
                vmk_archive_writer_add_section(merge->writer, section->name, section->version,
                                               section->flags, merge->sections[i], size, ret_error);
    }
    return result;
}

/* How many pages from one on, which are not all zero, are worth to be loaded together. */
static uint64_t
measure_window(const struct vmk_archive *archive, uint64_t page, uint64_t pages)
{
    uint64_t at = page;
    while (at < pages && at - page < WINDOW_PAGES) {
        struct vmk_archive_run run;
        vmk_archive_find(archive, at, &run);
        if (run.state == VMK_ARCHIVE_ZERO && run.count > VMK_FORMAT_GAP_PAGES)
            break;
        at += run.count;
    }
    return at - page < WINDOW_PAGES ? at - page : WINDOW_PAGES;
}

static int
add_window(struct merge *merge, uint64_t page, uint64_t count, vmkit_error **ret_error)
{
    struct vmk_archive_target target = {
        .gpa = page * PAGE, .size = count * PAGE, .hva = merge->window};
    int result = vmk_archive_load(merge->archive, &target, 1, 0, &merge->load_settings, ret_error);
    if (result == 0)
        result = vmk_archive_writer_add_memory(merge->writer, target.gpa, target.hva, target.size,
                                               ret_error);
    /* The window is used again. */
    return result < 0 ? result : vmk_archive_writer_flush(merge->writer, ret_error);
}

static int
add_memory(struct merge *merge, vmkit_error **ret_error)
{
    uint64_t pages = merge->archive->info.memory_size / PAGE;
    for (uint64_t page = 0; page < pages;) {
        struct vmk_archive_run run;
        vmk_archive_find(merge->archive, page, &run);
        if (run.state == VMK_ARCHIVE_ZERO) {
            page += run.count;
            continue;
        }
        uint64_t count = measure_window(merge->archive, page, pages);
        int result = add_window(merge, page, count, ret_error);
        if (result < 0)
            return result;
        page += count;
    }
    return 0;
}

static int
run_merge(struct merge *merge, vmkit_error **ret_error)
{
    merge->window = malloc(WINDOW_PAGES * PAGE);
    if (merge->window == NULL)
        return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                             "%s: no memory to merge it", merge->archive->name);
    int result = add_sections(merge, ret_error);
    if (result == 0)
        result = add_memory(merge, ret_error);
    if (result == 0)
        result = vmk_archive_writer_finish(merge->writer, NULL, ret_error);
    free(merge->window);
    for (size_t i = 0; i < VMK_ARCHIVE_MAX_SECTIONS; i++)
        free(merge->sections[i]);
    return result;
}

/* What is merged is read while the result is written. */
static int
check_other_file(const struct vmk_archive *archive, int fd, vmkit_error **ret_error)
{
    for (; archive != NULL; archive = archive->parent) {
        if (vmk_descriptor_is_same_file(archive->fd, fd))
            return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT,
                                 "descriptor %d is of %s, which is merged: write to another file, "
                                 "or to a path",
                                 fd, archive->name);
    }
    return 0;
}

int
vmk_archive_merge(const struct vmk_archive *archive, const char *path, int fd,
                  const struct vmk_archive_settings *settings, vmkit_error **ret_error)
{
    struct vmk_archive_contents contents = {
        .architecture = archive->info.architecture,
        .memory_size = archive->info.memory_size,
    };
    struct merge merge = {.archive = archive, .load_settings = *settings};
    merge.load_settings.progress = NULL;
    int result = vmk_archive_check_complete(archive, ret_error);
    if (result == 0 && path == NULL)
        result = check_other_file(archive, fd, ret_error);
    if (result < 0)
        return result;
    result = path != NULL
                 ? vmk_archive_writer_new_path(&contents, path, settings, &merge.writer, ret_error)
                 : vmk_archive_writer_new_fd(&contents, fd, settings, &merge.writer, ret_error);
    if (result < 0)
        return result;
    result = run_merge(&merge, ret_error);
    vmk_archive_writer_free(merge.writer);
    return result;
}
