/* SPDX-License-Identifier: Apache-2.0 */
/* Changes of names in memory while the host has no memory left: each is done whole, or not at all.
 */
#include "allocator.h"
#include "harness.h"

#include "fake_guest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CWD ((uint64_t)AT_FDCWD)

static int64_t
make_folder(const char *path)
{
    return fake_call(mkdirat, CWD, fake_string(path), 0755);
}

static int64_t
rename_name(const char *from, const char *to, uint64_t flags)
{
    return fake_call(renameat2, CWD, fake_string(from), CWD, fake_string(to), flags);
}

static void
make_file(const char *path, const char *text)
{
    int64_t fd = fake_open(path, O_CREAT | O_WRONLY | O_TRUNC, 0644);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(fake_write(fd, text), (int64_t)strlen(text));
    ck_assert_int_eq(fake_call(close, (uint64_t)fd), 0);
}

/* What stands at a path: "none", "folder N" with its count of links, or "file N TEXT". */
static const char *
look(const char *path, char *buffer, size_t size)
{
    struct stat status;
    int64_t r = fake_call(newfstatat, CWD, fake_string(path), FAKE_BASE + 8192, 0);
    memcpy(&status, fake_at(FAKE_BASE + 8192), sizeof status);
    if (r < 0) {
        snprintf(buffer, size, "none");
    } else if (S_ISDIR(status.st_mode)) {
        snprintf(buffer, size, "folder %u", (unsigned)status.st_nlink);
    } else {
        int64_t fd = fake_open(path, O_RDONLY, 0);
        ck_assert_int_ge(fd, 0);
        snprintf(buffer, size, "file %u %s", (unsigned)status.st_nlink, fake_read(fd));
        fake_call(close, (uint64_t)fd);
    }
    return buffer;
}

static const char *const watched[] = {"/tmp",       "/tmp/a",        "/tmp/b",  "/tmp/d",
                                      "/tmp/d/new", "/tmp/d/target", "/tmp/e",  "/tmp/full",
                                      "/tmp/new",   "/tmp/full/one", "/tmp/d/a"};

/* All that stands at the watched paths, and what it costs. */
static void
look_at_all(char *buffer, size_t size)
{
    size_t used =
        (size_t)snprintf(buffer, size, "%llu bytes", (unsigned long long)fake.account.used);
    for (size_t i = 0; i < sizeof watched / sizeof watched[0]; i++) {
        char one[64];
        used += (size_t)snprintf(buffer + used, size - used, ", %s: %s", watched[i],
                                 look(watched[i], one, sizeof one));
    }
}

static int64_t
replace_a_file(void)
{
    return rename_name("/tmp/a", "/tmp/b", 0);
}

static int64_t
replace_a_file_elsewhere(void)
{
    return rename_name("/tmp/a", "/tmp/d/target", 0);
}

static int64_t
replace_a_folder(void)
{
    return rename_name("/tmp/full", "/tmp/e", 0);
}

static int64_t
name_anew(void)
{
    return rename_name("/tmp/a", "/tmp/new", 0);
}

static int64_t
name_anew_in_an_empty_folder(void)
{
    return rename_name("/tmp/a", "/tmp/e/a", 0);
}

static int64_t
move_a_folder(void)
{
    return rename_name("/tmp/full", "/tmp/d/new", 0);
}

static int64_t
exchange(void)
{
    return rename_name("/tmp/a", "/tmp/d", 2);
}

static int64_t
link_a_file(void)
{
    return fake_call(linkat, CWD, fake_string("/tmp/a"), CWD, fake_string("/tmp/new"), 0);
}

static int64_t
link_symbolically(void)
{
    return fake_call(symlinkat, fake_string("a"), CWD, fake_string("/tmp/new"));
}

static int64_t
add_a_folder(void)
{
    return make_folder("/tmp/new");
}

static int64_t
remove_a_file(void)
{
    return fake_call(unlinkat, CWD, fake_string("/tmp/a"), 0);
}

static const struct {
    const char *name;
    int64_t (*run)(void);
    const char *path;   /* Where its success shows, */
    const char *result; /* and how. */
} changes[] = {
    {"replace a file", replace_a_file, "/tmp/b", "file 1 A"},
    {"replace a file elsewhere", replace_a_file_elsewhere, "/tmp/d/target", "file 1 A"},
    {"replace a folder", replace_a_folder, "/tmp/e/one", "file 1 one"},
    {"name anew", name_anew, "/tmp/new", "file 1 A"},
    {"name anew in an empty folder", name_anew_in_an_empty_folder, "/tmp/e/a", "file 1 A"},
    {"move a folder", move_a_folder, "/tmp/d/new/one", "file 1 one"},
    {"exchange", exchange, "/tmp/a/target", "file 1 T"},
    {"link a file", link_a_file, "/tmp/new", "file 2 A"},
    {"link symbolically", link_symbolically, "/tmp/new", "file 1 A"},
    {"add a folder", add_a_folder, "/tmp/new", "folder 2"},
    {"remove a file", remove_a_file, "/tmp/a", "none"},
};

/* Whether the allocation of that number was reached. */
static bool
change_without(int index, unsigned number)
{
    char before[1024], after[1024], end[64];
    fake_set_up();
    fake_start();
    make_file("/tmp/a", "A");
    make_file("/tmp/b", "B");
    make_folder("/tmp/d");
    make_file("/tmp/d/target", "T");
    make_folder("/tmp/e");
    make_folder("/tmp/full");
    make_file("/tmp/full/one", "one");
    look_at_all(before, sizeof before);

    allocator_fail(number);
    int64_t r = changes[index].run();
    bool reached = allocator_count() >= number;
    allocator_fail(0);

    look_at_all(after, sizeof after);
    if (r < 0) {
        ck_assert_msg(r == -ENOMEM, "%s, allocation %u: %lld", changes[index].name, number,
                      (long long)r);
        ck_assert_str_eq(after, before);
    } else {
        ck_assert_str_eq(look(changes[index].path, end, sizeof end), changes[index].result);
        ck_assert_str_ne(after, before);
    }
    fake_tear_down();
    return reached;
}

START_TEST(each_change_is_done_whole_or_not_at_all)
{
    unsigned number = 1;
    while (change_without(_i, number))
        number++;
    ck_assert_uint_gt(number, 1);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("sandbox_tmpfs_allocations");
    TCase *tcase = tcase_create("sandbox_tmpfs_allocations");

    tcase_add_loop_test(tcase, each_change_is_done_whole_or_not_at_all, 0,
                        sizeof changes / sizeof changes[0]);
    suite_add_tcase(suite, tcase);
    return suite;
}
