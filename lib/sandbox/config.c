/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a configuration is made of besides its folders (config_folder.c) and its streams
 * (config_stream.c). A setter that fails leaves what was set before.
 */
#include "sandbox/config.h"

#include "sandbox/process.h"
#include "util/checked.h"
#include "util/descriptor.h"
#include "util/error.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static int
no_memory(vmkit_error **ret_error)
{
    return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                         "no memory for the configuration of a sandbox");
}

static int
zero_limit(vmkit_error **ret_error, const char *what)
{
    return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT, "the limit of %s is zero",
                         what);
}

int
vmk_config_new(vmkit_sandbox_config **ret_config, vmkit_error **ret_error)
{
    vmkit_sandbox_config *config = calloc(1, sizeof *config);
    if (config == NULL)
        return no_memory(ret_error);

    config->program_cache = vmk_program_cache_new();
    if (config->program_cache == NULL) {
        free(config);
        return no_memory(ret_error);
    }
    atomic_init(&config->references, 1);
    config->streams[VMKIT_STREAM_STDIN].kind = VMK_STREAM_EMPTY;
    for (int stream = VMKIT_STREAM_STDOUT; stream <= VMKIT_STREAM_STDERR; stream++) {
        config->streams[stream].kind = VMK_STREAM_BUFFER;
        config->streams[stream].limit = (uint64_t)1 << 20;
    }
    config->uid = 1000;
    config->gid = 1000;
    config->memory_limit = (uint64_t)256 << 20;
    config->open_files_limit = 64;
    config->output_limit = (uint64_t)64 << 20;
    *ret_config = config;
    return 0;
}

/* A part that is missing is one for which there was no memory: `to` is then freed by the caller. */
static bool
copy_program(vmkit_sandbox_config *to, const struct vmk_program_config *from)
{
    if (from->path != NULL && (to->program.path = strdup(from->path)) == NULL)
        return false;
    to->program.fd = from->fd == NULL ? NULL : vmk_host_fd_ref(from->fd);
    to->program.image = from->image == NULL ? NULL : vmk_blob_ref(from->image);
    to->program.source = from->source == NULL ? NULL : vmk_program_source_ref(from->source);
    return true;
}

static bool
copy_folders(vmkit_sandbox_config *to, const vmkit_sandbox_config *from)
{
    to->folders = calloc(from->folder_count + 1, sizeof *to->folders);
    if (to->folders == NULL)
        return false;
    for (size_t i = 0; i < from->folder_count; i++) {
        struct vmk_folder_config *folder = &to->folders[i];
        *folder = from->folders[i];
        folder->guest_path = strdup(from->folders[i].guest_path);
        if (folder->guest_path == NULL)
            return false;
        folder->fd = vmk_host_fd_ref(folder->fd);
        to->folder_count++;
    }
    return true;
}

static void
copy_streams(vmkit_sandbox_config *to, const vmkit_sandbox_config *from)
{
    for (size_t i = 0; i < 3; i++) {
        struct vmk_stream_config *stream = &to->streams[i];
        *stream = from->streams[i];
        stream->fd = stream->fd == NULL ? NULL : vmk_host_fd_ref(stream->fd);
        stream->input = stream->input == NULL ? NULL : vmk_blob_ref(stream->input);
    }
}

static void
copy_limits(vmkit_sandbox_config *to, const vmkit_sandbox_config *from)
{
    to->memory_limit = from->memory_limit;
    to->cpu_time_limit_ns = from->cpu_time_limit_ns;
    to->wall_time_limit_ns = from->wall_time_limit_ns;
    to->open_files_limit = from->open_files_limit;
    to->output_limit = from->output_limit;
}

int
vmk_config_copy_resources(const vmkit_sandbox_config *config,
                          const struct vmk_program_config *program,
                          vmkit_sandbox_config **ret_config, vmkit_error **ret_error)
{
    vmkit_sandbox_config *copy = NULL;
    int r = vmk_config_new(&copy, ret_error);
    if (r < 0)
        return r;
    bool given = vmk_program_is_given(program);
    bool done = true;
    if (given || config != NULL)
        done = copy_program(copy, given ? program : &config->program);
    if (config != NULL) {
        copy_limits(copy, config);
        copy_streams(copy, config);
    }
    if (config != NULL && done)
        done = copy_folders(copy, config);
    if (!done) {
        vmk_config_unref(copy);
        return no_memory(ret_error);
    }
    *ret_config = copy;
    return 0;
}

vmkit_sandbox_config *
vmk_config_ref(vmkit_sandbox_config *config)
{
    if (config != NULL)
        atomic_fetch_add_explicit(&config->references, 1, memory_order_relaxed);
    return config;
}

static void
program_clear(struct vmkit_sandbox_config *config)
{
    struct vmk_program_config *program = &config->program;
    free(program->path);
    vmk_host_fd_unref(program->fd);
    vmk_blob_unref(program->image);
    vmk_program_source_unref(program->source);
    *program = (struct vmk_program_config){0};
    vmk_program_cache_clear(config->program_cache);
}

void
vmk_config_unref(vmkit_sandbox_config *config)
{
    if (config == NULL)
        return;
    if (atomic_fetch_sub_explicit(&config->references, 1, memory_order_acq_rel) != 1)
        return;

    program_clear(config);
    vmk_program_cache_free(config->program_cache);
    free(config->arguments);
    free(config->environment);
    free(config->working_directory);
    for (size_t i = 0; i < config->folder_count; i++) {
        free(config->folders[i].guest_path);
        vmk_host_fd_unref(config->folders[i].fd);
    }
    free(config->folders);
    for (size_t i = 0; i < 3; i++) {
        vmk_host_fd_unref(config->streams[i].fd);
        vmk_blob_unref(config->streams[i].input);
    }
    free(config);
}

void
vmk_config_get_limits(const vmkit_sandbox_config *config, struct vmk_limits *ret_limits)
{
    *ret_limits = (struct vmk_limits){
        .memory_bytes = config->memory_limit,
        .cpu_time_ns = config->cpu_time_limit_ns,
        .wall_time_ns = config->wall_time_limit_ns,
        .open_files = config->open_files_limit,
        .output_bytes = config->output_limit,
    };
}

const char *
vmk_config_get_program_name(const vmkit_sandbox_config *config)
{
    return config->program.path != NULL ? config->program.path : "program";
}

int
vmk_config_set_program_path(vmkit_sandbox_config *config, const char *path, vmkit_error **ret_error)
{
    if (path == NULL || path[0] == '\0')
        return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT,
                             "the program's path is %s", path == NULL ? "NULL" : "empty");

    char *copy = strdup(path);
    if (copy == NULL)
        return no_memory(ret_error);
    program_clear(config);
    config->program.path = copy;
    return 0;
}

int
vmk_config_duplicate(int fd, const char *what, vmkit_error **ret_error)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, VMK_DESCRIPTOR_FIRST);
    if (copy >= 0)
        return copy;
    if (errno == EBADF)
        return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT,
                             "descriptor %d for %s is not open", fd, what);
    /* EINVAL: the process may have no descriptor above 2 (fcntl(2)). */
    return vmk_error_set_known(ret_error, errno == EINVAL ? EMFILE : errno,
                               VMK_ERRNO(EMFILE) | VMK_ERRNO(ENOMEM), VMKIT_ERROR_IO,
                               "cannot duplicate descriptor %d for %s", fd, what);
}

int
vmk_config_set_program_fd(vmkit_sandbox_config *config, int fd, vmkit_error **ret_error)
{
    int copy = vmk_config_duplicate(fd, "the program", ret_error);
    if (copy < 0)
        return copy;
    struct vmk_host_fd *host_fd = vmk_host_fd_new(copy);
    if (host_fd == NULL)
        return no_memory(ret_error);
    program_clear(config);
    config->program.fd = host_fd;
    return 0;
}

int
vmk_config_set_program_memory(vmkit_sandbox_config *config, const void *data, uint64_t size,
                              vmkit_error **ret_error)
{
    if (data == NULL || size == 0)
        return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT,
                             "the program in memory is %s", data == NULL ? "NULL" : "empty");
    if (size > VMK_CONFIG_BYTES_MAX)
        return vmk_error_set(ret_error, E2BIG, VMKIT_ERROR_LIMIT,
                             "a program of %" PRIu64 " bytes is above the limit of %" PRIu64, size,
                             VMK_CONFIG_BYTES_MAX);

    struct vmk_blob *image = vmk_blob_new(data, (size_t)size);
    if (image == NULL)
        return no_memory(ret_error);
    program_clear(config);
    config->program.image = image;
    return 0;
}

/* Copy a list into one allocation. A list of no strings is a list all the same. */
static int
string_list_new(const char *const *strings, const char *what, struct vmk_string_list **ret_list,
                vmkit_error **ret_error)
{
    size_t count = 0;
    size_t bytes = 0;
    for (; strings[count] != NULL; count++) {
        size_t size = strnlen(strings[count], VMK_CONFIG_STRINGS_MAX) + 1;
        if (size > VMK_CONFIG_STRINGS_MAX - bytes)
            return vmk_error_set(ret_error, E2BIG, VMKIT_ERROR_LIMIT,
                                 "%s of more than %zu bytes, reached at number %zu", what,
                                 VMK_CONFIG_STRINGS_MAX, count);
        bytes += size;
    }

    /* At most a pointer a byte of strings, so that this does not wrap. */
    size_t pointers = (count + 1) * sizeof(char *);
    struct vmk_string_list *list = malloc(sizeof *list + pointers + bytes);
    if (list == NULL)
        return no_memory(ret_error);
    list->strings = (char **)(list + 1);
    list->count = count;
    list->bytes = bytes;
    char *text = (char *)list->strings + pointers;
    for (size_t i = 0; i < count; i++) {
        list->strings[i] = text;
        text = stpcpy(text, strings[i]) + 1;
    }
    list->strings[count] = NULL;
    *ret_list = list;
    return 0;
}

int
vmk_config_set_arguments(vmkit_sandbox_config *config, const char *const *arguments,
                         vmkit_error **ret_error)
{
    struct vmk_string_list *list = NULL;
    int result = arguments == NULL ? 0 : string_list_new(arguments, "arguments", &list, ret_error);
    if (result < 0)
        return result;
    free(config->arguments);
    config->arguments = list;
    return 0;
}

int
vmk_config_set_environment(vmkit_sandbox_config *config, const char *const *environment,
                           vmkit_error **ret_error)
{
    for (size_t i = 0; environment != NULL && environment[i] != NULL; i++) {
        const char *equals = strchr(environment[i], '=');
        if (equals == NULL || equals == environment[i])
            return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT,
                                 "environment string \"%.80s\" is not of the form NAME=VALUE",
                                 environment[i]);
    }

    struct vmk_string_list *list = NULL;
    int result =
        environment == NULL ? 0 : string_list_new(environment, "an environment", &list, ret_error);
    if (result < 0)
        return result;
    free(config->environment);
    config->environment = list;
    return 0;
}

int
vmk_config_set_working_directory(vmkit_sandbox_config *config, const char *guest_path,
                                 vmkit_error **ret_error)
{
    if (guest_path == NULL || guest_path[0] != '/')
        return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT,
                             "working directory \"%.80s\" is not an absolute path",
                             guest_path == NULL ? "NULL" : guest_path);
    if (strlen(guest_path) > 4095)
        return vmk_error_set(ret_error, ENAMETOOLONG, VMKIT_ERROR_LIMIT,
                             "a working directory of %zu bytes is above the limit of 4095",
                             strlen(guest_path));

    char *copy = strdup(guest_path);
    if (copy == NULL)
        return no_memory(ret_error);
    free(config->working_directory);
    config->working_directory = copy;
    return 0;
}

int
vmk_config_set_user(vmkit_sandbox_config *config, uint32_t uid, uint32_t gid,
                    vmkit_error **ret_error)
{
    if (uid == UINT32_MAX || gid == UINT32_MAX)
        return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT,
                             "%s number %" PRIu32 " is no number that Linux can give",
                             uid == UINT32_MAX ? "user" : "group", UINT32_MAX);
    config->uid = uid;
    config->gid = gid;
    return 0;
}

int
vmk_config_set_memory_limit(vmkit_sandbox_config *config, uint64_t bytes, vmkit_error **ret_error)
{
    if (bytes == 0)
        return zero_limit(ret_error, "memory");
    if (bytes < VMK_CONFIG_MEMORY_MIN || bytes > VMK_CONFIG_MEMORY_MAX)
        return vmk_error_set(ret_error, ERANGE, VMKIT_ERROR_OUT_OF_RANGE,
                             "a memory limit of %" PRIu64 " bytes is outside of %" PRIu64
                             " to %" PRIu64,
                             bytes, VMK_CONFIG_MEMORY_MIN, VMK_CONFIG_MEMORY_MAX);
    config->memory_limit = (bytes + 4095) & ~(uint64_t)4095;
    return 0;
}

int
vmk_config_set_cpu_time_limit(vmkit_sandbox_config *config, uint64_t nanoseconds,
                              vmkit_error **ret_error)
{
    if (nanoseconds == 0)
        return zero_limit(ret_error, "CPU time");
    config->cpu_time_limit_ns = nanoseconds;
    return 0;
}

int
vmk_config_set_wall_time_limit(vmkit_sandbox_config *config, uint64_t nanoseconds,
                               vmkit_error **ret_error)
{
    if (nanoseconds == 0)
        return zero_limit(ret_error, "wall time");
    config->wall_time_limit_ns = nanoseconds;
    return 0;
}

int
vmk_config_set_open_files_limit(vmkit_sandbox_config *config, uint64_t count,
                                vmkit_error **ret_error)
{
    if (count == 0)
        return zero_limit(ret_error, "open files");
    if (count < VMK_CONFIG_OPEN_FILES_MIN)
        return vmk_error_set(ret_error, ERANGE, VMKIT_ERROR_OUT_OF_RANGE,
                             "a limit of %" PRIu64
                             " open files is below %d, which the streams take",
                             count, VMK_CONFIG_OPEN_FILES_MIN);
    if (count > VMK_CONFIG_OPEN_FILES_MAX)
        return vmk_error_set(ret_error, ERANGE, VMKIT_ERROR_OUT_OF_RANGE,
                             "a limit of %" PRIu64 " open files is above %d", count,
                             VMK_CONFIG_OPEN_FILES_MAX);
    config->open_files_limit = (uint32_t)count;
    return 0;
}

int
vmk_config_set_output_limit(vmkit_sandbox_config *config, uint64_t bytes, vmkit_error **ret_error)
{
    if (bytes == 0)
        return zero_limit(ret_error, "output");
    config->output_limit = bytes;
    return 0;
}
