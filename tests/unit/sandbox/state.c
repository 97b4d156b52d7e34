/* SPDX-License-Identifier: Apache-2.0 */
/* The process, its signals, timers, mappings and streams, saved and loaded. */
#include "harness.h"
#include "state_guest.h"

#include "sandbox/signal_state.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static vmkit_sandbox_config *config;
static struct state_guest a, b;

static void
set_up(void)
{
    ck_assert_int_eq(vmk_config_new(&config, NULL), 0);
    ck_assert_int_eq(vmk_config_set_program_memory(config, "\177ELF", 4, NULL), 0);
}

static void
tear_down(void)
{
    vmk_config_unref(config);
}

START_TEST(the_process_keeps_what_it_is)
{
    state_start(&a, config);
    a.process.cpu_before_ns = 12345;
    a.process.exits = 9;
    state_call(&a, umask, 077);
    state_call(&a, prctl, PR_SET_NAME, state_string(&a, "another"));
    state_call(&a, prctl, PR_SET_PDEATHSIG, SIGUSR2);
    state_call(&a, setpriority, PRIO_PROCESS, 0, 5);
    const uint64_t limit[2] = {10, 20};
    ck_assert_int_eq(state_call(&a, setrlimit, RLIMIT_NOFILE, state_put(&a, limit, sizeof limit)),
                     0);
    a.process.task.cpu_limit_earliest_ns = 777;
    state_move(&a, &b, config);
    ck_assert_uint_eq(b.process.task.cpu_limit_earliest_ns, 777);
    ck_assert_uint_eq(b.process.pid, 2);
    ck_assert_uint_eq(b.process.uid, 1000);
    ck_assert_uint_eq(b.process.cpu_before_ns, 12345);
    ck_assert_uint_eq(b.process.exits, 0);
    ck_assert_str_eq(b.process.name, "another");
    ck_assert_int_eq(b.process.task.parent_death_signal, SIGUSR2);
    ck_assert_int_eq(state_call(&b, umask, 022), 077);
    ck_assert_int_eq(state_call(&b, getpriority, PRIO_PROCESS, 0), 15);
    uint64_t got[2];
    ck_assert_int_eq(state_call(&b, getrlimit, RLIMIT_NOFILE, STATE_RESULT), 0);
    state_get(&b, STATE_RESULT, got, sizeof got);
    ck_assert_mem_eq(got, limit, sizeof limit);
    state_end(&b);
}
END_TEST

START_TEST(mappings_stay_where_they_are)
{
    state_start(&a, config);
    struct vmk_vma stack = {.start = 0x7ffff0000000,
                            .end = 0x7ffff0010000,
                            .rights = VMK_PAGE_READ | VMK_PAGE_WRITE,
                            .flags = VMK_VMA_STACK};
    struct vmk_vma none = {.start = 0x50000000, .end = 0x50001000, .flags = VMK_VMA_NO_RESERVE};
    ck_assert_int_eq(vmk_space_map(&a.space, &stack), 0);
    ck_assert_int_eq(vmk_space_map(&a.space, &none), 0);
    a.space.brk_start = 0x10000000;
    a.space.brk = 0x10000123;
    a.space.mmap_top = 0x7fff00000000;
    uint64_t committed = a.space.vmas.committed, mapped = a.space.vmas.mapped;
    state_move(&a, &b, NULL);
    ck_assert_uint_eq(b.space.vmas.count, 3);
    ck_assert_uint_eq(b.space.vmas.committed, committed);
    ck_assert_uint_eq(b.space.vmas.mapped, mapped);
    ck_assert_uint_eq(b.space.vmas.items[2].flags, VMK_VMA_STACK);
    ck_assert_uint_eq(b.space.vmas.items[1].rights, 0);
    ck_assert_uint_eq(b.space.mmap_top, 0x7fff00000000);
    ck_assert_int_eq(state_call(&b, brk, 0), 0x10000123);
    state_end(&b);
}
END_TEST

START_TEST(signals_wait_on_in_their_order)
{
    state_start(&a, config);
    const struct vmk_guest_sigaction action = {.handler = 0x1234, .mask = 8, .flags = 0x04000000};
    const uint64_t set = vmk_signal_bit(SIGUSR1) | vmk_signal_bit(SIGUSR2) | vmk_signal_bit(40);
    const struct vmk_guest_stack stack = {.sp = 0x10000, .size = 1 << 16};
    uint64_t va = state_put(&a, &action, sizeof action);
    ck_assert_int_eq(state_call(&a, rt_sigaction, SIGUSR2, va, 0, 8), 0);
    va = state_put(&a, &set, sizeof set);
    ck_assert_int_eq(state_call(&a, rt_sigprocmask, SIG_BLOCK, va, 0, 8), 0);
    ck_assert_int_eq(state_call(&a, sigaltstack, state_put(&a, &stack, sizeof stack), 0), 0);
    state_call(&a, kill, 2, 40);
    state_call(&a, kill, 2, SIGUSR1);
    state_call(&a, kill, 2, 40);
    state_move(&a, &b, NULL);
    const struct vmk_signals *signals = b.process.signals;
    ck_assert_uint_eq(signals->queued, 3);
    ck_assert_uint_eq(signals->queued_realtime, 2);
    ck_assert_uint_eq(signals->pending, vmk_signal_bit(SIGUSR1) | vmk_signal_bit(40));
    ck_assert_uint_eq(signals->actions[SIGUSR2].handler, 0x1234);
    ck_assert_uint_eq(signals->actions[SIGUSR2].mask, 8);
    ck_assert_uint_eq(signals->altstack_size, 1 << 16);
    ck_assert(!vmk_signals_pending(&b.process));
    struct vmk_siginfo info;
    ck_assert(vmk_signals_take(&b.process, set, &info));
    ck_assert_int_eq(info.signo, SIGUSR1);
    ck_assert_uint_eq(info.sender.pid, 2);
    ck_assert(vmk_signals_take(&b.process, set, &info));
    ck_assert(vmk_signals_take(&b.process, set, &info));
    ck_assert_int_eq(info.signo, 40);
    ck_assert(!vmk_signals_take(&b.process, set, &info));
    state_end(&b);
}
END_TEST

START_TEST(what_a_signal_says_is_kept_to_the_last_byte)
{
    uint8_t sent[VMK_SIGINFO_SIZE] = {0}, got[VMK_SIGINFO_SIZE];
    const uint64_t set = vmk_signal_bit(45);
    const int32_t head[3] = {45, 7, -1};
    state_start(&a, config);
    state_call(&a, rt_sigprocmask, SIG_BLOCK, state_put(&a, &set, sizeof set), 0, 8);
    for (size_t i = 0; i < 48; i++)
        sent[i] = (uint8_t)(i + 100);
    memcpy(sent, head, sizeof head);
    ck_assert_int_eq(state_call(&a, rt_sigqueueinfo, 2, 45, state_put(&a, sent, sizeof sent)), 0);
    state_move(&a, &b, config);
    ck_assert_int_eq(
        state_call(&b, rt_sigtimedwait, state_put(&b, &set, sizeof set), STATE_RESULT, 0, 8), 45);
    state_get(&b, STATE_RESULT, got, sizeof got);
    ck_assert_mem_eq(got, sent, sizeof sent);
    state_end(&b);
}
END_TEST

START_TEST(ignored_signals_are_ignored_after)
{
    state_start(&a, config);
    const struct vmk_guest_sigaction ignore = {.handler = VMK_HANDLER_IGNORE};
    const struct vmk_guest_sigaction handle = {.handler = 0x1000};
    state_call(&a, rt_sigaction, SIGTERM, state_put(&a, &ignore, sizeof ignore), 0, 8);
    state_call(&a, rt_sigaction, SIGCHLD, state_put(&a, &handle, sizeof handle), 0, 8);
    uint64_t ignored = a.process.signals->ignored;
    state_move(&a, &b, NULL);
    ck_assert_uint_eq(b.process.signals->ignored, ignored);
    state_call(&b, kill, 2, SIGTERM);
    ck_assert(!vmk_signals_pending(&b.process));
    state_call(&b, kill, 2, SIGCHLD);
    ck_assert(vmk_signals_pending(&b.process));
    state_end(&b);
}
END_TEST

/* Timers are told by what is left of them, which goes on while two saves are compared. */
static void
move_timers(void)
{
    struct vmk_bytes bytes = state_save(&a);
    state_prepare(&b, config);
    state_load(&b, NULL, bytes);
    state_end(&a);
}

START_TEST(timers_go_on_with_what_is_left_of_them)
{
    state_start(&a, config);
    const uint64_t second = 1000000000;
    struct vmk_guest_itimerval interval = {.value.seconds = 3600, .interval.seconds = 7};
    struct vmk_guest_itimerspec spec = {.value.seconds = 1800, .interval.nanoseconds = 5};
    struct vmk_guest_sigevent event = {.signo = 41, .value = 99};
    ck_assert_int_eq(
        state_call(&a, setitimer, ITIMER_REAL, state_put(&a, &interval, sizeof interval), 0), 0);
    for (int clock = CLOCK_REALTIME; clock <= CLOCK_PROCESS_CPUTIME_ID; clock++)
        ck_assert_int_eq(state_call(&a, timer_create, (uint64_t)clock,
                                    state_put(&a, &event, sizeof event), STATE_RESULT),
                         0);
    ck_assert_int_eq(state_call(&a, timer_delete, 1), 0);
    ck_assert_int_eq(state_call(&a, timer_settime, 2, 0, state_put(&a, &spec, sizeof spec), 0), 0);
    move_timers();

    struct vmk_timers *timers = &b.process.signals->timers;
    uint64_t left = vmk_timers_get_left(&b.process, &timers->interval[0]);
    ck_assert_uint_le(left, 3600 * second);
    ck_assert_uint_gt(left, 3000 * second);
    ck_assert_uint_eq(timers->interval[0].interval_ns, 7 * second);
    ck_assert(timers->posix[0].used && !timers->posix[1].used && timers->posix[2].used);
    ck_assert_uint_eq(timers->posix[0].expiry_ns, VMK_TIMER_UNARMED);
    ck_assert(timers->posix[2].cpu);
    ck_assert_uint_eq(timers->posix[2].value, 99);
    ck_assert_uint_eq(vmk_timers_get_left(&b.process, &timers->posix[2]), 1800 * second);
    ck_assert_uint_eq(timers->next_cpu_ns, 1800 * second);
    ck_assert_uint_ne(timers->next_real_ns, VMK_TIMER_UNARMED);
    state_end(&b);
}
END_TEST

START_TEST(a_timer_that_went_off_keeps_its_overrun)
{
    state_start(&a, config);
    struct vmk_guest_itimerspec spec = {.value.nanoseconds = 1, .interval.nanoseconds = 1000000};
    struct vmk_guest_sigevent event = {.signo = 41, .value = 5};
    const uint64_t set = vmk_signal_bit(41);
    uint64_t va = state_put(&a, &set, sizeof set);
    state_call(&a, rt_sigprocmask, SIG_BLOCK, va, 0, 8);
    state_call(&a, timer_create, CLOCK_MONOTONIC, state_put(&a, &event, sizeof event),
               STATE_RESULT);
    state_call(&a, timer_settime, 0, 0, state_put(&a, &spec, sizeof spec), 0);
    nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    vmk_signals_expire(&a.process);
    ck_assert_uint_eq(a.process.signals->queued, 1);
    move_timers();

    struct vmk_siginfo info;
    ck_assert(vmk_signals_take(&b.process, set, &info));
    ck_assert_uint_eq(info.timer.value, 5);
    ck_assert_int_ge(info.timer.overrun, 19);
    ck_assert_int_eq(state_call(&b, timer_getoverrun, 0), info.timer.overrun);
    state_end(&b);
}
END_TEST

START_TEST(a_timer_for_ever_is_not_one_that_is_due)
{
    state_start(&a, config);
    struct vmk_guest_itimerspec spec = {.value.seconds = 10000000000};
    state_call(&a, timer_create, CLOCK_MONOTONIC, 0, STATE_RESULT);
    state_call(&a, timer_settime, 0, 0, state_put(&a, &spec, sizeof spec), 0);
    move_timers();
    vmk_signals_expire(&b.process);
    ck_assert(!vmk_signals_pending(&b.process));
    ck_assert_uint_ge(vmk_timers_get_left(&b.process, &b.process.signals->timers.posix[0]),
                      (uint64_t)1 << 62);
    state_end(&b);
}
END_TEST

START_TEST(kept_output_is_carried_and_goes_on)
{
    const void *data;
    uint64_t size;
    state_start(&a, config);
    ck_assert_int_eq(state_write(&a, 1, "hello "), 6);
    ck_assert_int_eq(state_write(&a, 2, "oops"), 4);
    state_call(&a, close, 2);
    state_move(&a, &b, NULL);
    ck_assert_int_eq(state_write(&b, 1, "world"), 5);
    ck_assert_int_eq(state_write(&b, 2, "x"), -EBADF);
    ck_assert_int_eq(vmk_files_get_output(b.process.files, 1, &data, &size), 0);
    ck_assert_uint_eq(size, 11);
    ck_assert_mem_eq(data, "hello world", 11);
    ck_assert_int_eq(vmk_files_get_output(b.process.files, 2, &data, &size), 0);
    ck_assert_uint_eq(size, 4);
    ck_assert_uint_eq(b.process.output_bytes, 15);
    state_end(&b);
}
END_TEST

START_TEST(output_above_the_new_limit_is_refused)
{
    state_start(&a, config);
    state_write(&a, 1, "hello");
    struct vmk_bytes bytes = state_save(&a);
    vmk_config_set_output_buffer(config, 1, 4, NULL);
    state_load_fails(&bytes, config, E2BIG, "5 bytes of output of stream 1");
    vmk_bytes_clear(&bytes);
    state_end(&a);
}
END_TEST

START_TEST(streams_are_connected_as_the_new_configuration_says)
{
    int ends[2];
    char text[8] = {0};
    state_start(&a, config);
    state_call(&a, dup2, 1, 7);
    state_call(&a, fcntl, 7, F_SETFL, O_NONBLOCK | O_APPEND);
    state_call(&a, fcntl, 7, F_SETFD, FD_CLOEXEC);
    state_call(&a, close, 1);
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    vmk_config_set_stream_fd(config, 1, ends[1], NULL);
    vmk_config_set_input(config, "again", 5, NULL);
    state_move(&a, &b, config);
    ck_assert_str_eq(state_read(&b, 0), "again");
    ck_assert_int_eq(state_write(&b, 1, "x"), -EBADF);
    ck_assert_int_eq(state_write(&b, 7, "out"), 3);
    ck_assert_int_eq(read(ends[0], text, sizeof text), 3);
    ck_assert_str_eq(text, "out");
    ck_assert_int_eq(state_call(&b, fcntl, 7, F_GETFL), O_WRONLY | O_NONBLOCK | O_APPEND);
    ck_assert_int_eq(state_call(&b, fcntl, 7, F_GETFD), FD_CLOEXEC);
    close(ends[0]);
    close(ends[1]);
    state_end(&b);
}
END_TEST

START_TEST(what_was_duplicated_is_still_one_file)
{
    state_start(&a, config);
    ck_assert_int_eq(state_call(&a, dup, 0), 3);
    ck_assert_int_eq(state_call(&a, dup, 0), 4);
    vmk_config_set_input(config, "once", 4, NULL);
    state_move(&a, &b, config);
    ck_assert_str_eq(state_read(&b, 3), "once");
    ck_assert_str_eq(state_read(&b, 4), "");
    ck_assert_str_eq(state_read(&b, 0), "");
    state_end(&b);
}
END_TEST

START_TEST(the_limits_can_be_asked_for_first)
{
    struct vmk_limits limits;
    vmk_config_set_memory_limit(config, 5 << 20, NULL);
    vmk_config_set_open_files_limit(config, 11, NULL);
    state_start(&a, config);
    a.process.limits.cpu_time_ns = 77;
    struct vmk_bytes bytes = state_save(&a);
    ck_assert_int_eq(vmk_state_get_limits(bytes.data, bytes.size, &limits, NULL), 0);
    ck_assert_uint_eq(limits.memory_bytes, 5 << 20);
    ck_assert_uint_eq(limits.open_files, 11);
    ck_assert_uint_eq(limits.cpu_time_ns, 77);
    ck_assert_uint_eq(limits.wall_time_ns, 0);
    ck_assert_uint_eq(limits.output_bytes, 64 << 20);
    ck_assert_int_eq(vmk_state_get_limits(bytes.data, 30, &limits, NULL), -EINVAL);
    vmk_bytes_clear(&bytes);
    state_end(&a);
}
END_TEST

START_TEST(a_lower_limit_of_files_is_refused)
{
    state_start(&a, config);
    ck_assert_int_eq(state_call(&a, dup2, 0, 40), 40);
    ck_assert_int_eq(state_call(&a, eventfd2, 0, 0), 3);
    struct vmk_bytes bytes = state_save(&a);
    vmk_config_set_open_files_limit(config, 40, NULL);
    state_load_fails(&bytes, config, EMFILE, "descriptor 40 open, above the limit of 40");
    vmk_config_set_open_files_limit(config, 3, NULL);
    state_load_fails(&bytes, config, EMFILE, "more files open than the limit of 3");
    vmk_bytes_clear(&bytes);
    state_end(&a);
}
END_TEST

START_TEST(a_lower_memory_limit_is_refused)
{
    state_start(&a, config);
    struct vmk_bytes bytes = state_save(&a);
    vmk_config_set_memory_limit(config, 1 << 20, NULL);
    state_load_fails(&bytes, config, E2BIG, "2097152 bytes of memory mapped");
    vmk_bytes_clear(&bytes);
    state_end(&a);
}
END_TEST

START_TEST(time_that_would_outrun_the_limit_is_refused)
{
    state_start(&a, config);
    a.process.cpu_before_ns = (uint64_t)INT64_MAX + 1;
    struct vmk_bytes bytes = state_save(&a);
    state_load_fails(&bytes, config, EINVAL, "9223372036854775808 ns of CPU time");
    vmk_bytes_clear(&bytes);
    state_end(&a);
}
END_TEST

START_TEST(a_later_version_is_named)
{
    state_start(&a, config);
    struct vmk_bytes bytes = state_save(&a);
    bytes.data[0] = 200;
    state_load_fails(&bytes, config, ENOTSUP, "version 200");
    bytes.data[0] = 1;
    bytes.size--;
    state_load_fails(&bytes, config, EINVAL, "section 7 (address space) ends early");
    bytes.size = 0;
    state_load_fails(&bytes, config, EINVAL, "empty");
    vmk_bytes_clear(&bytes);
    state_end(&a);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("state");
    TCase *tcase = tcase_create("state");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, the_process_keeps_what_it_is);
    tcase_add_test(tcase, mappings_stay_where_they_are);
    tcase_add_test(tcase, signals_wait_on_in_their_order);
    tcase_add_test(tcase, what_a_signal_says_is_kept_to_the_last_byte);
    tcase_add_test(tcase, ignored_signals_are_ignored_after);
    tcase_add_test(tcase, timers_go_on_with_what_is_left_of_them);
    tcase_add_test(tcase, a_timer_that_went_off_keeps_its_overrun);
    tcase_add_test(tcase, a_timer_for_ever_is_not_one_that_is_due);
    tcase_add_test(tcase, kept_output_is_carried_and_goes_on);
    tcase_add_test(tcase, output_above_the_new_limit_is_refused);
    tcase_add_test(tcase, streams_are_connected_as_the_new_configuration_says);
    tcase_add_test(tcase, what_was_duplicated_is_still_one_file);
    tcase_add_test(tcase, the_limits_can_be_asked_for_first);
    tcase_add_test(tcase, a_lower_limit_of_files_is_refused);
    tcase_add_test(tcase, a_lower_memory_limit_is_refused);
    tcase_add_test(tcase, time_that_would_outrun_the_limit_is_refused);
    tcase_add_test(tcase, a_later_version_is_named);
    suite_add_tcase(suite, tcase);
    return suite;
}
