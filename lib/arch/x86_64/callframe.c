/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The calling convention of x86-64 (System V ABI, AMD64 supplement, 3.2): six registers for
 * integers, eight for vectors, the rest on the stack, in 8 bytes each and in the arguments' order.
 * The stack pointer is 8 below a multiple of 16 at the first instruction, the return address there.
 * The values of vector registers lie above the arguments, where R10 points.
 */
#include "arch/callframe.h"

#include <string.h>

#define RED_ZONE 128
#define INTEGERS 6
#define FLAGS_AT_ENTRY UINT64_C(0x202) /* The direction flag is clear. */

/* The arguments by where they go. */
struct places {
    uint64_t integers[INTEGERS];
    size_t integer_count;
    uint64_t vectors[VMK_CALLFRAME_VECTORS];
    size_t vector_count;
    uint64_t stack[VMK_CALLFRAME_MAX_ARGUMENTS];
    size_t stack_count;
};

static void
sort_arguments(const struct vmk_callframe_request *request, struct places *places)
{
    places->integer_count = places->vector_count = places->stack_count = 0;
    memset(places->integers, 0, sizeof places->integers);
    memset(places->vectors, 0, sizeof places->vectors);
    for (size_t i = 0; i < request->count; i++) {
        const struct vmk_callframe_argument *argument = &request->arguments[i];
        if (argument->is_vector && places->vector_count < VMK_CALLFRAME_VECTORS)
            places->vectors[places->vector_count++] = argument->bits;
        else if (!argument->is_vector && places->integer_count < INTEGERS)
            places->integers[places->integer_count++] = argument->bits;
        else
            places->stack[places->stack_count++] = argument->bits;
    }
}

uint64_t
vmk_callframe_get_top(const struct vmk_user_regs *regs)
{
    return regs->rsp - RED_ZONE;
}

static void
put(struct vmk_callframe *frame, const uint64_t *words, size_t count)
{
    memcpy(frame->words + frame->word_count, words, count * sizeof *words);
    frame->word_count += count;
}

void
vmk_callframe_enter(struct vmk_user_regs *regs, const struct vmk_usermode_stubs *stubs,
                    const struct vmk_callframe_request *request, struct vmk_callframe *ret_frame)
{
    struct places places;
    sort_arguments(request, &places);
    bool takes_vectors = places.vector_count > 0;
    const uint64_t nothing = 0, return_address = request->returns_vector ? stubs->to_return_vectors
                                                                         : stubs->to_return;

    ret_frame->word_count = 0;
    put(ret_frame, &return_address, 1);
    put(ret_frame, places.stack, places.stack_count);
    put(ret_frame, &nothing, places.stack_count % 2);
    size_t vectors_at = ret_frame->word_count;
    /* There is room for those that come back, too. */
    if (takes_vectors || request->returns_vector)
        put(ret_frame, places.vectors, VMK_CALLFRAME_VECTORS);

    uint64_t size = (ret_frame->word_count - 1) * sizeof(uint64_t);
    ret_frame->return_stack_pointer = (request->top - size) & ~UINT64_C(15);
    regs->rsp = ret_frame->return_stack_pointer - sizeof(uint64_t);
    regs->rip = takes_vectors ? stubs->to_enter_vectors : request->function;
    regs->r10 = regs->rsp + vectors_at * sizeof(uint64_t);
    regs->r11 = request->function;
    regs->rbp = 0; /* No frame above, for whoever unwinds. */
    regs->rflags = FLAGS_AT_ENTRY;
    /* How many vector registers are in use, for a function with variable arguments. */
    regs->rax = places.vector_count;
    regs->rdi = places.integers[0];
    regs->rsi = places.integers[1];
    regs->rdx = places.integers[2];
    regs->rcx = places.integers[3];
    regs->r8 = places.integers[4];
    regs->r9 = places.integers[5];
}

void
vmk_callframe_get_result(const struct vmk_user_regs *regs, uint64_t ret_result[2])
{
    ret_result[0] = regs->rax;
    ret_result[1] = regs->rdx;
}
