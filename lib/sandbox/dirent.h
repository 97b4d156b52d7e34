/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The entries of a folder on their way to the guest, in the format of getdents64(2) or of the older
 * getdents(2): a file system puts one after the other until the guest's buffer is full.
 */
#ifndef VMK_SANDBOX_DIRENT_H
#define VMK_SANDBOX_DIRENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vmk_file;
struct vmk_mount_point;
struct vmk_process;

/* What the library collects at the most before it copies to the guest. */
#define VMK_DIRENT_BYTES_MAX 8192

struct vmk_dirent_sink {
    char *buffer;
    size_t capacity;
    size_t used;
    bool old_format;
    bool full; /* an entry did not fit */
    const struct vmk_mount_point
        *mounts; /* whose names hide those of the file system; may be NULL */
};

/* Add an entry: `type` is S_IFDIR and its like, `next` the position after it. False when it does
 * not fit. One whose name a mount has counts as added. */
bool
vmk_dirent_put(struct vmk_dirent_sink *sink, const char *name, uint64_t inode, uint32_t type,
               int64_t next);

/* "." and ".." of a folder whose file's position counts entries: positions 0 and 1. The position is
 * at least 2 after, unless the sink is full. 0. */
int
vmk_dirent_put_dots(struct vmk_dirent_sink *sink, struct vmk_file *file, uint64_t inode,
                    uint64_t parent_inode);

/* getdents64(2), or the older getdents(2), of an open folder; in sys_dir.c. */
int64_t
vmk_dirent_serve(struct vmk_process *process, const uint64_t args[6], bool old_format);

/* lseek(2) on such a folder. */
int64_t
vmk_dirent_seek(struct vmk_file *file, int64_t offset, int whence);

#endif
