/* SPDX-License-Identifier: Apache-2.0 */
/* Sandboxes whose memory is decompressed where they touch it. */
#include "harness.h"
#include "snapshot_guest.h"

#include <vmkit/snapshot_file.h>

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096
#define THREADS 4

static vmkit_snapshot *
open_lazily(int fd)
{
    vmkit_snapshot *snapshot = NULL;
    vmkit_snapshot_options *options = NULL;
    vmkit_error *error = NULL;
    EXPECT(vmkit_snapshot_options_new(&options, &error));
    EXPECT(vmkit_snapshot_options_set_lazy(options, 1, &error));
    EXPECT(vmkit_snapshot_open_fd(fd, 0, options, &snapshot, &error));
    vmkit_snapshot_options_unref(options);
    return snapshot;
}

START_TEST(it_goes_on_as_one_that_was_read_at_once)
{
    vmkit_snapshot *snapshot = snapshot_guest_take(NULL);
    int fd = snapshot_guest_save(snapshot, 1);
    vmkit_snapshot *lazy = open_lazily(fd);
    close(fd);
    vmkit_sandbox *fork = snapshot_guest_fork(snapshot, NULL);
    vmkit_sandbox *restored = snapshot_guest_fork(lazy, NULL);
    vmkit_sandbox *other = snapshot_guest_fork(lazy, NULL);
    vmkit_snapshot_unref(lazy);
    /* The one writes to what nobody has touched yet, and goes back to it. */
    ck_assert_uint_eq(snapshot_guest_ask(restored, "touch", 300), 0);
    snapshot_guest_reset(restored);
    snapshot_guest_compare_restored(restored, fork);
    snapshot_guest_compare(restored, other);
    for (int i = 0; i < 3; i++) {
        snapshot_guest_do(restored, "soil-end", 1, VMKIT_OUTCOME_SIGNALLED);
        snapshot_guest_reset(restored);
        snapshot_guest_compare(restored, other);
        ck_assert_uint_eq(snapshot_guest_ask(restored, "check", 0), 0);
        snapshot_guest_reset(other);
    }
    vmkit_sandbox_unref(restored);
    vmkit_sandbox_unref(other);
    vmkit_sandbox_unref(fork);
    vmkit_snapshot_unref(snapshot);
}
END_TEST

struct visitor {
    vmkit_snapshot *snapshot;
    uint64_t wrong;
};

static void *
visit(void *data)
{
    struct visitor *visitor = data;
    vmkit_sandbox *fork = NULL;
    struct vmkit_sandbox_outcome outcome = {.size = sizeof outcome};
    visitor->wrong = UINT64_MAX;
    if (vmkit_snapshot_fork(visitor->snapshot, NULL, &fork, NULL) < 0)
        return NULL;
    snapshot_guest_tell(fork, "check", 0);
    if (vmkit_sandbox_run(fork, &outcome, NULL) == 0)
        visitor->wrong = snapshot_guest_result(fork);
    vmkit_sandbox_unref(fork);
    return NULL;
}

START_TEST(many_touch_it_at_the_same_time)
{
    vmkit_snapshot *snapshot = snapshot_guest_take(NULL);
    int fd = snapshot_guest_save(snapshot, 1);
    vmkit_snapshot *lazy = open_lazily(fd);
    struct visitor visitors[THREADS];
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        visitors[i].snapshot = lazy;
        ck_assert_int_eq(pthread_create(&threads[i], NULL, visit, &visitors[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        ck_assert_uint_eq(visitors[i].wrong, 0);
    }
    vmkit_snapshot_unref(lazy);
    vmkit_snapshot_unref(snapshot);
    close(fd);
}
END_TEST

START_TEST(it_is_saved_and_taken_again)
{
    vmkit_snapshot *snapshot = snapshot_guest_take(NULL);
    int fd = snapshot_guest_save(snapshot, 1);
    vmkit_snapshot *lazy = open_lazily(fd);
    vmkit_sandbox *fork = snapshot_guest_fork(lazy, NULL);
    snapshot_guest_ask(fork, "touch", 10);
    vmkit_snapshot *next = NULL;
    vmkit_error *error = NULL;
    EXPECT(vmkit_sandbox_snapshot(fork, &next, &error));
    vmkit_sandbox *other = snapshot_guest_fork(next, NULL);
    ck_assert_uint_eq(snapshot_guest_ask(other, "check", 0), 10);
    int again = snapshot_guest_save(lazy, 1);
    snapshot_guest_compare_files(fd, again);
    vmkit_sandbox_unref(other);
    vmkit_snapshot_unref(next);
    vmkit_sandbox_unref(fork);
    vmkit_snapshot_unref(lazy);
    vmkit_snapshot_unref(snapshot);
    close(again);
    close(fd);
}
END_TEST

/* Change a byte in the middle of the compressed pages, where the table of the guest is. */
static void
damage(int fd)
{
    struct vmkit_snapshot_file_info info = {.size = sizeof info};
    vmkit_snapshot_file *file = NULL;
    vmkit_error *error = NULL;
    uint8_t byte = 0;
    EXPECT(vmkit_snapshot_file_open_fd(fd, 0, &file, &error));
    EXPECT(vmkit_snapshot_file_get_info(file, &info, &error));
    vmkit_snapshot_file_unref(file);
    off_t at = (off_t)(PAGE + info.stored_bytes / 2);
    ck_assert_int_eq(pread(fd, &byte, 1, at), 1);
    byte ^= 0x10;
    ck_assert_int_eq(pwrite(fd, &byte, 1, at), 1);
}

static void
assert_damaged(int result, vmkit_error *error)
{
    ck_assert_int_eq(result, -EIO);
    ck_assert_uint_eq(vmkit_error_get_kind(error), VMKIT_ERROR_BAD_SNAPSHOT);
    ck_assert_ptr_nonnull(strstr(vmkit_error_get_message(error), "damaged"));
    vmkit_error_unref(error);
}

/* Opening reads none of it, nor does a fork, nor a run that goes elsewhere. */
START_TEST(damage_is_found_where_it_is_touched)
{
    struct vmkit_sandbox_outcome outcome = {.size = sizeof outcome};
    vmkit_snapshot *snapshot = snapshot_guest_take(NULL);
    int fd = snapshot_guest_save(snapshot, 1);
    damage(fd);
    vmkit_snapshot *lazy = open_lazily(fd);
    vmkit_sandbox *fork = snapshot_guest_fork(lazy, NULL);
    vmkit_error *error = NULL;
    ck_assert_uint_eq(snapshot_guest_ask(fork, "touch", 1), 0);
    snapshot_guest_tell(fork, "check", 0);
    int result = vmkit_sandbox_run(fork, &outcome, &error);
    assert_damaged(result, error);
    /* It has failed, and so has whatever goes on from the same snapshot. */
    error = NULL;
    ck_assert_int_eq(vmkit_sandbox_run(fork, &outcome, NULL), -ENOTSUP);
    snapshot_guest_reset(fork);
    result = vmkit_sandbox_run(fork, &outcome, &error);
    assert_damaged(result, error);
    /* Nor is it saved. */
    error = NULL;
    int copy = memfd_create("copy", MFD_CLOEXEC);
    result = vmkit_snapshot_save_fd(lazy, copy, NULL, &error);
    assert_damaged(result, error);
    close(copy);
    vmkit_sandbox_unref(fork);
    vmkit_snapshot_unref(lazy);
    vmkit_snapshot_unref(snapshot);
    close(fd);
}
END_TEST

/* Who serves the faults is not there. */
START_TEST(a_child_of_fork_2_cannot_use_it)
{
    vmkit_snapshot *snapshot = snapshot_guest_take(NULL);
    int fd = snapshot_guest_save(snapshot, 1), status = 0;
    vmkit_snapshot *lazy = open_lazily(fd);
    pid_t child = fork();
    if (child == 0) {
        vmkit_sandbox *sandbox = NULL;
        _exit(vmkit_snapshot_fork(lazy, NULL, &sandbox, NULL) == -EIO ? 0 : 1);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    vmkit_snapshot_unref(lazy);
    vmkit_snapshot_unref(snapshot);
    close(fd);
}
END_TEST

/* What a child of fork(2) may do with a fork of a lazy snapshot, and what it may not. */
static int
try_in_child(vmkit_snapshot *lazy, vmkit_sandbox *fork, uint64_t address)
{
    uint64_t word = 0;
    vmkit_error *error = NULL;
    if (vmkit_sandbox_read_memory(fork, address, &word, sizeof word, &error) != -EIO)
        return 1;
    if (strstr(vmkit_error_get_message(error), "another process") == NULL)
        return 2;
    vmkit_error_unref(error);
    if (vmkit_sandbox_write_memory(fork, address, &word, sizeof word, NULL) != -EIO)
        return 3;
    if (vmkit_sandbox_reset(fork, NULL) != -EIO)
        return 4;
    vmkit_sandbox_unref(fork);
    vmkit_snapshot_unref(lazy);
    return 0;
}

START_TEST(a_child_of_fork_2_leaves_it_as_it_was)
{
    vmkit_snapshot *snapshot = snapshot_guest_take(NULL);
    int fd = snapshot_guest_save(snapshot, 1), status = 0;
    vmkit_snapshot *lazy = open_lazily(fd);
    vmkit_sandbox *one = snapshot_guest_fork(lazy, NULL), *other;
    uint64_t address = 0;
    vmkit_error *error = NULL;
    EXPECT(vmkit_sandbox_find_symbol(one, "table", &address, &error));
    pid_t child = fork();
    if (child == 0)
        _exit(try_in_child(lazy, one, address + 64 * PAGE));
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    ck_assert_uint_eq(snapshot_guest_ask(one, "check", 0), 0);
    other = snapshot_guest_fork(lazy, NULL);
    ck_assert_uint_eq(snapshot_guest_ask(other, "check", 0), 0);
    vmkit_sandbox_unref(other);
    vmkit_sandbox_unref(one);
    vmkit_snapshot_unref(lazy);
    vmkit_snapshot_unref(snapshot);
    close(fd);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("snapshot_lazy");
    TCase *tcase = tcase_create("lazy");
    tcase_set_timeout(tcase, 240);
    tcase_add_test(tcase, it_goes_on_as_one_that_was_read_at_once);
    tcase_add_test(tcase, many_touch_it_at_the_same_time);
    tcase_add_test(tcase, it_is_saved_and_taken_again);
    tcase_add_test(tcase, damage_is_found_where_it_is_touched);
    tcase_add_test(tcase, a_child_of_fork_2_cannot_use_it);
    tcase_add_test(tcase, a_child_of_fork_2_leaves_it_as_it_was);
    suite_add_tcase(suite, tcase);
    return suite;
}
