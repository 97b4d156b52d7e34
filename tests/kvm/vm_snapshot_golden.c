/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files of raw VMs that were kept: they are opened for ever. Each is of a guest in real mode that
 * counts at port 0x80 and stood at 0x34. With VMKIT_TEST_MAKE_GOLDEN the files are written to that
 * folder instead, which is done once for a version of the format.
 */
#include "guest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define STOOD_AT 0x34

/* mov $0,%al; 1: out %al,$0x80; inc %al; jmp 1b */
static const uint8_t counter[] = {0xb0, 0x00, 0xe6, 0x80, 0xfe, 0xc0, 0xeb, 0xfa};

__asm__(".section .rodata\ngolden_bare: .incbin \"" GOLDEN_VM "\"\n"
        "golden_kernel: .incbin \"" GOLDEN_VM_KERNEL "\"\n"
        "golden_end: .byte 0\n.text\n");
extern const uint8_t golden_bare[] __attribute__((visibility("hidden")));
extern const uint8_t golden_kernel[] __attribute__((visibility("hidden")));
extern const uint8_t golden_end[] __attribute__((visibility("hidden")));

static const struct {
    uint32_t controller;
    const char *name;
    const uint8_t *from, *to;
} files[] = {
    {VMKIT_INTERRUPT_CONTROLLER_NONE, "1-vm", golden_bare, golden_kernel},
    {VMKIT_INTERRUPT_CONTROLLER_KERNEL, "1-vm-kernel", golden_kernel, golden_end},
};

static void
run_to(vmkit_vcpu *vcpu, uint64_t value)
{
    struct vmkit_exit exit = {.size = sizeof exit};
    ASSERT_OK(vmkit_vcpu_run(vcpu, &exit, &error));
    ck_assert_uint_eq(exit.reason, VMKIT_EXIT_PIO);
    ck_assert_uint_eq(exit.address, 0x80);
    ck_assert_uint_eq(exit.value, value);
}

static vmkit_snapshot *
take(uint32_t controller)
{
    struct guest guest;
    vmkit_snapshot *snapshot = NULL;
    guest_new(&guest, controller, counter, sizeof counter);
    ASSERT_OK(vmkit_vcpu_new(guest.vm, 0, &guest.vcpu, &error));
    ASSERT_OK(vmkit_vcpu_set_x86_real_mode(guest.vcpu, GUEST_CODE, GUEST_STACK, &error));
    for (uint64_t i = 0; i <= STOOD_AT; i++)
        run_to(guest.vcpu, i);
    ASSERT_OK(vmkit_vm_snapshot(guest.vm, NULL, 0, &snapshot, &error));
    guest_free(&guest);
    return snapshot;
}

static void
make_file(const char *folder, uint32_t controller, const char *name)
{
    char path[1024];
    vmkit_snapshot_options *options = NULL;
    vmkit_snapshot *snapshot = take(controller);
    snprintf(path, sizeof path, "%s/%s.snapshot", folder, name);
    ASSERT_OK(vmkit_snapshot_options_new(&options, &error));
    ASSERT_OK(vmkit_snapshot_options_set_compression(options, 9, &error));
    ASSERT_OK(vmkit_snapshot_save_path(snapshot, path, options, &error));
    vmkit_snapshot_options_unref(options);
    vmkit_snapshot_unref(snapshot);
}

/* It goes on where it stood, or what this host lacks is named. */
static bool
go_on(vmkit_snapshot *snapshot)
{
    vmkit_vm *vm = NULL;
    vmkit_vcpu *vcpu = NULL;
    vmkit_error *refusal = NULL;
    uint32_t count = 0;
    int r = vmkit_vm_new_from_snapshot(snapshot, NULL, 0, &vcpu, 1, &count, &vm, &refusal);
    if (r < 0) {
        ck_assert_int_eq(r, -ENOTSUP);
        ck_assert_uint_eq(vmkit_error_get_kind(refusal), VMKIT_ERROR_KVM_INCAPABLE);
        ck_assert_ptr_nonnull(strstr(vmkit_error_get_message(refusal), "the snapshot's"));
        printf("# %s\n", vmkit_error_get_message(refusal));
        vmkit_error_unref(refusal);
        return false;
    }
    ck_assert_uint_eq(count, 1);
    for (uint64_t i = STOOD_AT + 1; i < STOOD_AT + 10; i++)
        run_to(vcpu, i);
    vmkit_vcpu_unref(vcpu);
    vmkit_vm_unref(vm);
    return true;
}

START_TEST(a_file_of_version_1_is_opened)
{
    const char *folder = getenv("VMKIT_TEST_MAKE_GOLDEN");
    struct vmkit_snapshot_info info = {.size = sizeof info};
    vmkit_snapshot *snapshot = NULL;
    if (folder != NULL)
        make_file(folder, files[_i].controller, files[_i].name);
    int fd = memfd_create("golden", MFD_CLOEXEC);
    size_t size = (size_t)(files[_i].to - files[_i].from);
    ck_assert_int_eq(write(fd, files[_i].from, size), (ssize_t)size);
    ASSERT_OK(vmkit_snapshot_open_fd(fd, 0, NULL, &snapshot, &error));
    ASSERT_OK(vmkit_snapshot_get_info(snapshot, &info, &error));
    ck_assert_uint_eq(info.kind, VMKIT_SNAPSHOT_OF_VM);
    go_on(snapshot);
    vmkit_snapshot_unref(snapshot);
    close(fd);
}
END_TEST

/* What is taken today goes on in the same way, so that a refusal above is the file's host's. */
START_TEST(one_of_today_goes_on)
{
    vmkit_snapshot *snapshot = take(files[_i].controller);
    ck_assert(go_on(snapshot));
    vmkit_snapshot_unref(snapshot);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("vm_snapshot_golden");
    TCase *tcase = tcase_create("vm_snapshot_golden");
    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, a_file_of_version_1_is_opened, 0, 2);
    tcase_add_loop_test(tcase, one_of_today_goes_on, 0, 2);
    suite_add_tcase(suite, tcase);
    return suite;
}
