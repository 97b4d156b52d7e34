/* SPDX-License-Identifier: Apache-2.0 */
/* What a page may be used for: every right by every kind of access, and code that changes. */
#include "probe.h"

#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE UINT64_C(4096)

static sigjmp_buf back;
static volatile int last_signal, last_code;
static void *volatile last_address;

static void
note(int signal, siginfo_t *info, void *context)
{
    last_signal = signal;
    last_code = info->si_code;
    last_address = info->si_addr;
    siglongjmp(back, 1);
}

static void
catch_faults(int flags)
{
    struct sigaction action = {.sa_flags = SA_SIGINFO | flags};
    action.sa_sigaction = note;
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
    sigaction(SIGILL, &action, NULL);
}

/* 0 when the access worked; else the signal and its code. */
static int
attempt(char kind, uint8_t *at)
{
    last_signal = 0;
    if (sigsetjmp(back, 1) == 0) {
        if (kind == 'r')
            (void)*(volatile uint8_t *)at;
        else if (kind == 'w')
            *(volatile uint8_t *)at = 0xc3;
        else
            ((void (*)(void))(uintptr_t)at)();
        return 0;
    }
    CHECK(last_address == at);
    return last_signal * 100 + last_code;
}

/* Each right on pages that were touched before, and on fresh ones. */
static int
all_rights(int argc, char **argv)
{
    catch_faults(0);
    for (int prot = 0; prot < 8; prot++) {
        /* Some processors can make a page that is executed and not read. */
        if (prot == PROT_EXEC)
            continue;
        for (int touched = 0; touched < 2; touched++) {
            uint8_t *at =
                mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            CHECK(at != MAP_FAILED);
            if (touched)
                memset(at, 0xc3, 3 * PAGE);
            CHECK(mprotect(at + PAGE, PAGE, prot) == 0);
            printf("%d %d:", prot, touched);
            for (const char *kind = "rwx"; *kind != '\0'; kind++) {
                /* A fresh page holds no code. */
                if (*kind == 'x' && !touched && (prot & PROT_EXEC))
                    continue;
                printf(" %d", attempt(*kind, at + PAGE + 8));
            }
            at[0] = at[2 * PAGE] = 1;
            printf(" %d\n", attempt('x', at + 2 * PAGE + 16));
            CHECK(munmap(at, 3 * PAGE) == 0);
            printf("gone %d %d %d\n", attempt('r', at), attempt('w', at), attempt('x', at));
        }
    }
    return 0;
}

/* Code that is written, run, and written again, as a just-in-time compiler does. */
static int
jit(int argc, char **argv)
{
    uint8_t *at = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(at != MAP_FAILED);
    for (uint32_t i = 0; i < 300; i++) {
        uint8_t *code = at + (i % 7) * 1000;
        code[0] = 0xb8; /* mov $i, %eax; ret */
        memcpy(code + 1, &i, 4);
        code[5] = 0xc3;
        CHECK(mprotect(at, 4 * PAGE, PROT_READ | PROT_EXEC) == 0);
        CHECK(((uint32_t(*)(void))(uintptr_t)code)() == i);
        CHECK(mprotect(at, 4 * PAGE, PROT_READ | PROT_WRITE) == 0);
    }
    /* Writable and executable at once. */
    CHECK(mprotect(at, 4 * PAGE, PROT_READ | PROT_WRITE | PROT_EXEC) == 0);
    for (uint32_t i = 0; i < 10000; i++) {
        memcpy(at + 1, &i, 4);
        at[0] = 0xb8;
        at[5] = 0xc3;
        CHECK(((uint32_t(*)(void))(uintptr_t)at)() == i);
    }
    printf("jit\n");
    return 0;
}

static int
recurse(volatile int *above, int depth)
{
    volatile uint8_t here[8000];
    volatile int next = *above + 1;
    here[0] = (uint8_t)depth;
    return depth == 0 ? next : recurse(&next, depth - 1) + here[0] - (uint8_t)depth;
}

static int (*volatile recurse_again)(volatile int *, int) = recurse;

/* The stack grows to nearly 8 MiB; one that goes on ends in a signal on another stack. */
static int
stack(int argc, char **argv)
{
    static uint8_t other[65536];
    volatile int start = 0;
    CHECK(recurse_again(&start, 900) == 901);
    CHECK(sigaltstack(&(stack_t){.ss_sp = other, .ss_size = sizeof other}, NULL) == 0);
    catch_faults(SA_ONSTACK);
    for (int i = 0; i < 3; i++) {
        if (sigsetjmp(back, 1) == 0)
            recurse_again(&start, 100000);
        printf("stack %d\n", last_signal);
    }
    CHECK(recurse_again(&start, 900) == 901);
    return 0;
}

static uint8_t *repaired;
static volatile int repairs;

static void
repair(int signal, siginfo_t *info, void *context)
{
    uint8_t *page = (uint8_t *)((uintptr_t)info->si_addr & ~(uintptr_t)(PAGE - 1));
    repairs++;
    if (page < repaired || page >= repaired + 64 * PAGE ||
        mprotect(page, PAGE, PROT_READ | PROT_WRITE) < 0)
        _exit(3);
}

/* A handler that gives the right that was missing, and returns to the access. */
static int
repair_and_return(int argc, char **argv)
{
    struct sigaction action = {.sa_flags = SA_SIGINFO};
    action.sa_sigaction = repair;
    sigaction(SIGSEGV, &action, NULL);
    repaired = mmap(NULL, 64 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(repaired != MAP_FAILED);
    for (int round = 0; round < 10; round++) {
        CHECK(mprotect(repaired, 64 * PAGE, round & 1 ? PROT_NONE : PROT_READ) == 0);
        repairs = 0;
        for (uint64_t i = 0; i < 64; i++)
            ((volatile uint8_t *)repaired)[i * PAGE + 5]++;
        CHECK(repairs == 64);
        CHECK(repaired[63 * PAGE + 5] == round + 1);
    }
    printf("repaired\n");
    return 0;
}

const struct probe probe_rights[] = {
    {"rights", all_rights},        {"jit", jit}, {"stack", stack},
    {"repair", repair_and_return}, {NULL, NULL},
};
