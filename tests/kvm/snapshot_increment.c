/* SPDX-License-Identifier: Apache-2.0 */
/* Snapshots of sandboxes in files that hold what differs from a parent. */
#include "harness.h"
#include "snapshot_guest.h"

#include <vmkit/snapshot_file.h>
#include <vmkit/vm.h>

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define CHAIN 5
#define GENERATIONS 70 /* more than share memory */

static vmkit_snapshot_options *
make_options(vmkit_snapshot *parent, uint32_t level)
{
    vmkit_snapshot_options *options = NULL;
    vmkit_error *error = NULL;
    EXPECT(vmkit_snapshot_options_new(&options, &error));
    EXPECT(vmkit_snapshot_options_set_parent(options, parent, &error));
    EXPECT(vmkit_snapshot_options_set_compression(options, level, &error));
    EXPECT(vmkit_snapshot_options_set_lazy(options, level, &error));
    return options;
}

/* A file of what differs from the parent, which may be NULL. */
static int
save(vmkit_snapshot *snapshot, vmkit_snapshot *parent, uint32_t level)
{
    vmkit_snapshot_options *options = make_options(parent, level);
    vmkit_error *error = NULL;
    int fd = memfd_create("snapshot", MFD_CLOEXEC);
    EXPECT(vmkit_snapshot_save_fd(snapshot, fd, options, &error));
    vmkit_snapshot_options_unref(options);
    return fd;
}

/* Compressed files are decompressed where they are touched. */
static vmkit_snapshot *
open_file(int fd, vmkit_snapshot *parent, uint32_t level)
{
    vmkit_snapshot_options *options = make_options(parent, level);
    vmkit_snapshot *snapshot = NULL;
    vmkit_error *error = NULL;
    EXPECT(vmkit_snapshot_open_fd(fd, 0, options, &snapshot, &error));
    vmkit_snapshot_options_unref(options);
    return snapshot;
}

static vmkit_snapshot_file *
look(int fd)
{
    vmkit_snapshot_file *file = NULL;
    vmkit_error *error = NULL;
    EXPECT(vmkit_snapshot_file_open_fd(fd, 0, &file, &error));
    return file;
}

static uint64_t
count_data(int fd)
{
    struct vmkit_snapshot_file_info info = {.size = sizeof info};
    vmkit_snapshot_file *file = look(fd);
    ck_assert_int_eq(vmkit_snapshot_file_get_info(file, &info, NULL), 0);
    vmkit_snapshot_file_unref(file);
    return info.data_pages;
}

/* Merge a chain, from the full file on, and compare it with a full save of the last moment. */
static void
assert_merges(const int *fds, size_t count, vmkit_snapshot *last)
{
    vmkit_snapshot_options *options = make_options(NULL, 0);
    vmkit_snapshot_file *file = look(fds[0]);
    vmkit_error *error = NULL;
    for (size_t i = 1; i < count; i++) {
        vmkit_snapshot_file *child = look(fds[i]);
        EXPECT(vmkit_snapshot_file_set_parent(child, file, &error));
        EXPECT(vmkit_snapshot_file_verify(child, options, &error));
        vmkit_snapshot_file_unref(file);
        file = child;
    }
    int merged = memfd_create("merged", MFD_CLOEXEC);
    EXPECT(vmkit_snapshot_file_merge_fd(file, merged, options, &error));
    int full = save(last, NULL, 0);
    snapshot_guest_compare_files(merged, full);
    close(full);
    close(merged);
    vmkit_snapshot_file_unref(file);
    vmkit_snapshot_options_unref(options);
}

static void
assert_goes_on(vmkit_snapshot *opened, vmkit_snapshot *original)
{
    vmkit_sandbox *restored = snapshot_guest_fork(opened, NULL);
    vmkit_sandbox *fork = snapshot_guest_fork(original, NULL);
    snapshot_guest_compare_restored(restored, fork);
    snapshot_guest_ask(restored, "touch", 700);
    snapshot_guest_reset(restored);
    snapshot_guest_compare_restored(restored, fork);
    vmkit_sandbox_unref(restored);
    vmkit_sandbox_unref(fork);
}

/* Of a fork: what it wrote to, whether the parent is in memory or in a file. */
START_TEST(what_a_fork_wrote_is_in_the_file_and_no_more)
{
    uint32_t level = (uint32_t)_i & 1;
    vmkit_snapshot *base = snapshot_guest_take(NULL);
    int fds[2] = {save(base, NULL, level), -1};
    uint64_t all = count_data(fds[0]);
    vmkit_snapshot *parent = (_i & 2) == 0 ? base : open_file(fds[0], NULL, level);
    vmkit_sandbox *fork = snapshot_guest_fork(parent, NULL);
    ck_assert_uint_eq(snapshot_guest_ask(fork, "touch", 100), 0);
    vmkit_snapshot *next = snapshot_guest_snapshot(fork);
    fds[1] = save(next, parent, level);
    uint64_t data = count_data(fds[1]);
    ck_assert_uint_ge(data, 100);
    ck_assert_uint_le(data, 140);
    ck_assert_uint_ge(all, GUEST_TABLE_PAGES);
    assert_merges(fds, 2, next);
    vmkit_snapshot *opened = open_file(fds[1], parent, level);
    assert_goes_on(opened, next);
    /* Which no longer needs the parent. */
    vmkit_sandbox_unref(fork);
    vmkit_snapshot_unref(next);
    vmkit_snapshot_unref(base);
    if (parent != base)
        vmkit_snapshot_unref(parent);
    fork = snapshot_guest_fork(opened, NULL);
    ck_assert_uint_eq(snapshot_guest_ask(fork, "check", 0), 100);
    vmkit_sandbox_unref(fork);
    vmkit_snapshot_unref(opened);
    close(fds[0]);
    close(fds[1]);
}
END_TEST

/* Nothing is known of what it wrote: its memory is compared. */
START_TEST(the_same_sandbox_is_saved_twice)
{
    vmkit_sandbox *sandbox = snapshot_guest_new(NULL);
    vmkit_snapshot *first = snapshot_guest_snapshot(sandbox);
    int fds[2] = {save(first, NULL, 0), -1};
    vmkit_snapshot *still = snapshot_guest_snapshot(sandbox);
    int nothing = save(still, first, 0);
    ck_assert_uint_eq(count_data(nothing), 0);
    snapshot_guest_ask(sandbox, "touch", 50);
    vmkit_snapshot *second = snapshot_guest_snapshot(sandbox);
    fds[1] = save(second, first, 0);
    ck_assert_uint_ge(count_data(fds[1]), 50);
    ck_assert_uint_le(count_data(fds[1]), 90);
    assert_merges(fds, 2, second);
    vmkit_snapshot *opened = open_file(fds[1], first, 0);
    assert_goes_on(opened, second);
    vmkit_snapshot_unref(opened);
    vmkit_snapshot_unref(second);
    vmkit_snapshot_unref(still);
    vmkit_snapshot_unref(first);
    vmkit_sandbox_unref(sandbox);
    close(nothing);
    close(fds[0]);
    close(fds[1]);
}
END_TEST

/* But for its random bytes. */
START_TEST(where_the_guest_has_not_run_no_page_is_written)
{
    vmkit_snapshot *base = snapshot_guest_take(NULL);
    int fd = save(base, NULL, 0);
    vmkit_sandbox *fork = snapshot_guest_fork(base, NULL);
    for (int i = 0; i < 3; i++) {
        vmkit_snapshot *next = snapshot_guest_snapshot(fork);
        int child = save(next, base, 0);
        ck_assert_uint_eq(count_data(child), 1);
        vmkit_snapshot_unref(next);
        close(child);
        /* What was written and taken back is not there either. */
        snapshot_guest_ask(fork, "touch", 200);
        snapshot_guest_reset(fork);
    }
    vmkit_sandbox_unref(fork);
    vmkit_snapshot_unref(base);
    close(fd);
}
END_TEST

/* Memory that came, went, was moved, thrown away and protected. */
START_TEST(memory_that_comes_and_goes_is_as_it_is)
{
    vmkit_snapshot *base = snapshot_guest_take(NULL);
    int fds[3] = {save(base, NULL, (uint32_t)_i), -1, -1};
    vmkit_sandbox *fork = snapshot_guest_fork(base, NULL);
    snapshot_guest_do(fork, "soil", 0, VMKIT_OUTCOME_READY);
    snapshot_guest_do(fork, "disarm", 0, VMKIT_OUTCOME_READY);
    vmkit_snapshot *next = snapshot_guest_snapshot(fork);
    fds[1] = save(next, base, (uint32_t)_i);
    assert_merges(fds, 2, next);
    vmkit_snapshot *opened = open_file(fds[1], base, (uint32_t)_i);
    assert_goes_on(opened, next);
    /* And all of that goes again: less memory than the parent has. */
    fds[2] = save(base, opened, (uint32_t)_i);
    assert_merges(fds, 3, base);
    vmkit_snapshot *again = open_file(fds[2], opened, (uint32_t)_i);
    assert_goes_on(again, base);
    vmkit_snapshot_unref(again);
    vmkit_snapshot_unref(opened);
    vmkit_snapshot_unref(next);
    vmkit_sandbox_unref(fork);
    vmkit_snapshot_unref(base);
    for (int i = 0; i < 3; i++)
        close(fds[i]);
}
END_TEST

/* Each is opened on top of the one before, forked, changed and saved. */
START_TEST(a_chain_of_several_is_opened_and_merged)
{
    uint32_t level = (uint32_t)_i;
    vmkit_snapshot *last = snapshot_guest_take(NULL);
    int fds[CHAIN + 1] = {save(last, NULL, level)};
    for (uint64_t i = 1; i <= CHAIN; i++) {
        vmkit_snapshot *parent = open_file(fds[i - 1], i == 1 ? NULL : last, level);
        vmkit_sandbox *fork = snapshot_guest_fork(parent, NULL);
        ck_assert_uint_eq(snapshot_guest_ask(fork, "check", 0), (i - 1) * 20);
        snapshot_guest_ask(fork, "touch", i * 20);
        vmkit_snapshot *next = snapshot_guest_snapshot(fork);
        fds[i] = save(next, parent, level);
        ck_assert_uint_le(count_data(fds[i]), 100);
        assert_merges(fds, i + 1, next);
        vmkit_sandbox_unref(fork);
        vmkit_snapshot_unref(next);
        vmkit_snapshot_unref(last);
        last = parent;
    }
    vmkit_snapshot *opened = open_file(fds[CHAIN], last, level);
    vmkit_sandbox *fork = snapshot_guest_fork(opened, NULL);
    ck_assert_uint_eq(snapshot_guest_ask(fork, "check", 0), CHAIN * 20);
    vmkit_sandbox_unref(fork);
    vmkit_snapshot_unref(opened);
    vmkit_snapshot_unref(last);
    for (int i = 0; i <= CHAIN; i++)
        close(fds[i]);
}
END_TEST

/* A snapshot of a fork of a snapshot of a fork, and so on: each shares memory with those before, of
 * which nothing else is left. */
START_TEST(forks_of_forks_hold_what_they_held)
{
    vmkit_snapshot *last = snapshot_guest_take(NULL);
    int fd = save(last, NULL, 0);
    for (uint64_t i = 0; i < GENERATIONS; i++) {
        vmkit_sandbox *fork = snapshot_guest_fork(last, NULL);
        ck_assert_uint_eq(snapshot_guest_get_shared(fork).argument, i);
        snapshot_guest_ask(fork, "touch", i + 1);
        vmkit_snapshot_unref(last);
        last = snapshot_guest_snapshot(fork);
        vmkit_sandbox_unref(fork);
    }
    vmkit_sandbox *fork = snapshot_guest_fork(last, NULL);
    ck_assert_uint_eq(snapshot_guest_ask(fork, "check", 0), GENERATIONS);
    /* Of the first one there is a file, and no memory any more. */
    vmkit_snapshot *first = open_file(fd, NULL, 0);
    int fds[2] = {fd, save(last, first, 0)};
    ck_assert_uint_le(count_data(fds[1]), GENERATIONS + 40);
    assert_merges(fds, 2, last);
    vmkit_snapshot_unref(first);
    vmkit_sandbox_unref(fork);
    vmkit_snapshot_unref(last);
    close(fds[0]);
    close(fds[1]);
}
END_TEST

/* Every second page is its own: more places than a fork maps one by one. */
START_TEST(pages_here_and_there_are_put_together)
{
    uint32_t level = (uint32_t)_i;
    vmkit_snapshot *base = snapshot_guest_take(NULL);
    int fds[2] = {save(base, NULL, level), -1};
    vmkit_snapshot *parent = open_file(fds[0], NULL, level);
    vmkit_sandbox *fork = snapshot_guest_fork(parent, NULL);
    uint64_t table = snapshot_guest_get_shared(fork).table;
    for (uint64_t i = 0; i < 400; i += 2)
        snapshot_guest_poke(fork, table + i * 4096, GUEST_CANARY + i);
    vmkit_snapshot *next = snapshot_guest_snapshot(fork);
    fds[1] = save(next, parent, level);
    ck_assert_uint_ge(count_data(fds[1]), 200);
    ck_assert_uint_le(count_data(fds[1]), 240);
    assert_merges(fds, 2, next);
    vmkit_snapshot *opened = open_file(fds[1], parent, level);
    assert_goes_on(opened, next);
    vmkit_sandbox *forks[2] = {snapshot_guest_fork(opened, NULL), snapshot_guest_fork(next, NULL)};
    for (int i = 0; i < 2; i++) {
        ck_assert_uint_eq(snapshot_guest_ask(forks[i], "check", 0), 200);
        vmkit_sandbox_unref(forks[i]);
    }
    vmkit_snapshot_unref(opened);
    vmkit_snapshot_unref(next);
    vmkit_sandbox_unref(fork);
    vmkit_snapshot_unref(parent);
    vmkit_snapshot_unref(base);
    close(fds[0]);
    close(fds[1]);
}
END_TEST

static void
assert_refused(int result, vmkit_error *error, int err, const char *words)
{
    ck_assert_int_eq(result, -err);
    ck_assert_msg(strstr(vmkit_error_get_message(error), words) != NULL, "%s",
                  vmkit_error_get_message(error));
    vmkit_error_unref(error);
}

static void
assert_open_refused(int fd, vmkit_snapshot *parent, int err, const char *words)
{
    vmkit_snapshot_options *options = make_options(parent, 0);
    vmkit_snapshot *snapshot = NULL;
    vmkit_error *error = NULL;
    int result = vmkit_snapshot_open_fd(fd, 0, options, &snapshot, &error);
    assert_refused(result, error, err, words);
    ck_assert_ptr_null(snapshot);
    vmkit_snapshot_options_unref(options);
}

static void
assert_save_refused(vmkit_snapshot *snapshot, vmkit_snapshot *parent, int err, const char *words)
{
    vmkit_snapshot_options *options = make_options(parent, 0);
    vmkit_error *error = NULL;
    int fd = memfd_create("refused", MFD_CLOEXEC);
    int result = vmkit_snapshot_save_fd(snapshot, fd, options, &error);
    assert_refused(result, error, err, words);
    vmkit_snapshot_options_unref(options);
    close(fd);
}

START_TEST(a_parent_is_the_one_that_the_file_names)
{
    vmkit_snapshot *base = snapshot_guest_take(NULL), *vm_snapshot = NULL;
    vmkit_sandbox *fork = snapshot_guest_fork(base, NULL);
    vmkit_vm *vm = NULL;
    vmkit_error *error = NULL;
    EXPECT(vmkit_vm_new(NULL, &vm, &error));
    EXPECT(vmkit_vm_snapshot(vm, NULL, 0, &vm_snapshot, &error));
    snapshot_guest_ask(fork, "touch", 10);
    vmkit_snapshot *next = snapshot_guest_snapshot(fork);
    assert_save_refused(next, base, EINVAL, "the parent has no file");
    assert_save_refused(next, vm_snapshot, ENOTSUP, "one of a raw VM");
    int base_fd = save(base, NULL, 0), fd = save(next, base, 0);

    assert_open_refused(fd, NULL, ENOENT, "it needs its parent, the snapshot ");
    assert_open_refused(fd, next, EINVAL, "its parent is ");
    assert_open_refused(base_fd, base, EINVAL, "it does not need a parent");
    int vm_fd = save(vm_snapshot, NULL, 0);
    assert_open_refused(fd, vm_snapshot, ENOTSUP, "one of a raw VM");
    /* The same at another moment is another one. */
    snapshot_guest_ask(fork, "touch", 11);
    vmkit_snapshot *changed = snapshot_guest_snapshot(fork);
    int changed_fd = save(changed, NULL, 0);
    assert_open_refused(fd, changed, EINVAL, "its parent is ");
    vmkit_snapshot_unref(changed);
    vmkit_snapshot_unref(next);
    vmkit_snapshot_unref(vm_snapshot);
    vmkit_vm_unref(vm);
    vmkit_sandbox_unref(fork);
    vmkit_snapshot_unref(base);
    close(changed_fd);
    close(vm_fd);
    close(fd);
    close(base_fd);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("snapshot_increment");
    TCase *tcase = tcase_create("increment");
    tcase_set_timeout(tcase, 240);
    tcase_add_loop_test(tcase, what_a_fork_wrote_is_in_the_file_and_no_more, 0, 4);
    tcase_add_test(tcase, the_same_sandbox_is_saved_twice);
    tcase_add_test(tcase, where_the_guest_has_not_run_no_page_is_written);
    tcase_add_loop_test(tcase, memory_that_comes_and_goes_is_as_it_is, 0, 2);
    tcase_add_loop_test(tcase, a_chain_of_several_is_opened_and_merged, 0, 2);
    tcase_add_test(tcase, forks_of_forks_hold_what_they_held);
    tcase_add_loop_test(tcase, pages_here_and_there_are_put_together, 0, 2);
    tcase_add_test(tcase, a_parent_is_the_one_that_the_file_names);
    suite_add_tcase(suite, tcase);
    return suite;
}
