/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file that an archive is read from: always by offset, so that many threads can. Copied into a
 * sealed memfd it is nobody else's any more.
 */
#ifndef VMK_ARCHIVE_INPUT_H
#define VMK_ARCHIVE_INPUT_H

#include <vmkit/error.h>

#include <stdbool.h>
#include <stdint.h>

/* A descriptor of the caller's to close, or a negative errno. A copy has at most `limit` bytes, 0
 * for any number. */
int
vmk_input_open_path(const char *path, bool copy, uint64_t limit, vmkit_error **ret_error);

/* The same for a descriptor, which is duplicated. */
int
vmk_input_open_fd(int fd, const char *name, bool copy, uint64_t limit, vmkit_error **ret_error);

int
vmk_input_get_size(int fd, const char *name, uint64_t *ret_size, vmkit_error **ret_error);

/* Exactly `size` bytes. */
int
vmk_input_read(int fd, const char *name, void *buffer, uint64_t size, uint64_t offset,
               vmkit_error **ret_error);

#endif
