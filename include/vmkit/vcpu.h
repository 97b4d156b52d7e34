/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file vcpu.h
 * @brief A virtual processor: it runs on the thread that calls vmkit_vcpu_run(), until it leaves.
 *
 *     struct vmkit_exit exit = {.size = sizeof exit};
 *     while (vmkit_vcpu_run(vcpu, &exit, &error) == 0 && exit.reason != VMKIT_EXIT_HALT)
 *         serve(&exit);
 *
 * The state of a vCPU (its registers, see x86_64.h) is read and set while it does not run, or by
 * the thread that runs it from inside of its callbacks; from another thread it is -EBUSY meanwhile.
 * vmkit_vcpu_kick(), vmkit_vcpu_interrupt() and vmkit_vcpu_nmi() work from any thread at any time.
 * In a child of fork(2) every call on a vCPU of the parent is -EIO but its release.
 */
#ifndef VMKIT_VCPU_H
#define VMKIT_VCPU_H

#include <vmkit/error.h>
#include <vmkit/vm.h>

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Why a run ended. */
enum vmkit_exit_reason {
    /** The guest accesses a port without a handler: `address`, `length`, `is_write`, `value`. */
    VMKIT_EXIT_PIO = 1,
    /** The guest accesses an address without memory and without a handler: as VMKIT_EXIT_PIO. */
    VMKIT_EXIT_MMIO = 2,
    /** The guest waits for an interrupt, and no controller in the kernel waits for it. */
    VMKIT_EXIT_HALT = 3,
    /** The guest is beyond help; on x86-64 a triple fault. Its registers are not what they were. */
    VMKIT_EXIT_SHUTDOWN = 4,
    /** The host has no accessible bytes behind the guest's memory: `fault_known` and, if it is 1,
     * `address`, `fault_size`. Run again to try again. */
    VMKIT_EXIT_MEMORY_FAULT = 5,
    /** The processor refused the vCPU's state: `hardware_reason`, `cpu`. */
    VMKIT_EXIT_FAIL_ENTRY = 6,
    /** KVM could not go on: `suberror` (1 for an instruction that it cannot emulate), `data`. */
    VMKIT_EXIT_INTERNAL_ERROR = 7,
    /** vmkit_vcpu_kick() was called. */
    VMKIT_EXIT_KICKED = 8,
    /** A handler's callback returned VMKIT_HANDLED_STOP. */
    VMKIT_EXIT_STOPPED = 9,
    /** The guest asks for a reset or to be switched off by a call to its host: `code`. */
    VMKIT_EXIT_SYSTEM_EVENT = 10,
    /** The guest has served the vector in `code` (VMKIT_INTERRUPT_CONTROLLER_SPLIT). */
    VMKIT_EXIT_INTERRUPT_DONE = 11,
    /** A breakpoint or a single step of the host's debugger. */
    VMKIT_EXIT_DEBUG = 12,
    /** Something that this release does not know: `code` holds KVM's number. */
    VMKIT_EXIT_UNKNOWN = 13
};

/** Why a run ended, with what belongs to it; the other fields are 0. Set `size` before the call;
 * fields are only ever appended. */
struct vmkit_exit {
    /** sizeof(struct vmkit_exit) of the caller. */
    uint32_t size;
    /** enum vmkit_exit_reason. */
    uint32_t reason;
    /** The port or guest-physical address. */
    uint64_t address;
    /** A write: what is written. A read: all bits set; vmkit_vcpu_set_exit_value() answers it. */
    uint64_t value;
    /** Bytes of the access, 1 to 8. */
    uint32_t length;
    /** 1 for a write, 0 for a read. */
    uint32_t is_write;
    /** KVM's number of the reason, the vector, or the type of the system event. */
    uint32_t code;
    /** VMKIT_EXIT_MEMORY_FAULT: 1 when KVM said where. */
    uint32_t fault_known;
    /** VMKIT_EXIT_MEMORY_FAULT: bytes. */
    uint64_t fault_size;
    /** VMKIT_EXIT_FAIL_ENTRY: the processor's own number of the reason. */
    uint64_t hardware_reason;
    /** VMKIT_EXIT_FAIL_ENTRY: the host's processor. */
    uint32_t cpu;
    /** VMKIT_EXIT_INTERNAL_ERROR: KVM's number of the error. */
    uint32_t suberror;
    /** VMKIT_EXIT_INTERNAL_ERROR: how many numbers of `data` there are. */
    uint32_t data_count;
    /** Reserved, 0. */
    uint32_t reserved;
    /** VMKIT_EXIT_INTERNAL_ERROR: what KVM adds. */
    uint64_t data[16];
};

/**
 * @brief Add a vCPU to a VM.
 * @param vm The VM; the vCPU takes a reference.
 * @param id Its number, which is also that of its local interrupt controller, from 0 on; each is
 *        used once in the life of a VM.
 * @param ret_vcpu Receives the vCPU; the caller releases it with vmkit_vcpu_unref().
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL for a NULL; -EEXIST when the number was used; -ERANGE beyond the host's
 *         largest; -EMFILE, -ENFILE; -ENOMEM; -EIO.
 *
 * It has the features that the host's KVM supports, and the state that the processor has after a
 * reset: on x86-64 real mode at 0xfffffff0. Any thread.
 * @since 0.1
 */
int
vmkit_vcpu_new(vmkit_vm *vm, uint32_t id, vmkit_vcpu **ret_vcpu, vmkit_error **ret_error);

/**
 * @brief Take a further reference to a vCPU.
 * @param vcpu The vCPU, or NULL.
 * @return The same, to be released with vmkit_vcpu_unref().
 *
 * Any thread.
 * @since 0.1
 */
vmkit_vcpu *
vmkit_vcpu_ref(vmkit_vcpu *vcpu);

/**
 * @brief Release a reference to a vCPU; the last one frees it.
 * @param vcpu The vCPU, or NULL, for which nothing is done.
 *
 * Any thread. A thread that is in vmkit_vcpu_run() holds a reference of its own.
 * @since 0.1
 */
void
vmkit_vcpu_unref(vmkit_vcpu *vcpu);

/**
 * @brief Get the number of a vCPU.
 * @param vcpu The vCPU.
 * @return Its number; UINT32_MAX for NULL.
 *
 * Any thread.
 * @since 0.1
 */
uint32_t
vmkit_vcpu_get_id(const vmkit_vcpu *vcpu);

/**
 * @brief Get the VM of a vCPU.
 * @param vcpu The vCPU.
 * @return The VM, lent as long as the vCPU is referenced; NULL for NULL.
 *
 * Any thread.
 * @since 0.1
 */
vmkit_vm *
vmkit_vcpu_get_vm(const vmkit_vcpu *vcpu);

/**
 * @brief Run the guest on the calling thread until it leaves.
 * @param vcpu The vCPU.
 * @param exit Receives why it left; `size` must be set. Not NULL.
 * @param ret_error Receives the error, or NULL.
 * @return 0 when the guest left in whichever way; -EINVAL for a NULL or a `size` that is too small;
 *         -EBUSY when a thread runs it, also this one inside of a callback; what a handler's
 *         callback returned; -EAGAIN when the host has no place left for the signal that a kick
 *         needs (RLIMIT_SIGPENDING), or no task that its KVM needs (RLIMIT_NPROC), after which it
 *         can be run again; -ENOMEM; -EIO when KVM failed, the VM has failed or belongs to another
 *         process, or a filter forbids a call that a kick needs.
 *
 * Accesses with a handler are served inside. A string instruction that moves several elements gives
 * one exit for each; the guest goes on after the last.
 *
 * While it runs, one real-time signal (vmkit_host_get_kick_signal()) is blocked in the calling
 * thread; the thread's mask is as it was when the call returns. Other signals of the application
 * reach their handlers, and the run goes on.
 * @since 0.1
 */
int
vmkit_vcpu_run(vmkit_vcpu *vcpu, struct vmkit_exit *exit, vmkit_error **ret_error);

/**
 * @brief Answer the read that the last run ended with.
 * @param vcpu The vCPU.
 * @param value What the guest reads; bytes beyond the access's length count for nothing.
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL without a vCPU; -ENXIO when the last run did not end with a read; -EBUSY while
 *         another thread runs it; -EIO.
 *
 * Without it the guest reads all bits set.
 * @since 0.1
 */
int
vmkit_vcpu_set_exit_value(vmkit_vcpu *vcpu, uint64_t value, vmkit_error **ret_error);

/**
 * @brief Finish the instruction that the last run ended in, and execute no further one.
 * @param vcpu The vCPU.
 * @param ret_error Receives the error, or NULL.
 * @return 0 when the vCPU stands between two instructions; 1 when the instruction goes on with a
 *         further access, which the next run returns or serves at once; -EINVAL without a vCPU;
 *         -EBUSY while another thread runs it, or inside of a callback that serves a read; -EAGAIN
 *         as for vmkit_vcpu_run(); -ENOMEM; -EIO.
 *
 * After an exit by PIO or MMIO the registers are those in the middle of the instruction: call this
 * before they are saved. The calls that set registers do it themselves. A read takes the value of
 * vmkit_vcpu_set_exit_value().
 * @since 0.1
 */
int
vmkit_vcpu_complete(vmkit_vcpu *vcpu, vmkit_error **ret_error);

/**
 * @brief End a run with VMKIT_EXIT_KICKED; when none is on, the next one.
 * @param vcpu The vCPU, or NULL, for which nothing is done.
 *
 * Returns at once. Several kicks before the run ends count as one. Any thread, at any time, inside
 * of callbacks too; not a signal handler.
 * @since 0.1
 */
void
vmkit_vcpu_kick(vmkit_vcpu *vcpu);

/**
 * @brief Have the guest take an external interrupt, as soon as it takes any.
 * @param vcpu The vCPU of a VM without an interrupt controller.
 * @param vector The vector, 0 to 255. Each waits once; the highest goes first.
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL without a vCPU; -ERANGE for another vector; -ENOTSUP with an interrupt
 *         controller in the kernel; -EIO when the VM has failed.
 *
 * A guest that halts with an interrupt waiting goes on. Any thread.
 * @since 0.1
 */
int
vmkit_vcpu_interrupt(vmkit_vcpu *vcpu, uint32_t vector, vmkit_error **ret_error);

/**
 * @brief Have the guest take a non-maskable interrupt.
 * @param vcpu The vCPU.
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL without a vCPU; -ENOTSUP where KVM cannot; -EIO when the VM has failed.
 *
 * Several before the guest takes one count as one. Any thread.
 * @since 0.1
 */
int
vmkit_vcpu_nmi(vmkit_vcpu *vcpu, vmkit_error **ret_error);

#ifdef __cplusplus
}
#endif
#endif
