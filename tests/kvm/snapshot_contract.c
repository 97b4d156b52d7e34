/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the public functions promise of snapshots, their files, pools, calls and requests when all
 * goes well: who owns what, in whichever order it is released, on however many threads; and that
 * what a call could not make is left as it was. From the shared library alone. The guest of the
 * sandboxes is a C++ program (guests/words_cxx.cpp).
 */
#include "../api/assert.h"
#include "sandbox_guest.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#define THREADS 4
#define ROUNDS 8

/* How often the program had "word1" when the snapshot was taken. */
#define BEFORE 10

static vmkit_sandbox_config *config;
static vmkit_snapshot_options *options;

static void
set_up(void)
{
    config = guest_configure(&guest_words_cxx, (const char *const[]){"words", NULL});
    ASSERT_OK(vmkit_sandbox_config_set_memory_limit(config, 16 << 20, &error));
    ASSERT_OK(vmkit_sandbox_config_set_wall_time_limit(config, UINT64_C(60000000000), &error));
    ASSERT_OK(vmkit_snapshot_options_new(&options, &error));
    ASSERT_OK(vmkit_snapshot_options_set_compression(options, 1, &error));
}

static void
tear_down(void)
{
    vmkit_snapshot_options_unref(options);
    vmkit_sandbox_config_unref(config);
}

static void
run(vmkit_sandbox *sandbox, enum vmkit_outcome_kind kind)
{
    struct vmkit_sandbox_outcome outcome = {.size = sizeof outcome};
    ASSERT_OK(vmkit_sandbox_run(sandbox, &outcome, &error));
    ck_assert_uint_eq(outcome.kind, kind);
}

static vmkit_sandbox *
make_sandbox(void)
{
    vmkit_sandbox *sandbox = NULL;
    ASSERT_OK(vmkit_sandbox_new(config, &sandbox, &error));
    run(sandbox, VMKIT_OUTCOME_READY);
    return sandbox;
}

static vmkit_snapshot *
take(vmkit_sandbox *sandbox)
{
    vmkit_snapshot *snapshot = NULL;
    ASSERT_OK(vmkit_sandbox_snapshot(sandbox, &snapshot, &error));
    return snapshot;
}

/* The same, of which nothing is left but this. */
static vmkit_snapshot *
take_one(void)
{
    vmkit_sandbox *sandbox = make_sandbox();
    vmkit_snapshot *snapshot = take(sandbox);
    vmkit_sandbox_unref(sandbox);
    return snapshot;
}

static vmkit_snapshot *
save_and_open(vmkit_snapshot *snapshot)
{
    vmkit_snapshot *opened = NULL;
    int fd = memfd_create("snapshot", MFD_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    ASSERT_OK(vmkit_snapshot_save_fd(snapshot, fd, options, &error));
    ASSERT_OK(vmkit_snapshot_open_fd(fd, 0, NULL, &opened, &error));
    close(fd);
    return opened;
}

static vmkit_sandbox *
fork_one(vmkit_snapshot *snapshot)
{
    vmkit_sandbox *sandbox = NULL;
    ASSERT_OK(vmkit_snapshot_fork(snapshot, config, &sandbox, &error));
    return sandbox;
}

static void
call(vmkit_sandbox *sandbox, const char *symbol, const char *text, uint32_t result_kind,
     struct vmkit_sandbox_outcome *outcome)
{
    const struct vmkit_argument argument = {.kind = VMKIT_ARGUMENT_IN,
                                            .data = (void *)(uintptr_t)text,
                                            .size = text == NULL ? 0 : strlen(text) + 1};
    const struct vmkit_call record = {.size = sizeof record,
                                      .symbol = symbol,
                                      .arguments = &argument,
                                      .argument_count = text == NULL ? 0 : 1,
                                      .result_kind = result_kind};
    ASSERT_OK(vmkit_sandbox_call(sandbox, &record, outcome, &error));
    ck_assert_uint_eq(outcome->kind, VMKIT_OUTCOME_RETURNED);
}

static uint64_t
count_word(vmkit_sandbox *sandbox, const char *word)
{
    struct vmkit_sandbox_outcome outcome = {.size = sizeof outcome};
    call(sandbox, "count_word", word, VMKIT_RESULT_INTEGER, &outcome);
    return outcome.result;
}

START_TEST(a_program_in_cxx_is_called_and_serves)
{
    vmkit_sandbox *sandbox = make_sandbox();
    struct vmkit_sandbox_outcome outcome = {.size = sizeof outcome};
    uint64_t reply = 0, reply_size = 0;
    const struct vmkit_request request = {.size = sizeof request,
                                          .data = "word1",
                                          .data_size = 5,
                                          .reply = &reply,
                                          .reply_capacity = sizeof reply};
    ck_assert_uint_eq(count_word(sandbox, "word1"), BEFORE + 1);
    ck_assert_uint_eq(count_word(sandbox, "another"), 1);
    ck_assert_uint_eq(count_word(sandbox, ""), 0);
    call(sandbox, "get_mean", NULL, VMKIT_RESULT_DOUBLE, &outcome);
    ck_assert(outcome.real == 1002.0 / 101);
    run(sandbox, VMKIT_OUTCOME_READY);
    for (uint64_t i = 2; i < 50; i++) {
        ASSERT_OK(vmkit_sandbox_request(sandbox, &request, &reply_size, &outcome, &error));
        ck_assert_uint_eq(outcome.kind, VMKIT_OUTCOME_REPLIED);
        ck_assert_uint_eq(reply, BEFORE + i);
    }
    ck_assert_uint_eq(count_word(sandbox, "word1"), BEFORE + 50);
    run(sandbox, VMKIT_OUTCOME_EXITED);
    vmkit_sandbox_unref(sandbox);
}
END_TEST

/* All that there is of one program. */
struct handles {
    vmkit_snapshot *snapshot, *opened;
    vmkit_pool *pool;
    vmkit_sandbox *sandboxes[4]; /* the first, a fork of each snapshot, and the pool's */
    uint64_t counts[4];
};

static struct handles
make_handles(void)
{
    struct handles handles = {.sandboxes = {make_sandbox()}};
    handles.snapshot = take(handles.sandboxes[0]);
    handles.opened = save_and_open(handles.snapshot);
    handles.sandboxes[1] = fork_one(handles.snapshot);
    handles.sandboxes[2] = fork_one(handles.opened);
    ASSERT_OK(vmkit_pool_new(handles.opened, config, 1, 2, &handles.pool, &error));
    ASSERT_OK(vmkit_pool_take(handles.pool, 0, &handles.sandboxes[3], &error));
    return handles;
}

static void
check_handles(struct handles *handles)
{
    for (size_t i = 0; i < 4; i++) {
        if (handles->sandboxes[i] != NULL)
            ck_assert_uint_eq(count_word(handles->sandboxes[i], "word1"),
                              BEFORE + ++handles->counts[i]);
    }
}

/* Release the handle of this number, of seven. */
static void
release(struct handles *handles, size_t number)
{
    if (number < 4) {
        vmkit_sandbox_unref(handles->sandboxes[number]);
        handles->sandboxes[number] = NULL;
    } else if (number == 4) {
        vmkit_snapshot_unref(handles->snapshot);
    } else if (number == 5) {
        vmkit_snapshot_unref(handles->opened);
    } else {
        vmkit_pool_unref(handles->pool);
        handles->pool = NULL;
    }
}

START_TEST(sandboxes_snapshots_and_pools_go_in_any_order)
{
    uint64_t seed = 11;
    for (int round = 0; round < 24; round++) {
        struct handles handles = make_handles();
        size_t order[7] = {0, 1, 2, 3, 4, 5, 6};
        for (size_t i = 6; i > 0; i--) {
            seed = seed * UINT64_C(6364136223846793005) + 1;
            size_t other = (size_t)(seed >> 33) % (i + 1), kept = order[i];
            order[i] = order[other];
            order[other] = kept;
        }
        for (size_t i = 0; i < 7; i++) {
            check_handles(&handles);
            if (order[i] == 3 && handles.pool != NULL) {
                ASSERT_OK(vmkit_pool_give_back(handles.pool, handles.sandboxes[3], &error));
                handles.sandboxes[3] = NULL;
            } else {
                release(&handles, order[i]);
            }
        }
    }
}
END_TEST

#define MEMORY (1u << 20)
#define CODE 0x1000

struct machine {
    vmkit_vm *vm;
    vmkit_vcpu *vcpu;
};

/* A VM whose guest goes to a port with a number that grows. */
static struct machine
make_vm(void)
{
    static const uint8_t code[] = {0x40, 0xe6, 0x10, 0xeb, 0xfb}; /* inc %ax; out %al,$0x10; jmp */
    struct machine machine = {NULL, NULL};
    vmkit_memory *memory = NULL;
    ASSERT_OK(vmkit_vm_new(NULL, &machine.vm, &error));
    ASSERT_OK(vmkit_memory_new_anonymous(MEMORY, 0, &memory, &error));
    ASSERT_OK(vmkit_vm_add_memory(machine.vm, 0, memory, 0, MEMORY, 0, &error));
    vmkit_memory_unref(memory);
    ASSERT_OK(vmkit_vm_write(machine.vm, CODE, code, sizeof code, &error));
    ASSERT_OK(vmkit_vcpu_new(machine.vm, 0, &machine.vcpu, &error));
    ASSERT_OK(vmkit_vcpu_set_x86_real_mode(machine.vcpu, CODE, 2 * CODE, &error));
    return machine;
}

static void
check_vcpu(vmkit_vcpu *vcpu, uint64_t value)
{
    struct vmkit_exit exit = {.size = sizeof exit};
    ASSERT_OK(vmkit_vcpu_run(vcpu, &exit, &error));
    ck_assert_uint_eq(exit.reason, VMKIT_EXIT_PIO);
    ck_assert_uint_eq(exit.value, value);
}

static struct machine
restore(vmkit_snapshot *snapshot)
{
    struct machine machine = {NULL, NULL};
    ASSERT_OK(
        vmkit_vm_new_from_snapshot(snapshot, NULL, 0, &machine.vcpu, 1, NULL, &machine.vm, &error));
    return machine;
}

START_TEST(vms_vcpus_and_snapshots_go_in_any_order)
{
    /* Three machines: the VM first, the vCPU first, and the snapshots between all of them. */
    for (unsigned order = 0; order < 8; order++) {
        struct machine machines[3] = {make_vm()};
        vmkit_snapshot *snapshot = NULL;
        check_vcpu(machines[0].vcpu, 1);
        ASSERT_OK(vmkit_vm_snapshot(machines[0].vm, NULL, 0, &snapshot, &error));
        vmkit_snapshot *opened = save_and_open(snapshot);
        machines[1] = restore(snapshot);
        machines[2] = restore(opened);
        for (unsigned i = 0; i < 3; i++) {
            check_vcpu(machines[i].vcpu, 2);
            if ((order >> i & 1) != 0) {
                vmkit_vm_unref(machines[i].vm);
                check_vcpu(machines[i].vcpu, 3);
                vmkit_vcpu_unref(machines[i].vcpu);
            } else {
                vmkit_vcpu_unref(machines[i].vcpu);
                vmkit_vm_unref(machines[i].vm);
            }
            if (i == 0)
                vmkit_snapshot_unref(snapshot);
            if (i == 1)
                vmkit_snapshot_unref(opened);
        }
    }
}
END_TEST

START_TEST(what_a_failed_call_should_have_made_is_left_as_it_was)
{
    vmkit_sandbox *const no_sandbox = (vmkit_sandbox *)(uintptr_t)0x1111;
    vmkit_snapshot *const no_snapshot = (vmkit_snapshot *)(uintptr_t)0x2222;
    vmkit_vm *const no_vm = (vmkit_vm *)(uintptr_t)0x3333;
    vmkit_vcpu *const no_vcpu = (vmkit_vcpu *)(uintptr_t)0x4444;
    vmkit_pool *const no_pool = (vmkit_pool *)(uintptr_t)0x5555;
    vmkit_sandbox *sandbox = no_sandbox, *template = make_sandbox();
    vmkit_snapshot *opened = no_snapshot, *of_vm = NULL, *of_sandbox = take(template);
    vmkit_vm *vm = no_vm;
    vmkit_vcpu *vcpu = no_vcpu;
    vmkit_pool *pool = no_pool;
    struct machine machine = make_vm();
    ASSERT_OK(vmkit_vm_snapshot(machine.vm, NULL, 0, &of_vm, &error));
    ck_assert_int_eq(vmkit_snapshot_open_path("/none", 0, NULL, &opened, NULL), -ENOENT);
    int fd = memfd_create("empty", MFD_CLOEXEC);
    ck_assert_int_eq(vmkit_snapshot_open_fd(fd, 0, NULL, &opened, NULL), -EINVAL);
    ck_assert_int_eq(vmkit_snapshot_fork(of_vm, NULL, &sandbox, NULL), -ENOTSUP);
    ck_assert_int_eq(vmkit_vm_new_from_snapshot(of_sandbox, NULL, 0, &vcpu, 1, NULL, &vm, NULL),
                     -ENOTSUP);
    ck_assert_int_eq(vmkit_vm_new_from_snapshot(of_vm, NULL, 0, NULL, 0, NULL, &vm, NULL), -E2BIG);
    ck_assert_int_eq(vmkit_pool_new(of_vm, NULL, 1, 1, &pool, NULL), -ENOTSUP);
    run(template, VMKIT_OUTCOME_READY);
    run(template, VMKIT_OUTCOME_EXITED);
    ck_assert_int_eq(vmkit_sandbox_snapshot(template, &opened, NULL), -ENOTSUP);
    ASSERT_OK(vmkit_pool_new(of_sandbox, config, 1, 1, &pool, &error));
    vmkit_sandbox *taken = NULL;
    ASSERT_OK(vmkit_pool_take(pool, 0, &taken, &error));
    ck_assert_int_eq(vmkit_pool_take(pool, 0, &sandbox, NULL), -EAGAIN);
    ck_assert_ptr_eq(opened, no_snapshot);
    ck_assert_ptr_eq(sandbox, no_sandbox);
    ck_assert_ptr_eq(vm, no_vm);
    ck_assert_ptr_eq(vcpu, no_vcpu);
    ASSERT_OK(vmkit_pool_give_back(pool, taken, &error));
    vmkit_pool_unref(pool);
    close(fd);
    vmkit_vcpu_unref(machine.vcpu);
    vmkit_vm_unref(machine.vm);
    vmkit_snapshot_unref(of_vm);
    vmkit_snapshot_unref(of_sandbox);
    vmkit_sandbox_unref(template);
}
END_TEST

static void
on_threads(void *(*work)(void *), void *argument)
{
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, work, argument), 0);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
}

/* With the options of all of them. */
static void *
use_snapshot(void *argument)
{
    for (int i = 0; i < ROUNDS; i++) {
        vmkit_snapshot *own = vmkit_snapshot_ref(argument), *opened = save_and_open(own);
        vmkit_sandbox *forks[] = {fork_one(own), fork_one(opened)};
        vmkit_snapshot_unref(own);
        vmkit_snapshot_unref(opened);
        for (size_t j = 0; j < 2; j++) {
            ck_assert_uint_eq(count_word(forks[j], "word1"), BEFORE + 1);
            ck_assert_uint_eq(count_word(forks[j], "word1"), BEFORE + 2);
            ASSERT_OK(vmkit_sandbox_reset(forks[j], &error));
            ck_assert_uint_eq(count_word(forks[j], "word1"), BEFORE + 1);
            vmkit_sandbox_unref(forks[j]);
        }
    }
    return NULL;
}

START_TEST(threads_save_open_fork_and_reset_one_sandbox_at_once)
{
    vmkit_snapshot *snapshot = take_one();
    on_threads(use_snapshot, snapshot);
    vmkit_snapshot_unref(snapshot);
}
END_TEST

static void *
use_vm_snapshot(void *argument)
{
    for (int i = 0; i < ROUNDS; i++) {
        vmkit_snapshot *opened = save_and_open(argument);
        struct machine machines[] = {restore(argument), restore(opened)};
        vmkit_snapshot_unref(opened);
        for (size_t j = 0; j < 2; j++) {
            check_vcpu(machines[j].vcpu, 2);
            check_vcpu(machines[j].vcpu, 3);
            vmkit_vcpu_unref(machines[j].vcpu);
            vmkit_vm_unref(machines[j].vm);
        }
    }
    return NULL;
}

START_TEST(threads_save_open_and_restore_one_vm_at_once)
{
    vmkit_snapshot *snapshot = NULL;
    struct machine machine = make_vm();
    check_vcpu(machine.vcpu, 1);
    ASSERT_OK(vmkit_vm_snapshot(machine.vm, NULL, 0, &snapshot, &error));
    on_threads(use_vm_snapshot, snapshot);
    check_vcpu(machine.vcpu, 2);
    vmkit_vcpu_unref(machine.vcpu);
    vmkit_vm_unref(machine.vm);
    vmkit_snapshot_unref(snapshot);
}
END_TEST

static void *
call_spin(void *argument)
{
    struct vmkit_sandbox_outcome outcome = {.size = sizeof outcome};
    const struct vmkit_call spin = {.size = sizeof spin, .symbol = "spin"};
    ASSERT_OK(vmkit_sandbox_call(argument, &spin, &outcome, &error));
    ck_assert_uint_eq(outcome.kind, VMKIT_OUTCOME_KILLED);
    return NULL;
}

/* Until the call is in the program, whoever asks for the sandbox is told so. */
static void
wait_until_it_runs(vmkit_sandbox *sandbox)
{
    uint64_t address;
    while (vmkit_sandbox_find_symbol(sandbox, "spin", &address, NULL) == 0)
        usleep(1000);
}

START_TEST(one_whose_call_runs_is_busy_and_its_siblings_are_not)
{
    vmkit_snapshot *snapshot = take_one(), *other = NULL;
    vmkit_sandbox *sandbox = fork_one(snapshot);
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, call_spin, sandbox), 0);
    wait_until_it_runs(sandbox);
    ASSERT_FAILS(vmkit_sandbox_snapshot(sandbox, &other, &error), EBUSY, VMKIT_ERROR_BUSY,
                 "running");
    ASSERT_FAILS(vmkit_sandbox_reset(sandbox, &error), EBUSY, VMKIT_ERROR_BUSY, "running");
    ck_assert_ptr_null(other);
    use_snapshot(snapshot);
    vmkit_sandbox_kill(sandbox);
    pthread_join(thread, NULL);
    ASSERT_OK(vmkit_sandbox_reset(sandbox, &error));
    ck_assert_uint_eq(count_word(sandbox, "word1"), BEFORE + 1);
    vmkit_sandbox_unref(sandbox);
    vmkit_snapshot_unref(snapshot);
}
END_TEST

static void *
use_pool(void *argument)
{
    vmkit_pool *pool = vmkit_pool_ref(argument);
    for (int i = 0; i < ROUNDS * 5; i++) {
        vmkit_sandbox *sandbox = NULL;
        ASSERT_OK(vmkit_pool_take(pool, UINT64_MAX, &sandbox, &error));
        ck_assert_uint_eq(count_word(sandbox, "word1"), BEFORE + 1);
        ck_assert_uint_eq(count_word(sandbox, "a tenant's own"), 1);
        ASSERT_OK(vmkit_pool_give_back(pool, sandbox, &error));
    }
    vmkit_pool_unref(pool);
    return NULL;
}

START_TEST(a_pool_of_a_file_serves_threads)
{
    struct vmkit_pool_stats stats = {.size = sizeof stats};
    vmkit_snapshot *snapshot = take_one(), *opened = save_and_open(snapshot);
    vmkit_pool *pool = NULL;
    vmkit_snapshot_unref(snapshot);
    ASSERT_OK(vmkit_pool_new(opened, config, 1, THREADS - 1, &pool, &error));
    vmkit_snapshot_unref(opened);
    on_threads(use_pool, pool);
    ASSERT_OK(vmkit_pool_get_stats(pool, &stats, &error));
    ck_assert_uint_eq(stats.takes, THREADS * ROUNDS * 5);
    ck_assert_uint_eq(stats.resets, THREADS * ROUNDS * 5);
    ck_assert_uint_eq(stats.taken, 0);
    ck_assert_uint_eq(stats.waiting, 0);
    ck_assert_uint_eq(stats.discarded, 0);
    ck_assert_uint_ge(stats.forks, 1);
    ck_assert_uint_le(stats.forks, THREADS - 1);
    ck_assert_uint_eq(stats.idle, stats.forks);
    vmkit_pool_unref(pool);
}
END_TEST

/* What is mapped from a file would change with it. */
START_TEST(the_file_that_memory_is_mapped_from_is_not_written_over)
{
    vmkit_snapshot *snapshot = NULL, *opened = NULL;
    vmkit_snapshot_file *file = NULL;
    vmkit_sandbox *sandbox = make_sandbox();
    int fd = memfd_create("snapshot", MFD_CLOEXEC), other = memfd_create("other", MFD_CLOEXEC);
    ASSERT_OK(vmkit_sandbox_snapshot(sandbox, &snapshot, &error));
    ASSERT_OK(vmkit_snapshot_save_fd(snapshot, fd, NULL, &error));
    ASSERT_OK(vmkit_snapshot_open_fd(fd, 0, NULL, &opened, &error));
    ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
    ASSERT_FAILS(vmkit_snapshot_save_fd(opened, fd, NULL, &error), EINVAL,
                 VMKIT_ERROR_INVALID_ARGUMENT, "the snapshot's memory is mapped from");
    ASSERT_OK(vmkit_snapshot_options_set_parent(options, opened, &error));
    ASSERT_FAILS(vmkit_snapshot_save_fd(snapshot, fd, options, &error), EINVAL,
                 VMKIT_ERROR_INVALID_ARGUMENT, "its parent's memory is mapped from");
    ASSERT_OK(vmkit_snapshot_options_set_parent(options, NULL, &error));
    ASSERT_OK(vmkit_snapshot_save_fd(opened, other, NULL, &error));
    ASSERT_OK(vmkit_snapshot_file_open_fd(fd, 0, &file, &error));
    ASSERT_FAILS(vmkit_snapshot_file_merge_fd(file, fd, NULL, &error), EINVAL,
                 VMKIT_ERROR_INVALID_ARGUMENT, "which is merged");
    ASSERT_OK(vmkit_snapshot_file_verify(file, NULL, &error));
    vmkit_snapshot_file_unref(file);
    vmkit_snapshot_unref(opened);
    vmkit_snapshot_unref(snapshot);
    vmkit_sandbox_unref(sandbox);
    close(other);
    close(fd);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("snapshot_contract");
    TCase *tcase = tcase_create("contract");

    tcase_set_timeout(tcase, 120);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, a_program_in_cxx_is_called_and_serves);
    tcase_add_test(tcase, sandboxes_snapshots_and_pools_go_in_any_order);
    tcase_add_test(tcase, vms_vcpus_and_snapshots_go_in_any_order);
    tcase_add_test(tcase, what_a_failed_call_should_have_made_is_left_as_it_was);
    tcase_add_test(tcase, threads_save_open_fork_and_reset_one_sandbox_at_once);
    tcase_add_test(tcase, threads_save_open_and_restore_one_vm_at_once);
    tcase_add_test(tcase, one_whose_call_runs_is_busy_and_its_siblings_are_not);
    tcase_add_test(tcase, a_pool_of_a_file_serves_threads);
    tcase_add_test(tcase, the_file_that_memory_is_mapped_from_is_not_written_over);
    suite_add_tcase(suite, tcase);
    return suite;
}
