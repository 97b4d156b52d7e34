/* SPDX-License-Identifier: Apache-2.0 */
/* The host probe against a KVM that the test plays. */
#include "harness.h"
#include "vm/host.h"

#include <errno.h>
#include <string.h>

/* _IO(0xae, …) of the kernel's header. */
#define GET_API_VERSION 0xae00
#define CHECK_EXTENSION 0xae03
#define GET_VCPU_MMAP_SIZE 0xae04
#define CAP_IMMEDIATE_EXIT 136

struct fake {
    int open_result;
    int version;
    int missing_capability;
    int failing_request;
    int opened;
    int closed;
};

static int
fake_open(void *context, const char *path)
{
    struct fake *fake = context;
    if (fake->open_result < 0)
        return fake->open_result;
    fake->opened++;
    return 1000;
}

static int
fake_ioctl(void *context, int fd, unsigned long request, uintptr_t argument)
{
    struct fake *fake = context;
    ck_assert_int_eq(fd, 1000);
    if (fake->failing_request != 0 && (unsigned long)fake->failing_request == request)
        return -EIO;
    switch (request) {
    case GET_API_VERSION:
        return fake->version;
    case GET_VCPU_MMAP_SIZE:
        return 12288;
    case CHECK_EXTENSION:
        return fake->missing_capability != 0 && argument == (uintptr_t)fake->missing_capability ? 0
                                                                                                : 1;
    default:
        return 0;
    }
}

static void
fake_close(void *context, int fd)
{
    ck_assert_int_eq(fd, 1000);
    ((struct fake *)context)->closed++;
}

static struct vmkit_host *
probe(struct fake *fake)
{
    struct vmk_kvm_ops ops = {
        .open = fake_open, .ioctl = fake_ioctl, .close = fake_close, .context = fake};
    struct vmkit_host *host = NULL;
    ck_assert_int_eq(vmk_host_probe(&ops, "/dev/fake", false, &host, NULL), 0);
    ck_assert_int_eq(fake->opened, fake->closed);
    return host;
}

static void
assert_probe(struct fake fake, enum vmkit_host_status status, const char *reason,
             const char *advice)
{
    struct vmkit_host *host = probe(&fake);
    ck_assert_int_eq(vmk_host_get_status(host), status);
    ck_assert_str_eq(vmk_host_get_reason(host), reason);
    ck_assert_msg(strstr(vmk_host_get_advice(host), advice) != NULL, "\"%s\" is not in \"%s\"",
                  advice, vmk_host_get_advice(host));
    vmk_host_unref(host);
}

START_TEST(a_kvm_that_offers_all_is_usable)
{
    struct fake fake = {.version = 12};
    struct vmkit_host *host = probe(&fake);
    ck_assert_int_eq(vmk_host_get_status(host), VMKIT_HOST_USABLE);
    ck_assert_int_eq(vmk_host_get_api_version(host), 12);
    ck_assert_uint_eq(vmk_host_get_capabilities(host), 0x7ffffe);
    ck_assert_uint_eq(vmk_host_get_max_vcpus(host), 1);
    ck_assert_int_eq(vmk_host_get_supervisor_mode(host), VMKIT_SUPERVISOR_UNKNOWN);
    ck_assert_str_eq(vmk_host_get_reason(host), "");
    ck_assert_str_eq(vmk_host_get_advice(host), "KVM can be used; nothing has to be done");
    vmk_host_unref(host);
}
END_TEST

START_TEST(a_device_that_is_not_there_is_no_device)
{
    assert_probe((struct fake){.open_result = -ENOENT}, VMKIT_HOST_NO_DEVICE,
                 "/dev/fake is not there: this host has no KVM, or does not show it here",
                 "/dev/fake is not there; ");
}
END_TEST

START_TEST(a_device_that_may_not_be_opened_is_no_permission)
{
    assert_probe((struct fake){.open_result = -EACCES}, VMKIT_HOST_NO_PERMISSION,
                 "/dev/fake may not be opened for reading and writing by this user",
                 "chgrp kvm /dev/fake");
}
END_TEST

START_TEST(another_api_version_is_told)
{
    assert_probe((struct fake){.version = 11}, VMKIT_HOST_WRONG_VERSION,
                 "this host's KVM speaks API version 11, the library speaks 12",
                 "use a newer kernel");
    struct fake fake = {.version = 11};
    struct vmkit_host *host = probe(&fake);
    ck_assert_int_eq(vmk_host_get_api_version(host), 11);
    vmk_host_unref(host);
}
END_TEST

START_TEST(a_capability_that_is_needed_and_missing_is_named)
{
    assert_probe((struct fake){.version = 12, .missing_capability = CAP_IMMEDIATE_EXIT},
                 VMKIT_HOST_MISSING_CAPABILITY,
                 "this host's KVM lacks the capability \"immediate-exit\"", "use a newer kernel");
}
END_TEST

START_TEST(a_device_that_fails_is_broken)
{
    assert_probe((struct fake){.version = 12, .failing_request = GET_VCPU_MMAP_SIZE},
                 VMKIT_HOST_BROKEN, "KVM_GET_VCPU_MMAP_SIZE: Input/output error", "dmesg");
    assert_probe((struct fake){.version = 12, .failing_request = GET_API_VERSION},
                 VMKIT_HOST_BROKEN,
                 "KVM_GET_API_VERSION: this is no KVM device: Input/output error", "dmesg");
}
END_TEST

START_TEST(the_advice_fits_the_surroundings)
{
    struct vmk_host_surroundings around = {0};
    char text[512];
    vmk_host_advise(text, sizeof text, VMKIT_HOST_NO_DEVICE, 0, &around, "/dev/kvm", "");
    ck_assert_ptr_nonnull(strstr(text, "in the firmware's set-up"));
    around.cpu.is_virtual = true;
    vmk_host_advise(text, sizeof text, VMKIT_HOST_NO_DEVICE, 0, &around, "/dev/kvm", "");
    ck_assert_ptr_nonnull(strstr(text, "nested virtualisation"));
    around.cpu.has_virtualization = true;
    vmk_host_advise(text, sizeof text, VMKIT_HOST_NO_DEVICE, 0, &around, "/dev/kvm", "");
    ck_assert_ptr_nonnull(strstr(text, "modprobe kvm_intel"));
    around.in_container = true;
    vmk_host_advise(text, sizeof text, VMKIT_HOST_NO_DEVICE, 0, &around, "/dev/kvm", "");
    ck_assert_ptr_nonnull(strstr(text, "docker run --device /dev/kvm"));
    strcpy(around.device_group, "kvm");
    vmk_host_advise(text, sizeof text, VMKIT_HOST_NO_PERMISSION, 0, &around, "/dev/kvm", "");
    ck_assert_ptr_nonnull(strstr(text, "sudo usermod -aG kvm $USER"));
    vmk_host_advise(text, sizeof text, VMKIT_HOST_USABLE, VMKIT_SUPERVISOR_INTERPRETED, &around,
                    "/dev/kvm", "");
    ck_assert_ptr_nonnull(strstr(text, "programs in sandboxes run natively"));
    vmk_host_advise(text, sizeof text, VMKIT_HOST_UNSUPPORTED_ARCHITECTURE, 0, &around, "/dev/kvm",
                    "this host is arm64");
    ck_assert_str_eq(text, "this host is arm64: use an x86-64 host");
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("host");
    TCase *tcase = tcase_create("host");

    tcase_add_test(tcase, a_kvm_that_offers_all_is_usable);
    tcase_add_test(tcase, a_device_that_is_not_there_is_no_device);
    tcase_add_test(tcase, a_device_that_may_not_be_opened_is_no_permission);
    tcase_add_test(tcase, another_api_version_is_told);
    tcase_add_test(tcase, a_capability_that_is_needed_and_missing_is_named);
    tcase_add_test(tcase, a_device_that_fails_is_broken);
    tcase_add_test(tcase, the_advice_fits_the_surroundings);
    suite_add_tcase(suite, tcase);
    return suite;
}
