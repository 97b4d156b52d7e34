/* SPDX-License-Identifier: Apache-2.0 */
#include "pause_guest.h"

#include <check.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

vmkit_sandbox_config *pause_config;
vmkit_sandbox *pause_sandbox;
struct vmkit_sandbox_outcome pause_outcome;

static struct {
    pthread_t thread;
    bool started;
    sem_t go, done;
    vmkit_sandbox *target;
    uint64_t delay_ns;
} pauser;

static void *
pause_when_told(void *user_data)
{
    for (;;) {
        sem_wait(&pauser.go);
        if (pauser.target == NULL)
            return NULL;
        const struct timespec delay = {.tv_sec = (time_t)(pauser.delay_ns / 1000000000),
                                       .tv_nsec = (long)(pauser.delay_ns % 1000000000)};
        nanosleep(&delay, NULL);
        vmkit_sandbox_pause(pauser.target);
        sem_post(&pauser.done);
    }
}

void
pause_after(vmkit_sandbox *target, uint64_t delay_ns)
{
    pauser.target = target;
    pauser.delay_ns = delay_ns;
    sem_post(&pauser.go);
}

void
pause_wait(void)
{
    sem_wait(&pauser.done);
}

void
pause_make(const char *how)
{
    memset(&pause_outcome, 0, sizeof pause_outcome);
    pause_outcome.size = sizeof pause_outcome;
    pause_config = guest_configure(&guest_pause, (const char *const[]){"pause", how, NULL});
    vmkit_sandbox_config_set_wall_time_limit(pause_config, 100000 * MILLISECOND, NULL);
    vmkit_sandbox_config_set_memory_limit(pause_config, 16 << 20, NULL);
    ck_assert_int_eq(vmkit_sandbox_new(pause_config, &pause_sandbox, NULL), 0);
    sem_init(&pauser.go, 0, 0);
    sem_init(&pauser.done, 0, 0);
    ck_assert_int_eq(pthread_create(&pauser.thread, NULL, pause_when_told, NULL), 0);
    pauser.started = true;
}

void
pause_tear_down(void)
{
    if (pauser.started) {
        pauser.target = NULL;
        sem_post(&pauser.go);
        pthread_join(pauser.thread, NULL);
    }
    vmkit_sandbox_unref(pause_sandbox);
    vmkit_sandbox_config_unref(pause_config);
}

void
pause_run_any(vmkit_sandbox *sandbox)
{
    vmkit_error *error = NULL;
    int r = vmkit_sandbox_run(sandbox, &pause_outcome, &error);
    ck_assert_msg(r == 0, "%d: %s", r, vmkit_error_get_message(error));
}

void
pause_run(vmkit_sandbox *sandbox, enum vmkit_outcome_kind kind)
{
    pause_run_any(sandbox);
    ck_assert_msg(pause_outcome.kind == (uint32_t)kind,
                  "outcome %u: status %d, signal %d at 0x%llx, limit %u, instruction 0x%llx",
                  pause_outcome.kind, pause_outcome.exit_status, pause_outcome.signal,
                  (unsigned long long)pause_outcome.fault_address, pause_outcome.limit,
                  (unsigned long long)pause_outcome.instruction_pointer);
}

vmkit_snapshot *
pause_take(vmkit_sandbox *sandbox)
{
    vmkit_snapshot *snapshot = NULL;
    vmkit_error *error = NULL;
    int r = vmkit_sandbox_snapshot(sandbox, &snapshot, &error);
    ck_assert_msg(r == 0, "%d: %s", r, vmkit_error_get_message(error));
    return snapshot;
}

uint64_t
pause_read(vmkit_sandbox *sandbox, const char *symbol)
{
    uint64_t address, value;
    ck_assert_int_eq(vmkit_sandbox_find_symbol(sandbox, symbol, &address, NULL), 0);
    ck_assert_int_eq(vmkit_sandbox_read_memory(sandbox, address, &value, sizeof value, NULL), 0);
    return value;
}
