/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The open KVM device: what it can do, and the door to making VMs (KVM API 4.1 to 4.5).
 *
 * What a host's KVM says of itself (the version, the capabilities, the size of a vCPU's shared
 * pages and the CPUID leaves that it supports) costs hundreds of microseconds to ask and does not
 * change while the process lives. For the kernel's own device it is asked once per process and
 * published as a constant; a system that was opened with other operations or another path asks for
 * itself.
 */
#ifndef VMK_KVM_SYSTEM_H
#define VMK_KVM_SYSTEM_H

#include "kvm/ops.h"
#include "util/error.h"

#include <vmkit/host.h>

#include <stdbool.h>
#include <stdint.h>

#define VMK_KVM_DEFAULT_PATH "/dev/kvm"

/* The only version that there has ever been since Linux 2.6.22 (KVM API 4.1). */
#define VMK_KVM_API_VERSION 12

struct vmk_kvm_system;

/* Open `path` (NULL: /dev/kvm) by `ops` (NULL: the kernel's; copied). -ENODEV without such a
 * device, -EACCES without the right to open it, -ENOTSUP for another API version or a capability
 * that the library cannot do without. */
int
vmk_kvm_system_open(const struct vmk_kvm_ops *ops, const char *path,
                    struct vmk_kvm_system **ret_system, vmkit_error **ret_error);

/* The same of a descriptor of such a device, which is duplicated. -EINVAL for one that is not open,
 * -ENODEV for one of something else. */
int
vmk_kvm_system_open_fd(int fd, struct vmk_kvm_system **ret_system, vmkit_error **ret_error);

/* The version that a device answers, or a negative errno: for a device that cannot be opened above.
 */
int
vmk_kvm_probe_api_version(const struct vmk_kvm_ops *ops, const char *path);

struct vmk_kvm_system *
vmk_kvm_system_ref(struct vmk_kvm_system *system);

void
vmk_kvm_system_unref(struct vmk_kvm_system *system);

int
vmk_kvm_system_get_api_version(const struct vmk_kvm_system *system);

bool
vmk_kvm_system_has(const struct vmk_kvm_system *system, enum vmkit_capability capability);

/* Bit n: enum vmkit_capability n. */
uint64_t
vmk_kvm_system_get_capabilities(const struct vmk_kvm_system *system);

uint32_t
vmk_kvm_system_get_max_vcpus(const struct vmk_kvm_system *system);

uint32_t
vmk_kvm_system_get_max_slots(const struct vmk_kvm_system *system);

/* The size of the extended state of a vCPU, in bytes; 0 where the architecture has none. */
size_t
vmk_kvm_system_get_xsave_size(const struct vmk_kvm_system *system);

/* The name of a capability, such as "sync-regs", or NULL for another number. */
const char *
vmk_kvm_capability_get_name(uint32_t capability);

#endif
