/* SPDX-License-Identifier: Apache-2.0 */
#include "faults.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

/* The loader allocates before a sanitizer is ready. */
#define EARLY __attribute__((no_sanitize("address", "thread", "undefined")))

struct fault {
    _Atomic enum fault_call call;
    unsigned number;
    atomic_uint seen;
    int err;
    bool is_lasting;
    bool has_request;
    bool has_answer;
    unsigned long request;
    unsigned long argument;
    int answer;
};

/* The calling thread's, or that of the thread that made it while something failed. */
static _Thread_local struct fault own;
static _Thread_local struct fault *inherited;

EARLY static struct fault *
get_fault(void)
{
    return inherited == NULL ? &own : inherited;
}

void
fault_begin(enum fault_call call, unsigned number, int err)
{
    *get_fault() = (struct fault){.call = call, .number = number, .err = err};
}

void
fault_begin_lasting(enum fault_call call, unsigned number, int err)
{
    *get_fault() = (struct fault){.call = call, .number = number, .err = err, .is_lasting = true};
}

void
fault_begin_ioctl(unsigned long request, int err)
{
    *get_fault() =
        (struct fault){.call = FAULT_IOCTL, .err = err, .has_request = true, .request = request};
}

void
fault_answer_ioctl(unsigned long request, unsigned long argument, int value)
{
    *get_fault() = (struct fault){.call = FAULT_IOCTL,
                                  .has_request = true,
                                  .has_answer = true,
                                  .request = request,
                                  .argument = argument,
                                  .answer = value};
}

void
fault_answer_type(unsigned type)
{
    *get_fault() = (struct fault){.call = FAULT_STATUS, .has_answer = true, .answer = (int)type};
}

unsigned
fault_end(void)
{
    /* No more than that: a thread that inherited it may look at the rest. */
    get_fault()->call = 0;
    return get_fault()->seen;
}

EARLY static bool
fails(enum fault_call call)
{
    if (get_fault()->call != call)
        return false;
    unsigned seen = ++get_fault()->seen;
    if (get_fault()->is_lasting ? seen < get_fault()->number
                                : get_fault()->number != 0 && get_fault()->number != seen)
        return false;
    errno = get_fault()->err;
    return true;
}

/* The C library's own allocator, or that of a sanitizer. */
void *
__libc_malloc(size_t size);
void *
__libc_calloc(size_t count, size_t size);
void *
__libc_realloc(void *memory, size_t size);
void *__attribute__((weak)) __interceptor_malloc(size_t size);
void *__attribute__((weak)) __interceptor_calloc(size_t count, size_t size);
void *__attribute__((weak)) __interceptor_realloc(void *memory, size_t size);

EARLY static void *
hand_on_malloc(size_t size)
{
    return __interceptor_malloc != NULL ? __interceptor_malloc(size) : __libc_malloc(size);
}

EARLY void *
malloc(size_t size)
{
    return fails(FAULT_ALLOCATE) ? NULL : hand_on_malloc(size);
}

EARLY void *
calloc(size_t count, size_t size)
{
    if (fails(FAULT_ALLOCATE))
        return NULL;
    return __interceptor_calloc != NULL ? __interceptor_calloc(count, size)
                                        : __libc_calloc(count, size);
}

EARLY void *
realloc(void *memory, size_t size)
{
    if (fails(FAULT_ALLOCATE))
        return NULL;
    return __interceptor_realloc != NULL ? __interceptor_realloc(memory, size)
                                         : __libc_realloc(memory, size);
}

EARLY char *
strdup(const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = malloc(size);
    return copy == NULL ? NULL : memcpy(copy, text, size);
}

/* The next definition of the function that this stands in: a sanitizer's, or the C library's. */
static void *
find_next(void **next, const char *name)
{
    void *found = __atomic_load_n(next, __ATOMIC_RELAXED);
    if (found == NULL) {
        found = dlsym(RTLD_NEXT, name);
        __atomic_store_n(next, found, __ATOMIC_RELAXED);
    }
    return found;
}

#define NEXT(name)      \
    static void *found; \
    __typeof__(&name) next = (__typeof__(&name))find_next(&found, SYMBOL_##name)

/* Of what was mapped in no other mapping's place. The C library's own calls do not come here. */
static atomic_uint_least64_t mapped_bytes;

/* With 64-bit offsets some functions have another name. */
#define SYMBOL_open "open64"
#define SYMBOL_fcntl "fcntl64"
#define SYMBOL_mmap "mmap64"
#define SYMBOL_ftruncate "ftruncate64"
#define SYMBOL_fstat "fstat64"
#define SYMBOL_preadv "preadv64"
#define SYMBOL_ioctl "ioctl"
#define SYMBOL_munmap "munmap"
#define SYMBOL_memfd_create "memfd_create"
#define SYMBOL_eventfd "eventfd"
#define SYMBOL_madvise "madvise"
#define SYMBOL_getrandom "getrandom"
#define SYMBOL_openat "openat64"
#define SYMBOL_syscall "syscall"
#define SYMBOL_pread "pread64"
#define SYMBOL_read "read"
#define SYMBOL_pwrite "pwrite64"
#define SYMBOL_writev "writev"
#define SYMBOL_write "write"
#define SYMBOL_fsync "fsync"
#define SYMBOL_renameat "renameat"
#define SYMBOL_fallocate "fallocate64"
#define SYMBOL_pthread_create "pthread_create"

int
open(const char *path, int flags, ...)
{
    mode_t mode = 0;
    NEXT(open);
    if ((flags & (O_CREAT | __O_TMPFILE)) != 0) {
        va_list list;
        va_start(list, flags);
        mode = va_arg(list, mode_t);
        va_end(list);
    }
    return fails(FAULT_OPEN) ? -1 : next(path, flags, mode);
}

int
ioctl(int fd, unsigned long request, ...)
{
    va_list list;
    NEXT(ioctl);
    va_start(list, request);
    unsigned long argument = va_arg(list, unsigned long);
    va_end(list);
    /* What serves page faults cannot be told that there is no answer. */
    if ((inherited != NULL && request != UFFDIO_COPY) ||
        (get_fault()->has_request && get_fault()->request != request) ||
        (get_fault()->has_answer && get_fault()->argument != argument))
        return next(fd, request, argument);
    if (!fails(FAULT_IOCTL))
        return next(fd, request, argument);
    return get_fault()->has_answer ? get_fault()->answer : -1;
}

int
fcntl(int fd, int command, ...)
{
    va_list list;
    NEXT(fcntl);
    va_start(list, command);
    unsigned long argument = va_arg(list, unsigned long);
    va_end(list);
    if ((command == F_DUPFD_CLOEXEC && fails(FAULT_DUPLICATE)) ||
        (command == F_ADD_SEALS && fails(FAULT_SEAL)))
        return -1;
    return next(fd, command, argument);
}

static size_t
round_up(size_t size)
{
    return (size + 4095) & ~(size_t)4095;
}

void *
mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset)
{
    NEXT(mmap);
    if (fails(FAULT_MAP))
        return MAP_FAILED;
    void *mapped = next(address, size, protection, flags, fd, offset);
    if (mapped != MAP_FAILED && (flags & MAP_FIXED) == 0)
        mapped_bytes += round_up(size);
    return mapped;
}

int
munmap(void *address, size_t size)
{
    NEXT(munmap);
    int result = next(address, size);
    if (result == 0)
        mapped_bytes -= round_up(size);
    return result;
}

uint64_t
fault_get_mapped_bytes(void)
{
    return mapped_bytes;
}

int
memfd_create(const char *name, unsigned int flags)
{
    NEXT(memfd_create);
    return fails(FAULT_MEMFD) ? -1 : next(name, flags);
}

int
eventfd(unsigned int value, int flags)
{
    NEXT(eventfd);
    return fails(FAULT_EVENTFD) ? -1 : next(value, flags);
}

int
madvise(void *address, size_t size, int advice)
{
    NEXT(madvise);
    return fails(FAULT_ADVISE) ? -1 : next(address, size, advice);
}

int
ftruncate(int fd, off_t size)
{
    NEXT(ftruncate);
    return fails(FAULT_RESIZE) ? -1 : next(fd, size);
}

int
fstat(int fd, struct stat *status)
{
    NEXT(fstat);
    if (!fails(FAULT_STATUS))
        return next(fd, status);
    if (!get_fault()->has_answer)
        return -1;
    int result = next(fd, status);
    status->st_mode = (status->st_mode & ~(mode_t)S_IFMT) | (mode_t)get_fault()->answer;
    return result;
}

ssize_t
preadv(int fd, const struct iovec *iov, int count, off_t offset)
{
    NEXT(preadv);
    return fails(FAULT_READ) ? -1 : next(fd, iov, count, offset);
}

ssize_t
getrandom(void *buffer, size_t size, unsigned int flags)
{
    NEXT(getrandom);
    return fails(FAULT_RANDOM) ? -1 : next(buffer, size, flags);
}

int
openat(int folder, const char *path, int flags, ...)
{
    mode_t mode = 0;
    NEXT(openat);
    if ((flags & (O_CREAT | __O_TMPFILE)) != 0) {
        va_list list;
        va_start(list, flags);
        mode = va_arg(list, mode_t);
        va_end(list);
    }
    return fails(FAULT_OPEN_AT) ? -1 : next(folder, path, flags, mode);
}

long
syscall(long number, ...)
{
    va_list list;
    long arguments[6];
    NEXT(syscall);
    va_start(list, number);
    for (size_t i = 0; i < 6; i++)
        arguments[i] = va_arg(list, long);
    va_end(list);
    if (fails(FAULT_SYSCALL))
        return -1;
    return next(number, arguments[0], arguments[1], arguments[2], arguments[3], arguments[4],
                arguments[5]);
}

ssize_t
pread(int fd, void *buffer, size_t size, off_t offset)
{
    NEXT(pread);
    return fails(FAULT_READ) ? -1 : next(fd, buffer, size, offset);
}

ssize_t
read(int fd, void *buffer, size_t size)
{
    NEXT(read);
    /* Nor fails what tells of them. */
    return inherited == NULL && fails(FAULT_READ) ? -1 : next(fd, buffer, size);
}

ssize_t
pwrite(int fd, const void *buffer, size_t size, off_t offset)
{
    NEXT(pwrite);
    return fails(FAULT_WRITE) ? -1 : next(fd, buffer, size, offset);
}

ssize_t
writev(int fd, const struct iovec *iov, int count)
{
    NEXT(writev);
    return fails(FAULT_WRITE) ? -1 : next(fd, iov, count);
}

ssize_t
write(int fd, const void *buffer, size_t size)
{
    NEXT(write);
    return fails(FAULT_WRITE) ? -1 : next(fd, buffer, size);
}

int
fsync(int fd)
{
    NEXT(fsync);
    return fails(FAULT_SYNC) ? -1 : next(fd);
}

int
renameat(int folder, const char *path, int new_folder, const char *new_path)
{
    NEXT(renameat);
    return fails(FAULT_RENAME) ? -1 : next(folder, path, new_folder, new_path);
}

int
fallocate(int fd, int mode, off_t offset, off_t size)
{
    NEXT(fallocate);
    return fails(FAULT_RESERVE) ? -1 : next(fd, mode, offset, size);
}

struct start {
    void *(*run)(void *);
    void *argument;
    struct fault *fault;
};

static void *
run_inheriting(void *user_data)
{
    struct start start = *(struct start *)user_data;
    free(user_data);
    inherited = start.fault;
    return start.run(start.argument);
}

int
pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
               void *argument)
{
    NEXT(pthread_create);
    if (get_fault()->call == 0)
        return next(thread, attributes, run, argument);
    if (fails(FAULT_THREAD))
        return errno;
    struct start *start = hand_on_malloc(sizeof *start);
    if (start == NULL)
        return EAGAIN;
    *start = (struct start){run, argument, get_fault()};
    int result = next(thread, attributes, run_inheriting, start);
    if (result != 0)
        free(start);
    return result;
}
