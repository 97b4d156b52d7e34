/* SPDX-License-Identifier: Apache-2.0 */
#include "mem/demand.h"

#include "util/descriptor.h"
#include "util/error.h"
#include "util/origin.h"
#include "util/thread.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PAGE ((uint64_t)VMK_DEMAND_PAGE)

/* How many faults are read at a time. */
#define MESSAGES 16

struct watch {
    uintptr_t address;
    uint64_t size;
    uint64_t offset;
    struct watch *next;
};

struct vmk_demand {
    struct vmk_demand_source source;
    uint64_t size;
    uint64_t piece;
    pid_t process;
    int fd;
    int faults; /* of userfaultfd(2) */
    int stop;   /* an eventfd */
    /* All of the memfd, shared, and touched by nobody: pages are put in by it. What is written to
     * the descriptor may come with neighbours, where the host has huge pages for shared memory, and
     * those would be there without having been made. */
    uint8_t *window;
    pthread_t thread;
    bool has_thread;

    pthread_mutex_t watch_lock; /* never held while pages are made or touched */
    struct watch *watches;

    pthread_mutex_t make_lock;
    uint8_t *buffer; /* a piece */
    uint8_t *made;   /* a byte a piece */
    vmkit_error *error;
    atomic_bool broken;
};

static int
open_faults(void)
{
    /* Faults of KVM count too, which are the kernel's. Who may not see those by the call may by the
     * device, since Linux 6.1. */
    int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
    if (fd >= 0 || errno != EPERM)
        return fd;
    int device = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
    if (device < 0) {
        errno = EPERM;
        return -1;
    }
#ifdef USERFAULTFD_IOC_NEW
    fd = ioctl(device, USERFAULTFD_IOC_NEW, O_CLOEXEC | O_NONBLOCK);
#else
    fd = ioctl(device, _IO(0xAA, 0), O_CLOEXEC | O_NONBLOCK);
#endif
    int err = errno;
    close(device);
    errno = err;
    return fd;
}

static int
make_faults(struct vmk_demand *demand, vmkit_error **ret_error)
{
    struct uffdio_api api = {.api = UFFD_API, .features = UFFD_FEATURE_MISSING_SHMEM};
    demand->faults = vmk_descriptor_keep(open_faults());
    if (demand->faults >= 0 && ioctl(demand->faults, UFFDIO_API, &api) == 0)
        return 0;
    if (errno == EPERM)
        return vmk_error_set(ret_error, EPERM, VMKIT_ERROR_NOT_SUPPORTED,
                             "the host does not let this process handle page faults of its own: it "
                             "takes CAP_SYS_PTRACE, access to /dev/userfaultfd, or the setting "
                             "vm.unprivileged_userfaultfd=1");
    if (errno == ENOSYS || errno == EINVAL)
        return vmk_error_set(ret_error, ENOTSUP, VMKIT_ERROR_NOT_SUPPORTED,
                             "the host's kernel has no userfaultfd(2) for memfds");
    return vmk_error_set_errno(ret_error, errno, VMKIT_ERROR_IO, "userfaultfd(2)");
}

/* Faults of this range are the thread's, and the range is in no child of fork(2). 0 or a negative
 * errno. */
static int
handle_faults(const struct vmk_demand *demand, void *address, uint64_t size)
{
    struct uffdio_register range = {.range = {.start = (uintptr_t)address, .len = size},
                                    .mode = UFFDIO_REGISTER_MODE_MISSING};
    if (madvise(address, size, MADV_DONTFORK) < 0 ||
        ioctl(demand->faults, UFFDIO_REGISTER, &range) < 0)
        return -errno;
    return 0;
}

static int
make_window(struct vmk_demand *demand, vmkit_error **ret_error)
{
    void *window = mmap(NULL, demand->size, PROT_NONE, MAP_SHARED | MAP_NORESERVE, demand->fd, 0);
    int r = window == MAP_FAILED ? -errno : handle_faults(demand, window, demand->size);
    if (window != MAP_FAILED)
        demand->window = window;
    if (r < 0)
        return vmk_error_set_errno(ret_error, -r, VMKIT_ERROR_OUT_OF_MEMORY,
                                   "mapping a memfd of %" PRIu64 " bytes", demand->size);
    return 0;
}

static int
make_files(struct vmk_demand *demand, vmkit_error **ret_error)
{
    demand->fd = vmk_descriptor_keep(memfd_create("vmkit-demand", MFD_CLOEXEC));
    if (demand->fd < 0)
        return vmk_error_set_errno(ret_error, errno, VMKIT_ERROR_IO, "making a memfd");
    int r = vmk_descriptor_set_memory_size(demand->fd, demand->size);
    if (r < 0)
        return vmk_error_set_errno(ret_error, -r, VMKIT_ERROR_IO, "a memfd of %" PRIu64 " bytes",
                                   demand->size);
    demand->stop = vmk_descriptor_keep(eventfd(0, EFD_CLOEXEC));
    if (demand->stop < 0)
        return vmk_error_set_errno(ret_error, errno, VMKIT_ERROR_IO, "making an eventfd");
    r = make_faults(demand, ret_error);
    return r < 0 ? r : make_window(demand, ret_error);
}

/* With the lock. */
static void
note_error(struct vmk_demand *demand, vmkit_error *error)
{
    if (demand->error == NULL)
        demand->error = error;
    else
        vmk_error_unref(error);
    atomic_store_explicit(&demand->broken, true, memory_order_release);
}

static int
put_piece(const struct vmk_demand *demand, uint64_t offset, size_t size)
{
    for (size_t done = 0; done < size;) {
        struct uffdio_copy copy = {.dst = (uintptr_t)demand->window + offset + done,
                                   .src = (uintptr_t)demand->buffer + done,
                                   .len = size - done};
        int r = ioctl(demand->faults, UFFDIO_COPY, &copy) < 0 ? -errno : 0;
        if (copy.copy > 0)
            done += (size_t)copy.copy;
        else if (r < 0 && r != -EAGAIN)
            return r;
    }
    /* They are in the memfd; this mapping needs none of them. */
    madvise(demand->window + offset, size, MADV_DONTNEED);
    return 0;
}

/* Make the piece that `offset` lies in. Negative when its pages are not there afterwards. */
static int
make_piece(struct vmk_demand *demand, uint64_t offset)
{
    uint64_t number = offset / demand->piece, first = number * demand->piece;
    size_t size =
        (size_t)(demand->size - first < demand->piece ? demand->size - first : demand->piece);
    vmkit_error *error = NULL;
    int r = 0;
    pthread_mutex_lock(&demand->make_lock);
    if (demand->made[number] == 0) {
        r = demand->source.make(demand->source.user_data, first, demand->buffer, size, &error);
        if (r < 0) {
            note_error(demand, error);
            memset(demand->buffer, 0, size);
        }
        r = put_piece(demand, first, size);
        error = NULL;
        if (r < 0) {
            vmk_error_set_errno(&error, -r, VMKIT_ERROR_OUT_OF_MEMORY,
                                "no memory for %zu bytes of a snapshot", size);
            note_error(demand, error);
        }
        demand->made[number] = r == 0;
    }
    pthread_mutex_unlock(&demand->make_lock);
    return r;
}

/* Where in the memfd an address lies. */
static bool
find_offset(struct vmk_demand *demand, uintptr_t address, uint64_t *ret_offset)
{
    bool found = false;
    pthread_mutex_lock(&demand->watch_lock);
    for (const struct watch *watch = demand->watches; watch != NULL && !found;
         watch = watch->next) {
        found = address - watch->address < watch->size;
        *ret_offset = watch->offset + (address - watch->address);
    }
    pthread_mutex_unlock(&demand->watch_lock);
    return found;
}

static void
serve_fault(struct vmk_demand *demand, uintptr_t address)
{
    struct uffdio_range page = {.start = address & ~(PAGE - 1), .len = PAGE};
    uint64_t offset;
    /* Without a page it would wait again: it gets zeros, and what it makes of them is told to be
     * wrong. */
    if (find_offset(demand, address, &offset) && make_piece(demand, offset) < 0)
        ioctl(demand->faults, UFFDIO_UNREGISTER, &page);
    ioctl(demand->faults, UFFDIO_WAKE, &page);
}

static void *
serve(void *data)
{
    struct vmk_demand *demand = data;
    struct pollfd fds[] = {{.fd = demand->faults, .events = POLLIN},
                           {.fd = demand->stop, .events = POLLIN}};
    struct uffd_msg messages[MESSAGES];
    while (fds[1].revents == 0) {
        ssize_t n = 0;
        if (poll(fds, 2, -1) > 0 && fds[0].revents != 0)
            n = read(demand->faults, messages, sizeof messages);
        for (ssize_t i = 0; n > 0 && i < n / (ssize_t)sizeof messages[0]; i++) {
            if (messages[i].event == UFFD_EVENT_PAGEFAULT)
                serve_fault(demand, (uintptr_t)messages[i].arg.pagefault.address);
        }
    }
    return NULL;
}

static int
start_thread(struct vmk_demand *demand, vmkit_error **ret_error)
{
    demand->has_thread = vmk_thread_start(&demand->thread, serve, demand) == 0;
    if (demand->has_thread)
        return 0;
    return vmk_error_set(ret_error, EAGAIN, VMKIT_ERROR_LIMIT,
                         "no thread for the page faults of a snapshot's memory");
}

static int
set_up(struct vmk_demand *demand, vmkit_error **ret_error)
{
    int r = make_files(demand, ret_error);
    if (r < 0)
        return r;
    demand->buffer = malloc(demand->piece);
    demand->made = calloc((demand->size + demand->piece - 1) / demand->piece, 1);
    if (demand->buffer == NULL || demand->made == NULL)
        return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                             "no memory to make a snapshot's memory in");
    return start_thread(demand, ret_error);
}

int
vmk_demand_new(uint64_t size, uint64_t piece, const struct vmk_demand_source *source,
               struct vmk_demand **ret_demand, vmkit_error **ret_error)
{
    struct vmk_demand *demand = calloc(1, sizeof *demand);
    if (demand == NULL)
        return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY, "out of memory");
    *demand = (struct vmk_demand){.size = size,
                                  .piece = piece,
                                  .process = vmk_origin_get(),
                                  .fd = -1,
                                  .faults = -1,
                                  .stop = -1,
                                  .watch_lock = PTHREAD_MUTEX_INITIALIZER,
                                  .make_lock = PTHREAD_MUTEX_INITIALIZER};
    int r = set_up(demand, ret_error);
    if (r < 0) {
        vmk_demand_free(demand);
        return r;
    }
    demand->source = *source;
    *ret_demand = demand;
    return 0;
}

static void
close_if_open(int fd)
{
    if (fd >= 0)
        close(fd);
}

void
vmk_demand_free(struct vmk_demand *demand)
{
    if (demand == NULL)
        return;
    /* A child of fork(2) has a copy of all this but for the thread. */
    if (demand->has_thread && vmk_origin_is_here(demand->process)) {
        eventfd_write(demand->stop, 1);
        pthread_join(demand->thread, NULL);
    }
    if (demand->source.release != NULL)
        demand->source.release(demand->source.user_data);
    if (demand->window != NULL && vmk_demand_is_here(demand))
        munmap(demand->window, demand->size);
    close_if_open(demand->fd);
    close_if_open(demand->faults);
    close_if_open(demand->stop);
    while (demand->watches != NULL) {
        struct watch *next = demand->watches->next;
        free(demand->watches);
        demand->watches = next;
    }
    vmk_error_unref(demand->error);
    free(demand->buffer);
    free(demand->made);
    free(demand);
}

int
vmk_demand_get_fd(const struct vmk_demand *demand)
{
    return demand->fd;
}

bool
vmk_demand_is_here(const struct vmk_demand *demand)
{
    return vmk_origin_is_here(demand->process);
}

static int
check_here(const struct vmk_demand *demand, vmkit_error **ret_error)
{
    if (vmk_demand_is_here(demand))
        return 0;
    return vmk_error_set(ret_error, EIO, VMKIT_ERROR_WRONG_STATE,
                         "the snapshot's memory is decompressed by another process");
}

int
vmk_demand_watch(struct vmk_demand *demand, void *address, uint64_t size, uint64_t offset,
                 vmkit_error **ret_error)
{
    int r = check_here(demand, ret_error);
    if (r < 0)
        return r;
    struct watch *watch = malloc(sizeof *watch);
    if (watch == NULL)
        return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY, "out of memory");
    *watch = (struct watch){.address = (uintptr_t)address, .size = size, .offset = offset};
    pthread_mutex_lock(&demand->watch_lock);
    watch->next = demand->watches;
    demand->watches = watch;
    pthread_mutex_unlock(&demand->watch_lock);
    r = handle_faults(demand, address, size);
    if (r == 0)
        return 0;
    vmk_demand_forget(demand, address, size);
    return vmk_error_set_errno(ret_error, -r, VMKIT_ERROR_IO,
                               "watching %" PRIu64 " bytes of a snapshot's memory", size);
}

void
vmk_demand_forget(struct vmk_demand *demand, const void *address, uint64_t size)
{
    pthread_mutex_lock(&demand->watch_lock);
    for (struct watch **at = &demand->watches; *at != NULL;) {
        struct watch *watch = *at;
        if (watch->address - (uintptr_t)address < size) {
            *at = watch->next;
            free(watch);
        } else {
            at = &watch->next;
        }
    }
    pthread_mutex_unlock(&demand->watch_lock);
}

int
vmk_demand_make(struct vmk_demand *demand, uint64_t offset, uint64_t size, vmkit_error **ret_error)
{
    int r = check_here(demand, ret_error);
    if (r < 0)
        return r;
    for (uint64_t at = offset / demand->piece * demand->piece; at < offset + size;
         at += demand->piece)
        make_piece(demand, at);
    return vmk_demand_check(demand, ret_error);
}

int
vmk_demand_check(struct vmk_demand *demand, vmkit_error **ret_error)
{
    int r = check_here(demand, ret_error);
    if (r < 0 || !atomic_load_explicit(&demand->broken, memory_order_acquire))
        return r;
    pthread_mutex_lock(&demand->make_lock);
    vmkit_error *error = demand->error;
    r = -EIO;
    if (error != NULL)
        r = vmk_error_set(ret_error, EIO, vmk_error_get_kind(error), "%s",
                          vmk_error_get_message(error));
    else
        vmk_error_set(ret_error, EIO, VMKIT_ERROR_IO, "a part of a snapshot's memory is missing");
    pthread_mutex_unlock(&demand->make_lock);
    return r;
}
