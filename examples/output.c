/* SPDX-License-Identifier: Apache-2.0 */
#include "output.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int
output_finish(const char *program, int status, int failed)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    fprintf(stderr, "%s: standard output cannot be written: %s\n", program, strerror(errno));
    return failed;
}
