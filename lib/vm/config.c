/* SPDX-License-Identifier: Apache-2.0 */
/* How a raw VM is made. */
#include "arch/machine.h"
#include "util/descriptor.h"
#include "vm/private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PIN_LIMIT 4096

struct vmkit_vm_config {
    atomic_uint references;
    char *path; /* NULL: the host's own device */
    int fd;     /* -1 without one */
    enum vmk_vm_irqchip irqchip;
    uint32_t pins;
};

int
vmk_vm_config_new(struct vmkit_vm_config **ret_config, vmkit_error **ret_error)
{
    struct vmkit_vm_config *config = calloc(1, sizeof *config);
    if (config == NULL)
        return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                             "no memory for a configuration");
    atomic_init(&config->references, 1);
    config->fd = -1;
    *ret_config = config;
    return 0;
}

struct vmkit_vm_config *
vmk_vm_config_ref(struct vmkit_vm_config *config)
{
    if (config != NULL)
        atomic_fetch_add_explicit(&config->references, 1, memory_order_relaxed);
    return config;
}

static void
forget_device(struct vmkit_vm_config *config)
{
    free(config->path);
    config->path = NULL;
    if (config->fd >= 0)
        close(config->fd);
    config->fd = -1;
}

void
vmk_vm_config_unref(struct vmkit_vm_config *config)
{
    if (config == NULL ||
        atomic_fetch_sub_explicit(&config->references, 1, memory_order_acq_rel) != 1)
        return;
    forget_device(config);
    free(config);
}

int
vmk_vm_config_set_kvm_path(struct vmkit_vm_config *config, const char *path,
                           vmkit_error **ret_error)
{
    char *copy = path == NULL ? NULL : strdup(path);
    if (path != NULL && copy == NULL)
        return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY, "no memory for a path");
    forget_device(config);
    config->path = copy;
    return 0;
}

int
vmk_vm_config_set_kvm_fd(struct vmkit_vm_config *config, int fd, vmkit_error **ret_error)
{
    int own = fcntl(fd, F_DUPFD_CLOEXEC, VMK_DESCRIPTOR_FIRST);
    if (own < 0 && errno != EMFILE)
        return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT,
                             "descriptor %d is not open", fd);
    if (own < 0)
        return vmk_error_set_known(ret_error, errno, VMK_ERRNO(EMFILE), VMKIT_ERROR_LIMIT,
                                   "duplicating descriptor %d", fd);
    forget_device(config);
    config->fd = own;
    return 0;
}

int
vmk_vm_config_set_irqchip(struct vmkit_vm_config *config, uint32_t controller, uint32_t pins,
                          vmkit_error **ret_error)
{
    static const enum vmk_vm_irqchip kinds[] = {
        [VMKIT_INTERRUPT_CONTROLLER_NONE] = VMK_VM_IRQCHIP_NONE,
        [VMKIT_INTERRUPT_CONTROLLER_SPLIT] = VMK_VM_IRQCHIP_SPLIT,
        [VMKIT_INTERRUPT_CONTROLLER_KERNEL] = VMK_VM_IRQCHIP_KERNEL,
    };
    if (controller >= sizeof kinds / sizeof kinds[0])
        return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT,
                             "interrupt controller %u is not known", controller);
    if (pins != 0 && controller != VMKIT_INTERRUPT_CONTROLLER_SPLIT)
        return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT,
                             "%u pins, but the outer interrupt controller is not the caller's",
                             pins);
    if (pins > PIN_LIMIT)
        return vmk_error_set(ret_error, ERANGE, VMKIT_ERROR_LIMIT,
                             "%u pins are more than the %d that an interrupt controller may have",
                             pins, PIN_LIMIT);
    config->irqchip = kinds[controller];
    config->pins = pins;
    return 0;
}

int
vmk_vm_config_open(const struct vmkit_vm_config *config, struct vmk_kvm_system **ret_system,
                   vmkit_error **ret_error)
{
    if (config != NULL && config->fd >= 0)
        return vmk_kvm_system_open_fd(config->fd, ret_system, ret_error);
    return vmk_kvm_system_open(NULL, config == NULL ? NULL : config->path, ret_system, ret_error);
}

int
vmk_vm_new_configured(const struct vmkit_vm_config *config, struct vmkit_vm **ret_vm,
                      vmkit_error **ret_error)
{
    struct vmk_vm_options options = {.real_mode = true};
    int result = vmk_arch_check(ret_error);
    if (result == 0)
        result = vmk_vm_config_open(config, &options.system, ret_error);
    if (result < 0)
        return result;
    if (config != NULL) {
        options.irqchip = config->irqchip;
        options.split_pins = config->pins;
    }
    result = vmk_vm_new(&options, ret_vm, ret_error);
    vmk_kvm_system_unref(options.system);
    return result;
}
