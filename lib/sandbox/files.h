/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files of the guest process: its descriptors, its tree of names, its working directory and its
 * three streams. Linux has files_struct and fs_struct.
 */
#ifndef VMK_SANDBOX_FILES_H
#define VMK_SANDBOX_FILES_H

#include "sandbox/account.h"
#include "sandbox/fdtable.h"
#include "sandbox/file.h"
#include "sandbox/mount.h"
#include "sandbox/shared.h"
#include "util/bytes.h"

#include <vmkit/sandbox.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vmk_node;
struct vmk_process;
struct vmk_text;

/* What a stream that is kept in a buffer has collected. */
struct vmk_output {
    bool kept;
    uint8_t *data;
    size_t size;
    size_t capacity;
    size_t loaded; /* of them, those that came from a snapshot */
};

struct vmk_files {
    struct vmk_process *process;
    struct vmk_memory_account *account;
    struct vmk_fdtable table;
    struct vmk_mounts mounts;
    struct vmk_node *cwd;
    struct vmk_output outputs[3]; /* by enum vmkit_stream; that of the input is not used */

    /* What runs now, for /proc/self/exe and for an execve(2) of it, and what it was given. */
    struct vmk_file *program;
    char *program_path;
    struct vmk_blob *arguments;   /* strings with their NULs, one after the other */
    struct vmk_blob *environment; /* the same */

    /* Appends the text of /proc/self/maps; NULL: it is empty. Set by who knows the mappings. */
    void (*format_maps)(struct vmk_process *process, struct vmk_text *text);

    struct vmk_mount scratch; /* the file system in memory where /tmp is a host folder */
    uint32_t next_number;     /* of inodes without a file system */
    uint32_t open_count;      /* files that a descriptor or a mapping keeps open */

    /* Of a process that came from a snapshot: what it was given, and what state.c compares with. */
    vmkit_sandbox_config *given;
    struct vmk_bytes loaded;
    struct vmk_bytes compared;
};

/* Open the streams and the program, mount the folders, enter the working directory. The process's
 * limits, uid and gid must be set; the account is charged for files in memory and must outlive the
 * files. Nothing of the configuration is needed after. 0, or a negative errno with an error. */
int
vmk_files_new(const vmkit_sandbox_config *config, struct vmk_process *process,
              struct vmk_memory_account *account, struct vmk_files **ret_files,
              vmkit_error **ret_error);

/* The same with the mounts alone: no streams, no program, no working directory. The limit of open
 * files is the process's. */
int
vmk_files_new_empty(const vmkit_sandbox_config *config, struct vmk_process *process,
                    struct vmk_memory_account *account, struct vmk_files **ret_files,
                    vmkit_error **ret_error);

/* Close all, and forget all but the mounts and what the process was given. */
void
vmk_files_empty(struct vmk_files *files);

/* Accepts NULL. Whoever keeps a reference to a file, a mapping of one for instance, releases it
 * before. */
void
vmk_files_free(struct vmk_files *files);

/* The program that the configuration names, lent: a readable file for vmk_file_pread(). */
struct vmk_file *
vmk_files_get_program(const struct vmk_files *files);

/* Open a file for execve(2) or execveat(2) (`dirfd`, AT_* `flags`), checking that it is regular and
 * executable. 0, or the errno of execve. */
int
vmk_files_open_program(struct vmk_files *files, int dirfd, const char *path, int flags,
                       struct vmk_file **ret_file);

/* execve(2) succeeded: close what is to be closed, and remember what runs. Takes the references to
 * the program and to the two lists of strings over; `path` is copied. */
void
vmk_files_exec(struct vmk_files *files, struct vmk_file *program, const char *path,
               struct vmk_blob *arguments, struct vmk_blob *environment);

/* The open file of a descriptor, lent; NULL for none, and for one that was opened with O_PATH. */
struct vmk_file *
vmk_files_get(const struct vmk_files *files, uint64_t fd);

/* What an output stream has collected in its buffer, lent until the guest goes on. -EINVAL for a
 * stream that is not kept. */
int
vmk_files_get_output(const struct vmk_files *files, uint32_t stream, const void **ret_data,
                     uint64_t *ret_size);

/* The root of the file system in memory, lent, wherever it shows. */
struct vmk_node *
vmk_files_get_scratch(const struct vmk_files *files);

/* A number for an inode that no file system numbers. */
uint32_t
vmk_files_next_number(struct vmk_files *files);

/* Give a new file a descriptor: the number, or a negative errno, and then the file is released. */
int
vmk_files_install(struct vmk_files *files, struct vmk_file *file, bool close_on_exec);

#endif
