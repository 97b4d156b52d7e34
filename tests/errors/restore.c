/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Snapshots of sandboxes through files: what saving, opening and forking them says when the host
 * fails, or has less than the one that they were made on.
 */
#include "../kvm/call_guest.h"
#include "sweep.h"

#include <vmkit/pool.h>
#include <vmkit/vm.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <linux/userfaultfd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* The snapshot, and files of it, of which the cases open one. */
static vmkit_snapshot *snapshot;
static int raw, packed;
static int fd;
static uint64_t flags;
static vmkit_snapshot_options *options;

static int
save_to(int to, vmkit_error **ret_error)
{
    lseek(to, 0, SEEK_SET);
    return vmkit_snapshot_save_fd(snapshot, to, options, ret_error);
}

static int
save(vmkit_error **ret_error)
{
    return save_to(fd, ret_error);
}

static int
open_one(vmkit_error **ret_error)
{
    vmkit_snapshot *opened = NULL;
    int result = vmkit_snapshot_open_fd(fd, flags, options, &opened, ret_error);
    vmkit_snapshot_unref(opened);
    return result;
}

static int
make_fork(vmkit_error **ret_error)
{
    vmkit_sandbox *sandbox = NULL;
    int result = vmkit_snapshot_fork(snapshot, NULL, &sandbox, ret_error);
    vmkit_sandbox_unref(sandbox);
    return result;
}

static void
save_both(void)
{
    ASSERT_OK(vmkit_sandbox_snapshot(call_sandbox, &snapshot, &error));
    ASSERT_OK(save_to(raw, &error));
    ASSERT_OK(vmkit_snapshot_options_set_compression(options, 1, &error));
    ASSERT_OK(save_to(packed, &error));
}

/* The files are another process's, so that this one has not yet asked what KVM can do. */
static void
set_up(void)
{
    int status = -1;
    raw = memfd_create("raw", MFD_CLOEXEC);
    packed = memfd_create("packed", MFD_CLOEXEC);
    fd = memfd_create("out", MFD_CLOEXEC);
    flags = 0;
    snapshot = NULL;
    ASSERT_OK(vmkit_snapshot_options_new(&options, &error));
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        call_guest_set_up();
        save_both();
        _exit(0);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
}

static void
tear_down(void)
{
    vmkit_snapshot_unref(snapshot);
    vmkit_snapshot_options_unref(options);
    close(raw);
    close(packed);
    close(fd);
}

static void
choose(int file)
{
    dup3(file, fd, O_CLOEXEC);
}

struct row {
    enum fault_call call;
    int err, expected;
};

static void
sweep_rows(const char *name, sweep_act act, const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++)
        sweep(name, act, rows[i].call, rows[i].err, rows[i].expected);
}

#define COUNT(rows) (sizeof(rows) / sizeof(rows)[0])

START_TEST(saving_that_fails_is_said)
{
    static const struct row rows[] = {{FAULT_ALLOCATE, ENOMEM, ENOMEM},
                                      {FAULT_WRITE, ENOSPC, ENOSPC},
                                      {FAULT_WRITE, EIO, EIO},
                                      {FAULT_SYNC, EIO, EIO}};
    ASSERT_OK(vmkit_snapshot_open_fd(raw, 0, NULL, &snapshot, &error));
    for (uint32_t level = 0; level <= 1; level++) {
        ASSERT_OK(vmkit_snapshot_options_set_compression(options, level, &error));
        sweep_rows("vmkit_snapshot_save_fd", save, rows, COUNT(rows));
    }
    /* And as what differs from itself. */
    ASSERT_OK(vmkit_snapshot_options_set_parent(options, snapshot, &error));
    sweep_rows("vmkit_snapshot_save_fd", save, rows, COUNT(rows));
}
END_TEST

START_TEST(opening_that_fails_is_said)
{
    static const struct row rows[] = {
        {FAULT_ALLOCATE, ENOMEM, ENOMEM}, {FAULT_MAP, ENOMEM, ENOMEM},
        {FAULT_MEMFD, EMFILE, EMFILE},    {FAULT_MEMFD, ENFILE, ENFILE},
        {FAULT_SEAL, EBUSY, EIO},         {FAULT_READ, EIO, EIO}};
    for (flags = 0; flags <= VMKIT_SNAPSHOT_FILE_COPY; flags++) {
        choose(_i == 0 ? raw : packed);
        ASSERT_OK(open_one(&error));
        sweep_rows("vmkit_snapshot_open_fd", open_one, rows, COUNT(rows));
    }
}
END_TEST

/* Where memory is decompressed later, by a thread that is told of faults. */
START_TEST(a_lazy_one_that_the_host_does_not_serve_is_said)
{
    choose(packed);
    ASSERT_OK(vmkit_snapshot_options_set_lazy(options, 1, &error));
    ASSERT_FAILS((fault_begin_ioctl(UFFDIO_API, EPERM), open_one(&error)), EPERM,
                 VMKIT_ERROR_NOT_SUPPORTED, "userfaultfd");
    fault_end();
    ASSERT_FAILS(WITH_FAULT(FAULT_SYSCALL, ENOSYS, open_one(&error)), ENOTSUP,
                 VMKIT_ERROR_NOT_SUPPORTED, "userfaultfd");
    ASSERT_FAILS(WITH_FAULT(FAULT_THREAD, EAGAIN, open_one(&error)), EAGAIN, VMKIT_ERROR_LIMIT,
                 "thread");
    sweep("vmkit_snapshot_open_fd", open_one, FAULT_MAP, ENOMEM, ENOMEM);
    sweep("vmkit_snapshot_open_fd", open_one, FAULT_MEMFD, EMFILE, EMFILE);
}
END_TEST

/* Pages that cannot be decompressed are found where they are touched, here by the embedder. */
START_TEST(memory_that_cannot_be_decompressed_is_said)
{
    struct vmkit_snapshot_file_info info = {.size = sizeof info};
    vmkit_snapshot_file *file = NULL;
    vmkit_sandbox *sandbox = NULL;
    uint8_t bytes[64] = {0};
    uint64_t address = 0;
    choose(packed);
    ASSERT_OK(vmkit_snapshot_file_open_fd(fd, 0, &file, &error));
    ASSERT_OK(vmkit_snapshot_file_get_info(file, &info, &error));
    vmkit_snapshot_file_unref(file);
    ASSERT_OK(vmkit_snapshot_options_set_lazy(options, 1, &error));
    ASSERT_OK(vmkit_snapshot_open_fd(fd, 0, options, &snapshot, &error));
    for (uint64_t at = 4096; at + sizeof bytes < 4096 + info.stored_bytes; at += sizeof bytes)
        ck_assert_int_eq(pwrite(fd, bytes, sizeof bytes, (off_t)at), sizeof bytes);
    ASSERT_OK(vmkit_snapshot_fork(snapshot, NULL, &sandbox, &error));
    ASSERT_OK(vmkit_sandbox_find_symbol(sandbox, "once", &address, &error));
    ASSERT_FAILS(vmkit_sandbox_read_memory(sandbox, address, bytes, sizeof bytes, &error), EIO,
                 VMKIT_ERROR_BAD_SNAPSHOT, "damaged");
    ASSERT_FAILS(vmkit_sandbox_write_memory(sandbox, address, bytes, sizeof bytes, &error), EIO,
                 VMKIT_ERROR_BAD_SNAPSHOT, "damaged");
    vmkit_sandbox_unref(sandbox);
}
END_TEST

START_TEST(a_parent_is_one_of_a_sandbox)
{
    vmkit_vm *vm = NULL;
    vmkit_snapshot *other = NULL;
    ASSERT_OK(vmkit_snapshot_open_fd(raw, 0, NULL, &snapshot, &error));
    ASSERT_OK(vmkit_vm_new(NULL, &vm, &error));
    ASSERT_OK(vmkit_vm_snapshot(vm, NULL, 0, &other, &error));
    ASSERT_OK(vmkit_snapshot_options_set_parent(options, other, &error));
    ASSERT_FAILS(save(&error), ENOTSUP, VMKIT_ERROR_WRONG_STATE, "one of a raw VM");
    ASSERT_FAILS(vmkit_snapshot_save_path(snapshot, "/tmp/vmkit-not-there", options, &error),
                 ENOTSUP, VMKIT_ERROR_WRONG_STATE, "one of a raw VM");
    ck_assert_int_eq(access("/tmp/vmkit-not-there", F_OK), -1);
    vmkit_snapshot_unref(other);
    vmkit_vm_unref(vm);
}
END_TEST

START_TEST(an_increment_without_its_parent_is_said)
{
    vmkit_snapshot_options *child = NULL;
    ASSERT_OK(vmkit_snapshot_open_fd(raw, 0, NULL, &snapshot, &error));
    ASSERT_OK(vmkit_snapshot_options_new(&child, &error));
    ASSERT_OK(vmkit_snapshot_options_set_parent(child, snapshot, &error));
    lseek(fd, 0, SEEK_SET);
    ASSERT_OK(vmkit_snapshot_save_fd(snapshot, fd, child, &error));
    ASSERT_FAILS(open_one(&error), ENOENT, VMKIT_ERROR_NOT_FOUND, "it needs its parent");
    vmkit_snapshot_options_unref(child);
    vmkit_snapshot_unref(snapshot);
    snapshot = NULL;
    choose(raw);
    ASSERT_OK(vmkit_snapshot_open_fd(packed, 0, NULL, &snapshot, &error));
    ASSERT_OK(vmkit_snapshot_options_set_parent(options, snapshot, &error));
    ASSERT_FAILS(open_one(&error), EINVAL, VMKIT_ERROR_INVALID_ARGUMENT, "does not need a parent");
}
END_TEST

START_TEST(a_limit_of_memory_holds)
{
    choose(packed);
    ASSERT_OK(vmkit_snapshot_options_set_memory_limit(options, 4096, &error));
    ASSERT_FAILS(open_one(&error), E2BIG, VMKIT_ERROR_LIMIT, "4096");
}
END_TEST

START_TEST(a_fork_of_an_opened_one_that_fails_is_said)
{
    ASSERT_OK(vmkit_snapshot_open_fd(_i == 0 ? raw : packed, 0, NULL, &snapshot, &error));
    ASSERT_OK(make_fork(&error));
    sweep("vmkit_snapshot_fork", make_fork, FAULT_ALLOCATE, ENOMEM, ENOMEM);
    sweep("vmkit_snapshot_fork", make_fork, FAULT_MAP, ENOMEM, ENOMEM);
    sweep_loosely("vmkit_snapshot_fork", make_fork, FAULT_IOCTL, ENOMEM, ENOMEM);
    sweep("vmkit_snapshot_fork", make_fork, FAULT_IOCTL, EIO, EIO);
    sweep("vmkit_snapshot_fork", make_fork, FAULT_IOCTL, EPERM, EIO);
}
END_TEST

START_TEST(a_kvm_that_lacks_what_is_needed_is_said)
{
    vmkit_pool *pool = NULL;
    vmkit_sandbox *taken = NULL;
    ASSERT_OK(vmkit_snapshot_open_fd(raw, 0, NULL, &snapshot, &error));
    ASSERT_OK(vmkit_pool_new(snapshot, NULL, 0, 1, &pool, &error));
    ASSERT_FAILS(WITH_IOCTL_ANSWER(KVM_CHECK_EXTENSION, KVM_CAP_SYNC_REGS, 0,
                                   vmkit_pool_take(pool, 0, &taken, &error)),
                 ENOTSUP, VMKIT_ERROR_KVM_INCAPABLE, "KVM shares the registers 0x0");
    vmkit_pool_unref(pool);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("errors_restore");
    TCase *tcase = tcase_create("errors_restore");

    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, saving_that_fails_is_said);
    tcase_add_loop_test(tcase, opening_that_fails_is_said, 0, 2);
    tcase_add_test(tcase, a_lazy_one_that_the_host_does_not_serve_is_said);
    tcase_add_test(tcase, memory_that_cannot_be_decompressed_is_said);
    tcase_add_test(tcase, a_parent_is_one_of_a_sandbox);
    tcase_add_test(tcase, an_increment_without_its_parent_is_said);
    tcase_add_test(tcase, a_limit_of_memory_holds);
    tcase_add_loop_test(tcase, a_fork_of_an_opened_one_that_fails_is_said, 0, 2);
    tcase_add_test(tcase, a_kvm_that_lacks_what_is_needed_is_said);
    suite_add_tcase(suite, tcase);
    return suite;
}
