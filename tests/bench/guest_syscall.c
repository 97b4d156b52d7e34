/* SPDX-License-Identifier: Apache-2.0 */
/* System calls that do nothing, without end; after each BENCH_BATCH of them a byte of output. */
#include "guest.h"

#include <sys/syscall.h>
#include <unistd.h>

int
main(void)
{
    for (;;) {
        for (int i = 0; i < BENCH_BATCH; i++)
            syscall(SYS_getpid);
        if (write(1, "p", 1) != 1)
            return 1;
    }
}
