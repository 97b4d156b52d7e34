/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What saving a snapshot and merging files says when a path, a descriptor or the host is not as it
 * should be, and what else is done with files.
 */
#include "snapshot_files.h"
#include "sweep.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* Where the cases write to. */
static const char *path;
static int fd;

static void
set_up(void)
{
    snapshot_files_set_up();
    fd = -1;
}

static void
drop(void)
{
    close(fd);
    fd = -1;
}

static int32_t
cancel(void *user_data, uint64_t done, uint64_t total)
{
    return 1;
}

/* The ways to write, which take the same. */

static int
save_path(vmkit_error **ret_error)
{
    return vmkit_snapshot_save_path(files.snapshot, path, files.options, ret_error);
}

static int
save_fd(vmkit_error **ret_error)
{
    if (fd >= 0)
        lseek(fd, 0, SEEK_SET);
    return vmkit_snapshot_save_fd(files.snapshot, fd, files.options, ret_error);
}

static int
merge_path(vmkit_error **ret_error)
{
    return vmkit_snapshot_file_merge_path(files.file, path, files.options, ret_error);
}

static int
merge_fd(vmkit_error **ret_error)
{
    if (fd >= 0)
        lseek(fd, 0, SEEK_SET);
    return vmkit_snapshot_file_merge_fd(files.file, fd, files.options, ret_error);
}

static const struct {
    const char *name;
    sweep_act act;
} path_writers[] = {{"vmkit_snapshot_save_path", save_path},
                    {"vmkit_snapshot_file_merge_path", merge_path}},
  fd_writers[] = {{"vmkit_snapshot_save_fd", save_fd}, {"vmkit_snapshot_file_merge_fd", merge_fd}};

static void
begin_fd(void)
{
    fd = memfd_create("out", MFD_CLOEXEC);
    ck_assert_int_ge(fd, 0);
}

static void
limit_file_size(sweep_act act)
{
    struct rlimit before, low;
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &before), 0);
    low = (struct rlimit){.rlim_cur = 8192, .rlim_max = before.rlim_max};
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &low), 0);
    ASSERT_FAILS(act(&error), E2BIG, VMKIT_ERROR_LIMIT, "RLIMIT_FSIZE");
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &before), 0);
}

START_TEST(a_path_that_cannot_be_written_is_said)
{
    sweep_act act = path_writers[_i].act;
    char name[512], loop[64], in_loop[128], below[128], none[128];
    snapshot_files_name(loop, "loop");
    ck_assert_int_eq(symlink("loop", loop), 0);
    snprintf(in_loop, sizeof in_loop, "%s/x", loop);
    snprintf(none, sizeof none, "%s/none/x", files.folder);
    snprintf(below, sizeof below, "%s/x", files.full);
    snprintf(name, sizeof name, "%s/%0300d", files.folder, 0);
    const struct {
        const char *path;
        int err;
    } rows[] = {{none, ENOENT},
                {files.folder, EISDIR},
                {in_loop, ELOOP},
                {below, ENOTDIR},
                {name, ENAMETOOLONG}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        path = rows[i].path;
        ASSERT_FAILS(act(&error), rows[i].err, VMKIT_ERROR_IO, path);
    }
    path = "";
    ASSERT_INVALID(act(&error), "empty");
    path = files.out;
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    ASSERT_INVALID(act(&error), "it is a FIFO");
    unlink(path);
    static const struct {
        enum fault_call call;
        int err;
    } faults[] = {{FAULT_OPEN_AT, EACCES}, {FAULT_OPEN_AT, EROFS}, {FAULT_OPEN_AT, EMFILE},
                  {FAULT_OPEN_AT, ENFILE}, {FAULT_RENAME, EPERM},  {FAULT_WRITE, ENOSPC},
                  {FAULT_WRITE, EIO},      {FAULT_SYNC, EIO},      {FAULT_RANDOM, EIO}};
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        int err = faults[i].err;
        bool is_limit = err == EMFILE || err == ENFILE;
        ASSERT_FAILS(WITH_FAULT(faults[i].call, err, act(&error)), err,
                     is_limit ? VMKIT_ERROR_LIMIT : VMKIT_ERROR_IO, path);
        ck_assert_int_eq(access(files.out, F_OK), -1);
    }
}
END_TEST

START_TEST(a_descriptor_that_cannot_be_written_is_said)
{
    sweep_act act = fd_writers[_i].act;
    int ends[2];
    ASSERT_INVALID(act(&error), "descriptor -1 is not open");
    fd = open(files.full, O_RDONLY | O_CLOEXEC);
    ASSERT_FAILS(act(&error), EACCES, VMKIT_ERROR_IO, "cannot write to descriptor");
    drop();
    fd = open(files.full, O_WRONLY | O_APPEND | O_CLOEXEC);
    ASSERT_INVALID(act(&error), "appends");
    drop();
    begin_fd();
    ASSERT_FAILS((fault_answer_type(S_IFBLK), act(&error)), ENOTSUP, VMKIT_ERROR_IO,
                 "cannot write to descriptor");
    ck_assert_uint_gt(fault_end(), 0u);
    ASSERT_FAILS(WITH_FAULT(FAULT_WRITE, ENOSPC, act(&error)), ENOSPC, VMKIT_ERROR_IO,
                 "No space left");
    ASSERT_FAILS(WITH_FAULT(FAULT_WRITE, EPERM, act(&error)), EPERM, VMKIT_ERROR_IO,
                 "not permitted");
    ASSERT_FAILS(WITH_FAULT(FAULT_SYNC, EIO, act(&error)), EIO, VMKIT_ERROR_IO, "cannot sync");
    limit_file_size(act);
    drop();
    ck_assert_int_eq(pipe(ends), 0);
    close(ends[0]);
    fd = ends[1];
    ASSERT_FAILS(act(&error), EIO, VMKIT_ERROR_IO, "Broken pipe");
    drop();
}
END_TEST

START_TEST(writing_that_ends_early_is_said)
{
    path = files.out;
    begin_fd();
    limit_file_size(path_writers[_i].act);
    for (uint32_t level = 0; level <= 1; level++) {
        snapshot_files_make_options(level, NULL);
        sweep(path_writers[_i].name, path_writers[_i].act, FAULT_ALLOCATE, ENOMEM, ENOMEM);
        sweep(fd_writers[_i].name, fd_writers[_i].act, FAULT_ALLOCATE, ENOMEM, ENOMEM);
    }
    ASSERT_OK(vmkit_snapshot_options_set_progress(files.options, cancel, NULL, &error));
    ASSERT_FAILS(path_writers[_i].act(&error), ECANCELED, VMKIT_ERROR_CANCELLED, "cancelled");
    ASSERT_FAILS(fd_writers[_i].act(&error), ECANCELED, VMKIT_ERROR_CANCELLED, "cancelled");
    drop();
}
END_TEST

/* A chain of the same memory, as long as one may be. */
START_TEST(parents_that_cannot_be_used_are_said)
{
    static const sweep_act savers[] = {save_path, save_fd};
    vmkit_snapshot *fresh = NULL;
    path = files.out;
    begin_fd();
    ASSERT_OK(vmkit_vm_snapshot(files.guest.vm, NULL, 0, &fresh, &error));
    snapshot_files_make_options(0, fresh);
    for (size_t i = 0; i < 2; i++)
        ASSERT_INVALID(savers[i](&error), "the parent has no file");
    vmkit_snapshot_unref(fresh);
    snapshot_files_make_options(0, files.snapshot);
    for (int i = 0; i < 64; i++)
        ASSERT_OK(save_path(&error));
    for (size_t i = 0; i < 2; i++)
        ASSERT_FAILS(savers[i](&error), E2BIG, VMKIT_ERROR_LIMIT, "64");
    drop();
}
END_TEST

START_TEST(a_chain_without_its_parent_is_said)
{
    vmkit_snapshot_file *alone = NULL;
    ASSERT_OK(vmkit_snapshot_file_open_path(files.child, 0, &alone, &error));
    begin_fd();
    ASSERT_FAILS(vmkit_snapshot_file_merge_fd(alone, fd, NULL, &error), ENOENT,
                 VMKIT_ERROR_NOT_FOUND, "needs its parent");
    drop();
    vmkit_snapshot_file_unref(alone);
}
END_TEST

/* Checksums are read once, and kept: each file is opened anew. */
static vmkit_snapshot_file *
open_anew(const char *name)
{
    vmkit_snapshot_file *opened = NULL;
    vmkit_snapshot_file_open_path(name, 0, &opened, NULL);
    return opened;
}

static int
verify(vmkit_error **ret_error)
{
    vmkit_snapshot_file *opened = open_anew(path);
    int result = opened == NULL ? 0 : vmkit_snapshot_file_verify(opened, files.options, ret_error);
    vmkit_snapshot_file_unref(opened);
    return result;
}

static int
compare(vmkit_error **ret_error)
{
    struct vmkit_snapshot_file_difference difference = {.size = sizeof difference};
    vmkit_snapshot_file *first = open_anew(files.full), *second = open_anew(files.out);
    int result = 0;
    if (first != NULL && second != NULL)
        result = vmkit_snapshot_file_diff(first, second, &difference, ret_error);
    vmkit_snapshot_file_unref(first);
    vmkit_snapshot_file_unref(second);
    return result;
}

START_TEST(a_file_that_cannot_be_read_again_is_said)
{
    const char *const paths[] = {files.full, files.packed};
    /* Another one, so that checksums have to be compared. */
    files.guest.memory[0x20000] = 0xff;
    vmkit_snapshot_unref(files.snapshot);
    ASSERT_OK(vmkit_vm_snapshot(files.guest.vm, NULL, 0, &files.snapshot, &error));
    ASSERT_OK(vmkit_snapshot_save_path(files.snapshot, files.out, NULL, &error));
    for (size_t i = 0; i < 2; i++) {
        path = paths[i];
        sweep("vmkit_snapshot_file_verify", verify, FAULT_READ, EIO, EIO);
        sweep("vmkit_snapshot_file_verify", verify, FAULT_ALLOCATE, ENOMEM, ENOMEM);
    }
    sweep("vmkit_snapshot_file_diff", compare, FAULT_READ, EIO, EIO);
    sweep("vmkit_snapshot_file_diff", compare, FAULT_ALLOCATE, ENOMEM, ENOMEM);
}
END_TEST

START_TEST(options_need_memory_and_an_object)
{
    vmkit_snapshot_options *made = NULL;
    ASSERT_FAILS(WITH_FAULT(FAULT_ALLOCATE, ENOMEM, vmkit_snapshot_options_new(&made, &error)),
                 ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY, "out of memory");
    ck_assert_ptr_null(made);
    ASSERT_INVALID(vmkit_snapshot_options_set_lazy(NULL, 1, &error), "options is NULL");
    ASSERT_INVALID(vmkit_snapshot_options_set_lazy(files.options, 2, &error), "2");
    ASSERT_INVALID(vmkit_snapshot_options_set_memory_limit(NULL, 1, &error), "options is NULL");
    ASSERT_INVALID(vmkit_snapshot_options_set_parent(NULL, files.snapshot, &error),
                   "options is NULL");
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("errors_snapshot_write");
    TCase *tcase = tcase_create("errors_snapshot_write");

    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, set_up, snapshot_files_tear_down);
    tcase_add_loop_test(tcase, a_path_that_cannot_be_written_is_said, 0, 2);
    tcase_add_loop_test(tcase, a_descriptor_that_cannot_be_written_is_said, 0, 2);
    tcase_add_loop_test(tcase, writing_that_ends_early_is_said, 0, 2);
    tcase_add_test(tcase, parents_that_cannot_be_used_are_said);
    tcase_add_test(tcase, a_chain_without_its_parent_is_said);
    tcase_add_test(tcase, a_file_that_cannot_be_read_again_is_said);
    tcase_add_test(tcase, options_need_memory_and_an_object);
    suite_add_tcase(suite, tcase);
    return suite;
}
