/* SPDX-License-Identifier: Apache-2.0 */
/* Files of host folders, and what is mapped of files that are not carried. */
#include "harness.h"
#include "state_guest.h"

#include "util/error.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define CWD ((uint64_t)AT_FDCWD)

static char base[64];
static vmkit_sandbox_config *config;
static struct state_guest a, b;

static const char *
in_base(const char *name)
{
    static char paths[4][256];
    static int next;
    char *path = paths[next++ & 3];
    snprintf(path, sizeof paths[0], "%s/%s", base, name);
    return path;
}

static void
put_host_file(const char *name, const void *data, size_t size)
{
    int fd = open(in_base(name), O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0644);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, data, size), (ssize_t)size);
    close(fd);
}

static vmkit_sandbox_config *
make_config(uint64_t flags)
{
    vmkit_sandbox_config *made;
    ck_assert_int_eq(vmk_config_new(&made, NULL), 0);
    ck_assert_int_eq(vmk_config_set_program_memory(made, "\177ELF", 4, NULL), 0);
    ck_assert_int_eq(vmk_config_add_folder(made, in_base("shown"), "/data", flags, NULL), 0);
    return made;
}

static void
set_up(void)
{
    strcpy(base, "/tmp/vmkit-state-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(base));
    ck_assert_int_eq(mkdir(in_base("shown"), 0755), 0);
    ck_assert_int_eq(mkdir(in_base("shown/sub"), 0755), 0);
    put_host_file("shown/file", "0123456789", 10);
    put_host_file("shown/sub/deep", "deep", 4);
    config = make_config(VMKIT_FOLDER_WRITABLE);
    state_start(&a, config);
}

static void
tear_down(void)
{
    char command[128];
    vmk_config_unref(config);
    snprintf(command, sizeof command, "rm -rf %s", base);
    ck_assert_int_eq(system(command), 0);
}

START_TEST(files_and_folders_are_opened_again)
{
    char first[2000], after[2000];
    ck_assert_int_eq(state_open(&a, "/data/file", O_RDWR | O_APPEND, 0), 3);
    ck_assert_int_eq(state_call(&a, lseek, 3, 4, SEEK_SET), 4);
    ck_assert_int_eq(state_open(&a, "/data", O_RDONLY | O_DIRECTORY, 0), 4);
    ck_assert_int_gt(state_call(&a, getdents64, 4, STATE_RESULT, 60), 0);
    ck_assert_int_eq(state_call(&a, chdir, state_string(&a, "/data/sub")), 0);
    ck_assert_int_eq(state_open(&a, "deep", O_PATH, 0), 5);
    struct vmk_bytes bytes = state_save(&a);
    int64_t size = state_call(&a, getdents64, 4, STATE_RESULT, sizeof first);
    ck_assert_int_gt(size, 0);
    state_get(&a, STATE_RESULT, first, (size_t)size);
    state_end(&a);
    state_prepare(&b, config);
    state_load(&b, config, bytes);

    ck_assert_int_eq(state_call(&b, getdents64, 4, STATE_RESULT, sizeof after), size);
    state_get(&b, STATE_RESULT, after, (size_t)size);
    ck_assert_mem_eq(first, after, (size_t)size);
    ck_assert_str_eq(state_read(&b, 3), "456789");
    ck_assert_int_eq(state_write(&b, 3, "+"), 1);
    ck_assert_int_eq(state_open(&b, "deep", O_RDONLY, 0), 6);
    ck_assert_str_eq(state_read(&b, 6), "deep");
    ck_assert_int_eq(state_call(&b, getcwd, STATE_RESULT, 100), 10);
    state_end(&b);
}
END_TEST

START_TEST(a_file_that_was_renamed_is_found)
{
    ck_assert_int_eq(state_open(&a, "/data/new", O_CREAT | O_RDWR, 0644), 3);
    ck_assert_int_eq(state_write(&a, 3, "text"), 4);
    ck_assert_int_eq(state_call(&a, renameat2, CWD, state_string(&a, "/data/new"), CWD,
                                state_string(&a, "/data/sub/now"), 0),
                     0);
    put_host_file("shown/new", "another", 7);
    struct vmk_bytes bytes = state_save(&a);
    state_end(&a);
    state_prepare(&b, config);
    state_load(&b, config, bytes);
    ck_assert_int_eq(state_call(&b, lseek, 3, 0, SEEK_SET), 0);
    ck_assert_str_eq(state_read(&b, 3), "text");
    state_end(&b);
}
END_TEST

START_TEST(what_has_no_name_is_refused)
{
    ck_assert_int_eq(state_open(&a, "/data/file", O_RDONLY, 0), 3);
    ck_assert_int_eq(unlink(in_base("shown/file")), 0);
    state_save_fails(&a, ENOENT, "\"/data/file\" of a host folder, which was deleted");
    put_host_file("shown/file", "replaced", 8);
    state_save_fails(&a, ENOENT, "\"/data/file\" of a host folder, which was deleted");
    state_call(&a, close, 3);
    ck_assert_int_eq(state_call(&a, chdir, state_string(&a, "/data/sub")), 0);
    ck_assert_int_eq(rename(in_base("shown/sub"), in_base("elsewhere")), 0);
    state_save_fails(&a, ENOENT, "\"/data/sub\" of a host folder");
    ck_assert_int_eq(state_call(&a, chdir, state_string(&a, "/")), 0);
    int64_t fd = state_open(&a, "/data", O_TMPFILE | O_RDWR, 0600);
    if (fd >= 0)
        state_save_fails(&a, ENOENT, "#unnamed");
    state_call(&a, close, 3);
    struct vmk_bytes bytes = state_save(&a);
    vmk_bytes_clear(&bytes);
    state_end(&a);
}
END_TEST

START_TEST(a_folder_that_is_missing_is_named)
{
    vmkit_sandbox_config *other;
    struct vmk_bytes bytes = state_save(&a);
    ck_assert_int_eq(vmk_config_new(&other, NULL), 0);
    state_load_fails(&bytes, other, ENOENT, "needs the host folder of the guest's \"/data\"");
    ck_assert_int_eq(vmk_config_add_folder(other, base, "/data", 0, NULL), 0);
    ck_assert_int_eq(vmk_config_add_folder(other, base, "/tmp", 0, NULL), 0);
    state_load_fails(&bytes, other, EINVAL,
                     "has files in memory at the guest's \"/tmp\", where the configuration shows "
                     "a host folder");
    vmk_config_unref(other);
    vmk_bytes_clear(&bytes);
    state_end(&a);
}
END_TEST

START_TEST(a_file_that_went_since_is_named)
{
    ck_assert_int_eq(state_open(&a, "/data/file", O_RDWR, 0), 3);
    struct vmk_bytes bytes = state_save(&a);
    vmkit_sandbox_config *read_only = make_config(0);
    state_load_fails(&bytes, read_only, EROFS, "cannot open the guest's \"/data/file\" again");
    vmk_config_unref(read_only);
    ck_assert_int_eq(unlink(in_base("shown/file")), 0);
    state_load_fails(&bytes, config, ENOENT, "needs the guest's \"/data/file\"");
    ck_assert_int_eq(symlink("/etc/passwd", in_base("shown/file")), 0);
    state_load_fails(&bytes, config, ENXIO, "cannot open the guest's \"/data/file\" again");
    vmk_bytes_clear(&bytes);
    state_end(&a);
}
END_TEST

START_TEST(memory_files_stay_where_a_folder_hides_them)
{
    vmkit_sandbox_config *other = make_config(0);
    ck_assert_int_eq(vmk_config_add_folder(other, in_base("shown"), "/tmp", 0, NULL), 0);
    state_end(&a);
    state_start(&a, other);
    ck_assert_int_eq(state_call(&a, memfd_create, state_string(&a, "mem"), 0), 3);
    ck_assert_int_eq(state_write(&a, 3, "hidden"), 6);
    ck_assert_int_eq(state_call(&a, lseek, 3, 0, SEEK_SET), 0);
    state_move(&a, &b, other);
    ck_assert_str_eq(state_read(&b, 3), "hidden");
    ck_assert_int_eq(state_open(&b, "/tmp/file", O_RDONLY, 0), 4);
    ck_assert_str_eq(state_read(&b, 4), "0123456789");
    vmk_config_unref(other);
    state_end(&b);
}
END_TEST

/* Map all of a file and close it. */
static uint64_t
map_file(const char *path, uint64_t size, uint64_t rights)
{
    int64_t fd = state_open(&a, path, O_RDONLY, 0);
    ck_assert_int_ge(fd, 0);
    int64_t va = state_call(&a, mmap, 0, size, rights, MAP_PRIVATE, (uint64_t)fd, 0);
    ck_assert_int_gt(va, 0);
    state_call(&a, close, (uint64_t)fd);
    return (uint64_t)va;
}

static uint64_t
resident(struct state_guest *guest, uint64_t va, uint64_t size)
{
    uint64_t pages = 0;
    for (uint64_t at = va; at < va + size; at += 4096)
        pages += vmk_paging_find(&guest->space.paging, at).used;
    return pages;
}

START_TEST(what_is_mapped_of_a_host_file_becomes_memory)
{
    static uint8_t data[40 * 4096 + 10];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i / 4096 + 1);
    put_host_file("shown/big", data, sizeof data);
    uint64_t va = map_file("/data/big", 100 * 4096, PROT_READ | PROT_WRITE);
    uint64_t none = map_file("/data/big", 4096, PROT_NONE);
    ck_assert_uint_eq(resident(&a, va, 100 * 4096), 0);
    struct vmk_bytes bytes = state_save(&a);
    ck_assert_uint_eq(resident(&a, va, 100 * 4096), 41);
    ck_assert_uint_eq(resident(&a, none, 4096), 1);
    uint8_t byte;
    state_get(&a, va + 40 * 4096 + 9, &byte, 1);
    ck_assert_uint_eq(byte, 41);
    vmk_bytes_clear(&bytes);

    /* The file is gone after, and its name is left. */
    struct vmk_bytes before = state_save(&a);
    ck_assert_int_eq(unlink(in_base("shown/big")), 0);
    bytes = state_save(&a);
    ck_assert_uint_eq(before.size, bytes.size);
    vmk_bytes_clear(&before);
    state_end(&a);
    state_prepare(&b, config);
    state_load(&b, config, bytes);
    int64_t maps = state_open(&b, "/proc/self/maps", O_RDONLY, 0);
    const char *text = state_read(&b, maps);
    ck_assert_ptr_nonnull(strstr(text, " /data/big\n"));
    ck_assert_int_eq(vmk_space_fault(&b.space, va + 50 * 4096, VMK_PAGE_READ), -EIO);
    state_move(&b, &a, config);
    state_end(&a);
}
END_TEST

START_TEST(a_mapped_file_that_is_still_there_can_be_read_again)
{
    uint8_t byte;
    uint64_t va = map_file("/data/file", 4096, PROT_READ);
    state_move(&a, &b, config);
    state_get(&b, va + 3, &byte, 1);
    ck_assert_uint_eq(byte, '3');
    state_end(&b);
}
END_TEST

START_TEST(a_mapped_file_above_the_memory_limit_is_refused)
{
    int fd = open(in_base("shown/huge"), O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
    ck_assert_int_eq(ftruncate(fd, 300 << 20), 0);
    close(fd);
    map_file("/data/huge", 300 << 20, PROT_READ);
    state_save_fails(&a, E2BIG,
                     "no room for the 314572800 bytes that are mapped of \"/data/huge\"");
    state_end(&a);
}
END_TEST

START_TEST(the_last_page_needs_no_room_for_its_neighbours)
{
    vmkit_sandbox_config *small = make_config(0);
    vmk_config_set_memory_limit(small, 1 << 20, NULL);
    state_end(&a);
    vmk_config_set_memory_limit(small, 4 << 20, NULL);
    state_start(&a, small);
    map_file("/data/file", 1 << 20, PROT_READ);
    /* All of the memory but four pages: three tables and the one page of the file. */
    uint64_t room = a.account.limit - a.account.used - 4 * 4096;
    ck_assert(vmk_memory_account_try_charge(&a.account, room));
    struct vmk_bytes bytes = state_save(&a);
    vmk_bytes_clear(&bytes);
    vmk_memory_account_uncharge(&a.account, room);
    vmk_config_unref(small);
    state_end(&a);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("state_host");
    TCase *tcase = tcase_create("state_host");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, files_and_folders_are_opened_again);
    tcase_add_test(tcase, a_file_that_was_renamed_is_found);
    tcase_add_test(tcase, what_has_no_name_is_refused);
    tcase_add_test(tcase, a_folder_that_is_missing_is_named);
    tcase_add_test(tcase, a_file_that_went_since_is_named);
    tcase_add_test(tcase, memory_files_stay_where_a_folder_hides_them);
    tcase_add_test(tcase, what_is_mapped_of_a_host_file_becomes_memory);
    tcase_add_test(tcase, a_mapped_file_that_is_still_there_can_be_read_again);
    tcase_add_test(tcase, a_mapped_file_above_the_memory_limit_is_refused);
    tcase_add_test(tcase, the_last_page_needs_no_room_for_its_neighbours);
    suite_add_tcase(suite, tcase);
    return suite;
}
