/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main() of every C test. It prints one TAP line a case to standard output, whatever the
 * environment says; Check's own variables (CK_FORK, CK_RUN_CASE, CK_TIMEOUT_MULTIPLIER) still hold.
 * The exit status is 1 when a case failed, and also when there was none.
 */
#include "harness.h"

#include <stdlib.h>

unsigned
harness_get_step(unsigned step)
{
    return getenv("CK_TIMEOUT_MULTIPLIER") == NULL ? 1 : step;
}

int
main(void)
{
    SRunner *runner = srunner_create(make_suite());
    int failed, run;

    srunner_set_tap(runner, "-");
    srunner_run_all(runner, CK_SILENT);
    failed = srunner_ntests_failed(runner);
    run = srunner_ntests_run(runner);
    srunner_free(runner);
    return failed == 0 && run > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
