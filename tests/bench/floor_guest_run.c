/* SPDX-License-Identifier: Apache-2.0 */
/* The run of the floor's guest: its two ways out, answered. */
#include "bench.h"
#include "floor_guest.h"

#include <vmkit/guest.h>

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

static void
set_fs_base(const struct floor_guest *guest, uint64_t value)
{
    const struct kvm_msr_entry entry = {.index = 0xc0000100, .data = value};
    floor_guest_set_msrs(guest, &entry, 1);
}

/* The result of a system call. */
static int64_t
serve(struct floor_guest *guest, const struct kvm_regs *regs, bool *ret_pause)
{
    switch (regs->rax) {
    case SYS_getpid:
        return 2;
    case SYS_write:
        *ret_pause = *floor_guest_at(guest, regs->rsi) == 'p';
        return (int64_t)regs->rdx;
    case SYS_brk:
        guest->brk = regs->rdi != 0 ? regs->rdi : guest->brk;
        return (int64_t)guest->brk;
    case SYS_arch_prctl:
        set_fs_base(guest, regs->rsi);
        return 0;
    case SYS_getrandom:
        return (int64_t)regs->rsi;
    case SYS_read:
        memcpy(floor_guest_at(guest, regs->rsi), &guest->input, sizeof guest->input);
        return sizeof guest->input;
    case SYS_mmap:
        return (int64_t)regs->rdi;
    case VMKIT_GUEST_NR_READY:
        *ret_pause = true;
        return 0;
    case SYS_readlink:
        return -ENOENT;
    case SYS_rseq:
        return -ENOSYS;
    case SYS_exit_group:
        guest->ended = true;
        return 0;
    default:
        return 0;
    }
}

static void
learn_level(struct floor_guest *guest)
{
    struct kvm_sregs sregs;
    BENCH_CHECK(ioctl(guest->vcpu, KVM_GET_SREGS, &sregs));
    guest->syscall_at_user = (sregs.cs.selector & 3) == 3;
    guest->level_known = true;
}

/* Show the page that the guest misses. While learning, KVM tells which; later on it is known. */
static void
serve_fault(struct floor_guest *guest, struct floor_plan *plan)
{
    uint64_t page;
    if (plan->learn) {
        struct kvm_sregs sregs;
        BENCH_CHECK(ioctl(guest->vcpu, KVM_GET_SREGS, &sregs));
        page = sregs.cr2 & ~(uint64_t)(PAGE - 1);
        if (page < WINDOW || page >= STACK_TOP || plan->length == sizeof plan->pages / 8)
            bench_die("the floor's guest touches 0x%llx", (unsigned long long)sregs.cr2);
        plan->pages[plan->length++] = page;
        plan->own += (*floor_guest_entry(guest, page) & PTE_WRITE) != 0;
        floor_guest_read_page(guest, page);
    } else if (guest->faults < plan->count) {
        page = plan->pages[guest->faults];
    } else {
        bench_die("the floor's guest faults more often than planned");
    }
    guest->faults++;
    *floor_guest_entry(guest, page) |= PTE_PRESENT;
    guest->run->s.regs.regs.rsp += 8;
}

void
floor_guest_run(struct floor_guest *guest, struct floor_plan *plan)
{
    struct kvm_run *run = guest->run;
    struct kvm_regs *regs = &run->s.regs.regs;
    bool pause = false;
    while (!guest->ended && !pause) {
        BENCH_CHECK(ioctl(guest->vcpu, KVM_RUN, 0));
        guest->exits++;
        if (run->exit_reason != KVM_EXIT_IO)
            bench_die("the floor's guest: exit %u at 0x%llx", run->exit_reason,
                      (unsigned long long)regs->rip);
        if (run->io.port == PORT_SYSCALL) {
            if (!guest->level_known)
                learn_level(guest);
            guest->syscalls++;
            regs->rax = (uint64_t)serve(guest, regs, &pause);
            if (guest->syscall_at_user) {
                regs->rip = regs->rcx;
                regs->rflags = regs->r11;
            }
        } else {
            serve_fault(guest, plan);
        }
        run->kvm_dirty_regs = KVM_SYNC_X86_REGS;
    }
}
