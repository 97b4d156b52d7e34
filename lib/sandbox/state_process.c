/* SPDX-License-Identifier: Apache-2.0 */
/* The process itself in its saved form: its limits, its identity, what it used, struct vmk_task. */
#include "sandbox/config.h"
#include "sandbox/process.h"
#include "sandbox/state_codec.h"

#include <sched.h>

int
vmk_state_save_limits(struct vmk_state_writer *writer)
{
    const struct vmk_limits *limits = &writer->process->limits;
    vmk_bytes_put_u64(writer->bytes, limits->memory_bytes);
    vmk_bytes_put_u64(writer->bytes, limits->cpu_time_ns);
    vmk_bytes_put_u64(writer->bytes, limits->wall_time_ns);
    vmk_bytes_put_u32(writer->bytes, limits->open_files);
    vmk_bytes_put_u64(writer->bytes, limits->output_bytes);
    return 0;
}

int
vmk_state_read_limits(struct vmk_state_reader *reader, struct vmk_limits *ret_limits)
{
    struct vmk_byte_cursor *in = &reader->in;
    ret_limits->memory_bytes = vmk_cursor_get_u64(in);
    ret_limits->cpu_time_ns = vmk_cursor_get_u64(in);
    ret_limits->wall_time_ns = vmk_cursor_get_u64(in);
    ret_limits->open_files = vmk_cursor_get_u32(in);
    ret_limits->output_bytes = vmk_cursor_get_u64(in);
    if (ret_limits->memory_bytes < VMK_CONFIG_MEMORY_MIN ||
        ret_limits->memory_bytes > VMK_CONFIG_MEMORY_MAX || ret_limits->memory_bytes % 4096 != 0)
        return vmk_state_bad(reader, "a memory limit of %llu bytes",
                             (unsigned long long)ret_limits->memory_bytes);
    if (ret_limits->open_files < VMK_CONFIG_OPEN_FILES_MIN ||
        ret_limits->open_files > VMK_CONFIG_OPEN_FILES_MAX)
        return vmk_state_bad(reader, "a limit of %u open files", ret_limits->open_files);
    if (ret_limits->output_bytes == 0)
        return vmk_state_bad(reader, "an output limit of no bytes");
    return 0;
}

/* Those in force are the caller's: the section is only checked. */
int
vmk_state_load_limits(struct vmk_state_reader *reader)
{
    struct vmk_limits limits;
    return vmk_state_read_limits(reader, &limits);
}

static void
save_task(struct vmk_bytes *bytes, const struct vmk_task *task)
{
    vmk_bytes_put_u32(bytes, (uint32_t)task->nice);
    vmk_bytes_put_u32(bytes, (uint32_t)task->scheduler);
    vmk_bytes_put_u32(bytes, task->personality);
    vmk_bytes_put_u32(bytes, (uint32_t)task->parent_death_signal);
    vmk_bytes_put_u8(bytes, task->not_dumpable);
    vmk_bytes_put_u8(bytes, task->keep_capabilities);
    vmk_bytes_put_u8(bytes, task->no_new_privileges);
    vmk_bytes_put_u64(bytes, task->timer_slack_ns);
    vmk_bytes_put_u64(bytes, task->robust_list);
    vmk_bytes_put_u64(bytes, task->robust_list_size);
    vmk_bytes_put_u64(bytes, task->clear_child_tid);
    vmk_bytes_put_u64(bytes, task->cpu_limit_earliest_ns);
    for (int i = 0; i < VMK_RLIMIT_COUNT; i++) {
        vmk_bytes_put_u8(bytes, task->rlimits[i].set);
        if (!task->rlimits[i].set)
            continue;
        vmk_bytes_put_u64(bytes, task->rlimits[i].current);
        vmk_bytes_put_u64(bytes, task->rlimits[i].maximum);
    }
}

static int
load_rlimits(struct vmk_state_reader *reader, struct vmk_task *task)
{
    for (int i = 0; i < VMK_RLIMIT_COUNT; i++) {
        struct vmk_rlimit_override *own = &task->rlimits[i];
        *own = (struct vmk_rlimit_override){0};
        int r = vmk_state_get_bool(reader, &own->set);
        if (r < 0)
            return r;
        if (!own->set)
            continue;
        own->current = vmk_cursor_get_u64(&reader->in);
        own->maximum = vmk_cursor_get_u64(&reader->in);
        if (own->current > own->maximum)
            return vmk_state_bad(reader, "resource limit %d is above its maximum", i);
    }
    return 0;
}

static int
load_task(struct vmk_state_reader *reader, struct vmk_task *task)
{
    struct vmk_byte_cursor *in = &reader->in;
    task->nice = (int32_t)vmk_cursor_get_u32(in);
    task->scheduler = (int32_t)vmk_cursor_get_u32(in);
    task->personality = vmk_cursor_get_u32(in);
    task->parent_death_signal = (int32_t)vmk_cursor_get_u32(in);
    int r = vmk_state_get_bool(reader, &task->not_dumpable);
    if (r == 0)
        r = vmk_state_get_bool(reader, &task->keep_capabilities);
    if (r == 0)
        r = vmk_state_get_bool(reader, &task->no_new_privileges);
    if (r < 0)
        return r;
    task->timer_slack_ns = vmk_cursor_get_u64(in);
    task->robust_list = vmk_cursor_get_u64(in);
    task->robust_list_size = vmk_cursor_get_u64(in);
    task->clear_child_tid = vmk_cursor_get_u64(in);
    task->cpu_limit_earliest_ns = vmk_cursor_get_u64(in);
    if (task->nice < -20 || task->nice > 19)
        return vmk_state_bad(reader, "a nice value of %d", task->nice);
    if (task->scheduler != SCHED_OTHER && task->scheduler != SCHED_BATCH &&
        task->scheduler != SCHED_IDLE)
        return vmk_state_bad(reader, "scheduling policy %d", task->scheduler);
    if (task->parent_death_signal < 0 || task->parent_death_signal > 64)
        return vmk_state_bad(reader, "signal %d", task->parent_death_signal);
    return load_rlimits(reader, task);
}

int
vmk_state_save_process(struct vmk_state_writer *writer)
{
    const struct vmk_process *process = writer->process;
    vmk_bytes_put_u32(writer->bytes, process->pid);
    vmk_bytes_put_u32(writer->bytes, process->uid);
    vmk_bytes_put_u32(writer->bytes, process->gid);
    vmk_bytes_put_u32(writer->bytes, process->umask);
    vmk_bytes_put(writer->bytes, process->name, sizeof process->name);
    vmk_bytes_put_u64(writer->bytes, vmk_process_cpu_ns(process));
    vmk_bytes_put_u64(writer->bytes, process->output_bytes);
    vmk_bytes_put_u64(writer->bytes, process->random_va);
    save_task(writer->bytes, &process->task);
    if (process->wait_left_ns != 0)
        vmk_bytes_put_u64(writer->bytes, process->wait_left_ns);
    return 0;
}

static void
clear_statistics(struct vmk_process *process)
{
    if (process->syscalls != 0)
        memset(process->syscall_counts, 0, sizeof process->syscall_counts);
    process->exits = 0;
    process->syscalls = 0;
    process->unknown_syscalls = 0;
    process->wall_time_ns = 0;
}

int
vmk_state_load_process(struct vmk_state_reader *reader)
{
    struct vmk_process *process = reader->process;
    process->pid = vmk_cursor_get_u32(&reader->in);
    process->uid = vmk_cursor_get_u32(&reader->in);
    process->gid = vmk_cursor_get_u32(&reader->in);
    process->umask = vmk_cursor_get_u32(&reader->in);
    const uint8_t *name = vmk_cursor_get(&reader->in, sizeof process->name);
    process->cpu_before_ns = vmk_cursor_get_u64(&reader->in);
    process->output_bytes = vmk_cursor_get_u64(&reader->in);
    process->random_va = vmk_cursor_get_u64(&reader->in);
    process->ending = (struct vmk_ending){0};
    process->wall_deadline_ns = process->cpu_deadline_ns = UINT64_MAX;
    clear_statistics(process);
    if (name == NULL || name[sizeof process->name - 1] != '\0')
        return vmk_state_bad(reader, "the name of the process has no end");
    memcpy(process->name, name, sizeof process->name);
    /* More would make the end of the next run wrap around, and its limit with it. */
    if (process->cpu_before_ns > INT64_MAX)
        return vmk_state_bad(reader, "%llu ns of CPU time",
                             (unsigned long long)process->cpu_before_ns);
    if (process->pid == 0 || process->pid > INT32_MAX)
        return vmk_state_bad(reader, "process number %u", process->pid);
    if (process->uid == UINT32_MAX || process->gid == UINT32_MAX)
        return vmk_state_bad(reader, "a user or group number of %u", UINT32_MAX);
    if (process->umask > 0777)
        return vmk_state_bad(reader, "a file mode mask of 0%o", process->umask);
    int r = load_task(reader, &process->task);
    /* It is there when something is left of a wait. */
    process->wait_left_ns = r == 0 && reader->in.left != 0 ? vmk_cursor_get_u64(&reader->in) : 0;
    return r;
}
