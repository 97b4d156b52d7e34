/* SPDX-License-Identifier: Apache-2.0 */
/* What takes the host long is done in steps, and a kill is noticed between them. The linker leads
 * the library's calls here (--wrap). */
#include "harness.h"

#include "fake_guest.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define MIB (UINT64_C(1) << 20)
#define STEP (64 * MIB)
#define SYNC_STEP (16 * MIB)
#define CALLS_MAX 8192
#define PUNCH (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)

struct call {
    int mode;
    uint64_t offset;
    uint64_t size;
};

static struct {
    bool on; /* Calls are noted instead of made. */
    struct call calls[CALLS_MAX];
    int count;
    int whole;     /* fsync and fdatasync */
    int fail_at;   /* The number of a step that fails, from 1 on, */
    int fail_with; /* and how; the step is repeated after EINTR. */
    int kill_at;   /* The number of the step during which the kill comes. */
    uint64_t free; /* Bytes that the disk has left. */
} host;

int
__wrap_fallocate64(int fd, int mode, off_t offset, off_t size);
int
__wrap_sync_file_range(int fd, off_t offset, off_t size, unsigned flags);
int
__wrap_fsync(int fd);
int
__wrap_fdatasync(int fd);
int
__wrap_fstatfs64(int fd, struct statfs *status);
int
__real_fstatfs64(int fd, struct statfs *status);
int
__real_fallocate64(int fd, int mode, off_t offset, off_t size);
int
__real_sync_file_range(int fd, off_t offset, off_t size, unsigned flags);
int
__real_fsync(int fd);
int
__real_fdatasync(int fd);

static int
note(int mode, off_t offset, off_t size)
{
    if (host.count < CALLS_MAX)
        host.calls[host.count] = (struct call){mode, (uint64_t)offset, (uint64_t)size};
    host.count++;
    if (host.count == host.kill_at)
        atomic_store(&fake.process.killed, true);
    if (host.count != host.fail_at)
        return 0;
    errno = host.fail_with;
    return -1;
}

int
__wrap_fallocate64(int fd, int mode, off_t offset, off_t size)
{
    return host.on ? note(mode, offset, size) : __real_fallocate64(fd, mode, offset, size);
}

int
__wrap_sync_file_range(int fd, off_t offset, off_t size, unsigned flags)
{
    return host.on ? note((int)flags, offset, size)
                   : __real_sync_file_range(fd, offset, size, flags);
}

int
__wrap_fsync(int fd)
{
    host.whole += host.on;
    return host.on ? 0 : __real_fsync(fd);
}

int
__wrap_fdatasync(int fd)
{
    host.whole += host.on;
    return host.on ? 0 : __real_fdatasync(fd);
}

int
__wrap_fstatfs64(int fd, struct statfs *status)
{
    if (!host.on)
        return __real_fstatfs64(fd, status);
    *status = (struct statfs){
        .f_bsize = 4096, .f_blocks = 1000000000, .f_bfree = (fsblkcnt_t)(host.free / 4096)};
    return 0;
}

static char folder[64];
static uint64_t file;

static void
set_up(void)
{
    memset(&host, 0, sizeof host);
    host.free = 100 * STEP;
    strcpy(folder, "/tmp/vmkit-steps-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    fake_set_up();
    ck_assert_int_eq(
        vmk_config_add_folder(fake.config, folder, "/host", VMKIT_FOLDER_WRITABLE, NULL), 0);
    fake_start();
    int64_t fd = fake_open("/host/file", O_RDWR | O_CREAT, 0600);
    ck_assert_int_ge(fd, 0);
    file = (uint64_t)fd;
}

static void
tear_down(void)
{
    char path[80];
    fake_tear_down();
    snprintf(path, sizeof path, "%s/file", folder);
    unlink(path);
    rmdir(folder);
}

static int64_t
allocate(int mode, uint64_t offset, uint64_t size)
{
    host.on = true;
    host.count = 0;
    int64_t result = fake_call(fallocate, file, (uint64_t)mode, offset, size);
    host.on = false;
    return result;
}

static void
assert_call(int index, int mode, uint64_t offset, uint64_t size)
{
    ck_assert_int_lt(index, host.count);
    ck_assert_int_eq(host.calls[index].mode, mode);
    ck_assert_uint_eq(host.calls[index].offset, offset);
    ck_assert_uint_eq(host.calls[index].size, size);
}

static uint64_t
size_of_file(void)
{
    char path[80];
    struct stat status;
    snprintf(path, sizeof path, "%s/file", folder);
    ck_assert_int_eq(stat(path, &status), 0);
    return (uint64_t)status.st_size;
}

START_TEST(a_short_range_is_one_call)
{
    ck_assert_int_eq(allocate(0, 5, 4096), 0);
    ck_assert_int_eq(host.count, 1);
    assert_call(0, 0, 5, 4096);
    ck_assert_int_eq(allocate(0, 0, STEP), 0);
    ck_assert_int_eq(host.count, 1);
}
END_TEST

START_TEST(a_long_range_is_cut_and_the_size_comes_last)
{
    ck_assert_int_eq(allocate(PUNCH, 100, 2 * STEP), 0);
    ck_assert_int_eq(host.count, 3);
    assert_call(0, PUNCH, 100, STEP - 100);
    assert_call(1, PUNCH, STEP, STEP);
    assert_call(2, PUNCH, 2 * STEP, 100);

    ck_assert_int_eq(allocate(0, 0, STEP + 1), 0);
    ck_assert_int_eq(host.count, 2);
    assert_call(0, FALLOC_FL_KEEP_SIZE, 0, STEP);
    assert_call(1, 0, STEP, 1);
    ck_assert_int_eq(allocate(FALLOC_FL_ZERO_RANGE, 0, STEP + 1), 0);
    assert_call(0, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, 0, STEP);
    assert_call(1, FALLOC_FL_ZERO_RANGE, STEP, 1);
}
END_TEST

START_TEST(a_range_that_moves_what_follows_is_not_cut)
{
    ck_assert_int_eq(allocate(FALLOC_FL_COLLAPSE_RANGE, 0, 3 * STEP), 0);
    ck_assert_int_eq(host.count, 1);
    ck_assert_int_eq(allocate(FALLOC_FL_INSERT_RANGE, 0, 3 * STEP), 0);
    ck_assert_int_eq(host.count, 1);
    assert_call(0, FALLOC_FL_INSERT_RANGE, 0, 3 * STEP);
}
END_TEST

START_TEST(a_hole_of_any_size_takes_few_steps)
{
    ck_assert_int_eq(allocate(PUNCH, 1, INT64_MAX - 1), 0);
    ck_assert_int_gt(host.count, 1000);
    ck_assert_int_le(host.count, 4097);
    uint64_t at = 1;
    for (int i = 0; i < host.count; i++) {
        assert_call(i, PUNCH, at, host.calls[i].size);
        ck_assert_uint_ne(host.calls[i].size, 0);
        at += host.calls[i].size;
        ck_assert(at % STEP == 0 || at == INT64_MAX);
    }
    ck_assert_uint_eq(at, INT64_MAX);
}
END_TEST

START_TEST(a_kill_is_noticed_between_two_steps)
{
    host.kill_at = 2;
    ck_assert_int_eq(allocate(PUNCH, 0, 100 * STEP), -EINTR);
    ck_assert_int_eq(host.count, 2);
}
END_TEST

START_TEST(an_error_ends_the_call_and_a_signal_of_the_host_does_not)
{
    host.fail_at = 2;
    host.fail_with = ENOSPC;
    ck_assert_int_eq(allocate(PUNCH, 0, 4 * STEP), -ENOSPC);
    ck_assert_int_eq(host.count, 2);
    host.fail_with = EINTR;
    ck_assert_int_eq(allocate(PUNCH, 0, 4 * STEP), 0);
    ck_assert_int_eq(host.count, 5);
    assert_call(2, PUNCH, STEP, STEP);
}
END_TEST

START_TEST(more_than_the_disk_holds_is_refused_before_the_first_step)
{
    ck_assert_int_eq(allocate(0, 0, 100 * STEP), 0);
    ck_assert_int_eq(host.count, 100);
    ck_assert_int_eq(allocate(0, 0, 100 * STEP + 1), -ENOSPC);
    ck_assert_int_eq(host.count, 0);
    /* What the file has already needs no room, and what is given back neither. */
    ck_assert_int_eq(fake_call(pwrite64, file, FAKE_BASE, 1 << 20, 0), 1 << 20);
    ck_assert_int_eq(fake_call(fsync, file), 0);
    ck_assert_int_eq(allocate(0, 0, 100 * STEP + 1), 0);
    ck_assert_int_eq(allocate(PUNCH, 0, 200 * STEP), 0);
}
END_TEST

START_TEST(what_the_callers_own_limit_forbids_is_asked_for_at_once)
{
    struct rlimit before, small;
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = 3 * STEP;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
    int64_t within = allocate(0, 0, 3 * STEP);
    int steps_within = host.count;
    int64_t beyond = allocate(0, 0, 4 * STEP);
    int steps_beyond = host.count;
    int64_t whole = fake_call(fallocate, file, 0, 0, 4 * STEP);
    setrlimit(RLIMIT_FSIZE, &before);
    ck_assert_int_eq(within, 0);
    ck_assert_int_eq(steps_within, 3);
    ck_assert_int_eq(beyond, 0);
    ck_assert_int_eq(steps_beyond, 1);
    ck_assert_int_eq(whole, -EFBIG);
    ck_assert(vmk_signals_pending(&fake.process));
    ck_assert_uint_eq(size_of_file(), 0);
}
END_TEST

START_TEST(a_hole_in_steps_is_a_hole)
{
    uint8_t byte;
    ck_assert_int_eq(fake_call(ftruncate, file, 3 * STEP), 0);
    const uint64_t places[] = {
        0, 99, 100, STEP - 1, STEP, 2 * STEP, 2 * STEP + 4999, 2 * STEP + 5000};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++)
        ck_assert_int_eq(fake_call(pwrite64, file, fake_string("x"), 1, places[i]), 1);
    ck_assert_int_eq(fake_call(fallocate, file, PUNCH, 100, 2 * STEP + 4900), 0);
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        ck_assert_int_eq(fake_call(pread64, file, FAKE_BASE, 1, places[i]), 1);
        memcpy(&byte, fake_at(FAKE_BASE), 1);
        bool inside = places[i] >= 100 && places[i] < 2 * STEP + 5000;
        ck_assert_uint_eq(byte, inside ? 0 : 'x');
    }
    ck_assert_uint_eq(size_of_file(), 3 * STEP);
}
END_TEST

static int64_t
sync_in_steps(bool data_only)
{
    host.on = true;
    host.count = host.whole = 0;
    int64_t result = data_only ? fake_call(fdatasync, file) : fake_call(fsync, file);
    host.on = false;
    return result;
}

START_TEST(a_file_is_written_back_in_steps_before_it_is_synced)
{
    ck_assert_int_eq(sync_in_steps(false), 0);
    ck_assert_int_eq(host.count, 0);
    ck_assert_int_eq(host.whole, 1);
    ck_assert_int_eq(fake_call(ftruncate, file, 2 * SYNC_STEP + 1), 0);
    for (int data_only = 0; data_only < 2; data_only++) {
        ck_assert_int_eq(sync_in_steps(data_only), 0);
        ck_assert_int_eq(host.count, 3);
        assert_call(0, 7, 0, SYNC_STEP);
        assert_call(1, 7, SYNC_STEP, SYNC_STEP);
        assert_call(2, 7, 2 * SYNC_STEP, 1);
        ck_assert_int_eq(host.whole, 1);
    }
    /* And really. */
    ck_assert_int_eq(fake_call(fsync, file), 0);
    ck_assert_int_eq(fake_call(fdatasync, file), 0);
}
END_TEST

START_TEST(a_kill_or_an_error_ends_a_sync_between_two_steps)
{
    ck_assert_int_eq(fake_call(ftruncate, file, 100 * SYNC_STEP), 0);
    host.fail_at = 3;
    host.fail_with = EIO;
    ck_assert_int_eq(sync_in_steps(false), -EIO);
    ck_assert_int_eq(host.count, 3);
    ck_assert_int_eq(host.whole, 0);
    /* A file system without the call. */
    host.fail_with = EINVAL;
    ck_assert_int_eq(sync_in_steps(false), 0);
    ck_assert_int_eq(host.count, 100);
    ck_assert_int_eq(host.whole, 1);
    host.kill_at = 2;
    ck_assert_int_eq(sync_in_steps(false), -EINTR);
    ck_assert_int_eq(host.count, 2);
    ck_assert_int_eq(host.whole, 0);
}
END_TEST

START_TEST(a_sparse_file_of_any_size_takes_few_steps)
{
    ck_assert_int_eq(fake_call(ftruncate, file, UINT64_C(1) << 40), 0);
    ck_assert_int_eq(sync_in_steps(false), 0);
    ck_assert_int_gt(host.count, 1000);
    ck_assert_int_le(host.count, 4097);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("sandbox_host_steps");
    TCase *tcase = tcase_create("sandbox_host_steps");

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, a_short_range_is_one_call);
    tcase_add_test(tcase, a_long_range_is_cut_and_the_size_comes_last);
    tcase_add_test(tcase, a_range_that_moves_what_follows_is_not_cut);
    tcase_add_test(tcase, a_hole_of_any_size_takes_few_steps);
    tcase_add_test(tcase, a_kill_is_noticed_between_two_steps);
    tcase_add_test(tcase, an_error_ends_the_call_and_a_signal_of_the_host_does_not);
    tcase_add_test(tcase, more_than_the_disk_holds_is_refused_before_the_first_step);
    tcase_add_test(tcase, what_the_callers_own_limit_forbids_is_asked_for_at_once);
    tcase_add_test(tcase, a_hole_in_steps_is_a_hole);
    tcase_add_test(tcase, a_file_is_written_back_in_steps_before_it_is_synced);
    tcase_add_test(tcase, a_kill_or_an_error_ends_a_sync_between_two_steps);
    tcase_add_test(tcase, a_sparse_file_of_any_size_takes_few_steps);
    suite_add_tcase(suite, tcase);
    return suite;
}
