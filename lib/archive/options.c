/* SPDX-License-Identifier: Apache-2.0 */
#include "archive/options.h"

#include "util/error.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

struct vmkit_snapshot_options {
    atomic_uint references;
    struct vmk_archive_settings settings;
    uint64_t memory_limit;
    vmkit_snapshot *parent;
    void (*unref_parent)(vmkit_snapshot *parent); /* there with a parent */
};

static const struct vmk_archive_settings defaults = {.sync = true};

int
vmk_snapshot_options_new(vmkit_snapshot_options **ret_options, vmkit_error **ret_error)
{
    vmkit_snapshot_options *options = calloc(1, sizeof *options);
    if (options == NULL)
        return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                             "no memory for the options of a snapshot");
    atomic_init(&options->references, 1);
    options->settings = defaults;
    *ret_options = options;
    return 0;
}

vmkit_snapshot_options *
vmk_snapshot_options_ref(vmkit_snapshot_options *options)
{
    if (options != NULL)
        atomic_fetch_add_explicit(&options->references, 1, memory_order_relaxed);
    return options;
}

void
vmk_snapshot_options_unref(vmkit_snapshot_options *options)
{
    if (options != NULL &&
        atomic_fetch_sub_explicit(&options->references, 1, memory_order_acq_rel) == 1) {
        vmk_snapshot_options_set_parent(options, NULL, NULL);
        free(options);
    }
}

int
vmk_snapshot_options_set_compression(vmkit_snapshot_options *options, uint32_t level,
                                     vmkit_error **ret_error)
{
    if (level > VMK_ARCHIVE_MAX_LEVEL)
        return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT,
                             "compression level %u is above %u", level, VMK_ARCHIVE_MAX_LEVEL);
    options->settings.level = level;
    return 0;
}

int
vmk_snapshot_options_set_sync(vmkit_snapshot_options *options, uint32_t sync,
                              vmkit_error **ret_error)
{
    if (sync > 1)
        return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT,
                             "sync is 0 or 1, and not %u", sync);
    options->settings.sync = sync == 1;
    return 0;
}

int
vmk_snapshot_options_set_lazy(vmkit_snapshot_options *options, uint32_t lazy,
                              vmkit_error **ret_error)
{
    if (lazy > 1)
        return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT,
                             "lazy is 0 or 1, and not %u", lazy);
    options->settings.lazy = lazy == 1;
    return 0;
}

int
vmk_snapshot_options_set_threads(vmkit_snapshot_options *options, uint32_t count,
                                 vmkit_error **ret_error)
{
    if (count > VMK_ARCHIVE_MAX_THREADS)
        return vmk_error_set(ret_error, ERANGE, VMKIT_ERROR_OUT_OF_RANGE,
                             "%u threads are more than %u", count, VMK_ARCHIVE_MAX_THREADS);
    options->settings.threads = count;
    return 0;
}

void
vmk_snapshot_options_set_progress(vmkit_snapshot_options *options, vmkit_progress_callback callback,
                                  void *user_data)
{
    options->settings.progress = callback;
    options->settings.user_data = user_data;
}

void
vmk_snapshot_options_set_memory_limit(vmkit_snapshot_options *options, uint64_t bytes)
{
    options->memory_limit = bytes;
}

void
vmk_snapshot_options_set_parent(vmkit_snapshot_options *options, vmkit_snapshot *parent,
                                void (*unref)(vmkit_snapshot *parent))
{
    if (options->parent != NULL)
        options->unref_parent(options->parent);
    options->parent = parent;
    options->unref_parent = unref;
}

vmkit_snapshot *
vmk_snapshot_options_get_parent(const vmkit_snapshot_options *options)
{
    return options == NULL ? NULL : options->parent;
}

uint64_t
vmk_snapshot_options_get_memory_limit(const vmkit_snapshot_options *options)
{
    if (options != NULL && options->memory_limit != 0)
        return options->memory_limit;
    return (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
}

struct vmk_archive_settings
vmk_snapshot_options_get_settings(const vmkit_snapshot_options *options)
{
    return options == NULL ? defaults : options->settings;
}
