/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration of a sandbox: what include/vmkit/sandbox.h promises of vmkit_sandbox_config.
 * The parts of the sandbox read the structure; only the functions here change it. What a sandbox
 * keeps of it is counted (shared.h) or copied.
 */
#ifndef VMK_SANDBOX_CONFIG_H
#define VMK_SANDBOX_CONFIG_H

#include "sandbox/program_image.h"
#include "sandbox/program_source.h"
#include "sandbox/shared.h"

#include <vmkit/sandbox.h>

#include <stdbool.h>

struct vmk_limits;

/* MAX_ARG_STRINGS of a kind: what all arguments, and all of the environment, may take. */
#define VMK_CONFIG_STRINGS_MAX ((size_t)1 << 20)
#define VMK_CONFIG_BYTES_MAX ((uint64_t)1 << 30)
#define VMK_CONFIG_MEMORY_MIN ((uint64_t)1 << 20)
#define VMK_CONFIG_MEMORY_MAX ((uint64_t)1 << 40)
#define VMK_CONFIG_OPEN_FILES_MIN 3
#define VMK_CONFIG_OPEN_FILES_MAX 4096

/* What opening something of the host may tell; all else is EIO. */
#define VMK_CONFIG_OPEN_ERRNOS                                                            \
    (VMK_ERRNO(EACCES) | VMK_ERRNO(ELOOP) | VMK_ERRNO(EMFILE) | VMK_ERRNO(ENAMETOOLONG) | \
     VMK_ERRNO(ENFILE) | VMK_ERRNO(ENOENT) | VMK_ERRNO(ENOMEM) | VMK_ERRNO(ENOTDIR))

enum vmk_stream_kind {
    VMK_STREAM_EMPTY, /* input alone: the end of file at once */
    VMK_STREAM_INPUT, /* input alone: all bytes are there */
    VMK_STREAM_FD,
    VMK_STREAM_BUFFER, /* output alone */
    VMK_STREAM_CALLBACK,
};

struct vmk_stream_config {
    enum vmk_stream_kind kind;
    struct vmk_host_fd *fd;
    struct vmk_blob *input;
    uint64_t limit;
    vmkit_input_callback read_callback;
    vmkit_output_callback write_callback;
    void *user_data;
};

/* A host folder, or a single file, at a guest path. */
struct vmk_folder_config {
    char
        *guest_path; /* absolute, without "." "..", doubled or trailing slashes; "/" for the root */
    struct vmk_host_fd *fd; /* O_PATH is enough */
    bool writable;
    bool is_directory;
};

/* Strings that lie one after the other in one allocation, behind the array of pointers to them. */
struct vmk_string_list {
    char **strings; /* ended by NULL */
    size_t count;
    size_t bytes; /* of all strings with their NULs */
};

/* Exactly one of the four is set, or none. */
struct vmk_program_config {
    char *path;
    struct vmk_host_fd *fd;
    struct vmk_blob *image;
    struct vmk_program_source *source; /* of a snapshot file */
};

static inline bool
vmk_program_is_given(const struct vmk_program_config *program)
{
    return program->path != NULL || program->fd != NULL || program->image != NULL ||
           program->source != NULL;
}

struct vmkit_sandbox_config {
    atomic_uint references;
    struct vmk_program_config program;
    struct vmk_program_cache *program_cache; /* what sandboxes of this configuration share of it */
    struct vmk_string_list *arguments;       /* NULL: the program's path or "program" */
    struct vmk_string_list *environment;     /* NULL: empty */
    char *working_directory;                 /* NULL: "/" */
    struct vmk_folder_config *folders;
    size_t folder_count;
    struct vmk_stream_config streams[3];
    uint32_t uid;
    uint32_t gid;
    uint64_t memory_limit;
    uint64_t cpu_time_limit_ns;  /* 0: none */
    uint64_t wall_time_limit_ns; /* 0: none */
    uint32_t open_files_limit;
    uint64_t output_limit; /* UINT64_MAX: none */
};

int
vmk_config_new(vmkit_sandbox_config **ret_config, vmkit_error **ret_error);

/* One of its own with the folders, the streams and the limits of `config`, or the default ones for
 * NULL, that nobody else changes. It has `program` in place of the configuration's, unless that is
 * empty. */
int
vmk_config_copy_resources(const vmkit_sandbox_config *config,
                          const struct vmk_program_config *program,
                          vmkit_sandbox_config **ret_config, vmkit_error **ret_error);

vmkit_sandbox_config *
vmk_config_ref(vmkit_sandbox_config *config);

void
vmk_config_unref(vmkit_sandbox_config *config);

void
vmk_config_get_limits(const vmkit_sandbox_config *config, struct vmk_limits *ret_limits);

/* The program's name: its path, or "program". */
const char *
vmk_config_get_program_name(const vmkit_sandbox_config *config);

int
vmk_config_set_program_path(vmkit_sandbox_config *config, const char *path,
                            vmkit_error **ret_error);

/* A duplicate of a descriptor of the embedder, or a negative errno; `what` it is for. */
int
vmk_config_duplicate(int fd, const char *what, vmkit_error **ret_error);

int
vmk_config_set_program_fd(vmkit_sandbox_config *config, int fd, vmkit_error **ret_error);

int
vmk_config_set_program_memory(vmkit_sandbox_config *config, const void *data, uint64_t size,
                              vmkit_error **ret_error);

int
vmk_config_set_arguments(vmkit_sandbox_config *config, const char *const *arguments,
                         vmkit_error **ret_error);

int
vmk_config_set_environment(vmkit_sandbox_config *config, const char *const *environment,
                           vmkit_error **ret_error);

int
vmk_config_set_working_directory(vmkit_sandbox_config *config, const char *guest_path,
                                 vmkit_error **ret_error);

int
vmk_config_set_user(vmkit_sandbox_config *config, uint32_t uid, uint32_t gid,
                    vmkit_error **ret_error);

int
vmk_config_add_folder(vmkit_sandbox_config *config, const char *host_path, const char *guest_path,
                      uint64_t flags, vmkit_error **ret_error);

int
vmk_config_add_folder_fd(vmkit_sandbox_config *config, int fd, const char *guest_path,
                         uint64_t flags, vmkit_error **ret_error);

int
vmk_config_set_stream_fd(vmkit_sandbox_config *config, uint32_t stream, int fd,
                         vmkit_error **ret_error);

int
vmk_config_set_input(vmkit_sandbox_config *config, const void *data, uint64_t size,
                     vmkit_error **ret_error);

int
vmk_config_set_input_callback(vmkit_sandbox_config *config, vmkit_input_callback callback,
                              void *user_data, vmkit_error **ret_error);

int
vmk_config_set_output_buffer(vmkit_sandbox_config *config, uint32_t stream, uint64_t limit,
                             vmkit_error **ret_error);

int
vmk_config_set_output_callback(vmkit_sandbox_config *config, uint32_t stream,
                               vmkit_output_callback callback, void *user_data,
                               vmkit_error **ret_error);

int
vmk_config_set_memory_limit(vmkit_sandbox_config *config, uint64_t bytes, vmkit_error **ret_error);

int
vmk_config_set_cpu_time_limit(vmkit_sandbox_config *config, uint64_t nanoseconds,
                              vmkit_error **ret_error);

int
vmk_config_set_wall_time_limit(vmkit_sandbox_config *config, uint64_t nanoseconds,
                               vmkit_error **ret_error);

int
vmk_config_set_open_files_limit(vmkit_sandbox_config *config, uint64_t count,
                                vmkit_error **ret_error);

int
vmk_config_set_output_limit(vmkit_sandbox_config *config, uint64_t bytes, vmkit_error **ret_error);

#endif
