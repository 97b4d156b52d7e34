/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /proc: what ordinary programs read there, of this one process and of a machine that has the
 * guest's limits. Nothing is read from the host's. proc(5) has the formats. The links of
 * /proc/self/fd lead to the guest's own files.
 */
#include "sandbox/pseudo.h"

#include "sandbox/files.h"
#include "sandbox/process.h"
#include "sandbox/procfs_text.h"
#include "util/text.h"

#include <errno.h>
#include <linux/magic.h>
#include <string.h>

static int
next_pid(struct vmk_files *files, uint32_t from)
{
    return from <= files->process->pid ? (int)files->process->pid : -1;
}

static int
next_fd(struct vmk_files *files, uint32_t from)
{
    return vmk_fdtable_next(&files->table, from);
}

static void
append_path(struct vmk_files *files, struct vmk_node *node, struct vmk_text *text)
{
    char path[VMK_PATH_MAX];
    int result = node->type == S_IFDIR ? vmk_node_find_path(files, node, path) : -ENOENT;
    vmk_text_append(text, result < 0 ? node->path : path);
    if (result > 0)
        vmk_text_append(text, " (deleted)");
}

static void
fd_text(struct vmk_files *files, uint32_t number, struct vmk_text *text)
{
    const struct vmk_file *file = vmk_fdtable_get(&files->table, number);
    if (file == NULL)
        return;
    if (file->node != NULL)
        append_path(files, file->node, text);
    else if (file->ops->kind != NULL && strcmp(file->ops->kind, "null") == 0)
        vmk_text_append(text, "/dev/null");
    else
        vmk_text_printf(text, "%s:[%u]", file->ops->kind == NULL ? "anon_inode" : file->ops->kind,
                        file->number);
}

/* Opening the link of a file with a place opens that place anew, under the same policy. */
static int
fd_follow(struct vmk_files *files, uint32_t number, struct vmk_node **ret_node,
          struct vmk_file **ret_file)
{
    struct vmk_file *file = vmk_fdtable_get(&files->table, number);
    if (file == NULL)
        return -ENOENT;
    if (file->node != NULL)
        *ret_node = vmk_node_ref(file->node);
    else
        *ret_file = vmk_file_ref(file);
    return 0;
}

static void
cwd_text(struct vmk_files *files, struct vmk_text *text)
{
    append_path(files, files->cwd, text);
}

static int
cwd_follow(struct vmk_files *files, uint32_t number, struct vmk_node **ret_node,
           struct vmk_file **ret_file)
{
    *ret_node = vmk_node_ref(files->cwd);
    return 0;
}

static void
exe_text(struct vmk_files *files, struct vmk_text *text)
{
    vmk_text_append(text, files->program_path);
}

static int
exe_follow(struct vmk_files *files, uint32_t number, struct vmk_node **ret_node,
           struct vmk_file **ret_file)
{
    if (files->program->node != NULL)
        *ret_node = vmk_node_ref(files->program->node);
    else
        *ret_file = vmk_file_ref(files->program);
    return 0;
}

static void
self_text(struct vmk_files *files, struct vmk_text *text)
{
    vmk_text_printf(text, "%u", files->process->pid);
}

static const struct vmk_pseudo_entry fd_entry = {"", S_IFLNK | 0777, .follow = fd_follow,
                                                 .number_text = fd_text};

static int
root_follow(struct vmk_files *files, uint32_t number, struct vmk_node **ret_node,
            struct vmk_file **ret_file)
{
    *ret_node = vmk_node_ref(vmk_mounts_get_root(&files->mounts));
    return 0;
}

#define FOLDER(path)         \
    {                        \
        path, S_IFDIR | 0555 \
    }
#define TEXT(path, function)                   \
    {                                          \
        path, S_IFREG | 0444, .text = function \
    }

/* The folder of the process, whose name is its number; what is below starts with "PID". */
static const struct vmk_pseudo_entry pid_entry = FOLDER("PID");

static const struct vmk_pseudo_entry entries[] = {
    {"", S_IFDIR | 0555, .next_number = next_pid, .numbers = &pid_entry},
    {"self", S_IFLNK | 0777, .text = self_text},
    {"mounts", S_IFLNK | 0777, .link = "self/mounts"},
    TEXT("PID/cmdline", vmk_proc_cmdline),
    TEXT("PID/comm", vmk_proc_comm),
    {"PID/cwd", S_IFLNK | 0777, .text = cwd_text, .follow = cwd_follow},
    TEXT("PID/environ", vmk_proc_environ),
    {"PID/exe", S_IFLNK | 0777, .text = exe_text, .follow = exe_follow},
    {"PID/fd", S_IFDIR | 0500, .next_number = next_fd, .numbers = &fd_entry},
    TEXT("PID/limits", vmk_proc_limits),
    TEXT("PID/maps", vmk_proc_maps),
    TEXT("PID/mounts", vmk_proc_mounts),
    {"PID/root", S_IFLNK | 0777, .link = "/", .follow = root_follow},
    TEXT("PID/stat", vmk_proc_pid_stat),
    TEXT("PID/statm", vmk_proc_statm),
    TEXT("PID/status", vmk_proc_status),
    TEXT("cpuinfo", vmk_proc_cpuinfo),
    TEXT("filesystems", vmk_proc_filesystems),
    TEXT("loadavg", vmk_proc_loadavg),
    TEXT("meminfo", vmk_proc_meminfo),
    TEXT("stat", vmk_proc_stat),
    FOLDER("sys"),
    FOLDER("sys/fs"),
    TEXT("sys/fs/pipe-max-size", vmk_proc_pipe_max_size),
    FOLDER("sys/kernel"),
    TEXT("sys/kernel/hostname", vmk_proc_hostname),
    TEXT("sys/kernel/ngroups_max", vmk_proc_ngroups_max),
    TEXT("sys/kernel/osrelease", vmk_proc_osrelease),
    TEXT("sys/kernel/ostype", vmk_proc_ostype),
    TEXT("sys/kernel/pid_max", vmk_proc_pid_max),
    FOLDER("sys/vm"),
    TEXT("sys/vm/max_map_count", vmk_proc_max_map_count),
    TEXT("sys/vm/overcommit_memory", vmk_proc_overcommit_memory),
    TEXT("uptime", vmk_proc_uptime),
    TEXT("version", vmk_proc_version),
};

static const struct vmk_pseudo_table table = {
    .entries = entries,
    .count = sizeof entries / sizeof entries[0],
    .device_minor = 3,
    .magic = PROC_SUPER_MAGIC,
};

int
vmk_procfs_new(struct vmk_files *files, const char *path, struct vmk_mount *ret_mount)
{
    return vmk_pseudo_new(&table, files, path, ret_mount);
}
