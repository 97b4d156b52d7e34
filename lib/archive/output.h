/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where an archive is written to, from its first byte to its last.
 *
 * A path's file is made without a name where the file system can do that (O_TMPFILE), or under a
 * name of its own in the same folder, is synced, and takes the path's place by rename(2). Whenever
 * it ends, the path names the whole former file or the whole new one. A descriptor is written to as
 * it is; whoever reads it tells a part from a whole by the footer.
 */
#ifndef VMK_ARCHIVE_OUTPUT_H
#define VMK_ARCHIVE_OUTPUT_H

#include "archive/settings.h"

#include <vmkit/error.h>

#include <stddef.h>
#include <stdint.h>

struct vmk_archive_output {
    const struct vmk_archive_ops *ops;
    int fd;
    int folder;         /* of the path; else -1 */
    char *name;         /* in the folder; NULL for a descriptor */
    char *label;        /* the path or descriptor, for messages */
    char temporary[40]; /* name in the folder, or empty */
    bool sync;
    bool is_file;    /* regular */
    uint64_t offset; /* how much was written */
};

/* `output` is fit for clear() whatever the result is. */
int
vmk_output_open_path(struct vmk_archive_output *output, const char *path,
                     const struct vmk_archive_settings *settings, vmkit_error **ret_error);

/* The descriptor is lent. */
int
vmk_output_open_fd(struct vmk_archive_output *output, int fd,
                   const struct vmk_archive_settings *settings, vmkit_error **ret_error);

/* Write all of the pieces, of which there are at most IOV_MAX. Changes them. */
int
vmk_output_writev(struct vmk_archive_output *output, struct iovec *iov, int count,
                  vmkit_error **ret_error);

int
vmk_output_write(struct vmk_archive_output *output, const void *data, size_t size,
                 vmkit_error **ret_error);

/* Sync what was written, and let it take its place. */
int
vmk_output_commit(struct vmk_archive_output *output, vmkit_error **ret_error);

/* Close; what was not committed leaves nothing behind in the folder. */
void
vmk_output_clear(struct vmk_archive_output *output);

#endif
