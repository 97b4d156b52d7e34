/* SPDX-License-Identifier: Apache-2.0 */
/* The texts of /proc. Each appends to `text`. */
#ifndef VMK_SANDBOX_PROCFS_TEXT_H
#define VMK_SANDBOX_PROCFS_TEXT_H

struct vmk_files;
struct vmk_text;

void
vmk_proc_cmdline(struct vmk_files *files, struct vmk_text *text);

void
vmk_proc_comm(struct vmk_files *files, struct vmk_text *text);

void
vmk_proc_environ(struct vmk_files *files, struct vmk_text *text);

void
vmk_proc_limits(struct vmk_files *files, struct vmk_text *text);

void
vmk_proc_maps(struct vmk_files *files, struct vmk_text *text);

void
vmk_proc_mounts(struct vmk_files *files, struct vmk_text *text);

void
vmk_proc_pid_stat(struct vmk_files *files, struct vmk_text *text);

void
vmk_proc_statm(struct vmk_files *files, struct vmk_text *text);

void
vmk_proc_status(struct vmk_files *files, struct vmk_text *text);

void
vmk_proc_cpuinfo(struct vmk_files *files, struct vmk_text *text);

void
vmk_proc_filesystems(struct vmk_files *files, struct vmk_text *text);

void
vmk_proc_loadavg(struct vmk_files *files, struct vmk_text *text);

void
vmk_proc_meminfo(struct vmk_files *files, struct vmk_text *text);

void
vmk_proc_stat(struct vmk_files *files, struct vmk_text *text);

void
vmk_proc_pipe_max_size(struct vmk_files *files, struct vmk_text *text);

void
vmk_proc_hostname(struct vmk_files *files, struct vmk_text *text);

void
vmk_proc_ngroups_max(struct vmk_files *files, struct vmk_text *text);

void
vmk_proc_osrelease(struct vmk_files *files, struct vmk_text *text);

void
vmk_proc_ostype(struct vmk_files *files, struct vmk_text *text);

void
vmk_proc_pid_max(struct vmk_files *files, struct vmk_text *text);

void
vmk_proc_max_map_count(struct vmk_files *files, struct vmk_text *text);

void
vmk_proc_overcommit_memory(struct vmk_files *files, struct vmk_text *text);

void
vmk_proc_uptime(struct vmk_files *files, struct vmk_text *text);

void
vmk_proc_version(struct vmk_files *files, struct vmk_text *text);

#endif
