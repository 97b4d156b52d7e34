/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/pool.h"

#include "sandbox/config.h"
#include "sandbox/snapshot.h"
#include "util/error.h"

#include <errno.h>
#include <stdlib.h>

/* What the sandboxes of a pool are forked from. */
struct source {
    vmkit_snapshot *snapshot;
    vmkit_sandbox_config *config;  /* NULL: the defaults */
    struct vmk_kvm_system *system; /* NULL: the host's own */
};

static int
make(void *user_data, const struct vmk_pool_place *place, void **ret_machine,
     vmkit_error **ret_error)
{
    struct source *source = user_data;
    vmkit_sandbox *sandbox;
    int r =
        vmk_snapshot_fork(source->snapshot, source->config, source->system, &sandbox, ret_error);
    if (r < 0)
        return r;
    sandbox->pool = *place;
    *ret_machine = sandbox;
    return 0;
}

static const void *
get_handle(const void *machine)
{
    return machine;
}

/* One that a failed reset has left empty stands still as well. */
static int
check_still(void *machine, vmkit_error **ret_error)
{
    vmkit_sandbox *sandbox = machine;
    pthread_mutex_lock(&sandbox->lock);
    bool running = sandbox->state == VMK_SANDBOX_RUNNING;
    pthread_mutex_unlock(&sandbox->lock);
    return running ? vmk_error_set(ret_error, EBUSY, VMKIT_ERROR_BUSY, "the sandbox is running")
                   : 0;
}

static bool
renew(void *machine)
{
    vmkit_sandbox *sandbox = machine;
    return atomic_load_explicit(&sandbox->references, memory_order_acquire) == 1 &&
           vmk_sandbox_reset(sandbox, NULL) == 0;
}

static void
release(void *machine)
{
    vmk_sandbox_unref(machine);
}

static void
free_source(void *user_data)
{
    struct source *source = user_data;
    vmk_snapshot_unref(source->snapshot);
    vmk_config_unref(source->config);
    vmk_kvm_system_unref(source->system);
    free(source);
}

static const struct vmk_pool_kind sandboxes = {
    .name = "sandbox",
    .plural = "sandboxes",
    .make = make,
    .get_handle = get_handle,
    .check_still = check_still,
    .renew = renew,
    .release = release,
    .free_source = free_source,
};

int
vmk_sandbox_pool_new(vmkit_snapshot *snapshot, const vmkit_sandbox_config *config,
                     struct vmk_kvm_system *system, uint32_t warm, uint32_t limit,
                     vmkit_pool **ret_pool, vmkit_error **ret_error)
{
    struct vmk_process_snapshot *process_snapshot;
    vmkit_sandbox_config *copy = NULL;
    int r = vmk_snapshot_get_process(snapshot, &process_snapshot, ret_error);
    if (r == 0 && config != NULL)
        r = vmk_config_copy_resources(config, &process_snapshot->config->program, &copy, ret_error);
    if (r < 0)
        return r;
    struct source *source = calloc(1, sizeof *source);
    if (source == NULL) {
        vmk_config_unref(copy);
        return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY, "no memory for a pool");
    }
    *source = (struct source){.snapshot = vmk_snapshot_ref(snapshot),
                              .config = copy,
                              .system = vmk_kvm_system_ref(system)};
    return vmk_pool_new(&sandboxes, source, warm, limit, ret_pool, ret_error);
}

int
vmk_sandbox_pool_take(vmkit_pool *pool, uint64_t timeout_ns, vmkit_sandbox **ret_sandbox,
                      vmkit_error **ret_error)
{
    void *machine = NULL;
    int r = vmk_pool_check_kind(pool, &sandboxes, ret_error);
    if (r == 0)
        r = vmk_pool_take(pool, timeout_ns, &machine, ret_error);
    if (r == 0)
        *ret_sandbox = machine;
    return r;
}

int
vmk_sandbox_pool_give_back(vmkit_pool *pool, vmkit_sandbox *sandbox, vmkit_error **ret_error)
{
    int r = vmk_pool_check_kind(pool, &sandboxes, ret_error);
    return r < 0 ? r : vmk_pool_give_back(pool, &sandbox->pool, sandbox, ret_error);
}
