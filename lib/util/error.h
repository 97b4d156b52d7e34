/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The internal error domain. A function that fails says why once, where it knows most, and everyone
 * above hands the error on. Making an error never fails: without memory for one, it has its errno
 * and kind, and a message that says so.
 */
#ifndef VMK_UTIL_ERROR_H
#define VMK_UTIL_ERROR_H

#include <vmkit/error.h>

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

/* Store a new error in *ret_error unless ret_error is NULL, and return -err. `err` is positive. */
int
vmk_error_set(vmkit_error **ret_error, int err, enum vmkit_error_kind kind, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* The same for a system call that just failed: ": " and strerror(err) follow the message, and an
 * errno outside of the public list becomes EIO. The kind of ENOMEM, EMFILE and ENFILE is their own,
 * whatever `kind` says. */
int
vmk_error_set_errno(vmkit_error **ret_error, int err, enum vmkit_error_kind kind,
                    const char *format, ...) __attribute__((format(printf, 4, 5)));

/* The same for a call that documents some errnos alone: `known` is the sum of their bits, and every
 * other one becomes EIO. */
int
vmk_error_set_known(vmkit_error **ret_error, int err, uint64_t known, enum vmkit_error_kind kind,
                    const char *format, ...) __attribute__((format(printf, 5, 6)));

/* The bit of an errno below 64. */
#define VMK_ERRNO(err) (UINT64_C(1) << (err))

/* The errno itself when the public list has it, EIO otherwise. `err` and the result are positive.
 */
int
vmk_error_filter(int err);

/* Store an error that was kept, in place of making one: the reference goes to the caller, or is
 * released without a place for it. Returns its errno as a negative number. */
int
vmk_error_hand_over(vmkit_error *error, vmkit_error **ret_error);

int
vmk_error_get_errno(const vmkit_error *error);

enum vmkit_error_kind
vmk_error_get_kind(const vmkit_error *error);

const char *
vmk_error_get_message(const vmkit_error *error);

const char *
vmk_error_kind_get_name(uint32_t kind);

vmkit_error *
vmk_error_ref(vmkit_error *error);

void
vmk_error_unref(vmkit_error *error);

#endif
