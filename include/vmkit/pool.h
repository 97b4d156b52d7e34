/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file pool.h
 * @brief Warm sandboxes, or warm raw VMs, of one snapshot, taken for a job and given back after it.
 *
 *     vmkit_pool_new(snapshot, NULL, 4, 16, &pool, &error);
 *     vmkit_pool_take(pool, UINT64_MAX, &sandbox, &error);
 *     ... vmkit_sandbox_run(sandbox, ...) ...
 *     vmkit_pool_give_back(pool, sandbox, &error);
 *
 * Of raw VMs, with their vCPUs:
 *
 *     vmkit_pool_new_vms(snapshot, NULL, 4, 16, &pool, &error);
 *     vmkit_pool_take_vm(pool, UINT64_MAX, &vcpu, 1, NULL, &vm, &error);
 *     ... vmkit_vcpu_run(vcpu, ...) ...
 *     vmkit_pool_give_back_vm(pool, vm, &error);
 *
 * A machine is reset when it is given back, on the thread that gives it, so that nothing of a job
 * waits in the pool for the next one, and a take costs no reset.
 */
#ifndef VMKIT_POOL_H
#define VMKIT_POOL_H

#include <vmkit/error.h>
#include <vmkit/sandbox.h>
#include <vmkit/snapshot.h>
#include <vmkit/vm.h>

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A pool. Opaque and reference-counted: any number of threads may use one at the same time. */
typedef struct vmkit_pool vmkit_pool;

/** What a pool of sandboxes or of raw VMs, both machines here, has and has done. Set `size` before
 * the call; fields are only ever appended. */
struct vmkit_pool_stats {
    /** sizeof(struct vmkit_pool_stats) of the caller. */
    uint32_t size;
    /** The most machines that the pool may have. */
    uint32_t limit;
    /** Machines that wait to be taken. */
    uint32_t idle;
    /** Machines that are taken. */
    uint32_t taken;
    /** Threads that wait in vmkit_pool_take() or vmkit_pool_take_vm(). */
    uint32_t waiting;
    /** Reserved, 0. */
    uint32_t reserved;
    /** Takes that were answered with a machine. */
    uint64_t takes;
    /** Those of them that had to wait for one to be given back. */
    uint64_t waits;
    /** Sandboxes that were forked, or raw VMs that were made. */
    uint64_t forks;
    /** Machines that were given back and reset. */
    uint64_t resets;
    /** Machines that were given back and then released, see vmkit_pool_give_back() and
     * vmkit_pool_give_back_vm(). */
    uint64_t discarded;
};

/**
 * @brief Make a pool of sandboxes that are forked from a snapshot.
 * @param snapshot The snapshot; the pool takes a reference.
 * @param config What each of them is given, as for vmkit_snapshot_fork(); NULL for the same
 *        defaults. Copied: the caller may change or release it at once.
 * @param warm How many are forked by this call; the others are when they are needed first.
 * @param limit How many there may be at most, those that are taken included; 1 to 65,536.
 * @param ret_pool Receives the pool; the caller releases it with vmkit_pool_unref().
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL for NULL, or `warm` above `limit`; -ERANGE for another `limit`; -ENOTSUP for a
 *         snapshot of a raw VM; -EINVAL, -ENOENT, -EACCES, -EISDIR, -ELOOP, -ENOTDIR, -ENXIO,
 *         -EROFS, -E2BIG, -EMFILE, -ENFILE, -ENODEV and -EIO as vmkit_snapshot_fork(), when one is
 *         made; -ENOMEM. On an error nothing is left of the pool.
 *
 * Any thread.
 * @since 0.1
 */
int
vmkit_pool_new(vmkit_snapshot *snapshot, const vmkit_sandbox_config *config, uint32_t warm,
               uint32_t limit, vmkit_pool **ret_pool, vmkit_error **ret_error);

/**
 * @brief Make a pool of raw VMs that are made from a snapshot.
 * @param snapshot A snapshot of a raw VM; the pool takes a reference.
 * @param config Gives the KVM device; its interrupt controller is not looked at. NULL: /dev/kvm. It
 *        is not needed any more after the call.
 * @param warm How many are made by this call; the others are when they are needed first.
 * @param limit How many there may be at most, those that are taken included; 1 to 65,536.
 * @param ret_pool Receives the pool; the caller releases it with vmkit_pool_unref().
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL for NULL, or `warm` above `limit`; -ERANGE for another `limit`; -ENOTSUP for a
 *         snapshot of a sandbox; -ENODEV, -EACCES, -ENOTSUP, -EMFILE, -ENFILE and -EIO when KVM is
 *         not there or may not be opened; -EINVAL, -ENOTSUP, -ENOSPC, -EMFILE, -ENFILE and -EIO as
 *         vmkit_vm_new_from_snapshot(), when one is made; -ENOMEM. On an error nothing is left of
 *         the pool.
 *
 * What the guests write is noted from the beginning, so that a reset brings back no more than that:
 * each first write of a guest to a page costs a fault. Any thread.
 * @since 0.1
 */
int
vmkit_pool_new_vms(vmkit_snapshot *snapshot, const vmkit_vm_config *config, uint32_t warm,
                   uint32_t limit, vmkit_pool **ret_pool, vmkit_error **ret_error);

/**
 * @brief Take a further reference to a pool.
 * @param pool The pool, or NULL.
 * @return The same, to be released with vmkit_pool_unref().
 *
 * Any thread.
 * @since 0.1
 */
vmkit_pool *
vmkit_pool_ref(vmkit_pool *pool);

/**
 * @brief Release a reference to a pool; the last one frees it and the machines that wait in it.
 * @param pool The pool, or NULL, for which nothing is done.
 *
 * Those that are taken stay with who has them, who releases them with vmkit_sandbox_unref() or
 * vmkit_vm_unref(). The vCPUs of a VM were lent and go with the pool, but for those to which
 * somebody has taken a reference. No thread may be inside of another call on the pool without a
 * reference of its own. Any thread.
 * @since 0.1
 */
void
vmkit_pool_unref(vmkit_pool *pool);

/**
 * @brief Take a sandbox out of the pool.
 * @param pool The pool.
 * @param timeout_ns How long to wait for one when all are taken, in nanoseconds; 0 does not wait,
 *        UINT64_MAX waits for ever.
 * @param ret_sandbox Receives the sandbox, which stands where the snapshot was taken. It is the
 *        caller's until vmkit_pool_give_back(), which takes the reference back.
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL for NULL; -EAGAIN when none came free in time; -EIO in a child of fork(2),
 *         whose parent made the pool; -ENOTSUP for a pool of raw VMs; -EINVAL, -ENOENT, -EACCES,
 *         -EISDIR, -ELOOP, -ENOTDIR, -ENXIO, -EROFS, -E2BIG, -EMFILE, -ENFILE, -ENODEV, -ENOTSUP,
 *         -EIO and -ENOMEM as vmkit_snapshot_fork(), when a new one is to be made.
 *
 * Threads that wait are served in the order in which they came. A sandbox that is released instead
 * of given back keeps its place in the limit. Any thread.
 * @since 0.1
 */
int
vmkit_pool_take(vmkit_pool *pool, uint64_t timeout_ns, vmkit_sandbox **ret_sandbox,
                vmkit_error **ret_error);

/**
 * @brief Take a raw VM out of the pool.
 * @param pool The pool, made by vmkit_pool_new_vms().
 * @param timeout_ns How long to wait for one when all are taken, in nanoseconds; 0 does not wait,
 *        UINT64_MAX waits for ever.
 * @param ret_vcpus Receives the vCPUs by their numbers, lent: they are the pool's, and the caller
 *        uses them until the VM is given back. NULL only with a capacity of 0.
 * @param capacity How many there is room for.
 * @param ret_count Receives how many there are, also when there is not enough room; NULL for
 *        nothing.
 * @param ret_vm Receives the VM, which stands where the snapshot was taken, without handlers,
 *        doorbells and irqfds. It is the caller's until vmkit_pool_give_back_vm(), which takes the
 *        reference back.
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL for a NULL; -E2BIG when there is not room for all vCPUs; -EAGAIN when none
 *         came free in time; -ENOTSUP for a pool of sandboxes; -EIO in a child of fork(2), whose
 *         parent made the pool; -EINVAL, -ENOTSUP, -ENOSPC, -EMFILE, -ENFILE, -EIO and -ENOMEM as
 *         vmkit_vm_new_from_snapshot(), when a new one is to be made.
 *
 * Threads that wait are served in the order in which they came. A VM that is released instead of
 * given back keeps its place in the limit, and its memory while the pool is there. Any thread.
 * @since 0.1
 */
int
vmkit_pool_take_vm(vmkit_pool *pool, uint64_t timeout_ns, vmkit_vcpu **ret_vcpus, uint32_t capacity,
                   uint32_t *ret_count, vmkit_vm **ret_vm, vmkit_error **ret_error);

/**
 * @brief Give a sandbox back, which is reset for whoever takes it next.
 * @param pool The pool that it was taken from.
 * @param sandbox The sandbox, in whichever state; the caller's reference goes with it.
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL for NULL, or a sandbox that is not taken from this pool; -ENOTSUP for a pool
 * of raw VMs; -EBUSY while a thread runs it. On an error the reference stays the caller's.
 *
 * One that cannot be reset, or to which somebody else has a reference, is released instead, and the
 * pool forks another one when it is needed: that is no error of this call. Any thread.
 * @since 0.1
 */
int
vmkit_pool_give_back(vmkit_pool *pool, vmkit_sandbox *sandbox, vmkit_error **ret_error);

/**
 * @brief Give a raw VM back, which is reset for whoever takes it next.
 * @param pool The pool that it was taken from.
 * @param vm The VM, in whichever state; the caller's reference goes with it, and so do its vCPUs
 *        and what vmkit_vm_get_pointer() told the place of.
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL for NULL, or a VM that is not taken from this pool; -ENOTSUP for a pool of
 *         sandboxes; -EBUSY while a vCPU runs, also on this thread. On an error the reference stays
 *         the caller's.
 *
 * Its handlers are removed, as by vmkit_vm_remove_handler(), and it is reset, as by
 * vmkit_vm_reset(). One that cannot be reset, to which or to one of whose vCPUs somebody else has a
 * reference, which still has a doorbell, or has ever had an irqfd or a further vCPU, is released
 * instead, and the pool makes another one when it is needed: that is no error of this call. Any
 * thread.
 * @since 0.1
 */
int
vmkit_pool_give_back_vm(vmkit_pool *pool, vmkit_vm *vm, vmkit_error **ret_error);

/**
 * @brief Learn what a pool has and has done.
 * @param pool The pool.
 * @param stats Receives it, as of one moment; `size` must be set.
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL for NULL or a wrong `size`.
 *
 * Any thread.
 * @since 0.1
 */
int
vmkit_pool_get_stats(vmkit_pool *pool, struct vmkit_pool_stats *stats, vmkit_error **ret_error);

#ifdef __cplusplus
}
#endif
#endif
