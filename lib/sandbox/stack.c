/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/stack.h"

#include "arch/usermode.h"
#include "sandbox/load.h"
#include "sandbox/process.h"
#include "sandbox/uaccess.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#ifndef AT_MINSIGSTKSZ
#define AT_MINSIGSTKSZ 51
#endif

#define RANDOM_SIZE 16
/* Bytes that are written between two looks at the limits of time. */
#define PUSH_STEP ((size_t)64 << 10)
#define MAX_AUXV 24

/* The strings grow down from the top; the vectors are collected and written below them. */
struct stack {
    struct vmk_space *space;
    uint64_t top;
    bool failed;
};

/* In steps, from the top down as the stack is populated; the last ones are left out when the
 * process must stop. */
static uint64_t
push(struct stack *stack, const void *data, size_t size)
{
    struct vmk_process *process = stack->space->process;
    stack->top -= size;
    for (size_t left = size; left > 0;) {
        size_t step = left < PUSH_STEP ? left : PUSH_STEP;
        left -= step;
        if (vmk_uaccess_write(stack->space, stack->top + left, (const uint8_t *)data + left, step) <
                0 ||
            (process->running && vmk_process_must_stop(process))) {
            stack->failed = true;
            break;
        }
    }
    return stack->top;
}

/* The string that begins at `at`, or the end. */
static size_t
next_string(const struct vmk_blob *blob, size_t at)
{
    const uint8_t *end = memchr(blob->data + at, 0, blob->size - at);
    return end == NULL ? blob->size : (size_t)(end - blob->data) + 1;
}

static size_t
count_strings(const struct vmk_blob *blob)
{
    size_t count = 0;
    for (size_t at = 0; blob != NULL && at < blob->size; at = next_string(blob, at))
        count++;
    return count;
}

/* The guest addresses of the strings that were pushed at `va`, ended by 0. */
static uint64_t *
write_pointers(uint64_t *at, const struct vmk_blob *blob, uint64_t va)
{
    for (size_t i = 0; blob != NULL && i < blob->size; i = next_string(blob, i))
        *at++ = va + i;
    *at++ = 0;
    return at;
}

static uint64_t *
write_auxv(uint64_t *at, const struct vmk_process *process, const struct vmk_program *program,
           uint64_t bias, uint64_t random, uint64_t name, uint64_t platform)
{
    const struct vmk_elf *elf = &program->elf;
    struct vmk_usermode_auxv auxv;
    vmk_usermode_get_auxv(process->usermode, &auxv);
    const uint64_t entries[][2] = {
        {AT_HWCAP, auxv.hwcap},
        {AT_PAGESZ, VMK_PAGE_SIZE},
        {AT_CLKTCK, 100},
        {AT_PHDR, elf->headers_va != 0 ? elf->headers_va + bias : 0},
        {AT_PHENT, elf->header_size},
        {AT_PHNUM, elf->header_count},
        {AT_BASE, 0},
        {AT_FLAGS, 0},
        {AT_ENTRY, elf->entry + bias},
        {AT_UID, process->uid},
        {AT_EUID, process->uid},
        {AT_GID, process->gid},
        {AT_EGID, process->gid},
        {AT_SECURE, 0},
        {AT_RANDOM, random},
        {AT_HWCAP2, auxv.hwcap2},
        {AT_EXECFN, name},
        {AT_PLATFORM, platform},
        {AT_MINSIGSTKSZ, auxv.minsigstksz},
        {AT_NULL, 0},
    };
    _Static_assert(sizeof entries / sizeof entries[0] <= MAX_AUXV, "MAX_AUXV");
    memcpy(at, entries, sizeof entries);
    return at + sizeof entries / sizeof *at;
}

static int
write_all(struct vmk_process *process, const struct vmk_program *program, uint64_t bias,
          struct stack *stack, uint64_t *vectors)
{
    struct vmk_usermode_auxv auxv;
    vmk_usermode_get_auxv(process->usermode, &auxv);
    uint8_t seed[RANDOM_SIZE];
    if (getrandom(seed, sizeof seed, GRND_NONBLOCK) != sizeof seed)
        return -EAGAIN;

    const struct vmk_blob *environment = program->environment, *arguments = program->arguments;
    push(stack, (const uint64_t[]){0}, sizeof(uint64_t));
    uint64_t name = push(stack, program->path, strlen(program->path) + 1);
    uint64_t environment_va =
        environment == NULL ? 0 : push(stack, environment->data, environment->size);
    uint64_t arguments_va = arguments == NULL ? 0 : push(stack, arguments->data, arguments->size);
    uint64_t platform = push(stack, auxv.platform, strlen(auxv.platform) + 1);
    stack->top &= ~UINT64_C(15);
    uint64_t random = process->random_va = push(stack, seed, sizeof seed);

    uint64_t *at = vectors;
    *at++ = count_strings(arguments);
    at = write_pointers(at, arguments, arguments_va);
    at = write_pointers(at, environment, environment_va);
    at = write_auxv(at, process, program, bias, random, name, platform);
    size_t size = (size_t)(at - vectors) * sizeof *at;
    stack->top -= size & 15;
    push(stack, vectors, size);
    return stack->failed ? -ENOMEM : 0;
}

/* Pointers to all strings, the two ends of the vectors and the count. */
static size_t
count_pointers(const struct vmk_program *program)
{
    return count_strings(program->arguments) + count_strings(program->environment) + 3;
}

bool
vmk_stack_fits(const struct vmk_program *program)
{
    size_t strings = (program->arguments == NULL ? 0 : program->arguments->size) +
                     (program->environment == NULL ? 0 : program->environment->size);
    return strings + count_pointers(program) * sizeof(uint64_t) <= VMK_LOAD_STRINGS_MAX;
}

int
vmk_stack_build(struct vmk_process *process, const struct vmk_program *program, uint64_t bias,
                uint64_t *ret_stack_pointer)
{
    if (!vmk_stack_fits(program))
        return -E2BIG;

    struct vmk_vma vma = {.start = VMK_STACK_BOTTOM,
                          .end = VMK_SPACE_HIGH,
                          .rights = VMK_PAGE_READ | VMK_PAGE_WRITE,
                          .flags = VMK_VMA_STACK};
    if (program->elf.executable_stack)
        vma.rights |= VMK_PAGE_EXECUTE;
    int r = vmk_space_map(process->space, &vma);
    if (r < 0)
        return r;
    uint64_t *vectors = calloc(count_pointers(program) + 2 * MAX_AUXV, sizeof *vectors);
    if (vectors == NULL)
        return -ENOMEM;
    struct stack stack = {.space = process->space, .top = VMK_SPACE_HIGH};
    r = write_all(process, program, bias, &stack, vectors);
    free(vectors);
    *ret_stack_pointer = stack.top;
    return r;
}
