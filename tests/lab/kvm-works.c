/* SPDX-License-Identifier: Apache-2.0 */
// Shows that KVM works on this machine, with the bare ioctls: it runs real mode, and a 64-bit
// program in user mode (CPL3) under page tables of its own, which is what a sandbox rests on.
// Prints one line a fact, for `test` to compare; ends with 1 at the first call that fails.
//
// Guest memory: code at 0x10000 (a user page), page tables at 0x1000 to 0x4000, a supervisor page
// at 0x5000. I/O from user mode goes through IOPL 3: QEMU's emulation looks at the I/O bitmap
// only when the task register is of the available type (9), and KVM's is busy (11).

#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>

enum { MEMORY = 0x40000, CODE = 0x10000, EXITS = 2000 };

static uint8_t *memory;
static struct kvm_run *run;
static int vcpu;

static int
check(int result, const char *what)
{
    if (result < 0) {
        perror(what);
        exit(1);
    }
    return result;
}

static void
create(void)
{
    int kvm = check(open("/dev/kvm", O_RDWR | O_CLOEXEC), "open /dev/kvm");
    printf("api %d\n", ioctl(kvm, KVM_GET_API_VERSION, 0));
    int vm = check(ioctl(kvm, KVM_CREATE_VM, 0), "KVM_CREATE_VM");
    memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct kvm_userspace_memory_region region = {
        .memory_size = MEMORY,
        .userspace_addr = (uintptr_t)memory,
    };
    check(ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region), "KVM_SET_USER_MEMORY_REGION");
    vcpu = check(ioctl(vm, KVM_CREATE_VCPU, 0), "KVM_CREATE_VCPU");
    int size = check(ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), "KVM_GET_VCPU_MMAP_SIZE");
    run = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
    struct kvm_cpuid2 *cpuid = calloc(1, sizeof(*cpuid) + 256 * sizeof(cpuid->entries[0]));
    if (memory == MAP_FAILED || run == MAP_FAILED || !cpuid) {
        check(-1, "memory");
    }
    cpuid->nent = 256;
    check(ioctl(kvm, KVM_GET_SUPPORTED_CPUID, cpuid), "KVM_GET_SUPPORTED_CPUID");
    check(ioctl(vcpu, KVM_SET_CPUID2, cpuid), "KVM_SET_CPUID2");
    free(cpuid);
}

static void
start(const void *code, size_t size, uint64_t rflags)
{
    struct kvm_regs regs = {.rip = CODE, .rflags = rflags | 2, .rax = 0x2a};
    struct kvm_sregs sregs;
    check(ioctl(vcpu, KVM_GET_SREGS, &sregs), "KVM_GET_SREGS");
    if (!(sregs.cr0 & 1)) {
        regs.rip = 0;
        sregs.cs.base = CODE;
        sregs.cs.selector = CODE >> 4;
        check(ioctl(vcpu, KVM_SET_SREGS, &sregs), "KVM_SET_SREGS");
    }
    memcpy(memory + CODE, code, size);
    check(ioctl(vcpu, KVM_SET_REGS, &regs), "KVM_SET_REGS");
}

static void
step(const char *name)
{
    check(ioctl(vcpu, KVM_RUN, 0), "KVM_RUN");
    if (run->exit_reason == KVM_EXIT_IO) {
        printf("%s: port %#x value %#x\n", name, (unsigned)run->io.port,
               (unsigned)*((uint8_t *)run + run->io.data_offset));
    } else {
        printf("%s: exit %u\n", name, run->exit_reason);
    }
}

static void
enter_user_mode(void)
{
    uint64_t tables[3][512] = {{0x2007}, {0x3007}, {0x4007}};
    memcpy(memory + 0x1000, tables, sizeof(tables));
    for (uint64_t page = 0; page < 64; page++) {
        uint64_t entry = (page << 12) | (page == CODE >> 12 ? 5 : 3);
        memcpy(memory + 0x4000 + page * 8, &entry, sizeof(entry));
    }
    struct kvm_sregs sregs;
    check(ioctl(vcpu, KVM_GET_SREGS, &sregs), "KVM_GET_SREGS");
    struct kvm_segment code = {
        .selector = 0x33, .limit = ~0u, .type = 11, .dpl = 3, .present = 1, .s = 1, .l = 1, .g = 1};
    struct kvm_segment data = {
        .selector = 0x2b, .limit = ~0u, .type = 3, .dpl = 3, .present = 1, .s = 1, .db = 1, .g = 1};
    sregs.cs = code;
    sregs.ss = sregs.ds = sregs.es = data;
    sregs.idt.limit = 0;
    sregs.cr3 = 0x1000;
    sregs.cr4 = 0x620;
    sregs.cr0 = 0x80050033;
    sregs.efer = 0xd00;
    check(ioctl(vcpu, KVM_SET_SREGS, &sregs), "KVM_SET_SREGS");
}

static double
microseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

int
main(void)
{
    static const uint8_t real_mode[] = {0xe6, 0x10, 0xf4}; // out %al,$0x10; hlt
    // mov $0x1234567890ab,%rbx; again: mov %bl,%al; out %al,$0x11; jmp again
    static const uint8_t user_mode[] = {0x48, 0xbb, 0xab, 0x90, 0x78, 0x56, 0x34, 0x12,
                                        0,    0,    0x88, 0xd8, 0xe6, 0x11, 0xeb, 0xfa};
    static const uint8_t forbidden[] = {0xa0, 0, 0x50, 0, 0, 0, 0, 0, 0}; // movabs 0x5000,%al

    create();
    start(real_mode, sizeof(real_mode), 0);
    step("real mode");
    step("real mode");
    enter_user_mode();
    start(user_mode, sizeof(user_mode), 3 << 12);
    step("user mode");
    double began = microseconds();
    for (int i = 0; i < EXITS; i++) {
        check(ioctl(vcpu, KVM_RUN, 0), "KVM_RUN");
        if (run->exit_reason != KVM_EXIT_IO) {
            printf("user mode: exit %u\n", run->exit_reason);
            return 1;
        }
    }
    fprintf(stderr, "%.1f us an exit and re-entry by OUT from user mode\n",
            (microseconds() - began) / EXITS);
    run->immediate_exit = 1;
    ioctl(vcpu, KVM_RUN, 0);
    run->immediate_exit = 0;
    // With no interrupt table a fault becomes a shutdown.
    start(forbidden, sizeof(forbidden), 0);
    step("user mode on a supervisor page");
    return 0;
}
