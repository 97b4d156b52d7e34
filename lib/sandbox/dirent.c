/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/dirent.h"

#include "sandbox/file.h"
#include "sandbox/mount.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Where the fields of struct linux_dirent64 and struct linux_dirent lie: the older one has the type
 * in the last byte of the record. */
#define OFFSET_INODE 0
#define OFFSET_NEXT 8
#define OFFSET_LENGTH 16
#define OFFSET_TYPE 18
#define OFFSET_NAME 19
#define OFFSET_OLD_NAME 18

bool
vmk_dirent_put(struct vmk_dirent_sink *sink, const char *name, uint64_t inode, uint32_t type,
               int64_t next)
{
    if (vmk_mount_point_find(sink->mounts, name) != NULL)
        return true;

    size_t length = strlen(name) + 1;
    size_t size = sink->old_format ? OFFSET_OLD_NAME + length + 1 : OFFSET_NAME + length;
    size = (size + 7) & ~(size_t)7;
    if (size > sink->capacity - sink->used) {
        sink->full = true;
        return false;
    }

    char *record = sink->buffer + sink->used;
    uint16_t record_length = (uint16_t)size;
    memset(record, 0, size);
    memcpy(record + OFFSET_INODE, &inode, sizeof inode);
    memcpy(record + OFFSET_NEXT, &next, sizeof next);
    memcpy(record + OFFSET_LENGTH, &record_length, sizeof record_length);
    /* DT_* are the type bits of the mode, shifted. */
    char type_byte = (char)(type >> 12);
    record[sink->old_format ? size - 1 : OFFSET_TYPE] = type_byte;
    memcpy(record + (sink->old_format ? OFFSET_OLD_NAME : OFFSET_NAME), name, length);
    sink->used += size;
    return true;
}

int
vmk_dirent_put_dots(struct vmk_dirent_sink *sink, struct vmk_file *file, uint64_t inode,
                    uint64_t parent_inode)
{
    if (file->offset == 0 && vmk_dirent_put(sink, ".", inode, S_IFDIR, 1))
        file->offset = 1;
    if (file->offset == 1 && vmk_dirent_put(sink, "..", parent_inode, S_IFDIR, 2))
        file->offset = 2;
    return 0;
}

int64_t
vmk_dirent_seek(struct vmk_file *file, int64_t offset, int whence)
{
    if (whence == SEEK_CUR && !__builtin_add_overflow((int64_t)file->offset, offset, &offset))
        whence = SEEK_SET;
    if (whence != SEEK_SET || offset < 0)
        return -EINVAL;
    file->offset = (uint64_t)offset;
    return offset;
}
