/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file sandbox.h
 * @brief One untrusted static Linux program in a virtual machine of its own, without a guest
 * kernel.
 *
 * The program's instructions run natively in user mode of a KVM vCPU. Its system calls leave the
 * VM and are served by this library under the policy of a vmkit_sandbox_config. It sees nothing of
 * the host but what the configuration names: by default three streams and a private in-memory /tmp.
 *
 *     vmkit_sandbox_config *config = NULL;
 *     vmkit_sandbox *sandbox = NULL;
 *     struct vmkit_sandbox_outcome outcome = {.size = sizeof outcome};
 *     vmkit_sandbox_config_new(&config, NULL);
 *     vmkit_sandbox_config_set_program_path(config, "/bin/busybox", NULL);
 *     vmkit_sandbox_new(config, &sandbox, &error);
 *     vmkit_sandbox_run(sandbox, &outcome, &error);
 */
#ifndef VMKIT_SANDBOX_H
#define VMKIT_SANDBOX_H

#include <vmkit/error.h>

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** What a sandbox runs and what it may do. Opaque and reference-counted; used from one thread at a
 * time. A sandbox copies what it needs, so that a configuration serves for many. */
typedef struct vmkit_sandbox_config vmkit_sandbox_config;

/** One program in its VM. Opaque and reference-counted. */
typedef struct vmkit_sandbox vmkit_sandbox;

/** The three streams of a program. */
enum vmkit_stream { VMKIT_STREAM_STDIN = 0, VMKIT_STREAM_STDOUT = 1, VMKIT_STREAM_STDERR = 2 };

/** Flags of vmkit_sandbox_config_add_folder(). */
enum vmkit_folder_flags {
    /** The guest may create, change and delete below the folder; without it, it only reads. */
    VMKIT_FOLDER_WRITABLE = 1
};

/** How a run ended, or why it came back. */
enum vmkit_outcome_kind {
    /** The program called exit; `exit_status` holds the status. */
    VMKIT_OUTCOME_EXITED = 1,
    /** A signal ended it; `signal`, and for a fault the two addresses, hold which. */
    VMKIT_OUTCOME_SIGNALLED = 2,
    /** It reached a limit; `limit` holds which. */
    VMKIT_OUTCOME_LIMIT = 3,
    /** vmkit_sandbox_kill() ended it. */
    VMKIT_OUTCOME_KILLED = 4,
    /** It has not ended: it called vmkit_guest_ready(), or waits for a request (vmkit/guest.h), and
     * stands there. */
    VMKIT_OUTCOME_READY = 5,
    /** The function that vmkit_sandbox_call() called has returned, and the program is ready again.
     */
    VMKIT_OUTCOME_RETURNED = 6,
    /** The program has replied to a vmkit_sandbox_request() and is ready for the next one. */
    VMKIT_OUTCOME_REPLIED = 7,
    /** vmkit_sandbox_pause() stopped the program where it was, and it can go on. */
    VMKIT_OUTCOME_PAUSED = 8
};

/** Limits of a sandbox. A limit of open files never ends a run: the guest gets EMFILE. */
enum vmkit_limit {
    VMKIT_LIMIT_MEMORY = 1,
    VMKIT_LIMIT_CPU_TIME = 2,
    VMKIT_LIMIT_WALL_TIME = 3,
    VMKIT_LIMIT_OPEN_FILES = 4,
    VMKIT_LIMIT_OUTPUT = 5
};

/** How a run came back. Set `size` before the call; fields are only ever appended. */
struct vmkit_sandbox_outcome {
    /** sizeof(struct vmkit_sandbox_outcome) of the caller. */
    uint32_t size;
    /** enum vmkit_outcome_kind. */
    uint32_t kind;
    /** Exit status, 0 to 255; 0 unless `kind` is VMKIT_OUTCOME_EXITED. */
    int32_t exit_status;
    /** Linux signal number; 0 unless `kind` is VMKIT_OUTCOME_SIGNALLED. */
    int32_t signal;
    /** si_code of that signal, as sigaction(2) lists them. */
    int32_t signal_code;
    /** enum vmkit_limit; 0 unless `kind` is VMKIT_OUTCOME_LIMIT. */
    uint32_t limit;
    /** Address that the faulting access named; 0 without a fault. */
    uint64_t fault_address;
    /** Guest instruction pointer when the run came back. */
    uint64_t instruction_pointer;
    /** What a function returned in the register for integers and addresses (RAX); 0 unless `kind`
     * is VMKIT_OUTCOME_RETURNED. */
    uint64_t result;
    /** The second such register (RDX), for a structure or an integer of up to 16 bytes. */
    uint64_t result_high;
    /** What a function returned as a double or a float (XMM0); 0 unless the call asked for it. */
    double real;
    /** The second such register (XMM1), for a structure or a complex number of up to 16 bytes. */
    double real_high;
};

/** What a sandbox has used up to now. Set `size` before the call; fields are only ever appended. */
struct vmkit_sandbox_stats {
    /** sizeof(struct vmkit_sandbox_stats) of the caller. */
    uint32_t size;
    /** Reserved, 0. */
    uint32_t reserved;
    /** Times that the vCPU left the guest, for any reason. */
    uint64_t exits;
    /** System calls served, the unknown ones included. */
    uint64_t syscalls;
    /** System calls that the library does not know, answered with ENOSYS. */
    uint64_t unknown_syscalls;
    /** Page faults that the library resolved. */
    uint64_t page_faults;
    /** Signals delivered to a handler of the guest. */
    uint64_t signals;
    /** CPU time of the thread in vmkit_sandbox_run(), in nanoseconds. */
    uint64_t cpu_time_ns;
    /** Wall time spent in vmkit_sandbox_run(), in nanoseconds. */
    uint64_t wall_time_ns;
    /** Bytes of guest memory in use now: program, page tables and files in /tmp. */
    uint64_t memory_bytes;
    /** The most that memory_bytes ever was. */
    uint64_t memory_peak_bytes;
    /** Bytes written to stdout and stderr together. */
    uint64_t output_bytes;
};

/**
 * @brief Give the guest input.
 * @param user_data What was given with the callback.
 * @param buffer Where to put the bytes.
 * @param size Room in bytes, at least 1.
 * @return How many bytes were put there; 0 for the end of input; a negative errno for an error that
 *         the guest's read then returns.
 *
 * Called on the thread that is in vmkit_sandbox_run(), with no lock held: vmkit_sandbox_kill() may
 * be called inside.
 */
typedef int64_t (*vmkit_input_callback)(void *user_data, void *buffer, uint64_t size);

/**
 * @brief Take the guest's output.
 * @param user_data What was given with the callback.
 * @param data The bytes; they belong to the library and are gone after the call.
 * @param size How many bytes, at least 1.
 * @return How many bytes were taken, at least 1; or a negative errno for an error that the guest's
 *         write then returns.
 *
 * Called on the thread that is in vmkit_sandbox_run(), with no lock held: vmkit_sandbox_kill() may
 * be called inside.
 */
typedef int64_t (*vmkit_output_callback)(void *user_data, const void *data, uint64_t size);

/**
 * @brief Make a configuration with defaults.
 * @param ret_config Receives the configuration; the caller releases it with
 *        vmkit_sandbox_config_unref().
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL without `ret_config`; -ENOMEM.
 *
 * Defaults: no program; arguments: the program's path; an empty environment; working directory "/";
 * no folders; empty standard input; standard output and error each kept in a buffer of 1 MiB;
 * limits: memory 256 MiB, 64 open files, 64 MiB of output, no limit of CPU or wall time.
 * Any thread.
 * @since 0.1
 */
int
vmkit_sandbox_config_new(vmkit_sandbox_config **ret_config, vmkit_error **ret_error);

/**
 * @brief Take a further reference to a configuration.
 * @param config The configuration, or NULL.
 * @return The same, to be released with vmkit_sandbox_config_unref().
 *
 * Any thread.
 * @since 0.1
 */
vmkit_sandbox_config *
vmkit_sandbox_config_ref(vmkit_sandbox_config *config);

/**
 * @brief Release a reference to a configuration; the last one frees it.
 * @param config The configuration, or NULL, for which nothing is done.
 *
 * Any thread.
 * @since 0.1
 */
void
vmkit_sandbox_config_unref(vmkit_sandbox_config *config);

/**
 * @brief Run the program in a file of the host.
 * @param config The configuration.
 * @param path Path on the host; copied. The file is opened by vmkit_sandbox_new().
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL for NULL or an empty path; -ENOMEM.
 *
 * Replaces a program set before.
 * @since 0.1
 */
int
vmkit_sandbox_config_set_program_path(vmkit_sandbox_config *config, const char *path,
                                      vmkit_error **ret_error);

/**
 * @brief Run the program that an open descriptor names.
 * @param config The configuration.
 * @param fd A readable regular file or memfd; duplicated, and the caller keeps its own.
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL for a descriptor that is not open; -EMFILE; -ENOMEM.
 *
 * Replaces a program set before. Its name in the default arguments is "program".
 * @since 0.1
 */
int
vmkit_sandbox_config_set_program_fd(vmkit_sandbox_config *config, int fd, vmkit_error **ret_error);

/**
 * @brief Run the program in a piece of memory.
 * @param config The configuration.
 * @param data The ELF file; copied.
 * @param size Its size in bytes, at most 1 GiB.
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL for NULL or a size of zero; -E2BIG; -ENOMEM.
 *
 * Replaces a program set before. Its name in the default arguments is "program".
 * @since 0.1
 */
int
vmkit_sandbox_config_set_program_memory(vmkit_sandbox_config *config, const void *data,
                                        uint64_t size, vmkit_error **ret_error);

/**
 * @brief Set the program's arguments.
 * @param config The configuration.
 * @param arguments Strings, ended by NULL, the first of which is the program's name; copied. NULL
 *        brings the default back.
 * @param ret_error Receives the error, or NULL.
 * @return 0; -E2BIG above 1 MiB of strings; -ENOMEM.
 * @since 0.1
 */
int
vmkit_sandbox_config_set_arguments(vmkit_sandbox_config *config, const char *const *arguments,
                                   vmkit_error **ret_error);

/**
 * @brief Set the program's whole environment.
 * @param config The configuration.
 * @param environment Strings of the form NAME=VALUE, ended by NULL; copied. NULL empties it.
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL for a string without '=' or with an empty name; -E2BIG above 1 MiB; -ENOMEM.
 * @since 0.1
 */
int
vmkit_sandbox_config_set_environment(vmkit_sandbox_config *config, const char *const *environment,
                                     vmkit_error **ret_error);

/**
 * @brief Set the folder that the program starts in.
 * @param config The configuration.
 * @param guest_path Absolute path inside of the sandbox; copied. vmkit_sandbox_new() checks that
 *        it is there.
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL for NULL or a path that is not absolute; -ENAMETOOLONG above 4,095 bytes;
 *         -ENOMEM.
 * @since 0.1
 */
int
vmkit_sandbox_config_set_working_directory(vmkit_sandbox_config *config, const char *guest_path,
                                           vmkit_error **ret_error);

/**
 * @brief Set the user and group that the program takes itself for.
 * @param config The configuration.
 * @param uid User number that getuid(2) and its like return; 1000 by default.
 * @param gid Group number; 1000 by default.
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL for 0xffffffff.
 *
 * It gives no rights: access to host folders is always that of the calling process.
 * @since 0.1
 */
int
vmkit_sandbox_config_set_user(vmkit_sandbox_config *config, uint32_t uid, uint32_t gid,
                              vmkit_error **ret_error);

/**
 * @brief Show a folder, or a single file, of the host to the guest.
 * @param config The configuration.
 * @param host_path Path on the host; opened now, so that later renames do not matter.
 * @param guest_path Absolute path inside of the sandbox, without "." and ".."; copied. Folders on
 *        the way to it appear by themselves. "/" makes it the root.
 * @param flags A sum of enum vmkit_folder_flags.
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL for a NULL, a guest path of another form or an unknown flag; -EEXIST when the
 *         guest path is taken; -ENOENT, -EACCES, -ENOTDIR, -ELOOP, -EMFILE, -ENFILE or -EIO from
 *         opening; -ENOENT also where this process has no /proc, as in some chroots; -ENOTDIR also
 *         for what is neither a folder nor a regular file; -EACCES also for a folder of procfs;
 *         -ENAMETOOLONG; -ENOMEM.
 *
 * No path, symbolic link or ".." leads the guest out of the folder (openat2(2), RESOLVE_IN_ROOT).
 * @since 0.1
 */
int
vmkit_sandbox_config_add_folder(vmkit_sandbox_config *config, const char *host_path,
                                const char *guest_path, uint64_t flags, vmkit_error **ret_error);

/**
 * @brief Show the folder or file that an open descriptor names to the guest.
 * @param config The configuration.
 * @param fd The folder's or file's descriptor (O_PATH is enough); duplicated, and the caller keeps
 *        its own.
 * @param guest_path As for vmkit_sandbox_config_add_folder().
 * @param flags A sum of enum vmkit_folder_flags.
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL for a guest path of another form, an unknown flag or a descriptor that is not
 *         open; -EEXIST when the guest path is taken; -ENOTDIR for what is neither a folder nor a
 *         regular file; -EACCES for a folder of procfs; -ENAMETOOLONG; -EMFILE; -ENOMEM; -EIO when
 *         the host cannot tell what it is.
 * @since 0.1
 */
int
vmkit_sandbox_config_add_folder_fd(vmkit_sandbox_config *config, int fd, const char *guest_path,
                                   uint64_t flags, vmkit_error **ret_error);

/**
 * @brief Connect a stream to a descriptor of the host.
 * @param config The configuration.
 * @param stream enum vmkit_stream.
 * @param fd The descriptor; duplicated, and the caller keeps its own. A sandbox that waits for it
 *        can be killed and reaches its limits all the same. A file behind an output stream is
 *        written from its position on, or at its end (O_APPEND): the guest can neither move the
 *        position nor cut the file.
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL for another stream or a descriptor that is not open; -EMFILE; -ENOMEM.
 * @since 0.1
 */
int
vmkit_sandbox_config_set_stream_fd(vmkit_sandbox_config *config, uint32_t stream, int fd,
                                   vmkit_error **ret_error);

/**
 * @brief Give the program its whole standard input at once.
 * @param config The configuration.
 * @param data The bytes; copied. NULL only with a size of 0.
 * @param size How many bytes, at most 1 GiB.
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL; -E2BIG; -ENOMEM.
 * @since 0.1
 */
int
vmkit_sandbox_config_set_input(vmkit_sandbox_config *config, const void *data, uint64_t size,
                               vmkit_error **ret_error);

/**
 * @brief Read the program's standard input from a callback.
 * @param config The configuration.
 * @param callback The callback, not NULL. It must stay callable as long as a sandbox made from the
 *        configuration lives.
 * @param user_data Handed to it.
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL.
 * @since 0.1
 */
int
vmkit_sandbox_config_set_input_callback(vmkit_sandbox_config *config, vmkit_input_callback callback,
                                        void *user_data, vmkit_error **ret_error);

/**
 * @brief Keep an output stream in a buffer that vmkit_sandbox_get_output() lends.
 * @param config The configuration.
 * @param stream VMKIT_STREAM_STDOUT or VMKIT_STREAM_STDERR.
 * @param limit Bytes to keep at the most, 1 to 1 GiB; a program that writes more ends with
 *        VMKIT_LIMIT_OUTPUT.
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL for another stream or a limit of zero; -E2BIG above 1 GiB.
 * @since 0.1
 */
int
vmkit_sandbox_config_set_output_buffer(vmkit_sandbox_config *config, uint32_t stream,
                                       uint64_t limit, vmkit_error **ret_error);

/**
 * @brief Hand an output stream to a callback as it comes.
 * @param config The configuration.
 * @param stream VMKIT_STREAM_STDOUT or VMKIT_STREAM_STDERR.
 * @param callback The callback, not NULL. It must stay callable as long as a sandbox made from the
 *        configuration lives.
 * @param user_data Handed to it.
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL.
 * @since 0.1
 */
int
vmkit_sandbox_config_set_output_callback(vmkit_sandbox_config *config, uint32_t stream,
                                         vmkit_output_callback callback, void *user_data,
                                         vmkit_error **ret_error);

/**
 * @brief Limit the memory of the guest: its pages, its page tables and its files in /tmp together.
 * @param config The configuration.
 * @param bytes The limit, 1 MiB to 1 TiB; rounded up to whole pages of 4 KiB.
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL for zero; -ERANGE outside of the range.
 *
 * A mapping that would go beyond is refused with ENOMEM, as is a file in /tmp with ENOSPC; a page
 * that cannot be had when the guest touches it ends the run with VMKIT_LIMIT_MEMORY.
 * @since 0.1
 */
int
vmkit_sandbox_config_set_memory_limit(vmkit_sandbox_config *config, uint64_t bytes,
                                      vmkit_error **ret_error);

/**
 * @brief Limit the CPU time of a run.
 * @param config The configuration.
 * @param nanoseconds CPU time of the running thread, guest and library together, not zero. It
 *        counts anew from the start of each vmkit_sandbox_run() and vmkit_sandbox_call().
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL for zero.
 * @since 0.1
 */
int
vmkit_sandbox_config_set_cpu_time_limit(vmkit_sandbox_config *config, uint64_t nanoseconds,
                                        vmkit_error **ret_error);

/**
 * @brief Limit the wall time of a run, sleeping included.
 * @param config The configuration.
 * @param nanoseconds Time by CLOCK_MONOTONIC from the start of each vmkit_sandbox_run() and
 *        vmkit_sandbox_call(), not zero.
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL for zero.
 * @since 0.1
 */
int
vmkit_sandbox_config_set_wall_time_limit(vmkit_sandbox_config *config, uint64_t nanoseconds,
                                         vmkit_error **ret_error);

/**
 * @brief Limit the descriptors that the guest may have open.
 * @param config The configuration.
 * @param count How many, its three streams included, 3 to 4,096.
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL for zero; -ERANGE below 3 and above 4,096.
 * @since 0.1
 */
int
vmkit_sandbox_config_set_open_files_limit(vmkit_sandbox_config *config, uint64_t count,
                                          vmkit_error **ret_error);

/**
 * @brief Limit what the guest writes to standard output and standard error together.
 * @param config The configuration.
 * @param bytes The limit, not zero; UINT64_MAX lifts it. The bytes up to the limit are delivered;
 * then the run ends with VMKIT_LIMIT_OUTPUT.
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL for zero.
 * @since 0.1
 */
int
vmkit_sandbox_config_set_output_limit(vmkit_sandbox_config *config, uint64_t bytes,
                                      vmkit_error **ret_error);

/**
 * @brief Make a VM and load the program into it, ready to run.
 * @param config What to run, and what it may do; copied.
 * @param ret_sandbox Receives the sandbox; the caller releases it with vmkit_sandbox_unref().
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL for a NULL or a configuration without a program; -ENOENT, -EACCES, -EISDIR,
 *         -ENOTDIR, -ELOOP, -ENAMETOOLONG, -ENXIO, -EMFILE, -ENFILE or -EIO when the program or the
 *         working directory cannot be opened or read; -ENOEXEC when the program is no static x86-64
 *         ELF file or is malformed; -E2BIG when the program and its strings do not fit under the
 *         memory limit; -ENODEV, -EACCES or -ENOTSUP when KVM cannot be used (vmkit_host_probe()
 *         says more); -EAGAIN when the host has no random bytes yet; -EIO when KVM failed
 * otherwise, or a filter forbids a call that it needs; -ENOMEM when the host has no memory.
 *
 * Any thread; two sandboxes share nothing.
 * @since 0.1
 */
int
vmkit_sandbox_new(const vmkit_sandbox_config *config, vmkit_sandbox **ret_sandbox,
                  vmkit_error **ret_error);

/**
 * @brief Take a further reference to a sandbox.
 * @param sandbox The sandbox, or NULL.
 * @return The same, to be released with vmkit_sandbox_unref().
 *
 * Any thread.
 * @since 0.1
 */
vmkit_sandbox *
vmkit_sandbox_ref(vmkit_sandbox *sandbox);

/**
 * @brief Release a reference to a sandbox; the last one frees the VM.
 * @param sandbox The sandbox, or NULL, for which nothing is done.
 *
 * Any thread. A thread that is in vmkit_sandbox_run() holds a reference of its own.
 * @since 0.1
 */
void
vmkit_sandbox_unref(vmkit_sandbox *sandbox);

/**
 * @brief Run the program on the calling thread until it ends or declares itself ready.
 * @param sandbox The sandbox. One that is ready goes on behind vmkit_guest_ready(), one that is
 *        paused where it was.
 * @param outcome Receives why it came back; `size` must be set. Not NULL.
 * @param ret_error Receives the error, or NULL.
 * @return 0 when the program ended in whichever way, is ready or was paused; -EINVAL; -EBUSY when
 *         another thread, or this one, runs it; -ENOTSUP when it has ended before, or is paused in
 *         a call or a request; -EAGAIN when the host
 *         has no place left for the signals that stop a guest, of a kill or of a limit of time
 *         (RLIMIT_SIGPENDING), or no task that its KVM needs (RLIMIT_NPROC), in which case the
 *         program is where it was and can be run again; -EIO when KVM failed, in a child of
 * fork(2), whose parent made it, or where a filter forbids a call that stops a guest; -ENOMEM.
 *
 * While it runs, one real-time signal (vmkit_host_get_kick_signal()) is blocked in the calling
 * thread; the thread's signal mask is as it was when the call returns. No other thread is touched.
 * The thread needs 64 KiB of stack.
 * @since 0.1
 */
int
vmkit_sandbox_run(vmkit_sandbox *sandbox, struct vmkit_sandbox_outcome *outcome,
                  vmkit_error **ret_error);

/**
 * @brief End a run, or keep one that has not begun from beginning.
 * @param sandbox The sandbox, or NULL, for which nothing is done.
 *
 * Returns at once; the thread in vmkit_sandbox_run() returns with VMKIT_OUTCOME_KILLED, unless the
 * program ended by itself first. Any thread, at any time, inside callbacks too; it may be called
 * more than once. Not from a signal handler.
 * @since 0.1
 */
void
vmkit_sandbox_kill(vmkit_sandbox *sandbox);

/**
 * @brief Have a run come back with the program as it stands, at whatever instruction.
 * @param sandbox The sandbox, or NULL, for which nothing is done.
 *
 * Returns at once; the thread in vmkit_sandbox_run() returns with VMKIT_OUTCOME_PAUSED. When none
 * is on, or it comes back for another reason first, the next one does so before the program's next
 * instruction; several pauses before that count as one. vmkit_sandbox_kill() goes before, and
 * vmkit_sandbox_reset() takes a pause back that nothing has come of.
 *
 * A sandbox that is paused stands still: a further vmkit_sandbox_run() goes on as if nothing had
 * been, vmkit_sandbox_snapshot() takes a snapshot, vmkit_sandbox_reset() works. Functions of it
 * cannot be called, nor requests made, until it is ready again. A system call that waits goes on
 * waiting for the rest of its time; one that is at work is finished first, and so is a callback.
 *
 * vmkit_sandbox_call() and vmkit_sandbox_request() come back paused as well. Such a call goes on by
 * the same function with the same arguments, and in no other way; a request with the same data. A
 * call whose function has executed another program goes on by vmkit_sandbox_run().
 * Meanwhile a snapshot is refused (-ENOTSUP); a reset works.
 *
 * Any thread, at any time, inside callbacks too. Not from a signal handler.
 * @since 0.1
 */
void
vmkit_sandbox_pause(vmkit_sandbox *sandbox);

/**
 * @brief Get what the program wrote to a stream that is kept in a buffer.
 * @param sandbox The sandbox, which must not be running.
 * @param stream VMKIT_STREAM_STDOUT or VMKIT_STREAM_STDERR.
 * @param ret_data Receives the bytes, lent until the sandbox runs again or is freed. Not NULL
 *        after success, also for a size of 0.
 * @param ret_size Receives how many.
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL for another stream, a NULL or a stream that is not kept in a buffer; -EBUSY
 *         while it runs.
 * @since 0.1
 */
int
vmkit_sandbox_get_output(vmkit_sandbox *sandbox, uint32_t stream, const void **ret_data,
                         uint64_t *ret_size, vmkit_error **ret_error);

/**
 * @brief Get what the sandbox has used.
 * @param sandbox The sandbox.
 * @param stats Receives the figures; `size` must be set.
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL; -EBUSY while another thread runs it.
 * @since 0.1
 */
int
vmkit_sandbox_get_stats(vmkit_sandbox *sandbox, struct vmkit_sandbox_stats *stats,
                        vmkit_error **ret_error);

/**
 * @brief Get how often the program made one system call.
 * @param sandbox The sandbox.
 * @param number The call's number in the guest's ABI, 0 to 511; higher ones are counted together
 *        as 511.
 * @param ret_count Receives how often.
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL; -ERANGE for a number above 511; -EBUSY while another thread runs it.
 * @since 0.1
 */
int
vmkit_sandbox_get_syscall_count(vmkit_sandbox *sandbox, uint32_t number, uint64_t *ret_count,
                                vmkit_error **ret_error);

/**
 * @brief Get the name of a Linux system call of the guest's ABI.
 * @param number The call's number.
 * @return The name, such as "openat"; NULL for a number that this release has no name for. The
 *         string is static.
 *
 * Any thread. Never fails.
 * @since 0.1
 */
const char *
vmkit_syscall_get_name(uint32_t number);

#ifdef __cplusplus
}
#endif
#endif
