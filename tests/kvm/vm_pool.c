/* SPDX-License-Identifier: Apache-2.0 */
/* Pools of warm raw VMs. */
#include "guest.h"

#include <vmkit/pool.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define MILLISECOND UINT64_C(1000000)
#define SECOND UINT64_C(1000000000)

#define MARK UINT64_C(0x40000)
#define VCPUS 2

/* Fill a segment (mov $0x2000,%ax; mov %ax,%es; xor %di,%di; mov $0x8000,%cx; mov $0xa55a,%ax; cld;
 * rep stosw), then out %al,$0x10; jmp to that. */
static const uint8_t code[] = {0xb8, 0x00, 0x20, 0x8e, 0xc0, 0x31, 0xff, 0xb9, 0x00, 0x80,
                               0xb8, 0x5a, 0xa5, 0xfc, 0xf3, 0xab, 0xe6, 0x10, 0xeb, 0xfc};

/* What a VM is like that nobody has used. */
struct state {
    struct vmkit_x86_regs regs[VCPUS];
    struct vmkit_x86_sregs sregs[VCPUS];
    struct vmkit_x86_debug_regs debug[VCPUS];
    uint8_t *xsave[VCPUS];
    uint8_t *memory;
};

struct taken {
    vmkit_vm *vm;
    vmkit_vcpu *vcpus[VCPUS];
};

static vmkit_snapshot *snapshot;
static struct state fresh;
static uint64_t xsave_size;

static struct state
state_new(void)
{
    struct state state = {.memory = calloc(1, GUEST_MEMORY)};
    for (int i = 0; i < VCPUS; i++)
        state.xsave[i] = calloc(1, xsave_size);
    return state;
}

static void
state_free(struct state *state)
{
    for (int i = 0; i < VCPUS; i++)
        free(state->xsave[i]);
    free(state->memory);
}

/* How many calls failed. */
static unsigned
look(const struct taken *taken, struct state *state)
{
    unsigned wrong = vmkit_vm_read(taken->vm, 0, state->memory, GUEST_MEMORY, NULL) != 0;
    for (int i = 0; i < VCPUS; i++) {
        vmkit_vcpu *vcpu = taken->vcpus[i];
        state->regs[i].size = sizeof state->regs[i];
        state->sregs[i].size = sizeof state->sregs[i];
        state->debug[i].size = sizeof state->debug[i];
        wrong += vmkit_vcpu_get_x86_regs(vcpu, &state->regs[i], NULL) != 0;
        wrong += vmkit_vcpu_get_x86_sregs(vcpu, &state->sregs[i], NULL) != 0;
        wrong += vmkit_vcpu_get_x86_debug_regs(vcpu, &state->debug[i], NULL) != 0;
        wrong += vmkit_vcpu_get_x86_xsave(vcpu, state->xsave[i], xsave_size, NULL) != 0;
    }
    return wrong;
}

/* How much of a VM is not as in one that nobody has used. */
static unsigned
count_differences(const struct taken *taken)
{
    struct state state = state_new();
    unsigned wrong = look(taken, &state);
    wrong += memcmp(state.memory, fresh.memory, GUEST_MEMORY) != 0;
    for (int i = 0; i < VCPUS; i++) {
        wrong += memcmp(&state.regs[i], &fresh.regs[i], sizeof fresh.regs[i]) != 0;
        wrong += memcmp(&state.sregs[i], &fresh.sregs[i], sizeof fresh.sregs[i]) != 0;
        wrong += memcmp(&state.debug[i], &fresh.debug[i], sizeof fresh.debug[i]) != 0;
        wrong += memcmp(state.xsave[i], fresh.xsave[i], xsave_size) != 0;
    }
    state_free(&state);
    return wrong;
}

static void
setup(void)
{
    struct guest guest;
    struct taken taken = {0};
    vmkit_vcpu *second = NULL;
    guest_new_real(&guest, code, sizeof code);
    ASSERT_OK(vmkit_vcpu_new(guest.vm, 1, &second, &error));
    ASSERT_OK(vmkit_vcpu_set_x86_real_mode(second, GUEST_CODE, GUEST_STACK, &error));
    ASSERT_OK(vmkit_vm_snapshot(guest.vm, NULL, 0, &snapshot, &error));
    vmkit_vcpu_unref(second);
    guest_free(&guest);
    ASSERT_OK(
        vmkit_vm_new_from_snapshot(snapshot, NULL, 0, taken.vcpus, VCPUS, NULL, &taken.vm, &error));
    xsave_size = vmkit_vcpu_get_x86_xsave_size(taken.vcpus[0]);
    fresh = state_new();
    ck_assert_uint_eq(look(&taken, &fresh), 0);
    for (int i = 0; i < VCPUS; i++)
        vmkit_vcpu_unref(taken.vcpus[i]);
    vmkit_vm_unref(taken.vm);
}

static void
teardown(void)
{
    state_free(&fresh);
    vmkit_snapshot_unref(snapshot);
}

static vmkit_pool *
new_pool(uint32_t warm, uint32_t limit)
{
    vmkit_pool *pool = NULL;
    ASSERT_OK(vmkit_pool_new_vms(snapshot, NULL, warm, limit, &pool, &error));
    return pool;
}

static struct taken
take(vmkit_pool *pool)
{
    struct taken taken = {0};
    uint32_t count = 0;
    ASSERT_OK(vmkit_pool_take_vm(pool, 60 * SECOND, taken.vcpus, VCPUS, &count, &taken.vm, &error));
    ck_assert_uint_eq(count, VCPUS);
    ck_assert_ptr_nonnull(taken.vm);
    return taken;
}

static void
give_back(vmkit_pool *pool, const struct taken *taken)
{
    ASSERT_OK(vmkit_pool_give_back_vm(pool, taken->vm, &error));
}

static struct vmkit_pool_stats
stats_of(vmkit_pool *pool)
{
    struct vmkit_pool_stats stats = {.size = sizeof stats};
    ASSERT_OK(vmkit_pool_get_stats(pool, &stats, &error));
    return stats;
}

/* Let the guest fill its memory. How many calls failed. */
static unsigned
run(const struct taken *taken, int number)
{
    struct vmkit_exit exit = {.size = sizeof exit};
    return vmkit_vcpu_run(taken->vcpus[number], &exit, NULL) != 0 || exit.reason != VMKIT_EXIT_PIO;
}

/* Leave something in every kind of register and, in whichever way, of memory. */
static void
soil(const struct taken *taken)
{
    static const char text[] = "the first tenant's";
    void *pointer = NULL;
    ck_assert_uint_eq(run(taken, 0), 0);
    for (uint64_t at = 0x50000; at < 0x60000; at += 0x1000)
        ASSERT_OK(vmkit_vm_write(taken->vm, at + 0x123, text, sizeof text, &error));
    ASSERT_OK(vmkit_vm_get_pointer(taken->vm, 0x80000, 0x20000, &pointer, &error));
    memset(pointer, 0x77, 0x20000);
    for (int i = 0; i < VCPUS; i++) {
        struct vmkit_x86_regs regs = {.size = sizeof regs};
        struct vmkit_x86_sregs sregs = {.size = sizeof sregs};
        struct vmkit_x86_debug_regs debug = {.size = sizeof debug};
        vmkit_vcpu *vcpu = taken->vcpus[i];
        uint8_t *xsave = calloc(1, xsave_size);
        memset(&regs.rax, 0x5a, sizeof regs - offsetof(struct vmkit_x86_regs, rax));
        regs.rip = GUEST_CODE + 2;
        regs.rflags = 0x202;
        ASSERT_OK(vmkit_vcpu_set_x86_regs(vcpu, &regs, &error));
        ASSERT_OK(vmkit_vcpu_get_x86_sregs(vcpu, &sregs, &error));
        sregs.cr2 = 0x1234567000;
        sregs.fs.base = 0x5000;
        ASSERT_OK(vmkit_vcpu_set_x86_sregs(vcpu, &sregs, &error));
        ASSERT_OK(vmkit_vcpu_get_x86_debug_regs(vcpu, &debug, &error));
        debug.address[0] = debug.address[3] = 0x4321;
        ASSERT_OK(vmkit_vcpu_set_x86_debug_regs(vcpu, &debug, &error));
        ASSERT_OK(vmkit_vcpu_get_x86_xsave(vcpu, xsave, xsave_size, &error));
        memset(xsave + 32, 0x77, 128 + 256);
        xsave[512] |= 3;
        ASSERT_OK(vmkit_vcpu_set_x86_xsave(vcpu, xsave, xsave_size, &error));
        ASSERT_OK(vmkit_vcpu_interrupt(vcpu, 77, &error));
        vmkit_vcpu_kick(vcpu);
        free(xsave);
    }
}

START_TEST(what_a_pool_has_is_taken_and_given_back)
{
    vmkit_pool *pool = new_pool(2, 3);
    struct vmkit_pool_stats stats = stats_of(pool);
    ck_assert_uint_eq(stats.limit, 3);
    ck_assert_uint_eq(stats.idle, 2);
    ck_assert_uint_eq(stats.forks, 2);

    struct taken taken[3];
    for (int i = 0; i < 3; i++) {
        taken[i] = take(pool);
        for (int j = 0; j < i; j++)
            ck_assert_ptr_ne(taken[i].vm, taken[j].vm);
    }
    stats = stats_of(pool);
    ck_assert_uint_eq(stats.idle, 0);
    ck_assert_uint_eq(stats.taken, 3);
    ck_assert_uint_eq(stats.takes, 3);
    ck_assert_uint_eq(stats.forks, 3);

    for (int i = 0; i < 3; i++)
        give_back(pool, &taken[i]);
    stats = stats_of(pool);
    ck_assert_uint_eq(stats.idle, 3);
    ck_assert_uint_eq(stats.taken, 0);
    ck_assert_uint_eq(stats.resets, 3);
    ck_assert_uint_eq(stats.waits, 0);
    ck_assert_uint_eq(stats.discarded, 0);

    /* The warmest comes first, with the vCPUs that it had. */
    struct taken again = take(pool);
    ck_assert_ptr_eq(again.vm, taken[2].vm);
    ck_assert_ptr_eq(again.vcpus[0], taken[2].vcpus[0]);
    ck_assert_ptr_eq(again.vcpus[1], taken[2].vcpus[1]);
    give_back(pool, &again);
    vmkit_pool_unref(pool);
}
END_TEST

START_TEST(nothing_of_a_job_is_there_in_the_next_one)
{
    vmkit_pool *pool = new_pool(1, 1);
    for (int round = 0; round < 4; round++) {
        struct taken taken = take(pool);
        ck_assert_uint_eq(count_differences(&taken), 0);
        soil(&taken);
        /* All of memory, and four kinds of register of each vCPU. */
        ck_assert_uint_eq(count_differences(&taken), 1 + 4 * VCPUS);
        give_back(pool, &taken);
    }
    ck_assert_uint_eq(stats_of(pool).forks, 1);
    ck_assert_uint_eq(stats_of(pool).resets, 4);
    vmkit_pool_unref(pool);
}
END_TEST

START_TEST(the_limit_holds)
{
    vmkit_pool *pool = new_pool(0, 1);
    struct taken taken = take(pool), other = {0};
    ASSERT_FAILS(vmkit_pool_take_vm(pool, 0, other.vcpus, VCPUS, NULL, &other.vm, &error), EAGAIN,
                 VMKIT_ERROR_LIMIT, "all 1 raw VMs");
    ASSERT_FAILS(
        vmkit_pool_take_vm(pool, 20 * MILLISECOND, other.vcpus, VCPUS, NULL, &other.vm, &error),
        EAGAIN, VMKIT_ERROR_LIMIT, "in 20 ms");
    ck_assert_ptr_null(other.vm);
    ck_assert_ptr_null(other.vcpus[0]);
    ck_assert_uint_eq(stats_of(pool).waiting, 0);
    ck_assert_uint_eq(stats_of(pool).waits, 0);
    give_back(pool, &taken);
    taken = take(pool);
    give_back(pool, &taken);
    vmkit_pool_unref(pool);
}
END_TEST

START_TEST(vcpus_without_room_leave_the_vm_in_the_pool)
{
    vmkit_pool *pool = new_pool(1, 1);
    struct taken taken = {0};
    uint32_t count = 0;
    ASSERT_FAILS(vmkit_pool_take_vm(pool, 0, taken.vcpus, 1, &count, &taken.vm, &error), E2BIG,
                 VMKIT_ERROR_LIMIT, "2 vCPUs, and there is room for 1");
    ck_assert_uint_eq(count, VCPUS);
    ck_assert_ptr_null(taken.vm);
    ck_assert_uint_eq(stats_of(pool).idle, 1);
    ck_assert_uint_eq(stats_of(pool).takes, 0);
    vmkit_pool_unref(pool);
}
END_TEST

struct waiter {
    vmkit_pool *pool;
    atomic_uint *served;
    unsigned order;
    int result;
    pthread_t thread;
};

static void *
wait_for_one(void *user_data)
{
    struct waiter *waiter = user_data;
    struct taken taken = {0};
    waiter->result =
        vmkit_pool_take_vm(waiter->pool, UINT64_MAX, taken.vcpus, VCPUS, NULL, &taken.vm, NULL);
    waiter->order = atomic_fetch_add(waiter->served, 1);
    if (waiter->result == 0)
        waiter->result = vmkit_pool_give_back_vm(waiter->pool, taken.vm, NULL);
    return NULL;
}

START_TEST(who_waits_longest_is_served_first)
{
    struct waiter waiters[5];
    atomic_uint served = 0;
    vmkit_pool *pool = new_pool(1, 1);
    struct taken taken = take(pool);
    for (unsigned i = 0; i < 5; i++) {
        waiters[i] = (struct waiter){.pool = pool, .served = &served};
        ck_assert_int_eq(pthread_create(&waiters[i].thread, NULL, wait_for_one, &waiters[i]), 0);
        while (stats_of(pool).waiting != i + 1)
            usleep(100);
    }
    give_back(pool, &taken);
    for (unsigned i = 0; i < 5; i++) {
        pthread_join(waiters[i].thread, NULL);
        ck_assert_int_eq(waiters[i].result, 0);
        ck_assert_uint_eq(waiters[i].order, i);
    }
    ck_assert_uint_eq(stats_of(pool).waits, 5);
    ck_assert_uint_eq(stats_of(pool).forks, 1);
    vmkit_pool_unref(pool);
}
END_TEST

#define THREADS 6
#define LIMIT 3
#define ROUNDS 25

struct worker {
    vmkit_pool *pool;
    uint64_t number;
    unsigned wrong;
    pthread_t thread;
};

/* Each job looks for what others left, leaves its own number, and finds it again. */
static void *
work(void *user_data)
{
    struct worker *worker = user_data;
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct taken taken = {0};
        uint64_t mark = 0;
        if (vmkit_pool_take_vm(worker->pool, UINT64_MAX, taken.vcpus, VCPUS, NULL, &taken.vm,
                               NULL) != 0) {
            worker->wrong++;
            break;
        }
        worker->wrong += count_differences(&taken);
        worker->wrong += vmkit_vm_write(taken.vm, MARK, &worker->number, sizeof mark, NULL) != 0;
        worker->wrong += run(&taken, 0) + run(&taken, 1);
        worker->wrong += vmkit_vm_read(taken.vm, MARK, &mark, sizeof mark, NULL) != 0;
        worker->wrong += mark != worker->number;
        worker->wrong += vmkit_pool_give_back_vm(worker->pool, taken.vm, NULL) != 0;
    }
    vmkit_pool_unref(worker->pool);
    return NULL;
}

START_TEST(no_vm_is_handed_out_twice)
{
    struct worker workers[THREADS] = {0};
    vmkit_pool *pool = new_pool(1, LIMIT);
    for (unsigned i = 0; i < THREADS; i++) {
        workers[i].pool = vmkit_pool_ref(pool);
        workers[i].number = i + 1;
        ck_assert_int_eq(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(workers[i].thread, NULL);
        ck_assert_uint_eq(workers[i].wrong, 0);
    }
    struct vmkit_pool_stats stats = stats_of(pool);
    ck_assert_uint_eq(stats.takes, THREADS * ROUNDS);
    ck_assert_uint_eq(stats.resets, THREADS * ROUNDS);
    ck_assert_uint_eq(stats.discarded, 0);
    ck_assert_uint_eq(stats.taken, 0);
    ck_assert_uint_eq(stats.waiting, 0);
    ck_assert_uint_le(stats.forks, LIMIT);
    ck_assert_uint_eq(stats.idle, stats.forks);
    vmkit_pool_unref(pool);
}
END_TEST

static int
say_that_it_runs(void *user_data, vmkit_vcpu *vcpu, struct vmkit_access *access)
{
    atomic_store((atomic_bool *)user_data, true);
    return VMKIT_HANDLED;
}

static void *
run_for_ever(void *user_data)
{
    struct vmkit_exit exit = {.size = sizeof exit};
    vmkit_vcpu_run(user_data, &exit, NULL);
    return NULL;
}

START_TEST(what_runs_is_not_given_back)
{
    vmkit_pool *pool = new_pool(1, 1);
    struct taken taken = take(pool);
    atomic_bool runs = false;
    pthread_t thread;
    ASSERT_OK(vmkit_vm_add_handler(taken.vm, VMKIT_SPACE_PIO, 0x10, 1, say_that_it_runs, NULL,
                                   &runs, &error));
    ck_assert_int_eq(pthread_create(&thread, NULL, run_for_ever, taken.vcpus[1]), 0);
    while (!atomic_load(&runs))
        usleep(100);
    ASSERT_FAILS(vmkit_pool_give_back_vm(pool, taken.vm, &error), EBUSY, VMKIT_ERROR_BUSY,
                 "vCPU 1 is running");
    ck_assert_uint_eq(stats_of(pool).taken, 1);
    vmkit_vcpu_kick(taken.vcpus[1]);
    pthread_join(thread, NULL);
    give_back(pool, &taken);
    taken = take(pool);
    ck_assert_uint_eq(count_differences(&taken), 0);
    give_back(pool, &taken);
    ck_assert_uint_eq(stats_of(pool).forks, 1);
    vmkit_pool_unref(pool);
}
END_TEST

static void
count_release(void *user_data)
{
    (*(unsigned *)user_data)++;
}

static int
stop(void *user_data, vmkit_vcpu *vcpu, struct vmkit_access *access)
{
    return VMKIT_HANDLED_STOP;
}

START_TEST(handlers_are_not_the_next_ones)
{
    vmkit_pool *pool = new_pool(1, 1);
    unsigned released = 0;
    for (unsigned round = 0; round < 3; round++) {
        struct vmkit_exit exit = {.size = sizeof exit};
        struct taken taken = take(pool);
        /* An access with no handler comes out. */
        ck_assert_uint_eq(run(&taken, 0), 0);
        ASSERT_OK(vmkit_vm_add_handler(taken.vm, VMKIT_SPACE_PIO, 0x10, 1, stop, count_release,
                                       &released, &error));
        ASSERT_OK(vmkit_vcpu_run(taken.vcpus[0], &exit, &error));
        ck_assert_uint_eq(exit.reason, VMKIT_EXIT_STOPPED);
        ck_assert_uint_eq(released, round);
        give_back(pool, &taken);
        ck_assert_uint_eq(released, round + 1);
    }
    ck_assert_uint_eq(stats_of(pool).forks, 1);
    vmkit_pool_unref(pool);
}
END_TEST

static int
answer(void *user_data, vmkit_vcpu *vcpu, struct vmkit_access *access)
{
    return VMKIT_HANDLED;
}

/* Who is told that its handler goes, and adds another one. */
static void
add_again(void *user_data)
{
    ASSERT_OK(
        vmkit_vm_add_handler(user_data, VMKIT_SPACE_PIO, 0x10, 1, answer, NULL, NULL, &error));
}

static void
drop_reference(void *user_data)
{
    vmkit_vm_unref(user_data);
}

START_TEST(a_handler_that_comes_back_is_not_the_next_ones)
{
    vmkit_pool *pool = new_pool(1, 1);
    struct taken taken = take(pool);
    ASSERT_OK(vmkit_vm_add_handler(taken.vm, VMKIT_SPACE_PIO, 0x10, 1, answer, add_again, taken.vm,
                                   &error));
    give_back(pool, &taken);
    ck_assert_uint_eq(stats_of(pool).discarded, 1);
    taken = take(pool);
    ck_assert_uint_eq(run(&taken, 0), 0);
    give_back(pool, &taken);
    vmkit_pool_unref(pool);
}
END_TEST

START_TEST(a_handler_may_hold_the_vm_until_it_goes)
{
    vmkit_pool *pool = new_pool(1, 1);
    struct taken taken = take(pool);
    ASSERT_OK(vmkit_vm_add_handler(taken.vm, VMKIT_SPACE_PIO, 0x10, 1, answer, drop_reference,
                                   vmkit_vm_ref(taken.vm), &error));
    give_back(pool, &taken);
    ck_assert_uint_eq(stats_of(pool).discarded, 0);
    ck_assert_uint_eq(stats_of(pool).resets, 1);
    vmkit_pool_unref(pool);
}
END_TEST

static void
add_region(const struct taken *taken)
{
    vmkit_memory *memory = NULL;
    ASSERT_OK(vmkit_memory_new_anonymous(0x1000, 0, &memory, &error));
    ASSERT_OK(vmkit_vm_add_memory(taken->vm, 0x200000, memory, 0, 0x1000, 0, &error));
    vmkit_memory_unref(memory);
}

static void
remove_region(const struct taken *taken)
{
    ASSERT_OK(vmkit_vm_remove_memory(taken->vm, 0, &error));
}

static void
add_doorbell(const struct taken *taken)
{
    int fd = eventfd(0, EFD_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    ASSERT_OK(vmkit_vm_add_ioeventfd(taken->vm, VMKIT_SPACE_PIO, 0x20, 1, 0, 0, fd, &error));
    close(fd);
}

/* KVM has it on, though nobody else. */
static void
add_vcpu(const struct taken *taken)
{
    vmkit_vcpu *vcpu = NULL;
    ASSERT_OK(vmkit_vcpu_new(taken->vm, VCPUS, &vcpu, &error));
    vmkit_vcpu_unref(vcpu);
}

static void
set_cpuid(const struct taken *taken)
{
    const struct vmkit_x86_cpuid leaf = {.leaf = 0x40000000};
    ASSERT_OK(vmkit_vcpu_set_x86_cpuid(taken->vcpus[1], &leaf, 1, &error));
}

/* What a reset cannot take back. */
static void (*const spoilers[])(const struct taken *) = {add_region, remove_region, add_doorbell,
                                                         add_vcpu, set_cpuid};

START_TEST(what_cannot_be_reset_is_made_anew)
{
    vmkit_pool *pool = new_pool(1, 1);
    struct taken taken = take(pool);
    spoilers[_i](&taken);
    give_back(pool, &taken);
    ck_assert_uint_eq(stats_of(pool).discarded, 1);
    ck_assert_uint_eq(stats_of(pool).resets, 0);
    ck_assert_uint_eq(stats_of(pool).idle, 0);
    taken = take(pool);
    ck_assert_uint_eq(count_differences(&taken), 0);
    ck_assert_uint_eq(run(&taken, 0), 0);
    ck_assert_uint_eq(stats_of(pool).forks, 2);
    give_back(pool, &taken);
    ck_assert_uint_eq(stats_of(pool).resets, 1);
    vmkit_pool_unref(pool);
}
END_TEST

START_TEST(a_doorbell_that_was_removed_is_no_hindrance)
{
    vmkit_pool *pool = new_pool(1, 1);
    struct taken taken = take(pool);
    int fd = eventfd(0, EFD_CLOEXEC);
    ASSERT_OK(vmkit_vm_add_ioeventfd(taken.vm, VMKIT_SPACE_PIO, 0x20, 1, 0, 0, fd, &error));
    ASSERT_OK(vmkit_vm_remove_ioeventfd(taken.vm, VMKIT_SPACE_PIO, 0x20, 1, 0, 0, fd, &error));
    close(fd);
    give_back(pool, &taken);
    ck_assert_uint_eq(stats_of(pool).resets, 1);
    vmkit_pool_unref(pool);
}
END_TEST

START_TEST(what_somebody_else_refers_to_is_not_handed_out_again)
{
    vmkit_pool *pool = new_pool(1, 1);
    struct taken taken = take(pool);
    vmkit_vm_ref(taken.vm);
    give_back(pool, &taken);
    ck_assert_uint_eq(stats_of(pool).discarded, 1);
    struct taken next = take(pool);
    ck_assert_ptr_ne(next.vm, taken.vm);
    /* It is its holder's alone now, without the vCPUs, which were lent. */
    ASSERT_OK(vmkit_vm_write(taken.vm, MARK, "x", 1, &error));
    ck_assert_uint_eq(count_differences(&next), 0);
    ASSERT_INVALID(vmkit_pool_give_back_vm(pool, taken.vm, &error), "not taken from this pool");
    vmkit_vm_unref(taken.vm);

    /* The same of a vCPU, which goes on. */
    vmkit_vcpu_ref(next.vcpus[1]);
    give_back(pool, &next);
    ck_assert_uint_eq(stats_of(pool).discarded, 2);
    ck_assert_uint_eq(run(&next, 1), 0);
    vmkit_vcpu_unref(next.vcpus[1]);
    taken = take(pool);
    ck_assert_uint_eq(count_differences(&taken), 0);
    give_back(pool, &taken);
    ck_assert_uint_eq(stats_of(pool).resets, 1);
    vmkit_pool_unref(pool);
}
END_TEST

START_TEST(what_is_not_the_pools_is_refused)
{
    vmkit_pool *pool = new_pool(1, 1), *other = new_pool(1, 1);
    struct taken taken = take(pool);
    vmkit_vm *own = NULL;
    ASSERT_OK(vmkit_vm_new(NULL, &own, &error));
    ASSERT_INVALID(vmkit_pool_give_back_vm(pool, own, &error), "not taken");
    ASSERT_INVALID(vmkit_pool_give_back_vm(other, taken.vm, &error), "not taken");
    give_back(pool, &taken);
    vmkit_vm_unref(own);
    vmkit_pool_unref(other);
    vmkit_pool_unref(pool);
}
END_TEST

START_TEST(a_pool_of_vms_is_none_of_sandboxes)
{
    vmkit_pool *pool = new_pool(1, 1), *made = NULL;
    vmkit_sandbox *sandbox = NULL;
    ASSERT_FAILS(vmkit_pool_take(pool, 0, &sandbox, &error), ENOTSUP, VMKIT_ERROR_WRONG_STATE,
                 "one of raw VMs, not of sandboxes");
    ck_assert_ptr_null(sandbox);
    ASSERT_FAILS(vmkit_pool_new(snapshot, NULL, 0, 1, &made, &error), ENOTSUP,
                 VMKIT_ERROR_WRONG_STATE, "of a raw VM");
    ck_assert_uint_eq(stats_of(pool).idle, 1);
    vmkit_pool_unref(pool);
}
END_TEST

/* The VM, a vCPU to which there is a reference, and the pool. */
START_TEST(vms_vcpus_and_pools_go_in_any_order)
{
    for (unsigned order = 0; order < 6; order++) {
        static const char orders[6][3] = {"vcp", "vpc", "cvp", "cpv", "pvc", "pcv"};
        vmkit_pool *pool = new_pool(2, 2);
        struct taken taken = take(pool);
        vmkit_vcpu_ref(taken.vcpus[1]);
        for (int i = 0; i < 3; i++) {
            switch (orders[order][i]) {
            case 'v':
                ASSERT_OK(vmkit_vm_write(taken.vm, MARK, "x", 1, &error));
                vmkit_vm_unref(taken.vm);
                break;
            case 'c':
                ck_assert_uint_eq(run(&taken, 1), 0);
                vmkit_vcpu_unref(taken.vcpus[1]);
                break;
            default:
                vmkit_pool_unref(pool);
            }
        }
    }
}
END_TEST

/* One that is released keeps its place. */
START_TEST(a_vm_that_is_released_is_still_counted)
{
    vmkit_pool *pool = new_pool(0, 2);
    struct taken taken = take(pool);
    vmkit_vm_unref(taken.vm);
    ck_assert_uint_eq(stats_of(pool).taken, 1);
    taken = take(pool);
    ASSERT_FAILS(vmkit_pool_take_vm(pool, 0, taken.vcpus, VCPUS, NULL, &taken.vm, &error), EAGAIN,
                 VMKIT_ERROR_LIMIT, "all 2 raw VMs");
    give_back(pool, &taken);
    vmkit_pool_unref(pool);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("vm_pool");
    TCase *tcase = tcase_create("vm_pool");

    tcase_set_timeout(tcase, 250);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, what_a_pool_has_is_taken_and_given_back);
    tcase_add_test(tcase, nothing_of_a_job_is_there_in_the_next_one);
    tcase_add_test(tcase, the_limit_holds);
    tcase_add_test(tcase, vcpus_without_room_leave_the_vm_in_the_pool);
    tcase_add_test(tcase, who_waits_longest_is_served_first);
    tcase_add_test(tcase, no_vm_is_handed_out_twice);
    tcase_add_test(tcase, what_runs_is_not_given_back);
    tcase_add_test(tcase, handlers_are_not_the_next_ones);
    tcase_add_test(tcase, a_handler_that_comes_back_is_not_the_next_ones);
    tcase_add_test(tcase, a_handler_may_hold_the_vm_until_it_goes);
    tcase_add_loop_test(tcase, what_cannot_be_reset_is_made_anew, 0,
                        sizeof spoilers / sizeof spoilers[0]);
    tcase_add_test(tcase, a_doorbell_that_was_removed_is_no_hindrance);
    tcase_add_test(tcase, what_somebody_else_refers_to_is_not_handed_out_again);
    tcase_add_test(tcase, what_is_not_the_pools_is_refused);
    tcase_add_test(tcase, a_pool_of_vms_is_none_of_sandboxes);
    tcase_add_test(tcase, vms_vcpus_and_pools_go_in_any_order);
    tcase_add_test(tcase, a_vm_that_is_released_is_still_counted);
    suite_add_tcase(suite, tcase);
    return suite;
}
