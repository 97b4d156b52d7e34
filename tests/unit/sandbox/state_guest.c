/* SPDX-License-Identifier: Apache-2.0 */
#include "state_guest.h"

#include "sandbox/signals.h"
#include "sandbox/uaccess.h"
#include "util/error.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

static int
grow(void *user_data, uint64_t gpa, uint64_t size, void *hva)
{
    return 0;
}

void
state_prepare(struct state_guest *guest, const vmkit_sandbox_config *config)
{
    struct vmk_process *process = &guest->process;
    memset(guest, 0, sizeof *guest);
    process->limits = (struct vmk_limits){
        .memory_bytes = config->memory_limit,
        .open_files = config->open_files_limit,
        .output_bytes = config->output_limit,
    };
    process->regs = &guest->regs;
    process->wall_deadline_ns = process->cpu_deadline_ns = UINT64_MAX;
    process->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    ck_assert_int_ge(process->wake_fd, 0);
    vmk_memory_account_init(&guest->account, config->memory_limit);
    process->memory = &guest->account;
    ck_assert_int_eq(
        vmk_frames_new(config->memory_limit, &guest->account, grow, NULL, &guest->frames, NULL), 0);
    ck_assert_int_eq(vmk_space_init(&guest->space, process, guest->frames, config->memory_limit),
                     0);
    process->space = &guest->space;
    guest->next_string = STATE_BASE;
}

void
state_start(struct state_guest *guest, const vmkit_sandbox_config *config)
{
    struct vmk_process *process = &guest->process;
    state_prepare(guest, config);
    process->pid = 2;
    process->uid = config->uid;
    process->gid = config->gid;
    process->umask = 022;
    strcpy(process->name, "state");
    process->signals = vmk_signals_new();
    ck_assert_ptr_nonnull(process->signals);
    ck_assert_int_eq(vmk_files_new(config, process, &guest->account, &process->files, NULL), 0);
    struct vmk_vma vma = {.start = STATE_BASE,
                          .end = STATE_BASE + STATE_SIZE,
                          .rights = VMK_PAGE_READ | VMK_PAGE_WRITE};
    ck_assert_int_eq(vmk_space_map(&guest->space, &vma), 0);
}

void
state_end(struct state_guest *guest)
{
    vmk_space_clear(&guest->space);
    vmk_files_free(guest->process.files);
    vmk_signals_free(guest->process.signals);
    vmk_frames_free(guest->frames);
    vmk_bytes_clear(&guest->loaded);
    close(guest->process.wake_fd);
    ck_assert_uint_eq(guest->account.used, 0);
}

struct vmk_bytes
state_save(struct state_guest *guest)
{
    struct vmk_bytes bytes = {0};
    vmkit_error *error = NULL;
    int r = vmk_state_save(&guest->process, &bytes, &error);
    ck_assert_msg(r == 0, "%s", vmk_error_get_message(error));
    return bytes;
}

void
state_load(struct state_guest *guest, vmkit_sandbox_config *config, struct vmk_bytes bytes)
{
    vmkit_error *error = NULL;
    int r = vmk_state_load(&guest->process, config, bytes.data, bytes.size, &error);
    ck_assert_msg(r == 0, "%s", vmk_error_get_message(error));
    guest->loaded = bytes;
}

void
state_move(struct state_guest *from, struct state_guest *to, vmkit_sandbox_config *config)
{
    vmkit_sandbox_config *own = NULL;
    struct vmk_bytes first = state_save(from);
    if (config == NULL)
        ck_assert_int_eq(vmk_config_new(&own, NULL), 0);
    state_prepare(to, config != NULL ? config : own);
    state_load(to, config, first);
    struct vmk_bytes second = state_save(to);
    ck_assert_uint_eq(first.size, second.size);
    for (size_t i = 0; i < first.size; i++)
        ck_assert_msg(first.data[i] == second.data[i], "byte %zu of %zu differs", i, first.size);
    state_end(from);
    vmk_bytes_clear(&second);
    vmk_config_unref(own);
}

static void
check_error(int result, int err, const char *message, vmkit_error *error)
{
    ck_assert_int_eq(result, -err);
    ck_assert_ptr_nonnull(error);
    ck_assert_int_eq(vmk_error_get_errno(error), -err);
    ck_assert_msg(strstr(vmk_error_get_message(error), message) != NULL, "\"%s\" says no \"%s\"",
                  vmk_error_get_message(error), message);
    vmk_error_unref(error);
}

void
state_load_fails(const struct vmk_bytes *bytes, vmkit_sandbox_config *config, int err,
                 const char *message)
{
    struct state_guest guest;
    vmkit_error *error = NULL;
    state_prepare(&guest, config);
    int r = vmk_state_load(&guest.process, config, bytes->data, bytes->size, &error);
    check_error(r, err, message, error);
    ck_assert_ptr_null(guest.process.files);
    ck_assert_ptr_null(guest.process.signals);
    state_end(&guest);
}

void
state_save_fails(struct state_guest *guest, int err, const char *message)
{
    struct vmk_bytes bytes = {0};
    vmkit_error *error = NULL;
    int r = vmk_state_save(&guest->process, &bytes, &error);
    check_error(r, err, message, error);
    vmk_bytes_clear(&bytes);
}

uint64_t
state_put(struct state_guest *guest, const void *data, size_t size)
{
    if (guest->next_string + size > STATE_RESULT)
        guest->next_string = STATE_BASE;
    uint64_t va = guest->next_string;
    ck_assert_int_eq(vmk_uaccess_write(&guest->space, va, data, size), 0);
    guest->next_string += (size + 7) & ~(uint64_t)7;
    return va;
}

uint64_t
state_string(struct state_guest *guest, const char *text)
{
    return state_put(guest, text, strlen(text) + 1);
}

void
state_get(struct state_guest *guest, uint64_t va, void *data, size_t size)
{
    ck_assert_int_eq(vmk_uaccess_read(&guest->space, va, data, size), 0);
}

int64_t
state_open(struct state_guest *guest, const char *path, uint64_t flags, uint64_t mode)
{
    return state_call(guest, openat, (uint64_t)AT_FDCWD, state_string(guest, path), flags, mode);
}

int64_t
state_write(struct state_guest *guest, int64_t fd, const char *text)
{
    return state_call(guest, write, (uint64_t)fd, state_string(guest, text), strlen(text));
}

const char *
state_read(struct state_guest *guest, int64_t fd)
{
    static char buffer[4096];
    int64_t got = state_call(guest, read, (uint64_t)fd, STATE_RESULT, sizeof buffer - 1);
    if (got < 0)
        return NULL;
    state_get(guest, STATE_RESULT, buffer, (size_t)got);
    buffer[got] = '\0';
    return buffer;
}
