/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vmkit-run: runs an untrusted static Linux program in a virtual machine of its own.
 *
 * It shows the whole life of a sandbox: a configuration (run-options.c), the sandbox, a second
 * thread that kills it on Ctrl-C, the run on the main thread, the outcome and the statistics. And
 * how a sandbox is put into a file once it has initialised itself, and goes on from there.
 */
#include "output.h"
#include "run-options.h"
#include "run-snapshots.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SYSTEM_CALLS 512

static atomic_int ending_signal;

/* A signal that asks us to end kills the sandbox. */
struct watch {
    vmkit_sandbox *sandbox;
    sigset_t signals;
    pthread_t thread;
};

static void *
wait_for_signal(void *argument)
{
    struct watch *watch = argument;
    int number;

    if (sigwait(&watch->signals, &number) == 0) {
        atomic_store(&ending_signal, number);
        vmkit_sandbox_kill(watch->sandbox);
    }
    return NULL;
}

/* The signals are blocked in every thread, and one waits for them: no handler is needed. */
static bool
watch_begin(struct watch *watch)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action;

    sigemptyset(&watch->signals);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        /* What nohup, or a shell's background job, ignores stays ignored. */
        if (sigaction(numbers[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN)
            sigaddset(&watch->signals, numbers[i]);
    }
    pthread_sigmask(SIG_BLOCK, &watch->signals, NULL);
    return pthread_create(&watch->thread, NULL, wait_for_signal, watch) == 0;
}

static void
watch_end(struct watch *watch)
{
    pthread_cancel(watch->thread);
    pthread_join(watch->thread, NULL);
}

static bool
is_fault(int signal)
{
    return signal == SIGSEGV || signal == SIGBUS || signal == SIGILL || signal == SIGFPE ||
           signal == SIGTRAP;
}

static void
tell_signal(const struct run_options *options, const struct vmkit_sandbox_outcome *outcome)
{
    const char *name = sigabbrev_np(outcome->signal);

    if (options->quiet)
        return;
    if (is_fault(outcome->signal))
        run_complain("%s: ended by SIG%s (%s) at address 0x%" PRIx64
                     ", instruction pointer 0x%" PRIx64,
                     options->program, name, strsignal(outcome->signal), outcome->fault_address,
                     outcome->instruction_pointer);
    else
        run_complain("%s: ended by signal %d (%s%s)", options->program, outcome->signal,
                     name == NULL ? "" : "SIG", name == NULL ? "real-time" : name);
}

static int
tell_limit(const struct run_options *options, uint32_t limit)
{
    static const struct {
        const char *name;
        int status;
    } limits[] = {
        [VMKIT_LIMIT_MEMORY] = {"memory", RUN_SIGNAL + SIGKILL},
        [VMKIT_LIMIT_CPU_TIME] = {"CPU time", RUN_TIME_LIMIT},
        [VMKIT_LIMIT_WALL_TIME] = {"wall time", RUN_TIME_LIMIT},
        [VMKIT_LIMIT_OPEN_FILES] = {"open files", RUN_FAILED},
        [VMKIT_LIMIT_OUTPUT] = {"output", RUN_SIGNAL + SIGXFSZ},
    };
    bool known = limit > 0 && limit < sizeof limits / sizeof limits[0];

    if (!options->quiet)
        run_complain("%s: reached its limit of %s", options->program,
                     known ? limits[limit].name : "something that this program does not know");
    return known ? limits[limit].status : RUN_FAILED;
}

/* Says how the program ended. Returns the status to exit with. */
static int
report_outcome(const struct run_options *options, const struct vmkit_sandbox_outcome *outcome)
{
    switch (outcome->kind) {
    case VMKIT_OUTCOME_EXITED:
        return outcome->exit_status;
    case VMKIT_OUTCOME_SIGNALLED:
        tell_signal(options, outcome);
        return RUN_SIGNAL + outcome->signal;
    case VMKIT_OUTCOME_LIMIT:
        return tell_limit(options, outcome->limit);
    case VMKIT_OUTCOME_KILLED:
        return RUN_SIGNAL + atomic_load(&ending_signal);
    default:
        run_complain("%s: ended in a way that this program does not know (%u)", options->program,
                     outcome->kind);
        return RUN_FAILED;
    }
}

static void
print_system_calls(vmkit_sandbox *sandbox, const char *format, const char *between)
{
    bool first = true;

    for (uint32_t number = 0; number < SYSTEM_CALLS; number++) {
        char unnamed[16];
        const char *name = vmkit_syscall_get_name(number);
        uint64_t count = 0;

        vmkit_sandbox_get_syscall_count(sandbox, number, &count, NULL);
        if (count == 0)
            continue;
        if (name == NULL) {
            snprintf(unnamed, sizeof unnamed, "%" PRIu32, number);
            name = unnamed;
        }
        if (!first)
            fputs(between, stderr);
        fprintf(stderr, format, name, count);
        first = false;
    }
}

static void
print_stats(vmkit_sandbox *sandbox, const struct run_options *options)
{
    struct vmkit_sandbox_stats stats = {.size = sizeof stats};
    vmkit_error *error = NULL;

    if (vmkit_sandbox_get_stats(sandbox, &stats, &error) < 0) {
        run_complain("%s", vmkit_error_get_message(error));
        vmkit_error_unref(error);
        return;
    }
    const struct {
        const char *name, *text;
        uint64_t value;
    } figures[] = {
        {"exits", "exits from the VM", stats.exits},
        {"syscalls", "system calls", stats.syscalls},
        {"unknown_syscalls", "  of them unknown", stats.unknown_syscalls},
        {"page_faults", "page faults", stats.page_faults},
        {"signals", "signals delivered", stats.signals},
        {"cpu_time_ns", "CPU time, ns", stats.cpu_time_ns},
        {"wall_time_ns", "wall time, ns", stats.wall_time_ns},
        {"memory_bytes", "memory, bytes", stats.memory_bytes},
        {"memory_peak_bytes", "  at its peak", stats.memory_peak_bytes},
        {"output_bytes", "output, bytes", stats.output_bytes},
    };
    bool json = options->stats == RUN_STATS_JSON;

    fputs(json ? "{" : "", stderr);
    for (size_t i = 0; i < sizeof figures / sizeof figures[0]; i++)
        fprintf(stderr, json ? "\"%s\":%" PRIu64 "," : "%-20s %14" PRIu64 "\n",
                json ? figures[i].name : figures[i].text, figures[i].value);
    fputs(json ? "\"syscalls_by_name\":{" : "", stderr);
    print_system_calls(sandbox, json ? "\"%s\":%" PRIu64 : "  %-18s %14" PRIu64, json ? "," : "\n");
    fputs(json ? "}}\n" : "\n", stderr);
}

/* What a sandbox that could not be made means for the exit status. */
static int
failure_status(const vmkit_error *error)
{
    return vmkit_error_get_errno(error) == -ENOEXEC ? RUN_NOT_EXECUTABLE : RUN_FAILED;
}

/* What an option of this program, or another one, could do about it. */
static void
complain_and_advise(const struct run_options *options, const vmkit_error *error)
{
    const char *message = vmkit_error_get_message(error), *advice = "";
    if (options->restore != NULL && strstr(message, "needs the host folder") != NULL)
        advice = ", with --ro or --rw";
    run_complain("%s%s", message, advice);
}

/* A sandbox that begins, or one that goes on. */
static int
make_sandbox(const struct run_options *options, vmkit_snapshot *restored,
             vmkit_sandbox **ret_sandbox, vmkit_error **error)
{
    struct vmkit_snapshot_info info = {.size = sizeof info};

    if (restored == NULL)
        return vmkit_sandbox_new(options->config, ret_sandbox, error);
    int result = vmkit_snapshot_get_info(restored, &info, error);
    uint64_t own = info.memory_limit_bytes;
    if (result == 0 && options->memory == 0 && own != 0)
        result = vmkit_sandbox_config_set_memory_limit(
            options->config, own < RUN_RESTORE_MEMORY ? own : RUN_RESTORE_MEMORY, error);
    if (result == 0)
        result = vmkit_snapshot_fork(restored, options->config, ret_sandbox, error);
    return result;
}

/* Writes the sandbox, which is ready, to its file, or what differs from the parent. Returns the
 * status to exit with. */
static int
save(const struct run_options *options, vmkit_snapshot *parent, vmkit_sandbox *sandbox)
{
    vmkit_snapshot *snapshot = NULL;
    vmkit_snapshot_options *saving = NULL;
    vmkit_error *error = NULL;
    int result = vmkit_sandbox_snapshot(sandbox, &snapshot, &error);

    if (result == 0)
        result = vmkit_snapshot_options_new(&saving, &error);
    if (result == 0)
        result = vmkit_snapshot_options_set_parent(saving, parent, &error);
    if (result == 0)
        result = vmkit_snapshot_save_path(snapshot, options->save, saving, &error);
    if (result < 0)
        run_complain("%s: not saved: %s", options->program, vmkit_error_get_message(error));
    vmkit_error_unref(error);
    vmkit_snapshot_options_unref(saving);
    vmkit_snapshot_unref(snapshot);
    return result < 0 ? RUN_FAILED : EXIT_SUCCESS;
}

/* Runs it to its end, or to the first time that it is ready if it is to be saved there. */
static int
run_to_end(const struct run_options *options, vmkit_sandbox *sandbox,
           struct vmkit_sandbox_outcome *outcome, vmkit_error **error)
{
    int result;

    do
        result = vmkit_sandbox_run(sandbox, outcome, error);
    while (result == 0 && outcome->kind == VMKIT_OUTCOME_READY && options->save == NULL);
    return result;
}

static int
finish(const struct run_options *options, vmkit_snapshot *parent, vmkit_sandbox *sandbox,
       const struct vmkit_sandbox_outcome *outcome)
{
    if (options->save == NULL)
        return report_outcome(options, outcome);
    if (outcome->kind == VMKIT_OUTCOME_READY)
        return save(options, parent, sandbox);
    if (outcome->kind != VMKIT_OUTCOME_EXITED)
        report_outcome(options, outcome);
    run_complain("%s: ended without saying that it is ready (vmkit_guest_ready), and %s was not "
                 "written",
                 options->program, options->save);
    return RUN_FAILED;
}

static int
run(const struct run_options *options, const struct run_snapshots *snapshots)
{
    struct vmkit_sandbox_outcome outcome = {.size = sizeof outcome};
    struct watch watch = {.sandbox = NULL};
    vmkit_error *error = NULL;
    int status = RUN_FAILED;

    if (make_sandbox(options, snapshots->restored, &watch.sandbox, &error) < 0) {
        complain_and_advise(options, error);
        status = failure_status(error);
    } else if (!watch_begin(&watch)) {
        run_complain("no thread could be made");
    } else {
        int result = run_to_end(options, watch.sandbox, &outcome, &error);

        watch_end(&watch);
        if (result < 0)
            run_complain("%s: %s", options->program, vmkit_error_get_message(error));
        else
            status = finish(options, snapshots->parent, watch.sandbox, &outcome);
        if (result == 0 && options->stats != RUN_STATS_NONE)
            print_stats(watch.sandbox, options);
    }
    vmkit_error_unref(error);
    vmkit_sandbox_unref(watch.sandbox);
    return status;
}

int
main(int argc, char **argv)
{
    struct run_options options = {.config = NULL};
    struct run_snapshots snapshots = {.restored = NULL};
    int status = run_options_parse(&options, argc, argv);

    if (status == -1)
        status = run_snapshots_open(&snapshots, &options) ? run(&options, &snapshots) : RUN_FAILED;
    run_snapshots_clear(&snapshots);
    run_options_clear(&options);
    return output_finish("vmkit-run", status, RUN_FAILED);
}
