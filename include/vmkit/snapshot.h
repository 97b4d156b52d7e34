/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file snapshot.h
 * @brief A machine that stands still, as a value: others are made from it that go on from there.
 *
 * A snapshot is one of a sandbox or one of a raw VM. Sandboxes are forked from it, and reset to it:
 *
 *     vmkit_sandbox_run(sandbox, &outcome, &error);
 *     if (outcome.kind == VMKIT_OUTCOME_READY)
 *         vmkit_sandbox_snapshot(sandbox, &snapshot, &error);
 *     vmkit_snapshot_fork(snapshot, NULL, &fork, &error);
 *     vmkit_sandbox_run(fork, &outcome, &error);
 *     vmkit_sandbox_reset(fork, &error);
 *
 * Raw VMs are made from it, with all of their vCPUs:
 *
 *     vmkit_vm_snapshot(vm, NULL, 0, &snapshot, &error);
 *     vmkit_vm_new_from_snapshot(snapshot, NULL, 0, &vcpu, 1, NULL, &copy, &error);
 *     vmkit_vcpu_run(vcpu, &exit, &error);
 *
 * A snapshot is saved to a file, and opened from it in another process or on another host:
 *
 *     vmkit_snapshot_save_path(snapshot, "warm.snapshot", NULL, &error);
 *     vmkit_snapshot_open_path("warm.snapshot", 0, NULL, &snapshot, &error);
 */
#ifndef VMKIT_SNAPSHOT_H
#define VMKIT_SNAPSHOT_H

#include <vmkit/error.h>
#include <vmkit/sandbox.h>
#include <vmkit/snapshot_file.h>
#include <vmkit/vm.h>

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A snapshot. Opaque, immutable and reference-counted: any number of threads may use one at the
 * same time. */
typedef struct vmkit_snapshot vmkit_snapshot;

/** What a snapshot is one of. */
enum vmkit_snapshot_kind {
    /** A sandbox: vmkit_sandbox_snapshot(). */
    VMKIT_SNAPSHOT_OF_SANDBOX = 1,
    /** A raw VM: vmkit_vm_snapshot(). */
    VMKIT_SNAPSHOT_OF_VM = 2
};

/** What a snapshot holds. Set `size` before the call; fields are only ever appended. */
struct vmkit_snapshot_info {
    /** sizeof(struct vmkit_snapshot_info) of the caller. */
    uint32_t size;
    /** enum vmkit_snapshot_kind. */
    uint32_t kind;
    /** Bytes of guest memory: of a sandbox, what is in use, page tables included, and files in /tmp
     * not among them; of a raw VM, that of all regions, each memory once. */
    uint64_t memory_bytes;
    /** Those of them that are stored: pages that hold more than zeros, and a few of zeros between
     * them. */
    uint64_t data_bytes;
    /** Bytes of all else: descriptors, signals, mappings, files in /tmp; of a raw VM, the state of
     * its processors and interrupt controllers. */
    uint64_t process_bytes;
    /** The memory limit that the sandbox had, in bytes; 0 for a raw VM. */
    uint64_t memory_limit_bytes;
    /** Guest instruction pointer at which every fork begins; 0 for a raw VM. */
    uint64_t instruction_pointer;
    /** How many vCPUs a raw VM has; 0 for a sandbox. */
    uint32_t vcpu_count;
    /** Reserved, 0. */
    uint32_t reserved;
};

/**
 * @brief Take a snapshot of a sandbox that stands still.
 * @param sandbox The sandbox: ready (VMKIT_OUTCOME_READY), paused (VMKIT_OUTCOME_PAUSED), or never
 *        run. It stays as it is and can go on afterwards.
 * @param ret_snapshot Receives the snapshot; the caller releases it with vmkit_snapshot_unref().
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL for NULL; -EBUSY while a thread runs the sandbox; -ENOTSUP when its program
 *         has ended or it has failed, is paused in a call or a request, or has open what a snapshot
 *         cannot hold, which the message names; -ENOENT when an open file of a host folder is no
 *         longer there; -E2BIG when the memory limit has no room for the files that it has mapped;
 *         -EMFILE, -ENFILE; -EIO when KVM or the host failed, and in a child of fork(2), whose
 *         parent made the sandbox; -ENOMEM.
 *
 * Its memory is copied, once; of a fork, that part alone that was written to, and the rest is
 * shared with the snapshot that it was forked from. Any thread.
 * @since 0.1
 */
int
vmkit_sandbox_snapshot(vmkit_sandbox *sandbox, vmkit_snapshot **ret_snapshot,
                       vmkit_error **ret_error);

/**
 * @brief Take a further reference to a snapshot.
 * @param snapshot The snapshot, or NULL.
 * @return The same, to be released with vmkit_snapshot_unref().
 *
 * Any thread.
 * @since 0.1
 */
vmkit_snapshot *
vmkit_snapshot_ref(vmkit_snapshot *snapshot);

/**
 * @brief Release a reference to a snapshot; the last one frees it.
 * @param snapshot The snapshot, or NULL, for which nothing is done.
 *
 * Each sandbox that was forked from it has a reference of its own. Any thread.
 * @since 0.1
 */
void
vmkit_snapshot_unref(vmkit_snapshot *snapshot);

/**
 * @brief Learn what a snapshot holds.
 * @param snapshot The snapshot.
 * @param info Receives it; `size` must be set.
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL for NULL or a wrong `size`.
 *
 * Any thread.
 * @since 0.1
 */
int
vmkit_snapshot_get_info(vmkit_snapshot *snapshot, struct vmkit_snapshot_info *info,
                        vmkit_error **ret_error);

/**
 * @brief Make a sandbox that goes on where the snapshot was taken.
 * @param snapshot The snapshot.
 * @param config Gives the streams, the host folders and the limits; its program, arguments,
 *        environment, user and working directory are not looked at. NULL: default streams, no
 *        folders, and the limits of the sandbox that the snapshot was taken of. Copied.
 * @param ret_sandbox Receives the sandbox, which stands as that one stood; the caller releases it
 *        with vmkit_sandbox_unref().
 * @param ret_error Receives the error, or NULL.
 * @return 0; -ENOTSUP for a snapshot of a raw VM, and for one that was opened on a host that lacks
 *         what its program may use of the processor, which the message names; -EINVAL for NULL,
 *         when the configuration shows a folder where the snapshot has files of its own, and, with
 *         the kind bad-snapshot, for one that was opened from a file that is damaged or hostile;
 *         -ENOENT when it does not show a host folder that the snapshot needs; -ENOENT, -EACCES,
 *         -EISDIR, -ELOOP, -ENOTDIR, -ENXIO or -EROFS when a file of a host folder cannot be opened
 *         again as it was; -E2BIG when the configuration's limits do not hold what the snapshot
 *         has, -EMFILE when its limit of open files does not, or the host's; -ENFILE; -ENODEV and
 *         -EACCES without KVM; -EIO when KVM failed; -ENOMEM.
 *
 * The sandboxes share the snapshot's memory until they write to it, and never see what another one
 * wrote. Each has new random bytes (AT_RANDOM), and its statistics begin at zero. The program's
 * monotonic clocks go on from where they stood in the snapshot, also on another host; its date is
 * the host's. Any thread, and any number at the same time.
 * @since 0.1
 */
int
vmkit_snapshot_fork(vmkit_snapshot *snapshot, const vmkit_sandbox_config *config,
                    vmkit_sandbox **ret_sandbox, vmkit_error **ret_error);

/**
 * @brief Bring a sandbox back to the snapshot that it was forked from.
 * @param sandbox The sandbox, whether it is ready, was never run, has ended in whichever way, or
 *        has failed.
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL for NULL; -EBUSY while a thread runs it; -ENOTSUP when it was not forked from
 *         a snapshot; -ENOENT, -EACCES, -EISDIR, -ELOOP, -ENOTDIR, -ENXIO or -EROFS when a file of
 *         a host folder cannot be opened again as it was; -EMFILE, -ENFILE; -ENODEV and -EACCES
 *         without KVM; -EIO when KVM failed, and in a child of fork(2), whose parent made it,
 *         unless the sandbox has failed in that child; -ENOMEM. On an error it is as it was, or has
 *         failed and can be reset again or released.
 *
 * Nothing of what it did is left, and it has what the configuration of its fork gave; the random
 * bytes are new ones, and its monotonic clocks go on from where they stood in the snapshot. Output
 * that was kept since is gone. A vmkit_sandbox_kill() before the reset returns does not hold for a
 * run after it. The time that it takes grows with the memory written to, not with the memory there
 * is. Any thread.
 * @since 0.1
 */
int
vmkit_sandbox_reset(vmkit_sandbox *sandbox, vmkit_error **ret_error);

/** Flags of vmkit_vm_snapshot() and vmkit_vm_new_from_snapshot(). */
enum vmkit_vm_snapshot_flags {
    /** Note from now on what is written to the VM's memory, so that a snapshot with this one as its
     * parent reads only that. Each first write of the guest to a page then costs a fault. */
    VMKIT_VM_SNAPSHOT_TRACK = 1
};

/**
 * @brief Take a snapshot of a raw VM, all of whose vCPUs stand still.
 * @param vm The VM; it stays as it is and can go on afterwards.
 * @param parent NULL, or an earlier snapshot of this VM, or the one that it was made from: pages of
 *        memory that are the same are shared with it, and take no place. Whether a page is the same
 *        is known from what was noted, when VMKIT_VM_SNAPSHOT_TRACK was given with the parent and
 *        not with a later one; otherwise memory is compared.
 * @param flags VMKIT_VM_SNAPSHOT_TRACK or 0.
 * @param ret_snapshot Receives the snapshot; the caller releases it with vmkit_snapshot_unref().
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL for a NULL or an unknown flag; -EBUSY while a vCPU runs on another thread,
 *         inside of a callback that serves a read, or in the middle of an instruction that makes a
 *         further access; -EAGAIN as for vmkit_vcpu_run(); -EFAULT when a part of the memory is not
 *         accessible; -ENOTSUP when two regions have a part of their memory in common, or the
 *         parent is none of a raw VM; -EMFILE, -ENFILE; -ENOMEM; -EIO when KVM or the host failed,
 *         and in another process than the VM's.
 *
 * Its memory is copied. The access that a vCPU's last run ended with is finished first, as by
 * vmkit_vcpu_complete(). Interrupt routes and what waits to be injected are part of it; handlers,
 * doorbells, irqfds and breakpoints are the program's and not. A vCPU whose last reference was
 * released is not part of it either. Meanwhile the vCPUs do not run and other calls on the VM wait.
 *
 * With VMKIT_VM_SNAPSHOT_TRACK, tell by vmkit_vm_note_write() what the program itself writes to the
 * memory through a pointer or a descriptor; vmkit_vm_write() does it by itself. Any thread.
 * @since 0.1
 */
int
vmkit_vm_snapshot(vmkit_vm *vm, vmkit_snapshot *parent, uint64_t flags,
                  vmkit_snapshot **ret_snapshot, vmkit_error **ret_error);

/**
 * @brief Make a VM that goes on where a snapshot was taken.
 * @param snapshot A snapshot of a raw VM.
 * @param config Gives the KVM device; its interrupt controller is not looked at. NULL: /dev/kvm.
 * @param flags VMKIT_VM_SNAPSHOT_TRACK or 0.
 * @param ret_vcpus Receives the vCPUs by their numbers; the caller releases each with
 *        vmkit_vcpu_unref(). NULL only with a capacity of 0.
 * @param capacity How many there is room for.
 * @param ret_count Receives how many there are, also when there is not enough room; NULL for
 *        nothing.
 * @param ret_vm Receives the VM; the caller releases it with vmkit_vm_unref().
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL for a NULL, an unknown flag or a state that KVM does not take; -E2BIG when
 *         there is not room for all vCPUs; -ENOTSUP when the host's processor or its KVM lacks what
 *         the snapshot's had, which the message names, or when the snapshot is none of a raw VM;
 *         -ENODEV and -EACCES without KVM; -ENOSPC when KVM takes no more memory regions; -EMFILE,
 *         -ENFILE; -ENOMEM; -EIO.
 *
 * Its memory is that of the snapshot until one of them writes to a page, and its own from then on;
 * vmkit_vm_get_pointer() tells where it is. The clocks of the guest go on from where they stood.
 * What the program gave to the former VM it gives to this one: handlers, doorbells and irqfds. Any
 * thread, and any number at the same time.
 * @since 0.1
 */
int
vmkit_vm_new_from_snapshot(vmkit_snapshot *snapshot, const vmkit_vm_config *config, uint64_t flags,
                           vmkit_vcpu **ret_vcpus, uint32_t capacity, uint32_t *ret_count,
                           vmkit_vm **ret_vm, vmkit_error **ret_error);

/**
 * @brief Bring a raw VM back to the snapshot that it was made from, with its vCPUs and its memory
 *        where they are.
 * @param vm The VM, made by vmkit_vm_new_from_snapshot(), whose vCPUs stand still.
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL without a VM; -EBUSY while a vCPU runs, also on this thread, or is in the
 *         middle of an instruction that makes thousands of further accesses; -ENOTSUP when the VM
 *         was made in another way, when memory regions or vCPUs were added or are gone since, and
 *         when a vCPU's CPUID was set; -EAGAIN as for vmkit_vcpu_run(); -ENOMEM; -EIO when KVM or
 *         the host failed, when the VM has failed, and in another process than the VM's.
 *
 * Afterwards nothing is left of what ran since: memory, every register of every vCPU, what waits to
 * be injected, clocks, interrupt controllers and routes are what they were in the snapshot.
 * Handlers, doorbells and irqfds are the program's and stay; lines that it has raised are low, and
 * kicks that came before are forgotten. After -EIO the VM may have failed, and then every further
 * call on it says so; after the others it is as it was, but that the access is finished that a
 * vCPU's last run ended with.
 *
 * The time that it takes grows with the memory written to. From the first reset on, each first
 * write of the guest to a page costs a fault; with VMKIT_VM_SNAPSHOT_TRACK, from the beginning on.
 * Without that flag, whatever vmkit_vm_get_pointer() told the place of is brought back each time;
 * with it, tell by vmkit_vm_note_write() what the program writes there. The guest's random numbers
 * come again, so tell it of the reset in a way of your own where that matters. Any thread.
 * @since 0.1
 */
int
vmkit_vm_reset(vmkit_vm *vm, vmkit_error **ret_error);

/**
 * @brief Tell that the program has written to a VM's memory, otherwise than by vmkit_vm_write().
 * @param vm The VM.
 * @param gpa Guest-physical address.
 * @param size Bytes.
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL without a VM; -ERANGE when the range goes round the end of the addresses; -EIO
 *         when the VM has failed, and in another process than the VM's.
 *
 * Counts only where VMKIT_VM_SNAPSHOT_TRACK was asked for. Where there is no memory, nothing is
 * noted. Any thread.
 * @since 0.1
 */
int
vmkit_vm_note_write(vmkit_vm *vm, uint64_t gpa, uint64_t size, vmkit_error **ret_error);

/**
 * @brief Name the snapshot that another one is an increment of.
 * @param options The options of a save or an open.
 * @param parent The snapshot; the options take a reference. NULL for none.
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL for NULL options.
 *
 * A save writes only what differs from the parent, which was saved or opened before: the file names
 * the parent's by its identity. That is the file that the parent was saved to last, or opened from.
 * To open such a file takes a snapshot of that very file, opened or saved.
 * @since 0.1
 */
int
vmkit_snapshot_options_set_parent(vmkit_snapshot_options *options, vmkit_snapshot *parent,
                                  vmkit_error **ret_error);

/**
 * @brief Save a snapshot to a file.
 * @param snapshot The snapshot.
 * @param path Path on the host. The new file takes the path's place, and the one that was there
 *        stays as it was when the call fails. A symbolic link is followed, and stays; what is no
 *        regular file is not replaced. Only this user may read it: memory holds secrets.
 * @param options How to write it, and what it is an increment of; NULL for the defaults.
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL for a NULL, an empty path, one where a device, a FIFO or a socket stands, or a
 *         parent that has no file; -ENOTSUP for a parent of another kind; -E2BIG when the parents
 *         are 64 already, or the file would be above a limit of file sizes; -ECANCELED; -ENOSPC,
 *         -EACCES, -EISDIR, -ENOENT, -ENOTDIR, -ELOOP, -ENAMETOOLONG, -EROFS, -EPERM or -EIO from
 *         writing; -EMFILE, -ENFILE; -ENOMEM.
 *
 * Of a sandbox's memory that lies elsewhere than in the parent, only what differs is written: pages
 * that nobody wrote to since a fork lie where they did, and what is not known is compared. The same
 * snapshot gives the same bytes, with the same options and zlib. Any thread.
 * @since 0.1
 */
int
vmkit_snapshot_save_path(vmkit_snapshot *snapshot, const char *path,
                         vmkit_snapshot_options *options, vmkit_error **ret_error);

/**
 * @brief The same to a descriptor.
 * @param snapshot The snapshot.
 * @param fd A regular file or memfd that stands at 0 and is cut behind the snapshot, a pipe or a
 *        socket; it is written from the first byte to the last. The caller keeps it. After a
 *        failure it holds a part that no reader takes for a snapshot.
 * @param options How to write it, and what it is an increment of; NULL for the defaults.
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL for a NULL, a descriptor that is not open or stands elsewhere, that of a file
 *         from which memory of the snapshot or of the parent is mapped, or a parent that has no
 *         file; -EACCES for a descriptor that cannot be written to; -ENOTSUP for a block device,
 *         and a parent of another kind; -E2BIG when the parents are 64 already, or the file would
 *         be above a limit of file sizes; -ECANCELED; -ENOSPC, -EPERM or -EIO from writing;
 *         -ENOMEM.
 *
 * A pipe without a reader is -EIO and no signal. Any thread.
 * @since 0.1
 */
int
vmkit_snapshot_save_fd(vmkit_snapshot *snapshot, int fd, vmkit_snapshot_options *options,
                       vmkit_error **ret_error);

/**
 * @brief Open the snapshot that a file holds.
 * @param path Path on the host.
 * @param flags A sum of enum vmkit_snapshot_file_flags.
 * @param options The parent of an incremental file, the limit of memory, and the threads and
 *        progress of decompressing; NULL for none and the defaults.
 * @param ret_snapshot Receives the snapshot; the caller releases it with vmkit_snapshot_unref().
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL for a NULL, an unknown flag, a file that is no regular one, a parent of a full
 *         file or one that has no file, and, with the kind bad-snapshot, for a file that is
 *         damaged, cut or hostile, and for a parent that is another one or was changed; -ENOTSUP
 *         for a later version, another architecture, a snapshot of something else, and a parent of
 *         another kind; -ENOENT also for a parent that is missing; -E2BIG above the limit of
 *         memory, or for a copy above that of file sizes (RLIMIT_FSIZE); -ECANCELED; -ENOENT,
 *         -EACCES, -EISDIR, -ELOOP, -ENOTDIR, -ENAMETOOLONG, -ENXIO, -EMFILE, -ENFILE or -EIO from
 *         opening and reading; -EPERM, -ENOTSUP and -EAGAIN as
 *         vmkit_snapshot_options_set_lazy() says; -ENOMEM.
 *
 * Raw memory is mapped copy-on-write, and read when it is first touched: the file stays open as
 * long as the snapshot and its machines are there, and must stay as it is, see
 * VMKIT_SNAPSHOT_FILE_COPY. Of mapped memory no checksum is looked at:
 * vmkit_snapshot_file_verify(). Compressed memory is decompressed and checked, all of it, unless
 * vmkit_snapshot_options_set_lazy() says otherwise, and so is what of a sandbox lies in very many
 * places. What the machine's processor needs is compared when one is made from the snapshot. Any
 * thread.
 * @since 0.1
 */
int
vmkit_snapshot_open_path(const char *path, uint64_t flags, vmkit_snapshot_options *options,
                         vmkit_snapshot **ret_snapshot, vmkit_error **ret_error);

/**
 * @brief The same for an open descriptor.
 * @param fd A readable regular file or memfd, of which the whole is the snapshot, wherever the
 *        descriptor stands; with VMKIT_SNAPSHOT_FILE_COPY also a pipe or a socket, which is read to
 *        its end. Duplicated, and the caller keeps its own.
 * @param flags A sum of enum vmkit_snapshot_file_flags.
 * @param options As of vmkit_snapshot_open_path().
 * @param ret_snapshot Receives the snapshot; the caller releases it with vmkit_snapshot_unref().
 * @param ret_error Receives the error, or NULL.
 * @return 0; -EINVAL for a NULL, an unknown flag, a descriptor that is not open or of no regular
 *         file, a parent of a full file or one that has no file, and, with the kind bad-snapshot,
 *         for a file that is damaged, cut or hostile, and for a parent that is another one or was
 *         changed; -ENOTSUP for a later version, another architecture, a snapshot of something
 *         else, and a parent of another kind; -ENOENT for a parent that is missing; -E2BIG above
 *         the limit of memory, or for a copy above that of file sizes (RLIMIT_FSIZE); -ECANCELED;
 *         -EISDIR; -EMFILE, -ENFILE; -EIO from reading; -EPERM, -ENOTSUP and -EAGAIN as
 *         vmkit_snapshot_options_set_lazy() says; -ENOMEM.
 *
 * Any thread.
 * @since 0.1
 */
int
vmkit_snapshot_open_fd(int fd, uint64_t flags, vmkit_snapshot_options *options,
                       vmkit_snapshot **ret_snapshot, vmkit_error **ret_error);

#ifdef __cplusplus
}
#endif
#endif
