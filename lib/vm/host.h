/* SPDX-License-Identifier: Apache-2.0 */
/* The host probe: whether KVM can be used here, and what to do when it cannot. */
#ifndef VMK_VM_HOST_H
#define VMK_VM_HOST_H

#include "arch/machine.h"
#include "kvm/system.h"

#include <vmkit/host.h>

#include <stdbool.h>
#include <stdint.h>

/* What the advice depends on besides the status. */
struct vmk_host_surroundings {
    bool in_container;
    struct vmk_arch_cpu cpu;
    bool is_no_kvm;        /* What was looked at is something else. */
    char device_group[64]; /* of /dev/kvm, when it may be opened by its group; else empty */
};

struct vmkit_host;

/* Look at `path` (NULL: /dev/kvm) by `ops` (NULL: the kernel's). Only -ENOMEM fails. */
int
vmk_host_probe(const struct vmk_kvm_ops *ops, const char *path, bool measure,
               struct vmkit_host **ret_host, vmkit_error **ret_error);

struct vmkit_host *
vmk_host_ref(struct vmkit_host *host);

void
vmk_host_unref(struct vmkit_host *host);

/* The sentence for a person; `reason` is the message of what failed, or NULL. */
void
vmk_host_advise(char *text, size_t size, enum vmkit_host_status status,
                enum vmkit_supervisor_mode mode, const struct vmk_host_surroundings *around,
                const char *path, const char *reason);

enum vmkit_host_status
vmk_host_get_status(const struct vmkit_host *host);

int
vmk_host_get_api_version(const struct vmkit_host *host);

uint64_t
vmk_host_get_capabilities(const struct vmkit_host *host);

uint32_t
vmk_host_get_max_vcpus(const struct vmkit_host *host);

uint32_t
vmk_host_get_max_slots(const struct vmkit_host *host);

const struct vmk_arch_cpu *
vmk_host_get_cpu(const struct vmkit_host *host);

enum vmkit_supervisor_mode
vmk_host_get_supervisor_mode(const struct vmkit_host *host);

uint64_t
vmk_host_get_instruction_time_ps(const struct vmkit_host *host);

const char *
vmk_host_get_advice(const struct vmkit_host *host);

const char *
vmk_host_get_reason(const struct vmkit_host *host);

/* NULL for another number. */
const char *
vmk_host_status_get_name(uint32_t status);

const char *
vmk_host_supervisor_mode_get_name(uint32_t mode);

#endif
