/* SPDX-License-Identifier: Apache-2.0 */
/* /dev: the devices that a program may expect, none of which leads to one of the host. */
#include "sandbox/pseudo.h"

#include "sandbox/files.h"
#include "sandbox/process.h"
#include "sandbox/state_codec.h"

#include <errno.h>
#include <linux/magic.h>
#include <sys/random.h>

/* Random bytes are slow to make: after so many, a kill and the limits of time are looked at. */
#define RANDOM_STEP ((size_t)32 << 10)

static ssize_t
read_nothing(struct vmk_process *process, struct vmk_file *file, const struct iovec *iov, int count,
             uint64_t *offset)
{
    return 0;
}

static ssize_t
read_zeros(struct vmk_process *process, struct vmk_file *file, const struct iovec *iov, int count,
           uint64_t *offset)
{
    size_t size = vmk_iov_size(iov, count);
    vmk_iov_zero(iov, count, 0, size);
    return (ssize_t)size;
}

static ssize_t
read_random(struct vmk_process *process, struct vmk_file *file, const struct iovec *iov, int count,
            uint64_t *offset)
{
    size_t done = 0;
    for (int i = 0; i < count; i++) {
        for (size_t at = 0; at < iov[i].iov_len;) {
            size_t left = iov[i].iov_len - at;
            ssize_t got = getrandom((uint8_t *)iov[i].iov_base + at,
                                    left < RANDOM_STEP ? left : RANDOM_STEP, GRND_NONBLOCK);
            if (got < 0)
                return done != 0 ? (ssize_t)done : -errno;
            at += (size_t)got;
            done += (size_t)got;
            if (process->running && vmk_process_must_stop(process))
                return (ssize_t)done;
        }
    }
    return (ssize_t)done;
}

static ssize_t
write_away(struct vmk_process *process, struct vmk_file *file, const struct iovec *iov, int count,
           uint64_t *offset)
{
    return (ssize_t)vmk_iov_size(iov, count);
}

static ssize_t
write_full(struct vmk_process *process, struct vmk_file *file, const struct iovec *iov, int count,
           uint64_t *offset)
{
    return -ENOSPC;
}

static int64_t
seek_nowhere(struct vmk_file *file, int64_t offset, int whence)
{
    return 0;
}

static const struct vmk_file_ops null_ops = {.positioned = true,
                                             .read = read_nothing,
                                             .write = write_away,
                                             .seek = seek_nowhere,
                                             .state = &vmk_state_pseudo};
static const struct vmk_file_ops zero_ops = {.positioned = true,
                                             .mappable = true,
                                             .read = read_zeros,
                                             .write = write_away,
                                             .seek = seek_nowhere,
                                             .state = &vmk_state_pseudo};
static const struct vmk_file_ops full_ops = {.positioned = true,
                                             .read = read_zeros,
                                             .write = write_full,
                                             .seek = seek_nowhere,
                                             .state = &vmk_state_pseudo};
static const struct vmk_file_ops random_ops = {.positioned = true,
                                               .read = read_random,
                                               .write = write_away,
                                               .seek = seek_nowhere,
                                               .state = &vmk_state_pseudo};

static const struct vmk_pseudo_entry entries[] = {
    {"", S_IFDIR | 0755},
    {"null", S_IFCHR | 0666, 1, 3, &null_ops},
    {"zero", S_IFCHR | 0666, 1, 5, &zero_ops},
    {"full", S_IFCHR | 0666, 1, 7, &full_ops},
    {"random", S_IFCHR | 0666, 1, 8, &random_ops},
    {"urandom", S_IFCHR | 0666, 1, 9, &random_ops},
    {"tty", S_IFCHR | 0666, 5, 0},
    {"fd", S_IFLNK | 0777, .link = "/proc/self/fd"},
    {"stdin", S_IFLNK | 0777, .link = "/proc/self/fd/0"},
    {"stdout", S_IFLNK | 0777, .link = "/proc/self/fd/1"},
    {"stderr", S_IFLNK | 0777, .link = "/proc/self/fd/2"},
};

static const struct vmk_pseudo_table table = {
    .entries = entries,
    .count = sizeof entries / sizeof entries[0],
    .device_minor = 2,
    .magic = TMPFS_MAGIC,
};

int
vmk_devfs_new(struct vmk_files *files, const char *path, struct vmk_mount *ret_mount)
{
    return vmk_pseudo_new(&table, files, path, ret_mount);
}
