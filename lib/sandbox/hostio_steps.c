/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fallocate(2), fsync(2) and fdatasync(2) of the host in steps. As one call each, they go on for as
 * long as the host's disk needs, and nothing ends them.
 */
#include "sandbox/hostio.h"

#include "sandbox/process.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define ALLOCATE_STEP (UINT64_C(64) << 20)
#define SYNC_STEP (UINT64_C(16) << 20)

/* A range of any size, a hole of exabytes say, is done in this many steps at the most. */
#define STEPS_MAX 4096

/* The modes of which a range is the same as its parts. The others move what follows the range. */
#define MODES_IN_STEPS \
    (FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE | FALLOC_FL_UNSHARE_RANGE)

/* A multiple of `least`, so that no block of the file system lies in two steps. */
static uint64_t
choose_step(uint64_t size, uint64_t least)
{
    return (size / STEPS_MAX / least + 1) * least;
}

static uint64_t
end_of_step(uint64_t at, uint64_t step, uint64_t end)
{
    uint64_t next = (at / step + 1) * step;
    return next < end ? next : end;
}

/* Whether the kernel may refuse the whole for the calling process's own limit, which it looks at
 * where the size of the file is to change. */
static bool
is_beyond_limit(int mode, uint64_t end)
{
    struct rlimit limit;
    return (mode & FALLOC_FL_KEEP_SIZE) == 0 && getrlimit(RLIMIT_FSIZE, &limit) == 0 &&
           end > limit.rlim_cur;
}

/* Whether the file system could hold that many bytes of the file. */
static bool
has_room(int fd, uint64_t size)
{
    struct statfs system;
    struct stat file;
    uint64_t room;
    if (fstatfs(fd, &system) < 0 || fstat(fd, &file) < 0 || system.f_blocks == 0)
        return true;
    if (__builtin_mul_overflow((uint64_t)system.f_bfree, (uint64_t)system.f_bsize, &room) ||
        __builtin_add_overflow(room, (uint64_t)file.st_blocks * 512, &room))
        return true;
    return size <= room;
}

int
vmk_hostio_allocate(struct vmk_process *process, int fd, int mode, uint64_t offset, uint64_t size)
{
    uint64_t end = offset + size;
    uint64_t step = choose_step(size, ALLOCATE_STEP);
    bool in_steps = end_of_step(offset, step, end) < end && (mode & ~MODES_IN_STEPS) == 0 &&
                    !is_beyond_limit(mode, end);
    if (in_steps && (mode & FALLOC_FL_PUNCH_HOLE) == 0 && !has_room(fd, size))
        return -ENOSPC;

    for (uint64_t at = offset; at < end;) {
        uint64_t next = in_steps ? end_of_step(at, step, end) : end;
        /* The size of the file changes with the last one, when all is there. */
        int keep_size = next < end ? FALLOC_FL_KEEP_SIZE : 0;
        if (fallocate(fd, mode | keep_size, (off_t)at, (off_t)(next - at)) == 0)
            at = next;
        else if (errno != EINTR)
            return -errno;
        if (at < end && vmk_process_must_stop(process))
            return -EINTR;
    }
    return 0;
}

/* Have the pages of a file written, and wait for that. */
static int
write_pages(struct vmk_process *process, int fd)
{
    struct stat status;
    if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode))
        return 0;
    uint64_t end = (uint64_t)status.st_size, step = choose_step(end, SYNC_STEP);
    for (uint64_t at = 0, next; at < end; at = next) {
        next = end_of_step(at, step, end);
        int result = sync_file_range(fd, (off_t)at, (off_t)(next - at),
                                     SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
                                         SYNC_FILE_RANGE_WAIT_AFTER);
        /* An error of the disk is told once; others say that the file system has no such call. */
        if (result < 0 && (errno == EIO || errno == ENOSPC || errno == EDQUOT))
            return -errno;
        if (vmk_process_must_stop(process))
            return -EINTR;
    }
    return 0;
}

int
vmk_hostio_sync(struct vmk_process *process, int fd, bool data_only)
{
    int result = write_pages(process, fd);
    if (result < 0)
        return result;
    return (data_only ? fdatasync(fd) : fsync(fd)) < 0 ? -errno : 0;
}
