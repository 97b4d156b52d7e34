/* SPDX-License-Identifier: Apache-2.0 */
#include "raw.h"

#include "floor.h"

#include <string.h>

void
bench_raw_new(struct bench_raw *raw, const uint8_t *code, size_t size)
{
    *raw = (struct bench_raw){0};
    bench_vmkit(vmkit_vm_new(NULL, &raw->vm, &bench_error));
    bench_vmkit(vmkit_memory_new_anonymous(FLOOR_VM_MEMORY, 0, &raw->memory, &bench_error));
    memcpy(vmkit_memory_get_pointer(raw->memory), code, size);
    bench_vmkit(vmkit_vm_add_memory(raw->vm, 0, raw->memory, 0, FLOOR_VM_MEMORY, 0, &bench_error));
    bench_vmkit(vmkit_vcpu_new(raw->vm, 0, &raw->vcpu, &bench_error));

    struct vmkit_x86_sregs sregs = {.size = sizeof sregs};
    bench_vmkit(vmkit_vcpu_get_x86_sregs(raw->vcpu, &sregs, &bench_error));
    sregs.cs.base = 0;
    sregs.cs.selector = 0;
    bench_vmkit(vmkit_vcpu_set_x86_sregs(raw->vcpu, &sregs, &bench_error));
    struct vmkit_x86_regs regs = {.size = sizeof regs, .rflags = 2};
    bench_vmkit(vmkit_vcpu_set_x86_regs(raw->vcpu, &regs, &bench_error));
}

void
bench_raw_free(struct bench_raw *raw)
{
    vmkit_vcpu_unref(raw->vcpu);
    vmkit_vm_unref(raw->vm);
    vmkit_memory_unref(raw->memory);
}
