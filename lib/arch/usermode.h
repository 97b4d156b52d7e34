/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A vCPU that runs user mode alone: what an architecture offers to the sandbox.
 *
 * The guest has no kernel. Its vCPU starts in user mode with page tables, descriptor tables and
 * entry stubs that the host wrote into guest memory beforehand. A system call or an exception
 * enters a stub of one instruction that leaves the VM; the host serves it, changes the user
 * registers and enters again. arch/<name>/usermode.c holds the layout and the ways in and out.
 *
 * Around each run: vmk_usermode_prepare(), one KVM_RUN, vmk_usermode_take() for an exit or
 * vmk_usermode_interrupt() for a signal. In between, the registers of vmk_usermode_get_regs() are
 * the user's own, wherever the vCPU itself stands.
 */
#ifndef VMK_ARCH_USERMODE_H
#define VMK_ARCH_USERMODE_H

#include "arch/paging.h"
#include "kvm/vcpu.h"
#include "usermode_regs.h"
#include "util/bytes.h"

#include <vmkit/error.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vmk_usermode;

/* Addresses of the stubs for calls, see callframe.h. */
struct vmk_usermode_stubs {
    uint64_t to_return;         /* Where a function returns to, so that it leaves the VM. */
    uint64_t to_return_vectors; /* The same, and the first two vector registers are stored. */
    uint64_t to_enter_vectors;  /* Loads the vector registers, and goes to the function. */
};

enum vmk_usermode_event {
    VMK_USERMODE_SYSCALL, /* See vmk_usermode_get_syscall(). */
    VMK_USERMODE_FAULT,   /* An exception; `fault` is filled. */
    VMK_USERMODE_RETURN,  /* The guest went to a stub that a function returns to. */
    VMK_USERMODE_BROKEN,  /* An exit that this guest can have no part in: KVM failed. */
};

struct vmk_usermode_fault {
    bool is_page_fault;
    bool is_unfinished; /* KVM has a rest of the instruction to do; it must not reach the guest. */
    unsigned access;    /* Of a page fault: one of VMK_PAGE_READ, _WRITE, _EXECUTE. */
    bool was_present;   /* Of a page fault: the rights were missing, not the page. */
    int signal;         /* What Linux sends for it, */
    int code;           /* its si_code, */
    uint64_t address;   /* and its si_addr. */
    uint64_t trap;      /* Exception number and error code, for the signal frame. */
    uint64_t error;
};

/* What the architecture says of itself to a program (getauxval(3)). */
struct vmk_usermode_auxv {
    uint64_t hwcap;
    uint64_t hwcap2;
    uint64_t minsigstksz;
    const char *platform;
};

/* Lay out the supervisor's pages, which come from `paging`, and put the vCPU into user mode; both
 * stay for as long as the result. -ENOTSUP on an architecture, or a host, that cannot. */
int
vmk_usermode_new(struct vmk_kvm_vcpu *vcpu, struct vmk_paging *paging,
                 struct vmk_usermode **ret_usermode, vmkit_error **ret_error);

void
vmk_usermode_free(struct vmk_usermode *usermode);

/* Begin a program: all registers as execve(2) leaves them. */
int
vmk_usermode_start(struct vmk_usermode *usermode, uint64_t entry, uint64_t stack_pointer);

/* The user's registers, valid while the guest is stopped. */
struct vmk_user_regs *
vmk_usermode_get_regs(struct vmk_usermode *usermode);

uint64_t
vmk_usermode_get_pc(const struct vmk_usermode *usermode);

/* Read the exit that KVM_RUN returned with. */
enum vmk_usermode_event
vmk_usermode_take(struct vmk_usermode *usermode, struct vmk_usermode_fault *fault);

/* KVM_RUN was interrupted. True when the guest stands in user mode, so that a signal may be
 * delivered; false when it is just on its way out and has to be entered again first. */
bool
vmk_usermode_interrupt(struct vmk_usermode *usermode);

/* That returned false, and the guest will not be entered again: its registers become the user's
 * own, as they are behind the system call, or at the instruction with the exception, that it was
 * about to leave the VM for. */
void
vmk_usermode_abandon(struct vmk_usermode *usermode);

/* Make ready to enter the guest again. `replaced` says that registers were changed other than by
 * vmk_usermode_set_result(). -EFAULT when the program counter is no user address. */
int
vmk_usermode_prepare(struct vmk_usermode *usermode, bool replaced);

/* The system call that the guest stands in. */
uint64_t
vmk_usermode_get_syscall(const struct vmk_usermode *usermode, uint64_t args[6]);

void
vmk_usermode_set_result(struct vmk_usermode *usermode, int64_t result);

/* Code for the calls of callframe.h, which user mode may run. */
struct vmk_usermode_stubs
vmk_usermode_get_stubs(const struct vmk_usermode *usermode);

/* A number that user mode can read and not change, at an address that is the same in every guest.
 * It begins as 0. */
uint64_t
vmk_usermode_get_generation_address(const struct vmk_usermode *usermode);

void
vmk_usermode_set_generation(struct vmk_usermode *usermode, uint64_t generation);

/* arch_prctl(2) and its likes: the thread pointer and, where the architecture has one, a second
 * base. */
int
vmk_usermode_get_base(struct vmk_usermode *usermode, bool second, uint64_t *ret_value);

int
vmk_usermode_set_base(struct vmk_usermode *usermode, bool second, uint64_t value);

/* The whole extended state (x87, SSE, AVX and further) in the layout of the architecture's XSAVE or
 * equivalent: bytes in use. */
size_t
vmk_usermode_get_xstate_size(const struct vmk_usermode *usermode);

/* Copy the extended state out of, or into, the vCPU. `size` is what get_xstate_size says. Setting
 * sanitises what the guest may not set (reserved MXCSR bits, unknown components) or returns
 * -EINVAL. */
int
vmk_usermode_get_xstate(struct vmk_usermode *usermode, void *buffer, size_t size);

int
vmk_usermode_set_xstate(struct vmk_usermode *usermode, const void *buffer, size_t size);

/* What the vCPU of a process that stands still holds, and where the supervisor's pages are: enough
 * to go on from there, on this vCPU or on another one over a copy of the memory. It never changes.
 */
struct vmk_usermode_state;

/* The memory is to be copied after this. -ENOMEM, or what KVM says. */
int
vmk_usermode_save(struct vmk_usermode *usermode, struct vmk_usermode_state **ret_state,
                  vmkit_error **ret_error);

/* Accepts NULL. */
void
vmk_usermode_state_free(struct vmk_usermode_state *state);

/* Append what it takes to go on from the state elsewhere: the user's registers, and what the
 * program was told of the processor. Of the supervisor's pages nothing. */
int
vmk_usermode_state_encode(const struct vmk_usermode_state *state, struct vmk_bytes *bytes,
                          vmkit_error **ret_error);

/* A state from such bytes, which may be a stranger's. -EINVAL for bytes that are none, -ENOTSUP for
 * those of another architecture or a later release. Whether a host can have it is asked when a vCPU
 * begins with it. vmk_usermode_state_lay_out() comes before that. */
int
vmk_usermode_state_decode(const void *bytes, size_t size, struct vmk_usermode_state **ret_state,
                          vmkit_error **ret_error);

/* Make the supervisor's pages of a state that was decoded, in frames and tables of `paging`, which
 * the memory of its vCPUs is to be a copy of. 0 or -ENOMEM. */
int
vmk_usermode_state_lay_out(struct vmk_usermode_state *state, struct vmk_paging *paging);

uint64_t
vmk_usermode_state_get_pc(const struct vmk_usermode_state *state);

/* As vmk_usermode_new(), over a copy of the memory of which `state` was saved: the supervisor's
 * pages are there. The vCPU stands where the state says. -ENOTSUP, naming the feature, when the
 * host lacks what a state that was decoded needs. */
int
vmk_usermode_new_copy(struct vmk_kvm_vcpu *vcpu, struct vmk_paging *paging,
                      const struct vmk_usermode_state *state, struct vmk_usermode **ret_usermode,
                      vmkit_error **ret_error);

/* Whether the guest left at a point of its own, with nothing on its way in the vCPU. If not, the
 * last exit has to be completed (vmk_vcpu_complete) before the state is restored, and cut short
 * before that: an instruction that repeats itself is not to go on. */
bool
vmk_usermode_is_settled(const struct vmk_usermode *usermode);

void
vmk_usermode_cut_short(struct vmk_usermode *usermode);

/* Bring the vCPU, whatever became of it, back to the state. On failure another call may succeed. */
int
vmk_usermode_restore(struct vmk_usermode *usermode, const struct vmk_usermode_state *state,
                     vmkit_error **ret_error);

void
vmk_usermode_get_auxv(const struct vmk_usermode *usermode, struct vmk_usermode_auxv *auxv);

#endif
