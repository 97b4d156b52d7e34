/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a program may execute what is on its stack: as its file asks for (PT_GNU_STACK). */
#include "harness.h"
#include "sandbox_guest.h"

#include <vmkit/snapshot.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SECOND UINT64_C(1000000000)
#define LOOPS 2

static const struct guest_image *const images[LOOPS] = {&guest_stack, &guest_stack_executable};
static const char *const rights[LOOPS] = {" rw-p ", " rwxp "};
static struct guest_result result;

/* The program of a loop: 7 from an executable stack, else a fault on the stack. */
static void
check_outcome(const struct vmkit_sandbox_outcome *outcome, int loop)
{
    if (images[loop] == &guest_stack_executable) {
        ck_assert_uint_eq(outcome->kind, VMKIT_OUTCOME_EXITED);
        ck_assert_int_eq(outcome->exit_status, 7);
        return;
    }
    ck_assert_uint_eq(outcome->kind, VMKIT_OUTCOME_SIGNALLED);
    ck_assert_int_eq(outcome->signal, SIGSEGV);
    ck_assert_int_eq(outcome->signal_code, SEGV_ACCERR);
    ck_assert_uint_eq(outcome->fault_address, outcome->instruction_pointer);
}

/* What the line of the stack in /proc/self/maps says. */
static void
check_maps(int loop)
{
    ck_assert_int_eq(result.outcome.exit_status, 0);
    char *end = strstr(result.output, "[stack]");
    ck_assert_msg(end != NULL, "%s", result.output);
    *end = '\0';
    char *line = strrchr(result.output, '\n');
    ck_assert_ptr_nonnull(line);
    ck_assert_msg(strstr(line, rights[loop]) != NULL, "%s", line);
}

START_TEST(a_stack_is_executable_where_the_program_asks_for_it)
{
    static const char *const run[] = {"stack", "run", NULL};
    guest_run(images[_i], run, &result);
    check_outcome(&result.outcome, _i);
    guest_run_native(images[_i], run, &result);
    ck_assert_int_eq(result.outcome.signal, images[_i] == &guest_stack ? SIGSEGV : 0);
    guest_run(images[_i], (const char *const[]){"stack", "maps", NULL}, &result);
    check_maps(_i);
}
END_TEST

static void
write_program(const char *folder, const struct guest_image *image)
{
    char path[64];
    snprintf(path, sizeof path, "%s/program", folder);
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0755);
    ssize_t size = image->end - image->data;
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, image->data, (size_t)size), size);
    close(fd);
}

static void
remove_program(const char *folder)
{
    char path[64];
    snprintf(path, sizeof path, "%s/program", folder);
    unlink(path);
    rmdir(folder);
}

/* From the program without an executable stack to the one with it, and the other way. */
START_TEST(execve_gives_each_program_the_stack_that_it_asks_for)
{
    char folder[] = "/tmp/vmkit-stack-XXXXXX";
    ck_assert_ptr_nonnull(mkdtemp(folder));
    write_program(folder, images[_i]);
    static const char *const commands[] = {"run", "maps"};
    for (int i = 0; i < 2; i++) {
        vmkit_sandbox_config *config =
            guest_configure(images[!_i], (const char *const[]){"stack", "exec", "/programs/program",
                                                               commands[i], NULL});
        vmkit_sandbox_config_set_wall_time_limit(config, 60 * SECOND, NULL);
        ck_assert_int_eq(vmkit_sandbox_config_add_folder(config, folder, "/programs", 0, NULL), 0);
        guest_run_config(config, &result);
        vmkit_sandbox_config_unref(config);
        if (i == 0)
            check_outcome(&result.outcome, _i);
        else
            check_maps(_i);
    }
    remove_program(folder);
}
END_TEST

static void
run_on(vmkit_sandbox *sandbox, int loop)
{
    struct vmkit_sandbox_outcome outcome = {.size = sizeof outcome};
    ck_assert_int_eq(vmkit_sandbox_run(sandbox, &outcome, NULL), 0);
    check_outcome(&outcome, loop);
}

/* Run a fork, and run it again as it was before. */
static void
run_fork(vmkit_snapshot *snapshot, int loop)
{
    vmkit_sandbox *fork = NULL;
    ck_assert_int_eq(vmkit_snapshot_fork(snapshot, NULL, &fork, NULL), 0);
    run_on(fork, loop);
    ck_assert_int_eq(vmkit_sandbox_reset(fork, NULL), 0);
    run_on(fork, loop);
    vmkit_sandbox_unref(fork);
}

START_TEST(a_fork_and_a_restored_program_keep_their_stack)
{
    vmkit_sandbox_config *config =
        guest_configure(images[_i], (const char *const[]){"stack", "ready", NULL});
    vmkit_sandbox_config_set_wall_time_limit(config, 60 * SECOND, NULL);
    vmkit_sandbox *sandbox = NULL;
    vmkit_snapshot *snapshot = NULL, *opened = NULL;
    struct vmkit_sandbox_outcome outcome = {.size = sizeof outcome};
    ck_assert_int_eq(vmkit_sandbox_new(config, &sandbox, NULL), 0);
    ck_assert_int_eq(vmkit_sandbox_run(sandbox, &outcome, NULL), 0);
    ck_assert_uint_eq(outcome.kind, VMKIT_OUTCOME_READY);
    ck_assert_int_eq(vmkit_sandbox_snapshot(sandbox, &snapshot, NULL), 0);
    run_on(sandbox, _i);
    run_fork(snapshot, _i);

    int fd = memfd_create("stack", MFD_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(vmkit_snapshot_save_fd(snapshot, fd, NULL, NULL), 0);
    ck_assert_int_eq(vmkit_snapshot_open_fd(fd, 0, NULL, &opened, NULL), 0);
    close(fd);
    run_fork(opened, _i);
    vmkit_snapshot_unref(opened);
    vmkit_snapshot_unref(snapshot);
    vmkit_sandbox_unref(sandbox);
    vmkit_sandbox_config_unref(config);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("sandbox_stack");
    TCase *tcase = tcase_create("sandbox_stack");

    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(tcase, a_stack_is_executable_where_the_program_asks_for_it, 0, LOOPS);
    tcase_add_loop_test(tcase, execve_gives_each_program_the_stack_that_it_asks_for, 0, LOOPS);
    tcase_add_loop_test(tcase, a_fork_and_a_restored_program_keep_their_stack, 0, LOOPS);
    suite_add_tcase(suite, tcase);
    return suite;
}
