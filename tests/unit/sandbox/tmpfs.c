/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include "fake_guest.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define CWD ((uint64_t)AT_FDCWD)

static int64_t
make_folder(const char *path)
{
    return fake_call(mkdirat, CWD, fake_string(path), 0755);
}

static int64_t
remove_name(const char *path, uint64_t flags)
{
    return fake_call(unlinkat, CWD, fake_string(path), flags);
}

static int64_t
rename_name(const char *from, const char *to, uint64_t flags)
{
    return fake_call(renameat2, CWD, fake_string(from), CWD, fake_string(to), flags);
}

static int64_t
make_link(const char *target, const char *path)
{
    return fake_call(symlinkat, fake_string(target), CWD, fake_string(path));
}

static int64_t
get_stat(const char *path, struct stat *status)
{
    int64_t result =
        fake_call(newfstatat, CWD, fake_string(path), FAKE_BASE + 8192, AT_SYMLINK_NOFOLLOW);
    memcpy(status, fake_at(FAKE_BASE + 8192), sizeof *status);
    return result;
}

static void
write_file(const char *path, const char *text)
{
    int64_t fd = fake_open(path, O_CREAT | O_WRONLY | O_TRUNC, 0644);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(fake_write(fd, text), (int64_t)strlen(text));
    ck_assert_int_eq(fake_call(close, (uint64_t)fd), 0);
}

static const char *
read_file(const char *path)
{
    int64_t fd = fake_open(path, O_RDONLY, 0);
    if (fd < 0)
        return NULL;
    const char *text = fake_read(fd);
    fake_call(close, (uint64_t)fd);
    return text;
}

/* The names in a folder, but the dots, each followed by a space, in the order they come. */
static const char *
list(const char *path)
{
    static char names[4096];
    int64_t fd = fake_open(path, O_RDONLY | O_DIRECTORY, 0);
    names[0] = '\0';
    ck_assert_int_ge(fd, 0);
    for (;;) {
        /* Small, so that it takes several calls. */
        int64_t size = fake_call(getdents64, (uint64_t)fd, FAKE_BASE + 16384, 64);
        ck_assert_int_ge(size, 0);
        if (size == 0)
            break;
        for (int64_t at = 0; at < size;) {
            const char *record = fake_at(FAKE_BASE + 16384 + (uint64_t)at);
            uint16_t length;
            memcpy(&length, record + 16, sizeof length);
            if (record[19] != '.') {
                strcat(names, record + 19);
                strcat(names, " ");
            }
            at += length;
        }
    }
    fake_call(close, (uint64_t)fd);
    return names;
}

START_TEST(a_file_keeps_what_is_written)
{
    struct stat status;
    fake_start();
    int64_t fd = fake_open("/tmp/a", O_CREAT | O_RDWR | O_EXCL, 0666);
    ck_assert_int_eq(fd, 3);
    ck_assert_int_eq(fake_write(3, "hello world"), 11);
    ck_assert_int_eq(fake_call(lseek, 3, 6, SEEK_SET), 6);
    ck_assert_str_eq(fake_read(3), "world");
    ck_assert_int_eq(fake_call(pwrite64, 3, fake_string("J"), 1, 0), 1);
    ck_assert_str_eq(read_file("/tmp/a"), "Jello world");
    ck_assert_int_eq(get_stat("/tmp/a", &status), 0);
    ck_assert_uint_eq(status.st_mode, S_IFREG | 0644);
    ck_assert_uint_eq(status.st_uid, 1000);
    ck_assert_int_eq(status.st_size, 11);
    ck_assert_int_eq(status.st_blocks, 8);
    ck_assert_uint_eq(status.st_nlink, 1);
    ck_assert_int_eq(fake_open("/tmp/a", O_CREAT | O_EXCL | O_RDWR, 0666), -EEXIST);
}
END_TEST

START_TEST(appending_goes_to_the_end)
{
    fake_start();
    write_file("/tmp/a", "one");
    int64_t fd = fake_open("/tmp/a", O_WRONLY | O_APPEND, 0);
    ck_assert_int_eq(fake_write(fd, "two"), 3);
    ck_assert_int_eq(fake_call(lseek, (uint64_t)fd, 0, SEEK_SET), 0);
    ck_assert_int_eq(fake_write(fd, "three"), 5);
    ck_assert_str_eq(read_file("/tmp/a"), "onetwothree");
}
END_TEST

/* Linux appends wherever the position points, and leaves it alone but for one of -1. */
START_TEST(one_write_can_append)
{
    fake_start();
    write_file("/tmp/a", "one");
    uint64_t fd = (uint64_t)fake_open("/tmp/a", O_RDWR, 0);
    uint64_t part[] = {fake_string("two"), 3}, at = fake_put(FAKE_BASE, part, sizeof part);
    ck_assert_int_eq(fake_call(pwritev2, fd, at, 1, 0, 0, RWF_APPEND), 3);
    ck_assert_int_eq(fake_call(lseek, fd, 0, SEEK_CUR), 0);
    ck_assert_int_eq(fake_call(pwritev2, fd, at, 1, UINT64_MAX, 0, RWF_APPEND), 3);
    ck_assert_int_eq(fake_call(lseek, fd, 0, SEEK_CUR), 9);
    ck_assert_int_eq(fake_call(fcntl, fd, F_GETFL) & O_APPEND, 0);
    ck_assert_int_eq(fake_call(pwritev2, fd, at, 1, 0, 0, 0), 3);
    ck_assert_str_eq(read_file("/tmp/a"), "twotwotwo");
    fake_put(FAKE_BASE, part, sizeof part);
    ck_assert_int_eq(fake_call(preadv2, fd, at, 1, 6, 0, RWF_APPEND), 3);
    ck_assert_int_eq(fake_call(pwritev2, 99, at, 1, 0, 0, RWF_APPEND), -EBADF);
    ck_assert_int_eq(fake_call(pwritev2, fd, at, 1, 0, 0, RWF_NOWAIT), -EOPNOTSUPP);
}
END_TEST

START_TEST(holes_read_as_zeros_and_cost_nothing)
{
    struct stat status;
    fake_start();
    int64_t fd = fake_open("/tmp/a", O_CREAT | O_RDWR, 0644);
    uint64_t before = fake.account.used;
    ck_assert_int_eq(fake_call(ftruncate, (uint64_t)fd, (uint64_t)1 << 40), 0);
    ck_assert_uint_eq(fake.account.used, before);
    memset(fake_at(FAKE_BASE), 0xff, 8192);
    ck_assert_int_eq(fake_call(pread64, (uint64_t)fd, FAKE_BASE, 5000, (uint64_t)1 << 39), 5000);
    for (size_t i = 0; i < 5000; i++)
        ck_assert_uint_eq(((uint8_t *)fake_at(FAKE_BASE))[i], 0);
    ck_assert_int_eq(fake_call(pwrite64, (uint64_t)fd, fake_string("x"), 1, (uint64_t)1 << 39), 1);
    /* A page and the four tables on the way to it. */
    ck_assert_uint_eq(fake.account.used, before + 5 * 4096);
    get_stat("/tmp/a", &status);
    ck_assert_int_eq(status.st_blocks, 8);
    ck_assert_int_eq(fake_call(ftruncate, (uint64_t)fd, 0), 0);
    ck_assert_uint_eq(fake.account.used, before);
    ck_assert_int_eq(fake_call(ftruncate, (uint64_t)fd, (uint64_t)1 << 60), -EFBIG);
    ck_assert_int_eq(fake_call(ftruncate, (uint64_t)fd, UINT64_MAX), -EINVAL);
    ck_assert_int_eq(fake_call(pwrite64, (uint64_t)fd, fake_string("x"), 1, INT64_MAX), -EFBIG);
}
END_TEST

START_TEST(a_file_that_shrinks_and_grows_shows_zeros)
{
    fake_start();
    write_file("/tmp/a", "abcdefgh");
    int64_t fd = fake_open("/tmp/a", O_RDWR, 0);
    ck_assert_int_eq(fake_call(ftruncate, (uint64_t)fd, 3), 0);
    ck_assert_int_eq(fake_call(ftruncate, (uint64_t)fd, 8), 0);
    ck_assert_int_eq(fake_call(read, (uint64_t)fd, FAKE_BASE, 100), 8);
    ck_assert_mem_eq(fake_at(FAKE_BASE), "abc\0\0\0\0\0", 8);
    ck_assert_int_eq(
        fake_call(fallocate, (uint64_t)fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 1, 1), 0);
    ck_assert_int_eq(fake_call(pread64, (uint64_t)fd, FAKE_BASE, 3, 0), 3);
    ck_assert_mem_eq(fake_at(FAKE_BASE), "a\0c", 3);
    ck_assert_int_eq(fake_call(fallocate, (uint64_t)fd, 0, 0, 100), 0);
    ck_assert_int_eq(fake_call(lseek, (uint64_t)fd, 0, SEEK_END), 100);
}
END_TEST

START_TEST(the_memory_limit_is_enospc)
{
    vmk_config_set_memory_limit(fake.config, 1 << 20, NULL);
    fake_start();
    int64_t fd = fake_open("/tmp/a", O_CREAT | O_RDWR, 0644);
    int64_t wrote = fake_call(write, (uint64_t)fd, FAKE_BASE, 2 << 20);
    ck_assert_int_gt(wrote, 900000);
    ck_assert_int_lt(wrote, 1 << 20);
    ck_assert_int_eq(fake_write(fd, "x"), -ENOSPC);
    ck_assert_uint_le(fake.account.peak, 1 << 20);
    ck_assert_int_eq(fake_call(fallocate, (uint64_t)fd, 0, 0, (uint64_t)1 << 40), -ENOSPC);
    ck_assert_int_eq(fake_call(ftruncate, (uint64_t)fd, 0), 0);
    ck_assert_int_eq(fake_write(fd, "x"), 1);
}
END_TEST

START_TEST(files_without_end_are_stopped)
{
    char path[32];
    int made = 0;
    vmk_config_set_memory_limit(fake.config, 1 << 20, NULL);
    fake_start();
    for (; made < 100000; made++) {
        snprintf(path, sizeof path, "/tmp/%d", made);
        int64_t fd = fake_open(path, O_CREAT | O_WRONLY, 0644);
        if (fd < 0) {
            ck_assert_int_eq(fd, -ENOSPC);
            break;
        }
        fake_call(close, (uint64_t)fd);
    }
    ck_assert_int_gt(made, 1000);
    ck_assert_int_lt(made, 2000);
    ck_assert_int_eq(make_folder("/tmp/d"), -ENOSPC);
    ck_assert_int_eq(remove_name("/tmp/0", 0), 0);
    ck_assert_int_eq(make_folder("/tmp/d"), 0);
}
END_TEST

START_TEST(an_open_file_outlives_its_name)
{
    fake_start();
    uint64_t before = fake.account.used;
    int64_t fd = fake_open("/tmp/a", O_CREAT | O_RDWR, 0644);
    ck_assert_int_eq(remove_name("/tmp/a", 0), 0);
    ck_assert_int_eq(fake_write(fd, "kept"), 4);
    ck_assert_int_eq(fake_call(lseek, (uint64_t)fd, 0, SEEK_SET), 0);
    ck_assert_str_eq(fake_read(fd), "kept");
    ck_assert_int_eq(fake_open("/tmp/a", O_RDONLY, 0), -ENOENT);
    fake_call(close, (uint64_t)fd);
    ck_assert_uint_eq(fake.account.used, before);
}
END_TEST

START_TEST(folders_nest_and_are_removed_when_empty)
{
    struct stat status;
    fake_start();
    ck_assert_int_eq(make_folder("/tmp/d"), 0);
    ck_assert_int_eq(make_folder("/tmp/d"), -EEXIST);
    ck_assert_int_eq(make_folder("/tmp/x/y"), -ENOENT);
    ck_assert_int_eq(make_folder("/tmp/d/e/"), 0);
    write_file("/tmp/d/e/f", "x");
    ck_assert_int_eq(make_folder("/tmp/d/e/f/g"), -ENOTDIR);
    get_stat("/tmp/d", &status);
    ck_assert_uint_eq(status.st_nlink, 3);
    ck_assert_uint_eq(status.st_mode, S_IFDIR | 0755);
    ck_assert_int_eq(remove_name("/tmp/d/e", 0), -EISDIR);
    ck_assert_int_eq(remove_name("/tmp/d/e", AT_REMOVEDIR), -ENOTEMPTY);
    ck_assert_int_eq(remove_name("/tmp/d/e/f", AT_REMOVEDIR), -ENOTDIR);
    ck_assert_int_eq(remove_name("/tmp/d/e/f/", 0), -ENOTDIR);
    ck_assert_int_eq(remove_name("/tmp/d/.", AT_REMOVEDIR), -EINVAL);
    ck_assert_int_eq(remove_name("/tmp/d/..", AT_REMOVEDIR), -ENOTEMPTY);
    ck_assert_int_eq(remove_name("/tmp", AT_REMOVEDIR), -EBUSY);
    ck_assert_int_eq(remove_name("/", AT_REMOVEDIR), -EBUSY);
    ck_assert_int_eq(remove_name("/tmp/d/e/f", 0), 0);
    ck_assert_int_eq(remove_name("/tmp/d/e", AT_REMOVEDIR), 0);
    ck_assert_int_eq(remove_name("/tmp/d/e", AT_REMOVEDIR), -ENOENT);
    ck_assert_int_eq(make_folder("/top"), -EACCES);
    ck_assert_int_eq(make_folder("/dev/d"), -EACCES);
}
END_TEST

START_TEST(getdents_lists_each_name_once)
{
    fake_start();
    write_file("/tmp/one", "");
    make_folder("/tmp/two");
    make_link("one", "/tmp/three");
    ck_assert_str_eq(list("/tmp"), "one two three ");
    ck_assert_int_eq(remove_name("/tmp/one", 0), 0);
    ck_assert_str_eq(list("/tmp"), "two three ");
    ck_assert_str_eq(list("/"), "tmp proc dev ");
    int64_t fd = fake_open("/tmp", O_RDONLY, 0);
    ck_assert_int_eq(fake_call(getdents64, (uint64_t)fd, FAKE_BASE, 8), -EINVAL);
    ck_assert_int_eq(fake_call(getdents64, (uint64_t)fd, FAKE_WILD, 4096), -EFAULT);
    ck_assert_int_eq(fake_call(getdents64, 1, FAKE_BASE, 4096), -ENOTDIR);
    ck_assert_int_eq(fake_call(read, (uint64_t)fd, FAKE_BASE, 10), -EISDIR);
    ck_assert_int_eq(fake_open("/tmp", O_WRONLY, 0), -EISDIR);
}
END_TEST

START_TEST(a_removed_folder_has_no_entries)
{
    fake_start();
    ck_assert_int_eq(make_folder("/tmp/d"), 0);
    uint64_t fd = (uint64_t)fake_open("/tmp/d", O_RDONLY | O_DIRECTORY, 0);
    ck_assert_int_gt(fake_call(getdents64, fd, FAKE_BASE, 4096), 0);
    ck_assert_int_eq(fake_call(lseek, fd, 0, SEEK_SET), 0);
    ck_assert_int_eq(remove_name("/tmp/d", AT_REMOVEDIR), 0);
    ck_assert_int_eq(fake_call(getdents64, fd, FAKE_BASE, 4096), -ENOENT);
}
END_TEST

START_TEST(renames_replace_and_refuse_as_linux_does)
{
    fake_start();
    write_file("/tmp/a", "A");
    write_file("/tmp/b", "B");
    make_folder("/tmp/d");
    make_folder("/tmp/d/e");
    make_folder("/tmp/empty");
    ck_assert_int_eq(rename_name("/tmp/a", "/tmp/b", RENAME_NOREPLACE), -EEXIST);
    ck_assert_int_eq(rename_name("/tmp/a", "/tmp/b", RENAME_EXCHANGE), 0);
    ck_assert_str_eq(read_file("/tmp/a"), "B");
    ck_assert_int_eq(rename_name("/tmp/a", "/tmp/b", 0), 0);
    ck_assert_str_eq(read_file("/tmp/b"), "B");
    ck_assert_int_eq(rename_name("/tmp/a", "/tmp/c", 0), -ENOENT);
    ck_assert_int_eq(rename_name("/tmp/b", "/tmp/d", 0), -EISDIR);
    ck_assert_int_eq(rename_name("/tmp/d", "/tmp/b", 0), -ENOTDIR);
    ck_assert_int_eq(rename_name("/tmp/empty", "/tmp/d", 0), -ENOTEMPTY);
    ck_assert_int_eq(rename_name("/tmp/d", "/tmp/d/e/f", 0), -EINVAL);
    ck_assert_int_eq(rename_name("/tmp/d", "/tmp/d/e/f", RENAME_EXCHANGE), -ENOENT);
    ck_assert_int_eq(rename_name("/tmp/d", "/tmp/d/e", RENAME_EXCHANGE), -EINVAL);
    ck_assert_int_eq(rename_name("/tmp/d", "/tmp/empty", 0), 0);
    ck_assert_str_eq(list("/tmp/empty"), "e ");
    ck_assert_int_eq(rename_name("/tmp/empty/e/", "/tmp/moved/", 0), 0);
    ck_assert_int_eq(rename_name("/tmp/b/", "/tmp/c", 0), -ENOTDIR);
    ck_assert_int_eq(rename_name("/tmp/b", "/tmp/c/", 0), -ENOTDIR);
    ck_assert_int_eq(rename_name("/tmp/.", "/tmp/c", 0), -EBUSY);
    ck_assert_int_eq(rename_name("/tmp", "/tmp2", 0), -EBUSY);
    ck_assert_int_eq(rename_name("/tmp/b", "/dev/b", 0), -EXDEV);
    ck_assert_int_eq(rename_name("/tmp/b", "/tmp/b", 0), 0);
    ck_assert_str_eq(list("/tmp"), "b empty moved ");
}
END_TEST

START_TEST(hard_links_share_and_count)
{
    struct stat status;
    fake_start();
    write_file("/tmp/a", "x");
    make_folder("/tmp/d");
    ck_assert_int_eq(fake_call(linkat, CWD, fake_string("/tmp/a"), CWD, fake_string("/tmp/d/b"), 0),
                     0);
    get_stat("/tmp/d/b", &status);
    ck_assert_uint_eq(status.st_nlink, 2);
    ck_assert_int_eq(remove_name("/tmp/a", 0), 0);
    ck_assert_str_eq(read_file("/tmp/d/b"), "x");
    ck_assert_int_eq(fake_call(linkat, CWD, fake_string("/tmp/d"), CWD, fake_string("/tmp/e"), 0),
                     -EPERM);
    ck_assert_int_eq(
        fake_call(linkat, CWD, fake_string("/dev/null"), CWD, fake_string("/tmp/e"), 0), -EXDEV);
}
END_TEST

START_TEST(symbolic_links_lead_on_and_loops_end)
{
    fake_start();
    make_folder("/tmp/d");
    write_file("/tmp/d/f", "found");
    make_link("d", "/tmp/rel");
    make_link("/tmp/d/f", "/tmp/abs");
    make_link("loop2", "/tmp/loop1");
    make_link("loop1", "/tmp/loop2");
    make_link("missing", "/tmp/dangling");
    ck_assert_str_eq(read_file("/tmp/rel/f"), "found");
    ck_assert_str_eq(read_file("/tmp/abs"), "found");
    ck_assert_str_eq(read_file("/tmp/rel/../abs"), "found");
    ck_assert_int_eq(fake_open("/tmp/loop1", O_RDONLY, 0), -ELOOP);
    ck_assert_int_eq(fake_open("/tmp/loop1/x", O_RDONLY, 0), -ELOOP);
    ck_assert_int_eq(fake_open("/tmp/abs", O_RDONLY | O_NOFOLLOW, 0), -ELOOP);
    ck_assert_int_eq(fake_open("/tmp/abs/", O_RDONLY, 0), -ENOTDIR);
    ck_assert_int_eq(fake_open("/tmp/dangling", O_RDONLY, 0), -ENOENT);
    ck_assert_int_eq(fake_open("/tmp/dangling", O_CREAT | O_EXCL | O_WRONLY, 0644), -EEXIST);
    write_file("/tmp/dangling", "made");
    ck_assert_str_eq(read_file("/tmp/missing"), "made");
    int64_t length = fake_call(readlinkat, CWD, fake_string("/tmp/abs"), FAKE_BASE, 100);
    ck_assert_int_eq(length, 8);
    ck_assert_mem_eq(fake_at(FAKE_BASE), "/tmp/d/f", 8);
    ck_assert_int_eq(fake_call(readlinkat, CWD, fake_string("/tmp/abs"), FAKE_BASE, 3), 3);
    ck_assert_int_eq(fake_call(readlinkat, CWD, fake_string("/tmp/d"), FAKE_BASE, 9), -EINVAL);
    ck_assert_int_eq(fake_call(readlinkat, CWD, fake_string("/tmp/abs"), FAKE_BASE, 0), -EINVAL);
    ck_assert_int_eq(make_link("", "/tmp/none"), -ENOENT);
}
END_TEST

START_TEST(a_chain_of_40_links_is_followed_and_one_of_41_is_not)
{
    char from[32];
    char to[32];
    fake_start();
    write_file("/tmp/l0", "end");
    for (int i = 1; i <= 41; i++) {
        snprintf(to, sizeof to, "l%d", i - 1);
        snprintf(from, sizeof from, "/tmp/l%d", i);
        ck_assert_int_eq(make_link(to, from), 0);
    }
    ck_assert_str_eq(read_file("/tmp/l40"), "end");
    ck_assert_int_eq(fake_open("/tmp/l41", O_RDONLY, 0), -ELOOP);
}
END_TEST

START_TEST(bad_paths_get_linuxs_errnos)
{
    char path[5000];
    fake_start();
    write_file("/tmp/f", "");
    ck_assert_int_eq(fake_open("", O_RDONLY, 0), -ENOENT);
    ck_assert_int_eq(fake_open("/tmp/none", O_RDONLY, 0), -ENOENT);
    ck_assert_int_eq(fake_open("/tmp/none/x", O_CREAT | O_WRONLY, 0), -ENOENT);
    ck_assert_int_eq(fake_open("/tmp/f/x", O_CREAT | O_WRONLY, 0), -ENOTDIR);
    ck_assert_int_eq(fake_open("/tmp/new/", O_CREAT | O_WRONLY, 0), -EISDIR);
    ck_assert_int_eq(fake_open("/tmp/f", O_RDONLY | O_DIRECTORY, 0), -ENOTDIR);
    ck_assert_int_eq(fake_open("/tmp", O_CREAT | O_WRONLY, 0), -EISDIR);
    memset(path, 'a', sizeof path);
    memcpy(path, "/tmp/", 5);
    path[5 + 256] = '\0';
    ck_assert_int_eq(fake_open(path, O_CREAT | O_WRONLY, 0644), -ENAMETOOLONG);
    path[5 + 255] = '\0';
    ck_assert_int_ge(fake_open(path, O_CREAT | O_WRONLY, 0644), 0);
    memset(path, '/', sizeof path);
    path[4096] = '\0';
    ck_assert_int_eq(fake_open(path, O_RDONLY, 0), -ENAMETOOLONG);
    path[4095] = '\0';
    ck_assert_int_ge(fake_open(path, O_RDONLY, 0), 0);
    ck_assert_int_eq(fake_call(openat, CWD, FAKE_WILD, O_RDONLY, 0), -EFAULT);
    ck_assert_int_eq(fake_call(openat, 77, fake_string("x"), O_RDONLY, 0), -EBADF);
    ck_assert_int_eq(fake_call(openat, 1, fake_string("x"), O_RDONLY, 0), -ENOTDIR);
    ck_assert_int_ge(fake_call(openat, 77, fake_string("/tmp/f"), O_RDONLY, 0), 0);
}
END_TEST

START_TEST(deep_trees_are_bounded_and_freed)
{
    int depth = 0;
    fake_start();
    ck_assert_int_eq(fake_call(chdir, fake_string("/tmp")), 0);
    for (; depth < 3000; depth++) {
        int64_t result = fake_call(mkdirat, CWD, fake_string("d"), 0755);
        if (result == 0)
            result = fake_call(chdir, fake_string("d"));
        if (result < 0) {
            ck_assert_int_eq(result, -ENAMETOOLONG);
            break;
        }
    }
    ck_assert_int_eq(depth, 2045);
    ck_assert_int_eq(fake_call(getcwd, FAKE_BASE, 4096), 4 + 2 * 2045 + 1);
    ck_assert_int_eq(fake_call(getcwd, FAKE_BASE, 100), -ERANGE);
    ck_assert_int_eq(fake_call(chdir, fake_string("../..")), 0);
    ck_assert_int_eq(fake_call(getcwd, FAKE_BASE, 4096), 4 + 2 * 2043 + 1);
}
END_TEST

START_TEST(modes_are_checked_for_the_guests_user)
{
    fake_start();
    write_file("/tmp/f", "x");
    ck_assert_int_eq(fake_call(fchmodat, CWD, fake_string("/tmp/f"), 0), 0);
    ck_assert_int_eq(fake_open("/tmp/f", O_RDONLY, 0), -EACCES);
    ck_assert_int_eq(fake_call(faccessat, CWD, fake_string("/tmp/f"), R_OK), -EACCES);
    ck_assert_int_eq(fake_call(faccessat, CWD, fake_string("/tmp/f"), F_OK), 0);
    ck_assert_int_eq(fake_call(faccessat, CWD, fake_string("/tmp/f"), 8), -EINVAL);
    ck_assert_int_eq(fake_call(fchownat, CWD, fake_string("/tmp/f"), 0, 0, 0), -EPERM);
    ck_assert_int_eq(fake_call(fchownat, CWD, fake_string("/tmp/f"), 1000, UINT32_MAX, 0), 0);
    make_folder("/tmp/d");
    ck_assert_int_eq(fake_call(fchmodat, CWD, fake_string("/tmp/d"), 0500), 0);
    ck_assert_int_eq(fake_open("/tmp/d/x", O_CREAT | O_WRONLY, 0644), -EACCES);
    ck_assert_int_eq(fake_call(fchmodat, CWD, fake_string("/tmp/d"), 0600), 0);
    ck_assert_int_eq(fake_open("/tmp/d/x", O_RDONLY, 0), -EACCES);
    ck_assert_int_eq(fake_call(chdir, fake_string("/tmp/d")), -EACCES);
    /* A mode without write permission does not keep the maker from writing. */
    ck_assert_int_ge(fake_open("/tmp/ro", O_CREAT | O_WRONLY, 0444), 0);
    ck_assert_int_eq(fake_open("/tmp/ro", O_WRONLY, 0), -EACCES);
}
END_TEST

START_TEST(times_are_set_and_checked)
{
    struct stat status;
    struct timespec times[2] = {{1, 2}, {3, 4}};
    fake_start();
    write_file("/tmp/f", "x");
    fake_put(FAKE_BASE, times, sizeof times);
    ck_assert_int_eq(fake_call(utimensat, CWD, fake_string("/tmp/f"), FAKE_BASE, 0), 0);
    get_stat("/tmp/f", &status);
    ck_assert_int_eq(status.st_atim.tv_sec, 1);
    ck_assert_int_eq(status.st_mtim.tv_nsec, 4);
    times[0].tv_nsec = UTIME_OMIT;
    times[1].tv_nsec = 1000000000;
    fake_put(FAKE_BASE, times, sizeof times);
    ck_assert_int_eq(fake_call(utimensat, CWD, fake_string("/tmp/f"), FAKE_BASE, 0), -EINVAL);
    ck_assert_int_eq(fake_call(utimensat, CWD, fake_string("/tmp/none"), 0, 0), -ENOENT);
}
END_TEST

START_TEST(unnamed_files_live_as_long_as_they_are_open)
{
    fake_start();
    uint64_t before = fake.account.used;
    int64_t fd = fake_open("/tmp", O_TMPFILE | O_RDWR, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(fake_write(fd, "data"), 4);
    ck_assert_int_eq(fake_call(memfd_create, fake_string("name"), MFD_CLOEXEC), fd + 1);
    ck_assert_int_eq(fake_call(fcntl, (uint64_t)fd + 1, F_GETFD), FD_CLOEXEC);
    ck_assert_int_eq(fake_write(fd + 1, "more"), 4);
    ck_assert_str_eq(list("/tmp"), "");
    ck_assert_int_eq(fake_call(close_range, (uint64_t)fd, UINT32_MAX, 0), 0);
    ck_assert_uint_eq(fake.account.used, before);
    ck_assert_int_eq(fake_open("/tmp", O_TMPFILE | O_RDONLY, 0600), -EINVAL);
}
END_TEST

START_TEST(devices_and_proc_are_the_guests_own)
{
    fake_start();
    int64_t fd = fake_open("/dev/null", O_RDWR, 0);
    ck_assert_int_eq(fake_write(fd, "gone"), 4);
    ck_assert_str_eq(fake_read(fd), "");
    fd = fake_open("/dev/zero", O_RDONLY, 0);
    memset(fake_at(FAKE_BASE), 1, 20000);
    ck_assert_int_eq(fake_call(read, (uint64_t)fd, FAKE_BASE, 20000), 20000);
    ck_assert_uint_eq(((uint8_t *)fake_at(FAKE_BASE))[19999], 0);
    fd = fake_open("/dev/full", O_WRONLY, 0);
    ck_assert_int_eq(fake_write(fd, "x"), -ENOSPC);
    fd = fake_open("/dev/urandom", O_RDONLY, 0);
    ck_assert_int_eq(fake_call(read, (uint64_t)fd, FAKE_BASE, 5000), 5000);
    ck_assert_int_eq(fake_open("/dev/tty", O_RDWR, 0), -ENXIO);
    ck_assert_int_eq(fake_open("/dev/sda", O_RDONLY, 0), -ENOENT);
    ck_assert_str_eq(read_file("/proc/self/comm"), "fake\n");
    ck_assert_ptr_nonnull(strstr(read_file("/proc/meminfo"), "MemTotal:         262144 kB"));
    ck_assert_str_eq(read_file("/proc/sys/kernel/ostype"), "Linux\n");
    ck_assert_int_eq(fake_open("/proc/2/comm", O_RDONLY, 0), -ENOENT);
    ck_assert_int_eq(fake_open("/proc/self/mem", O_RDWR, 0), -ENOENT);
    ck_assert_int_eq(fake_open("/proc/self/comm", O_WRONLY, 0), -EACCES);
    ck_assert_str_eq(read_file("/proc/self/exe"), "\177ELF");
    ck_assert_int_eq(fake_open("/dev/stdout", O_WRONLY, 0), fd + 1);
    ck_assert_int_eq(fake_write(fd + 1, "through"), 7);
    const void *data;
    uint64_t size;
    vmk_files_get_output(fake.process.files, 1, &data, &size);
    ck_assert_uint_eq(size, 7);
    ck_assert_int_eq(fake_open("/dev/stdout", O_RDONLY, 0), -EACCES);
    ck_assert_int_eq(fake_open("/proc/self/fd/0/x", O_RDONLY, 0), -ENOTDIR);
}
END_TEST

START_TEST(proc_shows_the_guests_descriptors)
{
    char text[100];
    fake_start();
    write_file("/tmp/f", "content");
    int64_t fd = fake_open("/tmp/f", O_RDONLY, 0);
    ck_assert_str_eq(list("/proc/self/fd"), "0 1 2 3 4 ");
    snprintf(text, sizeof text, "/proc/self/fd/%d", (int)fd);
    ck_assert_str_eq(read_file(text), "content");
    ck_assert_int_eq(fake_call(readlinkat, CWD, fake_string(text), FAKE_BASE, 100), 6);
    ck_assert_mem_eq(fake_at(FAKE_BASE), "/tmp/f", 6);
    ck_assert_int_eq(fake_open("/proc/self/fd/9", O_RDONLY, 0), -ENOENT);
    ck_assert_int_eq(fake_open("/proc/self/fd/-1", O_RDONLY, 0), -ENOENT);
    ck_assert_int_eq(fake_open("/proc/self/fd/03", O_RDONLY, 0), -ENOENT);
    ck_assert_str_eq(read_file("/proc/self/cwd/tmp/f"), "content");
    ck_assert_str_eq(read_file("/proc/self/root/tmp/../proc/1/root/tmp/f"), "content");
}
END_TEST

START_TEST(copies_go_through_the_library)
{
    fake_start();
    write_file("/tmp/f", "0123456789");
    int64_t in = fake_open("/tmp/f", O_RDONLY, 0);
    int64_t out = fake_open("/tmp/g", O_CREAT | O_RDWR, 0644);
    ck_assert_int_eq(fake_call(copy_file_range, (uint64_t)in, 0, (uint64_t)out, 0, 4, 0), 4);
    ck_assert_int_eq(fake_call(sendfile, (uint64_t)out, (uint64_t)in, 0, 100), 6);
    ck_assert_str_eq(read_file("/tmp/g"), "0123456789");
    uint64_t at = 8;
    fake_put(FAKE_BASE + 64, &at, sizeof at);
    ck_assert_int_eq(fake_call(sendfile, 1, (uint64_t)in, FAKE_BASE + 64, 100), 2);
    memcpy(&at, fake_at(FAKE_BASE + 64), sizeof at);
    ck_assert_uint_eq(at, 10);
    ck_assert_int_eq(fake_call(sendfile, 1, 0, 0, 100), 0);
    ck_assert_int_eq(fake_call(sendfile, (uint64_t)in, (uint64_t)in, 0, 100), -EBADF);
    ck_assert_int_eq(fake_call(splice, (uint64_t)in, 0, 1, 0, 10, 0), -EINVAL);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("sandbox_tmpfs");
    TCase *tcase = tcase_create("sandbox_tmpfs");

    tcase_add_checked_fixture(tcase, fake_set_up, fake_tear_down);
    tcase_add_test(tcase, a_file_keeps_what_is_written);
    tcase_add_test(tcase, appending_goes_to_the_end);
    tcase_add_test(tcase, one_write_can_append);
    tcase_add_test(tcase, holes_read_as_zeros_and_cost_nothing);
    tcase_add_test(tcase, a_file_that_shrinks_and_grows_shows_zeros);
    tcase_add_test(tcase, the_memory_limit_is_enospc);
    tcase_add_test(tcase, files_without_end_are_stopped);
    tcase_add_test(tcase, an_open_file_outlives_its_name);
    tcase_add_test(tcase, folders_nest_and_are_removed_when_empty);
    tcase_add_test(tcase, getdents_lists_each_name_once);
    tcase_add_test(tcase, a_removed_folder_has_no_entries);
    tcase_add_test(tcase, renames_replace_and_refuse_as_linux_does);
    tcase_add_test(tcase, hard_links_share_and_count);
    tcase_add_test(tcase, symbolic_links_lead_on_and_loops_end);
    tcase_add_test(tcase, a_chain_of_40_links_is_followed_and_one_of_41_is_not);
    tcase_add_test(tcase, bad_paths_get_linuxs_errnos);
    tcase_add_test(tcase, deep_trees_are_bounded_and_freed);
    tcase_add_test(tcase, modes_are_checked_for_the_guests_user);
    tcase_add_test(tcase, times_are_set_and_checked);
    tcase_add_test(tcase, unnamed_files_live_as_long_as_they_are_open);
    tcase_add_test(tcase, devices_and_proc_are_the_guests_own);
    tcase_add_test(tcase, proc_shows_the_guests_descriptors);
    tcase_add_test(tcase, copies_go_through_the_library);
    suite_add_tcase(suite, tcase);
    return suite;
}
