/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file memory.h
 * @brief Memory that a guest may be given: a range of the host's memory behind a handle.
 *
 * A vmkit_memory says where the bytes come from. vmkit_vm_add_memory() puts it, or a part of it, at
 * an address of a guest; the same memory may be in several places and in several VMs.
 */
#ifndef VMKIT_MEMORY_H
#define VMKIT_MEMORY_H

#include <vmkit/error.h>

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A range of the host's memory. Opaque and reference-counted; any thread may use it. */
typedef struct vmkit_memory vmkit_memory;

/** Flags of vmkit_memory_new_anonymous(), vmkit_memory_new_memfd() and vmkit_memory_new_fd(). */
enum vmkit_memory_flags {
    /** Begin at a multiple of 2 MiB and ask the kernel for transparent huge pages. */
    VMKIT_MEMORY_TRANSPARENT_HUGE = 1,
    /** Take reserved huge pages of 2 MiB (hugetlbfs); the size is a multiple of 2 MiB. */
    VMKIT_MEMORY_HUGE_2M = 2,
    /** vmkit_memory_new_fd(): changes stay in this memory and never reach the file. */
    VMKIT_MEMORY_PRIVATE = 4,
    /** vmkit_memory_new_fd(): map the file without the right to write, which asks for a descriptor
     * that may be read, and for VMKIT_REGION_READ_ONLY wherever it is added. */
    VMKIT_MEMORY_READ_ONLY = 8
};

/**
 * @brief Give memory back to the caller.
 * @param user_data What was given with the callback.
 *
 * Called once, by the thread that released the last reference, when no VM uses the memory any more.
 */
typedef void (*vmkit_memory_release_callback)(void *user_data);

/**
 * @brief Make memory that is zero at first, belongs to this process and costs nothing until used.
 * @param size Bytes, a multiple of the host's page size, not zero.
 * @param flags VMKIT_MEMORY_TRANSPARENT_HUGE, VMKIT_MEMORY_HUGE_2M or 0.
 * @param ret_memory Receives the memory; the caller releases it with vmkit_memory_unref().
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL for a NULL, a size that is zero or no such multiple, an unknown flag or both
 *         flags; -ENOMEM without memory or address space, or without enough reserved huge pages;
 *         -ENOTSUP when the host has no huge pages of the kind asked for; -EIO when the host
 *         refuses it otherwise.
 *
 * Any thread.
 * @since 0.1
 */
int
vmkit_memory_new_anonymous(uint64_t size, uint64_t flags, vmkit_memory **ret_memory,
                           vmkit_error **ret_error);

/**
 * @brief Make memory that is zero at first and that other processes can share by a descriptor.
 * @param name Name that /proc shows for it, at most 200 bytes; NULL for "vmkit".
 * @param size Bytes, a multiple of the host's page size, not zero.
 * @param flags VMKIT_MEMORY_TRANSPARENT_HUGE, VMKIT_MEMORY_HUGE_2M or 0.
 * @param ret_memory Receives the memory; the caller releases it with vmkit_memory_unref().
 * @param ret_error Receives the error, or NULL.
 * @return As vmkit_memory_new_anonymous(); -ENAMETOOLONG for the name; -E2BIG above the process's
 *         limit of file sizes (RLIMIT_FSIZE); -EMFILE or -ENFILE.
 *
 * The descriptor, see vmkit_memory_get_fd(), is sealed against a change of its size. Any thread.
 * @since 0.1
 */
int
vmkit_memory_new_memfd(const char *name, uint64_t size, uint64_t flags, vmkit_memory **ret_memory,
                       vmkit_error **ret_error);

/**
 * @brief Make memory of a part of a file.
 * @param fd A descriptor of a file, a memfd or anything else that mmap(2) takes, open for reading
 *        and, without VMKIT_MEMORY_PRIVATE or VMKIT_MEMORY_READ_ONLY, for writing. Duplicated; the
 *        caller keeps its own.
 * @param offset Where it begins in the file, in bytes, a multiple of the host's page size.
 * @param size Bytes, a multiple of the host's page size, not zero.
 * @param flags VMKIT_MEMORY_PRIVATE, VMKIT_MEMORY_READ_ONLY, VMKIT_MEMORY_TRANSPARENT_HUGE or 0.
 * @param ret_memory Receives the memory; the caller releases it with vmkit_memory_unref().
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL for a NULL, a size or offset of another form, an unknown flag, or a descriptor
 *         that is not open; -ERANGE when the file ends before offset + size; -EACCES when the
 *         descriptor lacks the rights; -EPERM when the file is sealed against them; -ENODEV when it
 *         cannot be mapped; -ENOTSUP when the host has no transparent huge pages; -ENOMEM, -EMFILE;
 *         -EIO when the host refuses it otherwise.
 *
 * A file that is made shorter later gives the guest memory faults, and vmkit_vm_read() and its
 * likes -EFAULT; the process is not harmed. Where supervisor mode is interpreted, what the guest's
 * supervisor does there is an access to an address without memory: a handler's, or an exit's. Any
 * thread.
 * @since 0.1
 */
int
vmkit_memory_new_fd(int fd, uint64_t offset, uint64_t size, uint64_t flags,
                    vmkit_memory **ret_memory, vmkit_error **ret_error);

/**
 * @brief Make memory of a range that the caller has mapped.
 * @param address Where it begins, a multiple of the host's page size.
 * @param size Bytes, a multiple of the host's page size, not zero.
 * @param release Called when the memory is not used any more; NULL for nothing.
 * @param user_data Handed to it.
 * @param ret_memory Receives the memory; the caller releases it with vmkit_memory_unref().
 * @param ret_error Receives the error, or NULL; on failure `release` is not called.
 * @return 0; -EINVAL for a NULL, or an address or size of another form; -ERANGE when the range
 *         goes round the end of the address space; -ENOMEM.
 *
 * The range must stay mapped until `release` is called; its protection may change, and an access
 * that it forbids is a memory fault of the guest; where supervisor mode is interpreted, see
 * vmkit_memory_new_fd(). Any thread.
 * @since 0.1
 */
int
vmkit_memory_new_user(void *address, uint64_t size, vmkit_memory_release_callback release,
                      void *user_data, vmkit_memory **ret_memory, vmkit_error **ret_error);

/**
 * @brief Take a further reference to memory.
 * @param memory The memory, or NULL.
 * @return The same, to be released with vmkit_memory_unref().
 *
 * Any thread.
 * @since 0.1
 */
vmkit_memory *
vmkit_memory_ref(vmkit_memory *memory);

/**
 * @brief Release a reference to memory; the last one, those of VMs included, frees it.
 * @param memory The memory, or NULL, for which nothing is done.
 *
 * Any thread.
 * @since 0.1
 */
void
vmkit_memory_unref(vmkit_memory *memory);

/**
 * @brief Get where the memory begins in this process.
 * @param memory The memory.
 * @return The address, lent as long as a reference is held; NULL for NULL.
 *
 * The bytes may change at any time while a guest that has them runs: copy first, then check. Memory
 * made with VMKIT_MEMORY_READ_ONLY must not be written. Any thread.
 * @since 0.1
 */
void *
vmkit_memory_get_pointer(const vmkit_memory *memory);

/**
 * @brief Get the size of memory.
 * @param memory The memory.
 * @return Bytes; 0 for NULL.
 *
 * Any thread.
 * @since 0.1
 */
uint64_t
vmkit_memory_get_size(const vmkit_memory *memory);

/**
 * @brief Get the descriptor behind memory.
 * @param memory The memory.
 * @return The descriptor, which belongs to the memory and must not be closed; -1 for memory
 *         without one.
 *
 * Any thread.
 * @since 0.1
 */
int
vmkit_memory_get_fd(const vmkit_memory *memory);

#ifdef __cplusplus
}
#endif
#endif
