/* SPDX-License-Identifier: Apache-2.0 */
#include "vm/snapshot_archive.h"

#include "abi.h"
#include "archive/options.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void
get_file(struct vmkit_snapshot *snapshot, struct vmk_archive_info *ret_file)
{
    pthread_mutex_lock(&snapshot->lock);
    *ret_file = snapshot->file;
    pthread_mutex_unlock(&snapshot->lock);
}

static void
set_file(struct vmkit_snapshot *snapshot, const struct vmk_archive_info *file)
{
    pthread_mutex_lock(&snapshot->lock);
    snapshot->file = *file;
    pthread_mutex_unlock(&snapshot->lock);
}

/* What is known of a parent's file. */
static int
find_parent(struct vmkit_snapshot *parent, struct vmk_archive_info *ret_file,
            vmkit_error **ret_error)
{
    static const struct vmk_archive_identity none;
    get_file(parent, ret_file);
    if (memcmp(&ret_file->identity, &none, sizeof none) != 0)
        return 0;
    return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT,
                         "the parent has no file: it was neither saved to one nor opened from one");
}

static int
describe_contents(const struct vmkit_snapshot *snapshot, struct vmkit_snapshot *parent,
                  struct vmk_archive_contents *contents, vmkit_error **ret_error)
{
    struct vmk_archive_info file;
    *contents = (struct vmk_archive_contents){
        .architecture = VMK_ABI_MACHINE,
        .memory_size = snapshot->kind->get_memory_size(snapshot),
    };
    if (parent == NULL)
        return 0;
    int result = vmk_snapshot_check_kind(parent, snapshot->kind, ret_error);
    if (result == 0)
        result = find_parent(parent, &file, ret_error);
    if (result < 0)
        return result;
    contents->parent = file.identity;
    contents->parent_depth = file.depth;
    return 0;
}

/* What a file is that was written. */
static void
remember(struct vmkit_snapshot *snapshot, const struct vmk_archive_contents *contents,
         const struct vmk_archive_identity *identity, bool has_parent)
{
    struct vmk_archive_info file = {
        .identity = *identity,
        .parent = contents->parent,
        .depth = has_parent ? contents->parent_depth + 1 : 0,
        .memory_size = contents->memory_size,
    };
    snprintf(file.architecture, sizeof file.architecture, "%s", contents->architecture);
    set_file(snapshot, &file);
}

/* Whoever writes to a file that memory is mapped from changes that memory. */
static int
check_other_file(const struct vmkit_snapshot *snapshot, int fd, const char *what,
                 vmkit_error **ret_error)
{
    if (snapshot == NULL || !snapshot->kind->lies_in(snapshot, fd))
        return 0;
    return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT,
                         "descriptor %d is of the file that %s memory is mapped from: save to "
                         "another one, or to a path",
                         fd, what);
}

static int
open_writer(const struct vmkit_snapshot *snapshot, const struct vmkit_snapshot *parent,
            const struct vmk_snapshot_place *place, const struct vmk_archive_contents *contents,
            const struct vmk_archive_settings *settings, struct vmk_archive_writer **ret_writer,
            vmkit_error **ret_error)
{
    if (place->path != NULL)
        return vmk_archive_writer_new_path(contents, place->path, settings, ret_writer, ret_error);
    int result = check_other_file(snapshot, place->fd, "the snapshot's", ret_error);
    if (result == 0)
        result = check_other_file(parent, place->fd, "its parent's", ret_error);
    if (result < 0)
        return result;
    return vmk_archive_writer_new_fd(contents, place->fd, settings, ret_writer, ret_error);
}

int
vmk_snapshot_save(struct vmkit_snapshot *snapshot, const struct vmk_snapshot_place *place,
                  const vmkit_snapshot_options *options, vmkit_error **ret_error)
{
    const struct vmk_archive_settings settings = vmk_snapshot_options_get_settings(options);
    struct vmkit_snapshot *parent = vmk_snapshot_options_get_parent(options);
    struct vmk_archive_contents contents;
    struct vmk_archive_identity identity;
    struct vmk_archive_writer *writer = NULL;
    struct vmk_bytes bytes = {0};
    if (snapshot->kind->section_count == 0)
        return vmk_error_set(ret_error, ENOTSUP, VMKIT_ERROR_NOT_SUPPORTED,
                             "a snapshot of %s cannot be saved", snapshot->kind->name);
    int result = describe_contents(snapshot, parent, &contents, ret_error);
    if (result < 0)
        return result;
    result = open_writer(snapshot, parent, place, &contents, &settings, &writer, ret_error);
    if (result == 0)
        result = snapshot->kind->save(snapshot, parent, writer, &bytes, ret_error);
    if (result == 0)
        result = vmk_archive_writer_finish(writer, &identity, ret_error);
    if (result == 0)
        remember(snapshot, &contents, &identity, parent != NULL);
    vmk_archive_writer_free(writer);
    vmk_bytes_clear(&bytes);
    return result;
}

static int
find_kind(const struct vmk_archive *archive, const struct vmk_snapshot_kind *const *kinds,
          size_t count, const struct vmk_snapshot_kind **ret_kind, vmkit_error **ret_error)
{
    const struct vmk_snapshot_kind *found = NULL;
    for (size_t i = 0; i < count; i++) {
        if (kinds[i]->section_count == 0 ||
            vmk_archive_find_section(archive, kinds[i]->sections[0].name) == NULL)
            continue;
        if (found != NULL)
            return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_BAD_SNAPSHOT,
                                 "%s: it is a snapshot of %s and of %s at the same time",
                                 vmk_archive_get_name(archive), found->name, kinds[i]->name);
        found = kinds[i];
    }
    if (found == NULL)
        return vmk_error_set(ret_error, ENOTSUP, VMKIT_ERROR_NOT_SUPPORTED,
                             "%s: it is a snapshot of nothing that this library can restore",
                             vmk_archive_get_name(archive));
    *ret_kind = found;
    return vmk_archive_check_sections(archive, found->sections, found->section_count, ret_error);
}

static int
check_parent(const struct vmk_archive *archive, const struct vmk_snapshot_kind *kind,
             struct vmkit_snapshot *parent, vmkit_error **ret_error)
{
    struct vmk_archive_info file;
    if (parent == NULL)
        return vmk_archive_check_complete(archive, ret_error);
    int result = vmk_snapshot_check_kind(parent, kind, ret_error);
    if (result == 0)
        result = find_parent(parent, &file, ret_error);
    if (result == 0)
        result = vmk_archive_check_parent(archive, &file, "the one that was given", ret_error);
    return result;
}

/* Raw pages are mapped, and take no memory before they are written to. */
static int
check_size(const struct vmk_archive *archive, uint64_t limit, vmkit_error **ret_error)
{
    const struct vmk_archive_info *info = vmk_archive_get_info(archive);
    if (!info->compressed || info->data_pages <= limit / VMK_ARCHIVE_PAGE_SIZE)
        return 0;
    return vmk_error_set(ret_error, E2BIG, VMKIT_ERROR_LIMIT,
                         "%s: its memory has %" PRIu64 " bytes when it is decompressed, and the "
                         "limit is %" PRIu64,
                         vmk_archive_get_name(archive), info->data_pages * VMK_ARCHIVE_PAGE_SIZE,
                         limit);
}

static int
open_archive(const struct vmk_snapshot_place *place, uint32_t flags, uint64_t limit,
             const struct vmk_archive_settings *settings, struct vmk_archive **ret_archive,
             vmkit_error **ret_error)
{
    const struct vmk_archive_expectation expectation = {
        .architecture = VMK_ABI_MACHINE, .file_limit = limit, .settings = settings};
    char name[32];
    if (place->path != NULL)
        return vmk_archive_open_path(place->path, &expectation, flags, ret_archive, ret_error);
    snprintf(name, sizeof name, "descriptor %d", place->fd);
    return vmk_archive_open_fd(place->fd, name, &expectation, flags, ret_archive, ret_error);
}

int
vmk_snapshot_open(const struct vmk_snapshot_place *place, bool copy,
                  const vmkit_snapshot_options *options,
                  const struct vmk_snapshot_kind *const *kinds, size_t count,
                  struct vmkit_snapshot **ret_snapshot, vmkit_error **ret_error)
{
    const struct vmk_archive_settings settings = vmk_snapshot_options_get_settings(options);
    struct vmkit_snapshot *parent = vmk_snapshot_options_get_parent(options);
    uint64_t limit = vmk_snapshot_options_get_memory_limit(options);
    const struct vmk_snapshot_kind *kind = NULL;
    struct vmk_archive *archive = NULL;
    struct vmkit_snapshot *snapshot = NULL;
    int result =
        open_archive(place, copy ? VMK_ARCHIVE_COPY : 0, limit, &settings, &archive, ret_error);
    if (result < 0)
        return result;
    result = find_kind(archive, kinds, count, &kind, ret_error);
    if (result == 0)
        result = check_parent(archive, kind, parent, ret_error);
    if (result == 0)
        result = check_size(archive, limit, ret_error);
    if (result == 0)
        result = kind->open(archive, parent, limit, &settings, &snapshot, ret_error);
    if (result == 0) {
        set_file(snapshot, vmk_archive_get_info(archive));
        *ret_snapshot = snapshot;
    }
    vmk_archive_unref(archive);
    return result;
}
