/* SPDX-License-Identifier: Apache-2.0 */
/* Functions that do nothing, or next to nothing, to be called. */
#include <vmkit/guest.h>

#define CALLED static __attribute__((used, noinline))

CALLED void
nothing(void)
{
    __asm__ volatile("");
}

CALLED double
half(double value)
{
    return value / 2;
}

CALLED int
first(const unsigned char *bytes)
{
    return bytes[0];
}

int
main(void)
{
    return vmkit_guest_ready() == 0 ? 0 : 1;
}
