/* SPDX-License-Identifier: Apache-2.0 */
/* What a driver and a device share that are compiled apart from each other: the one with Linux's
 * headers, the other with the library's. Guest addresses are those of the process. */
#ifndef VMK_TEST_LINK_H
#define VMK_TEST_LINK_H

#include <stdbool.h>
#include <stdint.h>

struct link {
    uint32_t size; /* descriptors */
    bool event_index;
    bool indirect;
    uint64_t total; /* buffers that go through */
    int kick;       /* eventfd, to the device */
    int call;       /* eventfd, to the driver */
    void *descriptors;
    void *available;
    void *used;
    uint64_t kicks;
    uint64_t calls;
};

/* Make the rings, as Linux's driver lays them out. */
void
linux_driver_init(struct link *link);

/* Send all buffers through and check what comes back; NULL, or what went wrong. */
const char *
linux_driver_run(struct link *link);

#endif
