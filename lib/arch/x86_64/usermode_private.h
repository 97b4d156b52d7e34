/* SPDX-License-Identifier: Apache-2.0 */
/* The layout of the supervisor's pages and the state of a user-mode vCPU; for usermode*.c alone. */
#ifndef VMK_ARCH_X86_64_USERMODE_PRIVATE_H
#define VMK_ARCH_X86_64_USERMODE_PRIVATE_H

#include "arch/usermode.h"

#include <vmkit/x86_64.h>

#define STUB_VA UINT64_C(0xffffffffc0000000)
#define TABLES_VA (STUB_VA + VMK_PAGE_SIZE)
#define STACK_VA (STUB_VA + 2 * VMK_PAGE_SIZE)
#define STACK_TOP (STACK_VA + VMK_PAGE_SIZE)
#define SUPERVISOR_PAGES 3

#define VECTORS 32
#define PORT_EXCEPTION 0xc0
#define PORT_SYSCALL 0xe0
#define STUB_SIZE 16
#define STUB_SYSCALL (VECTORS * STUB_SIZE)
#define STUB_IRET (STUB_SYSCALL + STUB_SIZE)
#define STUB_RETURN (STUB_IRET + STUB_SIZE) /* From here on the stubs are user mode's. */
#define STUB_RETURN_END (STUB_RETURN + 5)
#define STUB_RETURN_VECTORS (STUB_RETURN + STUB_SIZE)
#define STUB_ENTER_VECTORS (STUB_RETURN_VECTORS + STUB_SIZE)
#define STUB_USER_END (STUB_ENTER_VECTORS + 50)
#define STUB_FRAME 0x800      /* What the IRET loads; user mode may read it as well. */
#define STUB_GENERATION 0xff8 /* User mode's, to read. */
#define OUT_SIZE 2

#define GDT_OFFSET 0
#define GDT_ENTRIES 11
#define IDT_OFFSET 256
#define GATE_SIZE 16
#define GATE_ACCESS 5 /* The byte with the type and the level that INT n needs. */
#define GATE_LEVEL_3 0x60
#define VECTOR_BREAKPOINT 3
#define TSS_OFFSET 1024
#define TSS_BITMAP 104
#define TSS_SIZE (TSS_BITMAP + PORT_SYSCALL / 8 + 2)

#define SELECTOR_KERNEL_CODE 0x10
#define SELECTOR_USER_DATA 0x2b
#define SELECTOR_USER_CODE 0x33
#define SELECTOR_TSS 0x40

#define MSR_STAR 0xc0000081
#define MSR_LSTAR 0xc0000082
#define MSR_SFMASK 0xc0000084
#define MSR_FS_BASE 0xc0000100
#define MSR_GS_BASE 0xc0000101

#define RFLAGS_FIXED UINT64_C(0x202)     /* Bit 1, and interrupts on. */
#define RFLAGS_USER UINT64_C(0x254dd5)   /* CF PF AF ZF SF TF DF OF NT RF AC ID. */
#define RFLAGS_MASKED UINT64_C(0x257fd5) /* What SYSCALL clears, as on Linux. */

#define CR0_VALUE UINT64_C(0x80050033) /* PG AM WP NE ET MP PE */
#define CR4_PAE (1u << 5)
#define CR4_OSFXSR (1u << 9)
#define CR4_OSXMMEXCPT (1u << 10)
#define CR4_FSGSBASE (1u << 16)
#define CR4_OSXSAVE (1u << 18)
#define EFER_VALUE 0xd01               /* NXE LMA LME SCE */
#define XCR0_LEGACY UINT64_C(3)        /* x87 and SSE, which every x86-64 processor has. */
#define XCR0_TILES (UINT64_C(3) << 17) /* Needs a permission that the process may not have. */

#define DR6_VALUE UINT64_C(0xffff0ff0) /* As after a reset. */
#define DR7_VALUE UINT64_C(0x400)
#define MP_STATE_RUNNABLE 0

#define XSAVE_MXCSR 24
#define XSAVE_HEADER 512

#define INSTRUCTION_MAX 15

#define USER_LIMIT UINT64_C(0x7ffffffff000)

enum position {
    AT_USER,           /* The vCPU itself is in user mode, where the registers say. */
    AT_STUB,           /* Behind the OUT of a stub, at whichever level. */
    AT_SYSCALL_KERNEL, /* Behind that of the system call stub, at CPL 0 for certain. */
};

struct vmk_usermode {
    struct vmk_kvm_vcpu *vcpu;
    struct vmk_user_regs *regs; /* Shared with KVM. */
    const struct vmk_paging *paging;
    uint8_t *memory;
    uint64_t stub_gpa;
    uint64_t tables_gpa;
    uint64_t stack_gpa;
    enum position position;
    bool settled; /* The last exit was a system call or an exception, taken as a whole. */
    bool level_asked;
    bool syscall_at_kernel; /* SYSCALL was seen to enter CPL 0. */
    bool started;
    uint64_t stub_rip; /* AT_SYSCALL_KERNEL: where the vCPU really stands. */
    uint64_t stub_rflags;
    uint64_t hwcap;
    uint64_t hwcap2;
    uint64_t xcr0;
    size_t xstate_size;                 /* Of the components in XCR0, */
    uint8_t *xsave;                     /* and room for all that KVM copies. */
    struct vmk_usermode_state *adapted; /* Of a copy of a state that was read from bytes. */
};

struct vmk_x86_vcpu_state;

struct vmk_usermode_state {
    struct vmk_user_regs regs;
    struct vmkit_x86_sregs sregs;
    uint64_t stub_gpa;
    uint64_t tables_gpa;
    uint64_t stack_gpa;
    bool level_asked;
    bool syscall_at_kernel;
    bool started;
    uint64_t hwcap;
    uint64_t hwcap2;
    uint64_t xcr0;
    struct vmk_kvm_system *system; /* Where it was saved; NULL for one that was read from bytes: */
    struct vmk_x86_vcpu_state *foreign; /* what they say. Of the above it has the gpas alone. */
    size_t xstate_size;
    uint8_t xsave[]; /* All that KVM copies. */
};

struct exception_frame {
    uint64_t rip, cs, rflags, rsp, ss;
};

/* The registers of a CPUID leaf that the host supports; zeros for one that it lacks. */
struct vmkit_x86_cpuid
vmk_usermode_supported_leaf(const struct vmk_usermode *usermode, uint32_t leaf, uint32_t subleaf);

/* The special registers of a vCPU in user mode, in place of those of its reset. */
void
vmk_usermode_fill_sregs(const struct vmk_usermode *usermode, uint64_t root,
                        struct vmkit_x86_sregs *sregs);

/* The supervisor's pages, in frames and tables of `paging`. 0 or -ENOMEM. */
int
vmk_usermode_lay_out(struct vmk_paging *paging, uint64_t gpa[SUPERVISOR_PAGES]);

/* Where the components of the extended state that are in its XCR0 end. */
size_t
vmk_usermode_find_xstate_size(const struct vmk_usermode *usermode);

void
vmk_usermode_find_hwcaps(const struct vmk_usermode *usermode, uint64_t *ret_hwcap,
                         uint64_t *ret_hwcap2);

/* What KVM copies as extended state, at the least the components in XCR0. */
size_t
vmk_usermode_get_xsave_room(const struct vmk_usermode *usermode);

/* usermode_file.c: what a state that was read from bytes is on this host, for a usermode that has
 * its vCPU and nothing else. -ENOTSUP, naming it, for something that the host lacks. */
int
vmk_usermode_adapt(const struct vmk_usermode *usermode, const struct vmk_usermode_state *state,
                   uint64_t root, struct vmk_usermode_state **ret_state, vmkit_error **ret_error);

/* XCR0 and the MSRs of SYSCALL. */
int
vmk_usermode_set_up_system(struct vmk_usermode *usermode, vmkit_error **ret_error);

/* The extended state as execve(2) leaves it. 0 or a negative errno. */
int
vmk_usermode_reset_xstate(struct vmk_usermode *usermode);

#endif
