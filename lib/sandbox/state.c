/* SPDX-License-Identifier: Apache-2.0 */
/* The order of the state's sections, each with its number and its length. */
#include "sandbox/state.h"

#include "sandbox/config.h"
#include "sandbox/file.h"
#include "sandbox/files.h"
#include "sandbox/maps.h"
#include "sandbox/node.h"
#include "sandbox/process.h"
#include "sandbox/signals.h"
#include "sandbox/space.h"
#include "sandbox/state_codec.h"
#include "sandbox/symbol.h"
#include "util/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* A reader knows its own version alone. What comes later is told apart by it. */
#define VERSION 1

static const struct section {
    const char *name;
    int (*save)(struct vmk_state_writer *writer);
    int (*load)(struct vmk_state_reader *reader);
} sections[] = {
    {"limits", vmk_state_save_limits, vmk_state_load_limits},
    {"process", vmk_state_save_process, vmk_state_load_process},
    {"signals", vmk_state_save_signals, vmk_state_load_signals},
    {"mounts", vmk_state_save_mounts, vmk_state_load_mounts},
    {"files in memory", vmk_state_save_tmp, vmk_state_load_tmp},
    {"files", vmk_state_save_files, vmk_state_load_files},
    {"address space", vmk_state_save_space, vmk_state_load_space},
};

/* The sections that a reset always loads. */
#define SECTIONS_SMALL 3

#define SECTION_COUNT ((uint32_t)(sizeof sections / sizeof sections[0]))

int
vmk_state_bad(const struct vmk_state_reader *reader, const char *format, ...)
{
    char message[200];
    va_list list;
    va_start(list, format);
    vsnprintf(message, sizeof message, format, list);
    va_end(list);
    return vmk_error_set(reader->ret_error, EINVAL, VMKIT_ERROR_BAD_SNAPSHOT,
                         "the process state of the snapshot is damaged: %s", message);
}

int
vmk_state_no_memory(vmkit_error **ret_error)
{
    return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                         "no memory for the state of a process");
}

int
vmk_state_no_room(const struct vmk_state_reader *reader, const char *what)
{
    return vmk_error_set(reader->ret_error, E2BIG, VMKIT_ERROR_LIMIT,
                         "%s of the snapshot's process does not fit under the memory limit of %llu "
                         "bytes",
                         what, (unsigned long long)reader->process->memory->limit);
}

int
vmk_state_get_bool(struct vmk_state_reader *reader, bool *ret_value)
{
    uint8_t value = vmk_cursor_get_u8(&reader->in);
    if (value > 1)
        return vmk_state_bad(reader, "%u in place of yes or no", value);
    *ret_value = value != 0;
    return 0;
}

void
vmk_state_put_string(struct vmk_state_writer *writer, const char *string)
{
    size_t size = strlen(string);
    vmk_bytes_put_u32(writer->bytes, (uint32_t)size);
    vmk_bytes_put(writer->bytes, string, size);
}

int
vmk_state_get_string(struct vmk_state_reader *reader, const char *what, size_t limit,
                     char **ret_string)
{
    uint32_t size = vmk_cursor_get_u32(&reader->in);
    if (size > limit)
        return vmk_state_bad(reader, "%s of %u bytes is above the limit of %zu", what, size, limit);
    const uint8_t *data = vmk_cursor_get(&reader->in, size);
    if (data == NULL || memchr(data, '\0', size) != NULL)
        return vmk_state_bad(reader, data == NULL ? "%s ends early" : "%s has a NUL inside", what);
    char *copy = malloc((size_t)size + 1);
    if (copy == NULL)
        return vmk_state_no_memory(reader->ret_error);
    memcpy(copy, data, size);
    copy[size] = '\0';
    *ret_string = copy;
    return 0;
}

static int
save_sections(struct vmk_state_writer *writer)
{
    vmk_bytes_put_u32(writer->bytes, VERSION);
    for (uint32_t i = 0; i < SECTION_COUNT; i++) {
        vmk_bytes_put_u32(writer->bytes, i + 1);
        size_t start = vmk_bytes_begin(writer->bytes);
        int r = sections[i].save(writer);
        if (r < 0)
            return r;
        vmk_bytes_end(writer->bytes, start);
    }
    return writer->bytes->failed ? vmk_state_no_memory(writer->ret_error) : 0;
}

/* What is mapped of a file that is not carried becomes memory. */
static int
populate(struct vmk_process *process, vmkit_error **ret_error)
{
    struct vmk_space *space = process->space;
    for (size_t i = 0; i < space->vmas.count; i++) {
        const struct vmk_vma *vma = &space->vmas.items[i];
        if (vma->file == NULL || vma->file->ops->state == NULL || !vma->file->ops->state->outside)
            continue;
        if (vmk_space_populate_file(space, vma) < 0)
            return vmk_error_set(ret_error, E2BIG, VMKIT_ERROR_LIMIT,
                                 "the memory limit of %llu bytes leaves no room for the %llu bytes "
                                 "that are mapped of \"%.200s\", which a snapshot has to hold",
                                 (unsigned long long)process->memory->limit,
                                 (unsigned long long)(vma->end - vma->start),
                                 vma->file->node != NULL ? vma->file->node->path
                                                         : process->files->program_path);
    }
    return 0;
}

int
vmk_state_save(struct vmk_process *process, struct vmk_bytes *ret_bytes, vmkit_error **ret_error)
{
    struct vmk_state_writer writer = {
        .bytes = ret_bytes, .process = process, .ret_error = ret_error};
    int r = populate(process, ret_error);
    if (r < 0)
        return r;
    r = vmk_state_find_files(&writer);
    if (r == 0)
        r = save_sections(&writer);
    vmk_state_forget_files(&writer);
    return r;
}

/* What tells whether anything of the files and the address space changed since: in place of what
 * was there before in `bytes`. */
static int
save_compared(struct vmk_process *process, struct vmk_bytes *bytes, vmkit_error **ret_error)
{
    struct vmk_state_writer writer = {
        .bytes = bytes, .process = process, .comparing = true, .ret_error = ret_error};
    bytes->size = 0;
    bytes->failed = false;
    int r = vmk_state_find_files(&writer);
    if (r == 0)
        r = vmk_state_save_tmp(&writer);
    if (r == 0)
        r = vmk_state_save_files(&writer);
    if (r == 0)
        r = vmk_state_save_space(&writer);
    vmk_state_forget_files(&writer);
    return r == 0 && bytes->failed ? vmk_state_no_memory(ret_error) : r;
}

/* The cursor of the section that comes next. */
static int
next_section(struct vmk_state_reader *reader, struct vmk_byte_cursor *all, uint32_t index)
{
    uint32_t number = vmk_cursor_get_u32(all);
    uint64_t size = vmk_cursor_get_u64(all);
    if (all->failed || number != index + 1)
        return vmk_state_bad(reader, "section %u (%s) is not there", index + 1,
                             sections[index].name);
    const uint8_t *data = vmk_cursor_get(all, size);
    if (data == NULL)
        return vmk_state_bad(reader, "section %u (%s) ends early", index + 1, sections[index].name);
    reader->in = (struct vmk_byte_cursor){.data = data, .left = (size_t)size};
    return 0;
}

static int
load_section(struct vmk_state_reader *reader, struct vmk_byte_cursor *all, uint32_t index)
{
    int r = next_section(reader, all, index);
    if (r == 0)
        r = sections[index].load(reader);
    if (r < 0)
        return r;
    if (reader->in.failed)
        return vmk_state_bad(reader, "section %u (%s) ends early", index + 1, sections[index].name);
    if (reader->in.left != 0)
        return vmk_state_bad(reader, "section %u (%s) has %zu bytes too many", index + 1,
                             sections[index].name, reader->in.left);
    return 0;
}

static int
check_version(const struct vmk_state_reader *reader, struct vmk_byte_cursor *all)
{
    uint32_t version = vmk_cursor_get_u32(all);
    if (all->failed)
        return vmk_state_bad(reader, "it is empty");
    if (version != VERSION)
        return vmk_error_set(reader->ret_error, ENOTSUP, VMKIT_ERROR_NOT_SUPPORTED,
                             "the process state of the snapshot has version %u, and this release "
                             "reads version %d",
                             version, VERSION);
    return 0;
}

static int
load_sections(struct vmk_state_reader *reader, const void *bytes, size_t size)
{
    struct vmk_byte_cursor all = {.data = bytes, .left = size};
    int r = check_version(reader, &all);
    for (uint32_t i = 0; i < SECTION_COUNT && r == 0; i++)
        r = load_section(reader, &all, i);
    if (r == 0 && all.left != 0)
        r = vmk_state_bad(reader, "%zu bytes follow the last section", all.left);
    /* The files hold what they need of the inodes. */
    vmk_state_release_files(reader);
    vmk_state_release_inodes(reader, r == 0);
    if (r == 0)
        r = save_compared(reader->process, &reader->files->loaded, reader->ret_error);
    return r;
}

static int
make_files(struct vmk_state_reader *reader, vmkit_sandbox_config *config)
{
    struct vmk_process *process = reader->process;
    int r =
        vmk_files_new_empty(config, process, process->memory, &process->files, reader->ret_error);
    if (r < 0)
        return r;
    reader->files = process->files;
    reader->files->format_maps = vmk_maps_format;
    reader->files->given = vmk_config_ref(config);
    return 0;
}

static void
undo(struct vmk_process *process)
{
    vmk_vmas_clear(&process->space->vmas);
    vmk_files_free(process->files);
    vmk_signals_free(process->signals);
    process->files = NULL;
    process->signals = NULL;
}

int
vmk_state_load(struct vmk_process *process, vmkit_sandbox_config *config, const void *bytes,
               size_t size, vmkit_error **ret_error)
{
    struct vmk_state_reader reader = {.process = process, .ret_error = ret_error};
    vmkit_sandbox_config *own = NULL;
    int r = config != NULL ? 0 : vmk_config_new(&own, ret_error);
    if (r == 0)
        r = make_files(&reader, config != NULL ? config : own);
    vmk_config_unref(own);
    if (r == 0)
        r = load_sections(&reader, bytes, size);
    if (r < 0)
        undo(process);
    return r;
}

/* What the process itself and its signals are comes back in any case; it costs less than to find
 * out whether it changed. */
static int
reset_small(struct vmk_state_reader *reader, const void *bytes, size_t size)
{
    struct vmk_byte_cursor all = {.data = bytes, .left = size};
    struct vmk_space *space = reader->process->space;
    int r = check_version(reader, &all);
    for (uint32_t i = 0; i < SECTIONS_SMALL && r == 0; i++)
        r = load_section(reader, &all, i);
    for (int i = 0; i < 3; i++)
        reader->files->outputs[i].size = reader->files->outputs[i].loaded;
    space->fault_next = space->fault_before = space->fault_window = 0;
    space->faults = 0;
    return r;
}

/* Whether the files and the address space are as they were loaded. */
static int
find_changes(struct vmk_process *process, bool *ret_changed, vmkit_error **ret_error)
{
    struct vmk_files *files = process->files;
    *ret_changed = true;
    /* A reset before this one failed. Or another program ran, whatever it looks like. */
    if (files->loaded.size == 0 || process->program_replaced)
        return 0;
    int r = save_compared(process, &files->compared, ret_error);
    *ret_changed = files->compared.size != files->loaded.size ||
                   memcmp(files->compared.data, files->loaded.data, files->loaded.size) != 0;
    return r;
}

/* Names mean the functions of the program that comes back. Those of the embedder's own program stay
 * what they are; any other may be a file that the guest wrote to. */
static void
forget_symbols(struct vmk_process *process)
{
    const struct vmk_file *program = process->files->program;
    if (process->program_replaced || program == NULL || program->ops->state == NULL ||
        program->ops->state->number != VMK_STATE_PROGRAM)
        vmk_symbol_clear(process);
}

static void
empty(struct vmk_process *process)
{
    forget_symbols(process);
    vmk_vmas_clear(&process->space->vmas);
    vmk_files_empty(process->files);
    process->files->loaded.size = 0;
}

int
vmk_state_reset(struct vmk_process *process, const void *bytes, size_t size,
                vmkit_error **ret_error)
{
    struct vmk_state_reader reader = {
        .process = process, .files = process->files, .ret_error = ret_error};
    bool changed;
    int r = find_changes(process, &changed, ret_error);
    if (r == 0 && !changed)
        return reset_small(&reader, bytes, size);
    if (r == 0)
        r = vmk_state_keep_tmp(&reader);
    if (r < 0)
        return r;
    empty(process);
    r = load_sections(&reader, bytes, size);
    if (r < 0)
        empty(process);
    return r;
}

int
vmk_state_get_limits(const void *bytes, size_t size, struct vmk_limits *ret_limits,
                     vmkit_error **ret_error)
{
    struct vmk_state_reader reader = {.ret_error = ret_error};
    struct vmk_byte_cursor all = {.data = bytes, .left = size};
    struct vmk_limits limits;
    int r = check_version(&reader, &all);
    if (r == 0)
        r = next_section(&reader, &all, 0);
    if (r == 0)
        r = vmk_state_read_limits(&reader, &limits);
    if (r == 0)
        *ret_limits = limits;
    return r;
}
