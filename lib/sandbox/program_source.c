/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/program_source.h"

#include "archive/archive.h"
#include "util/error.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

struct vmk_program_source {
    atomic_uint references;
    struct vmk_archive *archive;
    uint64_t size;
    pthread_mutex_t lock; /* `blob` */
    struct vmk_blob *blob;
};

struct vmk_program_source *
vmk_program_source_new(struct vmk_archive *archive, uint64_t size)
{
    struct vmk_program_source *source = calloc(1, sizeof *source);
    if (source == NULL)
        return NULL;
    atomic_init(&source->references, 1);
    pthread_mutex_init(&source->lock, NULL);
    source->archive = vmk_archive_ref(archive);
    source->size = size;
    return source;
}

struct vmk_program_source *
vmk_program_source_ref(struct vmk_program_source *source)
{
    atomic_fetch_add_explicit(&source->references, 1, memory_order_relaxed);
    return source;
}

void
vmk_program_source_unref(struct vmk_program_source *source)
{
    if (source == NULL ||
        atomic_fetch_sub_explicit(&source->references, 1, memory_order_acq_rel) != 1)
        return;
    vmk_archive_unref(source->archive);
    vmk_blob_unref(source->blob);
    pthread_mutex_destroy(&source->lock);
    free(source);
}

uint64_t
vmk_program_source_get_size(const struct vmk_program_source *source)
{
    return source->size;
}

static int
read_blob(const struct vmk_program_source *source, struct vmk_blob **ret_blob,
          vmkit_error **ret_error)
{
    void *data = NULL;
    uint64_t size = 0;
    int r = vmk_archive_read_section(source->archive, VMK_PROGRAM_SECTION, VMK_PROGRAM_SECTION_MAX,
                                     &data, &size, ret_error);
    if (r < 0)
        return r == -ENOMEM ? r : -EIO;
    *ret_blob = vmk_blob_new(data, (size_t)size);
    free(data);
    if (*ret_blob != NULL)
        return 0;
    return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                         "no memory for the snapshot's program");
}

int
vmk_program_source_read(struct vmk_program_source *source, struct vmk_blob **ret_blob,
                        vmkit_error **ret_error)
{
    pthread_mutex_lock(&source->lock);
    int r = source->blob == NULL ? read_blob(source, &source->blob, ret_error) : 0;
    if (r == 0)
        *ret_blob = vmk_blob_ref(source->blob);
    pthread_mutex_unlock(&source->lock);
    return r;
}
