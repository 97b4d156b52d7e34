/* SPDX-License-Identifier: Apache-2.0 */
#include "assert.h"

#include <errno.h>
#include <signal.h>

START_TEST(a_probe_without_its_arguments_is_invalid)
{
    vmkit_host *host = NULL;
    ASSERT_INVALID(vmkit_host_probe(0, NULL, &error), "ret_host is NULL");
    ASSERT_INVALID(vmkit_host_probe(6, &host, &error), "flags 0x6 are not known");
    ASSERT_INVALID(vmkit_host_probe_path(NULL, 0, &host, &error), "path is NULL");
    ASSERT_INVALID(vmkit_host_probe_path("/dev/kvm", 0, NULL, &error), "ret_host is NULL");
    ASSERT_INVALID(vmkit_host_probe_path("/dev/kvm", 2, &host, &error), "flags 0x2 are not known");
    ck_assert_ptr_null(host);
}
END_TEST

#ifdef __x86_64__
START_TEST(a_device_that_is_not_there_is_said_and_advised_on)
{
    vmkit_host *host = NULL;
    ASSERT_OK(vmkit_host_probe_path("/nowhere/kvm", VMKIT_HOST_PROBE_MEASURE, &host, &error));
    ck_assert_uint_eq(vmkit_host_get_status(host), VMKIT_HOST_NO_DEVICE);
    ck_assert_str_eq(vmkit_host_get_reason(host),
                     "/nowhere/kvm is not there: this host has no KVM, or does not show it here");
    ck_assert_ptr_nonnull(strstr(vmkit_host_get_advice(host), "/nowhere/kvm is not there; "));
    ck_assert_uint_eq(vmkit_host_get_api_version(host), 0);
    ck_assert_uint_eq(vmkit_host_get_max_vcpus(host), 0);
    ck_assert_uint_eq(vmkit_host_get_max_regions(host), 0);
    ck_assert_uint_eq(vmkit_host_get_supervisor_mode(host), VMKIT_SUPERVISOR_UNKNOWN);
    ck_assert_uint_eq(vmkit_host_get_supervisor_instruction_ps(host), 0);
    ck_assert_int_eq(vmkit_host_has_capability(host, VMKIT_CAPABILITY_USER_MEMORY), 0);
    ck_assert_uint_gt(strlen(vmkit_host_get_cpu_vendor(host)), 0);
    vmkit_host_unref(host);
}
END_TEST

START_TEST(a_device_of_another_kind_is_broken)
{
    vmkit_host *host = NULL;
    ASSERT_OK(vmkit_host_probe_path("/dev/null", 0, &host, &error));
    ck_assert_uint_eq(vmkit_host_get_status(host), VMKIT_HOST_BROKEN);
    ck_assert_ptr_nonnull(strstr(vmkit_host_get_reason(host), "this is no KVM device"));
    vmkit_host *again = vmkit_host_ref(host);
    ck_assert_ptr_eq(again, host);
    vmkit_host_unref(host);
    ck_assert_ptr_nonnull(strstr(vmkit_host_get_advice(again), "something else than KVM"));
    vmkit_host_unref(again);
}
END_TEST
#endif

START_TEST(no_host_reads_as_nothing)
{
    ck_assert_uint_eq(vmkit_host_get_status(NULL), 0);
    ck_assert_str_eq(vmkit_host_get_advice(NULL), "");
    ck_assert_str_eq(vmkit_host_get_reason(NULL), "");
    ck_assert_str_eq(vmkit_host_get_cpu_vendor(NULL), "");
    ck_assert_str_eq(vmkit_host_get_cpu_model(NULL), "");
    ck_assert_int_eq(vmkit_host_has_capability(NULL, 1), 0);
    ck_assert_ptr_null(vmkit_host_ref(NULL));
    vmkit_host_unref(NULL);
}
END_TEST

START_TEST(names_do_not_move)
{
    ck_assert_str_eq(vmkit_host_status_get_name(VMKIT_HOST_USABLE), "usable");
    ck_assert_str_eq(vmkit_host_status_get_name(VMKIT_HOST_NO_DEVICE), "no-device");
    ck_assert_str_eq(vmkit_host_status_get_name(VMKIT_HOST_NO_PERMISSION), "no-permission");
    ck_assert_str_eq(vmkit_host_status_get_name(VMKIT_HOST_UNSUPPORTED_ARCHITECTURE),
                     "unsupported-architecture");
    ck_assert_ptr_null(vmkit_host_status_get_name(0));
    ck_assert_ptr_null(vmkit_host_status_get_name(99));
    ck_assert_str_eq(vmkit_supervisor_mode_get_name(VMKIT_SUPERVISOR_NATIVE), "native");
    ck_assert_str_eq(vmkit_supervisor_mode_get_name(VMKIT_SUPERVISOR_INTERPRETED), "interpreted");
    ck_assert_ptr_null(vmkit_supervisor_mode_get_name(3));
    ck_assert_str_eq(vmkit_capability_get_name(VMKIT_CAPABILITY_SYNC_REGS), "sync-regs");
    ck_assert_ptr_null(vmkit_capability_get_name(0));
    for (uint32_t i = 1; i <= VMKIT_CAPABILITY_GUEST_DEBUG; i++)
        ck_assert_ptr_nonnull(vmkit_capability_get_name(i));
    ck_assert_ptr_null(vmkit_capability_get_name(VMKIT_CAPABILITY_GUEST_DEBUG + 1));
}
END_TEST

START_TEST(the_kick_signal_is_a_real_time_signal)
{
    ck_assert_int_eq(vmkit_host_get_kick_signal(), SIGRTMAX - 2);
    ck_assert_int_ge(vmkit_host_get_kick_signal(), SIGRTMIN);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("host");
    TCase *tcase = tcase_create("host");

    tcase_add_test(tcase, a_probe_without_its_arguments_is_invalid);
#ifdef __x86_64__
    tcase_add_test(tcase, a_device_that_is_not_there_is_said_and_advised_on);
    tcase_add_test(tcase, a_device_of_another_kind_is_broken);
#endif
    tcase_add_test(tcase, no_host_reads_as_nothing);
    tcase_add_test(tcase, names_do_not_move);
    tcase_add_test(tcase, the_kick_signal_is_a_real_time_signal);
    suite_add_tcase(suite, tcase);
    return suite;
}
