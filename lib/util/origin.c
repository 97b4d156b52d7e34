/* SPDX-License-Identifier: Apache-2.0 */
#include "util/origin.h"
#include "util/error.h"

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

/* NULL until it is needed, and where the kernel has no such pages; then set once. */
static _Atomic(atomic_int *) page;

static void
page_make(void)
{
    size_t size = (size_t)sysconf(_SC_PAGESIZE);
    void *made = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (made == MAP_FAILED)
        return;
    atomic_int *none = NULL;
    if (madvise(made, size, MADV_WIPEONFORK) != 0 ||
        !atomic_compare_exchange_strong(&page, &none, made))
        munmap(made, size);
}

pid_t
vmk_origin_get(void)
{
    pid_t here = getpid();
    if (atomic_load_explicit(&page, memory_order_acquire) == NULL)
        page_make();
    atomic_int *known = atomic_load_explicit(&page, memory_order_acquire);
    if (known != NULL)
        atomic_store_explicit(known, here, memory_order_relaxed);
    return here;
}

bool
vmk_origin_is_here(pid_t origin)
{
    atomic_int *known = atomic_load_explicit(&page, memory_order_acquire);
    int here = known == NULL ? 0 : atomic_load_explicit(known, memory_order_relaxed);
    return here != 0 ? here == origin : getpid() == origin;
}

int
vmk_origin_check(pid_t origin, const char *what, vmkit_error **ret_error)
{
    if (vmk_origin_is_here(origin))
        return 0;
    return vmk_error_set(ret_error, EIO, VMKIT_ERROR_WRONG_STATE,
                         "the %s belongs to process %d, which made it: KVM lets no other process "
                         "use it",
                         what, (int)origin);
}
