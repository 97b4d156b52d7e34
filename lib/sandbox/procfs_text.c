/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/procfs_text.h"

#include "sandbox/clock.h"
#include "sandbox/files.h"
#include "sandbox/guest_abi.h"
#include "sandbox/node.h"
#include "sandbox/process.h"
#include "sandbox/signals.h"
#include "sandbox/syscall.h"
#include "util/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

static uint64_t
used_pages(const struct vmk_files *files)
{
    return files->account->used / 4096;
}

void
vmk_proc_cmdline(struct vmk_files *files, struct vmk_text *text)
{
    vmk_text_append_bytes(text, files->arguments->data, files->arguments->size);
}

void
vmk_proc_environ(struct vmk_files *files, struct vmk_text *text)
{
    vmk_text_append_bytes(text, files->environment->data, files->environment->size);
}

void
vmk_proc_comm(struct vmk_files *files, struct vmk_text *text)
{
    vmk_text_printf(text, "%.15s\n", files->process->name);
}

void
vmk_proc_maps(struct vmk_files *files, struct vmk_text *text)
{
    if (files->format_maps != NULL)
        files->format_maps(files->process, text);
}

static void
append_limit(struct vmk_files *files, struct vmk_text *text, const char *name, uint32_t resource,
             const char *unit)
{
    uint64_t limits[2];
    char values[2][24];
    vmk_task_get_rlimit(files->process, resource, &limits[0], &limits[1]);
    for (int i = 0; i < 2; i++) {
        if (limits[i] == UINT64_MAX)
            strcpy(values[i], "unlimited");
        else
            snprintf(values[i], sizeof values[i], "%" PRIu64, limits[i]);
    }
    vmk_text_printf(text, "%-26s%-21s%-21s%-10s\n", name, values[0], values[1], unit);
}

void
vmk_proc_limits(struct vmk_files *files, struct vmk_text *text)
{
    vmk_text_printf(text, "%-26s%-21s%-21s%-10s\n", "Limit", "Soft Limit", "Hard Limit", "Units");
    append_limit(files, text, "Max cpu time", RLIMIT_CPU, "seconds");
    append_limit(files, text, "Max processes", RLIMIT_NPROC, "processes");
    append_limit(files, text, "Max open files", RLIMIT_NOFILE, "files");
    append_limit(files, text, "Max address space", RLIMIT_AS, "bytes");
}

/* The four bytes that would end a field, as proc(5) writes them. */
static void
append_escaped(struct vmk_text *text, const char *path)
{
    for (; *path != '\0'; path++) {
        if (strchr(" \t\n\\", *path) != NULL)
            vmk_text_printf(text, "\\%03o", (unsigned)*path);
        else
            vmk_text_append_bytes(text, path, 1);
    }
}

/* Parents before what is mounted in them. */
void
vmk_proc_mounts(struct vmk_files *files, struct vmk_text *text)
{
    const struct vmk_mount_point *point = files->mounts.root;
    while (point != NULL) {
        struct vmk_node *root = point->mount.root;
        struct statfs status;
        if (root != NULL && root->ops->statfs(root, &status) == 0) {
            const char *type = status.f_type == 0x9fa0       ? "proc"
                               : status.f_type == 0x01021994 ? "tmpfs"
                                                             : "folder";
            bool read_only = vmk_node_read_only(root) || root->ops->make_folder == NULL;
            vmk_text_printf(text, "%s ", type);
            append_escaped(text, root->path);
            vmk_text_printf(text, " %s %s 0 0\n", type, read_only ? "ro" : "rw");
        }
        point = vmk_mount_point_next(point);
    }
}

void
vmk_proc_pid_stat(struct vmk_files *files, struct vmk_text *text)
{
    const struct vmk_process *process = files->process;
    uint64_t ticks = vmk_process_cpu_ns(process) / (VMK_NS_PER_SECOND / 100);
    /* Fields 1 to 24 of proc(5); nothing is known of the rest. */
    vmk_text_printf(text,
                    "%u (%.15s) R 0 %u %u 0 -1 0 0 0 0 0 %" PRIu64 " 0 0 0 20 0 1 0 0 "
                    "%" PRIu64 " %" PRIu64,
                    process->pid, process->name, process->pid, process->pid, ticks,
                    files->account->used, used_pages(files));
    for (int field = 25; field <= 52; field++)
        vmk_text_append(text, " 0");
    vmk_text_append(text, "\n");
}

void
vmk_proc_statm(struct vmk_files *files, struct vmk_text *text)
{
    uint64_t pages = used_pages(files);
    vmk_text_printf(text, "%" PRIu64 " %" PRIu64 " 0 0 0 %" PRIu64 " 0\n", pages, pages, pages);
}

void
vmk_proc_status(struct vmk_files *files, struct vmk_text *text)
{
    const struct vmk_process *process = files->process;
    uint64_t kib = files->account->used / 1024;
    vmk_text_printf(text, "Name:\t%.15s\nUmask:\t%04o\nState:\tR (running)\n", process->name,
                    process->umask);
    vmk_text_printf(text, "Tgid:\t%u\nNgid:\t0\nPid:\t%u\nPPid:\t0\nTracerPid:\t0\n", process->pid,
                    process->pid);
    vmk_text_printf(text, "Uid:\t%u\t%u\t%u\t%u\n", process->uid, process->uid, process->uid,
                    process->uid);
    vmk_text_printf(text, "Gid:\t%u\t%u\t%u\t%u\n", process->gid, process->gid, process->gid,
                    process->gid);
    vmk_text_printf(text, "FDSize:\t%u\nGroups:\t \n", files->table.limit);
    vmk_text_printf(text,
                    "VmPeak:\t%8" PRIu64 " kB\nVmSize:\t%8" PRIu64 " kB\nVmHWM:\t%8" PRIu64
                    " kB\nVmRSS:\t%8" PRIu64 " kB\nThreads:\t1\n",
                    files->account->peak / 1024, kib, files->account->peak / 1024, kib);
    vmk_text_printf(text, "SigBlk:\t%016" PRIx64 "\nNoNewPrivs:\t1\n",
                    vmk_signals_get_blocked(process->signals));
    vmk_text_append(text, "Cpus_allowed:\t1\nCpus_allowed_list:\t0\n");
}

void
vmk_proc_cpuinfo(struct vmk_files *files, struct vmk_text *text)
{
    vmk_text_append(text, "processor\t: 0\n\n");
}

void
vmk_proc_filesystems(struct vmk_files *files, struct vmk_text *text)
{
    vmk_text_append(text, "nodev\tproc\nnodev\ttmpfs\nnodev\tfolder\n");
}

void
vmk_proc_loadavg(struct vmk_files *files, struct vmk_text *text)
{
    vmk_text_printf(text, "0.00 0.00 0.00 1/1 %u\n", files->process->pid);
}

void
vmk_proc_meminfo(struct vmk_files *files, struct vmk_text *text)
{
    uint64_t total = files->account->limit / 1024;
    uint64_t left = (files->account->limit - files->account->used) / 1024;
    vmk_text_printf(text,
                    "MemTotal:       %8" PRIu64 " kB\nMemFree:        %8" PRIu64
                    " kB\nMemAvailable:   %8" PRIu64 " kB\n",
                    total, left, left);
    vmk_text_append(text, "Buffers:               0 kB\nCached:                0 kB\n"
                          "SwapTotal:             0 kB\nSwapFree:              0 kB\n"
                          "Shmem:                 0 kB\nSReclaimable:          0 kB\n");
}

void
vmk_proc_stat(struct vmk_files *files, struct vmk_text *text)
{
    uint64_t ticks = vmk_process_cpu_ns(files->process) / (VMK_NS_PER_SECOND / 100);
    vmk_text_printf(text,
                    "cpu  %" PRIu64 " 0 0 0 0 0 0 0 0 0\ncpu0 %" PRIu64 " 0 0 0 0 0 0 0 0 0\n",
                    ticks, ticks);
    vmk_text_append(text, "intr 0\nctxt 0\nbtime 0\nprocesses 1\nprocs_running 1\n"
                          "procs_blocked 0\n");
}

void
vmk_proc_uptime(struct vmk_files *files, struct vmk_text *text)
{
    /* CLOCK_MONOTONIC, which the guest reads anyway. */
    uint64_t now = 0;
    vmk_clock_read(files->process, CLOCK_MONOTONIC, &now);
    uint64_t hundredths = now / (VMK_NS_PER_SECOND / 100);
    vmk_text_printf(text, "%" PRIu64 ".%02u 0.00\n", hundredths / 100,
                    (unsigned)(hundredths % 100));
}

void
vmk_proc_version(struct vmk_files *files, struct vmk_text *text)
{
    vmk_text_append(text, VMK_OS_TYPE " version " VMK_OS_RELEASE " (libvmkit) #1\n");
}

void
vmk_proc_pipe_max_size(struct vmk_files *files, struct vmk_text *text)
{
    vmk_text_append(text, "1048576\n");
}

void
vmk_proc_hostname(struct vmk_files *files, struct vmk_text *text)
{
    vmk_text_append(text, VMK_HOST_NAME "\n");
}

void
vmk_proc_ngroups_max(struct vmk_files *files, struct vmk_text *text)
{
    vmk_text_append(text, "65536\n");
}

void
vmk_proc_osrelease(struct vmk_files *files, struct vmk_text *text)
{
    vmk_text_append(text, VMK_OS_RELEASE "\n");
}

void
vmk_proc_ostype(struct vmk_files *files, struct vmk_text *text)
{
    vmk_text_append(text, VMK_OS_TYPE "\n");
}

void
vmk_proc_pid_max(struct vmk_files *files, struct vmk_text *text)
{
    vmk_text_append(text, "32768\n");
}

void
vmk_proc_max_map_count(struct vmk_files *files, struct vmk_text *text)
{
    vmk_text_append(text, "65530\n");
}

void
vmk_proc_overcommit_memory(struct vmk_files *files, struct vmk_text *text)
{
    vmk_text_append(text, "0\n");
}
