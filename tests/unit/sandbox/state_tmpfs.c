/* SPDX-License-Identifier: Apache-2.0 */
/* The file system in memory, saved and loaded. */
#include "harness.h"
#include "state_guest.h"

#include "sandbox/node.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define CWD ((uint64_t)AT_FDCWD)

static vmkit_sandbox_config *config;
static struct state_guest a, b;

static void
set_up(void)
{
    ck_assert_int_eq(vmk_config_new(&config, NULL), 0);
    ck_assert_int_eq(vmk_config_set_program_memory(config, "\177ELF", 4, NULL), 0);
    state_start(&a, config);
}

static void
tear_down(void)
{
    vmk_config_unref(config);
}

static void
put_file(const char *path, const char *text)
{
    int64_t fd = state_open(&a, path, O_CREAT | O_EXCL | O_WRONLY, 0640);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(state_write(&a, fd, text), (int64_t)strlen(text));
    ck_assert_int_eq(state_call(&a, close, (uint64_t)fd), 0);
}

static void
make_folder(const char *path)
{
    ck_assert_int_eq(state_call(&a, mkdirat, CWD, state_string(&a, path), 0755), 0);
}

static const char *
get_file(const char *path)
{
    int64_t fd = state_open(&b, path, O_RDONLY, 0);
    if (fd < 0)
        return NULL;
    const char *text = state_read(&b, fd);
    state_call(&b, close, (uint64_t)fd);
    return text;
}

static struct stat
get_stat(struct state_guest *guest, const char *path)
{
    struct stat status;
    ck_assert_int_eq(state_call(guest, newfstatat, CWD, state_string(guest, path), STATE_RESULT,
                                AT_SYMLINK_NOFOLLOW),
                     0);
    state_get(guest, STATE_RESULT, &status, sizeof status);
    return status;
}

static void
check_same_stat(const char *path, const struct stat *before)
{
    struct stat after = get_stat(&b, path);
    ck_assert_mem_eq(&after, before, sizeof after);
}

START_TEST(a_tree_keeps_names_contents_and_attributes)
{
    static const char *const paths[] = {"/tmp",     "/tmp/d",    "/tmp/d/e",
                                        "/tmp/d/f", "/tmp/link", "/tmp/other"};
    struct stat before[6];
    make_folder("/tmp/d");
    make_folder("/tmp/d/e");
    put_file("/tmp/d/f", "contents");
    put_file("/tmp/gone", "x");
    ck_assert_int_eq(state_call(&a, unlinkat, CWD, state_string(&a, "/tmp/gone"), 0), 0);
    ck_assert_int_eq(
        state_call(&a, symlinkat, state_string(&a, "d/f"), CWD, state_string(&a, "/tmp/link")), 0);
    ck_assert_int_eq(state_call(&a, linkat, CWD, state_string(&a, "/tmp/d/f"), CWD,
                                state_string(&a, "/tmp/other"), 0),
                     0);
    ck_assert_int_eq(state_call(&a, fchmodat, CWD, state_string(&a, "/tmp/d/e"), 0500), 0);
    const struct timespec times[2] = {{1000, 5}, {-2000, 999999999}};
    ck_assert_int_eq(state_call(&a, utimensat, CWD, state_string(&a, "/tmp/d/f"),
                                state_put(&a, times, sizeof times), 0),
                     0);
    for (size_t i = 0; i < 6; i++)
        before[i] = get_stat(&a, paths[i]);
    uint64_t used = a.account.used;
    state_move(&a, &b, NULL);

    for (size_t i = 0; i < 6; i++)
        check_same_stat(paths[i], &before[i]);
    ck_assert_uint_eq(before[5].st_nlink, 2);
    ck_assert_str_eq(get_file("/tmp/link"), "contents");
    ck_assert_ptr_null(get_file("/tmp/gone"));
    ck_assert_int_eq(state_open(&b, "/tmp/d/e/x", O_CREAT | O_WRONLY, 0644), -EACCES);
    ck_assert_uint_le(b.account.used, used);
    int64_t fd = state_open(&b, "/tmp/other", O_WRONLY | O_APPEND, 0);
    ck_assert_int_eq(state_write(&b, fd, "+"), 1);
    ck_assert_str_eq(get_file("/tmp/d/f"), "contents+");
    state_end(&b);
}
END_TEST

START_TEST(names_come_in_their_order_and_numbers_go_on)
{
    char names[4096], after[4096];
    char path[32];
    for (int i = 0; i < 30; i++) {
        snprintf(path, sizeof path, "/tmp/n%d", i);
        put_file(path, "");
    }
    for (int i = 0; i < 30; i += 3) {
        snprintf(path, sizeof path, "/tmp/n%d", i);
        state_call(&a, unlinkat, CWD, state_string(&a, path), 0);
    }
    ck_assert_int_eq(state_open(&a, "/tmp", O_RDONLY | O_DIRECTORY, 0), 3);
    ck_assert_int_gt(state_call(&a, getdents64, 3, STATE_RESULT, 200), 0);
    struct vmk_bytes bytes = state_save(&a);
    state_prepare(&b, config);
    state_load(&b, NULL, bytes);
    int64_t size = state_call(&a, getdents64, 3, STATE_RESULT, sizeof names);
    ck_assert_int_gt(size, 300);
    state_get(&a, STATE_RESULT, names, (size_t)size);
    ck_assert_int_eq(state_call(&b, getdents64, 3, STATE_RESULT, sizeof names), size);
    state_get(&b, STATE_RESULT, after, (size_t)size);
    ck_assert_mem_eq(names, after, (size_t)size);
    for (struct state_guest *guest = &a; guest != NULL; guest = guest == &a ? &b : NULL) {
        int64_t fd = state_open(guest, "/tmp/new", O_CREAT | O_WRONLY, 0644);
        ck_assert_int_ge(fd, 0);
        ck_assert_uint_eq(get_stat(guest, "/tmp/new").st_ino, 32);
    }
    state_end(&a);
    state_end(&b);
}
END_TEST

START_TEST(files_without_a_name_stay_open)
{
    struct stat status;
    ck_assert_int_eq(state_open(&a, "/tmp/a", O_CREAT | O_RDWR, 0600), 3);
    ck_assert_int_eq(state_write(&a, 3, "unlinked"), 8);
    ck_assert_int_eq(state_call(&a, unlinkat, CWD, state_string(&a, "/tmp/a"), 0), 0);
    ck_assert_int_eq(state_open(&a, "/tmp", O_TMPFILE | O_RDWR, 0600), 4);
    ck_assert_int_eq(state_write(&a, 4, "unnamed"), 7);
    ck_assert_int_eq(state_call(&a, memfd_create, state_string(&a, "mem"), MFD_CLOEXEC), 5);
    ck_assert_int_eq(state_write(&a, 5, "memory"), 6);
    make_folder("/tmp/d");
    ck_assert_int_eq(state_open(&a, "/tmp/d", O_RDONLY, 0), 6);
    ck_assert_int_eq(state_call(&a, unlinkat, CWD, state_string(&a, "/tmp/d"), AT_REMOVEDIR), 0);
    state_call(&a, lseek, 3, 2, SEEK_SET);
    state_move(&a, &b, NULL);

    ck_assert_str_eq(state_read(&b, 3), "linked");
    ck_assert_int_eq(state_call(&b, lseek, 4, 0, SEEK_SET), 0);
    ck_assert_str_eq(state_read(&b, 4), "unnamed");
    ck_assert_int_eq(state_call(&b, lseek, 5, 0, SEEK_SET), 0);
    ck_assert_str_eq(state_read(&b, 5), "memory");
    ck_assert_int_eq(state_call(&b, fstat, 3, STATE_RESULT), 0);
    state_get(&b, STATE_RESULT, &status, sizeof status);
    ck_assert_uint_eq(status.st_nlink, 0);
    ck_assert_int_eq(state_call(&b, openat, 6, state_string(&b, "x"), O_CREAT | O_RDWR, 0600),
                     -ENOENT);
    /* What they take goes with them. */
    uint64_t used = b.account.used;
    for (uint64_t fd = 3; fd <= 6; fd++)
        state_call(&b, close, fd);
    ck_assert_uint_le(b.account.used, used - 3 * 4096 - 4 * 512);
    state_end(&b);
}
END_TEST

START_TEST(positions_and_flags_of_open_files_stay)
{
    put_file("/tmp/a", "0123456789");
    ck_assert_int_eq(state_open(&a, "/tmp/a", O_RDWR | O_APPEND, 0), 3);
    ck_assert_int_eq(state_open(&a, "/tmp/a", O_WRONLY | O_NONBLOCK | O_CLOEXEC, 0), 4);
    ck_assert_int_eq(state_open(&a, "/tmp/a", O_PATH, 0), 5);
    ck_assert_int_eq(state_call(&a, lseek, 3, 4, SEEK_SET), 4);
    /* Opened while that was allowed. */
    state_call(&a, fchmodat, CWD, state_string(&a, "/tmp/a"), 0);
    state_move(&a, &b, NULL);
    ck_assert_int_eq(state_call(&b, fcntl, 3, F_GETFL), O_RDWR | O_APPEND | VMK_FILE_LARGE);
    ck_assert_int_eq(state_call(&b, fcntl, 4, F_GETFL), O_WRONLY | O_NONBLOCK | VMK_FILE_LARGE);
    ck_assert_int_eq(state_call(&b, fcntl, 5, F_GETFL), O_PATH);
    ck_assert_int_eq(state_call(&b, fcntl, 4, F_GETFD), FD_CLOEXEC);
    ck_assert_str_eq(state_read(&b, 3), "456789");
    ck_assert_ptr_null(state_read(&b, 4));
    ck_assert_ptr_null(state_read(&b, 5));
    ck_assert_int_eq(state_open(&b, "/tmp/a", O_RDONLY, 0), -EACCES);
    state_end(&b);
}
END_TEST

START_TEST(holes_stay_holes_and_zeros_are_not_written)
{
    uint8_t page[4096], got[4096];
    ck_assert_int_eq(state_open(&a, "/tmp/a", O_CREAT | O_RDWR, 0600), 3);
    ck_assert_int_eq(state_call(&a, fallocate, 3, 0, 0, 1 << 20), 0);
    ck_assert_int_eq(state_call(&a, fallocate, 3, FALLOC_FL_KEEP_SIZE, UINT64_C(1) << 30, 4096), 0);
    for (size_t i = 0; i < sizeof page; i++)
        page[i] = (uint8_t)(i * 7 + 1);
    uint64_t va = state_put(&a, page, sizeof page);
    ck_assert_int_eq(state_call(&a, pwrite64, 3, va, sizeof page, 5 * 4096), 4096);
    ck_assert_int_eq(state_call(&a, pwrite64, 3, va, 100, UINT64_C(1) << 40), 100);
    struct stat before = get_stat(&a, "/tmp/a");
    struct vmk_bytes bytes = state_save(&a);
    ck_assert_uint_lt(bytes.size, 3 * 4096);
    vmk_bytes_clear(&bytes);
    state_move(&a, &b, NULL);

    check_same_stat("/tmp/a", &before);
    ck_assert_int_eq(before.st_blocks, (256 + 1 + 1) * 8);
    ck_assert_int_eq(state_call(&b, pread64, 3, STATE_RESULT, 4096, 5 * 4096), 4096);
    state_get(&b, STATE_RESULT, got, sizeof got);
    ck_assert_mem_eq(got, page, sizeof page);
    ck_assert_int_eq(state_call(&b, pread64, 3, STATE_RESULT, 4096, UINT64_C(1) << 40), 100);
    state_get(&b, STATE_RESULT, got, 100);
    ck_assert_mem_eq(got, page, 100);
    state_end(&b);
}
END_TEST

START_TEST(what_is_shared_is_copied_before_it_is_written)
{
    struct state_guest c;
    uint8_t data[3 * 4096], got[sizeof data];
    ck_assert_int_eq(state_open(&a, "/tmp/a", O_CREAT | O_RDWR, 0600), 3);
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i % 251 + 1);
    ck_assert_int_eq(state_call(&a, write, 3, state_put(&a, data, sizeof data), sizeof data),
                     sizeof data);
    struct vmk_bytes bytes = state_save(&a), copy = {0};
    state_end(&a);
    vmk_bytes_put(&copy, bytes.data, bytes.size);
    state_prepare(&b, config);
    state_load(&b, NULL, bytes);
    state_prepare(&c, config);
    ck_assert_int_eq(vmk_state_load(&c.process, NULL, bytes.data, bytes.size, NULL), 0);
    uint64_t used = b.account.used;
    ck_assert_uint_eq(c.account.used, used);

    ck_assert_int_eq(state_call(&b, pwrite64, 3, state_string(&b, "x"), 1, 10), 1);
    ck_assert_int_eq(
        state_call(&b, fallocate, 3, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4096, 100), 0);
    ck_assert_int_eq(state_call(&b, ftruncate, 3, 2 * 4096 + 5), 0);
    ck_assert_int_eq(state_call(&b, ftruncate, 3, sizeof data), 0);
    ck_assert_mem_eq(bytes.data, copy.data, bytes.size);
    ck_assert_int_eq(state_call(&c, pread64, 3, STATE_RESULT, sizeof got, 0), sizeof got);
    state_get(&c, STATE_RESULT, got, sizeof got);
    ck_assert_mem_eq(got, data, sizeof got);

    data[10] = 'x';
    memset(data + 4096, 0, 100);
    memset(data + 2 * 4096 + 5, 0, 4096 - 5);
    ck_assert_int_eq(state_call(&b, pread64, 3, STATE_RESULT, sizeof got, 0), sizeof got);
    state_get(&b, STATE_RESULT, got, sizeof got);
    ck_assert_mem_eq(got, data, sizeof got);
    ck_assert_int_eq(state_call(&b, ftruncate, 3, 0), 0);
    ck_assert_int_eq(state_call(&c, ftruncate, 3, 0), 0);
    vmk_bytes_clear(&copy);
    state_end(&c);
    state_end(&b);
}
END_TEST

START_TEST(the_working_directory_and_a_mapping_of_a_file_stay)
{
    char byte;
    make_folder("/tmp/d");
    put_file("/tmp/d/f", "mapped");
    ck_assert_int_eq(state_call(&a, chdir, state_string(&a, "/tmp/d")), 0);
    ck_assert_int_eq(state_open(&a, "f", O_RDONLY, 0), 3);
    int64_t va = state_call(&a, mmap, 0, 4096, PROT_READ, MAP_PRIVATE, 3, 0);
    ck_assert_int_gt(va, 0);
    state_call(&a, close, 3);
    state_move(&a, &b, NULL);
    ck_assert_str_eq(get_file("f"), "mapped");
    state_get(&b, (uint64_t)va + 3, &byte, 1);
    ck_assert_int_eq(byte, 'p');
    ck_assert_uint_eq(b.process.files->open_count, 4);
    ck_assert_int_eq(state_call(&b, munmap, (uint64_t)va, 4096), 0);
    ck_assert_uint_eq(b.process.files->open_count, 3);
    state_end(&b);
}
END_TEST

START_TEST(a_tree_above_the_memory_limit_is_refused)
{
    ck_assert_int_eq(state_call(&a, munmap, STATE_BASE + 8192, STATE_SIZE - 8192), 0);
    ck_assert_int_eq(state_open(&a, "/tmp/a", O_CREAT | O_RDWR, 0600), 3);
    ck_assert_int_eq(state_call(&a, fallocate, 3, 0, 0, 1 << 20), 0);
    struct vmk_bytes bytes = state_save(&a);
    vmk_config_set_memory_limit(config, 1 << 20, NULL);
    state_load_fails(&bytes, config, E2BIG, "a file in memory of the snapshot's process");
    vmk_bytes_clear(&bytes);
    state_end(&a);
}
END_TEST

/* Each folder is younger than the one inside of it, which the order of numbers does not tell. */
START_TEST(a_deep_tree_is_carried)
{
    char path[2100] = "/tmp";
    make_folder("/tmp/d");
    for (int i = 0; i < 1000; i++) {
        make_folder("/tmp/e");
        ck_assert_int_eq(state_call(&a, renameat2, CWD, state_string(&a, "/tmp/d"), CWD,
                                    state_string(&a, "/tmp/e/d"), 0),
                         0);
        ck_assert_int_eq(state_call(&a, renameat2, CWD, state_string(&a, "/tmp/e"), CWD,
                                    state_string(&a, "/tmp/d"), 0),
                         0);
        strcat(path, "/d");
    }
    struct stat before = get_stat(&a, path);
    ck_assert_uint_eq(before.st_ino, 3);
    state_move(&a, &b, NULL);
    check_same_stat(path, &before);
    strcat(path, "/d");
    ck_assert_uint_eq(get_stat(&b, path).st_ino, 2);
    state_end(&b);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("state_tmpfs");
    TCase *tcase = tcase_create("state_tmpfs");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, a_tree_keeps_names_contents_and_attributes);
    tcase_add_test(tcase, names_come_in_their_order_and_numbers_go_on);
    tcase_add_test(tcase, files_without_a_name_stay_open);
    tcase_add_test(tcase, positions_and_flags_of_open_files_stay);
    tcase_add_test(tcase, holes_stay_holes_and_zeros_are_not_written);
    tcase_add_test(tcase, what_is_shared_is_copied_before_it_is_written);
    tcase_add_test(tcase, the_working_directory_and_a_mapping_of_a_file_stay);
    tcase_add_test(tcase, a_tree_above_the_memory_limit_is_refused);
    tcase_add_test(tcase, a_deep_tree_is_carried);
    suite_add_tcase(suite, tcase);
    return suite;
}
