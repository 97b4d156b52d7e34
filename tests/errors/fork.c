/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What taking a snapshot of a sandbox says that cannot be taken, and making sandboxes from one, in
 * each way that there is, or resetting them, when something is not there any more or fails.
 */
#include "../kvm/call_guest.h"
#include "sweep.h"

#include <vmkit/pool.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define FILE_SIZE (4 << 20)

static char folder[] = "/tmp/vmkit-errors.XXXXXX";
static vmkit_snapshot *snapshot;
static vmkit_sandbox_config *config;
static vmkit_sandbox *forked;
static vmkit_pool *pool;

static void
host(const char *format)
{
    char command[256];
    snprintf(command, sizeof command, format, folder);
    ck_assert_int_eq(system(command), 0);
}

static void
make_files(void)
{
    host("cd %s && rm -rf * && mkdir home sub && echo text > file && echo text > sub/deep && "
         "truncate -s 4M large");
}

static int64_t
open_in_guest(const char *path, int flags)
{
    return (int64_t)CALL("open_file", BUFFER(IN, (void *)(uintptr_t)path, strlen(path) + 1),
                         INTEGER(flags));
}

static int
take(vmkit_error **ret_error)
{
    vmkit_snapshot *taken = NULL;
    int result = vmkit_sandbox_snapshot(call_sandbox, &taken, ret_error);
    vmkit_snapshot_unref(taken);
    return result;
}

/* A pool takes a copy of the configuration. What is taken and released keeps its place. */
static void
renew_pool(void)
{
    vmkit_pool_unref(pool);
    pool = NULL;
    ASSERT_OK(vmkit_pool_new(snapshot, config, 0, 10000, &pool, &error));
}

/* A program that has files of a host folder open, and what its forks are given. */
static void
set_up(void)
{
    strcpy(strrchr(folder, '.'), ".XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    make_files();
    call_guest_configure(&guest_call, "once");
    ASSERT_OK(vmkit_sandbox_config_set_memory_limit(call_config, 16 << 20, &error));
    ASSERT_OK(vmkit_sandbox_config_add_folder(call_config, folder, "/data", VMKIT_FOLDER_WRITABLE,
                                              &error));
    ASSERT_OK(vmkit_sandbox_config_set_working_directory(call_config, "/data/home", &error));
    call_guest_start();
    /* More memory than the least limit. */
    CALL("sink", INTEGER(1 << 20));
    ck_assert_int_ge(open_in_guest("/data/file", O_RDWR), 0);
    ck_assert_int_ge(open_in_guest("/data/sub/deep", O_RDONLY), 0);
    ASSERT_OK(vmkit_sandbox_snapshot(call_sandbox, &snapshot, &error));
    config = vmkit_sandbox_config_ref(call_config);
    forked = NULL;
    pool = NULL;
    renew_pool();
}

static void
tear_down(void)
{
    vmkit_pool_unref(pool);
    vmkit_sandbox_unref(forked);
    vmkit_sandbox_config_unref(config);
    vmkit_snapshot_unref(snapshot);
    call_guest_tear_down();
    host("rm -rf %s");
}

/* The ways to get a sandbox. */

static int
make_fork(vmkit_error **ret_error)
{
    vmkit_sandbox *sandbox = NULL;
    int result = vmkit_snapshot_fork(snapshot, config, &sandbox, ret_error);
    vmkit_sandbox_unref(sandbox);
    return result;
}

static int
make_pool(vmkit_error **ret_error)
{
    vmkit_pool *made = NULL;
    int result = vmkit_pool_new(snapshot, config, 1, 1, &made, ret_error);
    vmkit_pool_unref(made);
    return result;
}

static int
take_from_pool(vmkit_error **ret_error)
{
    vmkit_sandbox *sandbox = NULL;
    int result = vmkit_pool_take(pool, 0, &sandbox, ret_error);
    vmkit_sandbox_unref(sandbox);
    return result;
}

static const struct way {
    const char *name;
    sweep_act act;
} ways[] = {{"vmkit_snapshot_fork", make_fork},
            {"vmkit_pool_new", make_pool},
            {"vmkit_pool_take", take_from_pool}};

#define WAYS ((int)(sizeof ways / sizeof ways[0]))

/* A configuration of its own, which shows the folder or not. */
static void
configure(bool has_folder, uint64_t folder_flags)
{
    vmkit_sandbox_config_unref(config);
    ASSERT_OK(vmkit_sandbox_config_new(&config, &error));
    if (has_folder)
        ASSERT_OK(vmkit_sandbox_config_add_folder(config, folder, "/data", folder_flags, &error));
}

START_TEST(a_configuration_that_does_not_do_is_said)
{
    sweep_act act = ways[_i].act;
    ASSERT_OK(act(&error));
    configure(false, 0);
    renew_pool();
    ASSERT_FAILS(act(&error), ENOENT, VMKIT_ERROR_NOT_FOUND, "needs the host folder");
    configure(true, 0);
    renew_pool();
    ASSERT_FAILS(act(&error), EROFS, VMKIT_ERROR_IO, "cannot open the guest's \"/data/file\"");
    configure(true, VMKIT_FOLDER_WRITABLE);
    ASSERT_OK(vmkit_sandbox_config_add_folder(config, folder, "/tmp", 0, &error));
    renew_pool();
    ASSERT_INVALID(act(&error), "has files in memory at the guest's \"/tmp\"");
    configure(true, VMKIT_FOLDER_WRITABLE);
    ASSERT_OK(vmkit_sandbox_config_set_memory_limit(config, 1 << 20, &error));
    renew_pool();
    ASSERT_FAILS(act(&error), E2BIG, VMKIT_ERROR_LIMIT, "1048576");
    configure(true, VMKIT_FOLDER_WRITABLE);
    ASSERT_OK(vmkit_sandbox_config_set_open_files_limit(config, 4, &error));
    renew_pool();
    ASSERT_FAILS(act(&error), EMFILE, VMKIT_ERROR_LIMIT, "4");
}
END_TEST

static const struct {
    const char *change;
    int err;
    uint32_t kind;
    const char *part;
} changes[] = {
    {"rm %s/file", ENOENT, VMKIT_ERROR_NOT_FOUND, "needs the guest's \"/data/file\""},
    {"cd %s && rm file && ln -s sub file", ENXIO, VMKIT_ERROR_IO,
     "\"/data/file\" again: a symbolic link"},
    {"cd %s && rm file && mkdir file", EISDIR, VMKIT_ERROR_IO, "\"/data/file\" again"},
    {"cd %s && rm -r sub && ln -s sub sub", ELOOP, VMKIT_ERROR_IO, "\"/data/sub/deep\""},
    {"cd %s && rmdir home && echo > home", ENOTDIR, VMKIT_ERROR_IO,
     "working directory \"/data/home\" is no folder"},
    {"cd %s && rm -r sub && echo > sub", ENOTDIR, VMKIT_ERROR_IO, "\"/data/sub/deep\""},
};

#define CHANGES ((int)(sizeof changes / sizeof changes[0]))

START_TEST(a_file_that_is_another_one_now_is_said)
{
    sweep_act act = ways[_i].act;
    for (int i = 0; i < CHANGES; i++) {
        host(changes[i].change);
        ASSERT_FAILS(act(&error), changes[i].err, changes[i].kind, changes[i].part);
        make_files();
        ASSERT_OK(act(&error));
    }
    ASSERT_FAILS(WITH_FAULT(FAULT_SYSCALL, EACCES, act(&error)), EACCES, VMKIT_ERROR_IO,
                 "the guest's \"/data/home\"");
    ASSERT_FAILS(WITH_FAULT(FAULT_SYSCALL, EPERM, act(&error)), EIO, VMKIT_ERROR_IO, "openat2");
}
END_TEST

static const struct {
    int err, expected;
    uint32_t kind;
} opens[] = {{ENOENT, ENODEV, VMKIT_ERROR_KVM_MISSING},
             {EACCES, EACCES, VMKIT_ERROR_KVM_PERMISSION},
             {EMFILE, EMFILE, VMKIT_ERROR_LIMIT},
             {ENFILE, ENFILE, VMKIT_ERROR_LIMIT}};

#define OPENS ((int)(sizeof opens / sizeof opens[0]))

START_TEST(a_host_that_has_nothing_for_a_fork_is_said)
{
    const struct way *way = &ways[_i];
    for (int i = 0; i < OPENS; i++)
        ASSERT_FAILS(WITH_FAULT(FAULT_OPEN, opens[i].err, way->act(&error)), opens[i].expected,
                     opens[i].kind, "/dev/kvm");
    ASSERT_FAILS(WITH_FAULT(FAULT_RANDOM, EAGAIN, way->act(&error)), EIO, VMKIT_ERROR_IO,
                 "no random numbers");
    ASSERT_FAILS(WITH_FAULT(FAULT_EVENTFD, EMFILE, way->act(&error)), EMFILE, VMKIT_ERROR_LIMIT,
                 "eventfd(2)");
    sweep(way->name, way->act, FAULT_ALLOCATE, ENOMEM, ENOMEM);
    sweep(way->name, way->act, FAULT_MAP, ENOMEM, ENOMEM);
    sweep_loosely(way->name, way->act, FAULT_IOCTL, ENOMEM, ENOMEM);
    sweep(way->name, way->act, FAULT_IOCTL, EIO, EIO);
    sweep(way->name, way->act, FAULT_IOCTL, EPERM, EIO);
}
END_TEST

static void *
rest(void *user_data)
{
    const struct vmkit_call resting = {.size = sizeof resting, .symbol = "rest"};
    struct vmkit_sandbox_outcome outcome = {.size = sizeof outcome};
    vmkit_sandbox_call(user_data, &resting, &outcome, NULL);
    return NULL;
}

/* Have another thread run it until it is killed. */
static pthread_t
occupy(vmkit_sandbox *sandbox)
{
    struct vmkit_sandbox_stats stats = {.size = sizeof stats};
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, rest, sandbox), 0);
    while (vmkit_sandbox_get_stats(sandbox, &stats, NULL) == 0)
        usleep(1000);
    return thread;
}

static void
release(vmkit_sandbox *sandbox, pthread_t thread)
{
    vmkit_sandbox_kill(sandbox);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
}

START_TEST(a_sandbox_that_cannot_be_taken_is_said)
{
    ASSERT_INVALID(vmkit_sandbox_snapshot(NULL, &snapshot, &error), "sandbox is NULL");
    ASSERT_INVALID(vmkit_sandbox_snapshot(call_sandbox, NULL, &error), "ret_snapshot is NULL");
    static const struct {
        enum fault_call call;
        int err, expected;
    } rows[] = {
        {FAULT_MEMFD, EMFILE, EMFILE}, {FAULT_MEMFD, ENFILE, ENFILE},
        {FAULT_MEMFD, ENOMEM, ENOMEM}, {FAULT_RESIZE, EFBIG, EIO},
        {FAULT_WRITE, ENOSPC, ENOMEM}, {FAULT_WRITE, EIO, EIO},
        {FAULT_SEAL, EBUSY, EIO},      {FAULT_ALLOCATE, ENOMEM, ENOMEM},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        sweep("vmkit_sandbox_snapshot", take, rows[i].call, rows[i].err, rows[i].expected);
    sweep_loosely("vmkit_sandbox_snapshot", take, FAULT_IOCTL, ENOMEM, ENOMEM);
    host("rm %s/file");
    ASSERT_FAILS(take(&error), ENOENT, VMKIT_ERROR_NOT_FOUND, "\"/data/file\" of a host folder");
    pthread_t thread = occupy(call_sandbox);
    ASSERT_FAILS(take(&error), EBUSY, VMKIT_ERROR_BUSY, "running");
    release(call_sandbox, thread);
    ASSERT_FAILS(take(&error), ENOTSUP, VMKIT_ERROR_WRONG_STATE, "ended");
}
END_TEST

START_TEST(mapped_files_need_room)
{
    static const char path[] = "/data/large";
    for (int i = 0; i < 5; i++)
        CALL("map_file", BUFFER(IN, (void *)(uintptr_t)path, sizeof path), INTEGER(FILE_SIZE));
    ASSERT_FAILS(take(&error), E2BIG, VMKIT_ERROR_LIMIT, "16777216");
}
END_TEST

/* A fork, which the cases spoil, goes back. */

static int
reset(vmkit_error **ret_error)
{
    return vmkit_sandbox_reset(forked, ret_error);
}

static int
open_in_fork(vmkit_error **ret_error)
{
    const struct vmkit_argument arguments[] = {BUFFER(IN, (void *)(uintptr_t) "/data", 6),
                                               INTEGER(O_RDONLY)};
    const struct vmkit_call call = {
        .size = sizeof call, .symbol = "open_file", .arguments = arguments, .argument_count = 2};
    struct vmkit_sandbox_outcome outcome = {.size = sizeof outcome};
    return vmkit_sandbox_call(forked, &call, &outcome, ret_error);
}

/* It is as it was made, and has opened one more file since. */
static void
spoil(void)
{
    ASSERT_OK(reset(&error));
    ASSERT_OK(open_in_fork(&error));
}

/* It has failed. */
static void
ruin(void)
{
    ASSERT_OK(reset(&error));
    ASSERT_FAILS(WITH_IOCTL_FAULT(KVM_RUN, EIO, open_in_fork(&error)), EIO, VMKIT_ERROR_KVM_FAILED,
                 "running the sandbox");
}

START_TEST(a_fork_that_cannot_go_back_is_said)
{
    ASSERT_INVALID(vmkit_sandbox_reset(NULL, &error), "sandbox is NULL");
    ASSERT_FAILS(vmkit_sandbox_reset(call_sandbox, &error), ENOTSUP, VMKIT_ERROR_WRONG_STATE,
                 "not forked");
    ASSERT_OK(vmkit_snapshot_fork(snapshot, config, &forked, &error));
    for (int i = 0; i < CHANGES; i++) {
        spoil();
        host(changes[i].change);
        ASSERT_FAILS(reset(&error), changes[i].err, changes[i].kind, changes[i].part);
        make_files();
    }
    static const int errors[] = {EACCES, EROFS, EMFILE, ENFILE};
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        bool is_limit = errors[i] == EMFILE || errors[i] == ENFILE;
        spoil();
        ASSERT_FAILS(WITH_FAULT(FAULT_SYSCALL, errors[i], reset(&error)), errors[i],
                     is_limit ? VMKIT_ERROR_LIMIT : VMKIT_ERROR_IO, "the guest's \"/data/home\"");
    }
    ASSERT_OK(reset(&error));
    pthread_t thread = occupy(forked);
    ASSERT_FAILS(reset(&error), EBUSY, VMKIT_ERROR_BUSY, "running");
    release(forked, thread);
    ASSERT_OK(reset(&error));
}
END_TEST

START_TEST(a_fork_that_failed_needs_a_vm_to_go_back)
{
    ASSERT_OK(vmkit_snapshot_fork(snapshot, config, &forked, &error));
    for (int i = 0; i < OPENS; i++) {
        ruin();
        ASSERT_FAILS(WITH_FAULT(FAULT_OPEN, opens[i].err, reset(&error)), opens[i].expected,
                     opens[i].kind, "/dev/kvm");
    }
    ASSERT_OK(reset(&error));
}
END_TEST

START_TEST(each_thing_that_a_reset_asks_for_may_fail)
{
    static void (*const prepare[])(void) = {spoil, ruin};
    ASSERT_OK(vmkit_snapshot_fork(snapshot, config, &forked, &error));
    sweep_prepared("vmkit_sandbox_reset", prepare[_i], reset, FAULT_ALLOCATE, ENOMEM, ENOMEM);
    sweep_prepared("vmkit_sandbox_reset", prepare[_i], reset, FAULT_IOCTL, ENOMEM, ENOMEM);
    sweep_prepared("vmkit_sandbox_reset", prepare[_i], reset, FAULT_IOCTL, EIO, EIO);
    sweep_prepared("vmkit_sandbox_reset", prepare[_i], reset, FAULT_IOCTL, EPERM, EIO);
    sweep_prepared("vmkit_sandbox_reset", prepare[_i], reset, FAULT_RANDOM, EAGAIN, EIO);
}
END_TEST

START_TEST(what_a_pool_cannot_do_is_said)
{
    struct vmkit_pool_stats stats = {.size = 8};
    vmkit_pool *small = NULL;
    vmkit_sandbox *taken = NULL;
    ASSERT_INVALID(vmkit_pool_new(NULL, NULL, 0, 1, &small, &error), "snapshot is NULL");
    ASSERT_INVALID(vmkit_pool_new(snapshot, NULL, 0, 1, NULL, &error), "ret_pool is NULL");
    ASSERT_INVALID(vmkit_pool_new(snapshot, config, 2, 1, &small, &error), "2 warm sandboxes");
    ASSERT_FAILS(vmkit_pool_new(snapshot, config, 0, 0, &small, &error), ERANGE, VMKIT_ERROR_LIMIT,
                 "1 to 65536");
    ASSERT_FAILS(vmkit_pool_new(snapshot, config, 0, 65537, &small, &error), ERANGE,
                 VMKIT_ERROR_LIMIT, "1 to 65536");
    ASSERT_INVALID(vmkit_pool_get_stats(NULL, &stats, &error), "pool is NULL");
    ASSERT_INVALID(vmkit_pool_get_stats(pool, &stats, &error), "size is 8");
    ASSERT_INVALID(vmkit_pool_take(NULL, 0, &taken, &error), "pool is NULL");
    ASSERT_INVALID(vmkit_pool_take(pool, 0, NULL, &error), "ret_sandbox is NULL");
    ASSERT_INVALID(vmkit_pool_give_back(NULL, call_sandbox, &error), "pool is NULL");
    ASSERT_INVALID(vmkit_pool_give_back(pool, NULL, &error), "sandbox is NULL");
    ASSERT_INVALID(vmkit_pool_give_back(pool, call_sandbox, &error), "not taken from this pool");

    ASSERT_OK(vmkit_pool_new(snapshot, config, 1, 1, &small, &error));
    ASSERT_OK(vmkit_pool_take(small, 0, &taken, &error));
    ASSERT_FAILS(vmkit_pool_take(small, 0, &taken, &error), EAGAIN, VMKIT_ERROR_LIMIT,
                 "all 1 sandboxes of the pool are taken");
    pthread_t thread = occupy(taken);
    ASSERT_FAILS(vmkit_pool_give_back(small, taken, &error), EBUSY, VMKIT_ERROR_BUSY, "running");
    release(taken, thread);
    ASSERT_OK(vmkit_pool_give_back(small, taken, &error));
    vmkit_pool_unref(small);
}
END_TEST

/* In the child; the parent looks at its status. */
static _Noreturn void
try_all_in_child(vmkit_sandbox *taken)
{
    ASSERT_FAILS(take(&error), EIO, VMKIT_ERROR_WRONG_STATE, "belongs to process");
    ASSERT_FAILS(reset(&error), EIO, VMKIT_ERROR_WRONG_STATE, "belongs to process");
    ASSERT_FAILS(take_from_pool(&error), EIO, VMKIT_ERROR_WRONG_STATE, "belongs to process");
    ASSERT_OK(vmkit_pool_give_back(pool, taken, &error));
    /* The snapshot is the child's as well. */
    ASSERT_OK(make_fork(&error));
    ASSERT_OK(make_pool(&error));
    _exit(0);
}

START_TEST(a_child_of_fork_has_the_snapshot_alone)
{
    int status = -1;
    vmkit_sandbox *taken = NULL;
    ASSERT_OK(vmkit_snapshot_fork(snapshot, config, &forked, &error));
    ASSERT_OK(vmkit_pool_take(pool, 0, &taken, &error));
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0)
        try_all_in_child(taken);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    ASSERT_OK(vmkit_pool_give_back(pool, taken, &error));
}
END_TEST

START_TEST(a_snapshot_of_a_sandbox_is_none_of_a_vm)
{
    vmkit_vm *vm = NULL, *copy = NULL;
    vmkit_snapshot *other = NULL, *own = snapshot;
    ASSERT_OK(vmkit_vm_new(NULL, &vm, &error));
    ASSERT_FAILS(vmkit_vm_snapshot(vm, own, 0, &other, &error), ENOTSUP, VMKIT_ERROR_WRONG_STATE,
                 "of a sandbox");
    ASSERT_FAILS(vmkit_vm_new_from_snapshot(own, NULL, 0, NULL, 0, NULL, &copy, &error), ENOTSUP,
                 VMKIT_ERROR_WRONG_STATE, "of a sandbox");
    ASSERT_OK(vmkit_vm_snapshot(vm, NULL, 0, &other, &error));
    snapshot = other;
    ASSERT_FAILS(make_fork(&error), ENOTSUP, VMKIT_ERROR_WRONG_STATE, "of a raw VM");
    ASSERT_FAILS(make_pool(&error), ENOTSUP, VMKIT_ERROR_WRONG_STATE, "of a raw VM");
    snapshot = own;
    vmkit_snapshot_unref(other);
    vmkit_vm_unref(vm);
}
END_TEST

START_TEST(a_pool_of_sandboxes_is_none_of_vms)
{
    vmkit_pool *vms = NULL;
    vmkit_snapshot *other = NULL;
    vmkit_sandbox *sandbox = NULL;
    vmkit_vm *vm = NULL, *taken = NULL;
    ASSERT_FAILS(vmkit_pool_new_vms(snapshot, NULL, 0, 1, &vms, &error), ENOTSUP,
                 VMKIT_ERROR_WRONG_STATE, "of a sandbox");
    ASSERT_FAILS(vmkit_pool_take_vm(pool, 0, NULL, 0, NULL, &taken, &error), ENOTSUP,
                 VMKIT_ERROR_WRONG_STATE, "one of sandboxes, not of raw VMs");
    ASSERT_OK(vmkit_vm_new(NULL, &vm, &error));
    ASSERT_FAILS(vmkit_pool_give_back_vm(pool, vm, &error), ENOTSUP, VMKIT_ERROR_WRONG_STATE,
                 "one of sandboxes, not of raw VMs");
    ASSERT_OK(vmkit_vm_snapshot(vm, NULL, 0, &other, &error));
    ASSERT_OK(vmkit_pool_new_vms(other, NULL, 1, 1, &vms, &error));
    ASSERT_FAILS(vmkit_pool_take(vms, 0, &sandbox, &error), ENOTSUP, VMKIT_ERROR_WRONG_STATE,
                 "one of raw VMs, not of sandboxes");
    ASSERT_FAILS(vmkit_pool_give_back(vms, call_sandbox, &error), ENOTSUP, VMKIT_ERROR_WRONG_STATE,
                 "one of raw VMs, not of sandboxes");
    vmkit_pool_unref(vms);
    vmkit_snapshot_unref(other);
    vmkit_vm_unref(vm);
}
END_TEST

START_TEST(a_fork_needs_a_snapshot_and_a_place)
{
    ASSERT_INVALID(vmkit_snapshot_fork(NULL, config, &forked, &error), "snapshot is NULL");
    ASSERT_INVALID(vmkit_snapshot_fork(snapshot, config, NULL, &error), "ret_sandbox is NULL");
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("errors_fork");
    TCase *tcase = tcase_create("errors_fork");

    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, a_fork_needs_a_snapshot_and_a_place);
    tcase_add_loop_test(tcase, a_configuration_that_does_not_do_is_said, 0, WAYS);
    tcase_add_loop_test(tcase, a_file_that_is_another_one_now_is_said, 0, WAYS);
    tcase_add_loop_test(tcase, a_host_that_has_nothing_for_a_fork_is_said, 0, WAYS);
    tcase_add_test(tcase, a_sandbox_that_cannot_be_taken_is_said);
    tcase_add_test(tcase, mapped_files_need_room);
    tcase_add_test(tcase, a_fork_that_cannot_go_back_is_said);
    tcase_add_test(tcase, a_fork_that_failed_needs_a_vm_to_go_back);
    tcase_add_loop_test(tcase, each_thing_that_a_reset_asks_for_may_fail, 0, 2);
    tcase_add_test(tcase, what_a_pool_cannot_do_is_said);
    tcase_add_test(tcase, a_child_of_fork_has_the_snapshot_alone);
    tcase_add_test(tcase, a_snapshot_of_a_sandbox_is_none_of_a_vm);
    tcase_add_test(tcase, a_pool_of_sandboxes_is_none_of_vms);
    suite_add_tcase(suite, tcase);
    return suite;
}
