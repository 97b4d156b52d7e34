/* SPDX-License-Identifier: Apache-2.0 */
/*
 * User mode without a kernel on AArch64: not offered yet. vmk_arch_check() refuses the VM before
 * any of this is reached; should one be reached all the same, it answers that it is not there.
 */
#include "arch/usermode.h"

#include "util/error.h"

#include <errno.h>

int
vmk_paging_init(struct vmk_paging *paging, uint8_t *memory, uint64_t size,
                vmk_paging_alloc_fn *alloc, void *user_data)
{
    return -ENOTSUP;
}

struct vmk_leaf
vmk_paging_find(const struct vmk_paging *paging, uint64_t va)
{
    return (struct vmk_leaf){.size = VMK_LARGE_PAGE_SIZE};
}

int
vmk_paging_need(struct vmk_paging *paging, uint64_t va, struct vmk_leaf *ret_leaf)
{
    return -ENOTSUP;
}

int
vmk_paging_need_large(struct vmk_paging *paging, uint64_t va, struct vmk_leaf *ret_leaf)
{
    return -ENOTSUP;
}

void
vmk_paging_set(struct vmk_paging *paging, struct vmk_leaf *leaf, uint64_t gpa, unsigned rights)
{
}

void
vmk_paging_clear(struct vmk_paging *paging, struct vmk_leaf *leaf)
{
}

void
vmk_paging_free(struct vmk_paging *paging)
{
}

int
vmk_paging_list_tables(const struct vmk_paging *paging, struct vmk_paging_tables *ret_tables)
{
    return -ENOTSUP;
}

void
vmk_paging_tables_clear(struct vmk_paging_tables *tables)
{
}

void
vmk_paging_settle(uint8_t *memory, const struct vmk_paging_tables *tables)
{
}

bool
vmk_paging_restore(struct vmk_paging *paging, const uint8_t *original,
                   const struct vmk_paging_tables *tables, vmk_paging_hidden_fn *hidden,
                   void *user_data)
{
    return false;
}

int
vmk_usermode_new(struct vmk_kvm_vcpu *vcpu, struct vmk_paging *paging,
                 struct vmk_usermode **ret_usermode, vmkit_error **ret_error)
{
    return vmk_error_set(ret_error, ENOTSUP, VMKIT_ERROR_NOT_SUPPORTED,
                         "sandboxes are not supported on AArch64 yet");
}

void
vmk_usermode_free(struct vmk_usermode *usermode)
{
}

int
vmk_usermode_start(struct vmk_usermode *usermode, uint64_t entry, uint64_t stack_pointer)
{
    return -ENOTSUP;
}

struct vmk_user_regs *
vmk_usermode_get_regs(struct vmk_usermode *usermode)
{
    return NULL;
}

uint64_t
vmk_usermode_get_pc(const struct vmk_usermode *usermode)
{
    return 0;
}

enum vmk_usermode_event
vmk_usermode_take(struct vmk_usermode *usermode, struct vmk_usermode_fault *fault)
{
    return VMK_USERMODE_BROKEN;
}

bool
vmk_usermode_interrupt(struct vmk_usermode *usermode)
{
    return false;
}

void
vmk_usermode_abandon(struct vmk_usermode *usermode)
{
}

int
vmk_usermode_prepare(struct vmk_usermode *usermode, bool replaced)
{
    return -ENOTSUP;
}

uint64_t
vmk_usermode_get_syscall(const struct vmk_usermode *usermode, uint64_t args[6])
{
    return UINT64_MAX;
}

void
vmk_usermode_set_result(struct vmk_usermode *usermode, int64_t result)
{
}

struct vmk_usermode_stubs
vmk_usermode_get_stubs(const struct vmk_usermode *usermode)
{
    return (struct vmk_usermode_stubs){
        .to_return = UINT64_MAX, .to_return_vectors = UINT64_MAX, .to_enter_vectors = UINT64_MAX};
}

uint64_t
vmk_usermode_get_generation_address(const struct vmk_usermode *usermode)
{
    return UINT64_MAX;
}

void
vmk_usermode_set_generation(struct vmk_usermode *usermode, uint64_t generation)
{
}

size_t
vmk_usermode_get_xstate_size(const struct vmk_usermode *usermode)
{
    return 0;
}

int
vmk_usermode_get_xstate(struct vmk_usermode *usermode, void *buffer, size_t size)
{
    return -ENOTSUP;
}

int
vmk_usermode_set_xstate(struct vmk_usermode *usermode, const void *buffer, size_t size)
{
    return -ENOTSUP;
}

void
vmk_usermode_get_auxv(const struct vmk_usermode *usermode, struct vmk_usermode_auxv *auxv)
{
    *auxv = (struct vmk_usermode_auxv){.platform = "aarch64"};
}

int
vmk_usermode_save(struct vmk_usermode *usermode, struct vmk_usermode_state **ret_state,
                  vmkit_error **ret_error)
{
    return -ENOTSUP;
}

void
vmk_usermode_state_free(struct vmk_usermode_state *state)
{
}

int
vmk_usermode_new_copy(struct vmk_kvm_vcpu *vcpu, struct vmk_paging *paging,
                      const struct vmk_usermode_state *state, struct vmk_usermode **ret_usermode,
                      vmkit_error **ret_error)
{
    return vmk_usermode_new(vcpu, paging, ret_usermode, ret_error);
}

bool
vmk_usermode_is_settled(const struct vmk_usermode *usermode)
{
    return true;
}

int
vmk_usermode_restore(struct vmk_usermode *usermode, const struct vmk_usermode_state *state,
                     vmkit_error **ret_error)
{
    return -ENOTSUP;
}

void
vmk_usermode_cut_short(struct vmk_usermode *usermode)
{
}

int
vmk_paging_map(struct vmk_paging *paging, uint64_t va, uint64_t gpa, uint64_t size, unsigned rights,
               bool large)
{
    return -ENOTSUP;
}

int
vmk_usermode_state_encode(const struct vmk_usermode_state *state, struct vmk_bytes *bytes,
                          vmkit_error **ret_error)
{
    return -ENOTSUP;
}

int
vmk_usermode_state_decode(const void *bytes, size_t size, struct vmk_usermode_state **ret_state,
                          vmkit_error **ret_error)
{
    return vmk_error_set(ret_error, ENOTSUP, VMKIT_ERROR_NOT_SUPPORTED,
                         "sandboxes are not offered on this architecture");
}

int
vmk_usermode_state_lay_out(struct vmk_usermode_state *state, struct vmk_paging *paging)
{
    return -ENOTSUP;
}

uint64_t
vmk_usermode_state_get_pc(const struct vmk_usermode_state *state)
{
    return 0;
}
