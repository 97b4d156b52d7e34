/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file host.h
 * @brief What this host's KVM can do, and what to do when it cannot be used.
 */
#ifndef VMKIT_HOST_H
#define VMKIT_HOST_H

#include <vmkit/error.h>

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** What a host's KVM may offer. The list only grows; a number never changes its meaning. */
enum vmkit_capability {
    /** Guest memory is the caller's. Always needed. */
    VMKIT_CAPABILITY_USER_MEMORY = 1,
    /** A run can be stopped before it begins. Always needed. */
    VMKIT_CAPABILITY_IMMEDIATE_EXIT = 2,
    /** Memory that the guest may only read. */
    VMKIT_CAPABILITY_READONLY_MEMORY = 3,
    /** Registers that are shared with the kernel instead of copied. */
    VMKIT_CAPABILITY_SYNC_REGS = 4,
    /** Doorbells that signal an eventfd. */
    VMKIT_CAPABILITY_IOEVENTFD = 5,
    /** Interrupts raised by an eventfd. */
    VMKIT_CAPABILITY_IRQFD = 6,
    /** Level-triggered irqfds, with a second eventfd for the guest's acknowledgement. */
    VMKIT_CAPABILITY_IRQFD_RESAMPLE = 7,
    /** The whole interrupt controller in the kernel. */
    VMKIT_CAPABILITY_IRQCHIP = 8,
    /** The local interrupt controllers alone in the kernel. */
    VMKIT_CAPABILITY_SPLIT_IRQCHIP = 9,
    /** Message-signalled interrupts. */
    VMKIT_CAPABILITY_SIGNAL_MSI = 10,
    /** Interrupt lines can be routed. */
    VMKIT_CAPABILITY_IRQ_ROUTING = 11,
    /** Non-maskable interrupts can be injected. */
    VMKIT_CAPABILITY_USER_NMI = 12,
    /** Extended state beyond 4 KiB can be read and set. */
    VMKIT_CAPABILITY_XSAVE2 = 13,
    /** Extended control registers (XCR0). */
    VMKIT_CAPABILITY_XCRS = 14,
    /** Debug registers. */
    VMKIT_CAPABILITY_DEBUG_REGISTERS = 15,
    /** Events that a vCPU has still to take, such as a pending exception. */
    VMKIT_CAPABILITY_VCPU_EVENTS = 16,
    /** Whether a vCPU runs, halts or waits can be read and set. */
    VMKIT_CAPABILITY_MP_STATE = 17,
    /** The time-stamp counter's frequency can be set. */
    VMKIT_CAPABILITY_TSC_CONTROL = 18,
    /** The paravirtual clock can be read and set. */
    VMKIT_CAPABILITY_ADJUST_CLOCK = 19,
    /** The written pages are reported in a ring as well as in a bitmap. */
    VMKIT_CAPABILITY_DIRTY_RING = 20,
    /** A missing page of the host is reported with its guest address. */
    VMKIT_CAPABILITY_MEMORY_FAULT_INFO = 21,
    /** Debugging from outside: breakpoints and single steps. */
    VMKIT_CAPABILITY_GUEST_DEBUG = 22
};

/** What was found on a host. Opaque, immutable and reference-counted; any thread may read it. */
typedef struct vmkit_host vmkit_host;

/** Whether KVM can be used. The list only grows. */
enum vmkit_host_status {
    VMKIT_HOST_USABLE = 1,
    /** The device is not there. */
    VMKIT_HOST_NO_DEVICE = 2,
    /** The device is there, and this process may not open it. */
    VMKIT_HOST_NO_PERMISSION = 3,
    /** KVM speaks another API version. */
    VMKIT_HOST_WRONG_VERSION = 4,
    /** KVM lacks something that the library cannot do without. */
    VMKIT_HOST_MISSING_CAPABILITY = 5,
    /** The device is there and does not do what it should. */
    VMKIT_HOST_BROKEN = 6,
    /** This release makes no VMs on processors of this kind. */
    VMKIT_HOST_UNSUPPORTED_ARCHITECTURE = 7
};

/** How a guest's supervisor mode is executed. The list only grows. */
enum vmkit_supervisor_mode {
    /** It was not measured. */
    VMKIT_SUPERVISOR_UNKNOWN = 0,
    /** By the processor. */
    VMKIT_SUPERVISOR_NATIVE = 1,
    /** By KVM, instruction by instruction: kernels are thousands of times slower, programs in
     * user mode are not. */
    VMKIT_SUPERVISOR_INTERPRETED = 2
};

/** Flags of vmkit_host_probe(). */
enum vmkit_host_probe_flags {
    /** Time supervisor mode in a guest of a few instructions; takes up to 20 ms. */
    VMKIT_HOST_PROBE_MEASURE = 1
};

/**
 * @brief Find out whether this host's KVM can be used.
 * @param flags VMKIT_HOST_PROBE_MEASURE or 0.
 * @param ret_host Receives what was found; the caller releases it with vmkit_host_unref().
 * @param ret_error Receives the error, or NULL.
 * @return 0, also when KVM cannot be used: vmkit_host_get_status() says so; -EINVAL without
 *         `ret_host` or for an unknown flag; -ENOMEM.
 *
 * Any thread.
 * @since 0.1
 */
int
vmkit_host_probe(uint64_t flags, vmkit_host **ret_host, vmkit_error **ret_error);

/**
 * @brief Find out whether a KVM device of another name can be used.
 * @param path Path of the device.
 * @param flags As for vmkit_host_probe().
 * @param ret_host As for vmkit_host_probe().
 * @param ret_error Receives the error, or NULL.
 * @return As vmkit_host_probe(); -EINVAL without a path.
 *
 * Any thread.
 * @since 0.1
 */
int
vmkit_host_probe_path(const char *path, uint64_t flags, vmkit_host **ret_host,
                      vmkit_error **ret_error);

/**
 * @brief Take a further reference to what was found.
 * @param host What was found, or NULL.
 * @return The same, to be released with vmkit_host_unref().
 *
 * Any thread.
 * @since 0.1
 */
vmkit_host *
vmkit_host_ref(vmkit_host *host);

/**
 * @brief Release a reference to what was found; the last one frees it.
 * @param host What was found, or NULL, for which nothing is done.
 *
 * Any thread.
 * @since 0.1
 */
void
vmkit_host_unref(vmkit_host *host);

/**
 * @brief Get whether KVM can be used.
 * @param host What was found.
 * @return enum vmkit_host_status; 0 for NULL.
 *
 * Any thread.
 * @since 0.1
 */
uint32_t
vmkit_host_get_status(const vmkit_host *host);

/**
 * @brief Get what a person can do so that KVM can be used, or that nothing has to be done.
 * @param host What was found.
 * @return One line of UTF-8, which belongs to `host`; "" for NULL.
 *
 * Any thread.
 * @since 0.1
 */
const char *
vmkit_host_get_advice(const vmkit_host *host);

/**
 * @brief Get the message of what failed.
 * @param host What was found.
 * @return One line of UTF-8, which belongs to `host`; "" when nothing failed, and for NULL.
 *
 * Any thread.
 * @since 0.1
 */
const char *
vmkit_host_get_reason(const vmkit_host *host);

/**
 * @brief Get the version of KVM's API.
 * @param host What was found.
 * @return The version, 12 for every usable one; 0 when it is not known, and for NULL.
 *
 * Any thread.
 * @since 0.1
 */
uint32_t
vmkit_host_get_api_version(const vmkit_host *host);

/**
 * @brief Get whether KVM offers something.
 * @param host What was found.
 * @param capability enum vmkit_capability.
 * @return 1 when it does; 0 when not, when it cannot be used, for an unknown number and for NULL.
 *
 * Any thread.
 * @since 0.1
 */
int
vmkit_host_has_capability(const vmkit_host *host, uint32_t capability);

/**
 * @brief Get how many vCPUs a VM may have.
 * @param host What was found.
 * @return The number; 0 when KVM cannot be used, and for NULL.
 *
 * Any thread.
 * @since 0.1
 */
uint32_t
vmkit_host_get_max_vcpus(const vmkit_host *host);

/**
 * @brief Get how many regions of memory a VM may have.
 * @param host What was found.
 * @return The number; 0 when KVM cannot be used, and for NULL.
 *
 * Any thread.
 * @since 0.1
 */
uint32_t
vmkit_host_get_max_regions(const vmkit_host *host);

/**
 * @brief Get the vendor of the host's processor.
 * @param host What was found.
 * @return The name that the processor gives, such as "GenuineIntel", which belongs to `host`; ""
 *         when it is not known, and for NULL.
 *
 * Any thread.
 * @since 0.1
 */
const char *
vmkit_host_get_cpu_vendor(const vmkit_host *host);

/**
 * @brief Get the model of the host's processor.
 * @param host What was found.
 * @return The name that the processor gives, which belongs to `host`; "" when it is not known, and
 *         for NULL.
 *
 * Any thread.
 * @since 0.1
 */
const char *
vmkit_host_get_cpu_model(const vmkit_host *host);

/**
 * @brief Get how a guest's supervisor mode is executed.
 * @param host What was found, with VMKIT_HOST_PROBE_MEASURE.
 * @return enum vmkit_supervisor_mode; VMKIT_SUPERVISOR_UNKNOWN when it was not measured, and for
 *         NULL.
 *
 * Any thread.
 * @since 0.1
 */
uint32_t
vmkit_host_get_supervisor_mode(const vmkit_host *host);

/**
 * @brief Get what one simple instruction of supervisor mode takes.
 * @param host What was found, with VMKIT_HOST_PROBE_MEASURE.
 * @return Picoseconds; 0 when it was not measured, and for NULL.
 *
 * Any thread.
 * @since 0.1
 */
uint64_t
vmkit_host_get_supervisor_instruction_ps(const vmkit_host *host);

/**
 * @brief Get the signal that the library blocks in a thread while it runs a vCPU or a sandbox.
 * @return The signal's number, SIGRTMAX - 2. An application must not use it for anything else on
 *         such threads.
 *
 * Any thread.
 * @since 0.1
 */
int
vmkit_host_get_kick_signal(void);

/**
 * @brief Get the name of a status.
 * @param status enum vmkit_host_status.
 * @return The name, such as "no-device"; NULL for an unknown number. The string is static.
 *
 * Any thread.
 * @since 0.1
 */
const char *
vmkit_host_status_get_name(uint32_t status);

/**
 * @brief Get the name of a way in which supervisor mode is executed.
 * @param mode enum vmkit_supervisor_mode.
 * @return The name, such as "native"; NULL for an unknown number. The string is static.
 *
 * Any thread.
 * @since 0.1
 */
const char *
vmkit_supervisor_mode_get_name(uint32_t mode);

/**
 * @brief Get the name of a capability.
 * @param capability enum vmkit_capability, from 1 on without gaps.
 * @return The name, such as "sync-regs"; NULL for an unknown number. The string is static.
 *
 * Any thread.
 * @since 0.1
 */
const char *
vmkit_capability_get_name(uint32_t capability);

#ifdef __cplusplus
}
#endif
#endif
