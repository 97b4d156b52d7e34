/* SPDX-License-Identifier: Apache-2.0 */
#include "util/error.h"

#include <errno.h>
#include <glib.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct vmkit_error {
    atomic_uint references;
    int err;
    enum vmkit_error_kind kind;
    char text[];
};

static const char *const kind_names[] = {
    [VMKIT_ERROR_INVALID_ARGUMENT] = "invalid-argument",
    [VMKIT_ERROR_OUT_OF_MEMORY] = "out-of-memory",
    [VMKIT_ERROR_KVM_MISSING] = "kvm-missing",
    [VMKIT_ERROR_KVM_PERMISSION] = "kvm-permission",
    [VMKIT_ERROR_KVM_INCAPABLE] = "kvm-incapable",
    [VMKIT_ERROR_KVM_FAILED] = "kvm-failed",
    [VMKIT_ERROR_OVERLAP] = "overlap",
    [VMKIT_ERROR_OUT_OF_RANGE] = "out-of-range",
    [VMKIT_ERROR_EXISTS] = "exists",
    [VMKIT_ERROR_NOT_FOUND] = "not-found",
    [VMKIT_ERROR_BUSY] = "busy",
    [VMKIT_ERROR_WRONG_STATE] = "wrong-state",
    [VMKIT_ERROR_NOT_SUPPORTED] = "not-supported",
    [VMKIT_ERROR_IO] = "io",
    [VMKIT_ERROR_BAD_IMAGE] = "bad-image",
    [VMKIT_ERROR_LIMIT] = "limit",
    [VMKIT_ERROR_CANCELLED] = "cancelled",
    [VMKIT_ERROR_BAD_SNAPSHOT] = "bad-snapshot",
};

/* The closed list of include/vmkit/error.h. */
static const int public_errnos[] = {
    E2BIG,   EACCES,  EAGAIN,       EBUSY,  ECANCELED, EEXIST, EFAULT,  EINVAL, EIO,
    ELOOP,   EMFILE,  ENAMETOOLONG, ENFILE, ENODEV,    ENOENT, ENOEXEC, ENOMEM, ENOSPC,
    ENOTDIR, ENOTSUP, ENXIO,        EPERM,  ERANGE,    EISDIR, EROFS,
};

#define ERRNO_COUNT (sizeof public_errnos / sizeof public_errnos[0])
#define KIND_COUNT (sizeof kind_names / sizeof kind_names[0])

/* An error for which there was no memory is an address in here, which tells its errno and kind. */
static const char bare_errors[ERRNO_COUNT * KIND_COUNT];

static bool
is_bare(const vmkit_error *error)
{
    return (uintptr_t)error - (uintptr_t)bare_errors < sizeof bare_errors;
}

static size_t
bare_index(const vmkit_error *error)
{
    return (uintptr_t)error - (uintptr_t)bare_errors;
}

static vmkit_error *
bare_error(int err, enum vmkit_error_kind kind)
{
    size_t i = 0;
    while (i < ERRNO_COUNT - 1 && public_errnos[i] != err)
        i++;
    return (vmkit_error *)((uintptr_t)bare_errors + i * KIND_COUNT + (size_t)kind);
}

int
vmk_error_filter(int err)
{
    for (size_t i = 0; i < ERRNO_COUNT; i++) {
        if (public_errnos[i] == err)
            return err;
    }
    return EIO;
}

/* One line of UTF-8, whatever the names in it are: of a file, or out of a snapshot. */
static void
make_plain(char *text)
{
    for (char *at = text; *at != '\0'; at++) {
        if ((unsigned char)*at < 0x20 || *at == 0x7f)
            *at = '?';
    }
    const char *end;
    while (!g_utf8_validate(text, -1, &end))
        text[end - text] = '?';
}

static vmkit_error *
error_new(int err, enum vmkit_error_kind kind, const char *suffix, const char *format, va_list list)
{
    va_list again;
    va_copy(again, list);
    int length = vsnprintf(NULL, 0, format, again);
    va_end(again);
    if (length < 0)
        return bare_error(err, kind);

    size_t size = (size_t)length + strlen(suffix) + 1;
    struct vmkit_error *error = malloc(sizeof *error + size);
    if (error == NULL)
        return bare_error(err, kind);

    atomic_init(&error->references, 1);
    error->err = err;
    error->kind = kind;
    vsnprintf(error->text, (size_t)length + 1, format, list);
    memcpy(error->text + length, suffix, strlen(suffix) + 1);
    make_plain(error->text);
    return error;
}

int
vmk_error_set(vmkit_error **ret_error, int err, enum vmkit_error_kind kind, const char *format, ...)
{
    if (ret_error == NULL)
        return -err;

    va_list list;
    va_start(list, format);
    *ret_error = error_new(err, kind, "", format, list);
    va_end(list);
    return -err;
}

/* Of some errnos it is the same to everyone what they mean. */
static enum vmkit_error_kind
kind_of(int err, enum vmkit_error_kind otherwise)
{
    switch (err) {
    case ENOMEM:
        return VMKIT_ERROR_OUT_OF_MEMORY;
    case EMFILE:
    case ENFILE:
        return VMKIT_ERROR_LIMIT;
    default:
        return otherwise;
    }
}

/* `err` is the kernel's, `public_err` what it is for the caller. */
static int
set_reason(vmkit_error **ret_error, int err, int public_err, enum vmkit_error_kind kind,
           const char *format, va_list list)
{
    char reason[128];
    char suffix[160];
    if (ret_error == NULL)
        return -public_err;
    snprintf(suffix, sizeof suffix, ": %s", strerror_r(err, reason, sizeof reason));
    *ret_error = error_new(public_err, kind_of(public_err, kind), suffix, format, list);
    return -public_err;
}

int
vmk_error_set_errno(vmkit_error **ret_error, int err, enum vmkit_error_kind kind,
                    const char *format, ...)
{
    va_list list;
    va_start(list, format);
    int result = set_reason(ret_error, err, vmk_error_filter(err), kind, format, list);
    va_end(list);
    return result;
}

int
vmk_error_set_known(vmkit_error **ret_error, int err, uint64_t known, enum vmkit_error_kind kind,
                    const char *format, ...)
{
    bool is_known = err >= 0 && err < 64 && (known >> err & 1) != 0;
    va_list list;
    va_start(list, format);
    int result = set_reason(ret_error, err, is_known ? err : EIO, kind, format, list);
    va_end(list);
    return result;
}

int
vmk_error_hand_over(vmkit_error *error, vmkit_error **ret_error)
{
    int result = vmk_error_get_errno(error);
    if (ret_error != NULL)
        *ret_error = error;
    else
        vmk_error_unref(error);
    return result;
}

int
vmk_error_get_errno(const vmkit_error *error)
{
    return is_bare(error) ? -public_errnos[bare_index(error) / KIND_COUNT] : -error->err;
}

enum vmkit_error_kind
vmk_error_get_kind(const vmkit_error *error)
{
    return is_bare(error) ? (enum vmkit_error_kind)(bare_index(error) % KIND_COUNT) : error->kind;
}

const char *
vmk_error_get_message(const vmkit_error *error)
{
    return is_bare(error) ? "out of memory, even for the message that says of what" : error->text;
}

const char *
vmk_error_kind_get_name(uint32_t kind)
{
    if (kind >= KIND_COUNT || kind_names[kind] == NULL)
        return "unknown";
    return kind_names[kind];
}

vmkit_error *
vmk_error_ref(vmkit_error *error)
{
    if (error != NULL && !is_bare(error))
        atomic_fetch_add_explicit(&error->references, 1, memory_order_relaxed);
    return error;
}

void
vmk_error_unref(vmkit_error *error)
{
    if (error == NULL || is_bare(error))
        return;
    if (atomic_fetch_sub_explicit(&error->references, 1, memory_order_acq_rel) == 1)
        free(error);
}
