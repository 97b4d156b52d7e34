/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What opening a snapshot file says, and making a snapshot of one, when a path, a descriptor, the
 * file or the host is not as it should be: the same words for all that take the same thing.
 */
#include "snapshot_files.h"
#include "sweep.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* What the cases open. */
static const char *path;
static int fd;
static uint64_t flags;

static void
set_up(void)
{
    snapshot_files_set_up();
    fd = -1;
    flags = 0;
}

/* The ways to open, which take the same. */

static int
open_file_path(vmkit_error **ret_error)
{
    vmkit_snapshot_file *opened = NULL;
    int result = vmkit_snapshot_file_open_path(path, flags, &opened, ret_error);
    vmkit_snapshot_file_unref(opened);
    return result;
}

static int
open_path(vmkit_error **ret_error)
{
    vmkit_snapshot *opened = NULL;
    int result = vmkit_snapshot_open_path(path, flags, files.options, &opened, ret_error);
    vmkit_snapshot_unref(opened);
    return result;
}

static int
open_file_fd(vmkit_error **ret_error)
{
    vmkit_snapshot_file *opened = NULL;
    int result = vmkit_snapshot_file_open_fd(fd, flags, &opened, ret_error);
    vmkit_snapshot_file_unref(opened);
    return result;
}

static int
open_fd(vmkit_error **ret_error)
{
    vmkit_snapshot *opened = NULL;
    int result = vmkit_snapshot_open_fd(fd, flags, files.options, &opened, ret_error);
    vmkit_snapshot_unref(opened);
    return result;
}

/* First the two by path; each second one makes a snapshot of the file. */
static const struct opener {
    const char *name;
    sweep_act act;
} openers[] = {
    {"vmkit_snapshot_file_open_path", open_file_path},
    {"vmkit_snapshot_open_path", open_path},
    {"vmkit_snapshot_file_open_fd", open_file_fd},
    {"vmkit_snapshot_open_fd", open_fd},
};

#define OPENERS ((int)(sizeof openers / sizeof openers[0]))

/* Both what is opened by its path and what is by a descriptor. */
static void
choose(const char *chosen)
{
    path = chosen;
    if (fd >= 0)
        close(fd);
    fd = open(chosen, O_RDONLY | O_CLOEXEC);
    ck_assert_int_ge(fd, 0);
}

static void
drop(void)
{
    close(fd);
    fd = -1;
}

/* Bytes of a copy of the full file are others. */
static void
change(size_t offset, const void *bytes, size_t size)
{
    char command[256];
    snprintf(command, sizeof command, "cp %s %s", files.full, files.out);
    ck_assert_int_eq(system(command), 0);
    int changed = open(files.out, O_WRONLY | O_CLOEXEC);
    ck_assert_int_eq(pwrite(changed, bytes, size, (off_t)offset), (ssize_t)size);
    close(changed);
    choose(files.out);
}

START_TEST(a_path_that_cannot_be_opened_is_said)
{
    const struct opener *opener = &openers[_i];
    char name[512], loop[64], below[128], socket_path[64];
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snapshot_files_name(loop, "loop");
    snapshot_files_name(socket_path, "socket");
    snprintf(below, sizeof below, "%s/x", files.full);
    snprintf(name, sizeof name, "%s/%0300d", files.folder, 0);
    snprintf(address.sun_path, sizeof address.sun_path, "%s", socket_path);
    ck_assert_int_eq(symlink("loop", loop), 0);
    int bound = socket(AF_UNIX, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(bound, (struct sockaddr *)&address, sizeof address), 0);
    const struct {
        const char *path;
        int err;
        uint32_t kind;
    } rows[] = {
        {files.out, ENOENT, VMKIT_ERROR_NOT_FOUND},
        {files.folder, EISDIR, VMKIT_ERROR_BAD_SNAPSHOT},
        {loop, ELOOP, VMKIT_ERROR_IO},
        {below, ENOTDIR, VMKIT_ERROR_IO},
        {name, ENAMETOOLONG, VMKIT_ERROR_IO},
        {socket_path, ENXIO, VMKIT_ERROR_IO},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        path = rows[i].path;
        ASSERT_FAILS(opener->act(&error), rows[i].err, rows[i].kind, path);
    }
    path = files.full;
    ASSERT_FAILS(WITH_FAULT(FAULT_OPEN, EACCES, opener->act(&error)), EACCES, VMKIT_ERROR_IO, path);
    ASSERT_FAILS(WITH_FAULT(FAULT_OPEN, EMFILE, opener->act(&error)), EMFILE, VMKIT_ERROR_LIMIT,
                 path);
    ASSERT_FAILS(WITH_FAULT(FAULT_OPEN, ENFILE, opener->act(&error)), ENFILE, VMKIT_ERROR_LIMIT,
                 path);
    close(bound);
}
END_TEST

START_TEST(a_descriptor_that_cannot_be_read_is_said)
{
    const struct opener *opener = &openers[_i];
    int ends[2];
    ASSERT_FAILS(opener->act(&error), EINVAL, VMKIT_ERROR_IO, "descriptor -1");
    choose(files.folder);
    ASSERT_FAILS(opener->act(&error), EISDIR, VMKIT_ERROR_BAD_SNAPSHOT, "it is a folder");
    drop();
    ck_assert_int_eq(pipe(ends), 0);
    fd = ends[0];
    ASSERT_FAILS(opener->act(&error), EINVAL, VMKIT_ERROR_INVALID_ARGUMENT, "no regular file");
    drop();
    close(ends[1]);
    fd = open(files.full, O_WRONLY | O_CLOEXEC);
    ASSERT_FAILS(opener->act(&error), EIO, VMKIT_ERROR_IO, "Bad file descriptor");
    drop();
    choose(files.full);
    ASSERT_FAILS(WITH_FAULT(FAULT_DUPLICATE, EMFILE, opener->act(&error)), EMFILE,
                 VMKIT_ERROR_LIMIT, "cannot use the descriptor");
    drop();
}
END_TEST

/* By whichever way: what is in the file, or what the host has no more of. */
START_TEST(a_file_that_cannot_be_taken_is_said)
{
    const struct opener *opener = &openers[_i];
    const uint32_t version = 9;
    choose(files.full);
    ASSERT_OK(opener->act(&error));
    ASSERT_FAILS(WITH_FAULT(FAULT_READ, EIO, opener->act(&error)), EIO, VMKIT_ERROR_IO,
                 "Input/output error");
    ASSERT_FAILS(WITH_FAULT(FAULT_STATUS, EOVERFLOW, opener->act(&error)), EIO, VMKIT_ERROR_IO,
                 "cannot read");
    flags = 2;
    ASSERT_INVALID(opener->act(&error), "0x2");
    flags = 0;
    change(8, &version, sizeof version);
    ASSERT_FAILS(opener->act(&error), ENOTSUP, VMKIT_ERROR_NOT_SUPPORTED, "version 9");
    change(16, "damage", 6);
    ASSERT_FAILS(opener->act(&error), EINVAL, VMKIT_ERROR_BAD_SNAPSHOT, "damaged");
    drop();
}
END_TEST

START_TEST(a_file_that_takes_no_memory_is_opened_or_said)
{
    const struct opener *opener = &openers[_i];
    const char *const paths[] = {files.full, files.packed};
    for (size_t i = 0; i < 2; i++) {
        for (flags = 0; flags <= VMKIT_SNAPSHOT_FILE_COPY; flags++) {
            choose(paths[i]);
            sweep(opener->name, opener->act, FAULT_ALLOCATE, ENOMEM, ENOMEM);
            drop();
        }
    }
}
END_TEST

START_TEST(a_copy_that_cannot_be_made_is_said)
{
    const struct opener *opener = &openers[_i];
    static const int limits[] = {EMFILE, ENFILE, ENOMEM};
    struct rlimit before, low;
    flags = VMKIT_SNAPSHOT_FILE_COPY;
    choose(files.full);
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++)
        ASSERT_FAILS(WITH_FAULT(FAULT_MEMFD, limits[i], opener->act(&error)), limits[i],
                     limits[i] == ENOMEM ? VMKIT_ERROR_OUT_OF_MEMORY : VMKIT_ERROR_LIMIT, "copy");
    ASSERT_FAILS(WITH_FAULT(FAULT_WRITE, ENOSPC, opener->act(&error)), ENOMEM,
                 VMKIT_ERROR_OUT_OF_MEMORY, "copy");
    ASSERT_FAILS(WITH_FAULT(FAULT_SEAL, EBUSY, opener->act(&error)), EIO, VMKIT_ERROR_IO, "seal");
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &before), 0);
    low = (struct rlimit){.rlim_cur = 4096, .rlim_max = before.rlim_max};
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &low), 0);
    ASSERT_FAILS(opener->act(&error), E2BIG, VMKIT_ERROR_LIMIT, "RLIMIT_FSIZE");
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &before), 0);
    drop();
}
END_TEST

static int32_t
cancel(void *user_data, uint64_t done, uint64_t total)
{
    return 1;
}

START_TEST(a_snapshot_that_cannot_be_made_of_a_file_is_said)
{
    const struct opener *opener = &openers[_i * 2 + 1];
    choose(files.child);
    ASSERT_FAILS(opener->act(&error), ENOENT, VMKIT_ERROR_NOT_FOUND, "it needs its parent");
    choose(files.packed);
    ASSERT_OK(vmkit_snapshot_options_set_memory_limit(files.options, 4096, &error));
    ASSERT_FAILS(opener->act(&error), E2BIG, VMKIT_ERROR_LIMIT, "the limit is 4096");
    snapshot_files_make_options(0, NULL);
    ASSERT_OK(vmkit_snapshot_options_set_progress(files.options, cancel, NULL, &error));
    ASSERT_FAILS(opener->act(&error), ECANCELED, VMKIT_ERROR_CANCELLED, "cancelled the call");
    snapshot_files_make_options(0, NULL);
    static const struct {
        enum fault_call call;
        int err, expected;
    } rows[] = {
        {FAULT_MEMFD, EMFILE, EMFILE},   {FAULT_MEMFD, ENFILE, ENFILE},
        {FAULT_MEMFD, ENOMEM, ENOMEM},   {FAULT_RESIZE, EFBIG, EIO},
        {FAULT_RESERVE, ENOSPC, ENOMEM}, {FAULT_MAP, ENOMEM, ENOMEM},
        {FAULT_SEAL, EBUSY, EIO},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        sweep(opener->name, opener->act, rows[i].call, rows[i].err, rows[i].expected);
    drop();
}
END_TEST

/* Where memory is decompressed later, by a thread that is told of faults. */
START_TEST(a_lazy_snapshot_that_the_host_does_not_serve_is_said)
{
    const struct opener *opener = &openers[_i * 2 + 1];
    choose(files.packed);
    ASSERT_OK(vmkit_snapshot_options_set_lazy(files.options, 1, &error));
    ASSERT_FAILS((fault_begin_ioctl(UFFDIO_API, EPERM), opener->act(&error)), EPERM,
                 VMKIT_ERROR_NOT_SUPPORTED, "userfaultfd");
    fault_end();
    ASSERT_FAILS(WITH_FAULT(FAULT_SYSCALL, ENOSYS, opener->act(&error)), ENOTSUP,
                 VMKIT_ERROR_NOT_SUPPORTED, "userfaultfd");
    ASSERT_FAILS(WITH_FAULT(FAULT_SYSCALL, EMFILE, opener->act(&error)), EMFILE, VMKIT_ERROR_LIMIT,
                 "userfaultfd");
    ASSERT_FAILS(WITH_FAULT(FAULT_THREAD, EAGAIN, opener->act(&error)), EAGAIN, VMKIT_ERROR_LIMIT,
                 "thread");
    drop();
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("errors_snapshot_open");
    TCase *tcase = tcase_create("errors_snapshot_open");

    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, set_up, snapshot_files_tear_down);
    tcase_add_loop_test(tcase, a_path_that_cannot_be_opened_is_said, 0, 2);
    tcase_add_loop_test(tcase, a_descriptor_that_cannot_be_read_is_said, 2, OPENERS);
    tcase_add_loop_test(tcase, a_file_that_cannot_be_taken_is_said, 0, OPENERS);
    tcase_add_loop_test(tcase, a_file_that_takes_no_memory_is_opened_or_said, 0, OPENERS);
    tcase_add_loop_test(tcase, a_copy_that_cannot_be_made_is_said, 0, OPENERS);
    tcase_add_loop_test(tcase, a_snapshot_that_cannot_be_made_of_a_file_is_said, 0, 2);
    tcase_add_loop_test(tcase, a_lazy_snapshot_that_the_host_does_not_serve_is_said, 0, 2);
    suite_add_tcase(suite, tcase);
    return suite;
}
