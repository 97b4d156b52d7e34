/* SPDX-License-Identifier: Apache-2.0 */
/* The order of the state's sections, each with its number and its length. */
#include "sandbox/state.h"

#include "sandbox/config.h"
#include "sandbox/file.h"
#include "sandbox/files.h"
#include "sandbox/process.h"
#include "sandbox/signals.h"
#include "sandbox/space.h"
#include "sandbox/state_codec.h"
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
    {"files", vmk_state_save_files, vmk_state_load_files},
    {"address space", vmk_state_save_space, vmk_state_load_space},
};

#define SECTION_COUNT ((uint32_t)(sizeof sections / sizeof sections[0]))

int
vmk_state_bad(const struct vmk_state_reader *reader, const char *format, ...)
{
    char message[200];
    va_list list;
    va_start(list, format);
    vsnprintf(message, sizeof message, format, list);
    va_end(list);
    return vmk_error_set(reader->ret_error, EINVAL, VMKIT_ERROR_BAD_IMAGE,
                         "the process state of the snapshot is damaged: %s", message);
}

int
vmk_state_no_memory(vmkit_error **ret_error)
{
    return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                         "no memory for the state of a process");
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

int
vmk_state_save(struct vmk_process *process, struct vmk_bytes *ret_bytes, vmkit_error **ret_error)
{
    struct vmk_state_writer writer = {
        .bytes = ret_bytes, .process = process, .ret_error = ret_error};
    int r = vmk_state_find_files(&writer);
    if (r == 0)
        r = save_sections(&writer);
    vmk_state_forget_files(&writer);
    return r;
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
    return r;
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
vmk_state_load(struct vmk_process *process, const vmkit_sandbox_config *config, const void *bytes,
               size_t size, vmkit_error **ret_error)
{
    vmkit_sandbox_config *own = NULL;
    int r = config != NULL ? 0 : vmk_config_new(&own, ret_error);
    if (r < 0)
        return r;
    struct vmk_state_reader reader = {
        .process = process, .config = config != NULL ? config : own, .ret_error = ret_error};
    r = load_sections(&reader, bytes, size);
    vmk_state_release_files(&reader);
    if (r < 0)
        undo(process);
    vmk_config_unref(own);
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
