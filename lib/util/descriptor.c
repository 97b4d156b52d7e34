/* SPDX-License-Identifier: Apache-2.0 */
#include "util/descriptor.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

int
vmk_descriptor_keep(int fd)
{
    if (fd < 0 || fd >= VMK_DESCRIPTOR_FIRST)
        return fd;
    int moved = fcntl(fd, F_DUPFD_CLOEXEC, VMK_DESCRIPTOR_FIRST);
    /* EINVAL says that no number from there on is below RLIMIT_NOFILE. */
    int err = errno == EINVAL ? EMFILE : errno;
    close(fd);
    errno = err;
    return moved;
}

int
vmk_descriptor_set_size(int fd, uint64_t size)
{
    static const struct timespec now;
    sigset_t too_large, before, pending;
    sigemptyset(&too_large);
    sigaddset(&too_large, SIGXFSZ);
    pthread_sigmask(SIG_BLOCK, &too_large, &before);
    sigpending(&pending);
    int result = ftruncate(fd, (off_t)size) == 0 ? 0 : -errno;
    /* The signal is taken back, but for one that has waited since before. */
    if (result == -EFBIG && sigismember(&pending, SIGXFSZ) != 1)
        sigtimedwait(&too_large, NULL, &now);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return result;
}

int
vmk_descriptor_set_memory_size(int fd, uint64_t size)
{
    int result = vmk_descriptor_set_size(fd, size);
    return result == -ENOSPC ? -ENOMEM : result;
}

bool
vmk_descriptor_is_same_file(int fd, int other)
{
    struct stat one, two;
    return fstat(fd, &one) == 0 && fstat(other, &two) == 0 && S_ISREG(one.st_mode) &&
           one.st_dev == two.st_dev && one.st_ino == two.st_ino;
}
