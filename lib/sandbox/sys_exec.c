/* SPDX-License-Identifier: Apache-2.0 */
/*
 * execve(2): the process goes on as another program, with its descriptors. A script is run by the
 * interpreter that its first line names, once, as Linux does for one level.
 */
#include "arch/usermode.h"
#include "sandbox/files.h"
#include "sandbox/load.h"
#include "sandbox/process.h"
#include "sandbox/signals.h"
#include "sandbox/space.h"
#include "sandbox/stack.h"
#include "sandbox/symbol.h"
#include "sandbox/syscall.h"
#include "sandbox/uaccess.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <signal.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SCRIPT_LINE 256
#define BLANKS " \t"
/* "/dev/fd/" with a number and a slash. */
#define DESCRIPTOR_PATH_MAX 24
/* Strings that are read between two looks at the limits of time. */
#define STRINGS_BETWEEN_CHECKS 64
/* Bytes of them that are copied in between. */
#define COPY_STEP ((size_t)64 << 10)

/* Strings that are collected one after the other, with their NULs. */
struct strings {
    uint8_t *data;
    size_t size;
    size_t capacity;
};

static int
strings_add(struct strings *strings, const void *data, size_t size)
{
    if (size > VMK_LOAD_STRINGS_MAX - strings->size)
        return -E2BIG;
    if (strings->size + size > strings->capacity) {
        size_t capacity = (strings->size + size) * 2;
        uint8_t *grown = realloc(strings->data, capacity);
        if (grown == NULL)
            return -ENOMEM;
        strings->data = grown;
        strings->capacity = capacity;
    }
    memcpy(strings->data + strings->size, data, size);
    strings->size += size;
    return 0;
}

/* Collect the strings of a vector that the guest handed in; a NULL vector is an empty one. */
static int
strings_read(struct strings *strings, struct vmk_process *process, uint64_t vector)
{
    char text[PATH_MAX * 4];
    unsigned count = 0;
    for (; vector != 0; vector += sizeof(uint64_t)) {
        uint64_t va;
        if (vmk_uaccess_read(process->space, vector, &va, sizeof va) < 0)
            return -EFAULT;
        if (va == 0)
            return 0;
        /* A string may be longer than the buffer: it is then taken in pieces. */
        ssize_t length;
        do {
            length = vmk_uaccess_read_string(process->space, va, text, sizeof text);
            if (length == -EFAULT)
                return -EFAULT;
            size_t piece = length < 0 ? sizeof text : (size_t)length + 1;
            int r = strings_add(strings, text, piece);
            if (r < 0)
                return r;
            va += piece;
        } while (length < 0);
        if (++count % STRINGS_BETWEEN_CHECKS == 0 && vmk_process_must_stop(process))
            return -EINTR;
    }
    return 0;
}

/* What a call of execve is about, until it takes effect. */
struct request {
    char path[DESCRIPTOR_PATH_MAX + PATH_MAX]; /* As the new program is told it. */
    bool path_closes;                          /* By its descriptor, which is closed then. */
    struct strings arguments;
    struct strings environment;
    struct vmk_file *file;
};

static void
request_clear(struct request *request)
{
    free(request->arguments.data);
    free(request->environment.data);
    vmk_file_unref(request->file);
}

/* Cut the first line of a script into the interpreter's name and its one argument, NULL for none
 * (fs/binfmt_script.c). False for a line that names nothing, or goes on behind the part of it that
 * counts while still in the name. */
static bool
parse_script(char line[SCRIPT_LINE + 1], char **ret_interpreter, char **ret_argument)
{
    size_t length = strcspn(line, "\n");
    char *interpreter = line + 2 + strspn(line + 2, BLANKS);
    size_t name = strcspn(interpreter, BLANKS "\n");
    if (name == 0 || interpreter + name == line + SCRIPT_LINE)
        return false;
    while (strchr(BLANKS, line[length - 1]) != NULL)
        length--;
    line[length] = '\0';
    char *argument = interpreter + name + strspn(interpreter + name, BLANKS);
    interpreter[name] = '\0';
    *ret_interpreter = interpreter;
    *ret_argument = *argument == '\0' ? NULL : argument;
    return true;
}

/* The arguments become: the interpreter, its argument, the script, and what was there but the
 * first.
 */
static int
prepend_interpreter(struct request *request, const char *interpreter, const char *argument)
{
    struct strings arguments = {0};
    int r = strings_add(&arguments, interpreter, strlen(interpreter) + 1);
    if (r == 0 && argument != NULL)
        r = strings_add(&arguments, argument, strlen(argument) + 1);
    if (r == 0)
        r = strings_add(&arguments, request->path, strlen(request->path) + 1);
    size_t first = strnlen((char *)request->arguments.data, request->arguments.size) + 1;
    if (r == 0 && request->arguments.size > first)
        r = strings_add(&arguments, request->arguments.data + first,
                        request->arguments.size - first);
    free(request->arguments.data);
    request->arguments = arguments;
    return r;
}

/* If the file is a script, turn the request to its interpreter. 0 or a negative errno. */
static int
follow_script(struct vmk_process *process, struct request *request)
{
    char line[SCRIPT_LINE + 1] = {0}, *interpreter, *argument;
    ssize_t n = vmk_file_pread(process, request->file, line, SCRIPT_LINE, 0);
    if (n < 0)
        return (int)n;
    if (n < 2 || line[0] != '#' || line[1] != '!')
        return 0;
    if (!parse_script(line, &interpreter, &argument))
        return -ENOEXEC;
    if (request->path_closes)
        return -ENOENT;

    int r = prepend_interpreter(request, interpreter, argument);
    vmk_file_unref(request->file);
    request->file = NULL;
    return r < 0 ? r
                 : vmk_files_open_program(process->files, AT_FDCWD, interpreter, 0, &request->file);
}

static void
set_name(struct vmk_process *process, const char *path)
{
    const char *slash = strrchr(path, '/');
    g_strlcpy(process->name, slash != NULL ? slash + 1 : path, sizeof process->name);
}

/* The old program is gone from here on: what fails now ends the process. */
static int64_t
replace_program(struct vmk_process *process, const char *path, const struct vmk_program *program)
{
    process->program_replaced = true;
    process->call_return_sp = 0;
    if (vmk_space_empty(process->space) < 0 || vmk_process_must_stop(process) ||
        vmk_load(process, program, NULL) < 0) {
        vmk_process_end_signal(process, SIGKILL, SI_KERNEL, 0);
        return -ENOMEM;
    }
    vmk_signals_exec(process->signals);
    vmk_symbol_clear(process);
    set_name(process, path);
    vmk_files_exec(process->files, vmk_file_ref(program->file), path,
                   vmk_blob_ref(program->arguments), vmk_blob_ref(program->environment));
    process->regs_replaced = true;
    return 0;
}

/* Strings to keep. NULL without memory, or when the process must stop. */
static struct vmk_blob *
strings_keep(struct vmk_process *process, const struct strings *strings)
{
    struct vmk_blob *blob = vmk_blob_new(NULL, strings->size);
    for (size_t at = 0; blob != NULL && at < strings->size; at += COPY_STEP) {
        size_t left = strings->size - at;
        memcpy(blob->data + at, strings->data + at, left < COPY_STEP ? left : COPY_STEP);
        if (vmk_process_must_stop(process)) {
            vmk_blob_unref(blob);
            return NULL;
        }
    }
    return blob;
}

static int64_t
start_program(struct vmk_process *process, const struct request *request,
              struct vmk_program *program)
{
    int64_t r = -ENOMEM;
    program->arguments = strings_keep(process, &request->arguments);
    program->environment = strings_keep(process, &request->environment);
    if (program->arguments != NULL && program->environment != NULL)
        r = vmk_stack_fits(program) ? replace_program(process, request->path, program) : -E2BIG;
    vmk_blob_unref(program->arguments);
    vmk_blob_unref(program->environment);
    return r;
}

/* A path that begins at a descriptor is told as one that the new program could open. */
static void
name_descriptor(const struct vmk_process *process, int dirfd, struct request *request)
{
    char lead[DESCRIPTOR_PATH_MAX];
    if (dirfd == AT_FDCWD || request->path[0] == '/')
        return;
    snprintf(lead, sizeof lead, "/dev/fd/%d%s", dirfd, request->path[0] == '\0' ? "" : "/");
    memmove(request->path + strlen(lead), request->path, strlen(request->path) + 1);
    memcpy(request->path, lead, strlen(lead));
    request->path_closes = process->files->table.entries[dirfd].close_on_exec;
}

static int64_t
execute(struct vmk_process *process, int dirfd, int flags, const uint64_t args[3],
        struct request *request)
{
    ssize_t length = vmk_uaccess_read_string(process->space, args[0], request->path, PATH_MAX);
    if (length < 0)
        return length;
    int r = vmk_files_open_program(process->files, dirfd, request->path, flags, &request->file);
    if (r == 0)
        name_descriptor(process, dirfd, request);
    if (r == 0)
        r = strings_read(&request->arguments, process, args[1]);
    if (r == 0)
        r = strings_read(&request->environment, process, args[2]);
    if (r < 0)
        return r;
    if (request->arguments.size == 0)
        r = strings_add(&request->arguments, "", 1);

    if (r == 0)
        r = follow_script(process, request);
    if (r < 0)
        return r;
    struct vmk_program program = {.file = request->file, .image = -1, .path = request->path};
    r = vmk_load_check(process, &program, NULL);
    if (r < 0)
        return r;
    return start_program(process, request, &program);
}

int64_t
vmk_sys_execve(struct vmk_process *process, const uint64_t args[6])
{
    struct request request = {0};
    int64_t r = execute(process, AT_FDCWD, 0, args, &request);
    request_clear(&request);
    return r;
}

int64_t
vmk_sys_execveat(struct vmk_process *process, const uint64_t args[6])
{
    struct request request = {0};
    int64_t r = args[4] & ~(uint64_t)(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW)
                    ? -EINVAL
                    : execute(process, (int)args[0], (int)args[4], args + 1, &request);
    request_clear(&request);
    return r;
}
