/* SPDX-License-Identifier: Apache-2.0 */
/* Sandboxes in processes that were started oddly, or have less than usual. */
#include "forbid.h"
#include "harness.h"
#include "sandbox_guest.h"

#include <vmkit/vmkit.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NOBODY 65534

static vmkit_sandbox *
make_sandbox(const char *const *arguments)
{
    vmkit_sandbox *sandbox = NULL;
    vmkit_sandbox_config *config = guest_configure(&guest_probe, arguments);
    ck_assert_int_eq(vmkit_sandbox_new(config, &sandbox, NULL), 0);
    vmkit_sandbox_config_unref(config);
    return sandbox;
}

static void
assert_exits(vmkit_sandbox *sandbox, int status)
{
    struct vmkit_sandbox_outcome outcome = {.size = sizeof outcome};
    vmkit_error *error = NULL;
    int result = vmkit_sandbox_run(sandbox, &outcome, &error);
    ck_assert_msg(result == 0, "%d: %s", result, vmkit_error_get_message(error));
    ck_assert_uint_eq(outcome.kind, VMKIT_OUTCOME_EXITED);
    ck_assert_int_eq(outcome.exit_status, status);
    vmkit_sandbox_unref(sandbox);
}

/* The limit of tasks means nothing to root. */
static void
become_nobody(void)
{
    if (geteuid() != 0)
        return;
    ck_assert_int_eq(setgroups(0, NULL), 0);
    ck_assert_int_eq(setgid(NOBODY), 0);
    ck_assert_int_eq(setuid(NOBODY), 0);
    /* What looks for leaks at the end traces this process. */
    ck_assert_int_eq(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0), 0);
}

static void
set_limit(__rlimit_resource_t which, rlim_t value)
{
    struct rlimit limit;
    ck_assert_int_eq(getrlimit(which, &limit), 0);
    limit.rlim_cur = value < limit.rlim_max ? value : limit.rlim_max;
    ck_assert_int_eq(setrlimit(which, &limit), 0);
}

/* A run that the host is short of something for has not begun, and is made again. */
START_TEST(a_host_without_a_further_task_is_an_error_and_the_program_runs_later)
{
    struct vmkit_sandbox_outcome outcome = {.size = sizeof outcome};
    vmkit_error *error = NULL;
    vmkit_sandbox *sandbox = make_sandbox((const char *const[]){"probe", "exit", "5", NULL});
    become_nobody();
    set_limit(RLIMIT_NPROC, 1);
    int result = vmkit_sandbox_run(sandbox, &outcome, &error);
    set_limit(RLIMIT_NPROC, RLIM_INFINITY);
    if (result == 0) {
        /* A kernel that needs none. */
        ck_assert_int_eq(outcome.exit_status, 5);
        vmkit_sandbox_unref(sandbox);
        return;
    }
    ck_assert_int_eq(result, -EAGAIN);
    ck_assert_uint_eq(vmkit_error_get_kind(error), VMKIT_ERROR_LIMIT);
    ck_assert_ptr_nonnull(strstr(vmkit_error_get_message(error), "RLIMIT_NPROC"));
    vmkit_error_unref(error);
    assert_exits(sandbox, 5);
}
END_TEST

START_TEST(a_host_without_room_for_signals_is_an_error_and_the_program_runs_later)
{
    struct vmkit_sandbox_outcome outcome = {.size = sizeof outcome};
    vmkit_sandbox *sandbox = make_sandbox((const char *const[]){"probe", "exit", "6", NULL});
    set_limit(RLIMIT_SIGPENDING, 0);
    ck_assert_int_eq(vmkit_sandbox_run(sandbox, &outcome, NULL), -EAGAIN);
    set_limit(RLIMIT_SIGPENDING, RLIM_INFINITY);
    assert_exits(sandbox, 6);
}
END_TEST

START_TEST(a_limit_of_file_sizes_below_the_program_starts_it_all_the_same)
{
    set_limit(RLIMIT_FSIZE, 4096);
    assert_exits(make_sandbox((const char *const[]){"probe", "exit", "7", NULL}), 7);
}
END_TEST

static const int refusals[] = {EPERM, ENOSYS};

/* What a sandbox needs to be made, and says when a filter forbids it. */
static const struct {
    long number;
    const char *part;
} needed_to_make[] = {
    {SYS_eventfd2, "eventfd(2)"},
    {SYS_openat2, "the folder at guest path \"/host\" needs openat2(2)"},
    {SYS_getrandom, "getrandom(2)"},
};

START_TEST(a_sandbox_without_a_call_that_it_needs_is_an_error)
{
    vmkit_sandbox *sandbox = NULL;
    vmkit_error *error = NULL;
    int err = refusals[_i % 2];
    vmkit_sandbox_config *config =
        guest_configure(&guest_probe, (const char *const[]){"probe", "exit", "0", NULL});
    ck_assert_int_eq(vmkit_sandbox_config_add_folder(config, "/", "/host", 0, NULL), 0);
    forbid_call(needed_to_make[_i / 2].number, err);
    ck_assert_int_lt(vmkit_sandbox_new(config, &sandbox, &error), 0);
    ck_assert_msg(strstr(vmkit_error_get_message(error), needed_to_make[_i / 2].part) != NULL, "%s",
                  vmkit_error_get_message(error));
    ck_assert_uint_ne(vmkit_error_get_kind(error), VMKIT_ERROR_OUT_OF_MEMORY);
    vmkit_error_unref(error);
    vmkit_sandbox_config_unref(config);
}
END_TEST

/* What makes things faster is done without. */
START_TEST(a_sandbox_runs_without_the_calls_that_it_can_do_without)
{
    static const long numbers[] = {SYS_memfd_create, SYS_madvise, SYS_membarrier, SYS_userfaultfd,
                                   SYS_process_vm_readv};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        forbid_call(numbers[i], refusals[_i]);
    assert_exits(make_sandbox((const char *const[]){"probe", "exit", "9", NULL}), 9);
}
END_TEST

/* The program spins: a timer that was not set would never end it. */
START_TEST(a_limit_of_time_that_no_timer_can_hold_is_an_error)
{
    struct vmkit_sandbox_outcome outcome = {.size = sizeof outcome};
    vmkit_sandbox *sandbox = NULL;
    vmkit_error *error = NULL;
    vmkit_sandbox_config *config =
        guest_configure(&guest_probe, (const char *const[]){"probe", "spin", NULL});
    vmkit_sandbox_config_set_wall_time_limit(config, 100000000, NULL);
    ck_assert_int_eq(vmkit_sandbox_new(config, &sandbox, NULL), 0);
    forbid_call(SYS_timer_settime, refusals[_i]);
    ck_assert_int_lt(vmkit_sandbox_run(sandbox, &outcome, &error), 0);
    ck_assert_ptr_nonnull(strstr(vmkit_error_get_message(error), "timer"));
    ck_assert_uint_eq(vmkit_error_get_kind(error), VMKIT_ERROR_IO);
    vmkit_error_unref(error);
    vmkit_sandbox_unref(sandbox);
    vmkit_sandbox_config_unref(config);
}
END_TEST

/* The sanitizers need more memory and mappings than these leave. */
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

/* Memory that was made read-only for a moment cannot become writable again. */
START_TEST(a_limit_of_writable_memory_that_comes_late_stops_nothing)
{
    vmkit_sandbox *sandbox = make_sandbox((const char *const[]){"probe", "reprotect", NULL});
    set_limit(RLIMIT_DATA, 1 << 20);
    assert_exits(sandbox, 0);
}
END_TEST

static rlim_t
count_pages(void)
{
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(fscanf(file, "%lu", &pages), 1);
    fclose(file);
    return pages;
}

START_TEST(every_limit_of_address_space_is_a_clean_error_or_enough)
{
    struct rlimit before;
    int failures = 0, result = -1;
    vmkit_sandbox_config *config =
        guest_configure(&guest_probe, (const char *const[]){"probe", "exit", "0", NULL});
    vmkit_sandbox_config_set_memory_limit(config, 8 << 20, NULL);
    ck_assert_int_eq(getrlimit(RLIMIT_AS, &before), 0);
    for (rlim_t more = 0; result < 0; more += 1 << 18) {
        vmkit_sandbox *sandbox = NULL;
        vmkit_error *error = NULL;
        set_limit(RLIMIT_AS, 4096 * count_pages() + more);
        result = vmkit_sandbox_new(config, &sandbox, &error);
        ck_assert_int_eq(setrlimit(RLIMIT_AS, &before), 0);
        if (result < 0) {
            failures++;
            ck_assert_msg(result == -ENOMEM, "%d: %s", result, vmkit_error_get_message(error));
            ck_assert_uint_eq(vmkit_error_get_kind(error), VMKIT_ERROR_OUT_OF_MEMORY);
            vmkit_error_unref(error);
        } else {
            assert_exits(sandbox, 0);
        }
    }
    ck_assert_int_ge(failures, 10);
    vmkit_sandbox_config_unref(config);
}
END_TEST

struct mappings {
    uint8_t *area;
    size_t pages; /* every second one is a mapping of its own */
    size_t used;
};

/* Use up the mappings that the host gives a process. */
static void
use_up(struct mappings *mappings)
{
    FILE *file = fopen("/proc/sys/vm/max_map_count", "r");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(fscanf(file, "%zu", &mappings->pages), 1);
    fclose(file);
    mappings->area = mmap(NULL, mappings->pages * 4096, PROT_NONE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    ck_assert_ptr_ne(mappings->area, MAP_FAILED);
    while (mprotect(mappings->area + mappings->used * 4096, 4096, PROT_READ) == 0) {
        mappings->used += 2;
        ck_assert_uint_lt(mappings->used, mappings->pages);
    }
}

static void
give_one_back(struct mappings *mappings)
{
    ck_assert_uint_ge(mappings->used, 2);
    mappings->used -= 2;
    ck_assert_int_eq(mprotect(mappings->area + mappings->used * 4096, 4096, PROT_NONE), 0);
}

START_TEST(a_host_without_mappings_is_an_error_that_does_not_blame_the_program)
{
    struct mappings mappings = {.used = 0};
    int failures = 0, result = -1;
    vmkit_sandbox_config *config =
        guest_configure(&guest_probe, (const char *const[]){"probe", "exit", "0", NULL});
    vmkit_sandbox *sandbox = NULL;
    /* So that the heap has what it needs. */
    ck_assert_int_eq(vmkit_sandbox_new(config, &sandbox, NULL), 0);
    assert_exits(sandbox, 0);
    use_up(&mappings);
    for (; result < 0 && failures < 100; give_one_back(&mappings)) {
        vmkit_error *error = NULL;
        result = vmkit_sandbox_new(config, &sandbox, &error);
        if (result == 0)
            break;
        failures++;
        ck_assert_msg(result == -ENOMEM, "%d: %s", result, vmkit_error_get_message(error));
        ck_assert_uint_eq(vmkit_error_get_kind(error), VMKIT_ERROR_OUT_OF_MEMORY);
        vmkit_error_unref(error);
    }
    ck_assert_int_eq(result, 0);
    ck_assert_int_ge(failures, 2);
    assert_exits(sandbox, 0);
    munmap(mappings.area, mappings.pages * 4096);
    vmkit_sandbox_config_unref(config);
}
END_TEST

#endif

START_TEST(no_descriptor_of_a_sandbox_takes_the_place_of_a_closed_stream)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        close(fd);
    vmkit_sandbox *sandbox = make_sandbox((const char *const[]){"probe", "exit", "8", NULL});
    int made = 0;
    for (int fd = 0; fd < 64; fd++) {
        int flags = fcntl(fd, F_GETFD);
        if (fd <= STDERR_FILENO)
            ck_assert_int_eq(flags, -1);
        made += flags == FD_CLOEXEC;
    }
    ck_assert_int_ge(made, 4);
    assert_exits(sandbox, 8);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("sandbox_surroundings");
    TCase *tcase = tcase_create("sandbox_surroundings");
    tcase_set_timeout(tcase, 20);
    tcase_add_test(tcase, a_host_without_a_further_task_is_an_error_and_the_program_runs_later);
    tcase_add_test(tcase, a_host_without_room_for_signals_is_an_error_and_the_program_runs_later);
    tcase_add_test(tcase, a_limit_of_file_sizes_below_the_program_starts_it_all_the_same);
    tcase_add_loop_test(tcase, a_sandbox_without_a_call_that_it_needs_is_an_error, 0,
                        2 * sizeof needed_to_make / sizeof needed_to_make[0]);
    tcase_add_loop_test(tcase, a_sandbox_runs_without_the_calls_that_it_can_do_without, 0, 2);
    tcase_add_loop_test(tcase, a_limit_of_time_that_no_timer_can_hold_is_an_error, 0, 2);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    tcase_add_test(tcase, a_limit_of_writable_memory_that_comes_late_stops_nothing);
    tcase_add_test(tcase, every_limit_of_address_space_is_a_clean_error_or_enough);
    tcase_add_test(tcase, a_host_without_mappings_is_an_error_that_does_not_blame_the_program);
#endif
    tcase_add_test(tcase, no_descriptor_of_a_sandbox_takes_the_place_of_a_closed_stream);
    suite_add_tcase(suite, tcase);
    return suite;
}
