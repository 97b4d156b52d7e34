/* SPDX-License-Identifier: Apache-2.0 */
/* Mappings of files that the program changes: as on Linux, in /tmp and in a folder of the host. */
#include "harness.h"
#include "sandbox_guest.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

START_TEST(what_a_program_does_to_a_file_is_seen_through_its_mappings)
{
    static struct guest_result native, result;
    char folder[] = "/dev/shm/vmkit-mapped-XXXXXX";
    ck_assert_ptr_nonnull(mkdtemp(folder));
    guest_run_native(&guest_probe, (const char *[]){"probe", "mapped", folder, NULL}, &native);
    ck_assert_uint_eq(native.outcome.kind, VMKIT_OUTCOME_EXITED);
    ck_assert_int_eq(native.outcome.exit_status, 0);
    ck_assert_ptr_nonnull(strstr(native.output, "SIGBUS 2"));

    vmkit_sandbox_config *config = guest_configure(
        &guest_probe, (const char *[]){"probe", "mapped", _i == 0 ? "/tmp" : "/folder", NULL});
    ck_assert_int_eq(
        vmkit_sandbox_config_add_folder(config, folder, "/folder", VMKIT_FOLDER_WRITABLE, NULL), 0);
    guest_run_config(config, &result);
    vmkit_sandbox_config_unref(config);
    ck_assert_int_eq(rmdir(folder), 0);
    ck_assert_str_eq(result.output, native.output);
    ck_assert_uint_eq(result.outcome.kind, VMKIT_OUTCOME_EXITED);
    ck_assert_int_eq(result.outcome.exit_status, 0);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("sandbox_mapped");
    TCase *tcase = tcase_create("sandbox_mapped");
    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, what_a_program_does_to_a_file_is_seen_through_its_mappings, 0, 2);
    suite_add_tcase(suite, tcase);
    return suite;
}
