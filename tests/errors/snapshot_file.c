/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the functions of snapshot files say, and those that open and save snapshots, when a path, a
 * descriptor or the host is not as it should be: the same words for all that take the same thing.
 */
#include "../kvm/guest.h"
#include "sweep.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static char folder[] = "/tmp/vmkit-errors.XXXXXX";
static char full[64], packed[64], child[64], out[64];
static struct guest guest;
static vmkit_snapshot *snapshot;
static vmkit_snapshot_options *options;
static vmkit_snapshot_file *file; /* the packed one */

/* What the cases call, and with what. */
static const char *path;
static int fd;
static uint64_t flags;

static void
name_file(char *name, const char *last)
{
    snprintf(name, sizeof full, "%s/%s", folder, last);
}

static void
make_options(uint32_t level, vmkit_snapshot *parent)
{
    vmkit_snapshot_options_unref(options);
    ASSERT_OK(vmkit_snapshot_options_new(&options, &error));
    ASSERT_OK(vmkit_snapshot_options_set_compression(options, level, &error));
    ASSERT_OK(vmkit_snapshot_options_set_parent(options, parent, &error));
}

/* A VM of a page of code, some other pages, and a vCPU. */
static void
set_up(void)
{
    static const uint8_t code[] = {0xe6, 0x10, 0xeb, 0xfc};
    strcpy(strrchr(folder, '.'), ".XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    name_file(full, "full");
    name_file(packed, "packed");
    name_file(child, "child");
    name_file(out, "out");
    guest_new_real(&guest, code, sizeof code);
    for (size_t at = 0x20000; at < 0x28000; at += 4096)
        guest.memory[at] = (uint8_t)(at >> 12);
    ASSERT_OK(vmkit_vm_snapshot(guest.vm, NULL, 0, &snapshot, &error));
    make_options(1, NULL);
    ASSERT_OK(vmkit_snapshot_save_path(snapshot, packed, options, &error));
    make_options(0, NULL);
    ASSERT_OK(vmkit_snapshot_save_path(snapshot, full, options, &error));
    make_options(0, snapshot);
    ASSERT_OK(vmkit_snapshot_save_path(snapshot, child, options, &error));
    ASSERT_OK(vmkit_snapshot_save_path(snapshot, full, NULL, &error));
    ASSERT_OK(vmkit_snapshot_file_open_path(packed, 0, &file, &error));
    make_options(0, NULL);
    flags = 0;
    fd = -1;
}

static void
tear_down(void)
{
    DIR *names = opendir(folder);
    for (struct dirent *entry; (entry = readdir(names)) != NULL;)
        unlinkat(dirfd(names), entry->d_name, 0);
    closedir(names);
    ck_assert_int_eq(rmdir(folder), 0);
    vmkit_snapshot_file_unref(file);
    vmkit_snapshot_options_unref(options);
    vmkit_snapshot_unref(snapshot);
    options = NULL;
    guest_free(&guest);
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
    int result = vmkit_snapshot_open_path(path, flags, options, &opened, ret_error);
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
    int result = vmkit_snapshot_open_fd(fd, flags, options, &opened, ret_error);
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
    snprintf(command, sizeof command, "cp %s %s", full, out);
    ck_assert_int_eq(system(command), 0);
    int changed = open(out, O_WRONLY | O_CLOEXEC);
    ck_assert_int_eq(pwrite(changed, bytes, size, (off_t)offset), (ssize_t)size);
    close(changed);
    choose(out);
}

START_TEST(a_path_that_cannot_be_opened_is_said)
{
    const struct opener *opener = &openers[_i];
    char name[512], loop[64], below[128], socket_path[64];
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    name_file(loop, "loop");
    name_file(socket_path, "socket");
    snprintf(below, sizeof below, "%s/x", full);
    snprintf(name, sizeof name, "%s/%0300d", folder, 0);
    snprintf(address.sun_path, sizeof address.sun_path, "%s", socket_path);
    ck_assert_int_eq(symlink("loop", loop), 0);
    int bound = socket(AF_UNIX, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(bound, (struct sockaddr *)&address, sizeof address), 0);
    const struct {
        const char *path;
        int err;
        uint32_t kind;
    } rows[] = {
        {out, ENOENT, VMKIT_ERROR_NOT_FOUND}, {folder, EISDIR, VMKIT_ERROR_BAD_SNAPSHOT},
        {loop, ELOOP, VMKIT_ERROR_IO},        {below, ENOTDIR, VMKIT_ERROR_IO},
        {name, ENAMETOOLONG, VMKIT_ERROR_IO}, {socket_path, ENXIO, VMKIT_ERROR_IO},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        path = rows[i].path;
        ASSERT_FAILS(opener->act(&error), rows[i].err, rows[i].kind, path);
    }
    path = full;
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
    choose(folder);
    ASSERT_FAILS(opener->act(&error), EISDIR, VMKIT_ERROR_BAD_SNAPSHOT, "it is a folder");
    drop();
    ck_assert_int_eq(pipe(ends), 0);
    fd = ends[0];
    ASSERT_FAILS(opener->act(&error), EINVAL, VMKIT_ERROR_INVALID_ARGUMENT, "no regular file");
    drop();
    close(ends[1]);
    fd = open(full, O_WRONLY | O_CLOEXEC);
    ASSERT_FAILS(opener->act(&error), EIO, VMKIT_ERROR_IO, "Bad file descriptor");
    drop();
    choose(full);
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
    choose(full);
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
    const char *const files[] = {full, packed};
    for (size_t i = 0; i < 2; i++) {
        for (flags = 0; flags <= VMKIT_SNAPSHOT_FILE_COPY; flags++) {
            choose(files[i]);
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
    choose(full);
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
    choose(child);
    ASSERT_FAILS(opener->act(&error), ENOENT, VMKIT_ERROR_NOT_FOUND, "it needs its parent");
    choose(packed);
    ASSERT_OK(vmkit_snapshot_options_set_memory_limit(options, 4096, &error));
    ASSERT_FAILS(opener->act(&error), E2BIG, VMKIT_ERROR_LIMIT, "the limit is 4096");
    make_options(0, NULL);
    ASSERT_OK(vmkit_snapshot_options_set_progress(options, cancel, NULL, &error));
    ASSERT_FAILS(opener->act(&error), ECANCELED, VMKIT_ERROR_CANCELLED, "cancelled the call");
    make_options(0, NULL);
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
    choose(packed);
    ASSERT_OK(vmkit_snapshot_options_set_lazy(options, 1, &error));
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

/* The ways to write, which take the same. */

static int
save_path(vmkit_error **ret_error)
{
    return vmkit_snapshot_save_path(snapshot, path, options, ret_error);
}

static int
save_fd(vmkit_error **ret_error)
{
    if (fd >= 0)
        lseek(fd, 0, SEEK_SET);
    return vmkit_snapshot_save_fd(snapshot, fd, options, ret_error);
}

static int
merge_path(vmkit_error **ret_error)
{
    return vmkit_snapshot_file_merge_path(file, path, options, ret_error);
}

static int
merge_fd(vmkit_error **ret_error)
{
    if (fd >= 0)
        lseek(fd, 0, SEEK_SET);
    return vmkit_snapshot_file_merge_fd(file, fd, options, ret_error);
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
    name_file(loop, "loop");
    ck_assert_int_eq(symlink("loop", loop), 0);
    snprintf(in_loop, sizeof in_loop, "%s/x", loop);
    snprintf(none, sizeof none, "%s/none/x", folder);
    snprintf(below, sizeof below, "%s/x", full);
    snprintf(name, sizeof name, "%s/%0300d", folder, 0);
    const struct {
        const char *path;
        int err;
    } rows[] = {
        {none, ENOENT}, {folder, EISDIR}, {in_loop, ELOOP}, {below, ENOTDIR}, {name, ENAMETOOLONG}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        path = rows[i].path;
        ASSERT_FAILS(act(&error), rows[i].err, VMKIT_ERROR_IO, path);
    }
    path = "";
    ASSERT_INVALID(act(&error), "empty");
    path = out;
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
        ck_assert_int_eq(access(out, F_OK), -1);
    }
}
END_TEST

START_TEST(a_descriptor_that_cannot_be_written_is_said)
{
    sweep_act act = fd_writers[_i].act;
    int ends[2];
    ASSERT_INVALID(act(&error), "descriptor -1 is not open");
    fd = open(full, O_RDONLY | O_CLOEXEC);
    ASSERT_FAILS(act(&error), EACCES, VMKIT_ERROR_IO, "cannot write to descriptor");
    drop();
    fd = open(full, O_WRONLY | O_APPEND | O_CLOEXEC);
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
    path = out;
    begin_fd();
    limit_file_size(path_writers[_i].act);
    for (uint32_t level = 0; level <= 1; level++) {
        make_options(level, NULL);
        sweep(path_writers[_i].name, path_writers[_i].act, FAULT_ALLOCATE, ENOMEM, ENOMEM);
        sweep(fd_writers[_i].name, fd_writers[_i].act, FAULT_ALLOCATE, ENOMEM, ENOMEM);
    }
    ASSERT_OK(vmkit_snapshot_options_set_progress(options, cancel, NULL, &error));
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
    path = out;
    begin_fd();
    ASSERT_OK(vmkit_vm_snapshot(guest.vm, NULL, 0, &fresh, &error));
    make_options(0, fresh);
    for (size_t i = 0; i < 2; i++)
        ASSERT_INVALID(savers[i](&error), "the parent has no file");
    vmkit_snapshot_unref(fresh);
    make_options(0, snapshot);
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
    ASSERT_OK(vmkit_snapshot_file_open_path(child, 0, &alone, &error));
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
    int result = opened == NULL ? 0 : vmkit_snapshot_file_verify(opened, options, ret_error);
    vmkit_snapshot_file_unref(opened);
    return result;
}

static int
compare(vmkit_error **ret_error)
{
    struct vmkit_snapshot_file_difference difference = {.size = sizeof difference};
    vmkit_snapshot_file *first = open_anew(full), *second = open_anew(out);
    int result = 0;
    if (first != NULL && second != NULL)
        result = vmkit_snapshot_file_diff(first, second, &difference, ret_error);
    vmkit_snapshot_file_unref(first);
    vmkit_snapshot_file_unref(second);
    return result;
}

START_TEST(a_file_that_cannot_be_read_again_is_said)
{
    const char *const files[] = {full, packed};
    /* Another one, so that checksums have to be compared. */
    guest.memory[0x20000] = 0xff;
    vmkit_snapshot_unref(snapshot);
    ASSERT_OK(vmkit_vm_snapshot(guest.vm, NULL, 0, &snapshot, &error));
    ASSERT_OK(vmkit_snapshot_save_path(snapshot, out, NULL, &error));
    for (size_t i = 0; i < 2; i++) {
        path = files[i];
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
    ASSERT_INVALID(vmkit_snapshot_options_set_lazy(options, 2, &error), "2");
    ASSERT_INVALID(vmkit_snapshot_options_set_memory_limit(NULL, 1, &error), "options is NULL");
    ASSERT_INVALID(vmkit_snapshot_options_set_parent(NULL, snapshot, &error), "options is NULL");
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("errors_snapshot_file");
    TCase *tcase = tcase_create("errors_snapshot_file");

    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_loop_test(tcase, a_path_that_cannot_be_opened_is_said, 0, 2);
    tcase_add_loop_test(tcase, a_descriptor_that_cannot_be_read_is_said, 2, OPENERS);
    tcase_add_loop_test(tcase, a_file_that_cannot_be_taken_is_said, 0, OPENERS);
    tcase_add_loop_test(tcase, a_file_that_takes_no_memory_is_opened_or_said, 0, OPENERS);
    tcase_add_loop_test(tcase, a_copy_that_cannot_be_made_is_said, 0, OPENERS);
    tcase_add_loop_test(tcase, a_snapshot_that_cannot_be_made_of_a_file_is_said, 0, 2);
    tcase_add_loop_test(tcase, a_lazy_snapshot_that_the_host_does_not_serve_is_said, 0, 2);
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
