/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file vm.h
 * @brief A raw virtual machine: guest memory, handlers for its devices, interrupts.
 *
 * The VM holds what all vCPUs share; vcpu.h runs them. Nothing is there that was not added: no
 * memory, no device, and an interrupt controller only when the configuration asks for one.
 *
 *     vmkit_vm *vm = NULL;
 *     vmkit_memory *memory = NULL;
 *     vmkit_vm_new(NULL, &vm, &error);
 *     vmkit_memory_new_anonymous(1 << 20, 0, &memory, &error);
 *     vmkit_vm_add_memory(vm, 0, memory, 0, 1 << 20, 0, &error);
 *
 * Every call locks the VM by itself and may come from any thread, also from inside a callback. A VM
 * that cannot go on answers every call with -EIO and the reason; releasing it still frees all.
 * KVM serves a VM only in the process that made it: in a child of fork(2) every call but those that
 * read and write memory and release is -EIO.
 */
#ifndef VMKIT_VM_H
#define VMKIT_VM_H

#include <vmkit/error.h>
#include <vmkit/memory.h>

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** How a VM is made. Opaque and reference-counted; used from one thread at a time. */
typedef struct vmkit_vm_config vmkit_vm_config;

/** A virtual machine. Opaque and reference-counted. */
typedef struct vmkit_vm vmkit_vm;

/** A virtual processor, see vcpu.h. */
typedef struct vmkit_vcpu vmkit_vcpu;

/** Where the guest's interrupt controller is. */
enum vmkit_interrupt_controller {
    /** There is none: vmkit_vcpu_interrupt() injects vectors. The default. */
    VMKIT_INTERRUPT_CONTROLLER_NONE = 0,
    /** The local controllers are in the kernel; the outer one is the caller's, who sends messages
     * (vmkit_vm_signal_msi(), or lines that vmkit_vm_set_routes() leads to messages). */
    VMKIT_INTERRUPT_CONTROLLER_SPLIT = 1,
    /** All of it is in the kernel: on x86-64 two 8259, an I/O APIC of 24 pins and the local APICs.
     */
    VMKIT_INTERRUPT_CONTROLLER_KERNEL = 2
};

/** Flags of vmkit_vm_add_memory(). */
enum vmkit_region_flags {
    /** A write of the guest does not happen and is an MMIO access instead. */
    VMKIT_REGION_READ_ONLY = 1
};

/** The two kinds of address at which devices are. */
enum vmkit_space {
    /** Ports, 0 to 65,535; x86 alone. */
    VMKIT_SPACE_PIO = 1,
    /** Guest-physical addresses without memory. */
    VMKIT_SPACE_MMIO = 2
};

/** What a handler's callback returns when it does not return a negative errno. Nothing else is
 * above 0: such a value is the error EIO. */
enum vmkit_handled {
    /** The guest goes on. */
    VMKIT_HANDLED = 0,
    /** The run ends with VMKIT_EXIT_STOPPED; the access is done. */
    VMKIT_HANDLED_STOP = 1
};

/** An access of the guest to a device. `size` is set by the library; fields are only ever
 * appended. */
struct vmkit_access {
    /** sizeof(struct vmkit_access) of the library. */
    uint32_t size;
    /** enum vmkit_space. */
    uint32_t space;
    /** The port, or the guest-physical address. */
    uint64_t address;
    /** The address less the one at which the handler's range begins. */
    uint64_t offset;
    /** Bytes: 1, 2 or 4 for a port, 1 to 8 otherwise. */
    uint32_t length;
    /** 1 for a write, 0 for a read. */
    uint32_t is_write;
    /** A write: what is written. A read: put here what the guest shall read; all bits are set at
     * first. Bytes beyond `length` count for nothing. */
    uint64_t value;
};

/**
 * @brief Serve an access of the guest.
 * @param user_data What was given with the callback.
 * @param vcpu The vCPU, lent for the call.
 * @param access The access; its `value` may be changed, and is gone after the call.
 * @return enum vmkit_handled; or a negative errno of the list in error.h, with which
 *         vmkit_vcpu_run() then fails.
 *
 * Called on the thread that is in vmkit_vcpu_run(), with no lock held: every call of this library
 * may be made inside, but for running the same vCPU, and for setting its state during a read.
 * A string instruction calls it once for every element.
 */
typedef int (*vmkit_access_callback)(void *user_data, vmkit_vcpu *vcpu,
                                     struct vmkit_access *access);

/**
 * @brief Let go of a handler's user data.
 * @param user_data What was given with the callback.
 *
 * Called once, when the handler was removed or the VM is gone, and no vCPU is in the callback any
 * more; by the thread for which that came true, with no lock held.
 */
typedef void (*vmkit_handler_release_callback)(void *user_data);

/** What an interrupt line leads to. */
enum vmkit_route_kind {
    /** A pin of a controller in the kernel. */
    VMKIT_ROUTE_PIN = 1,
    /** A message to the local controllers. */
    VMKIT_ROUTE_MSI = 2
};

/** Where one interrupt line leads. Never changes. */
struct vmkit_route {
    /** The line's number. */
    uint32_t gsi;
    /** enum vmkit_route_kind. */
    uint32_t kind;
    /** VMKIT_ROUTE_PIN: the controller; on x86-64 0 and 1 are the two 8259, 2 is the I/O APIC. */
    uint32_t chip;
    /** VMKIT_ROUTE_PIN: its pin. */
    uint32_t pin;
    /** VMKIT_ROUTE_MSI: address of the message. */
    uint64_t msi_address;
    /** VMKIT_ROUTE_MSI: data of the message. */
    uint32_t msi_data;
    /** Reserved, 0. */
    uint32_t reserved;
};

/**
 * @brief Make a configuration with defaults: /dev/kvm, no interrupt controller.
 * @param ret_config Receives the configuration; the caller releases it with
 *        vmkit_vm_config_unref().
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL without `ret_config`; -ENOMEM.
 *
 * Any thread.
 * @since 0.1
 */
int
vmkit_vm_config_new(vmkit_vm_config **ret_config, vmkit_error **ret_error);

/**
 * @brief Take a further reference to a configuration.
 * @param config The configuration, or NULL.
 * @return The same, to be released with vmkit_vm_config_unref().
 *
 * Any thread.
 * @since 0.1
 */
vmkit_vm_config *
vmkit_vm_config_ref(vmkit_vm_config *config);

/**
 * @brief Release a reference to a configuration; the last one frees it.
 * @param config The configuration, or NULL, for which nothing is done.
 *
 * Any thread.
 * @since 0.1
 */
void
vmkit_vm_config_unref(vmkit_vm_config *config);

/**
 * @brief Use another KVM device than /dev/kvm.
 * @param config The configuration.
 * @param path Its path, copied; NULL for /dev/kvm.
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL without a configuration; -ENOMEM.
 * @since 0.1
 */
int
vmkit_vm_config_set_kvm_path(vmkit_vm_config *config, const char *path, vmkit_error **ret_error);

/**
 * @brief Use a KVM device that is open already, such as one that a privileged process handed over.
 * @param config The configuration.
 * @param fd Its descriptor; duplicated, and the caller keeps its own.
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL without a configuration or for a descriptor that is not open; -EMFILE.
 *
 * It takes the place of a path. vmkit_vm_new() finds out whether it is a KVM device.
 * @since 0.1
 */
int
vmkit_vm_config_set_kvm_fd(vmkit_vm_config *config, int fd, vmkit_error **ret_error);

/**
 * @brief Set where the guest's interrupt controller is.
 * @param config The configuration.
 * @param controller enum vmkit_interrupt_controller.
 * @param pins Lines of the caller's outer controller, 0 to 4,096, for
 *        VMKIT_INTERRUPT_CONTROLLER_SPLIT; 0 for the others.
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL without a configuration, for an unknown controller or pins where there are
 *         none; -ERANGE above 4,096.
 * @since 0.1
 */
int
vmkit_vm_config_set_interrupt_controller(vmkit_vm_config *config, uint32_t controller,
                                         uint32_t pins, vmkit_error **ret_error);

/**
 * @brief Make a VM without memory, vCPUs and handlers.
 * @param config How; NULL for the defaults. It is not needed any more after the call.
 * @param ret_vm Receives the VM; the caller releases it with vmkit_vm_unref().
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL without `ret_vm`; -ENODEV, -EACCES or -ENOTSUP when KVM is not there, may not
 *         be opened, or lacks something (vmkit_host_probe() says what to do); -ENOTSUP on a host
 *         other than x86-64; -EMFILE, -ENFILE; -ENOMEM; -EIO when KVM failed otherwise.
 *
 * Any thread; VMs share nothing.
 * @since 0.1
 */
int
vmkit_vm_new(const vmkit_vm_config *config, vmkit_vm **ret_vm, vmkit_error **ret_error);

/**
 * @brief Take a further reference to a VM.
 * @param vm The VM, or NULL.
 * @return The same, to be released with vmkit_vm_unref().
 *
 * Any thread.
 * @since 0.1
 */
vmkit_vm *
vmkit_vm_ref(vmkit_vm *vm);

/**
 * @brief Release a reference to a VM; the last one frees it.
 * @param vm The VM, or NULL, for which nothing is done.
 *
 * Every vCPU holds a reference. Any thread.
 * @since 0.1
 */
void
vmkit_vm_unref(vmkit_vm *vm);

/**
 * @brief Give the guest memory.
 * @param vm The VM.
 * @param gpa Guest-physical address at which it begins, a multiple of the host's page size.
 * @param memory The memory; the VM takes a reference.
 * @param offset Where the part begins that is given, in bytes, a multiple of the host's page size.
 * @param size Bytes, a multiple of the host's page size, not zero.
 * @param flags VMKIT_REGION_READ_ONLY or 0.
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL for a NULL, an unknown flag, numbers of another form, or memory made with
 *         VMKIT_MEMORY_READ_ONLY without the flag; -EEXIST when it overlaps a region that is there;
 *         -ERANGE when it goes beyond the memory or the guest's addresses; -ENOSPC when the host's
 *         KVM takes no more regions; -ENOTSUP for read-only memory where KVM has none; -ENOMEM;
 *         -EIO.
 *
 * Any thread, with vCPUs running or not.
 * @since 0.1
 */
int
vmkit_vm_add_memory(vmkit_vm *vm, uint64_t gpa, vmkit_memory *memory, uint64_t offset,
                    uint64_t size, uint64_t flags, vmkit_error **ret_error);

/**
 * @brief Take a region of memory away from the guest.
 * @param vm The VM.
 * @param gpa Where it begins, as it was added.
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL without a VM; -ENOENT when no region begins there; -ENOMEM; -EIO.
 *
 * After it the guest's accesses there are MMIO. Any thread, with vCPUs running or not.
 * @since 0.1
 */
int
vmkit_vm_remove_memory(vmkit_vm *vm, uint64_t gpa, vmkit_error **ret_error);

/**
 * @brief Copy bytes out of the guest's memory.
 * @param vm The VM.
 * @param gpa Guest-physical address.
 * @param destination Where to; may be NULL for a size of 0.
 * @param size Bytes. The range may cross regions that lie next to each other.
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL for a NULL; -EFAULT when an address has no memory, or what lies behind it is
 *         gone, in which case a part may have been copied; -EIO.
 *
 * Any thread, with vCPUs running or not.
 * @since 0.1
 */
int
vmkit_vm_read(vmkit_vm *vm, uint64_t gpa, void *destination, uint64_t size,
              vmkit_error **ret_error);

/**
 * @brief Copy bytes into the guest's memory, also where the guest may only read.
 * @param vm The VM.
 * @param gpa Guest-physical address.
 * @param source Where from; may be NULL for a size of 0.
 * @param size Bytes. The range may cross regions that lie next to each other.
 * @param ret_error Receives the error, or NULL.
 * @return As vmkit_vm_read(); -EROFS where the memory was made with VMKIT_MEMORY_READ_ONLY.
 *
 * Any thread, with vCPUs running or not.
 * @since 0.1
 */
int
vmkit_vm_write(vmkit_vm *vm, uint64_t gpa, const void *source, uint64_t size,
               vmkit_error **ret_error);

/**
 * @brief Get where a range of the guest's memory is in this process.
 * @param vm The VM.
 * @param gpa Guest-physical address.
 * @param size Bytes; the range must lie in one region.
 * @param ret_pointer Receives the address, lent until the region is removed or the VM is freed.
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL for a NULL; -EFAULT when the range is not inside of one region; -EIO.
 *
 * A guest that runs may change the bytes at any time: copy first, then check. Any thread.
 * @since 0.1
 */
int
vmkit_vm_get_pointer(vmkit_vm *vm, uint64_t gpa, uint64_t size, void **ret_pointer,
                     vmkit_error **ret_error);

/**
 * @brief Have a range of device addresses served by a callback.
 * @param vm The VM.
 * @param space enum vmkit_space.
 * @param address First port or guest-physical address.
 * @param size How many, not zero.
 * @param callback The callback, not NULL. It serves the accesses that lie wholly in the range.
 * @param release Called when the handler is gone; NULL for nothing. Not called on failure.
 * @param user_data Handed to both.
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL for a NULL, an unknown space or a size of zero; -ERANGE when the range goes
 *         beyond the last port or address; -EEXIST when it overlaps another handler's; -ENOMEM;
 *         -EIO.
 *
 * Memory goes first: a handler sees no access where the guest has memory, but for writes to
 * read-only regions. Any thread, with vCPUs running or not.
 * @since 0.1
 */
int
vmkit_vm_add_handler(vmkit_vm *vm, uint32_t space, uint64_t address, uint64_t size,
                     vmkit_access_callback callback, vmkit_handler_release_callback release,
                     void *user_data, vmkit_error **ret_error);

/**
 * @brief Remove a handler.
 * @param vm The VM.
 * @param space enum vmkit_space.
 * @param address Where its range begins.
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL without a VM or for an unknown space; -ENOENT when no handler begins there;
 *         -ENOMEM; -EIO.
 *
 * No access that begins after it reaches the callback. One that has begun on another thread may
 * still be in it: `release` says when that is over. Any thread, also inside of the callback itself.
 * @since 0.1
 */
int
vmkit_vm_remove_handler(vmkit_vm *vm, uint32_t space, uint64_t address, vmkit_error **ret_error);

/** Flags of vmkit_vm_add_ioeventfd(). */
enum vmkit_ioeventfd_flags {
    /** Only a write of `value` signals the eventfd. */
    VMKIT_IOEVENTFD_MATCH = 1
};

/**
 * @brief Signal an eventfd when the guest writes somewhere, without leaving the guest.
 * @param vm The VM.
 * @param space enum vmkit_space.
 * @param address The port or guest-physical address.
 * @param length Bytes of the write, 1, 2, 4 or 8; 0 for any, with MMIO and without a match.
 * @param flags VMKIT_IOEVENTFD_MATCH or 0.
 * @param value With VMKIT_IOEVENTFD_MATCH the value that counts, otherwise 0.
 * @param fd The eventfd. KVM keeps its own reference; the caller may close it.
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL for a NULL, an unknown space or flag, another length, a port beyond 0xffff, or
 *         a descriptor that is no eventfd; -EEXIST when that write signals an eventfd already;
 * -ENOTSUP where KVM has no ioeventfd; -ENOSPC when it takes no more; -ENOMEM; -EIO.
 *
 * Any thread, with vCPUs running or not.
 * @since 0.1
 */
int
vmkit_vm_add_ioeventfd(vmkit_vm *vm, uint32_t space, uint64_t address, uint32_t length,
                       uint64_t flags, uint64_t value, int fd, vmkit_error **ret_error);

/**
 * @brief Undo vmkit_vm_add_ioeventfd().
 * @param vm The VM.
 * @param space As it was added.
 * @param address As it was added.
 * @param length As it was added.
 * @param flags As it was added.
 * @param value As it was added.
 * @param fd A descriptor of the same eventfd.
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL as above; -ENOENT when there is no such ioeventfd; -ENOTSUP; -ENOMEM; -EIO.
 *
 * Any thread.
 * @since 0.1
 */
int
vmkit_vm_remove_ioeventfd(vmkit_vm *vm, uint32_t space, uint64_t address, uint32_t length,
                          uint64_t flags, uint64_t value, int fd, vmkit_error **ret_error);

/**
 * @brief Raise an interrupt whenever an eventfd is signalled.
 * @param vm The VM, made with an interrupt controller.
 * @param fd The eventfd. KVM keeps its own reference; the caller may close it.
 * @param gsi The interrupt line.
 * @param resample_fd -1 for a line that is triggered by edges; or a second eventfd, which makes it
 * a level-triggered line that is lowered, and that eventfd signalled, when the guest acknowledges
 * the interrupt.
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL without a VM, for a descriptor that is no eventfd, or a line beyond 4,095;
 *         -EBUSY when the eventfd raises an interrupt already; -ENOTSUP without an interrupt
 *         controller, or where KVM has no irqfd; -ENOMEM; -EIO.
 *
 * Any thread, with vCPUs running or not.
 * @since 0.1
 */
int
vmkit_vm_add_irqfd(vmkit_vm *vm, int fd, uint32_t gsi, int resample_fd, vmkit_error **ret_error);

/**
 * @brief Undo vmkit_vm_add_irqfd(); when it returns, no interrupt of that eventfd is on its way.
 * @param vm The VM.
 * @param fd A descriptor of the same eventfd.
 * @param gsi The interrupt line.
 * @param ret_error Receives the error, or NULL.
 * @return 0, also when there was no such irqfd; -EINVAL without a VM or for a descriptor that is no
 *         eventfd; -ENOTSUP without an interrupt controller; -ENOMEM; -EIO.
 *
 * Any thread.
 * @since 0.1
 */
int
vmkit_vm_remove_irqfd(vmkit_vm *vm, int fd, uint32_t gsi, vmkit_error **ret_error);

/**
 * @brief Say where all interrupt lines lead; what was said before is forgotten.
 * @param vm The VM, made with an interrupt controller.
 * @param routes The routes; NULL only with a count of 0. A line may have several pins.
 * @param count How many, at most 4,096.
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL for a NULL, an unknown kind, or a pin or line that is not there; -E2BIG above
 *         4,096; -ENOTSUP without an interrupt controller, or where KVM has no routes; -ENOMEM;
 *         -EIO.
 *
 * VMKIT_INTERRUPT_CONTROLLER_KERNEL begins with a route of line n to pin n for 0 to 23, the first
 * 16 to the 8259 as well; VMKIT_INTERRUPT_CONTROLLER_SPLIT begins with none. Any thread.
 * @since 0.1
 */
int
vmkit_vm_set_routes(vmkit_vm *vm, const struct vmkit_route *routes, uint32_t count,
                    vmkit_error **ret_error);

/**
 * @brief Set the level of an interrupt line.
 * @param vm The VM, made with VMKIT_INTERRUPT_CONTROLLER_KERNEL.
 * @param gsi The line.
 * @param level 1 to raise it, 0 to lower it.
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL without a VM, for another level, or for a line beyond 4,095; -ENOTSUP without
 *         that interrupt controller; -ENOMEM; -EIO.
 *
 * Any thread.
 * @since 0.1
 */
int
vmkit_vm_set_irq_line(vmkit_vm *vm, uint32_t gsi, uint32_t level, vmkit_error **ret_error);

/**
 * @brief Send a message-signalled interrupt.
 * @param vm The VM, made with an interrupt controller.
 * @param address Address of the message; on x86-64 0xfee00000 + (number of the local APIC << 12).
 * @param data Data of the message; on x86-64 the vector.
 * @param ret_error Receives the error, or NULL.
 * @return 1 when a vCPU got it; 0 when the guest blocks it, or there is no vCPU that it is for;
 *         -EINVAL without a VM; -ENOTSUP without an interrupt controller, or where KVM takes no
 *         messages; -ENOMEM; -EIO.
 *
 * Any thread.
 * @since 0.1
 */
int
vmkit_vm_signal_msi(vmkit_vm *vm, uint64_t address, uint32_t data, vmkit_error **ret_error);

#ifdef __cplusplus
}
#endif
#endif
