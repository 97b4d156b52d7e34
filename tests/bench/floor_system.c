/* SPDX-License-Identifier: Apache-2.0 */
#include "bench.h"
#include "floor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#define CPUID_ENTRIES 256

static uint64_t
find_xcr0(const struct kvm_cpuid2 *cpuid)
{
    bool xsave = false;
    uint64_t mask = 0;
    for (uint32_t i = 0; i < cpuid->nent; i++) {
        const struct kvm_cpuid_entry2 *entry = &cpuid->entries[i];
        if (entry->function == 1)
            xsave = entry->ecx >> 26 & 1;
        if (entry->function == 0xd && entry->index == 0)
            mask = ((uint64_t)entry->edx << 32 | entry->eax) & ~(UINT64_C(3) << 17);
    }
    return xsave ? mask : 0;
}

const struct floor_system *
floor_system_get(void)
{
    static struct floor_system system = {.fd = -1};
    if (system.fd >= 0)
        return &system;
    int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (fd < 0)
        bench_die("/dev/kvm: %s", strerror(errno));
    system.run_size = (size_t)BENCH_CHECK(ioctl(fd, KVM_GET_VCPU_MMAP_SIZE, 0));
    system.cpuid =
        calloc(1, sizeof *system.cpuid + CPUID_ENTRIES * sizeof(struct kvm_cpuid_entry2));
    if (system.cpuid == NULL)
        bench_die("no memory for CPUID leaves");
    system.cpuid->nent = CPUID_ENTRIES;
    BENCH_CHECK(ioctl(fd, KVM_GET_SUPPORTED_CPUID, system.cpuid));
    system.xcr0 = find_xcr0(system.cpuid);
    system.fd = fd;
    return &system;
}
