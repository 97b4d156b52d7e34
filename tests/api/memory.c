/* SPDX-License-Identifier: Apache-2.0 */
#include "assert.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

START_TEST(anonymous_memory_is_zero_and_as_large_as_asked)
{
    vmkit_memory *memory = NULL;
    ASSERT_OK(vmkit_memory_new_anonymous(0x3000, 0, &memory, &error));
    ck_assert_uint_eq(vmkit_memory_get_size(memory), 0x3000);
    ck_assert_int_eq(vmkit_memory_get_fd(memory), -1);
    uint8_t *bytes = vmkit_memory_get_pointer(memory);
    ck_assert_uint_eq(bytes[0], 0);
    ck_assert_uint_eq(bytes[0x2fff], 0);
    ck_assert_ptr_eq(vmkit_memory_ref(memory), memory);
    vmkit_memory_unref(memory);
    bytes[0x2fff] = 1;
    vmkit_memory_unref(memory);
}
END_TEST

START_TEST(a_size_of_another_form_is_refused)
{
    vmkit_memory *memory = NULL;
    ASSERT_INVALID(vmkit_memory_new_anonymous(0, 0, &memory, &error),
                   "memory size 0 is not a multiple of 4096 bytes");
    ASSERT_INVALID(vmkit_memory_new_anonymous(0x1001, 0, &memory, &error),
                   "memory size 4097 is not a multiple of 4096 bytes");
    ASSERT_INVALID(vmkit_memory_new_anonymous(0x1000, VMKIT_MEMORY_HUGE_2M, &memory, &error),
                   "memory size 4096 is not a multiple of 2097152 bytes");
    ASSERT_INVALID(vmkit_memory_new_memfd(NULL, 1, 0, &memory, &error), "memory size 1");
    ASSERT_FAILS(vmkit_memory_new_anonymous(UINT64_MAX - 0xfff, 0, &memory, &error), ENOMEM,
                 VMKIT_ERROR_OUT_OF_MEMORY, "is beyond the address space");
    ASSERT_FAILS(vmkit_memory_new_anonymous(UINT64_C(1) << 62, 0, &memory, &error), ENOMEM,
                 VMKIT_ERROR_OUT_OF_MEMORY, "no address space for 4611686018427387904 bytes");
    ASSERT_FAILS(vmkit_memory_new_anonymous(UINT64_C(1) << 62, VMKIT_MEMORY_TRANSPARENT_HUGE,
                                            &memory, &error),
                 ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY, "no address space");
    ck_assert_ptr_null(memory);
}
END_TEST

START_TEST(flags_that_make_no_sense_are_refused)
{
    vmkit_memory *memory = NULL;
    uint64_t both = VMKIT_MEMORY_HUGE_2M | VMKIT_MEMORY_TRANSPARENT_HUGE;
    ASSERT_INVALID(vmkit_memory_new_anonymous(2 << 20, both, &memory, &error), "not both");
    ASSERT_INVALID(vmkit_memory_new_anonymous(2 << 20, VMKIT_MEMORY_PRIVATE, &memory, &error),
                   "memory flags 0x4 are not known here");
    ASSERT_INVALID(vmkit_memory_new_memfd("x", 2 << 20, 0x100, &memory, &error), "0x100");
    ASSERT_INVALID(vmkit_memory_new_fd(0, 0, 2 << 20, VMKIT_MEMORY_HUGE_2M, &memory, &error),
                   "0x2");
}
END_TEST

START_TEST(a_null_is_refused_by_name)
{
    ASSERT_INVALID(vmkit_memory_new_anonymous(0x1000, 0, NULL, &error), "ret_memory is NULL");
    ASSERT_INVALID(vmkit_memory_new_memfd("x", 0x1000, 0, NULL, &error), "ret_memory is NULL");
    ASSERT_INVALID(vmkit_memory_new_fd(0, 0, 0x1000, 0, NULL, &error), "ret_memory is NULL");
    ASSERT_INVALID(vmkit_memory_new_user((void *)0x1000, 0x1000, NULL, NULL, NULL, &error),
                   "ret_memory is NULL");
    ck_assert_ptr_null(vmkit_memory_get_pointer(NULL));
    ck_assert_uint_eq(vmkit_memory_get_size(NULL), 0);
    ck_assert_int_eq(vmkit_memory_get_fd(NULL), -1);
    ck_assert_ptr_null(vmkit_memory_ref(NULL));
    vmkit_memory_unref(NULL);
}
END_TEST

START_TEST(a_memfd_has_a_name_of_a_limited_length)
{
    vmkit_memory *memory = NULL;
    char name[202];
    memset(name, 'n', sizeof name - 1);
    name[201] = '\0';
    ASSERT_FAILS(vmkit_memory_new_memfd(name, 0x1000, 0, &memory, &error), ENAMETOOLONG,
                 VMKIT_ERROR_INVALID_ARGUMENT, "has 201 bytes, 200 at the most");
    ASSERT_OK(vmkit_memory_new_memfd(name + 1, 0x1000, 0, &memory, &error));
    ck_assert_int_eq(fcntl(vmkit_memory_get_fd(memory), F_GETFD), FD_CLOEXEC);
    vmkit_memory_unref(memory);
}
END_TEST

START_TEST(a_file_must_be_open_long_enough_and_allow_it)
{
    vmkit_memory *memory = NULL;
    char path[] = "/tmp/vmkit-memory-XXXXXX";
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(ftruncate(fd, 0x2000), 0);
    int reader = open(path, O_RDONLY | O_CLOEXEC);
    unlink(path);
    ASSERT_FAILS(vmkit_memory_new_fd(fd, 0x1000, 0x2000, 0, &memory, &error), ERANGE,
                 VMKIT_ERROR_OUT_OF_RANGE, "goes beyond the file's 8192 bytes");
    ASSERT_FAILS(vmkit_memory_new_fd(fd, UINT64_MAX - 0xfff, 0x1000, 0, &memory, &error), ERANGE,
                 VMKIT_ERROR_OUT_OF_RANGE, "goes beyond");
    ASSERT_INVALID(vmkit_memory_new_fd(fd, 1, 0x1000, 0, &memory, &error), "file offset 1 is not");
    ASSERT_INVALID(vmkit_memory_new_fd(-1, 0, 0x1000, 0, &memory, &error),
                   "descriptor -1 is not open");
    ASSERT_FAILS(vmkit_memory_new_fd(reader, 0, 0x1000, 0, &memory, &error), EACCES, VMKIT_ERROR_IO,
                 "Permission denied");
    ASSERT_OK(vmkit_memory_new_fd(reader, 0, 0x1000, VMKIT_MEMORY_PRIVATE, &memory, &error));
    vmkit_memory_unref(memory);
    ASSERT_OK(vmkit_memory_new_fd(reader, 0, 0x1000, VMKIT_MEMORY_READ_ONLY, &memory, &error));
    vmkit_memory_unref(memory);
    memory = NULL;
    int pipes[2];
    ck_assert_int_eq(pipe(pipes), 0);
    ASSERT_FAILS(vmkit_memory_new_fd(pipes[0], 0, 0x1000, VMKIT_MEMORY_READ_ONLY, &memory, &error),
                 ENODEV, VMKIT_ERROR_IO, "mapping 4096 bytes");
    close(pipes[0]);
    close(pipes[1]);
    close(reader);
    close(fd);
}
END_TEST

static void
count_release(void *user_data)
{
    ++*(int *)user_data;
}

START_TEST(the_callers_memory_is_checked_and_released_once)
{
    vmkit_memory *memory = NULL;
    int released = 0;
    ASSERT_INVALID(vmkit_memory_new_user(NULL, 0x1000, count_release, &released, &memory, &error),
                   "memory address");
    ASSERT_INVALID(
        vmkit_memory_new_user((void *)0x1234, 0x1000, count_release, &released, &memory, &error),
        "memory address 0x1234 is not a multiple of 4096 bytes");
    ASSERT_FAILS(vmkit_memory_new_user((void *)(UINTPTR_MAX - 0xfff), 0x2000, count_release,
                                       &released, &memory, &error),
                 ERANGE, VMKIT_ERROR_OUT_OF_RANGE, "round the end of the address space");
    ck_assert_int_eq(released, 0);
    ASSERT_OK(
        vmkit_memory_new_user((void *)0x10000, 0x1000, count_release, &released, &memory, &error));
    ck_assert_ptr_eq(vmkit_memory_get_pointer(memory), (void *)0x10000);
    vmkit_memory_ref(memory);
    vmkit_memory_unref(memory);
    ck_assert_int_eq(released, 0);
    vmkit_memory_unref(memory);
    ck_assert_int_eq(released, 1);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("memory");
    TCase *tcase = tcase_create("memory");

    tcase_add_test(tcase, anonymous_memory_is_zero_and_as_large_as_asked);
    tcase_add_test(tcase, a_size_of_another_form_is_refused);
    tcase_add_test(tcase, flags_that_make_no_sense_are_refused);
    tcase_add_test(tcase, a_null_is_refused_by_name);
    tcase_add_test(tcase, a_memfd_has_a_name_of_a_limited_length);
    tcase_add_test(tcase, a_file_must_be_open_long_enough_and_allow_it);
    tcase_add_test(tcase, the_callers_memory_is_checked_and_released_once);
    suite_add_tcase(suite, tcase);
    return suite;
}
