/* SPDX-License-Identifier: Apache-2.0 */
/* What the makers of memory say on a host that fails. No KVM is needed. */
#include "../api/assert.h"
#include "faults.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#define SIZE UINT64_C(0x200000)

static vmkit_memory *memory;
static int file;

static void
set_up(void)
{
    memory = NULL;
    file = memfd_create("memory", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    ck_assert_int_eq(ftruncate(file, (off_t)SIZE), 0);
}

static void
tear_down(void)
{
    ck_assert_ptr_null(memory);
    close(file);
}

static int
anonymous(uint64_t flags, vmkit_error **ret_error)
{
    return vmkit_memory_new_anonymous(SIZE, flags, &memory, ret_error);
}

static int
memfd(uint64_t flags, vmkit_error **ret_error)
{
    return vmkit_memory_new_memfd("x", SIZE, flags, &memory, ret_error);
}

static int
of_file(uint64_t flags, vmkit_error **ret_error)
{
    return vmkit_memory_new_fd(file, 0, SIZE, flags, &memory, ret_error);
}

static int
of_user(uint64_t flags, vmkit_error **ret_error)
{
    return vmkit_memory_new_user((void *)0x10000, SIZE, NULL, NULL, &memory, ret_error);
}

typedef int
maker(uint64_t flags, vmkit_error **ret_error);
static maker *const makers[] = {anonymous, memfd, of_file, of_user};

START_TEST(no_memory_for_a_handle_is_said)
{
    for (size_t i = 0; i < sizeof makers / sizeof makers[0]; i++)
        ASSERT_FAILS(WITH_FAULT(FAULT_ALLOCATE, ENOMEM, makers[i](0, &error)), ENOMEM,
                     VMKIT_ERROR_OUT_OF_MEMORY, "out of memory");
}
END_TEST

START_TEST(a_mapping_that_the_host_refuses_is_said)
{
    for (size_t i = 0; i < 3; i++) {
        ASSERT_FAILS(WITH_FAULT(FAULT_MAP, ENOMEM, makers[i](0, &error)), ENOMEM,
                     VMKIT_ERROR_OUT_OF_MEMORY, "no address space for 2097152 bytes of memory");
        ASSERT_FAILS(WITH_FAULT(FAULT_MAP, EAGAIN, makers[i](0, &error)), EIO, VMKIT_ERROR_IO,
                     "mapping 2097152 bytes of memory: Resource temporarily unavailable");
    }
}
END_TEST

START_TEST(huge_pages_that_the_host_lacks_are_said)
{
    for (size_t i = 0; i < 2; i++) {
        ASSERT_FAILS(WITH_FAULT(FAULT_MAP, EINVAL, makers[i](VMKIT_MEMORY_HUGE_2M, &error)),
                     ENOTSUP, VMKIT_ERROR_NOT_SUPPORTED, "has no huge pages of 2 MiB");
        ASSERT_FAILS(WITH_FAULT(FAULT_MAP, ENOMEM, makers[i](VMKIT_MEMORY_HUGE_2M, &error)), ENOMEM,
                     VMKIT_ERROR_OUT_OF_MEMORY, "has not 1 free huge pages of 2 MiB");
    }
    for (size_t i = 0; i < 3; i++)
        ASSERT_FAILS(
            WITH_FAULT(FAULT_ADVISE, EINVAL, makers[i](VMKIT_MEMORY_TRANSPARENT_HUGE, &error)),
            ENOTSUP, VMKIT_ERROR_NOT_SUPPORTED, "has no transparent huge pages");
    ASSERT_FAILS(WITH_FAULT(FAULT_MEMFD, EINVAL, memfd(VMKIT_MEMORY_HUGE_2M, &error)), ENOTSUP,
                 VMKIT_ERROR_NOT_SUPPORTED, "has no huge pages of 2 MiB");
}
END_TEST

START_TEST(a_memfd_that_cannot_be_made_is_said)
{
    ASSERT_FAILS(WITH_FAULT(FAULT_MEMFD, ENFILE, memfd(0, &error)), ENFILE, VMKIT_ERROR_LIMIT,
                 "memfd \"x\": Too many open files in system");
    ASSERT_FAILS(WITH_FAULT(FAULT_MEMFD, ENOMEM, memfd(0, &error)), ENOMEM,
                 VMKIT_ERROR_OUT_OF_MEMORY, "memfd \"x\"");
    ASSERT_FAILS(WITH_FAULT(FAULT_MEMFD, ENOSYS, memfd(0, &error)), EIO, VMKIT_ERROR_IO,
                 "memfd \"x\": Function not implemented");
    ASSERT_FAILS(WITH_FAULT(FAULT_RESIZE, ENOMEM, memfd(0, &error)), ENOMEM,
                 VMKIT_ERROR_OUT_OF_MEMORY, "memfd \"x\" of 2097152 bytes");
    ASSERT_FAILS(WITH_FAULT(FAULT_RESIZE, EINVAL, memfd(0, &error)), EIO, VMKIT_ERROR_IO,
                 "memfd \"x\" of 2097152 bytes: Invalid argument");
    ASSERT_FAILS(WITH_FAULT(FAULT_SEAL, EINVAL, memfd(0, &error)), EIO, VMKIT_ERROR_IO,
                 "sealing memfd \"x\": Invalid argument");
}
END_TEST

START_TEST(a_process_without_descriptors_is_said)
{
    struct rlimit old, none;
    int lowest = dup(file);
    close(lowest);
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &old), 0);
    none = (struct rlimit){(rlim_t)lowest, old.rlim_max};
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    ASSERT_FAILS(memfd(0, &error), EMFILE, VMKIT_ERROR_LIMIT, "memfd \"x\": Too many open files");
    ASSERT_FAILS(of_file(0, &error), EMFILE, VMKIT_ERROR_LIMIT, "duplicating descriptor");
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &old), 0);
}
END_TEST

START_TEST(a_file_that_is_sealed_is_not_mapped_for_writing)
{
    ck_assert_int_eq(fcntl(file, F_ADD_SEALS, F_SEAL_WRITE), 0);
    ASSERT_FAILS(of_file(0, &error), EPERM, VMKIT_ERROR_IO, "Operation not permitted");
    ASSERT_OK(of_file(VMKIT_MEMORY_PRIVATE, &error));
    vmkit_memory_unref(memory);
    memory = NULL;
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("errors_memory");
    TCase *tcase = tcase_create("errors_memory");

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, no_memory_for_a_handle_is_said);
    tcase_add_test(tcase, a_mapping_that_the_host_refuses_is_said);
    tcase_add_test(tcase, huge_pages_that_the_host_lacks_are_said);
    tcase_add_test(tcase, a_memfd_that_cannot_be_made_is_said);
    tcase_add_test(tcase, a_process_without_descriptors_is_said);
    tcase_add_test(tcase, a_file_that_is_sealed_is_not_mapped_for_writing);
    suite_add_tcase(suite, tcase);
    return suite;
}
