/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/program_image.h"

#include "sandbox/file.h"
#include "util/descriptor.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct vmk_program_cache {
    pthread_mutex_t lock;
    struct vmk_program_image *image;
};

struct vmk_program_cache *
vmk_program_cache_new(void)
{
    struct vmk_program_cache *cache = calloc(1, sizeof *cache);
    if (cache != NULL)
        pthread_mutex_init(&cache->lock, NULL);
    return cache;
}

void
vmk_program_cache_free(struct vmk_program_cache *cache)
{
    if (cache == NULL)
        return;
    vmk_program_image_unref(cache->image);
    pthread_mutex_destroy(&cache->lock);
    free(cache);
}

void
vmk_program_cache_clear(struct vmk_program_cache *cache)
{
    pthread_mutex_lock(&cache->lock);
    vmk_program_image_unref(cache->image);
    cache->image = NULL;
    pthread_mutex_unlock(&cache->lock);
}

void
vmk_program_image_unref(struct vmk_program_image *image)
{
    if (image == NULL ||
        atomic_fetch_sub_explicit(&image->references, 1, memory_order_acq_rel) != 1)
        return;
    close(image->fd);
    free(image);
}

static bool
same_time(const struct statx_timestamp *a, const struct statx_timestamp *b)
{
    return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static bool
same_file(const struct statx *a, const struct statx *b)
{
    return a->stx_dev_major == b->stx_dev_major && a->stx_dev_minor == b->stx_dev_minor &&
           a->stx_ino == b->stx_ino && a->stx_size == b->stx_size &&
           same_time(&a->stx_mtime, &b->stx_mtime) && same_time(&a->stx_ctime, &b->stx_ctime);
}

/* Copy the whole file. False when it is shorter than it said, or cannot be read. */
static bool
fill(int fd, uint64_t size, struct vmk_process *process, struct vmk_file *file)
{
    if (vmk_descriptor_set_size(fd, size) < 0)
        return false;
    uint8_t *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED)
        return false;
    ssize_t got = vmk_file_pread(process, file, memory, size, 0);
    munmap(memory, size);
    return got >= 0 && (uint64_t)got == size &&
           fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) == 0;
}

static struct vmk_program_image *
image_new(struct vmk_process *process, struct vmk_file *file, const struct statx *source)
{
    struct vmk_program_image *image = calloc(1, sizeof *image);
    if (image == NULL)
        return NULL;
    atomic_init(&image->references, 1);
    image->source = *source;
    image->fd = vmk_descriptor_keep(memfd_create("vmkit-program", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    if (image->fd >= 0 && fill(image->fd, source->stx_size, process, file))
        return image;
    if (image->fd >= 0)
        close(image->fd);
    free(image);
    return NULL;
}

struct vmk_program_image *
vmk_program_cache_get(struct vmk_program_cache *cache, struct vmk_process *process,
                      struct vmk_file *file)
{
    struct statx source;
    if (vmk_file_statx(file, &source) < 0 || source.stx_size == 0 ||
        source.stx_size > VMK_PROGRAM_IMAGE_MAX)
        return NULL;

    pthread_mutex_lock(&cache->lock);
    if (cache->image == NULL || !same_file(&cache->image->source, &source)) {
        struct vmk_program_image *image = image_new(process, file, &source);
        vmk_program_image_unref(cache->image);
        cache->image = image;
    }
    struct vmk_program_image *image = cache->image;
    if (image != NULL)
        atomic_fetch_add_explicit(&image->references, 1, memory_order_relaxed);
    pthread_mutex_unlock(&cache->lock);
    return image;
}
