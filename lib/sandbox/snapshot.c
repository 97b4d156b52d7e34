/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/snapshot.h"

#include "arch/usermode.h"
#include "sandbox/clock.h"
#include "sandbox/config.h"
#include "sandbox/files.h"
#include "sandbox/program.h"
#include "sandbox/shared.h"
#include "sandbox/signals.h"
#include "sandbox/snapshot_archive.h"
#include "sandbox/state.h"
#include "util/error.h"

#include <errno.h>
#include <stdlib.h>

static bool
has_timers(const struct vmk_process *process)
{
    return vmk_signals_next_real_ns(process->signals) != UINT64_MAX ||
           vmk_signals_next_cpu_ns(process->signals) != UINT64_MAX;
}

static int
remember_program(struct vmk_process_snapshot *snapshot, const struct vmk_process *process,
                 vmkit_error **ret_error)
{
    struct vmk_program_config program;
    vmk_program_describe(vmk_files_get_program(process->files), &program);
    int r = vmk_config_copy_resources(NULL, &program, &snapshot->config, ret_error);
    vmk_host_fd_unref(program.fd);
    vmk_blob_unref(program.image);
    vmk_program_source_unref(program.source);
    return r;
}

/* The process first: what it maps of files becomes memory as it is saved. */
static int
take(struct vmk_process_snapshot *snapshot, vmkit_sandbox *sandbox, vmkit_error **ret_error)
{
    struct vmk_process *process = &sandbox->process;
    const struct vmk_frames_log log = vmk_sandbox_get_log(sandbox);
    snapshot->limits = process->limits;
    snapshot->pause = process->pause;
    snapshot->instruction_pointer = vmk_usermode_get_pc(process->usermode);
    snapshot->has_timers = has_timers(process);
    snapshot->has_clocks = true;
    vmk_clock_take(process, snapshot->clocks);
    int r = remember_program(snapshot, process, ret_error);
    if (r == 0)
        r = vmk_state_save(process, &snapshot->process, ret_error);
    if (r == 0)
        r = vmk_usermode_save(process->usermode, &snapshot->usermode, ret_error);
    if (r == 0)
        r = vmk_frames_image_new(sandbox->frames, &sandbox->space.paging, &log, &snapshot->image,
                                 ret_error);
    return r;
}

/* Half of a call or a request is the embedder's. */
static int
check_suspended(const vmkit_sandbox *sandbox, vmkit_error **ret_error)
{
    if (sandbox->suspended.what == VMK_SUSPENDED_NONE)
        return 0;
    return vmk_error_set(ret_error, ENOTSUP, VMKIT_ERROR_WRONG_STATE,
                         "the sandbox is paused in a %s, of which there is no snapshot",
                         sandbox->suspended.what == VMK_SUSPENDED_CALL ? "call" : "request");
}

int
vmk_sandbox_snapshot(vmkit_sandbox *sandbox, vmkit_snapshot **ret_snapshot, vmkit_error **ret_error)
{
    struct vmk_process_snapshot *snapshot = calloc(1, sizeof *snapshot);
    if (snapshot == NULL)
        return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                             "no memory for a snapshot");
    vmk_snapshot_init(&snapshot->base, &vmk_snapshot_of_sandbox);
    int r = vmk_sandbox_begin(sandbox, &snapshot->state, ret_error);
    if (r == 0) {
        r = check_suspended(sandbox, ret_error);
        if (r == 0)
            r = take(snapshot, sandbox, ret_error);
        vmk_sandbox_finish(sandbox, snapshot->state);
    }
    if (r < 0)
        vmk_snapshot_unref(&snapshot->base);
    else
        *ret_snapshot = &snapshot->base;
    return r;
}

bool
vmk_snapshot_holds(const struct vmk_process_snapshot *snapshot, uint64_t gpa)
{
    return snapshot != NULL && gpa < vmk_frames_image_get_size(snapshot->image);
}

static void
snapshot_free(struct vmkit_snapshot *base)
{
    struct vmk_process_snapshot *snapshot = (struct vmk_process_snapshot *)base;
    vmk_frames_image_free(snapshot->image);
    vmk_usermode_state_free(snapshot->usermode);
    vmk_bytes_clear(&snapshot->process);
    vmk_config_unref(snapshot->config);
    free(snapshot);
}

static void
get_info(const struct vmkit_snapshot *base, struct vmkit_snapshot_info *info)
{
    const struct vmk_process_snapshot *snapshot = (const struct vmk_process_snapshot *)base;
    info->kind = VMKIT_SNAPSHOT_OF_SANDBOX;
    info->memory_bytes = vmk_frames_image_get_used(snapshot->image);
    info->data_bytes = vmk_frames_image_get_data(snapshot->image);
    info->process_bytes = snapshot->process.size;
    info->memory_limit_bytes = snapshot->limits.memory_bytes;
    info->instruction_pointer = snapshot->instruction_pointer;
}

const struct vmk_snapshot_kind vmk_snapshot_of_sandbox = {
    .name = "a sandbox",
    .free = snapshot_free,
    .get_info = get_info,
    .sections = vmk_process_sections,
    .section_count = VMK_PROCESS_SECTIONS,
    .get_memory_size = vmk_process_get_memory_size,
    .lies_in = vmk_process_lies_in,
    .save = vmk_process_save,
    .open = vmk_process_open,
};

int
vmk_snapshot_get_process(struct vmkit_snapshot *snapshot,
                         struct vmk_process_snapshot **ret_process_snapshot,
                         vmkit_error **ret_error)
{
    int r = vmk_snapshot_check_kind(snapshot, &vmk_snapshot_of_sandbox, ret_error);
    if (r == 0)
        *ret_process_snapshot = (struct vmk_process_snapshot *)snapshot;
    return r;
}
