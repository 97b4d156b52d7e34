/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program's bytes in a sealed memfd, made once for a configuration and mapped copy-on-write by
 * every sandbox of it: their read-only parts are then the same pages of the host, and starting one
 * copies nothing. The memfd is the library's own, so that nobody can shorten it under a mapping or
 * change a program that runs.
 */
#ifndef VMK_SANDBOX_PROGRAM_IMAGE_H
#define VMK_SANDBOX_PROGRAM_IMAGE_H

#include <stdatomic.h>
#include <stdint.h>
#include <sys/stat.h>

struct vmk_file;
struct vmk_process;

/* Larger programs are read as they are touched. */
#define VMK_PROGRAM_IMAGE_MAX (UINT64_C(16) << 20)

struct vmk_program_image {
    atomic_uint references;
    int fd;
    struct statx source; /* The file as it was when it was read. */
};

struct vmk_program_cache;

/* NULL without memory. */
struct vmk_program_cache *
vmk_program_cache_new(void);

/* Accepts NULL. */
void
vmk_program_cache_free(struct vmk_program_cache *cache);

/* Forget what is kept: the configuration names another program. */
void
vmk_program_cache_clear(struct vmk_program_cache *cache);

/* The image of `file`, read anew when the file is not the one that was kept, or changed since. From
 * any thread. A reference for the caller; NULL when the file is too large or the host has no memory
 * for it, and then the file serves itself. */
struct vmk_program_image *
vmk_program_cache_get(struct vmk_program_cache *cache, struct vmk_process *process,
                      struct vmk_file *file);

/* Accepts NULL. */
void
vmk_program_image_unref(struct vmk_program_image *image);

#endif
