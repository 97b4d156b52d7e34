/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include "fake_process.h"
#include "uapi_frame.h"

#include "sandbox/signal_state.h"
#include "sandbox/signals.h"
#include "sandbox/syscall.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#define STACK_TOP (FAKE_BASE + 0x20000)
#define ALTSTACK (FAKE_BASE + 0x30000)
#define ALTSTACK_SIZE 0x4000
#define HANDLER UINT64_C(0x401000)
#define RESTORER UINT64_C(0x402000)
#define PROGRAM UINT64_C(0x403000)
#define ARGUMENT (FAKE_BASE + 0x100)
#define RESTORES 0x04000000u
#define AUTODISARM 0x80000000u

static void
setup(void)
{
    fake_reset();
    fake.regs = (struct vmk_user_regs){
        .rax = 0xa1,
        .rbx = 0xb1,
        .rcx = 0xc1,
        .rdx = 0xd1,
        .rsi = 0x51,
        .rdi = 0xd2,
        .rsp = STACK_TOP,
        .rbp = 0xb2,
        .r8 = 8,
        .r15 = 15,
        .rip = PROGRAM,
        .rflags = 0x10f46, /* RF OF DF IF ZF PF TF */
    };
}

static void
install(int signal, uint64_t handler, uint64_t flags, uint64_t mask)
{
    const struct vmk_guest_sigaction action = {
        .handler = handler, .flags = flags, .restorer = RESTORER, .mask = mask};
    memcpy(fake_at(ARGUMENT), &action, sizeof action);
    ck_assert_int_eq(fake_call(rt_sigaction, (uint64_t)signal, ARGUMENT, 0, 8), 0);
}

static void
send(int signal)
{
    ck_assert_int_eq(fake_call(kill, FAKE_PID, (uint64_t)signal), 0);
}

static void
deliver(void)
{
    vmk_signals_deliver(&fake.process, false, NULL);
}

static int64_t
return_from_it(void)
{
    fake.process.regs_replaced = false;
    fake.regs.rsp += 8; /* the handler's RET */
    return fake_call(rt_sigreturn, 0);
}

static void
set_altstack(uint32_t flags, uint64_t size)
{
    const struct vmk_guest_stack stack = {.sp = ALTSTACK, .flags = flags, .size = size};
    memcpy(fake_at(ARGUMENT), &stack, sizeof stack);
    ck_assert_int_eq(fake_call(sigaltstack, ARGUMENT, 0), 0);
}

START_TEST(the_frame_has_the_layout_of_the_kernels_headers)
{
    const struct uapi_frame *at = &uapi_frame;
    install(SIGSEGV, HANDLER, SA_SIGINFO | RESTORES, 0);
    fake_call(rt_sigprocmask, SIG_SETMASK, 0, 0, 8);
    vmk_signals_fault(&fake.process, SIGSEGV, SEGV_ACCERR, 0xdeadbeef, 14, 7);
    deliver();

    uint64_t frame = fake.regs.rsp;
    ck_assert(!vmk_process_ended(&fake.process));
    ck_assert(fake.process.regs_replaced);
    ck_assert_uint_eq(frame % 16, 8);
    ck_assert_uint_le(frame + at->size, STACK_TOP - 128);
    ck_assert_uint_eq(fake_get64(frame), RESTORER);
    ck_assert_uint_eq(fake_get64(frame + at->uc_flags), 7);
    ck_assert_uint_eq(fake_get64(frame + at->stack_sp), 0);
    ck_assert_uint_eq(fake_get32(frame + at->stack_flags), SS_DISABLE);
    ck_assert_uint_eq(fake_get64(frame + at->stack_size), 0);
    ck_assert_uint_eq(fake_get64(frame + at->r8), 8);
    ck_assert_uint_eq(fake_get64(frame + at->r15), 15);
    ck_assert_uint_eq(fake_get64(frame + at->rdi), 0xd2);
    ck_assert_uint_eq(fake_get64(frame + at->rsi), 0x51);
    ck_assert_uint_eq(fake_get64(frame + at->rbp), 0xb2);
    ck_assert_uint_eq(fake_get64(frame + at->rbx), 0xb1);
    ck_assert_uint_eq(fake_get64(frame + at->rdx), 0xd1);
    ck_assert_uint_eq(fake_get64(frame + at->rax), 0xa1);
    ck_assert_uint_eq(fake_get64(frame + at->rcx), 0xc1);
    ck_assert_uint_eq(fake_get64(frame + at->rsp), STACK_TOP);
    ck_assert_uint_eq(fake_get64(frame + at->rip), PROGRAM);
    ck_assert_uint_eq(fake_get64(frame + at->rflags), 0x10f46);
    ck_assert_uint_eq(fake_get32(frame + at->cs) & 0xffff, 0x33);
    ck_assert_uint_eq(fake_get32(frame + at->ss - 2) >> 16, 0x2b);
    ck_assert_uint_eq(fake_get64(frame + at->error), 7);
    ck_assert_uint_eq(fake_get64(frame + at->trap), 14);
    ck_assert_uint_eq(fake_get64(frame + at->cr2), 0xdeadbeef);
    ck_assert_uint_eq(fake_get64(frame + at->mask), 0);
    ck_assert_uint_eq(fake_get32(frame + at->info), SIGSEGV);
    ck_assert_uint_eq(fake_get32(frame + at->info_code), SEGV_ACCERR);
    ck_assert_uint_eq(fake_get64(frame + at->info_address), 0xdeadbeef);
}
END_TEST

START_TEST(the_handler_starts_as_linux_starts_it)
{
    const struct uapi_frame *at = &uapi_frame;
    install(SIGUSR1, HANDLER, RESTORES, 0);
    send(SIGUSR1);
    deliver();

    ck_assert_uint_eq(fake.regs.rip, HANDLER);
    ck_assert_uint_eq(fake.regs.rdi, SIGUSR1);
    ck_assert_uint_eq(fake.regs.rsi, fake.regs.rsp + at->info);
    ck_assert_uint_eq(fake.regs.rdx, fake.regs.rsp + at->uc_flags);
    ck_assert_uint_eq(fake.regs.rax, 0);
    ck_assert_uint_eq(fake.regs.rflags, 0xa46); /* without RF, TF and DF */
    ck_assert_uint_eq(fake.regs.rbx, 0xb1);
    ck_assert_uint_eq(fake_get32(fake.regs.rsi + 8), 0); /* SI_USER */
    ck_assert_uint_eq(fake_get32(fake.regs.rsp + at->info_pid), FAKE_PID);
    ck_assert_uint_eq(fake_get32(fake.regs.rsp + at->info_pid + 4), 1000);
    ck_assert_uint_eq(vmk_signals_get_delivered(fake.process.signals), 1);
}
END_TEST

START_TEST(the_extended_state_carries_its_magic_words_and_is_fresh_in_the_handler)
{
    const struct uapi_frame *at = &uapi_frame;
    fake.xstate[160] = 0x5a; /* XMM0 */
    fake.xstate[600] = 0xa5; /* YMM's upper half */
    install(SIGUSR1, HANDLER, RESTORES, 0);
    send(SIGUSR1);
    deliver();

    uint64_t state = fake_get64(fake.regs.rsp + at->fpstate);
    ck_assert_uint_eq(state % 64, 0);
    ck_assert_uint_le(state + FAKE_XSTATE_SIZE + 4, STACK_TOP - 128);
    ck_assert_uint_eq(fake_get32(state + at->software_bytes), at->magic_start);
    ck_assert_uint_eq(fake_get32(state + at->software_bytes + 4), FAKE_XSTATE_SIZE + 4);
    ck_assert_uint_eq(fake_get64(state + at->software_bytes + 8), 7);
    ck_assert_uint_eq(fake_get32(state + at->software_bytes + 16), FAKE_XSTATE_SIZE);
    ck_assert_uint_eq(fake_get32(state + FAKE_XSTATE_SIZE), at->magic_end);
    ck_assert_uint_eq(fake_get64(state + at->xstate_bv), 7);
    ck_assert_uint_eq(*(uint8_t *)fake_at(state + 160), 0x5a);
    ck_assert_uint_eq(fake.xstate[160], 0);
    ck_assert_uint_eq(fake.xstate[600], 0);
    ck_assert_uint_eq(fake.xstate[0] | fake.xstate[1] << 8, 0x37f);
    ck_assert_uint_eq(fake.xstate[24] | fake.xstate[25] << 8, 0x1f80);

    ck_assert_int_eq(return_from_it(), 0);
    ck_assert_uint_eq(fake.xstate[160], 0x5a);
    ck_assert_uint_eq(fake.xstate[600], 0xa5);
    ck_assert_uint_eq(fake.xstate[464], 0);
}
END_TEST

START_TEST(returning_brings_everything_back)
{
    struct vmk_user_regs before = fake.regs;
    uint64_t blocked = vmk_signal_bit(SIGHUP);
    fake_put64(ARGUMENT, blocked);
    ck_assert_int_eq(fake_call(rt_sigprocmask, SIG_SETMASK, ARGUMENT, 0, 8), 0);
    install(SIGUSR1, HANDLER, RESTORES, vmk_signal_bit(SIGUSR2));
    send(SIGUSR1);
    deliver();
    ck_assert_uint_eq(fake.process.signals->blocked,
                      blocked | vmk_signal_bit(SIGUSR1) | vmk_signal_bit(SIGUSR2));

    ck_assert_int_eq(return_from_it(), 0);
    ck_assert(fake.process.regs_replaced);
    ck_assert_int_eq(memcmp(&before, &fake.regs, sizeof before), 0);
    ck_assert_uint_eq(fake.process.signals->blocked, blocked);
}
END_TEST

START_TEST(several_signals_stack_in_the_order_of_linux)
{
    install(SIGUSR2, HANDLER, RESTORES, 0);
    install(SIGUSR1, HANDLER + 0x100, RESTORES, 0);
    send(SIGUSR2);
    send(SIGUSR1);
    deliver();

    /* The lower number is delivered first, so that the higher one's handler runs on top of it. */
    ck_assert_uint_eq(fake.regs.rip, HANDLER);
    ck_assert_uint_eq(fake.regs.rdi, SIGUSR2);
    return_from_it();
    ck_assert_uint_eq(fake.regs.rip, HANDLER + 0x100);
    ck_assert_uint_eq(fake.regs.rdi, SIGUSR1);
    return_from_it();
    ck_assert_uint_eq(fake.regs.rip, PROGRAM);
    ck_assert_uint_eq(fake.process.signals->blocked, 0);
}
END_TEST

START_TEST(a_fault_goes_before_lower_signals)
{
    install(SIGHUP, HANDLER + 0x100, RESTORES, 0);
    install(SIGSEGV, HANDLER, RESTORES, 0);
    send(SIGHUP);
    vmk_signals_fault(&fake.process, SIGSEGV, SEGV_MAPERR, 1, 14, 4);
    deliver();
    ck_assert_uint_eq(fake.regs.rip, HANDLER + 0x100);
    return_from_it();
    ck_assert_uint_eq(fake.regs.rip, HANDLER);
}
END_TEST

/* What the guest sees of an interrupted call. */
static int64_t
interrupt(uint64_t flags, int64_t result, bool with_signal)
{
    setup();
    install(SIGUSR1, HANDLER, RESTORES | flags, 0);
    if (with_signal)
        send(SIGUSR1);
    vmk_signals_deliver(&fake.process, true, &result);
    if (with_signal)
        return_from_it();
    return (int64_t)fake.regs.rax;
}

START_TEST(a_call_restarts_or_fails_by_the_rules)
{
    ck_assert_int_eq(interrupt(0, -VMK_ERESTARTSYS, true), -EINTR);
    ck_assert_uint_eq(fake.regs.rip, PROGRAM);

    ck_assert_int_eq(interrupt(SA_RESTART, -VMK_ERESTARTSYS, true), 0xa1);
    ck_assert_uint_eq(fake.regs.rip, PROGRAM - 2);

    ck_assert_int_eq(interrupt(SA_RESTART, -VMK_ERESTARTNOHAND, true), -EINTR);
    ck_assert_uint_eq(fake.regs.rip, PROGRAM);

    ck_assert_int_eq(interrupt(0, -VMK_ERESTARTNOINTR, true), 0xa1);
    ck_assert_uint_eq(fake.regs.rip, PROGRAM - 2);

    ck_assert_int_eq(interrupt(SA_RESTART, -EINTR, true), -EINTR);
    ck_assert_int_eq(interrupt(SA_RESTART, 42, true), 42);
    ck_assert_uint_eq(fake.regs.rip, PROGRAM);
}
END_TEST

START_TEST(without_a_signal_a_call_restarts_and_another_result_is_left_alone)
{
    ck_assert_int_eq(interrupt(0, -VMK_ERESTARTNOHAND, false), 0xa1);
    ck_assert_uint_eq(fake.regs.rip, PROGRAM - 2);
    ck_assert(fake.process.regs_replaced);

    ck_assert_int_eq(interrupt(0, -VMK_ERESTARTSYS, false), 0xa1);
    ck_assert_uint_eq(fake.regs.rip, PROGRAM - 2);

    ck_assert_int_eq(interrupt(0, 5, false), 0xa1);
    ck_assert_uint_eq(fake.regs.rip, PROGRAM);
    ck_assert(!fake.process.regs_replaced);
}
END_TEST

START_TEST(a_call_that_replaced_the_registers_is_not_restarted)
{
    int64_t result = -VMK_ERESTARTSYS;
    fake.process.regs_replaced = true;
    vmk_signals_deliver(&fake.process, true, &result);
    ck_assert_uint_eq(fake.regs.rip, PROGRAM);
    ck_assert_uint_eq(fake.regs.rax, 0xa1);
}
END_TEST

START_TEST(onstack_uses_the_alternate_stack_once)
{
    set_altstack(0, ALTSTACK_SIZE);
    install(SIGUSR1, HANDLER, RESTORES | SA_ONSTACK, 0);
    install(SIGUSR2, HANDLER, RESTORES | SA_ONSTACK, 0);
    install(SIGHUP, HANDLER, RESTORES, 0);

    send(SIGUSR1);
    deliver();
    uint64_t first = fake.regs.rsp;
    ck_assert_uint_gt(first, ALTSTACK);
    ck_assert_uint_lt(first, ALTSTACK + ALTSTACK_SIZE);
    /* The top of the stack has no red zone. */
    ck_assert_uint_gt(fake_get64(first + uapi_frame.fpstate) + FAKE_XSTATE_SIZE + 4 + 64,
                      ALTSTACK + ALTSTACK_SIZE);
    ck_assert_int_eq(fake_call(sigaltstack, 0, ARGUMENT), 0);
    ck_assert_uint_eq(fake_get32(ARGUMENT + 8), SS_ONSTACK);
    ck_assert_int_eq(fake_call(sigaltstack, ARGUMENT, 0), -EPERM);

    /* A second handler goes below the first. */
    send(SIGUSR2);
    deliver();
    ck_assert_uint_lt(fake.regs.rsp, first - 128);
    ck_assert_uint_gt(fake.regs.rsp, ALTSTACK);
    return_from_it();
    return_from_it();
    ck_assert_uint_eq(fake.regs.rsp, STACK_TOP);

    send(SIGHUP);
    deliver();
    ck_assert_uint_lt(fake.regs.rsp, STACK_TOP);
    ck_assert_uint_eq(fake_get64(fake.regs.rsp + uapi_frame.stack_sp), ALTSTACK);
    ck_assert_uint_eq(fake_get64(fake.regs.rsp + uapi_frame.stack_size), ALTSTACK_SIZE);
}
END_TEST

START_TEST(autodisarm_turns_the_alternate_stack_off_until_the_return)
{
    set_altstack(AUTODISARM, ALTSTACK_SIZE);
    install(SIGUSR1, HANDLER, RESTORES | SA_ONSTACK, 0);
    send(SIGUSR1);
    deliver();
    ck_assert_int_eq(fake_call(sigaltstack, 0, ARGUMENT), 0);
    ck_assert_uint_eq(fake_get32(ARGUMENT + 8), SS_DISABLE);
    ck_assert_uint_eq(fake_get64(ARGUMENT + 16), 0);

    return_from_it();
    ck_assert_int_eq(fake_call(sigaltstack, 0, ARGUMENT), 0);
    ck_assert_uint_eq(fake_get64(ARGUMENT), ALTSTACK);
    ck_assert_uint_eq(fake_get32(ARGUMENT + 8), AUTODISARM);
    ck_assert_uint_eq(fake_get64(ARGUMENT + 16), ALTSTACK_SIZE);
}
END_TEST

START_TEST(a_frame_that_would_leave_the_alternate_stack_ends_the_process)
{
    set_altstack(0, 2048);
    install(SIGUSR1, HANDLER, RESTORES | SA_ONSTACK | SA_NODEFER, 0);
    for (int i = 0; i < 2; i++) {
        send(SIGUSR1);
        deliver();
    }
    ck_assert_int_eq(fake.process.ending.kind, VMKIT_OUTCOME_SIGNALLED);
    ck_assert_int_eq(fake.process.ending.signal, SIGSEGV);
}
END_TEST

START_TEST(nodefer_and_resethand)
{
    install(SIGUSR1, HANDLER, RESTORES | SA_NODEFER | SA_RESETHAND, 0);
    send(SIGUSR1);
    deliver();
    ck_assert_uint_eq(fake.process.signals->blocked, 0);
    ck_assert_uint_eq(fake.process.signals->actions[SIGUSR1].handler, 0);
    send(SIGUSR1);
    deliver();
    ck_assert_int_eq(fake.process.ending.signal, SIGUSR1);
}
END_TEST

START_TEST(without_a_restorer_the_handler_is_a_segv)
{
    install(SIGUSR1, HANDLER, 0, 0);
    send(SIGUSR1);
    deliver();
    ck_assert_int_eq(fake.process.ending.signal, SIGSEGV);
    ck_assert_int_eq(fake.process.ending.signal_code, 0x80);
    ck_assert_uint_eq(fake.process.ending.fault_address, 0);
}
END_TEST

START_TEST(a_stack_that_is_not_there_runs_the_segv_handler_on_its_own)
{
    set_altstack(0, ALTSTACK_SIZE);
    install(SIGUSR1, HANDLER, RESTORES, 0);
    install(SIGSEGV, HANDLER + 0x100, RESTORES | SA_ONSTACK, 0);
    fake.regs.rsp = 0x10;
    send(SIGUSR1);
    deliver();
    ck_assert(!vmk_process_ended(&fake.process));
    ck_assert_uint_eq(fake.regs.rip, HANDLER + 0x100);
    ck_assert_uint_eq(fake_get32(fake.regs.rsi + 8), 0x80);
    ck_assert_uint_eq(fake_get64(fake.regs.rsp + uapi_frame.rsp), 0x10);
}
END_TEST

START_TEST(a_segv_handler_without_a_stack_ends_the_process)
{
    install(SIGSEGV, HANDLER, RESTORES, 0);
    fake.regs.rsp = UINT64_C(0x7fffffffffff);
    vmk_signals_fault(&fake.process, SIGSEGV, SEGV_MAPERR, 0x30, 14, 4);
    deliver();
    ck_assert_int_eq(fake.process.ending.signal, SIGSEGV);
}
END_TEST

START_TEST(a_fault_that_is_blocked_or_ignored_ends_the_process)
{
    install(SIGSEGV, 1, RESTORES, 0);
    vmk_signals_fault(&fake.process, SIGSEGV, SEGV_MAPERR, 0x1234, 14, 4);
    ck_assert(vmk_signals_pending(&fake.process));
    deliver();
    ck_assert_int_eq(fake.process.ending.signal, SIGSEGV);
    ck_assert_int_eq(fake.process.ending.signal_code, SEGV_MAPERR);
    ck_assert_uint_eq(fake.process.ending.fault_address, 0x1234);

    setup();
    install(SIGFPE, HANDLER, RESTORES, 0);
    fake_put64(ARGUMENT, vmk_signal_bit(SIGFPE));
    fake_call(rt_sigprocmask, SIG_SETMASK, ARGUMENT, 0, 8);
    vmk_signals_fault(&fake.process, SIGFPE, FPE_INTDIV, PROGRAM, 0, 0);
    deliver();
    ck_assert_int_eq(fake.process.ending.signal, SIGFPE);
    ck_assert_int_eq(fake.process.ending.signal_code, FPE_INTDIV);
}
END_TEST

/* Put a frame on the stack, let `spoil` have its way with it, and return from it. */
static void
return_spoiled(void (*spoil)(uint64_t frame))
{
    setup();
    install(SIGUSR1, HANDLER, RESTORES, 0);
    send(SIGUSR1);
    deliver();
    spoil(fake.regs.rsp);
    return_from_it();
}

static void
spoil_flags_and_selectors(uint64_t frame)
{
    fake_put64(frame + uapi_frame.rflags, ~UINT64_C(0));
    fake_put64(frame + uapi_frame.cs, ~UINT64_C(0));
    fake_put64(frame + uapi_frame.rip, UINT64_C(0xdead000000000000));
    fake_put64(frame + uapi_frame.mask, ~UINT64_C(0));
    fake_put64(frame + uapi_frame.stack_sp, ~UINT64_C(0));
    fake_put64(frame + uapi_frame.stack_size, 1);
    fake_put64(frame + uapi_frame.stack_flags, 0);
}

START_TEST(a_hostile_frame_gets_what_user_mode_may_choose)
{
    return_spoiled(spoil_flags_and_selectors);
    ck_assert(fake.process.regs_replaced);
    ck_assert_uint_eq(fake.regs.rflags, 0x50fd7);
    ck_assert_uint_eq(fake.regs.rip, UINT64_C(0xdead000000000000));
    ck_assert_uint_eq(fake.process.signals->blocked, ~VMK_SIGNALS_UNBLOCKABLE);
    ck_assert_uint_eq(fake.process.signals->altstack_size, 0);
}
END_TEST

static uint64_t
state_of(uint64_t frame)
{
    return fake_get64(frame + uapi_frame.fpstate);
}

static void
spoil_state_address(uint64_t frame)
{
    fake_put64(frame + uapi_frame.fpstate, UINT64_C(0xffffffffffffff00));
}

static void
spoil_components(uint64_t frame)
{
    fake_put64(state_of(frame) + uapi_frame.xstate_bv, UINT64_C(1) << 17);
}

static void
spoil_compaction(uint64_t frame)
{
    fake_put64(state_of(frame) + uapi_frame.xstate_bv + 8, UINT64_C(1) << 63);
}

static void
spoil_mxcsr(uint64_t frame)
{
    memset(fake_at(state_of(frame) + 24), 0xff, 4);
}

START_TEST(a_state_that_cannot_be_is_a_segv)
{
    void (*const spoilers[])(uint64_t) = {spoil_state_address, spoil_components, spoil_compaction,
                                          spoil_mxcsr};
    for (size_t i = 0; i < sizeof spoilers / sizeof spoilers[0]; i++) {
        return_spoiled(spoilers[i]);
        ck_assert(fake.process.regs_replaced);
        ck_assert_uint_eq(fake.regs.rip, PROGRAM);
        deliver();
        ck_assert_int_eq(fake.process.ending.signal, SIGSEGV);
        ck_assert_int_eq(fake.process.ending.signal_code, 0x80);
    }
}
END_TEST

START_TEST(a_bad_state_is_found_under_the_frames_mask)
{
    install(SIGUSR1, HANDLER, SA_SIGINFO | RESTORES, ~UINT64_C(0));
    install(SIGSEGV, HANDLER + 64, SA_SIGINFO | RESTORES, 0);
    send(SIGUSR1);
    deliver();
    ck_assert_uint_eq(fake.regs.rip, HANDLER);
    spoil_components(fake.regs.rsp);
    ck_assert_int_eq(return_from_it(), 0);
    deliver();
    ck_assert(!vmk_process_ended(&fake.process));
    ck_assert_uint_eq(fake.regs.rip, HANDLER + 64);
    ck_assert_uint_eq(fake_get64(fake.regs.rsp + uapi_frame.rip), PROGRAM);
}
END_TEST

static void
spoil_magic_end(uint64_t frame)
{
    memset(fake_at(state_of(frame) + FAKE_XSTATE_SIZE), 0, 4);
    *(uint8_t *)fake_at(state_of(frame) + 160) = 0x77;
    *(uint8_t *)fake_at(state_of(frame) + 600) = 0x66;
}

static void
spoil_claimed_size(uint64_t frame)
{
    fake_put64(state_of(frame) + uapi_frame.software_bytes + 16, UINT32_MAX);
    *(uint8_t *)fake_at(state_of(frame) + 160) = 0x77;
    *(uint8_t *)fake_at(state_of(frame) + 600) = 0x66;
}

START_TEST(without_the_magic_words_only_the_legacy_state_counts)
{
    void (*const spoilers[])(uint64_t) = {spoil_magic_end, spoil_claimed_size};
    for (size_t i = 0; i < sizeof spoilers / sizeof spoilers[0]; i++) {
        return_spoiled(spoilers[i]);
        ck_assert(fake.process.regs_replaced);
        ck_assert_uint_eq(fake.xstate[160], 0x77);
        ck_assert_uint_eq(fake.xstate[600], 0);
        ck_assert_uint_eq(fake.xstate[512], 3);
    }
}
END_TEST

static void
spoil_no_state(uint64_t frame)
{
    fake_put64(frame + uapi_frame.fpstate, 0);
}

START_TEST(no_state_in_the_frame_is_the_initial_one)
{
    return_spoiled(spoil_no_state);
    ck_assert(fake.process.regs_replaced);
    ck_assert_uint_eq(fake.xstate[0] | fake.xstate[1] << 8, 0x37f);
}
END_TEST

START_TEST(a_return_from_nowhere_is_a_segv)
{
    fake.regs.rsp = 0;
    ck_assert_int_eq(fake_call(rt_sigreturn, 0), 0);
    ck_assert(!fake.process.regs_replaced);
    deliver();
    ck_assert_int_eq(fake.process.ending.signal, SIGSEGV);
}
END_TEST

START_TEST(sigsuspend_returns_to_the_mask_from_before_it)
{
    uint64_t blocked = vmk_signal_bit(SIGUSR1) | vmk_signal_bit(SIGHUP);
    fake_put64(ARGUMENT, blocked);
    fake_call(rt_sigprocmask, SIG_SETMASK, ARGUMENT, 0, 8);
    install(SIGUSR1, HANDLER, RESTORES, 0);
    send(SIGUSR1);
    ck_assert(!vmk_signals_pending(&fake.process));

    fake_put64(ARGUMENT, vmk_signal_bit(SIGTERM));
    int64_t result = fake_call(rt_sigsuspend, ARGUMENT, 8);
    ck_assert_int_eq(result, -VMK_ERESTARTNOHAND);
    vmk_signals_deliver(&fake.process, true, &result);
    ck_assert_uint_eq(fake.regs.rip, HANDLER);
    ck_assert_uint_eq(fake.process.signals->blocked,
                      vmk_signal_bit(SIGTERM) | vmk_signal_bit(SIGUSR1));
    ck_assert_uint_eq(fake_get64(fake.regs.rsp + uapi_frame.mask), blocked);
    return_from_it();
    ck_assert_uint_eq(fake.process.signals->blocked, blocked);
    ck_assert_int_eq((int64_t)fake.regs.rax, -EINTR);
}
END_TEST

START_TEST(a_mask_for_a_wait_ends_with_it)
{
    fake_put64(ARGUMENT, vmk_signal_bit(SIGTERM));
    ck_assert_int_eq(vmk_signals_begin_mask(&fake.process, ARGUMENT, 4), -EINVAL);
    ck_assert_int_eq(vmk_signals_begin_mask(&fake.process, 8, 8), -EFAULT);
    ck_assert_int_eq(vmk_signals_begin_mask(&fake.process, 0, 0), 0);
    ck_assert_uint_eq(fake.process.signals->blocked, 0);

    ck_assert_int_eq(vmk_signals_begin_mask(&fake.process, ARGUMENT, 8), 0);
    ck_assert_uint_eq(fake.process.signals->blocked, vmk_signal_bit(SIGTERM));
    vmk_signals_end_mask(&fake.process, false);
    ck_assert_uint_eq(fake.process.signals->blocked, 0);

    ck_assert_int_eq(vmk_signals_begin_mask(&fake.process, ARGUMENT, 8), 0);
    vmk_signals_end_mask(&fake.process, true);
    ck_assert_uint_eq(fake.process.signals->blocked, vmk_signal_bit(SIGTERM));
    int64_t result = -VMK_ERESTARTNOHAND;
    vmk_signals_deliver(&fake.process, true, &result);
    ck_assert_uint_eq(fake.process.signals->blocked, 0);
}
END_TEST

START_TEST(a_timers_frame_tells_its_overrun)
{
    const struct vmk_guest_sigevent event = {.value = 0x1122334455667788, .signo = SIGRTMIN};
    const struct vmk_guest_itimerspec setting = {.interval = {.nanoseconds = 1000000},
                                                 .value = {.nanoseconds = 1000000}};
    install(SIGRTMIN, HANDLER, RESTORES | SA_SIGINFO, 0);
    memcpy(fake_at(ARGUMENT), &event, sizeof event);
    ck_assert_int_eq(fake_call(timer_create, CLOCK_MONOTONIC, ARGUMENT, ARGUMENT + 64), 0);
    memcpy(fake_at(ARGUMENT), &setting, sizeof setting);
    ck_assert_int_eq(fake_call(timer_settime, 0, 0, ARGUMENT, 0), 0);

    fake.now_ns += 1000000;
    vmk_signals_expire(&fake.process);
    fake.now_ns += 4500000;
    deliver();
    uint64_t frame = fake.regs.rsp;
    ck_assert_uint_eq(fake.regs.rip, HANDLER);
    ck_assert_int_eq((int32_t)fake_get32(frame + uapi_frame.info_code), -2);
    ck_assert_uint_eq(fake_get32(frame + uapi_frame.info_timer_id), 0);
    ck_assert_uint_eq(fake_get32(frame + uapi_frame.info_overrun), 4);
    ck_assert_uint_eq(fake_get64(frame + uapi_frame.info_value), event.value);
    ck_assert_int_eq(fake_call(timer_getoverrun, 0), 4);
    ck_assert_uint_eq(vmk_signals_next_real_ns(fake.process.signals), fake.now_ns + 500000);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("sandbox_signal_delivery");
    TCase *tcase = tcase_create("sandbox_signal_delivery");

    tcase_add_checked_fixture(tcase, setup, NULL);
    tcase_add_test(tcase, the_frame_has_the_layout_of_the_kernels_headers);
    tcase_add_test(tcase, the_handler_starts_as_linux_starts_it);
    tcase_add_test(tcase, the_extended_state_carries_its_magic_words_and_is_fresh_in_the_handler);
    tcase_add_test(tcase, returning_brings_everything_back);
    tcase_add_test(tcase, several_signals_stack_in_the_order_of_linux);
    tcase_add_test(tcase, a_fault_goes_before_lower_signals);
    tcase_add_test(tcase, a_call_restarts_or_fails_by_the_rules);
    tcase_add_test(tcase, without_a_signal_a_call_restarts_and_another_result_is_left_alone);
    tcase_add_test(tcase, a_call_that_replaced_the_registers_is_not_restarted);
    tcase_add_test(tcase, onstack_uses_the_alternate_stack_once);
    tcase_add_test(tcase, autodisarm_turns_the_alternate_stack_off_until_the_return);
    tcase_add_test(tcase, a_frame_that_would_leave_the_alternate_stack_ends_the_process);
    tcase_add_test(tcase, nodefer_and_resethand);
    tcase_add_test(tcase, without_a_restorer_the_handler_is_a_segv);
    tcase_add_test(tcase, a_stack_that_is_not_there_runs_the_segv_handler_on_its_own);
    tcase_add_test(tcase, a_segv_handler_without_a_stack_ends_the_process);
    tcase_add_test(tcase, a_fault_that_is_blocked_or_ignored_ends_the_process);
    tcase_add_test(tcase, a_hostile_frame_gets_what_user_mode_may_choose);
    tcase_add_test(tcase, a_state_that_cannot_be_is_a_segv);
    tcase_add_test(tcase, a_bad_state_is_found_under_the_frames_mask);
    tcase_add_test(tcase, without_the_magic_words_only_the_legacy_state_counts);
    tcase_add_test(tcase, no_state_in_the_frame_is_the_initial_one);
    tcase_add_test(tcase, a_return_from_nowhere_is_a_segv);
    tcase_add_test(tcase, sigsuspend_returns_to_the_mask_from_before_it);
    tcase_add_test(tcase, a_mask_for_a_wait_ends_with_it);
    tcase_add_test(tcase, a_timers_frame_tells_its_overrun);
    suite_add_tcase(suite, tcase);
    return suite;
}
