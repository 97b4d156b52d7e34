/* SPDX-License-Identifier: Apache-2.0 */
/* How an archive is written, or gone through: what the embedder's options say. */
#ifndef VMK_ARCHIVE_SETTINGS_H
#define VMK_ARCHIVE_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#define VMK_ARCHIVE_MAX_LEVEL 9
#define VMK_ARCHIVE_MAX_THREADS 64

/* Bytes of `total` that are done. Anything but 0 cancels, with -ECANCELED. */
typedef int32_t
vmk_archive_progress_fn(void *user_data, uint64_t done, uint64_t total);

/* System calls that a test makes fail. */
struct vmk_archive_ops {
    ssize_t (*writev)(int fd, const struct iovec *iov, int count);
    int (*fsync)(int fd);
};

/* All zero: raw, without sync, on all processors that this thread may use. */
struct vmk_archive_settings {
    uint32_t level;                    /* 0 raw, 1 to 9 zlib */
    uint32_t threads;                  /* at the most; 0 for one a processor */
    bool sync;                         /* to the disk, before the file takes its place */
    bool lazy;                         /* decompress memory when it is touched */
    vmk_archive_progress_fn *progress; /* called on the calling thread alone; may be NULL */
    void *user_data;
    const struct vmk_archive_ops *ops; /* NULL for the system's */
};

#endif
