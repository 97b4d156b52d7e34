/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A call of a function of the guest. Its frame is laid out below the stack of the ready point, from
 * the top: the buffers, what of the arguments does not fit into registers, the return address. That
 * one leads to a stub which leaves the VM, so that a function without system calls costs one
 * KVM_RUN. After its return the registers of the ready point are put back; what the call left on
 * the stack is below anyone's.
 */
#include "sandbox/call.h"

#include "arch/callframe.h"
#include "arch/sigframe.h"
#include "arch/usermode.h"
#include "sandbox/sandbox.h"
#include "sandbox/symbol.h"
#include "sandbox/uaccess.h"
#include "util/checked.h"
#include "util/error.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

_Static_assert(VMK_CALLFRAME_MAX_ARGUMENTS == VMKIT_CALL_MAX_ARGUMENTS, "arguments of a call");

#define PAGE_MASK ((uint64_t)VMK_PAGE_SIZE - 1)
#define BUFFER_ALIGNMENT UINT64_C(64)
/* What buffers leave of the program's stack to the function. */
#define STACK_LEFT (UINT64_C(64) << 10)
/* What all of them have of any other stack: nobody but the program knows where that ends. It is as
 * much as the frame of a signal may take there. */
#define OTHER_STACK UINT64_C(4096)

struct call {
    const struct vmkit_call *request;
    struct vmk_process *process;
    struct vmk_user_regs ready; /* Where the program stands, */
    enum vmk_pause pause;       /* and why. */
    bool goes_on;               /* It was paused: all is where it was placed. */
    uint64_t function;
    uint64_t top; /* Of the stack that is left. */
    struct vmk_callframe_argument arguments[VMKIT_CALL_MAX_ARGUMENTS];
    struct vmk_callframe frame;
};

static bool
is_buffer(const struct vmkit_argument *argument)
{
    return argument->kind >= VMKIT_ARGUMENT_IN && argument->kind <= VMKIT_ARGUMENT_IN_OUT;
}

static int
check_argument(unsigned i, const struct vmkit_argument *argument, vmkit_error **ret_error)
{
    if (argument->kind < VMKIT_ARGUMENT_INTEGER || argument->kind > VMKIT_ARGUMENT_IN_OUT)
        return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT,
                             "argument %u of the call is of unknown kind %u", i, argument->kind);
    if (argument->reserved != 0)
        return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT,
                             "argument %u of the call has %u in its reserved field", i,
                             argument->reserved);
    if (is_buffer(argument) && argument->data == NULL && argument->size != 0)
        return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT,
                             "argument %u of the call has %" PRIu64 " bytes at NULL", i,
                             argument->size);
    return 0;
}

static int
check(const struct vmkit_call *request, vmkit_error **ret_error)
{
    if (request->argument_count > VMKIT_CALL_MAX_ARGUMENTS)
        return vmk_error_set(ret_error, E2BIG, VMKIT_ERROR_LIMIT,
                             "the call has %u arguments, more than %d", request->argument_count,
                             VMKIT_CALL_MAX_ARGUMENTS);
    if (request->argument_count > 0 && request->arguments == NULL)
        return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT,
                             "the call has %u arguments at NULL", request->argument_count);
    if (request->result_kind > VMKIT_RESULT_FLOAT || request->reserved != 0)
        return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT,
                             "the call's result is of unknown kind %u, or its reserved field is "
                             "not 0 but %u",
                             request->result_kind, request->reserved);
    for (unsigned i = 0; i < request->argument_count; i++) {
        int r = check_argument(i, &request->arguments[i], ret_error);
        if (r < 0)
            return r;
    }
    return 0;
}

static int
find_function(struct call *call, vmkit_error **ret_error)
{
    const struct vmkit_call *request = call->request;
    if (request->symbol != NULL)
        return vmk_symbol_find(call->process, request->symbol, true, &call->function, ret_error);
    const struct vmk_vma *vma = vmk_vmas_find(&call->process->space->vmas, request->address);
    if (vma == NULL || (vma->rights & VMK_PAGE_EXECUTE) == 0)
        return vmk_error_set(ret_error, EINVAL, VMKIT_ERROR_INVALID_ARGUMENT,
                             "the program has no code at 0x%" PRIx64, request->address);
    call->function = request->address;
    return 0;
}

/* The memory limit is the guest's; that the embedder's buffers reach it does not end the program.
 * What they took goes back. */
static int
take_back(struct call *call, vmkit_error **ret_error)
{
    struct vmk_process *process = call->process;
    uint64_t end = vmk_callframe_get_top(&call->ready) & ~PAGE_MASK, start = call->top & ~PAGE_MASK;
    if (start < end)
        (void)vmk_space_discard(process->space, start, end - start);
    process->ending = (struct vmk_ending){0};
    return vmk_error_set(ret_error, E2BIG, VMKIT_ERROR_LIMIT,
                         "the call's buffers do not fit under the memory limit of %" PRIu64
                         " bytes",
                         process->limits.memory_bytes);
}

/* Copy to the stack, where it is mapped. A kill meanwhile is no error: the run notices it. */
static int
write_stack(struct call *call, uint64_t va, const void *data, size_t size, vmkit_error **ret_error)
{
    struct vmk_process *process = call->process;
    if (vmk_uaccess_write(process->space, va, data, size) == 0 || vmk_process_killed(process))
        return 0;
    if (vmk_process_ended(process))
        return take_back(call, ret_error);
    return vmk_error_set(ret_error, EFAULT, VMKIT_ERROR_OUT_OF_RANGE,
                         "the program's stack cannot be written at 0x%" PRIx64, va);
}

/* Bytes that buffers may take below `top`. The mapping of the initial stack holds nothing else. Any
 * other may hold the program's data right below a stack: that of a coroutine, or an array. */
static uint64_t
get_room(const struct call *call, uint64_t top)
{
    const struct vmk_vma *vma = vmk_vmas_find(&call->process->space->vmas, top - 1);
    if (vma == NULL || (vma->rights & VMK_PAGE_WRITE) == 0)
        return 0;
    uint64_t below = top - vma->start;
    if ((vma->flags & VMK_VMA_STACK) != 0)
        return below > STACK_LEFT ? below - STACK_LEFT : 0;
    uint64_t used = (vmk_callframe_get_top(&call->ready) & ~(BUFFER_ALIGNMENT - 1)) - top;
    uint64_t left = used < OTHER_STACK ? OTHER_STACK - used : 0;
    return below < left ? below : left;
}

static int
place_buffer(struct call *call, unsigned i, vmkit_error **ret_error)
{
    const struct vmkit_argument *argument = &call->request->arguments[i];
    struct vmk_space *space = call->process->space;
    uint64_t top = call->top & ~(BUFFER_ALIGNMENT - 1), size;
    uint64_t room = call->goes_on ? top : get_room(call, top);
    if (!vmk_round_up_u64(argument->size, BUFFER_ALIGNMENT, &size) || size > room)
        return vmk_error_set(ret_error, E2BIG, VMKIT_ERROR_LIMIT,
                             "argument %u of the call has %" PRIu64
                             " bytes, and the program's stack has room for %" PRIu64,
                             i, argument->size, room);
    call->top = top - size;
    call->arguments[i].bits = call->top;
    if (call->goes_on)
        return 0;
    /* In one go, and so that the guest need not fault for each page. */
    uint64_t first = call->top & ~PAGE_MASK;
    if (vmk_space_populate(space, first, top - first) == -ENOMEM)
        return take_back(call, ret_error);
    if (argument->kind == VMKIT_ARGUMENT_OUT)
        return 0;
    return write_stack(call, call->top, argument->data, argument->size, ret_error);
}

static int
place_argument(struct call *call, unsigned i, vmkit_error **ret_error)
{
    const struct vmkit_argument *argument = &call->request->arguments[i];
    struct vmk_callframe_argument *place = &call->arguments[i];
    float single = (float)argument->real;
    *place = (struct vmk_callframe_argument){0};
    switch (argument->kind) {
    case VMKIT_ARGUMENT_INTEGER:
        place->bits = argument->integer;
        return 0;
    case VMKIT_ARGUMENT_DOUBLE:
        place->is_vector = true;
        memcpy(&place->bits, &argument->real, sizeof argument->real);
        return 0;
    case VMKIT_ARGUMENT_FLOAT:
        place->is_vector = true;
        memcpy(&place->bits, &single, sizeof single);
        return 0;
    default:
        return place_buffer(call, i, ret_error);
    }
}

/* Lay out the stack and set all registers. */
static int
place(struct call *call, vmkit_error **ret_error)
{
    struct vmk_process *process = call->process;
    call->top = vmk_callframe_get_top(&call->ready);
    for (unsigned i = 0; i < call->request->argument_count; i++) {
        int r = place_argument(call, i, ret_error);
        if (r < 0)
            return r;
    }
    const struct vmk_callframe_request request = {
        .function = call->function,
        .top = call->top,
        .arguments = call->arguments,
        .count = call->request->argument_count,
        .returns_vector = call->request->result_kind != VMKIT_RESULT_INTEGER,
    };
    const struct vmk_usermode_stubs stubs = vmk_usermode_get_stubs(process->usermode);
    struct vmk_user_regs regs = call->ready;
    vmk_callframe_enter(&regs, &stubs, &request, &call->frame);
    if (call->goes_on)
        return 0;
    int r = write_stack(call, vmk_sigframe_get_stack_pointer(&regs), call->frame.words,
                        call->frame.word_count * sizeof call->frame.words[0], ret_error);
    if (r < 0)
        return r;
    *process->regs = regs;
    process->regs_replaced = true;
    process->call_return_sp = call->frame.return_stack_pointer;
    return 0;
}

static double
real_from_bits(uint64_t bits, bool is_float)
{
    double value;
    float single;
    memcpy(&value, &bits, sizeof value);
    memcpy(&single, &bits, sizeof single);
    return is_float ? (double)single : value;
}

/* The function has returned: what it returned, and what it left in the buffers. */
static int
collect(struct call *call, struct vmkit_sandbox_outcome *outcome, vmkit_error **ret_error)
{
    const struct vmkit_call *request = call->request;
    struct vmk_process *process = call->process;
    uint64_t result[2], vectors[2] = {0};
    vmk_callframe_get_result(process->regs, result);
    outcome->kind = VMKIT_OUTCOME_RETURNED;
    outcome->result = result[0];
    outcome->result_high = result[1];
    if (request->result_kind != VMKIT_RESULT_INTEGER &&
        vmk_uaccess_read(process->space, process->call_return_sp, vectors, sizeof vectors) < 0)
        return vmk_error_set(ret_error, EFAULT, VMKIT_ERROR_OUT_OF_RANGE,
                             "the call's result cannot be read back: the function has unmapped "
                             "its stack");
    outcome->real = real_from_bits(vectors[0], request->result_kind == VMKIT_RESULT_FLOAT);
    outcome->real_high = real_from_bits(vectors[1], request->result_kind == VMKIT_RESULT_FLOAT);
    for (unsigned i = 0; i < request->argument_count; i++) {
        const struct vmkit_argument *argument = &request->arguments[i];
        if (is_buffer(argument) && argument->kind != VMKIT_ARGUMENT_IN &&
            vmk_uaccess_read(process->space, call->arguments[i].bits, argument->data,
                             argument->size) < 0)
            return vmk_error_set(ret_error, EFAULT, VMKIT_ERROR_OUT_OF_RANGE,
                                 "argument %u of the call cannot be read back: the function has "
                                 "unmapped it",
                                 i);
    }
    return 0;
}

/* The program stands again where it did. */
static void
put_back(struct call *call)
{
    *call->process->regs = call->ready;
    call->process->regs_replaced = true;
    call->process->pause = call->pause;
}

/* The guest stands still, and the call is over without having returned: its function executed
 * another program, which is ready or paused where it stands. */
static bool
is_replaced(const struct vmk_process *process, enum vmk_sandbox_state state)
{
    return state == VMK_SANDBOX_READY && process->call_return_sp == 0;
}

/* It goes on from here another time. */
static void
suspend(vmkit_sandbox *sandbox, const struct call *call)
{
    struct vmk_suspended *suspended = &sandbox->suspended;
    vmk_suspended_note_call(suspended, call->request, call->function);
    suspended->ready = call->ready;
    suspended->pause = call->pause;
}

static int
make_call(vmkit_sandbox *sandbox, struct call *call, enum vmk_sandbox_state *state,
          struct vmkit_sandbox_outcome *outcome, vmkit_error **ret_error)
{
    struct vmk_process *process = call->process;
    const struct vmk_time_limits limits = {.cpu_ns = call->request->cpu_time_limit_ns,
                                           .wall_ns = call->request->wall_time_limit_ns};
    int r = find_function(call, ret_error);
    if (r == 0 && call->goes_on)
        r = vmk_suspended_check_call(&sandbox->suspended, call->request, call->function, ret_error);
    if (r == 0)
        r = place(call, ret_error);
    if (r < 0)
        return r;
    r = vmk_sandbox_enter(sandbox, &limits, state, ret_error);
    sandbox->suspended.what = VMK_SUSPENDED_NONE;
    if (*state == VMK_SANDBOX_READY && process->call_return_sp != 0 &&
        vmk_process_is_stopped(process)) {
        suspend(sandbox, call);
        vmk_sandbox_fill_outcome(sandbox, outcome);
        return r;
    }
    bool replaced = is_replaced(process, *state);
    if (r == 0 && *state == VMK_SANDBOX_READY && !replaced)
        r = collect(call, outcome, ret_error);
    process->call_return_sp = 0;
    if (*state != VMK_SANDBOX_READY || replaced) {
        vmk_sandbox_fill_outcome(sandbox, outcome);
        return r;
    }
    put_back(call);
    outcome->instruction_pointer = vmk_usermode_get_pc(process->usermode);
    return r;
}

/* From where the program stands, or from where it stood when the call began that was paused. */
static int
begin_call(vmkit_sandbox *sandbox, const struct vmkit_call *request, struct call *call,
           vmkit_error **ret_error)
{
    struct vmk_process *process = &sandbox->process;
    call->request = request;
    call->process = process;
    call->goes_on = sandbox->suspended.what == VMK_SUSPENDED_CALL;
    call->ready = call->goes_on ? sandbox->suspended.ready : *process->regs;
    call->pause = call->goes_on ? sandbox->suspended.pause : process->pause;
    if (call->goes_on || !vmk_process_is_stopped(process))
        return 0;
    return vmk_error_set(ret_error, ENOTSUP, VMKIT_ERROR_WRONG_STATE,
                         "the program is paused, and not where it is ready: let it go on first");
}

int
vmk_sandbox_call(vmkit_sandbox *sandbox, const struct vmkit_call *request,
                 struct vmkit_sandbox_outcome *outcome, vmkit_error **ret_error)
{
    enum vmk_sandbox_state state;
    int r = check(request, ret_error);
    if (r == 0)
        r = vmk_sandbox_begin(sandbox, &state, ret_error);
    if (r < 0)
        return r;
    vmk_sandbox_ref(sandbox);
    if (state == VMK_SANDBOX_READY) {
        struct call call;
        r = begin_call(sandbox, request, &call, ret_error);
        if (r == 0)
            r = make_call(sandbox, &call, &state, outcome, ret_error);
    } else {
        r = vmk_error_set(ret_error, ENOTSUP, VMKIT_ERROR_WRONG_STATE,
                          "the program is not ready: run it until it calls vmkit_guest_ready()");
    }
    vmk_sandbox_finish(sandbox, state);
    vmk_sandbox_unref(sandbox);
    return r;
}
