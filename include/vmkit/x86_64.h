/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file x86_64.h
 * @brief The state of an x86-64 vCPU.
 *
 * The records are plain structures of fixed-width fields. One that starts with `size` may grow at
 * its end; set `size` to its sizeof before every call. The others never change. Names and bits are
 * those of the Intel and AMD manuals.
 *
 * The calls work while the vCPU does not run, from any thread, and from inside the callbacks of its
 * own run. On another architecture each of them is -ENOTSUP.
 */
#ifndef VMKIT_X86_64_H
#define VMKIT_X86_64_H

#include <vmkit/error.h>
#include <vmkit/vm.h>

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** The general registers. */
struct vmkit_x86_regs {
    /** sizeof(struct vmkit_x86_regs) of the caller. */
    uint32_t size;
    /** Reserved, 0. */
    uint32_t reserved;
    uint64_t rax, rbx, rcx, rdx;
    uint64_t rsi, rdi, rsp, rbp;
    uint64_t r8, r9, r10, r11;
    uint64_t r12, r13, r14, r15;
    uint64_t rip, rflags;
};

/** A segment register with its hidden part. Never changes. */
struct vmkit_x86_segment {
    /** Linear address at which it begins. */
    uint64_t base;
    /** Last offset, in bytes, whatever the granularity. */
    uint32_t limit;
    uint16_t selector;
    /** Type, 0 to 15. */
    uint8_t type;
    uint8_t present;
    /** Privilege level, 0 to 3. */
    uint8_t dpl;
    /** Default operand size: 1 for 32 bits. */
    uint8_t db;
    /** 1 for code and data, 0 for a system segment. */
    uint8_t s;
    /** 1 for 64-bit code. */
    uint8_t l;
    /** Granularity: 1 when the descriptor counts pages. */
    uint8_t g;
    uint8_t avl;
    /** 1 when the register holds no usable segment. */
    uint8_t unusable;
    /** Reserved, 0. */
    uint8_t reserved;
};

/** A descriptor table register. Never changes. */
struct vmkit_x86_table {
    uint64_t base;
    /** Last offset, in bytes. */
    uint16_t limit;
    /** Reserved, 0. */
    uint16_t reserved[3];
};

/** Segments, descriptor tables and control registers. */
struct vmkit_x86_sregs {
    /** sizeof(struct vmkit_x86_sregs) of the caller. */
    uint32_t size;
    /** Reserved, 0. */
    uint32_t reserved;
    struct vmkit_x86_segment cs, ds, es, fs, gs, ss;
    struct vmkit_x86_segment tr, ldt;
    struct vmkit_x86_table gdt, idt;
    uint64_t cr0, cr2, cr3, cr4, cr8;
    uint64_t efer;
    uint64_t apic_base;
    /** One bit a vector: an external interrupt that waits to be taken, at most one. */
    uint64_t interrupt_bitmap[4];
};

/** The x87 and SSE state. */
struct vmkit_x86_fpu {
    /** sizeof(struct vmkit_x86_fpu) of the caller. */
    uint32_t size;
    /** Reserved, 0. */
    uint32_t reserved;
    /** ST0 to ST7, ten bytes each. */
    uint8_t st[8][16];
    uint16_t fcw;
    uint16_t fsw;
    /** Abridged tag word: one bit a register. */
    uint8_t ftwx;
    uint8_t reserved2;
    uint16_t last_opcode;
    uint64_t last_ip;
    uint64_t last_dp;
    /** XMM0 to XMM15. */
    uint8_t xmm[16][16];
    uint32_t mxcsr;
    /** Reserved, 0. */
    uint32_t reserved3;
};

/** A model-specific register and its value. Never changes. */
struct vmkit_x86_msr {
    uint32_t index;
    /** Reserved, 0. */
    uint32_t reserved;
    uint64_t value;
};

/** What CPUID answers for one leaf and subleaf. Never changes. */
struct vmkit_x86_cpuid {
    /** EAX and, where `indexed`, ECX that ask for it. */
    uint32_t leaf;
    uint32_t subleaf;
    /** 1 when the answer depends on ECX. */
    uint32_t indexed;
    uint32_t eax, ebx, ecx, edx;
    /** Reserved, 0. */
    uint32_t reserved;
};

/** The debug registers. */
struct vmkit_x86_debug_regs {
    /** sizeof(struct vmkit_x86_debug_regs) of the caller. */
    uint32_t size;
    /** Reserved, 0. */
    uint32_t reserved;
    /** DR0 to DR3. */
    uint64_t address[4];
    uint64_t dr6, dr7;
};

/** What a vCPU has still to take, or is just taking. */
struct vmkit_x86_events {
    /** sizeof(struct vmkit_x86_events) of the caller. */
    uint32_t size;
    /** Reserved, 0. */
    uint32_t reserved;
    uint8_t exception_injected;
    uint8_t exception_pending;
    uint8_t exception_vector;
    uint8_t exception_has_error_code;
    uint32_t exception_error_code;
    uint8_t interrupt_injected;
    uint8_t interrupt_vector;
    uint8_t interrupt_soft;
    /** What the shadow of STI or MOV SS holds off: bit 0 MOV SS, bit 1 STI. */
    uint8_t interrupt_shadow;
    uint8_t nmi_injected;
    uint8_t nmi_pending;
    uint8_t nmi_masked;
    uint8_t smm;
    uint8_t smm_pending;
    uint8_t smm_inside_nmi;
    uint8_t smm_latched_init;
    /** Reserved, 0. */
    uint8_t reserved2;
    /** Page number at which a start-up message sets the vCPU off. */
    uint32_t sipi_vector;
};

/**
 * @brief Get the general registers.
 * @param vcpu The vCPU.
 * @param regs Receives them; `size` must be set.
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL for a NULL or a `size` that is too small; -EBUSY while another thread runs the
 *         vCPU; -ENOMEM; -EIO.
 *
 * @since 0.1
 */
int
vmkit_vcpu_get_x86_regs(vmkit_vcpu *vcpu, struct vmkit_x86_regs *regs, vmkit_error **ret_error);

/**
 * @brief Set the general registers.
 * @param vcpu The vCPU.
 * @param regs What to set; `size` must be set.
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL for a NULL, a `size` that is too small or a state that the processor does not
 *         allow; -EBUSY while another thread runs the vCPU, inside of a callback that serves a
 *         read, or in the middle of an instruction that makes a further access; -EAGAIN as for
 *         vmkit_vcpu_run(); -ENOMEM; -EIO.
 *
 * The access that the last run ended with is finished first.
 * @since 0.1
 */
int
vmkit_vcpu_set_x86_regs(vmkit_vcpu *vcpu, const struct vmkit_x86_regs *regs,
                        vmkit_error **ret_error);

/**
 * @brief Get the segments, descriptor tables and control registers.
 * @param vcpu The vCPU.
 * @param sregs Receives them; `size` must be set.
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL for a NULL or a `size` that is too small; -EBUSY while another thread runs the
 *         vCPU; -ENOMEM; -EIO.
 *
 * @since 0.1
 */
int
vmkit_vcpu_get_x86_sregs(vmkit_vcpu *vcpu, struct vmkit_x86_sregs *sregs, vmkit_error **ret_error);

/**
 * @brief Set the segments, descriptor tables and control registers.
 * @param vcpu The vCPU.
 * @param sregs What to set; `size` must be set.
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL for a NULL, a `size` that is too small or a state that the processor does not
 *         allow; -EBUSY while another thread runs the vCPU, inside of a callback that serves a
 *         read, or in the middle of an instruction that makes a further access; -EAGAIN as for
 *         vmkit_vcpu_run(); -ENOMEM; -EIO.
 *
 * The access that the last run ended with is finished first.
 * @since 0.1
 */
int
vmkit_vcpu_set_x86_sregs(vmkit_vcpu *vcpu, const struct vmkit_x86_sregs *sregs,
                         vmkit_error **ret_error);

/**
 * @brief Get the x87 and SSE registers.
 * @param vcpu The vCPU.
 * @param fpu Receives them; `size` must be set.
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL for a NULL or a `size` that is too small; -EBUSY while another thread runs the
 *         vCPU; -ENOMEM; -EIO.
 *
 * @since 0.1
 */
int
vmkit_vcpu_get_x86_fpu(vmkit_vcpu *vcpu, struct vmkit_x86_fpu *fpu, vmkit_error **ret_error);

/**
 * @brief Set the x87 and SSE registers.
 * @param vcpu The vCPU.
 * @param fpu What to set; `size` must be set.
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL for a NULL, a `size` that is too small or a state that the processor does not
 *         allow; -EBUSY while another thread runs the vCPU, inside of a callback that serves a
 *         read, or in the middle of an instruction that makes a further access; -EAGAIN as for
 *         vmkit_vcpu_run(); -ENOMEM; -EIO.
 *
 * The access that the last run ended with is finished first.
 * @since 0.1
 */
int
vmkit_vcpu_set_x86_fpu(vmkit_vcpu *vcpu, const struct vmkit_x86_fpu *fpu, vmkit_error **ret_error);

/**
 * @brief Get the debug registers.
 * @param vcpu The vCPU.
 * @param debug_regs Receives them; `size` must be set.
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL for a NULL or a `size` that is too small; -EBUSY while another thread runs the
 *         vCPU; -ENOTSUP where KVM has none; -ENOMEM; -EIO.
 *
 * @since 0.1
 */
int
vmkit_vcpu_get_x86_debug_regs(vmkit_vcpu *vcpu, struct vmkit_x86_debug_regs *debug_regs,
                              vmkit_error **ret_error);

/**
 * @brief Set the debug registers.
 * @param vcpu The vCPU.
 * @param debug_regs What to set; `size` must be set.
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL for a NULL, a `size` that is too small or a state that the processor does not
 *         allow; -EBUSY while another thread runs the vCPU, inside of a callback that serves a
 *         read, or in the middle of an instruction that makes a further access; -ENOTSUP where KVM
 *         has none; -EAGAIN as for vmkit_vcpu_run(); -ENOMEM; -EIO.
 *
 * The access that the last run ended with is finished first.
 * @since 0.1
 */
int
vmkit_vcpu_set_x86_debug_regs(vmkit_vcpu *vcpu, const struct vmkit_x86_debug_regs *debug_regs,
                              vmkit_error **ret_error);

/**
 * @brief Get what the vCPU has still to take.
 * @param vcpu The vCPU.
 * @param events Receives them; `size` must be set.
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL for a NULL or a `size` that is too small; -EBUSY while another thread runs the
 *         vCPU; -ENOTSUP where KVM has none; -ENOMEM; -EIO.
 *
 * @since 0.1
 */
int
vmkit_vcpu_get_x86_events(vmkit_vcpu *vcpu, struct vmkit_x86_events *events,
                          vmkit_error **ret_error);

/**
 * @brief Set what the vCPU has still to take.
 * @param vcpu The vCPU.
 * @param events What to set; `size` must be set.
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL for a NULL, a `size` that is too small or a state that the processor does not
 *         allow; -EBUSY while another thread runs the vCPU, inside of a callback that serves a
 *         read, or in the middle of an instruction that makes a further access; -ENOTSUP where KVM
 *         has none; -EAGAIN as for vmkit_vcpu_run(); -ENOMEM; -EIO.
 *
 * The access that the last run ended with is finished first.
 * @since 0.1
 */
int
vmkit_vcpu_set_x86_events(vmkit_vcpu *vcpu, const struct vmkit_x86_events *events,
                          vmkit_error **ret_error);

/**
 * @brief Get model-specific registers.
 * @param vcpu The vCPU.
 * @param msrs The registers: `index` says which, `value` receives what it holds.
 * @param count How many, at most 4,096; 0 does nothing.
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL for a NULL or a register that is not there; -E2BIG above 4,096; -EBUSY while
 *         another thread runs the vCPU; -ENOMEM; -EIO.
 * @since 0.1
 */
int
vmkit_vcpu_get_x86_msrs(vmkit_vcpu *vcpu, struct vmkit_x86_msr *msrs, uint32_t count,
                        vmkit_error **ret_error);

/**
 * @brief Set model-specific registers, in the order given.
 * @param vcpu The vCPU.
 * @param msrs The registers and their values.
 * @param count How many, at most 4,096; 0 does nothing.
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL for a NULL, or for a register that is not there or does not take the value, in
 *         which case those before it are set; -E2BIG above 4,096; -EBUSY and -EAGAIN as for
 *         vmkit_vcpu_set_x86_regs(); -ENOMEM; -EIO.
 * @since 0.1
 */
int
vmkit_vcpu_set_x86_msrs(vmkit_vcpu *vcpu, const struct vmkit_x86_msr *msrs, uint32_t count,
                        vmkit_error **ret_error);

/**
 * @brief Get what the guest's CPUID answers.
 * @param vcpu The vCPU.
 * @param leaves Receives the leaves; NULL only with a capacity of 0.
 * @param capacity How many there is room for; 256 is always enough.
 * @param ret_count Receives how many there are.
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL for a NULL; -E2BIG when there is not room for all, and `ret_count` says for
 *         how many there must be; -EBUSY while another thread runs the vCPU; -ENOMEM; -EIO.
 *
 * A new vCPU has what the host's KVM supports.
 * @since 0.1
 */
int
vmkit_vcpu_get_x86_cpuid(vmkit_vcpu *vcpu, struct vmkit_x86_cpuid *leaves, uint32_t capacity,
                         uint32_t *ret_count, vmkit_error **ret_error);

/**
 * @brief Set what the guest's CPUID answers.
 * @param vcpu The vCPU, which has not run.
 * @param leaves The leaves.
 * @param count How many, 1 to 256.
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL for a NULL, a count of 0, features that KVM does not take, or a vCPU that has
 *         run; -E2BIG above 256; -EBUSY and -EAGAIN as for vmkit_vcpu_set_x86_regs(); -ENOMEM;
 *         -EIO.
 * @since 0.1
 */
int
vmkit_vcpu_set_x86_cpuid(vmkit_vcpu *vcpu, const struct vmkit_x86_cpuid *leaves, uint32_t count,
                         vmkit_error **ret_error);

/**
 * @brief Get how large the extended state is.
 * @param vcpu The vCPU.
 * @return Bytes; 0 for NULL.
 *
 * Any thread.
 * @since 0.1
 */
uint64_t
vmkit_vcpu_get_x86_xsave_size(const vmkit_vcpu *vcpu);

/**
 * @brief Get the extended state (x87, SSE, AVX and further) as XSAVE writes it, not compacted.
 * @param vcpu The vCPU.
 * @param buffer Receives it.
 * @param size Room in bytes, vmkit_vcpu_get_x86_xsave_size() at least.
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL for a NULL; -ERANGE without enough room; -EBUSY while another thread runs the
 *         vCPU; -ENOMEM; -EIO.
 * @since 0.1
 */
int
vmkit_vcpu_get_x86_xsave(vmkit_vcpu *vcpu, void *buffer, uint64_t size, vmkit_error **ret_error);

/**
 * @brief Set the extended state.
 * @param vcpu The vCPU.
 * @param buffer What to set, in the form of vmkit_vcpu_get_x86_xsave().
 * @param size Bytes, vmkit_vcpu_get_x86_xsave_size() at least.
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL for a NULL or a state that the processor does not allow; -ERANGE for a smaller
 *         size; -EBUSY and -EAGAIN as for vmkit_vcpu_set_x86_regs(); -ENOMEM; -EIO.
 * @since 0.1
 */
int
vmkit_vcpu_set_x86_xsave(vmkit_vcpu *vcpu, const void *buffer, uint64_t size,
                         vmkit_error **ret_error);

/**
 * @brief Get XCR0, which says what parts of the extended state the guest uses.
 * @param vcpu The vCPU.
 * @param ret_value Receives it.
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL for a NULL; -EBUSY while another thread runs the vCPU; -ENOTSUP where KVM has
 *         none; -ENOMEM; -EIO.
 * @since 0.1
 */
int
vmkit_vcpu_get_x86_xcr0(vmkit_vcpu *vcpu, uint64_t *ret_value, vmkit_error **ret_error);

/**
 * @brief Set XCR0.
 * @param vcpu The vCPU.
 * @param value The value.
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL without a vCPU or for a value that the processor does not allow; -EBUSY and
 *         -EAGAIN as for vmkit_vcpu_set_x86_regs(); -ENOTSUP where KVM has none; -ENOMEM; -EIO.
 * @since 0.1
 */
int
vmkit_vcpu_set_x86_xcr0(vmkit_vcpu *vcpu, uint64_t value, vmkit_error **ret_error);

/** What a vCPU does when it runs. */
enum vmkit_x86_mp_state {
    VMKIT_X86_RUNNABLE = 0,
    /** It waits for INIT. */
    VMKIT_X86_UNINITIALIZED = 1,
    /** It waits for a start-up message. */
    VMKIT_X86_INIT_RECEIVED = 2,
    /** It waits for an interrupt. */
    VMKIT_X86_HALTED = 3,
    /** It starts where a message said. */
    VMKIT_X86_SIPI_RECEIVED = 4
};

/**
 * @brief Get what a vCPU does when it runs.
 * @param vcpu The vCPU.
 * @param ret_state Receives enum vmkit_x86_mp_state.
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL for a NULL; -EBUSY while another thread runs the vCPU; -ENOTSUP where KVM does
 *         not say; -ENOMEM; -EIO.
 * @since 0.1
 */
int
vmkit_vcpu_get_x86_mp_state(vmkit_vcpu *vcpu, uint32_t *ret_state, vmkit_error **ret_error);

/**
 * @brief Set what a vCPU does when it runs.
 * @param vcpu The vCPU.
 * @param state enum vmkit_x86_mp_state; other than VMKIT_X86_RUNNABLE only with an interrupt
 *        controller in the kernel.
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL without a vCPU or for a state that it cannot have; -EBUSY and -EAGAIN as for
 *         vmkit_vcpu_set_x86_regs(); -ENOTSUP where KVM does not take one; -ENOMEM; -EIO.
 * @since 0.1
 */
int
vmkit_vcpu_set_x86_mp_state(vmkit_vcpu *vcpu, uint32_t state, vmkit_error **ret_error);

/**
 * @brief Have a vCPU start in real mode, with all segments at 0 and all general registers 0.
 * @param vcpu The vCPU.
 * @param entry Address of the first instruction, below 64 KiB.
 * @param stack Stack pointer, below 64 KiB.
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL without a vCPU; -ERANGE for another address; -EBUSY and -EAGAIN as for
 *         vmkit_vcpu_set_x86_regs(); -ENOMEM; -EIO.
 * @since 0.1
 */
int
vmkit_vcpu_set_x86_real_mode(vmkit_vcpu *vcpu, uint32_t entry, uint32_t stack,
                             vmkit_error **ret_error);

/**
 * @brief Have a vCPU start in 32-bit protected mode: flat segments of 4 GiB, no paging, interrupts
 *        disabled, all general registers 0.
 * @param vcpu The vCPU.
 * @param entry Address of the first instruction.
 * @param stack Stack pointer.
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL without a vCPU; -EBUSY and -EAGAIN as for vmkit_vcpu_set_x86_regs(); -ENOMEM;
 *         -EIO.
 *
 * The segments are loaded without a descriptor table: a guest that loads a segment register, or
 * takes an interrupt, first brings its own, as the Multiboot specification (0.6.96, 3.2) demands.
 * @since 0.1
 */
int
vmkit_vcpu_set_x86_protected_mode(vmkit_vcpu *vcpu, uint32_t entry, uint32_t stack,
                                  vmkit_error **ret_error);

/** Flags of vmkit_vcpu_set_x86_long_mode() and vmkit_vm_write_x86_identity_map(). */
enum vmkit_x86_long_mode_flags {
    /** At privilege level 3, or for it. */
    VMKIT_X86_USER_MODE = 1
};

/**
 * @brief Have a vCPU start in 64-bit long mode: paging on, SSE enabled, system calls enabled,
 *        interrupts disabled, all general registers 0.
 * @param vcpu The vCPU.
 * @param entry Address of the first instruction.
 * @param stack Stack pointer.
 * @param page_tables Guest-physical address of the top-level page table, a multiple of 4 KiB, such
 *        as vmkit_vm_write_x86_identity_map() writes.
 * @param flags VMKIT_X86_USER_MODE to start at privilege level 3, with selectors 0x33 and 0x2b; 0
 *        for level 0, with selectors 0x08 and 0x10.
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL without a vCPU, for an unknown flag or an address of another form; -EBUSY and
 *         -EAGAIN as for vmkit_vcpu_set_x86_regs(); -ENOMEM; -EIO.
 *
 * As with protected mode, there is no descriptor table.
 * @since 0.1
 */
int
vmkit_vcpu_set_x86_long_mode(vmkit_vcpu *vcpu, uint64_t entry, uint64_t stack, uint64_t page_tables,
                             uint64_t flags, vmkit_error **ret_error);

/**
 * @brief Write page tables of four levels into a guest's memory that map [0, limit) to itself, in
 *        pages of 2 MiB that may be written and executed.
 * @param vm The VM.
 * @param gpa Where to, a multiple of 4 KiB. The first page is the top level.
 * @param limit Bytes to map, 1 to 512 GiB; rounded up to 2 MiB.
 * @param flags VMKIT_X86_USER_MODE for pages that privilege level 3 may use; 0 otherwise.
 * @param ret_size Receives how many bytes were written: 8 KiB, and 4 KiB for each GiB begun. NULL
 *        for nothing.
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL without a VM, for an unknown flag or an address of another form; -ERANGE for
 *         another limit; -EFAULT where the guest has no memory; -EROFS where the memory was made
 *         with VMKIT_MEMORY_READ_ONLY; -EIO.
 *
 * Before the guest runs. Any thread.
 * @since 0.1
 */
int
vmkit_vm_write_x86_identity_map(vmkit_vm *vm, uint64_t gpa, uint64_t limit, uint64_t flags,
                                uint64_t *ret_size, vmkit_error **ret_error);

#ifdef __cplusplus
}
#endif
#endif
