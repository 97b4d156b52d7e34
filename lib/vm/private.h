/* SPDX-License-Identifier: Apache-2.0 */
/* The structures that the files of this room share. */
#ifndef VMK_VM_PRIVATE_H
#define VMK_VM_PRIVATE_H

#include "bus/bus.h"
#include "mem/image.h"
#include "vm/kick_timer.h"
#include "vm/pool.h"
#include "vm/vcpu.h"
#include "vm/vm.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>
#include <time.h>

enum { VMK_VM_FAILING = 1, VMK_VM_FAILED = 2 };

struct vmkit_vm {
    atomic_uint references;
    pthread_mutex_t lock; /* all below but `failed` */
    struct vmk_kvm_vm *kvm;
    struct vmk_regions regions;
    /* Slot numbers given back; beyond them come the ones that never were in use. */
    uint32_t *free_slots;
    uint32_t free_slot_count;
    uint32_t free_slot_capacity;
    uint32_t next_slot;
    struct vmkit_vcpu *vcpus;
    uint32_t vcpus_made; /* also those that are gone, which KVM keeps */
    struct vmk_bus *bus;
    /* Moves with every change of `bus`; read without the lock. */
    atomic_uint_fast64_t bus_generation;
    /* Never change. */
    enum vmk_vm_irqchip irqchip;
    uint32_t split_pins;
    bool real_mode;
    /* The table of interrupt routes, when the caller replaced KVM's own. */
    bool has_routes;
    struct vmk_kvm_route *routes;
    uint32_t route_count;
    /* What the memory held when the regions began to note what is written; NULL without. */
    struct vmk_image *tracked;
    /* An image whose parts are made where they are touched (mem/demand.h), of which this memory is
     * a copy; else NULL. Never changes once a vCPU can run. */
    struct vmk_image *lazy;
    /* What it was made from and can be reset to, or NULL; never changes. */
    struct vmkit_snapshot *home;
    /* Its memory's changes since are noted (reset_memory.h), */
    bool followed;
    /* those of the program among them, by vmkit_vm_note_write(); */
    bool told;
    /* and reading KVM's log leaves it as it is. */
    bool log_is_kept;
    bool routes_changed;                            /* since it was made or reset */
    atomic_uint_fast64_t raised[VMK_VM_LINES / 64]; /* interrupt lines, by the program */
    atomic_uint doorbells;                          /* that it has (ioeventfd) */
    atomic_bool had_irqfd;      /* ever: KVM does not say whether it removed one */
    struct vmk_pool_place pool; /* never changes */
    pid_t process;              /* that made it; never changes */
    /* 0, then VMK_VM_FAILING while `failure` is written, then VMK_VM_FAILED; without the lock,
     * since a vCPU that is locked may find out. */
    atomic_uint failed;
    char failure[160];
};

/* The access that the vCPU's last exit began. A string instruction has several elements, and each
 * is served or returned by itself. */
struct vmk_vcpu_access {
    /* KVM_RUN has still to finish the instruction. */
    bool pending;
    bool is_write;
    enum vmkit_space space;
    uint64_t address;
    uint32_t length;
    uint32_t count;
    uint32_t index; /* the next element to be served */
    uint8_t *data;  /* in the pages that are shared with the kernel */
};

struct vmkit_vcpu {
    atomic_uint references;
    struct vmkit_vm *vm;
    struct vmk_kvm_vcpu *kvm;
    struct vmkit_vcpu *next; /* of the VM's list, under its lock */

    atomic_bool kick_pending;

    pthread_mutex_t lock;
    bool running;
    bool held; /* it stands still for a snapshot, which `holder` takes */
    pthread_t holder;
    bool signal_sent; /* at most one signal is on its way, so that kicks cannot fill the queue */
    pthread_t thread;
    struct vmk_kick_timer timer; /* sends the signal where it has no other place */

    /* Of the running thread alone. */
    bool mask_known;
    bool kick_was_blocked;
    bool kicked;
    uint64_t mask; /* what KVM_SET_SIGNAL_MASK was last given */

    /* What waits to be injected; `injections` is set after, and looked at before, the others. */
    atomic_bool injections;
    atomic_bool nmi;
    atomic_uint_fast64_t vectors[4];

    /* Of the running thread; of whoever holds `lock` while none runs. */
    struct vmk_bus *bus;
    uint64_t bus_generation;
    struct vmk_vcpu_access access;
    bool in_read;      /* inside of a callback that has still to give the value of a read */
    bool exit_waits;   /* vmk_vcpu_complete() found a further exit, which nobody has served */
    bool state_is_set; /* since the last KVM_RUN, so that what it said of interrupts is stale */
    bool cpuid_is_set; /* by the program, of a vCPU that can be reset or not */
    uint8_t *answer;   /* where vmkit_vcpu_set_exit_value() puts the value; NULL without a read */
};

/* Tell KVM of a region, which it knew of or not. With the VM locked. */
int
vmk_vm_set_slot(struct vmkit_vm *vm, const struct vmk_region *region, vmkit_error **ret_error);

/* Set a table of routes, which is the VM's then: KVM does not tell it. With the VM locked. */
int
vmk_vm_replace_routes(struct vmkit_vm *vm, struct vmk_kvm_route *routes, uint32_t count,
                      vmkit_error **ret_error);

/* The error of a vCPU that is held by another thread. */
int
vmk_vcpu_fail_held(const struct vmkit_vcpu *vcpu, vmkit_error **ret_error);

/* Have KVM finish what the last exit began, wherever that leads: the state is about to be replaced.
 * With the vCPU locked; -EBUSY when a thread runs it, this one included. */
int
vmk_vcpu_abandon(struct vmkit_vcpu *vcpu, vmkit_error **ret_error);

/* As vmk_vcpu_lock(), with the access of the last exit finished, for a call that reads all. */
int
vmk_vcpu_lock_settled(struct vmkit_vcpu *vcpu, vmkit_error **ret_error);

/* Inject what waits and can be taken, and ask for an exit when the rest can. */
int
vmk_vcpu_inject(struct vmkit_vcpu *vcpu, vmkit_error **ret_error);

/* Whether something waits that ends the guest's HLT. */
bool
vmk_vcpu_wakes_from_halt(struct vmkit_vcpu *vcpu);

#endif
