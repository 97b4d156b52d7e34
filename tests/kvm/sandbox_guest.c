/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox_guest.h"

#include <check.h>
#include <cpuid.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SECOND UINT64_C(1000000000)

#define STACK 65536
#define GUARD 65536

static uint64_t
clock_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * SECOND + (uint64_t)now.tv_nsec;
}

bool
guest_is_emulated_by_qemu(void)
{
    unsigned eax, ebx, ecx, edx;
    __cpuid(0x40000000, eax, ebx, ecx, edx);
    return ebx == 0x54474354 && ecx == 0x43544743 && edx == 0x47435447;
}

uint64_t
guest_now_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

uint64_t
guest_cpu_ns(void)
{
    return clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

static void
give_up(const char *what, vmkit_error *error)
{
    ck_abort_msg("%s: %s", what, error == NULL ? "?" : vmkit_error_get_message(error));
}

static int64_t
take_output(void *user_data, const void *data, uint64_t size)
{
    struct guest_result *result = user_data;
    uint64_t room = sizeof result->output - 1 - result->size;
    memcpy(result->output + result->size, data, size < room ? size : room);
    result->size += size < room ? size : room;
    return (int64_t)size;
}

vmkit_sandbox_config *
guest_configure(const struct guest_image *image, const char *const *arguments)
{
    vmkit_sandbox_config *config = NULL;
    ck_assert_int_eq(vmkit_sandbox_config_new(&config, NULL), 0);
    ck_assert_int_eq(vmkit_sandbox_config_set_program_memory(
                         config, image->data, (uint64_t)(image->end - image->data), NULL),
                     0);
    ck_assert_int_eq(vmkit_sandbox_config_set_arguments(config, arguments, NULL), 0);
    return config;
}

struct small_run {
    vmkit_sandbox *sandbox;
    struct vmkit_sandbox_outcome *outcome;
    int result;
    vmkit_error *error;
};

static void *
run_small(void *data)
{
    struct small_run *run = data;
    run->result = vmkit_sandbox_run(run->sandbox, run->outcome, &run->error);
    return NULL;
}

/* On a thread with the stack that vmkit_sandbox_run() promises to get by with, above a page that
 * nobody may touch. The sanitizers take more for themselves: there, on this thread. */
static void
run_guest(vmkit_sandbox *sandbox, struct vmkit_sandbox_outcome *outcome)
{
    struct small_run run = {.sandbox = sandbox, .outcome = outcome};
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    run_small(&run);
#else
    pthread_attr_t attributes;
    pthread_t thread;
    uint8_t *stack = mmap(NULL, GUARD + STACK, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    ck_assert_ptr_ne(stack, MAP_FAILED);
    ck_assert_int_eq(mprotect(stack, GUARD, PROT_NONE), 0);
    ck_assert_int_eq(pthread_attr_init(&attributes), 0);
    ck_assert_int_eq(pthread_attr_setstack(&attributes, stack + GUARD, STACK), 0);
    ck_assert_int_eq(pthread_create(&thread, &attributes, run_small, &run), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    pthread_attr_destroy(&attributes);
    munmap(stack, GUARD + STACK);
#endif
    if (run.result < 0)
        give_up("run", run.error);
}

void
guest_run_config(vmkit_sandbox_config *config, struct guest_result *result)
{
    vmkit_sandbox *sandbox = NULL;
    vmkit_error *error = NULL;
    memset(result, 0, sizeof *result);
    result->outcome.size = sizeof result->outcome;
    result->stats.size = sizeof result->stats;
    vmkit_sandbox_config_set_output_callback(config, VMKIT_STREAM_STDOUT, take_output, result,
                                             NULL);
    vmkit_sandbox_config_set_output_callback(config, VMKIT_STREAM_STDERR, take_output, result,
                                             NULL);
    if (vmkit_sandbox_new(config, &sandbox, &error) < 0)
        give_up("new", error);
    run_guest(sandbox, &result->outcome);
    ck_assert_int_eq(vmkit_sandbox_get_stats(sandbox, &result->stats, NULL), 0);
    vmkit_sandbox_unref(sandbox);
    result->output[result->size] = '\0';
}

void
guest_run(const struct guest_image *image, const char *const *arguments,
          struct guest_result *result)
{
    vmkit_sandbox_config *config = guest_configure(image, arguments);
    vmkit_sandbox_config_set_wall_time_limit(config, 60 * SECOND, NULL);
    guest_run_config(config, result);
    vmkit_sandbox_config_unref(config);
}

/* In the child: a process like the one that the sandbox shows. */
static void
execute_native(const struct guest_image *image, const char *const *arguments, int output)
{
    int program = memfd_create("guest", MFD_CLOEXEC);
    sigset_t none;
    size_t size = (size_t)(image->end - image->data);
    if (write(program, image->data, size) != (ssize_t)size)
        _exit(125);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    for (int signal = 1; signal < 32; signal++)
        signal != SIGKILL &&signal != SIGSTOP ? sigaction(signal, &(struct sigaction){0}, NULL) : 0;
    dup2(open("/dev/null", O_RDONLY), STDIN_FILENO);
    dup2(output, STDOUT_FILENO);
    dup2(output, STDERR_FILENO);
    fexecve(program, (char *const *)(uintptr_t)arguments, (char *const[]){NULL});
    _exit(126);
}

void
guest_run_native(const struct guest_image *image, const char *const *arguments,
                 struct guest_result *result)
{
    int ends[2], status;
    memset(result, 0, sizeof *result);
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0)
        execute_native(image, arguments, ends[1]);
    close(ends[1]);
    for (;;) {
        ssize_t n =
            read(ends[0], result->output + result->size, sizeof result->output - 1 - result->size);
        if (n <= 0)
            break;
        result->size += (size_t)n;
    }
    close(ends[0]);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    if (WIFEXITED(status)) {
        result->outcome.kind = VMKIT_OUTCOME_EXITED;
        result->outcome.exit_status = WEXITSTATUS(status);
    } else {
        result->outcome.kind = VMKIT_OUTCOME_SIGNALLED;
        result->outcome.signal = WTERMSIG(status);
    }
}

void
guest_check_same(const char *const *arguments)
{
    struct guest_result *results = calloc(2, sizeof *results);
    ck_assert_ptr_nonnull(results);
    guest_run_native(&guest_probe, arguments, &results[0]);
    guest_run(&guest_probe, arguments, &results[1]);
    ck_assert_str_eq(results[1].output, results[0].output);
    ck_assert_uint_eq(results[1].outcome.kind, results[0].outcome.kind);
    ck_assert_int_eq(results[1].outcome.exit_status, results[0].outcome.exit_status);
    ck_assert_int_eq(results[1].outcome.signal, results[0].outcome.signal);
    free(results);
}

void
guest_check_status(const char *const *arguments, int status)
{
    struct guest_result *result = calloc(1, sizeof *result);
    ck_assert_ptr_nonnull(result);
    guest_run(&guest_probe, arguments, result);
    if (result->outcome.kind != VMKIT_OUTCOME_EXITED || result->outcome.exit_status != status)
        ck_abort_msg("%s: kind %u, status %d, signal %d at 0x%llx, ip 0x%llx: %s", arguments[1],
                     result->outcome.kind, result->outcome.exit_status, result->outcome.signal,
                     (unsigned long long)result->outcome.fault_address,
                     (unsigned long long)result->outcome.instruction_pointer, result->output);
    free(result);
}
