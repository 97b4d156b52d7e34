/* SPDX-License-Identifier: Apache-2.0 */
/* Which argument goes where, by the System V ABI of x86-64. */
#include "arch/callframe.h"
#include "harness.h"

#define FUNCTION UINT64_C(0x401000)
#define TOP UINT64_C(0x7fffffffe123)

static const struct vmk_usermode_stubs stubs = {
    .to_return = UINT64_C(0xffffffffc0000220),
    .to_return_vectors = UINT64_C(0xffffffffc0000230),
    .to_enter_vectors = UINT64_C(0xffffffffc0000240),
};

static struct vmk_user_regs regs;
static struct vmk_callframe frame;

static void
enter(size_t integers, size_t vectors, bool returns_vector)
{
    struct vmk_callframe_argument arguments[VMK_CALLFRAME_MAX_ARGUMENTS];
    struct vmk_callframe_request request = {
        .function = FUNCTION, .top = TOP, .arguments = arguments, .returns_vector = returns_vector};
    /* They take turns as long as there are any. */
    for (size_t i = 0; i < integers || i < vectors; i++) {
        if (i < integers)
            arguments[request.count++] = (struct vmk_callframe_argument){.bits = 100 + i};
        if (i < vectors)
            arguments[request.count++] =
                (struct vmk_callframe_argument){.is_vector = true, .bits = 200 + i};
    }
    regs = (struct vmk_user_regs){.rbx = 1, .rbp = 2, .r12 = 3, .r15 = 4, .rflags = 0x402};
    vmk_callframe_enter(&regs, &stubs, &request, &frame);
    ck_assert_uint_eq(regs.rsp % 16, 8);
    ck_assert_uint_eq(regs.rflags, 0x202);
    ck_assert_uint_eq(regs.rbp, 0);
    ck_assert_uint_eq(regs.rax, vectors < 8 ? vectors : 8);
    ck_assert_uint_eq(frame.words[0], returns_vector ? stubs.to_return_vectors : stubs.to_return);
    ck_assert_uint_eq(frame.return_stack_pointer, regs.rsp + 8);
    ck_assert_uint_le(regs.rsp + frame.word_count * 8, TOP);
    ck_assert_uint_gt(regs.rsp + frame.word_count * 8 + 32, TOP);
    if (vectors == 0)
        ck_assert_uint_eq(regs.rip, FUNCTION);
    else
        ck_assert_uint_eq(regs.rip, stubs.to_enter_vectors);
    ck_assert_uint_eq(regs.r11, FUNCTION);
}

/* The value that a vector register is loaded with. */
static uint64_t
vector(size_t i)
{
    return frame.words[(regs.r10 - regs.rsp) / 8 + i];
}

START_TEST(six_integers_are_in_registers)
{
    enter(6, 0, false);
    ck_assert_uint_eq(regs.rdi, 100);
    ck_assert_uint_eq(regs.rsi, 101);
    ck_assert_uint_eq(regs.rdx, 102);
    ck_assert_uint_eq(regs.rcx, 103);
    ck_assert_uint_eq(regs.r8, 104);
    ck_assert_uint_eq(regs.r9, 105);
    ck_assert_uint_eq(frame.word_count, 1);
}
END_TEST

START_TEST(without_arguments_the_registers_say_nothing)
{
    enter(0, 0, false);
    ck_assert_uint_eq(regs.rdi | regs.rsi | regs.rdx | regs.rcx | regs.r8 | regs.r9, 0);
    ck_assert_uint_eq(frame.word_count, 1);
}
END_TEST

START_TEST(the_rest_is_on_the_stack_in_their_order)
{
    enter(8, 10, false);
    for (unsigned i = 0; i < 8; i++)
        ck_assert_uint_eq(vector(i), 200 + i);
    ck_assert_uint_eq(frame.word_count, 5 + 8);
    ck_assert_uint_eq(frame.words[1], 106);
    ck_assert_uint_eq(frame.words[2], 107);
    ck_assert_uint_eq(frame.words[3], 208);
    ck_assert_uint_eq(frame.words[4], 209);
    ck_assert_uint_eq(regs.r10, regs.rsp + 5 * 8);
}
END_TEST

START_TEST(vectors_that_are_not_arguments_are_zero)
{
    enter(0, 2, false);
    ck_assert_uint_eq(vector(0), 200);
    ck_assert_uint_eq(vector(1), 201);
    for (unsigned i = 2; i < 8; i++)
        ck_assert_uint_eq(vector(i), 0);
    ck_assert_uint_eq(frame.word_count, 1 + 8);
}
END_TEST

START_TEST(a_vector_that_comes_back_has_its_place)
{
    /* Two of them are stored at the stack pointer of the return. */
    enter(1, 0, true);
    ck_assert_uint_ge(frame.word_count, 3);
    enter(9, 0, true);
    ck_assert_uint_ge(frame.word_count, 1 + 3 + 1);
    enter(7, 0, true);
    ck_assert_uint_ge(frame.word_count, 3);
    ck_assert_uint_eq(frame.words[1], 106);
}
END_TEST

START_TEST(as_many_as_there_may_be_fit)
{
    enter(VMK_CALLFRAME_MAX_ARGUMENTS, 0, false);
    ck_assert_uint_eq(frame.word_count, VMK_CALLFRAME_MAX_ARGUMENTS - 6 + 1);
    ck_assert_uint_eq(frame.words[frame.word_count - 1], 100 + VMK_CALLFRAME_MAX_ARGUMENTS - 1);
    enter(0, VMK_CALLFRAME_MAX_ARGUMENTS, true);
    ck_assert_uint_eq(frame.word_count, VMK_CALLFRAME_MAX_ARGUMENTS - 8 + 1 + 8);
    enter(VMK_CALLFRAME_MAX_ARGUMENTS - 1, 1, true);
    ck_assert_uint_le(frame.word_count, VMK_CALLFRAME_MAX_WORDS);
    ck_assert_uint_eq(frame.word_count, VMK_CALLFRAME_MAX_ARGUMENTS - 7 + 1 + 1 + 8);
}
END_TEST

START_TEST(the_red_zone_is_left_alone)
{
    regs = (struct vmk_user_regs){.rsp = TOP};
    ck_assert_uint_eq(vmk_callframe_get_top(&regs), TOP - 128);
}
END_TEST

START_TEST(the_result_is_in_two_registers)
{
    uint64_t result[2];
    regs = (struct vmk_user_regs){.rax = 7, .rdx = 8};
    vmk_callframe_get_result(&regs, result);
    ck_assert_uint_eq(result[0], 7);
    ck_assert_uint_eq(result[1], 8);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("arch_callframe");
    TCase *tests = tcase_create("callframe");
    tcase_add_test(tests, six_integers_are_in_registers);
    tcase_add_test(tests, without_arguments_the_registers_say_nothing);
    tcase_add_test(tests, the_rest_is_on_the_stack_in_their_order);
    tcase_add_test(tests, vectors_that_are_not_arguments_are_zero);
    tcase_add_test(tests, a_vector_that_comes_back_has_its_place);
    tcase_add_test(tests, as_many_as_there_may_be_fit);
    tcase_add_test(tests, the_red_zone_is_left_alone);
    tcase_add_test(tests, the_result_is_in_two_registers);
    suite_add_tcase(suite, tests);
    return suite;
}
