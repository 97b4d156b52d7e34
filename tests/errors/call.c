/* SPDX-License-Identifier: Apache-2.0 */
/* What calls of a program's functions, and looks into its memory, say that cannot be made. */
#include "../api/assert.h"
#include "../kvm/call_guest.h"
#include "faults.h"

#include <elf.h>
#include <errno.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* The program's file, which is read again for its symbols. */
static int program;

static void
set_up(void)
{
    size_t size = (size_t)(guest_call.end - guest_call.data);
    program = memfd_create("program", MFD_CLOEXEC);
    ck_assert_int_eq(write(program, guest_call.data, size), (ssize_t)size);
    call_guest_configure(&guest_call, "once");
    ASSERT_OK(vmkit_sandbox_config_set_program_fd(call_config, program, &error));
    call_guest_start();
}

static void
tear_down(void)
{
    call_guest_tear_down();
    close(program);
}

static int
call_with(const char *symbol, const struct vmkit_argument *arguments, uint32_t count,
          vmkit_error **ret_error)
{
    const struct vmkit_call call = {
        .size = sizeof call, .symbol = symbol, .arguments = arguments, .argument_count = count};
    struct vmkit_sandbox_outcome outcome = {.size = sizeof outcome};
    return vmkit_sandbox_call(call_sandbox, &call, &outcome, ret_error);
}

static int
call(const char *symbol, vmkit_error **ret_error)
{
    return call_with(symbol, NULL, 0, ret_error);
}

static int
find(const char *symbol, vmkit_error **ret_error)
{
    uint64_t address;
    return vmkit_sandbox_find_symbol(call_sandbox, symbol, &address, ret_error);
}

static int
read_at(uint64_t address, vmkit_error **ret_error)
{
    uint8_t byte;
    return vmkit_sandbox_read_memory(call_sandbox, address, &byte, 1, ret_error);
}

static int
write_at(uint64_t address, vmkit_error **ret_error)
{
    return vmkit_sandbox_write_memory(call_sandbox, address, "x", 1, ret_error);
}

static int
request(vmkit_error **ret_error)
{
    const struct vmkit_request empty = {.size = sizeof empty};
    struct vmkit_sandbox_outcome outcome = {.size = sizeof outcome};
    uint64_t reply_size;
    return vmkit_sandbox_request(call_sandbox, &empty, &reply_size, &outcome, ret_error);
}

START_TEST(what_is_missing_or_wrong_is_said)
{
    static const struct vmkit_argument arguments[VMKIT_CALL_MAX_ARGUMENTS + 1];
    struct vmkit_sandbox_outcome outcome = {.size = sizeof outcome};
    ASSERT_INVALID(vmkit_sandbox_call(call_sandbox, NULL, &outcome, &error), "call is NULL");
    ASSERT_INVALID(vmkit_sandbox_find_symbol(call_sandbox, "nothing", NULL, &error),
                   "ret_address is NULL");
    ASSERT_INVALID(find("per_thread", &error), "thread's own variable");
    ASSERT_INVALID(vmkit_sandbox_read_memory(call_sandbox, 0, NULL, 1, &error), "buffer is NULL");
    ASSERT_INVALID(vmkit_sandbox_write_memory(call_sandbox, 0, NULL, 1, &error), "buffer is NULL");
    ASSERT_FAILS(call("not_there", &error), ENOENT, VMKIT_ERROR_NOT_FOUND,
                 "has no symbol \"not_there\"");
    ASSERT_FAILS(find("not_there", &error), ENOENT, VMKIT_ERROR_NOT_FOUND,
                 "has no symbol \"not_there\"");
    ASSERT_FAILS(call_with("nothing", arguments, VMKIT_CALL_MAX_ARGUMENTS + 1, &error), E2BIG,
                 VMKIT_ERROR_LIMIT, "65 arguments");
    ASSERT_FAILS(read_at(0, &error), EFAULT, VMKIT_ERROR_OUT_OF_RANGE, "0x0");
    ASSERT_FAILS(write_at(0, &error), EFAULT, VMKIT_ERROR_OUT_OF_RANGE, "0x0");
    ASSERT_OK(call("nothing", &error));
}
END_TEST

START_TEST(a_program_that_is_not_ready_is_said)
{
    vmkit_sandbox_unref(call_sandbox);
    call_sandbox = NULL;
    ASSERT_OK(vmkit_sandbox_new(call_config, &call_sandbox, &error));
    ASSERT_FAILS(call("nothing", &error), ENOTSUP, VMKIT_ERROR_WRONG_STATE, "is not ready");
}
END_TEST

START_TEST(a_buffer_that_is_gone_is_said)
{
    static uint8_t data[20000], between[8192];
    const struct vmkit_argument arguments[] = {BUFFER(OUT, data, sizeof data), INTEGER(sizeof data),
                                               /* The function's own stack is below it. */
                                               BUFFER(IN, between, sizeof between)};
    ASSERT_FAILS(call_with("unmap", arguments, 3, &error), EFAULT, VMKIT_ERROR_OUT_OF_RANGE,
                 "argument 0 of the call cannot be read back");
}
END_TEST

START_TEST(symbols_that_cannot_be_read_are_said)
{
    ASSERT_FAILS(WITH_FAULT(FAULT_READ, EIO, find("nothing", &error)), EIO, VMKIT_ERROR_IO,
                 "Input/output error");
    ASSERT_FAILS(WITH_FAULT(FAULT_READ, EPERM, call("nothing", &error)), EIO, VMKIT_ERROR_IO,
                 "Operation not permitted");
    /* The file has changed meanwhile. */
    const uint16_t size = 7;
    ck_assert_int_eq(pwrite(program, &size, sizeof size, offsetof(Elf64_Ehdr, e_shentsize)), 2);
    ASSERT_FAILS(find("nothing", &error), ENOEXEC, VMKIT_ERROR_BAD_IMAGE,
                 "section headers of 7 bytes");
    ASSERT_FAILS(call("nothing", &error), ENOEXEC, VMKIT_ERROR_BAD_IMAGE,
                 "section headers of 7 bytes");
}
END_TEST

/* The symbols stay once they are read, so that each case is in a process of its own. */
START_TEST(each_allocation_that_fails_is_ENOMEM)
{
    int (*const acts[])(const char *, vmkit_error **) = {find, call};
    unsigned number = 0;
    bool reached = true;
    while (reached) {
        vmkit_error *error = NULL;
        fault_begin(FAULT_ALLOCATE, ++number, ENOMEM);
        int result = acts[_i]("nothing", &error);
        reached = fault_end() >= number;
        ck_assert_msg(result == (reached ? -ENOMEM : 0), "allocation %u: %d, %s", number, result,
                      vmkit_error_get_message(error));
        vmkit_error_unref(error);
    }
    ck_assert_uint_gt(number, 1);
}
END_TEST

START_TEST(a_call_that_kvm_ends_is_an_error)
{
    ASSERT_FAILS(WITH_IOCTL_FAULT(KVM_RUN, EAGAIN, call("nothing", &error)), EAGAIN,
                 VMKIT_ERROR_LIMIT, "the host makes no further task");
    ASSERT_OK(call("nothing", &error));
    ASSERT_FAILS(WITH_IOCTL_FAULT(KVM_RUN, EINVAL, call("nothing", &error)), EIO,
                 VMKIT_ERROR_KVM_FAILED, "running the sandbox at 0x");
}
END_TEST

static void *
rest(void *user_data)
{
    const struct vmkit_call resting = {.size = sizeof resting, .symbol = "rest"};
    int *result = user_data;
    *result = vmkit_sandbox_call(call_sandbox, &resting, &call_outcome, NULL);
    return NULL;
}

START_TEST(a_request_that_kvm_ends_is_an_error)
{
    static const struct {
        int err, expected;
        uint32_t kind;
    } rows[] = {{EAGAIN, EAGAIN, VMKIT_ERROR_LIMIT},
                {ENOMEM, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY},
                {EINVAL, EIO, VMKIT_ERROR_KVM_FAILED}};
    ASSERT_FAILS(WITH_IOCTL_FAULT(KVM_RUN, rows[_i].err, request(&error)), rows[_i].expected,
                 rows[_i].kind, "running the sandbox at 0x");
}
END_TEST

START_TEST(while_a_call_runs_all_others_are_busy)
{
    struct vmkit_sandbox_stats stats = {.size = sizeof stats};
    pthread_t thread;
    int result = -1;
    ck_assert_int_eq(pthread_create(&thread, NULL, rest, &result), 0);
    while (vmkit_sandbox_get_stats(call_sandbox, &stats, NULL) == 0)
        usleep(1000);
    ASSERT_FAILS(call("nothing", &error), EBUSY, VMKIT_ERROR_BUSY, "running");
    ASSERT_FAILS(request(&error), EBUSY, VMKIT_ERROR_BUSY, "running");
    ASSERT_FAILS(find("nothing", &error), EBUSY, VMKIT_ERROR_BUSY, "running");
    ASSERT_FAILS(read_at(0, &error), EBUSY, VMKIT_ERROR_BUSY, "running");
    ASSERT_FAILS(write_at(0, &error), EBUSY, VMKIT_ERROR_BUSY, "running");
    vmkit_sandbox_kill(call_sandbox);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_int_eq(result, 0);
    ck_assert_uint_eq(call_outcome.kind, VMKIT_OUTCOME_KILLED);
}
END_TEST

START_TEST(in_a_child_of_fork_a_call_says_so)
{
    int status = -1;
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        ASSERT_FAILS(call("nothing", &error), EIO, VMKIT_ERROR_WRONG_STATE, "belongs to process");
        ASSERT_FAILS(request(&error), EIO, VMKIT_ERROR_WRONG_STATE, "belongs to process");
        _exit(0);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    ASSERT_OK(call("nothing", &error));
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("errors_call");
    TCase *tcase = tcase_create("errors_call");

    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, what_is_missing_or_wrong_is_said);
    tcase_add_test(tcase, a_program_that_is_not_ready_is_said);
    tcase_add_test(tcase, a_buffer_that_is_gone_is_said);
    tcase_add_test(tcase, symbols_that_cannot_be_read_are_said);
    tcase_add_loop_test(tcase, each_allocation_that_fails_is_ENOMEM, 0, 2);
    tcase_add_test(tcase, a_call_that_kvm_ends_is_an_error);
    tcase_add_loop_test(tcase, a_request_that_kvm_ends_is_an_error, 0, 3);
    tcase_add_test(tcase, while_a_call_runs_all_others_are_busy);
    tcase_add_test(tcase, in_a_child_of_fork_a_call_says_so);
    suite_add_tcase(suite, tcase);
    return suite;
}
