/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/files.h"

#include "sandbox/config.h"
#include "sandbox/node.h"
#include "sandbox/path.h"
#include "sandbox/process.h"
#include "sandbox/program.h"
#include "sandbox/stream.h"
#include "util/error.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int
no_memory(vmkit_error **ret_error)
{
    return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                         "no memory for the files of a sandbox");
}

static int
open_streams(struct vmk_files *files, const vmkit_sandbox_config *config, vmkit_error **ret_error)
{
    for (uint32_t stream = VMKIT_STREAM_STDIN; stream <= VMKIT_STREAM_STDERR; stream++) {
        struct vmk_file *file;
        int result = vmk_stream_open(files, stream, config->streams, &file);
        if (result >= 0)
            result = vmk_files_install(files, file, false);
        if (result < 0)
            return vmk_error_set_known(ret_error, -result, VMK_ERRNO(ENOMEM), VMKIT_ERROR_IO,
                                       "cannot connect stream %" PRIu32, stream);
    }
    return 0;
}

/* The strings of a list one after the other: what /proc/self/cmdline shows. */
static struct vmk_blob *
flatten(const struct vmk_string_list *list, const char *otherwise)
{
    if (list == NULL)
        return vmk_blob_new(otherwise, otherwise == NULL ? 0 : strlen(otherwise) + 1);
    return vmk_blob_new(list->count == 0 ? NULL : list->strings[0], list->bytes);
}

static int
remember_program(struct vmk_files *files, const vmkit_sandbox_config *config,
                 vmkit_error **ret_error)
{
    const char *name = vmk_config_get_program_name(config);
    int result = vmk_program_open(files, &config->program, &files->program, ret_error);
    if (result < 0)
        return result;
    /* In the guest's tree, ./program is /program. */
    while (name[0] == '.' && name[1] == '/')
        name += 1 + strspn(name + 1, "/");
    size_t size = strlen(name) + 2;
    files->program_path = malloc(size);
    files->arguments = flatten(config->arguments, name);
    files->environment = flatten(config->environment, NULL);
    if (files->program_path == NULL || files->arguments == NULL || files->environment == NULL)
        return no_memory(ret_error);
    files->program_path[0] = '/';
    memcpy(files->program_path + (name[0] != '/'), name, size - 1);
    return 0;
}

static int
enter_folder(struct vmk_files *files, const char *path, vmkit_error **ret_error)
{
    struct vmk_node *node;
    files->cwd = vmk_node_ref(vmk_mounts_get_root(&files->mounts));
    if (path == NULL)
        return 0;
    int result = vmk_path_find(files, AT_FDCWD, path, VMK_LOOKUP_FOLLOW, &node);
    if (result == 0 && node->type != S_IFDIR) {
        vmk_node_unref(node);
        result = -ENOTDIR;
    }
    if (result < 0)
        return vmk_error_set_known(ret_error, -result, VMK_CONFIG_OPEN_ERRNOS,
                                   result == -ENOENT ? VMKIT_ERROR_NOT_FOUND : VMKIT_ERROR_IO,
                                   "cannot enter working directory \"%.200s\" of the sandbox",
                                   path);
    vmk_node_unref(files->cwd);
    files->cwd = node;
    return 0;
}

int
vmk_files_new_empty(const vmkit_sandbox_config *config, struct vmk_process *process,
                    struct vmk_memory_account *account, struct vmk_files **ret_files,
                    vmkit_error **ret_error)
{
    struct vmk_files *files = calloc(1, sizeof *files);
    if (files == NULL)
        return no_memory(ret_error);
    files->process = process;
    files->account = account;
    vmk_fdtable_init(&files->table, process, process->limits.open_files);

    int result = vmk_mounts_new(files, config, ret_error);
    if (result < 0) {
        vmk_files_free(files);
        return result;
    }
    *ret_files = files;
    return 0;
}

int
vmk_files_new(const vmkit_sandbox_config *config, struct vmk_process *process,
              struct vmk_memory_account *account, struct vmk_files **ret_files,
              vmkit_error **ret_error)
{
    struct vmk_files *files = NULL;
    int result = vmk_files_new_empty(config, process, account, &files, ret_error);
    if (result < 0)
        return result;
    result = remember_program(files, config, ret_error);
    if (result == 0)
        result = open_streams(files, config, ret_error);
    if (result == 0)
        result = enter_folder(files, config->working_directory, ret_error);
    if (result < 0) {
        vmk_files_free(files);
        return result;
    }
    *ret_files = files;
    return 0;
}

void
vmk_files_empty(struct vmk_files *files)
{
    vmk_fdtable_clear(&files->table);
    vmk_node_unref(files->cwd);
    vmk_file_unref(files->program);
    free(files->program_path);
    vmk_blob_unref(files->arguments);
    vmk_blob_unref(files->environment);
    files->cwd = NULL;
    files->program = NULL;
    files->program_path = NULL;
    files->arguments = NULL;
    files->environment = NULL;
    for (size_t i = 0; i < 3; i++) {
        free(files->outputs[i].data);
        files->outputs[i] = (struct vmk_output){0};
    }
}

void
vmk_files_free(struct vmk_files *files)
{
    if (files == NULL)
        return;
    vmk_files_empty(files);
    vmk_mounts_clear(&files->mounts);
    vmk_mount_clear(&files->scratch);
    vmk_config_unref(files->given);
    vmk_bytes_clear(&files->loaded);
    vmk_bytes_clear(&files->compared);
    free(files);
}

struct vmk_file *
vmk_files_get_program(const struct vmk_files *files)
{
    return files->program;
}

void
vmk_files_exec(struct vmk_files *files, struct vmk_file *program, const char *path,
               struct vmk_blob *arguments, struct vmk_blob *environment)
{
    vmk_fdtable_close_on_exec(&files->table);
    vmk_file_unref(files->program);
    vmk_blob_unref(files->arguments);
    vmk_blob_unref(files->environment);
    files->program = program;
    files->arguments = arguments;
    files->environment = environment;

    /* The node knows the path without links. Without memory the old name stays. */
    char *copy = strdup(program->node != NULL ? program->node->path : path);
    if (copy != NULL) {
        free(files->program_path);
        files->program_path = copy;
    }
}

struct vmk_file *
vmk_files_get(const struct vmk_files *files, uint64_t fd)
{
    struct vmk_file *file = vmk_fdtable_get(&files->table, fd);
    return file == NULL || (file->flags & O_PATH) != 0 ? NULL : file;
}

int
vmk_files_get_output(const struct vmk_files *files, uint32_t stream, const void **ret_data,
                     uint64_t *ret_size)
{
    if (stream > VMKIT_STREAM_STDERR || !files->outputs[stream].kept)
        return -EINVAL;
    const struct vmk_output *output = &files->outputs[stream];
    *ret_data = output->data != NULL ? (const void *)output->data : "";
    *ret_size = output->size;
    return 0;
}

struct vmk_node *
vmk_files_get_scratch(const struct vmk_files *files)
{
    if (files->scratch.root != NULL)
        return files->scratch.root;
    return vmk_mounts_find_point(&files->mounts, "/tmp")->mount.root;
}

uint32_t
vmk_files_next_number(struct vmk_files *files)
{
    return ++files->next_number;
}

int
vmk_files_install(struct vmk_files *files, struct vmk_file *file, bool close_on_exec)
{
    /* What a mapping keeps open has no descriptor any more, and still one of the host. */
    bool counts = file->open_count == NULL;
    int fd = counts && files->open_count >= files->table.limit
                 ? -ENFILE
                 : vmk_fdtable_add(&files->table, file, 0, close_on_exec);
    if (fd < 0) {
        vmk_file_unref(file);
    } else if (counts) {
        file->open_count = &files->open_count;
        files->open_count++;
    }
    return fd;
}
