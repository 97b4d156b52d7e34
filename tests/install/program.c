/* SPDX-License-Identifier: Apache-2.0 */
/* The smallest embedder: built by tests/install/run against the installed library. */
#include <vmkit/vmkit.h>

#include <stdio.h>
#include <string.h>

int
main(void)
{
    vmkit_sandbox_config *config = NULL;
    vmkit_error *error = NULL;
    int result;

    if (vmkit_get_version() != VMKIT_VERSION) {
        fprintf(stderr, "headers and library differ in their version\n");
        return 1;
    }
    if (vmkit_sandbox_config_new(&config, &error) != 0) {
        fprintf(stderr, "%s\n", vmkit_error_get_message(error));
        return 1;
    }
    result = vmkit_sandbox_config_set_program_path(config, "", &error);
    if (result >= 0 || strlen(vmkit_error_get_message(error)) == 0) {
        fprintf(stderr, "an empty path was taken\n");
        return 1;
    }
    printf("an empty path: %s\n", vmkit_error_get_message(error));
    vmkit_error_unref(error);
    vmkit_sandbox_config_unref(config);
    return 0;
}
