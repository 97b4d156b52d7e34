/* SPDX-License-Identifier: Apache-2.0 */
/* Many raw VMs, one after the other. */
#include "guest.h"
#include "usage.h"

#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

static const uint8_t out_and_halt[] = {0xe6, 0x10, 0xf4}; /* out %al,$0x10; hlt */

static double
now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static int
serve(void *user_data, vmkit_vcpu *vcpu, struct vmkit_access *access)
{
    ++*(int *)user_data;
    return VMKIT_HANDLED;
}

/* Memory of two kinds, a handler, a doorbell, and a run. */
static void
live(int doorbell)
{
    struct guest guest;
    vmkit_memory *memory = NULL;
    int calls = 0;
    guest_new_real(&guest, out_and_halt, sizeof out_and_halt);
    ASSERT_OK(vmkit_memory_new_memfd("many", 4096, 0, &memory, &error));
    ASSERT_OK(vmkit_vm_add_memory(guest.vm, GUEST_MEMORY, memory, 0, 4096, 0, &error));
    vmkit_memory_unref(memory);
    ASSERT_OK(
        vmkit_vm_add_handler(guest.vm, VMKIT_SPACE_PIO, 0x10, 1, serve, NULL, &calls, &error));
    ASSERT_OK(vmkit_vm_add_ioeventfd(guest.vm, VMKIT_SPACE_PIO, 0x20, 1, 0, 0, doorbell, &error));
    guest_run(&guest, VMKIT_EXIT_HALT);
    ck_assert_int_eq(calls, 1);
    guest_free(&guest);
}

/* As many as there is time for, and a few thousand at the most. */
START_TEST(lives_of_a_vm_leave_nothing_behind)
{
    int doorbell = eventfd(0, EFD_CLOEXEC);
    ck_assert_int_ge(doorbell, 0);
    for (int i = 0; i < 10; i++)
        live(doorbell);
    struct usage before = usage_get();
    double end = now() + 3;
    int lives = 0;
    for (; lives < 5000 && (lives < 20 || now() < end); lives++)
        live(doorbell);
    usage_check(&before);
    ck_assert_int_ge(lives, 20);
    close(doorbell);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("vm_many");
    TCase *tcase = tcase_create("vm_many");
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, lives_of_a_vm_leave_nothing_behind);
    suite_add_tcase(suite, tcase);
    return suite;
}
