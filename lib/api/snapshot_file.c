/* SPDX-License-Identifier: Apache-2.0 */
/* A vmkit_snapshot_file is an archive of lib/archive/, under the name that the public has for it.
 */
#include "api/check.h"
#include "api/export.h"
#include "api/record.h"
#include "api/uncancelled.h"
#include "archive/archive.h"
#include "archive/options.h"

#include <stdio.h>

static struct vmk_archive *
archive_of(vmkit_snapshot_file *file)
{
    return (struct vmk_archive *)file;
}

static int
hand_over(int result, struct vmk_archive *archive, vmkit_snapshot_file **ret_file)
{
    if (result == 0)
        *ret_file = (vmkit_snapshot_file *)archive;
    return result;
}

VMKIT_EXPORT int
vmkit_snapshot_file_open_path(const char *path, uint64_t flags, vmkit_snapshot_file **ret_file,
                              vmkit_error **ret_error)
{
    VMK_API_UNCANCELLED;
    struct vmk_archive *archive = NULL;
    VMK_API_CHECK_POINTER(path);
    VMK_API_CHECK_POINTER(ret_file);
    VMK_API_CHECK_FLAGS(flags, VMKIT_SNAPSHOT_FILE_COPY);
    uint32_t own_flags = flags != 0 ? VMK_ARCHIVE_COPY : 0;
    int result = vmk_archive_open_path(path, NULL, own_flags, &archive, ret_error);
    return hand_over(result, archive, ret_file);
}

VMKIT_EXPORT int
vmkit_snapshot_file_open_fd(int fd, uint64_t flags, vmkit_snapshot_file **ret_file,
                            vmkit_error **ret_error)
{
    VMK_API_UNCANCELLED;
    struct vmk_archive *archive = NULL;
    char name[32];
    VMK_API_CHECK_POINTER(ret_file);
    VMK_API_CHECK_FLAGS(flags, VMKIT_SNAPSHOT_FILE_COPY);
    uint32_t own_flags = flags != 0 ? VMK_ARCHIVE_COPY : 0;
    snprintf(name, sizeof name, "descriptor %d", fd);
    int result = vmk_archive_open_fd(fd, name, NULL, own_flags, &archive, ret_error);
    return hand_over(result, archive, ret_file);
}

VMKIT_EXPORT vmkit_snapshot_file *
vmkit_snapshot_file_ref(vmkit_snapshot_file *file)
{
    vmk_archive_ref(archive_of(file));
    return file;
}

VMKIT_EXPORT void
vmkit_snapshot_file_unref(vmkit_snapshot_file *file)
{
    VMK_API_UNCANCELLED;
    vmk_archive_unref(archive_of(file));
}

VMKIT_EXPORT int
vmkit_snapshot_file_get_info(vmkit_snapshot_file *file, struct vmkit_snapshot_file_info *info,
                             vmkit_error **ret_error)
{
    VMK_API_CHECK_POINTER(file);
    VMK_API_CHECK_RECORD(info, parent);
    const struct vmk_archive_info *known = vmk_archive_get_info(archive_of(file));
    struct vmkit_snapshot_file_info full = {
        .size = sizeof full,
        .version = known->version,
        .depth = known->depth,
        .compressed = known->compressed,
        .section_count = known->section_count,
        .file_size = known->file_size,
        .memory_size = known->memory_size,
        .data_pages = known->data_pages,
        .zero_pages = known->zero_pages,
        .parent_pages = known->parent_pages,
        .stored_bytes = known->stored_bytes,
    };
    memcpy(full.architecture, known->architecture, sizeof full.architecture);
    memcpy(full.identity, known->identity.bytes, sizeof full.identity);
    memcpy(full.parent, known->parent.bytes, sizeof full.parent);
    vmk_record_store(info, info->size, &full, sizeof full);
    return 0;
}

VMKIT_EXPORT int
vmkit_snapshot_file_get_section(vmkit_snapshot_file *file, uint32_t number,
                                struct vmkit_snapshot_file_section *section,
                                vmkit_error **ret_error)
{
    VMK_API_CHECK_POINTER(file);
    VMK_API_CHECK_RECORD(section, name);
    uint32_t count = vmk_archive_get_info(archive_of(file))->section_count;
    if (number >= count)
        return vmk_error_set(ret_error, ERANGE, VMKIT_ERROR_OUT_OF_RANGE,
                             "section %u is beyond the %u of the file", number, count);
    const struct vmk_archive_section *known = vmk_archive_get_section(archive_of(file), number);
    struct vmkit_snapshot_file_section full = {
        .size = sizeof full,
        .version = known->version,
        .required = (known->flags & VMK_ARCHIVE_REQUIRED) != 0,
        .bytes = known->size,
        .checksum = known->checksum,
    };
    memcpy(full.name, known->name, sizeof full.name);
    vmk_record_store(section, section->size, &full, sizeof full);
    return 0;
}

VMKIT_EXPORT int
vmkit_snapshot_file_set_parent(vmkit_snapshot_file *file, vmkit_snapshot_file *parent,
                               vmkit_error **ret_error)
{
    VMK_API_CHECK_POINTER(file);
    VMK_API_CHECK_POINTER(parent);
    return vmk_archive_set_parent(archive_of(file), archive_of(parent), ret_error);
}

VMKIT_EXPORT int
vmkit_snapshot_file_verify(vmkit_snapshot_file *file, vmkit_snapshot_options *options,
                           vmkit_error **ret_error)
{
    VMK_API_UNCANCELLED;
    VMK_API_CHECK_POINTER(file);
    struct vmk_archive_settings settings = vmk_snapshot_options_get_settings(options);
    return vmk_archive_verify(archive_of(file), &settings, ret_error);
}

VMKIT_EXPORT int
vmkit_snapshot_file_merge_path(vmkit_snapshot_file *file, const char *path,
                               vmkit_snapshot_options *options, vmkit_error **ret_error)
{
    VMK_API_UNCANCELLED;
    VMK_API_CHECK_POINTER(file);
    VMK_API_CHECK_POINTER(path);
    struct vmk_archive_settings settings = vmk_snapshot_options_get_settings(options);
    return vmk_archive_merge(archive_of(file), path, -1, &settings, ret_error);
}

VMKIT_EXPORT int
vmkit_snapshot_file_merge_fd(vmkit_snapshot_file *file, int fd, vmkit_snapshot_options *options,
                             vmkit_error **ret_error)
{
    VMK_API_UNCANCELLED;
    VMK_API_CHECK_POINTER(file);
    struct vmk_archive_settings settings = vmk_snapshot_options_get_settings(options);
    return vmk_archive_merge(archive_of(file), NULL, fd, &settings, ret_error);
}

VMKIT_EXPORT int
vmkit_snapshot_file_diff(vmkit_snapshot_file *first, vmkit_snapshot_file *second,
                         struct vmkit_snapshot_file_difference *difference, vmkit_error **ret_error)
{
    VMK_API_UNCANCELLED;
    struct vmk_archive_diff diff;
    VMK_API_CHECK_POINTER(first);
    VMK_API_CHECK_POINTER(second);
    VMK_API_CHECK_RECORD(difference, pages_unknown);
    int result = vmk_archive_compare(archive_of(first), archive_of(second), &diff, ret_error);
    if (result < 0)
        return result;
    struct vmkit_snapshot_file_difference full = {
        .size = sizeof full,
        .sections_equal = diff.sections_equal,
        .sections_changed = diff.sections_changed,
        .sections_only_in_first = diff.sections_only_in_first,
        .sections_only_in_second = diff.sections_only_in_second,
        .pages_equal = diff.pages_equal,
        .pages_changed = diff.pages_changed,
        .pages_unknown = diff.pages_unknown,
    };
    vmk_record_store(difference, difference->size, &full, sizeof full);
    return 0;
}
