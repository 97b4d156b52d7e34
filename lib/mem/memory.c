/* SPDX-License-Identifier: Apache-2.0 */
#include "mem/memory.h"
#include "util/checked.h"
#include "util/descriptor.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/memfd.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define HUGE_PAGE (UINT64_C(2) << 20)

#ifndef MAP_HUGE_2MB
#define MAP_HUGE_2MB (21 << 26)
#endif

struct vmkit_memory {
    atomic_uint references;
    uint8_t *address;
    uint64_t size;
    int fd;
    bool mapped; /* by the library, which therefore unmaps it */
    bool read_only;
    /* Someone else can take bytes away (shorten the file, change the protection), so that a plain
     * access could end the process. */
    bool fragile;
    vmkit_memory_release_callback release;
    void *user_data;
};

static uint64_t
page_size(void)
{
    return (uint64_t)sysconf(_SC_PAGESIZE);
}

static int
check_size(uint64_t size, uint64_t flags, uint64_t known, vmkit_error **ret_error)
{
    uint64_t unit = (flags & VMKIT_MEMORY_HUGE_2M) != 0 ? HUGE_PAGE : page_size();
    if ((flags & ~known) != 0)
        return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT,
                             "memory flags 0x%" PRIx64 " are not known here", flags & ~known);
    if ((flags & VMKIT_MEMORY_HUGE_2M) != 0 && (flags & VMKIT_MEMORY_TRANSPARENT_HUGE) != 0)
        return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT,
                             "memory has either reserved or transparent huge pages, not both");
    if (size == 0 || size % unit != 0)
        return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT,
                             "memory size %" PRIu64 " is not a multiple of %" PRIu64 " bytes", size,
                             unit);
    if (size > PTRDIFF_MAX)
        return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                             "memory size %" PRIu64 " is beyond the address space", size);
    return 0;
}

static int
memory_new(uint64_t size, struct vmkit_memory **ret_memory, vmkit_error **ret_error)
{
    struct vmkit_memory *memory = calloc(1, sizeof *memory);
    if (memory == NULL)
        return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                             "no memory for a handle of memory");
    atomic_init(&memory->references, 1);
    memory->size = size;
    memory->fd = -1;
    *ret_memory = memory;
    return 0;
}

/* The whole text of a mapping that failed; what to do depends on what was asked for. */
static int
fail_map(int err, uint64_t size, uint64_t flags, vmkit_error **ret_error)
{
    if ((flags & VMKIT_MEMORY_HUGE_2M) != 0 && err == ENOMEM)
        return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                             "the host has not %" PRIu64 " free huge pages of 2 MiB; see "
                             "/proc/sys/vm/nr_hugepages",
                             size / HUGE_PAGE);
    if ((flags & VMKIT_MEMORY_HUGE_2M) != 0)
        return vmk_error_set(ret_error, ENOTSUP, VMKIT_ERROR_NOT_SUPPORTED,
                             "the host's kernel has no huge pages of 2 MiB");
    if (err == ENOMEM)
        return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                             "no address space for %" PRIu64 " bytes of memory", size);
    return vmk_error_set_known(ret_error, err,
                               VMK_ERRNO(EACCES) | VMK_ERRNO(EPERM) | VMK_ERRNO(ENODEV),
                               VMKIT_ERROR_IO, "mapping %" PRIu64 " bytes of memory", size);
}

/* Map at a multiple of `unit` by reserving more and giving the ends back. */
static void *
map_aligned(uint64_t size, uint64_t unit, int protection, int flags, int fd, off_t offset)
{
    uint64_t wide;
    if (!vmk_add_u64(size, unit, &wide) || wide > SIZE_MAX) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    uint8_t *reserved =
        mmap(NULL, wide, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (reserved == MAP_FAILED)
        return MAP_FAILED;

    uint8_t *start = reserved + (unit - (uintptr_t)reserved % unit) % unit;
    void *address = mmap(start, size, protection, flags | MAP_FIXED, fd, offset);
    if (address == MAP_FAILED) {
        int err = errno;
        munmap(reserved, wide);
        errno = err;
        return MAP_FAILED;
    }
    if (start > reserved)
        munmap(reserved, (size_t)(start - reserved));
    if (start + size < reserved + wide)
        munmap(start + size, (size_t)(reserved + wide - (start + size)));
    return address;
}

static int
memory_map(struct vmkit_memory *memory, uint64_t flags, int map_flags, uint64_t offset,
           vmkit_error **ret_error)
{
    int protection = memory->read_only ? PROT_READ : PROT_READ | PROT_WRITE;
    bool transparent = (flags & VMKIT_MEMORY_TRANSPARENT_HUGE) != 0;
    void *address =
        transparent
            ? map_aligned(memory->size, HUGE_PAGE, protection, map_flags, memory->fd, (off_t)offset)
            : mmap(NULL, memory->size, protection, map_flags, memory->fd, (off_t)offset);
    if (address == MAP_FAILED)
        return fail_map(errno, memory->size, flags, ret_error);
    memory->address = address;
    memory->mapped = true;
    if (transparent && madvise(address, memory->size, MADV_HUGEPAGE) != 0)
        return vmk_error_set(ret_error, ENOTSUP, VMKIT_ERROR_NOT_SUPPORTED,
                             "the host's kernel has no transparent huge pages");
    return 0;
}

/* Hand over what was made, or free what was made by halves. */
static int
memory_finish(struct vmkit_memory *memory, int result, struct vmkit_memory **ret_memory)
{
    if (result < 0)
        vmk_memory_unref(memory);
    else
        *ret_memory = memory;
    return result;
}

int
vmk_memory_new_anonymous(uint64_t size, uint64_t flags, struct vmkit_memory **ret_memory,
                         vmkit_error **ret_error)
{
    struct vmkit_memory *memory = NULL;
    int result =
        check_size(size, flags, VMKIT_MEMORY_TRANSPARENT_HUGE | VMKIT_MEMORY_HUGE_2M, ret_error);
    if (result == 0)
        result = memory_new(size, &memory, ret_error);
    if (result < 0)
        return result;

    int map_flags = MAP_PRIVATE | MAP_ANONYMOUS;
    /* Reserved huge pages are counted now, so that none is missing when the guest touches it. */
    if ((flags & VMKIT_MEMORY_HUGE_2M) != 0)
        map_flags |= MAP_HUGETLB | MAP_HUGE_2MB;
    else
        map_flags |= MAP_NORESERVE;
    return memory_finish(memory, memory_map(memory, flags, map_flags, 0, ret_error), ret_memory);
}

static int
fail_size(int err, const char *name, uint64_t size, vmkit_error **ret_error)
{
    if (err == EFBIG)
        return vmk_error_set(ret_error, E2BIG, VMKIT_ERROR_LIMIT,
                             "memfd \"%s\" of %" PRIu64 " bytes is above this process's limit "
                             "of file sizes (RLIMIT_FSIZE)",
                             name, size);
    return vmk_error_set_known(ret_error, err, VMK_ERRNO(ENOMEM), VMKIT_ERROR_IO,
                               "memfd \"%s\" of %" PRIu64 " bytes", name, size);
}

static int
open_memfd(struct vmkit_memory *memory, const char *name, uint64_t flags, vmkit_error **ret_error)
{
    unsigned int memfd_flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
    if ((flags & VMKIT_MEMORY_HUGE_2M) != 0)
        memfd_flags |= MFD_HUGETLB | MFD_HUGE_2MB;
    memory->fd = vmk_descriptor_keep(memfd_create(name, memfd_flags));
    if (memory->fd < 0 && (flags & VMKIT_MEMORY_HUGE_2M) != 0 && errno != EMFILE && errno != ENFILE)
        return fail_map(EINVAL, memory->size, flags, ret_error);
    if (memory->fd < 0)
        return vmk_error_set_known(ret_error, errno,
                                   VMK_ERRNO(ENOMEM) | VMK_ERRNO(EMFILE) | VMK_ERRNO(ENFILE),
                                   VMKIT_ERROR_IO, "memfd \"%s\"", name);
    int result = vmk_descriptor_set_memory_size(memory->fd, memory->size);
    if (result < 0)
        return fail_size(-result, name, memory->size, ret_error);
    if (fcntl(memory->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
        return vmk_error_set_known(ret_error, errno, 0, VMKIT_ERROR_IO, "sealing memfd \"%s\"",
                                   name);
    return memory_map(memory, flags, MAP_SHARED, 0, ret_error);
}

int
vmk_memory_new_memfd(const char *name, uint64_t size, uint64_t flags,
                     struct vmkit_memory **ret_memory, vmkit_error **ret_error)
{
    struct vmkit_memory *memory = NULL;
    if (name == NULL)
        name = "vmkit";
    if (strlen(name) > 200)
        return vmk_error_set(ret_error, ENAMETOOLONG, VMKIT_ERROR_INVALID_ARGUMENT,
                             "a memfd's name has %zu bytes, 200 at the most", strlen(name));
    int result =
        check_size(size, flags, VMKIT_MEMORY_TRANSPARENT_HUGE | VMKIT_MEMORY_HUGE_2M, ret_error);
    if (result == 0)
        result = memory_new(size, &memory, ret_error);
    if (result < 0)
        return result;
    return memory_finish(memory, open_memfd(memory, name, flags, ret_error), ret_memory);
}

/* A mapping beyond the end of a file would fault at the first touch. Devices have no such size. */
static int
check_file(int fd, uint64_t offset, uint64_t size, vmkit_error **ret_error)
{
    struct stat st;
    uint64_t end;
    if (fstat(fd, &st) != 0 && errno == EBADF)
        return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT,
                             "descriptor %d is not open", fd);
    if (fstat(fd, &st) != 0)
        return vmk_error_set_known(ret_error, errno, 0, VMKIT_ERROR_IO, "fstat(2) of descriptor %d",
                                   fd);
    if (offset % page_size() != 0)
        return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT,
                             "file offset %" PRIu64 " is not a multiple of %" PRIu64 " bytes",
                             offset, page_size());
    if (!vmk_add_u64(offset, size, &end) || end > INT64_MAX ||
        (S_ISREG(st.st_mode) && end > (uint64_t)st.st_size))
        return vmk_error_set(ret_error, ERANGE, VMKIT_ERROR_OUT_OF_RANGE,
                             "file range [%" PRIu64 ", +%" PRIu64
                             ") goes beyond the file's %" PRId64 " bytes",
                             offset, size, (int64_t)st.st_size);
    return 0;
}

int
vmk_memory_new_fd(int fd, uint64_t offset, uint64_t size, uint64_t flags,
                  struct vmkit_memory **ret_memory, vmkit_error **ret_error)
{
    uint64_t known = VMKIT_MEMORY_PRIVATE | VMKIT_MEMORY_READ_ONLY | VMKIT_MEMORY_TRANSPARENT_HUGE;
    struct vmkit_memory *memory = NULL;
    int result = check_size(size, flags, known, ret_error);
    if (result == 0)
        result = check_file(fd, offset, size, ret_error);
    if (result == 0)
        result = memory_new(size, &memory, ret_error);
    if (result < 0)
        return result;

    memory->fragile = true;
    memory->read_only = (flags & VMKIT_MEMORY_READ_ONLY) != 0;
    memory->fd = fcntl(fd, F_DUPFD_CLOEXEC, VMK_DESCRIPTOR_FIRST);
    if (memory->fd < 0)
        result = vmk_error_set_known(ret_error, errno, VMK_ERRNO(EMFILE) | VMK_ERRNO(ENOMEM),
                                     VMKIT_ERROR_IO, "duplicating descriptor %d", fd);
    else
        result = memory_map(memory, flags,
                            (flags & VMKIT_MEMORY_PRIVATE) != 0 ? MAP_PRIVATE | MAP_NORESERVE
                                                                : MAP_SHARED,
                            offset, ret_error);
    return memory_finish(memory, result, ret_memory);
}

int
vmk_memory_new_user(void *address, uint64_t size, vmkit_memory_release_callback release,
                    void *user_data, struct vmkit_memory **ret_memory, vmkit_error **ret_error)
{
    uint64_t end;
    int result = check_size(size, 0, 0, ret_error);
    if (result < 0)
        return result;
    if (address == NULL || (uintptr_t)address % page_size() != 0)
        return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT,
                             "memory address %p is not a multiple of %" PRIu64 " bytes", address,
                             page_size());
    if (!vmk_add_u64((uintptr_t)address, size, &end))
        return vmk_error_set(ret_error, ERANGE, VMKIT_ERROR_OUT_OF_RANGE,
                             "memory [%p, +%" PRIu64 ") goes round the end of the address space",
                             address, size);
    struct vmkit_memory *memory = NULL;
    result = memory_new(size, &memory, ret_error);
    if (result < 0)
        return result;
    memory->address = address;
    memory->fragile = true;
    memory->release = release;
    memory->user_data = user_data;
    *ret_memory = memory;
    return 0;
}

struct vmkit_memory *
vmk_memory_ref(struct vmkit_memory *memory)
{
    if (memory != NULL)
        atomic_fetch_add_explicit(&memory->references, 1, memory_order_relaxed);
    return memory;
}

void
vmk_memory_unref(struct vmkit_memory *memory)
{
    if (memory == NULL ||
        atomic_fetch_sub_explicit(&memory->references, 1, memory_order_acq_rel) != 1)
        return;
    if (memory->mapped)
        munmap(memory->address, memory->size);
    if (memory->fd >= 0)
        close(memory->fd);
    if (memory->release != NULL)
        memory->release(memory->user_data);
    free(memory);
}

void *
vmk_memory_get_pointer(const struct vmkit_memory *memory)
{
    return memory->address;
}

uint64_t
vmk_memory_get_size(const struct vmkit_memory *memory)
{
    return memory->size;
}

int
vmk_memory_get_fd(const struct vmkit_memory *memory)
{
    return memory->fd;
}

bool
vmk_memory_is_read_only(const struct vmkit_memory *memory)
{
    return memory->read_only;
}

/* The kernel copies between two ranges of this process and says where one has no bytes, instead of
 * a signal. */
static int
copy_guarded(void *here, void *there, size_t size, bool write)
{
    for (size_t done = 0; done < size;) {
        struct iovec local = {(uint8_t *)here + done, size - done};
        struct iovec remote = {(uint8_t *)there + done, size - done};
        ssize_t n = write ? process_vm_writev(getpid(), &local, 1, &remote, 1, 0)
                          : process_vm_readv(getpid(), &local, 1, &remote, 1, 0);
        if (n <= 0)
            return n < 0 ? -errno : -EFAULT;
        done += (size_t)n;
    }
    return 0;
}

int
vmk_memory_read(const struct vmkit_memory *memory, uint64_t offset, void *destination, size_t size)
{
    if (memory->fragile)
        return copy_guarded(destination, memory->address + offset, size, false);
    memcpy(destination, memory->address + offset, size);
    return 0;
}

int
vmk_memory_write(struct vmkit_memory *memory, uint64_t offset, const void *source, size_t size)
{
    if (memory->fragile)
        return copy_guarded((void *)(uintptr_t)source, memory->address + offset, size, true);
    memcpy(memory->address + offset, source, size);
    return 0;
}
