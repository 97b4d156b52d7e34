/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest of functions.c: it makes a table once, which takes a while, and says that it is ready.
 * From then on its function is called, in as many copies of it as the host likes.
 */
#include <vmkit/guest.h>

#include <stdint.h>
#include <string.h>

#define LIMIT 4000000

uint64_t
find_prime(uint64_t number);

static uint8_t composite[LIMIT];
static uint32_t primes[300000];
static uint32_t count, calls;

/* The prime of this number, the first one being number 0, and how often it was asked, in the upper
 * half: in a sandbox that is reset after each call always once. 0 when the table ends before. */
uint64_t
find_prime(uint64_t number)
{
    calls++;
    return number < count ? (uint64_t)calls << 32 | primes[number] : 0;
}

int
main(void)
{
    for (uint64_t i = 2; i < LIMIT; i++) {
        if (composite[i])
            continue;
        if (count < sizeof primes / sizeof primes[0])
            primes[count++] = (uint32_t)i;
        for (uint64_t j = i * i; j < LIMIT; j += i)
            composite[j] = 1;
    }
    vmkit_guest_ready();
    return 0;
}
