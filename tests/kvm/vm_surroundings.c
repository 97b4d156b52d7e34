/* SPDX-License-Identifier: Apache-2.0 */
/* Raw VMs in processes that were started oddly, or have less than usual. */
#include "forbid.h"
#include "guest.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOBODY 65534

static const uint8_t halt[] = {0xf4};

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
limit_tasks(rlim_t count)
{
    struct rlimit limit;
    ck_assert_int_eq(getrlimit(RLIMIT_NPROC, &limit), 0);
    limit.rlim_cur = count < limit.rlim_max ? count : limit.rlim_max;
    ck_assert_int_eq(setrlimit(RLIMIT_NPROC, &limit), 0);
}

/* Kernels from 6.14 on make a task of the process for each VM, at its first run. */
START_TEST(a_host_without_a_further_task_is_an_error_and_the_run_can_be_made_again)
{
    struct guest guest;
    vmkit_error *failure = NULL;
    guest_new_real(&guest, halt, sizeof halt);
    become_nobody();
    limit_tasks(1);
    int result = vmkit_vcpu_run(guest.vcpu, &guest.exit, &failure);
    limit_tasks(RLIM_INFINITY);
    if (result < 0) {
        ck_assert_int_eq(result, -EAGAIN);
        ck_assert_uint_eq(vmkit_error_get_kind(failure), VMKIT_ERROR_LIMIT);
        ck_assert_ptr_nonnull(strstr(vmkit_error_get_message(failure), "RLIMIT_NPROC"));
        vmkit_error_unref(failure);
        guest_run(&guest, VMKIT_EXIT_HALT);
    }
    ck_assert_uint_eq(guest.exit.reason, VMKIT_EXIT_HALT);
    guest_free(&guest);
}
END_TEST

START_TEST(no_descriptor_of_a_vm_takes_the_place_of_a_closed_stream)
{
    struct guest guest;
    vmkit_vm_config *config = NULL;
    vmkit_vm *vm = NULL;
    vmkit_host *host = NULL;
    int before[64];
    int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    ck_assert_int_gt(kvm, STDERR_FILENO);
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        close(fd);
    for (int fd = 0; fd < 64; fd++)
        before[fd] = fcntl(fd, F_GETFD);

    guest_new_real(&guest, halt, sizeof halt);
    guest_run(&guest, VMKIT_EXIT_HALT);
    ASSERT_OK(vmkit_host_probe(VMKIT_HOST_PROBE_MEASURE, &host, &error));
    ASSERT_OK(vmkit_vm_config_new(&config, &error));
    ASSERT_OK(vmkit_vm_config_set_kvm_fd(config, kvm, &error));
    ASSERT_OK(vmkit_vm_new(config, &vm, &error));
    int made = 0;
    for (int fd = 0; fd < 64; fd++) {
        int flags = fcntl(fd, F_GETFD);
        if (fd <= STDERR_FILENO)
            ck_assert_int_eq(flags, -1);
        /* What the library opened is not handed to other programs. */
        if (before[fd] < 0 && flags >= 0)
            ck_assert_int_eq(flags, FD_CLOEXEC);
        made += before[fd] < 0 && flags >= 0;
    }
    ck_assert_int_ge(made, 5);
    vmkit_vm_unref(vm);
    vmkit_vm_config_unref(config);
    vmkit_host_unref(host);
    guest_free(&guest);
}
END_TEST

/* What a run needs, and says when a filter forbids it. */
static const struct {
    long number;
    const char *name;
} needed_to_run[] = {
    {SYS_timer_create, "timer_create(2)"},
    {SYS_rt_sigtimedwait, "rt_sigtimedwait(2)"},
    {SYS_rt_sigprocmask, "rt_sigprocmask(2)"},
};

static const int refusals[] = {EPERM, ENOSYS};

static _Noreturn void
run_without(long number, const char *name, int err)
{
    struct guest guest;
    guest_new_real(&guest, halt, sizeof halt);
    forbid_call(number, err);
    vmkit_vcpu_kick(guest.vcpu);
    ASSERT_FAILS(vmkit_vcpu_run(guest.vcpu, &guest.exit, &error), EIO, VMKIT_ERROR_IO, name);
    ASSERT_FAILS(vmkit_vcpu_run(guest.vcpu, &guest.exit, &error), EIO, VMKIT_ERROR_IO,
                 strerror(err));
    guest_free(&guest);
    _exit(0);
}

/* Without one of them a kick would end the process. What looks for leaks at a test's end needs them
 * too, and so a child goes without. */
START_TEST(a_run_without_a_call_that_stops_it_is_an_error)
{
    int status = -1;
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0)
        run_without(needed_to_run[_i / 2].number, needed_to_run[_i / 2].name, refusals[_i % 2]);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
}
END_TEST

START_TEST(memory_of_the_caller_without_a_call_that_copies_it_is_an_error)
{
    struct guest guest;
    vmkit_memory *memory = NULL;
    uint8_t *own = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(own, MAP_FAILED);
    guest_new_real(&guest, halt, sizeof halt);
    ASSERT_OK(vmkit_memory_new_user(own, 4096, NULL, NULL, &memory, &error));
    ASSERT_OK(vmkit_vm_add_memory(guest.vm, GUEST_MEMORY, memory, 0, 4096, 0, &error));
    forbid_call(SYS_process_vm_writev, refusals[_i]);
    ASSERT_FAILS(vmkit_vm_write(guest.vm, GUEST_MEMORY, halt, sizeof halt, &error), EIO,
                 VMKIT_ERROR_IO, "process_vm_writev(2)");
    guest_run(&guest, VMKIT_EXIT_HALT);
    vmkit_memory_unref(memory);
    guest_free(&guest);
    munmap(own, 4096);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("vm_surroundings");
    TCase *tcase = tcase_create("vm_surroundings");
    tcase_set_timeout(tcase, 20);
    tcase_add_test(tcase, a_host_without_a_further_task_is_an_error_and_the_run_can_be_made_again);
    tcase_add_loop_test(tcase, a_run_without_a_call_that_stops_it_is_an_error, 0,
                        2 * sizeof needed_to_run / sizeof needed_to_run[0]);
    tcase_add_loop_test(tcase, memory_of_the_caller_without_a_call_that_copies_it_is_an_error, 0,
                        2);
    tcase_add_test(tcase, no_descriptor_of_a_vm_takes_the_place_of_a_closed_stream);
    suite_add_tcase(suite, tcase);
    return suite;
}
