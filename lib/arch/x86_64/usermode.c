/* SPDX-License-Identifier: Apache-2.0 */
/*
 * User mode without a kernel on x86-64.
 *
 * Three supervisor pages at the top of the address space hold all that the processor asks for: the
 * entry stubs; the GDT, the IDT and the TSS; and a stack for exceptions. Each stub is an OUT to a
 * port of its own, so that the port says what happened.
 *
 * SYSCALL goes to LSTAR (AMD APM volume 2, 6.1.1). Where the processor runs the guest itself, it is
 * then in supervisor mode. A KVM without VMX or SVM, which runs the guest's user mode as user mode
 * of the host, stays at CPL 3: there the OUT is let through by the I/O bitmap of the TSS. The guest
 * may jump to that stub, too, and gains a system call, which it could have had anyway. But then CPL
 * 3 at the stub does not tell what the next SYSCALL does, and a return that trusted it would leave
 * the program in supervisor mode. So the way back from a stub is an IRET on a frame that the host
 * writes, which leads to CPL 3 from either level and sets CS, SS, RIP, RSP and RFLAGS at once. Once
 * CPL 0 was seen there, the bitmap is closed: from then on only SYSCALL gets through, and the
 * SYSRET behind the OUT leads back.
 *
 * A function that the host calls returns to a stub that makes a SYSCALL, which is told from others
 * by its address. Doubles and floats come and go through the program's stack, by stubs that load
 * and store the vector registers: that costs no ioctl. These stubs are user mode's own code; the
 * program may go there whenever it likes, and gains nothing by it.
 *
 * At the end of the page with the stubs is a number for the program to read (usermode.h).
 *
 * An exception pushes its frame on the supervisor stack; the host reads it there.
 */
#include "usermode_private.h"

#include "kvm/x86_64.h"
#include "util/error.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void
write_stubs(uint8_t *page)
{
    for (unsigned vector = 0; vector < VECTORS; vector++) {
        uint8_t *stub = page + vector * STUB_SIZE;
        stub[0] = 0xe6; /* out %al, $port */
        stub[1] = (uint8_t)(PORT_EXCEPTION + vector);
    }
    /* out %al, $port; sysretq */
    memcpy(page + STUB_SYSCALL, (const uint8_t[]){0xe6, PORT_SYSCALL, 0x48, 0x0f, 0x07}, 5);
    /* iretq */
    memcpy(page + STUB_IRET, (const uint8_t[]){0x48, 0xcf}, 2);
    /* movq %rax, %rdi; syscall; ud2 */
    memcpy(page + STUB_RETURN, (const uint8_t[]){0x48, 0x89, 0xc7, 0x0f, 0x05, 0x0f, 0x0b}, 7);
    /* movsd %xmm0, (%rsp); movsd %xmm1, 8(%rsp); jmp to the one before */
    memcpy(page + STUB_RETURN_VECTORS,
           (const uint8_t[]){0xf2, 0x0f, 0x11, 0x04, 0x24, 0xf2, 0x0f, 0x11, 0x4c, 0x24, 0x08, 0xeb,
                             (uint8_t)(STUB_RETURN - STUB_RETURN_VECTORS - 13)},
           13);
    /* movsd (%r10), %xmm0; and so on to movsd 56(%r10), %xmm7; jmp *%r11 */
    memcpy(page + STUB_ENTER_VECTORS,
           (const uint8_t[]){0xf2, 0x41, 0x0f, 0x10, 0x02, 0xf2, 0x41, 0x0f, 0x10, 0x4a,
                             0x08, 0xf2, 0x41, 0x0f, 0x10, 0x52, 0x10, 0xf2, 0x41, 0x0f,
                             0x10, 0x5a, 0x18, 0xf2, 0x41, 0x0f, 0x10, 0x62, 0x20, 0xf2,
                             0x41, 0x0f, 0x10, 0x6a, 0x28, 0xf2, 0x41, 0x0f, 0x10, 0x72,
                             0x30, 0xf2, 0x41, 0x0f, 0x10, 0x7a, 0x38, 0x41, 0xff, 0xe3},
           STUB_USER_END - STUB_ENTER_VECTORS);
}

static void
write_tables(uint8_t *page)
{
    static const uint64_t gdt[GDT_ENTRIES] = {
        [SELECTOR_KERNEL_CODE / 8] = UINT64_C(0x00af9b000000ffff),
        [SELECTOR_KERNEL_CODE / 8 + 1] = UINT64_C(0x00cf93000000ffff),
        [0x20 / 8] = UINT64_C(0x00cffb000000ffff),
        [SELECTOR_USER_DATA / 8] = UINT64_C(0x00cff3000000ffff),
        [SELECTOR_USER_CODE / 8] = UINT64_C(0x00affb000000ffff),
    };
    memcpy(page + GDT_OFFSET, gdt, sizeof gdt);

    for (unsigned vector = 0; vector < VECTORS; vector++) {
        uint64_t va = STUB_VA + vector * STUB_SIZE;
        uint64_t gate[2] = {
            (va & 0xffff) | (SELECTOR_KERNEL_CODE << 16) | (UINT64_C(0x8e) << 40) |
                ((va >> 16 & 0xffff) << 48),
            va >> 32,
        };
        memcpy(page + IDT_OFFSET + vector * sizeof gate, gate, sizeof gate);
    }

    uint8_t *tss = page + TSS_OFFSET;
    uint64_t stack = STACK_TOP;
    uint16_t bitmap = TSS_BITMAP;
    memcpy(tss + 4, &stack, sizeof stack);
    memcpy(tss + 102, &bitmap, sizeof bitmap);
    memset(tss + TSS_BITMAP, 0xff, TSS_SIZE - TSS_BITMAP);
    tss[TSS_BITMAP + PORT_SYSCALL / 8] &= (uint8_t) ~(1u << PORT_SYSCALL % 8);
}

int
vmk_usermode_lay_out(struct vmk_paging *paging, uint64_t gpa[SUPERVISOR_PAGES])
{
    static const unsigned rights[SUPERVISOR_PAGES] = {
        VMK_PAGE_READ | VMK_PAGE_EXECUTE,
        VMK_PAGE_READ | VMK_PAGE_SUPERVISOR,
        VMK_PAGE_READ | VMK_PAGE_WRITE | VMK_PAGE_SUPERVISOR,
    };
    for (unsigned i = 0; i < SUPERVISOR_PAGES; i++) {
        struct vmk_leaf leaf;
        gpa[i] = paging->alloc(paging->user_data);
        if (gpa[i] == 0 || vmk_paging_need(paging, STUB_VA + i * VMK_PAGE_SIZE, &leaf) < 0)
            return -ENOMEM;
        vmk_paging_set(paging, &leaf, gpa[i], rights[i]);
    }
    write_stubs(paging->memory + gpa[0]);
    write_tables(paging->memory + gpa[1]);
    return 0;
}

static int
lay_out(struct vmk_usermode *usermode, struct vmk_paging *paging)
{
    uint64_t gpa[SUPERVISOR_PAGES];
    int r = vmk_usermode_lay_out(paging, gpa);
    if (r < 0)
        return r;
    usermode->paging = paging;
    usermode->memory = paging->memory;
    usermode->stub_gpa = gpa[0];
    usermode->tables_gpa = gpa[1];
    usermode->stack_gpa = gpa[2];
    return 0;
}

struct vmkit_x86_cpuid
vmk_usermode_supported_leaf(const struct vmk_usermode *usermode, uint32_t leaf, uint32_t subleaf)
{
    uint32_t count;
    const struct vmkit_x86_cpuid *leaves = vmk_kvm_x86_get_supported_cpuid(
        vmk_kvm_vm_get_system(vmk_kvm_vcpu_get_vm(usermode->vcpu)), &count);
    for (uint32_t i = 0; i < count; i++) {
        if (leaves[i].leaf == leaf && leaves[i].subleaf == subleaf)
            return leaves[i];
    }
    return (struct vmkit_x86_cpuid){0};
}

/* Where the components of the extended state end, by their offsets and sizes. */
size_t
vmk_usermode_find_xstate_size(const struct vmk_usermode *usermode)
{
    size_t size = 576;
    for (uint32_t i = 2; i < 63; i++) {
        if ((usermode->xcr0 >> i & 1) == 0)
            continue;
        struct vmkit_x86_cpuid leaf = vmk_usermode_supported_leaf(usermode, 0xd, i);
        if ((size_t)leaf.eax + leaf.ebx > size)
            size = (size_t)leaf.eax + leaf.ebx;
    }
    return size;
}

static bool
has_xsave(const struct vmk_usermode *usermode)
{
    return vmk_usermode_supported_leaf(usermode, 1, 0).ecx & (1u << 26);
}

static bool
has_fsgsbase(const struct vmk_usermode *usermode)
{
    return vmk_usermode_supported_leaf(usermode, 7, 0).ebx & 1;
}

void
vmk_usermode_fill_sregs(const struct vmk_usermode *usermode, uint64_t root,
                        struct vmkit_x86_sregs *sregs)
{
    sregs->cr0 = CR0_VALUE;
    sregs->cr3 = root;
    sregs->cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT |
                 (has_fsgsbase(usermode) ? CR4_FSGSBASE : 0) |
                 (has_xsave(usermode) ? CR4_OSXSAVE : 0);
    sregs->efer = EFER_VALUE;
    sregs->cs = (struct vmkit_x86_segment){.limit = UINT32_MAX,
                                           .selector = SELECTOR_USER_CODE,
                                           .type = 0xb,
                                           .present = 1,
                                           .dpl = 3,
                                           .s = 1,
                                           .l = 1,
                                           .g = 1};
    sregs->ss = (struct vmkit_x86_segment){.limit = UINT32_MAX,
                                           .selector = SELECTOR_USER_DATA,
                                           .type = 3,
                                           .present = 1,
                                           .dpl = 3,
                                           .s = 1,
                                           .db = 1,
                                           .g = 1};
    sregs->tr = (struct vmkit_x86_segment){.base = TABLES_VA + TSS_OFFSET,
                                           .limit = TSS_SIZE - 1,
                                           .selector = SELECTOR_TSS,
                                           .type = 0xb,
                                           .present = 1};
    /* After a reset it covers the first 64 KiB, which are the program's. */
    sregs->ldt = (struct vmkit_x86_segment){.type = 2, .unusable = 1};
    sregs->gdt =
        (struct vmkit_x86_table){.base = TABLES_VA + GDT_OFFSET, .limit = GDT_ENTRIES * 8 - 1};
    sregs->idt =
        (struct vmkit_x86_table){.base = TABLES_VA + IDT_OFFSET, .limit = VECTORS * 16 - 1};
}

int
vmk_usermode_set_up_system(struct vmk_usermode *usermode, vmkit_error **ret_error)
{
    struct vmkit_x86_msr msrs[] = {
        {.index = MSR_STAR, .value = (uint64_t)SELECTOR_KERNEL_CODE << 32 | UINT64_C(0x23) << 48},
        {.index = MSR_LSTAR, .value = STUB_VA + STUB_SYSCALL},
        {.index = MSR_SFMASK, .value = RFLAGS_MASKED},
    };
    int r =
        has_xsave(usermode) ? vmk_kvm_x86_set_xcr0(usermode->vcpu, usermode->xcr0, ret_error) : 0;
    return r < 0 ? r
                 : vmk_kvm_x86_set_msrs(usermode->vcpu, msrs, sizeof msrs / sizeof msrs[0],
                                        ret_error);
}

void
vmk_usermode_find_hwcaps(const struct vmk_usermode *usermode, uint64_t *ret_hwcap,
                         uint64_t *ret_hwcap2)
{
    *ret_hwcap = vmk_usermode_supported_leaf(usermode, 1, 0).edx;
    *ret_hwcap2 = has_fsgsbase(usermode) ? 2 : 0;
}

static int
set_up_vcpu(struct vmk_usermode *usermode, uint64_t root, vmkit_error **ret_error)
{
    struct vmk_kvm_vcpu *vcpu = usermode->vcpu;
    struct vmkit_x86_sregs sregs = {.size = sizeof sregs};
    int r = vmk_kvm_x86_get_sregs(vcpu, &sregs, ret_error);
    if (r < 0)
        return r;
    vmk_usermode_fill_sregs(usermode, root, &sregs);
    sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss;
    r = vmk_kvm_x86_set_sregs(vcpu, &sregs, ret_error);
    if (r < 0)
        return r;

    /* Where user mode runs natively the program has the host's components, and KVM copies them,
     * also when KVM offers no XSAVE to the guest. */
    struct vmkit_x86_cpuid leaf = vmk_usermode_supported_leaf(usermode, 0xd, 0);
    usermode->xcr0 = (((uint64_t)leaf.edx << 32 | leaf.eax) & ~XCR0_TILES) | XCR0_LEGACY;
    usermode->xstate_size = vmk_usermode_find_xstate_size(usermode);
    r = vmk_usermode_set_up_system(usermode, ret_error);
    if (r < 0)
        return r;

    vmk_usermode_find_hwcaps(usermode, &usermode->hwcap, &usermode->hwcap2);
    return vmk_kvm_vcpu_use_sync_regs(vcpu, true, false, ret_error);
}

void
vmk_usermode_free(struct vmk_usermode *usermode)
{
    if (usermode == NULL)
        return;
    vmk_usermode_state_free(usermode->adapted);
    free(usermode->xsave);
    free(usermode);
}

int
vmk_usermode_new(struct vmk_kvm_vcpu *vcpu, struct vmk_paging *paging,
                 struct vmk_usermode **ret_usermode, vmkit_error **ret_error)
{
    struct vmk_usermode *usermode = calloc(1, sizeof *usermode);
    if (usermode == NULL)
        return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                             "no memory for the user mode of a vCPU");
    usermode->vcpu = vcpu;
    usermode->regs = vmk_kvm_vcpu_get_sync_regs(vcpu);

    int r = lay_out(usermode, paging);
    if (r < 0)
        r = vmk_error_set(ret_error, E2BIG, VMKIT_ERROR_LIMIT,
                          "the memory limit leaves no room for the VM's own tables");
    else
        r = set_up_vcpu(usermode, paging->root, ret_error);
    if (r < 0) {
        vmk_usermode_free(usermode);
        return r;
    }
    *ret_usermode = usermode;
    return 0;
}

int
vmk_usermode_start(struct vmk_usermode *usermode, uint64_t entry, uint64_t stack_pointer)
{
    *usermode->regs =
        (struct vmk_user_regs){.rip = entry, .rsp = stack_pointer, .rflags = RFLAGS_FIXED};
    if (usermode->started) {
        /* execve(2): the state of the first program goes. */
        int r = vmk_usermode_set_base(usermode, false, 0);
        if (r == 0)
            r = vmk_usermode_set_base(usermode, true, 0);
        if (r == 0)
            r = vmk_usermode_reset_xstate(usermode);
        if (r < 0)
            return r;
    }
    usermode->started = true;
    return 0;
}

struct vmk_user_regs *
vmk_usermode_get_regs(struct vmk_usermode *usermode)
{
    return usermode->regs;
}

uint64_t
vmk_usermode_get_pc(const struct vmk_usermode *usermode)
{
    return usermode->regs->rip;
}
