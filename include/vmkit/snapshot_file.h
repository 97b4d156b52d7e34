/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file snapshot_file.h
 * @brief Snapshot files: how they are written, and what can be done with one without running it.
 *
 * doc/snapshot-format.md describes the files. A full file holds all of a machine; an incremental
 * one names its parent, and holds what differs from it. Every file has an identity that follows
 * from what is in it, however it is stored: the same contents, raw or compressed, have the same
 * one.
 *
 *     vmkit_snapshot_file *file = NULL;
 *     vmkit_snapshot_file_open_path("warm.snapshot", 0, &file, &error);
 *     vmkit_snapshot_file_verify(file, NULL, &error);
 *     vmkit_snapshot_file_unref(file);
 *
 * Files of strangers are checked before anything of them is used. Checksums find damage; they do
 * not keep out whoever changes a file and its checksums together.
 */
#ifndef VMKIT_SNAPSHOT_FILE_H
#define VMKIT_SNAPSHOT_FILE_H

#include <vmkit/error.h>

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** How snapshots are written, and gone through. Opaque and reference-counted; used from one thread
 * at a time. */
typedef struct vmkit_snapshot_options vmkit_snapshot_options;

/** An opened snapshot file. Opaque and reference-counted. */
typedef struct vmkit_snapshot_file vmkit_snapshot_file;

/** Flags of vmkit_snapshot_file_open_path() and vmkit_snapshot_file_open_fd(). */
enum vmkit_snapshot_file_flags {
    /** Copy the whole file into memory first: as much as its header allows, and no more than the
     * limit of memory of the options or, without one, than the host has. Without it the file must
     * stay as it is while it is open: a program that shortens it meanwhile makes whoever touches
     * memory that was mapped from it fail with SIGBUS. Needed for a pipe. */
    VMKIT_SNAPSHOT_FILE_COPY = 1
};

/**
 * @brief Hear how far a call is, and cancel it.
 * @param user_data What was given with the callback.
 * @param done Bytes of `total` that are done; never fewer than in the call before.
 * @param total Bytes in all.
 * @return 0 to go on; anything else makes the call fail with -ECANCELED and leave nothing behind.
 *
 * Called on the thread that made the call, with no lock held, at the least every few MiB. While a
 * source is copied for VMKIT_SNAPSHOT_FILE_COPY nothing is done yet, and `total` is what the copy
 * may have: a pipe that gives nothing is asked about ten times a second.
 */
typedef int32_t (*vmkit_progress_callback)(void *user_data, uint64_t done, uint64_t total);

/** What a snapshot file is. Set `size` before the call; fields are only ever appended. */
struct vmkit_snapshot_file_info {
    /** sizeof(struct vmkit_snapshot_file_info) of the caller. */
    uint32_t size;
    /** Version of the format. */
    uint32_t version;
    /** How many parents it needs, one behind the other; 0 for a full file. */
    uint32_t depth;
    /** 1 when the memory is compressed, else 0. */
    uint32_t compressed;
    /** How many sections it has, those of the memory itself included. */
    uint32_t section_count;
    /** Reserved, 0. */
    uint32_t reserved;
    /** Size of the file, in bytes. */
    uint64_t file_size;
    /** Size of the guest's memory, in bytes. */
    uint64_t memory_size;
    /** Pages of 4,096 bytes that are stored in this file. */
    uint64_t data_pages;
    /** Pages that are zero, and take no room. */
    uint64_t zero_pages;
    /** Pages that are the same as in the parent. */
    uint64_t parent_pages;
    /** What the stored pages take in the file, in bytes. */
    uint64_t stored_bytes;
    /** Architecture of the guest, such as "x86_64", ended by a NUL. */
    char architecture[16];
    /** What the file is, see above. */
    uint8_t identity[16];
    /** Identity of the parent; zeros for a full file. */
    uint8_t parent[16];
};

/** A section of a snapshot file. Set `size` before the call; fields are only ever appended. */
struct vmkit_snapshot_file_section {
    /** sizeof(struct vmkit_snapshot_file_section) of the caller. */
    uint32_t size;
    /** Version of what is in it. */
    uint32_t version;
    /** 1 when whoever does not know the section must refuse the file, else 0. */
    uint32_t required;
    /** Reserved, 0. */
    uint32_t reserved;
    /** Size of what is in it, in bytes. */
    uint64_t bytes;
    /** Checksum of what is in it. */
    uint64_t checksum;
    /** Its name, ended by a NUL; "memory." begins the names of the memory's own sections. */
    char name[24];
};

/** How two snapshot files differ. Set `size` before the call; fields are only ever appended. */
struct vmkit_snapshot_file_difference {
    /** sizeof(struct vmkit_snapshot_file_difference) of the caller. */
    uint32_t size;
    /** Sections of the same name that are equal; none of these counts the memory's own. */
    uint32_t sections_equal;
    /** Sections of the same name that differ. */
    uint32_t sections_changed;
    /** Sections that only the first file has. */
    uint32_t sections_only_in_first;
    /** Sections that only the second file has. */
    uint32_t sections_only_in_second;
    /** Reserved, 0. */
    uint32_t reserved;
    /** Pages that are equal. */
    uint64_t pages_equal;
    /** Pages that differ, and those that only the larger memory has. */
    uint64_t pages_changed;
    /** Pages of which one is the same as in a parent that was not set. */
    uint64_t pages_unknown;
};

/**
 * @brief Make options with defaults.
 * @param ret_options Receives the options; the caller releases them with
 *        vmkit_snapshot_options_unref().
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL without `ret_options`; -ENOMEM.
 *
 * Defaults: memory is stored raw; what is written is synced to the disk; as many threads as this
 * thread may use processors; no callback. Where a function takes options, NULL means
 * these. Any thread.
 * @since 0.1
 */
int
vmkit_snapshot_options_new(vmkit_snapshot_options **ret_options, vmkit_error **ret_error);

/**
 * @brief Take a further reference to options.
 * @param options The options, or NULL.
 * @return The same, to be released with vmkit_snapshot_options_unref().
 *
 * Any thread.
 * @since 0.1
 */
vmkit_snapshot_options *
vmkit_snapshot_options_ref(vmkit_snapshot_options *options);

/**
 * @brief Release a reference to options; the last one frees them.
 * @param options The options, or NULL, for which nothing is done.
 *
 * Any thread.
 * @since 0.1
 */
void
vmkit_snapshot_options_unref(vmkit_snapshot_options *options);

/**
 * @brief Choose how memory is stored.
 * @param options The options.
 * @param level 0: raw, so that a restore maps it and reads only what is touched. 1 (fast) to 9
 *        (small): compressed by zlib.
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL for NULL or a level above 9.
 * @since 0.1
 */
int
vmkit_snapshot_options_set_compression(vmkit_snapshot_options *options, uint32_t level,
                                       vmkit_error **ret_error);

/**
 * @brief Choose whether a file is on the disk when its save returns.
 * @param options The options.
 * @param sync 1: fsync(2) of the file before it takes its place, and of its folder after that; a
 *        crash of the host leaves the former file or the new one. 0: the kernel writes it when it
 *        likes, and only a crash of the program is harmless.
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL for NULL or another number.
 * @since 0.1
 */
int
vmkit_snapshot_options_set_sync(vmkit_snapshot_options *options, uint32_t sync,
                                vmkit_error **ret_error);

/**
 * @brief Limit the threads of a call.
 * @param options The options.
 * @param count 1 to 64; 1 makes none beside the calling one. 0 for one a processor.
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL for NULL; -ERANGE above 64.
 *
 * Threads are made for the call and gone when it returns. They block all signals and call no
 * callback. What is written does not depend on their number.
 * @since 0.1
 */
int
vmkit_snapshot_options_set_threads(vmkit_snapshot_options *options, uint32_t count,
                                   vmkit_error **ret_error);

/**
 * @brief Say when the compressed memory of a snapshot that is opened is decompressed.
 * @param options The options.
 * @param lazy 0 for at once, all of it and checked; 1 for when a machine first touches it, in
 * pieces of up to 256 KiB.
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL for NULL options or another value.
 *
 * A lazy snapshot is opened in a time that does not grow with its memory, and pays for what is
 * touched. A thread of its own serves those faults, by userfaultfd(2): opening is -EPERM where the
 * host does not let this process handle faults of the kernel's, -ENOTSUP where its kernel has no
 * such call, and -EAGAIN where there is no further thread. Damage is found late: a machine that
 * touches a part that is damaged finds zeros there, and its run ends with -EIO and the kind
 * bad-snapshot; so does saving the snapshot. A child of fork(2) cannot use such a snapshot. Raw
 * memory is read when it is touched, whatever is said here. Of no effect where a snapshot is not
 * opened.
 * @since 0.1
 */
int
vmkit_snapshot_options_set_lazy(vmkit_snapshot_options *options, uint32_t lazy,
                                vmkit_error **ret_error);

/**
 * @brief Hear of the progress of a call.
 * @param options The options.
 * @param callback The callback, or NULL for none.
 * @param user_data Handed to it.
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL for NULL options.
 * @since 0.1
 */
int
vmkit_snapshot_options_set_progress(vmkit_snapshot_options *options,
                                    vmkit_progress_callback callback, void *user_data,
                                    vmkit_error **ret_error);

/**
 * @brief Limit the memory that opening a snapshot takes.
 * @param options The options.
 * @param bytes How much the whole file may have with VMKIT_SNAPSHOT_FILE_COPY, how much its memory
 *        when it is decompressed, how much the page tables of a sandbox, and how much KVM's books
 *        on the regions of a raw VM, 8 bytes for each page of 4 KiB. 0, the default, for as much
 *        as the host has.
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL for NULL.
 *
 * For files of strangers, in which a thousand bytes may stand for a million. Memory that is mapped
 * from a file does not count.
 * @since 0.1
 */
int
vmkit_snapshot_options_set_memory_limit(vmkit_snapshot_options *options, uint64_t bytes,
                                        vmkit_error **ret_error);

/**
 * @brief Open a snapshot file, and check all of it but its sections and memory.
 * @param path Path on the host.
 * @param flags A sum of enum vmkit_snapshot_file_flags.
 * @param ret_file Receives the file; the caller releases it with vmkit_snapshot_file_unref().
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL for a NULL, an unknown flag, a file that is no regular one, or, with the kind
 *         bad-snapshot, one that is damaged, cut or hostile; -ENOTSUP for a later version; -E2BIG
 *         when a copy would be above what the host has of memory, or this process's limit of file
 *         sizes (RLIMIT_FSIZE); -ENOENT,
 *         -EACCES, -EISDIR, -ELOOP, -ENOTDIR, -ENAMETOOLONG, -ENXIO, -EMFILE, -ENFILE or -EIO from
 *         opening and reading; -ENOMEM.
 *
 * Any architecture's file can be opened. Any thread.
 * @since 0.1
 */
int
vmkit_snapshot_file_open_path(const char *path, uint64_t flags, vmkit_snapshot_file **ret_file,
                              vmkit_error **ret_error);

/**
 * @brief The same for an open descriptor.
 * @param fd A readable regular file or memfd, of which the whole is the snapshot, wherever the
 *        descriptor stands; with VMKIT_SNAPSHOT_FILE_COPY also a pipe or a socket, which is read to
 *        its end. Duplicated, and the caller keeps its own.
 * @param flags A sum of enum vmkit_snapshot_file_flags.
 * @param ret_file Receives the file; the caller releases it with vmkit_snapshot_file_unref().
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL for a NULL, an unknown flag, a descriptor that is not open or of no regular
 *         file, or, with the kind bad-snapshot, a file that is damaged, cut or hostile; -ENOTSUP
 *         for a later version; -E2BIG when a copy would be above what the host has of memory, or
 *         this process's limit of file sizes (RLIMIT_FSIZE); -EISDIR; -EMFILE, -ENFILE; -EIO from
 *         reading; -ENOMEM.
 *
 * Any thread.
 * @since 0.1
 */
int
vmkit_snapshot_file_open_fd(int fd, uint64_t flags, vmkit_snapshot_file **ret_file,
                            vmkit_error **ret_error);

/**
 * @brief Take a further reference to a file.
 * @param file The file, or NULL.
 * @return The same, to be released with vmkit_snapshot_file_unref().
 *
 * Any thread.
 * @since 0.1
 */
vmkit_snapshot_file *
vmkit_snapshot_file_ref(vmkit_snapshot_file *file);

/**
 * @brief Release a reference to a file; the last one closes it.
 * @param file The file, or NULL, for which nothing is done.
 *
 * Any thread.
 * @since 0.1
 */
void
vmkit_snapshot_file_unref(vmkit_snapshot_file *file);

/**
 * @brief Get what a file is.
 * @param file The file.
 * @param info Receives it; `size` is set.
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL for a NULL or a wrong `size`.
 *
 * Any thread.
 * @since 0.1
 */
int
vmkit_snapshot_file_get_info(vmkit_snapshot_file *file, struct vmkit_snapshot_file_info *info,
                             vmkit_error **ret_error);

/**
 * @brief Get what a section of a file is.
 * @param file The file.
 * @param number From 0 to one less than `section_count` of the file's info.
 * @param section Receives it; `size` is set.
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL for a NULL or a wrong `size`; -ERANGE for another number.
 *
 * Any thread.
 * @since 0.1
 */
int
vmkit_snapshot_file_get_section(vmkit_snapshot_file *file, uint32_t number,
                                struct vmkit_snapshot_file_section *section,
                                vmkit_error **ret_error);

/**
 * @brief Give an incremental file its parent.
 * @param file The file, used from no other thread during the call.
 * @param parent The parent; the file takes a reference. It has to have its own parent, or gets it
 *        before the file is used.
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL for a NULL, a full file, one that has its parent, and, with the kind
 *         bad-snapshot, for a parent that is not the one that the file names: another one, or one
 *         that was changed.
 * @since 0.1
 */
int
vmkit_snapshot_file_set_parent(vmkit_snapshot_file *file, vmkit_snapshot_file *parent,
                               vmkit_error **ret_error);

/**
 * @brief Check every byte of a file, its sections and memory too, but not its parents.
 * @param file The file.
 * @param options Threads and progress count; NULL for the defaults.
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL for NULL, and, with the kind bad-snapshot, for damage; -ECANCELED; -EIO;
 *         -ENOMEM.
 *
 * Any thread.
 * @since 0.1
 */
int
vmkit_snapshot_file_verify(vmkit_snapshot_file *file, vmkit_snapshot_options *options,
                           vmkit_error **ret_error);

/**
 * @brief Write a file with all of its parents as one full file.
 * @param file The file, with its parents set.
 * @param path Path on the host. The new file takes the path's place, and the one that was there
 *        stays as it was when the call fails. A symbolic link is followed, and stays; what is no
 *        regular file is not replaced. Only this user may read it: memory holds secrets.
 * @param options How to write it; NULL for the defaults.
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL for a NULL, an empty path, one where a device, a FIFO or a socket stands, or
 *         damage; -ENOENT when a parent is missing; -E2BIG when the file would be above a limit of
 *         file sizes; -ECANCELED; -ENOSPC, -EACCES, -EISDIR, -ENOENT, -ENOTDIR, -ELOOP,
 *         -ENAMETOOLONG, -EROFS, -EPERM or -EIO from writing; -EMFILE, -ENFILE; -ENOMEM.
 *
 * The result is byte by byte what a full save would have written with the same options. Any thread.
 * @since 0.1
 */
int
vmkit_snapshot_file_merge_path(vmkit_snapshot_file *file, const char *path,
                               vmkit_snapshot_options *options, vmkit_error **ret_error);

/**
 * @brief The same to a descriptor.
 * @param file The file, with its parents set.
 * @param fd A regular file or memfd that stands at 0 and is cut behind the snapshot, a pipe or a
 *        socket; it is written from the first byte to the last. The caller keeps it. After a
 *        failure it holds a part that no reader takes for a snapshot.
 * @param options How to write it; NULL for the defaults.
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL for a NULL, damage, or a descriptor that is not open, stands elsewhere or is
 *         of a file that is merged; -EACCES for one that cannot be written to; -ENOTSUP for a block
 *         device; -ENOENT when a parent is missing; -E2BIG when the file would be above a limit of
 *         file sizes; -ECANCELED; -ENOSPC, -EPERM or -EIO from writing; -ENOMEM.
 *
 * A pipe without a reader is -EIO and no signal. Any thread.
 * @since 0.1
 */
int
vmkit_snapshot_file_merge_fd(vmkit_snapshot_file *file, int fd, vmkit_snapshot_options *options,
                             vmkit_error **ret_error);

/**
 * @brief Compare two files.
 * @param first One file, with its parents set.
 * @param second The other one.
 * @param difference Receives the result; `size` is set.
 * @param ret_error Receives the error, or NULL.
 * @return 0, also when they differ; -EINVAL for a NULL, a wrong `size` or damage; -EIO; -ENOMEM.
 *
 * Checksums are compared, and the memory itself is not read: verify both files first when they may
 * be damaged. Any thread.
 * @since 0.1
 */
int
vmkit_snapshot_file_diff(vmkit_snapshot_file *first, vmkit_snapshot_file *second,
                         struct vmkit_snapshot_file_difference *difference,
                         vmkit_error **ret_error);

#ifdef __cplusplus
}
#endif
#endif
