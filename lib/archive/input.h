/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file that an archive is read from: always by offset, so that many threads can. Copied into a
 * sealed memfd it is nobody else's any more.
 */
#ifndef VMK_ARCHIVE_INPUT_H
#define VMK_ARCHIVE_INPUT_H

#include "archive/settings.h"

#include <vmkit/error.h>

#include <stdbool.h>
#include <stdint.h>

/* How a source is copied. Its header is looked at before more of it is, and what it allows is the
 * most that is read. */
struct vmk_input_copy {
    uint64_t limit;                              /* bytes; 0 for as many as the host has memory */
    const struct vmk_archive_settings *settings; /* whose progress is asked; NULL for none */
};

/* A descriptor of the caller's to close, or a negative errno: of the file itself when `copy` is
 * NULL. */
int
vmk_input_open_path(const char *path, const struct vmk_input_copy *copy, vmkit_error **ret_error);

/* The same for a descriptor, which is duplicated. */
int
vmk_input_open_fd(int fd, const char *name, const struct vmk_input_copy *copy,
                  vmkit_error **ret_error);

int
vmk_input_get_size(int fd, const char *name, uint64_t *ret_size, vmkit_error **ret_error);

/* Exactly `size` bytes. */
int
vmk_input_read(int fd, const char *name, void *buffer, uint64_t size, uint64_t offset,
               vmkit_error **ret_error);

#endif
