/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file error.h
 * @brief What a failed call says: an errno, a stable kind and one line for a person.
 *
 * Every call that can fail returns 0 (or a positive count) or a negative errno, and takes a
 * `vmkit_error **ret_error` as its last parameter. That pointer may be NULL. On failure the call
 * stores a new error there, which the caller owns and releases with vmkit_error_unref(); on success
 * it is left untouched. An error never changes once made and may be read from any thread.
 *
 * Returned errnos are of this closed list: E2BIG, EACCES, EAGAIN, EBUSY, ECANCELED, EEXIST, EFAULT,
 * EINVAL, EIO, ELOOP, EMFILE, ENAMETOOLONG, ENFILE, ENODEV, ENOENT, ENOEXEC, ENOMEM, ENOSPC,
 * ENOTDIR, ENOTSUP, ENXIO, EPERM, ERANGE, EISDIR, EROFS.
 */
#ifndef VMKIT_ERROR_H
#define VMKIT_ERROR_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** An error. Opaque, immutable and reference-counted. */
typedef struct vmkit_error vmkit_error;

/** Kinds of error. The list only grows; a number never changes its meaning. */
enum vmkit_error_kind {
    /** An argument is outside of what the call documents. */
    VMKIT_ERROR_INVALID_ARGUMENT = 1,
    /** The host has no memory, or no address space, left. */
    VMKIT_ERROR_OUT_OF_MEMORY = 2,
    /** The host has no usable /dev/kvm. */
    VMKIT_ERROR_KVM_MISSING = 3,
    /** /dev/kvm is there and this process may not open it. */
    VMKIT_ERROR_KVM_PERMISSION = 4,
    /** The host's KVM lacks a capability, or speaks another API version. */
    VMKIT_ERROR_KVM_INCAPABLE = 5,
    /** A KVM call failed that ought to work. */
    VMKIT_ERROR_KVM_FAILED = 6,
    /** Two ranges that must be apart overlap. */
    VMKIT_ERROR_OVERLAP = 7,
    /** An address range lies outside of the memory that is there. */
    VMKIT_ERROR_OUT_OF_RANGE = 8,
    /** Something of that name or number is there already. */
    VMKIT_ERROR_EXISTS = 9,
    /** Nothing of that name or number is there. */
    VMKIT_ERROR_NOT_FOUND = 10,
    /** The object is in use elsewhere at this moment. */
    VMKIT_ERROR_BUSY = 11,
    /** The object is in a state in which the call makes no sense. */
    VMKIT_ERROR_WRONG_STATE = 12,
    /** This build, architecture or host does not offer that. */
    VMKIT_ERROR_NOT_SUPPORTED = 13,
    /** Reading or writing a file, a folder or a descriptor failed. */
    VMKIT_ERROR_IO = 14,
    /** A program or kernel file is malformed, hostile or for another machine. */
    VMKIT_ERROR_BAD_IMAGE = 15,
    /** A limit that the embedder set, or that the host sets, is reached. */
    VMKIT_ERROR_LIMIT = 16,
    /** The call was cancelled by a callback or from another thread. */
    VMKIT_ERROR_CANCELLED = 17,
    /** A snapshot file is damaged, cut, hostile, or not the one that another one names. */
    VMKIT_ERROR_BAD_SNAPSHOT = 18
};

/**
 * @brief Get the errno of an error.
 * @param error The error, or NULL for "no error".
 * @return The errno as a negative number, the same that the failed call returned.
 *
 * Any thread. Never fails.
 * @since 0.1
 */
int
vmkit_error_get_errno(const vmkit_error *error);

/**
 * @brief Get the kind of an error.
 * @param error The error, or NULL for "no error".
 * @return A value of enum vmkit_error_kind, or one that a later release added.
 *
 * Any thread. Never fails.
 * @since 0.1
 */
uint32_t
vmkit_error_get_kind(const vmkit_error *error);

/**
 * @brief Get the message of an error.
 * @param error The error, or NULL for "no error".
 * @return One line of UTF-8 without a full stop or line break at its end. It belongs to the error.
 *
 * Any thread. Never fails.
 * @since 0.1
 */
const char *
vmkit_error_get_message(const vmkit_error *error);

/**
 * @brief Get the name of a kind, for logs and for bindings.
 * @param kind A value of enum vmkit_error_kind.
 * @return The name in lower case with hyphens, such as "kvm-missing"; "unknown" for any other
 * number. The string is static.
 *
 * Any thread. Never fails.
 * @since 0.1
 */
const char *
vmkit_error_kind_get_name(uint32_t kind);

/**
 * @brief Take a further reference to an error.
 * @param error The error, or NULL.
 * @return The same error, to be released with vmkit_error_unref().
 *
 * Any thread. Never fails.
 * @since 0.1
 */
vmkit_error *
vmkit_error_ref(vmkit_error *error);

/**
 * @brief Release a reference to an error; the last one frees it.
 * @param error The error, or NULL, for which nothing is done.
 *
 * Any thread. Never fails.
 * @since 0.1
 */
void
vmkit_error_unref(vmkit_error *error);

#ifdef __cplusplus
}
#endif
#endif
