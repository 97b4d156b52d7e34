/* SPDX-License-Identifier: Apache-2.0 */
/* A raw VM whose memory is decompressed where its guest touches it. */
#include "guest.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096
#define FIRST 0x20000u  /* a byte that the guest reads first, */
#define SECOND 0xe0000u /* and one far away */

/* mov $0x2000,%ax; mov %ax,%ds; mov 0,%al; out %al,$0x10;
 * mov $0xe000,%ax; mov %ax,%ds; mov 0,%al; out %al,$0x10 */
static const uint8_t code[] = {0xb8, 0x00, 0x20, 0x8e, 0xd8, 0xa0, 0x00, 0x00, 0xe6, 0x10,
                               0xb8, 0x00, 0xe0, 0x8e, 0xd8, 0xa0, 0x00, 0x00, 0xe6, 0x10};

/* A compressed snapshot of a guest in a memfd; each page differs from the others. */
static int
save_guest(void)
{
    struct guest guest;
    vmkit_snapshot *snapshot = NULL;
    vmkit_snapshot_options *options = NULL;
    int fd = memfd_create("test", MFD_CLOEXEC);
    guest_new_real(&guest, code, sizeof code);
    for (uint32_t at = FIRST; at < GUEST_MEMORY; at += 8) {
        uint64_t value = (at + UINT64_C(1)) * UINT64_C(0x9e3779b97f4a7c15);
        memcpy(guest.memory + at, &value, sizeof value);
    }
    guest.memory[FIRST] = 0x11;
    guest.memory[SECOND] = 0x22;
    ASSERT_OK(vmkit_vm_snapshot(guest.vm, NULL, 0, &snapshot, &error));
    ASSERT_OK(vmkit_snapshot_options_new(&options, &error));
    ASSERT_OK(vmkit_snapshot_options_set_compression(options, 1, &error));
    ASSERT_OK(vmkit_snapshot_save_fd(snapshot, fd, options, &error));
    vmkit_snapshot_options_unref(options);
    vmkit_snapshot_unref(snapshot);
    guest_free(&guest);
    return fd;
}

static vmkit_snapshot *
open_lazily(int fd)
{
    vmkit_snapshot *snapshot = NULL;
    vmkit_snapshot_options *options = NULL;
    ASSERT_OK(vmkit_snapshot_options_new(&options, &error));
    ASSERT_OK(vmkit_snapshot_options_set_lazy(options, 1, &error));
    ASSERT_OK(vmkit_snapshot_open_fd(fd, 0, options, &snapshot, &error));
    vmkit_snapshot_options_unref(options);
    return snapshot;
}

static struct guest
restore(vmkit_snapshot *snapshot)
{
    struct guest guest = {.exit.size = sizeof guest.exit};
    void *memory = NULL;
    ASSERT_OK(
        vmkit_vm_new_from_snapshot(snapshot, NULL, 0, &guest.vcpu, 1, NULL, &guest.vm, &error));
    ASSERT_OK(vmkit_vm_get_pointer(guest.vm, 0, GUEST_MEMORY, &memory, &error));
    guest.memory = memory;
    return guest;
}

START_TEST(a_guest_finds_what_was_saved)
{
    int fd = save_guest();
    vmkit_snapshot *snapshot = open_lazily(fd);
    struct guest one = restore(snapshot), other = restore(snapshot);
    vmkit_snapshot_unref(snapshot);
    close(fd);
    struct guest *guests[] = {&one, &other};
    for (int i = 0; i < 2; i++) {
        guest_run(guests[i], VMKIT_EXIT_PIO);
        ck_assert_uint_eq(guests[i]->exit.value, 0x11);
        guest_run(guests[i], VMKIT_EXIT_PIO);
        ck_assert_uint_eq(guests[i]->exit.value, 0x22);
    }
    ck_assert_mem_eq(one.memory + FIRST, other.memory + FIRST, GUEST_MEMORY - FIRST);
    guest_free(&one);
    guest_free(&other);
}
END_TEST

/* Change a byte of the last compressed pages: what the guest touches second, but not first. */
static void
damage(int fd)
{
    struct vmkit_snapshot_file_info info = {.size = sizeof info};
    vmkit_snapshot_file *file = NULL;
    uint8_t byte = 0;
    ASSERT_OK(vmkit_snapshot_file_open_fd(fd, 0, &file, &error));
    ASSERT_OK(vmkit_snapshot_file_get_info(file, &info, &error));
    vmkit_snapshot_file_unref(file);
    off_t at = (off_t)(PAGE + info.stored_bytes - info.stored_bytes / 20);
    ck_assert_int_eq(pread(fd, &byte, 1, at), 1);
    byte ^= 0x10;
    ck_assert_int_eq(pwrite(fd, &byte, 1, at), 1);
}

START_TEST(a_guest_that_touches_damage_has_failed)
{
    vmkit_error *error = NULL;
    int fd = save_guest();
    damage(fd);
    vmkit_snapshot *snapshot = open_lazily(fd);
    struct guest guest = restore(snapshot);
    guest_run(&guest, VMKIT_EXIT_PIO);
    ck_assert_uint_eq(guest.exit.value, 0x11);
    /* Whoever it is that touches it. */
    for (uint32_t at = SECOND; at < GUEST_MEMORY; at += PAGE)
        (void)*(volatile uint8_t *)(guest.memory + at);
    ck_assert_int_eq(vmkit_vcpu_run(guest.vcpu, &guest.exit, &error), -EIO);
    ck_assert_uint_eq(vmkit_error_get_kind(error), VMKIT_ERROR_BAD_SNAPSHOT);
    vmkit_error_unref(error);
    error = NULL;
    /* And stays so. */
    ck_assert_int_eq(vmkit_vcpu_run(guest.vcpu, &guest.exit, &error), -EIO);
    ck_assert_ptr_nonnull(strstr(vmkit_error_get_message(error), "damaged"));
    vmkit_error_unref(error);
    guest_free(&guest);
    vmkit_snapshot_unref(snapshot);
    close(fd);
}
END_TEST

START_TEST(a_child_of_fork_2_reads_nothing_and_leaves_all_as_it_was)
{
    int fd = save_guest(), status = 0;
    vmkit_snapshot *snapshot = open_lazily(fd);
    struct guest guest = restore(snapshot);
    pid_t child = fork();
    if (child == 0) {
        uint64_t word = 0;
        int result = vmkit_vm_read(guest.vm, SECOND, &word, sizeof word, NULL);
        vmkit_snapshot_unref(snapshot);
        guest_free(&guest);
        _exit(result == -EFAULT || result == -EIO ? 0 : 1);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    guest_run(&guest, VMKIT_EXIT_PIO);
    ck_assert_uint_eq(guest.exit.value, 0x11);
    guest_run(&guest, VMKIT_EXIT_PIO);
    ck_assert_uint_eq(guest.exit.value, 0x22);
    guest_free(&guest);
    vmkit_snapshot_unref(snapshot);
    close(fd);
}
END_TEST

START_TEST(lazy_is_yes_or_no)
{
    vmkit_snapshot_options *options = NULL;
    ASSERT_OK(vmkit_snapshot_options_new(&options, &error));
    ck_assert_int_eq(vmkit_snapshot_options_set_lazy(options, 2, NULL), -EINVAL);
    ck_assert_int_eq(vmkit_snapshot_options_set_lazy(NULL, 1, NULL), -EINVAL);
    vmkit_snapshot_options_unref(options);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("vm_snapshot_lazy");
    TCase *tcase = tcase_create("lazy");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, a_guest_finds_what_was_saved);
    tcase_add_test(tcase, a_guest_that_touches_damage_has_failed);
    tcase_add_test(tcase, a_child_of_fork_2_reads_nothing_and_leaves_all_as_it_was);
    tcase_add_test(tcase, lazy_is_yes_or_no);
    suite_add_tcase(suite, tcase);
    return suite;
}
