/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A host that has no mapping left: its mprotect(2) and mmap(2) fail, the first also half-way, with
 * a part of the range changed. The linker leads the library's calls here (--wrap).
 */
#include "harness.h"
#include "memory_fixture.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define BASE UINT64_C(0x40000000)
#define PAGES 8

static struct {
    unsigned protect_failures; /* This many calls of mprotect fail, */
    size_t changed;            /* the first after it changed so many bytes. */
    unsigned protect_calls;
    bool map_fails;
    bool advice_fails;
} host;

int
__wrap_madvise(void *address, size_t size, int advice);
int
__real_madvise(void *address, size_t size, int advice);

int
__wrap_madvise(void *address, size_t size, int advice)
{
    if (!host.advice_fails)
        return __real_madvise(address, size, advice);
    errno = EINVAL;
    return -1;
}

int
__wrap_mprotect(void *address, size_t size, int protection);
int
__real_mprotect(void *address, size_t size, int protection);
void *
__wrap_mmap64(void *address, size_t size, int protection, int flags, int fd, off_t offset);
void *
__real_mmap64(void *address, size_t size, int protection, int flags, int fd, off_t offset);

int
__wrap_mprotect(void *address, size_t size, int protection)
{
    if (host.protect_calls++ >= host.protect_failures)
        return __real_mprotect(address, size, protection);
    if (host.protect_calls == 1 && host.changed != 0)
        ck_assert_int_eq(__real_mprotect(address, host.changed, protection), 0);
    errno = ENOMEM;
    return -1;
}

void *
__wrap_mmap64(void *address, size_t size, int protection, int flags, int fd, off_t offset)
{
    if (!host.map_fails || (flags & MAP_FIXED) == 0)
        return __real_mmap64(address, size, protection, flags, fd, offset);
    errno = ENOMEM;
    return MAP_FAILED;
}

/* Whether each byte of the range is `value`, and can be written. */
static void
check_writable(uint64_t gpa, uint64_t size, uint8_t value)
{
    uint8_t *at = vmk_frames_get_memory(memory.frames) + gpa;
    for (uint64_t i = 0; i < size; i += PAGE / 2) {
        ck_assert_uint_eq(at[i], value);
        *(volatile uint8_t *)&at[i] = value;
    }
}

/* Frames that follow each other, filled with `value`. */
static uint64_t
take_frames(uint8_t value)
{
    uint64_t first = vmk_frames_alloc(memory.frames);
    for (uint64_t i = 1; i < PAGES; i++)
        ck_assert_uint_eq(vmk_frames_alloc(memory.frames), first + i * PAGE);
    memset(vmk_frames_get_memory(memory.frames) + first, value, PAGES * PAGE);
    return first;
}

static void
set_up(void)
{
    memset(&host, 0, sizeof host);
    memory_reset(16 * MIB);
}

START_TEST(translations_are_dropped_by_a_change_forth_and_back)
{
    uint64_t gpa = take_frames(7);
    ck_assert_int_eq(vmk_frames_drop_translations(memory.frames, gpa, PAGES * PAGE), 0);
    ck_assert_uint_eq(host.protect_calls, 2);
    check_writable(gpa, PAGES * PAGE, 7);
}
END_TEST

START_TEST(a_change_that_fails_half_way_is_undone)
{
    uint64_t gpa = take_frames(7);
    host.protect_failures = 1;
    host.changed = (size_t)_i * PAGE;
    ck_assert_int_eq(vmk_frames_drop_translations(memory.frames, gpa, PAGES * PAGE), -ENOMEM);
    check_writable(gpa, PAGES * PAGE, 7);
    ck_assert_int_eq(vmk_frames_drop_translations(memory.frames, gpa, PAGES * PAGE), 0);
}
END_TEST

START_TEST(the_way_back_is_tried_until_it_works)
{
    uint64_t gpa = take_frames(7);
    host.protect_failures = 5;
    host.changed = 3 * PAGE;
    ck_assert_int_eq(vmk_frames_drop_translations(memory.frames, gpa, PAGES * PAGE), -ENOMEM);
    ck_assert_uint_eq(host.protect_calls, 6);
    check_writable(gpa, PAGES * PAGE, 7);
}
END_TEST

START_TEST(a_protection_that_the_host_refuses_has_kvm_forget_all_instead)
{
    ck_assert_int_eq(memory_map(BASE, PAGES * PAGE, RW), 0);
    ck_assert_int_eq(vmk_space_populate(&memory.space, BASE, PAGES * PAGE), 0);
    struct vmk_leaf leaf = vmk_paging_find(&memory.space.paging, BASE);
    memset(vmk_frames_get_memory(memory.frames) + leaf.gpa, 9, PAGES * PAGE);
    ck_assert(!memory.space.paging.structure_changed);
    host.protect_failures = 1;
    host.changed = PAGE;
    ck_assert_int_eq(vmk_space_protect(&memory.space, BASE, PAGES * PAGE, VMK_PAGE_READ), 0);
    ck_assert(memory.space.paging.structure_changed);
    ck_assert_uint_eq(vmk_paging_find(&memory.space.paging, BASE).rights, VMK_PAGE_READ);
    check_writable(leaf.gpa, PAGES * PAGE, 9);
}
END_TEST

/* A file of one page of each number. */
static int
make_file(void)
{
    uint8_t page[PAGE];
    int fd = memfd_create("frames", MFD_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    for (uint8_t i = 1; i <= PAGES; i++) {
        memset(page, i, sizeof page);
        ck_assert_int_eq(write(fd, page, sizeof page), sizeof page);
    }
    return fd;
}

START_TEST(a_file_that_cannot_be_mapped_leaves_the_frames)
{
    int fd = make_file();
    uint64_t gpa = take_frames(7);
    host.map_fails = true;
    ck_assert_int_eq(vmk_frames_map_file(memory.frames, gpa, PAGES * PAGE, fd, 0), -ENOMEM);
    check_writable(gpa, PAGES * PAGE, 7);
    host.map_fails = false;
    ck_assert_int_eq(vmk_frames_map_file(memory.frames, gpa, PAGES * PAGE, fd, 0), 0);
    for (uint8_t i = 0; i < PAGES; i++)
        check_writable(gpa + i * PAGE, PAGE, (uint8_t)(i + 1));
    close(fd);
}
END_TEST

START_TEST(frames_over_a_file_come_back_as_zeros_also_without_a_mapping)
{
    int fd = make_file();
    uint64_t gpa = take_frames(7);
    ck_assert_int_eq(vmk_frames_map_file(memory.frames, gpa, PAGES * PAGE, fd, 0), 0);
    host.map_fails = _i == 1;
    vmk_frames_release(memory.frames, gpa, PAGES * PAGE);
    host.map_fails = false;
    for (uint64_t i = 0; i < PAGES; i++)
        ck_assert_uint_eq(vmk_frames_alloc(memory.frames), gpa + i * PAGE);
    check_writable(gpa, PAGES * PAGE, 0);
    close(fd);
}
END_TEST

START_TEST(frames_that_are_locked_come_back_as_zeros)
{
    uint64_t gpa = take_frames(7);
    uint8_t *at = vmk_frames_get_memory(memory.frames) + gpa;
    ck_assert_int_eq(mlock(at, PAGES * PAGE), 0);
    /* A kernel that takes no locked memory away at all, as before 5.18, too. */
    host.advice_fails = _i == 1;
    vmk_frames_release(memory.frames, gpa, PAGES * PAGE);
    host.advice_fails = false;
    for (uint64_t i = 0; i < PAGES; i++)
        ck_assert_uint_eq(vmk_frames_alloc(memory.frames), gpa + i * PAGE);
    check_writable(gpa, PAGES * PAGE, 0);
    ck_assert_int_eq(munlock(at, PAGES * PAGE), 0);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("sandbox_frames");
    TCase *tcase = tcase_create("sandbox_frames");

    tcase_add_checked_fixture(tcase, set_up, memory_free);
    tcase_add_test(tcase, translations_are_dropped_by_a_change_forth_and_back);
    tcase_add_loop_test(tcase, a_change_that_fails_half_way_is_undone, 0, PAGES);
    tcase_add_test(tcase, the_way_back_is_tried_until_it_works);
    tcase_add_test(tcase, a_protection_that_the_host_refuses_has_kvm_forget_all_instead);
    tcase_add_test(tcase, a_file_that_cannot_be_mapped_leaves_the_frames);
    tcase_add_loop_test(tcase, frames_over_a_file_come_back_as_zeros_also_without_a_mapping, 0, 2);
    tcase_add_loop_test(tcase, frames_that_are_locked_come_back_as_zeros, 0, 2);
    suite_add_tcase(suite, tcase);
    return suite;
}
